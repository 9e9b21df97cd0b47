//! Which route mail takes: the first whose conditions all hold. Pure.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::digest;

use super::parts::Parts;
use crate::config::{HeaderCondition, RouteConditions, RouteConfig};
use crate::message::{Address, Message, header_values};
use crate::queue::WayKey;

/// The number of a route in the present routing.
pub(super) type RouteId = usize;

/// The route that `delivery.providers` make.
pub(super) const DEFAULT: RouteId = 0;
const DEFAULT_NAME: &str = "default";
/// Routes that the name of a way for several of them tells.
const NAMED_MAX: usize = 3;

/// All routes, and which mail takes which.
#[derive(Debug)]
pub(super) struct Routing {
    /// The default one first.
    routes: Vec<Route>,
    /// Routes for whatever fits, in the order in which they are asked.
    rules: Vec<(RouteId, RouteConditions)>,
    /// The routes of users who have their own.
    users: HashMap<String, RouteId>,
    /// Of all of this; the same after a restart with the same configuration.
    fingerprint: u32,
}

#[derive(Debug)]
struct Route {
    key: WayKey,
    /// Names of providers, in the order of preference.
    providers: Vec<String>,
}

impl Routing {
    /// `default` names the providers for what takes no other route, `users` the routes of those who have their own.
    pub(super) fn new(
        default: Vec<String>,
        configured: Vec<RouteConfig>,
        users: HashMap<String, String>,
    ) -> Self {
        let fingerprint = fingerprint(&default, &configured, &users);
        // A route may be called as the default one is; the number tells them apart.
        let key = |id: RouteId, name: &str| {
            WayKey::new(name, fingerprint.wrapping_add(u32::try_from(id).unwrap_or(u32::MAX)))
        };
        let mut routes = vec![Route { key: key(DEFAULT, DEFAULT_NAME), providers: default }];
        let mut rules = Vec::new();
        for RouteConfig { name, providers, conditions } in configured {
            let id = routes.len();
            let is_named = users.values().any(|named| *named == name);
            routes.push(Route { key: key(id, &name), providers });
            // One that users name and that asks for nothing is theirs alone.
            if !(is_named && conditions.is_empty()) {
                rules.push((id, conditions));
            }
        }
        let by_name = |name: &str| {
            routes.iter().skip(1).position(|route| route.key.name() == name).map(|at| at + 1)
        };
        let users =
            users.iter().filter_map(|(user, name)| Some((user.clone(), by_name(name)?))).collect();
        Self { routes, rules, users, fingerprint }
    }

    /// The providers of every route, by its number.
    pub(super) fn orders(&self) -> impl Iterator<Item = &[String]> {
        self.routes.iter().map(|route| route.providers.as_slice())
    }

    /// True where all mail goes one way.
    pub(super) fn is_single(&self) -> bool {
        self.routes.len() == 1
    }

    /// The route that each of these recipients of a message takes.
    pub(super) fn parts<'a>(
        &self,
        message: &Message,
        recipients: impl Iterator<Item = &'a Address> + Clone,
    ) -> Parts {
        let own = message.user.as_deref().and_then(|user| self.users.get(user));
        if let Some(own) = own {
            return Parts::all(*own);
        }
        if self.rules.is_empty() {
            return Parts::all(DEFAULT);
        }
        let mut facts = Facts::new(message);
        let mut holding: Vec<(RouteId, &RouteConditions)> = Vec::new();
        for (id, conditions) in &self.rules {
            if facts.meet(conditions) {
                holding.push((*id, conditions));
                if conditions.recipient_domain.is_empty() {
                    break;
                }
            }
        }
        if let Some((id, conditions)) = holding.first()
            && conditions.recipient_domain.is_empty()
        {
            return Parts::all(*id);
        }
        let route_of = |recipient: &Address| {
            let domain = recipient.canonical_domain();
            let takes = |conditions: &RouteConditions| {
                let mut wanted = conditions.recipient_domain.iter();
                conditions.recipient_domain.is_empty()
                    || wanted.any(|pattern| pattern.matches(&domain))
            };
            holding.iter().find(|(_, conditions)| takes(conditions)).map_or(DEFAULT, |(id, _)| *id)
        };
        Parts::each(recipients.map(route_of))
    }

    /// The way of mail that takes these routes, each named once, in the order of their numbers.
    pub(super) fn key(&self, ids: &[RouteId]) -> WayKey {
        let route = |id: &RouteId| self.routes.get(*id);
        match ids {
            [] => WayKey::default(),
            [id] => route(id).map(|route| route.key.clone()).unwrap_or_default(),
            several => {
                let named = several.iter().take(NAMED_MAX).filter_map(route);
                let mut name = named.map(|route| route.key.name()).collect::<Vec<_>>().join("+");
                if several.len() > NAMED_MAX {
                    name.push_str("+…");
                }
                WayKey::new(
                    &name,
                    several.iter().fold(self.fingerprint, |mark, id| {
                        let id = u32::try_from(*id).unwrap_or(u32::MAX);
                        mark.wrapping_mul(31).wrapping_add(id)
                    }),
                )
            }
        }
    }
}

/// Changes with anything that decides about ways.
fn fingerprint(default: &[String], routes: &[RouteConfig], users: &HashMap<String, String>) -> u32 {
    let users: BTreeMap<_, _> = users.iter().collect();
    let text = format!("{default:?} {routes:?} {users:?}");
    let hash = digest::digest(&digest::SHA256, text.as_bytes());
    hash.as_ref().iter().take(4).fold(0, |mark, octet| mark << 8 | u32::from(*octet))
}

/// What conditions are about, read when one asks for it.
struct Facts<'a> {
    message: &'a Message,
    sender_domain: Option<Cow<'a, str>>,
    /// Values of header fields by name; few conditions ask for the same field.
    fields: Vec<(&'a str, Vec<String>)>,
}

impl<'a> Facts<'a> {
    fn new(message: &'a Message) -> Self {
        let sender_domain = message.envelope.sender.as_ref().map(Address::canonical_domain);
        Self { message, sender_domain, fields: Vec::new() }
    }

    /// True when all conditions hold that are not about a single recipient.
    fn meet(&mut self, conditions: &'a RouteConditions) -> bool {
        let RouteConditions { sender, sender_domain, recipient_domain: _, user, header } =
            conditions;
        let from = self.message.envelope.sender.as_ref();
        let domain = self.sender_domain.as_deref();
        (sender.is_empty() || sender.iter().any(|own| own.matches(from)))
            && (sender_domain.is_empty()
                || domain.is_some_and(|domain| sender_domain.iter().any(|own| own.matches(domain))))
            && (user.is_empty() || self.message.user.as_ref().is_some_and(|own| user.contains(own)))
            && header.as_ref().is_none_or(|header| self.has(header))
    }

    fn has(&mut self, header: &'a HeaderCondition) -> bool {
        let known =
            self.fields.iter().position(|(name, _)| name.eq_ignore_ascii_case(&header.name));
        let values = match known.and_then(|at| self.fields.get(at)) {
            Some((_, values)) => values,
            None => {
                let values = header_values(&self.message.raw, &header.name).collect();
                self.fields.push((&header.name, values));
                match self.fields.last() {
                    Some((_, values)) => values,
                    None => return false,
                }
            }
        };
        values.iter().any(|value| header.value.matches(value))
    }
}

#[cfg(test)]
mod tests;
