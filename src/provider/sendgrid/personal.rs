//! What of a call is for one recipient alone: the personalizations.
//!
//! Who gets mail is the envelope's to say. The lists of `X-SMTPAPI` are paired with the addresses in its `to`, or else
//! with the envelope's recipients in their order; an address in `to` that is not in the envelope gets nothing.
//!
//! Where all recipients of a call have the same values, they share one personalization, and see each other as the
//! message shows them. Where values differ each has one of their own, as at SendGrid's SMTP server, and then sees
//! nobody else in To and Cc: the API mails everybody whom a personalization shows.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

use super::request::{Person, Readers};
use super::smtpapi::{Each, Orders, grave};
use crate::message::{Address, Loss};
use crate::provider::Letter;

/// In the keys and values of one recipient's substitutions, in octets.
const SUBSTITUTIONS_MAX: usize = 10_000;
/// In all arguments of one recipient, in octets of JSON.
const ARGUMENTS_MAX: usize = 10_000;

/// The argument that is ours: it comes back with every event, which makes the message findable without SendGrid's id.
const OUR_ARGUMENT: &str = "mailferry_id";

/// One entry of `personalizations`.
#[derive(Debug, Default, PartialEq, Serialize)]
pub(super) struct Personalization {
    pub(super) to: Vec<Person>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) cc: Vec<Person>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) bcc: Vec<Person>,
    #[serde(flatten)]
    values: Values,
}

/// What a recipient has of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Values {
    custom_args: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    substitutions: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_at: Option<i64>,
}

/// The recipients of a call with their values. There is somebody in `to`.
pub(super) fn personalizations(
    letter: &Letter<'_>,
    orders: &Orders,
    Readers { to, cc, bcc }: Readers,
    losses: &mut Vec<Loss>,
) -> Vec<Personalization> {
    let places = Places::of(letter, &orders.each, losses);
    let mut maker = Maker { id: letter.id.to_string(), orders, faults: Faults::default() };
    let everybody = to.iter().chain(&cc).chain(&bcc);
    let values: Vec<Values> =
        everybody.map(|person| maker.values(places.of_address(&person.email))).collect();
    maker.faults.hand_over(letter, orders, values.len(), losses);

    let mut values = values.into_iter();
    let Some(first) = values.next() else { return Vec::new() };
    if values.as_slice().iter().all(|other| *other == first) {
        return vec![Personalization { to, cc, bcc, values: first }];
    }
    losses.push(Loss::slight(
        "headers To and Cc",
        "X-SMTPAPI has values for single recipients, so each is shown alone",
    ));
    let people = to.into_iter().chain(cc).chain(bcc);
    people
        .zip(std::iter::once(first).chain(values))
        .map(|(person, values)| Personalization {
            to: vec![person],
            values,
            ..Personalization::default()
        })
        .collect()
}

/// Where the values of a recipient stand in the lists.
struct Places(HashMap<String, usize>);

impl Places {
    fn of(letter: &Letter<'_>, each: &Each, losses: &mut Vec<Loss>) -> Self {
        let envelope = letter.envelope.recipients.iter().map(|it| key(it.as_str()));
        if each.to.is_empty() {
            return Self::numbered(envelope);
        }
        let places = Self::numbered(each.to.iter().map(|address| key(address)));
        let served: HashSet<String> = envelope.collect();
        let outside = places.0.keys().filter(|address| !served.contains(*address)).count();
        if outside > 0 {
            losses.push(grave(
                &format!("to: {outside} of {} addresses", places.0.len()),
                "they get nothing, because RCPT TO alone says who gets mail",
            ));
        }
        places
    }

    fn numbered(addresses: impl Iterator<Item = String>) -> Self {
        let mut places = HashMap::new();
        for (place, address) in addresses.enumerate() {
            places.entry(address).or_insert(place);
        }
        Self(places)
    }

    fn of_address(&self, address: &str) -> Option<usize> {
        self.0.get(&key(address)).copied()
    }
}

/// SendGrid takes no account of case, in the local part neither.
fn key(address: &str) -> String {
    Address::key_of(address).to_lowercase()
}

/// Makes the values of one recipient after the other.
struct Maker<'a> {
    id: String,
    orders: &'a Orders,
    faults: Faults,
}

impl Maker<'_> {
    fn values(&mut self, place: Option<usize>) -> Values {
        let substitutions = self.substitutions(place);
        Values {
            custom_args: self.arguments(&substitutions),
            send_at: place.and_then(|place| self.orders.each.send_at.get(place)).copied(),
            substitutions: if self.orders.takes_substitutions() {
                substitutions
            } else {
                BTreeMap::new()
            },
        }
    }

    fn substitutions(&mut self, place: Option<usize>) -> BTreeMap<String, String> {
        let Each { substitutions, sections, .. } = &self.orders.each;
        let value_of = |values: &Vec<String>| place.and_then(|place| values.get(place)).cloned();
        let given: BTreeMap<&str, Option<String>> =
            substitutions.iter().map(|(tag, values)| (tag.as_str(), value_of(values))).collect();
        if given.values().any(Option::is_none) {
            self.faults.without_value += 1;
        }
        let plain: Vec<(&str, &str)> =
            given.iter().filter_map(|(tag, value)| Some((*tag, value.as_deref()?))).collect();

        let mut made = BTreeMap::new();
        let mut octets = 0;
        for (tag, value) in &plain {
            let Some(text) = expanded(value, sections, &plain) else {
                octets = usize::MAX;
                break;
            };
            octets += tag.len() + text.len();
            made.insert((*tag).to_owned(), text);
        }
        if octets > SUBSTITUTIONS_MAX {
            self.faults.too_long += 1;
            made.clear();
        }
        made
    }

    /// The app's arguments and ours. The API puts nothing in the place of tags in them, SendGrid's SMTP server does.
    fn arguments(&mut self, substitutions: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let ours = (OUR_ARGUMENT.to_owned(), self.id.clone());
        let pairs: Vec<_> =
            substitutions.iter().map(|(tag, text)| (tag.as_str(), text.as_str())).collect();
        let mut made = BTreeMap::new();
        let mut octets = 2;
        for (name, value) in &self.orders.arguments {
            let Some(text) = replaced(value, &pairs, ARGUMENTS_MAX) else {
                octets = usize::MAX;
                break;
            };
            made.insert(name.clone(), text);
        }
        made.extend([ours.clone()]);
        for (name, text) in &made {
            let json = serde_json::json!([name, text]).to_string();
            octets = octets.saturating_add(json.len());
        }
        if octets >= ARGUMENTS_MAX {
            self.faults.arguments_too_long = true;
            return BTreeMap::from([ours]);
        }
        made
    }
}

/// A substitution with the texts of its sections, and in those the recipient's other values. SendGrid has taken
/// sections out of its API, so they are put in here.
fn expanded(value: &str, sections: &[(String, String)], values: &[(&str, &str)]) -> Option<String> {
    let sections: Vec<_> =
        sections.iter().map(|(tag, text)| (tag.as_str(), text.as_str())).collect();
    let whole = replaced(value, &sections, SUBSTITUTIONS_MAX)?;
    // Only sections may hold tags: SendGrid leaves those in a plain value as they are.
    if whole == value { Some(whole) } else { replaced(&whole, values, SUBSTITUTIONS_MAX) }
}

/// The text with each of the tags replaced, unless it becomes longer than `max`.
fn replaced(text: &str, tags: &[(&str, &str)], max: usize) -> Option<String> {
    let mut text = text.to_owned();
    for (tag, by) in tags.iter().filter(|(tag, _)| !tag.is_empty()) {
        let count = text.matches(tag).count();
        if count == 0 {
            continue;
        }
        if text.len().saturating_add(count.saturating_mul(by.len())) > max.saturating_mul(2) {
            return None;
        }
        text = text.replace(tag, by);
    }
    (text.len() <= max).then_some(text)
}

/// What was wrong with the values of how many recipients.
#[derive(Debug, Default)]
struct Faults {
    without_value: usize,
    too_long: usize,
    arguments_too_long: bool,
}

impl Faults {
    fn hand_over(
        self,
        letter: &Letter<'_>,
        orders: &Orders,
        recipients: usize,
        losses: &mut Vec<Loss>,
    ) {
        let email = letter.email;
        let texts = [Some(&email.subject), email.text.as_ref(), email.html.as_ref()];
        let substitutions = &orders.each.substitutions;
        // A template may hold the tags as well.
        let shown = orders.settings.template.is_some()
            || substitutions
                .iter()
                .any(|(tag, _)| texts.iter().flatten().any(|text| text.contains(tag.as_str())));
        let mut lose = |what: String, why: String| {
            let loss = grave(&what, why);
            // Tags that stand nowhere are not missed.
            losses.push(Loss { grave: shown, ..loss });
        };
        if self.without_value > 0 {
            lose(
                format!("sub: for {} of {recipients} recipients", self.without_value),
                "the lists have no value for them, so that they would read the tags".to_owned(),
            );
        }
        if self.too_long > 0 {
            lose(
                format!("sub: for {} of {recipients} recipients", self.too_long),
                format!("it has more than {SUBSTITUTIONS_MAX} octets, which the API refuses"),
            );
        }
        if !substitutions.is_empty() && !orders.takes_substitutions() {
            lose("sub".to_owned(), "a dynamic template takes no substitutions".to_owned());
        }
        if self.arguments_too_long {
            losses.push(Loss::slight(
                "X-SMTPAPI unique_args",
                format!("all together have {ARGUMENTS_MAX} octets or more, which the API refuses"),
            ));
        }
        if orders.arguments.iter().any(|(name, _)| name == OUR_ARGUMENT) {
            losses.push(Loss::slight(
                format!("X-SMTPAPI unique_args.{OUR_ARGUMENT}"),
                "the name is taken by mailferry",
            ));
        }
    }
}

#[cfg(test)]
mod tests;
