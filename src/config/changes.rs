//! What differs between the configuration that holds and one that is to take its place.

use std::collections::BTreeMap;
use std::fmt;

use super::reader::Effective;
use super::{Config, schema};

/// The keys that a running process cannot change: where it listens, its store, and how it writes its log.
const RESTART: [&str; 10] = [
    "smtp.listen",
    "smtp.listen_tls",
    "http.listen",
    "delivery.mode",
    "queue.url",
    "queue.password",
    "queue.max_messages",
    "queue.takeover_after",
    "queue.seal_key",
    "log.format",
];

/// The tables whose changes are told by the names in them.
const NAMED: [&str; 3] = ["providers.", "smtp.users[", "routes["];

/// The keys whose new values take effect after a restart only, in the order of the schema.
pub fn restart_needed(
    running: (&Config, &[Effective]),
    new: (&Config, &[Effective]),
) -> Vec<&'static str> {
    let (before, after) = (&running.0.queue, &new.0.queue);
    // Shown as stars, two secrets look alike; a URL may have one in it.
    let in_url = before.url != after.url && before.password == after.password;
    let secrets = running.0.secrets().into_iter().zip(new.0.secrets());
    let differs = |key: &str| {
        shown(running.1, key) != shown(new.1, key)
            || (key == "queue.url" && in_url)
            || secrets.clone().any(|((name, old), (_, new))| name == key && old != new)
    };
    RESTART.into_iter().filter(|key| differs(key)).collect()
}

fn shown<'a>(effective: &'a [Effective], key: &str) -> Option<&'a str> {
    effective.iter().find(|shown| shown.key == key).map(|shown| shown.value.as_str())
}

impl Config {
    /// Takes over from `running` what a running process cannot change.
    #[must_use]
    pub fn on_top_of(mut self, running: &Self) -> Self {
        self.smtp.listen.clone_from(&running.smtp.listen);
        self.smtp.listen_tls.clone_from(&running.smtp.listen_tls);
        self.http.listen = running.http.listen;
        self.delivery.mode = running.delivery.mode;
        self.queue.url = running.queue.url.clone();
        self.queue.password = running.queue.password.clone();
        self.queue.max_messages = running.queue.max_messages;
        self.queue.takeover_after = running.queue.takeover_after;
        self.queue.seal_key.clone_from(&running.queue.seal_key);
        self.log.format = running.log.format;
        self
    }

    /// Secrets outside of lists and of providers.
    fn secrets(&self) -> [(&'static str, Option<&[u8]>); 4] {
        let hook = self.delivery.on_failure_webhook.as_ref();
        [
            ("http.token", Some(self.http.token.expose().as_bytes())),
            (
                "delivery.on_failure_webhook_secret",
                hook.map(|hook| hook.secret.expose().as_bytes()),
            ),
            ("queue.password", Some(self.queue.password.expose().as_bytes())),
            ("queue.seal_key", self.queue.seal_key.as_ref().map(|key| key.0.as_slice())),
        ]
    }
}

/// What a new configuration changes, in words that may stand in a log: names and keys, never values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Providers, templates for accounts that clients bring included.
    pub providers: Names,
    pub routes: Names,
    /// `smtp.users`.
    pub users: Names,
    /// All other keys that take effect at once.
    pub settings: Vec<String>,
}

/// Which items of one kind have changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

impl Names {
    /// By name, each item with its name.
    fn between<'a, T: PartialEq + 'a>(
        old: impl Iterator<Item = (&'a str, &'a T)>,
        new: impl Iterator<Item = (&'a str, &'a T)>,
    ) -> Self {
        let mut old: BTreeMap<&str, &T> = old.collect();
        let mut names = Self::default();
        for (name, item) in new {
            match old.remove(name) {
                None => names.added.push(name.to_owned()),
                Some(before) if before != item => names.changed.push(name.to_owned()),
                Some(_) => {}
            }
        }
        names.removed = old.into_keys().map(str::to_owned).collect();
        names
    }

    fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl fmt::Display for Names {
    /// `added a, b; changed c; removed d`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kinds =
            [("added", &self.added), ("changed", &self.changed), ("removed", &self.removed)];
        let mut separator = "";
        for (word, names) in kinds.into_iter().filter(|(_, names)| !names.is_empty()) {
            write!(f, "{separator}{word} {}", names.join(", "))?;
            separator = "; ";
        }
        Ok(())
    }
}

impl Changes {
    /// From one configuration to another; each comes with its effective values.
    pub fn between(old: (&Config, &[Effective]), new: (&Config, &[Effective])) -> Self {
        let ((old, old_shown), (new, new_shown)) = (old, new);
        let all = |config: &'_ Config| {
            let providers = config.providers.iter().chain(&config.templates);
            providers.cloned().collect::<Vec<_>>()
        };
        let (old_providers, new_providers) = (all(old), all(new));
        Self {
            providers: Names::between(
                old_providers.iter().map(|own| (own.name.as_str(), own)),
                new_providers.iter().map(|own| (own.name.as_str(), own)),
            ),
            routes: Names::between(
                old.routes.iter().map(|own| (own.name.as_str(), own)),
                new.routes.iter().map(|own| (own.name.as_str(), own)),
            ),
            users: Names::between(
                old.smtp.users.iter().map(|own| (own.username.as_str(), own)),
                new.smtp.users.iter().map(|own| (own.username.as_str(), own)),
            ),
            settings: settings((old, old_shown), (new, new_shown)),
        }
    }

    /// True when nothing takes effect.
    pub fn is_empty(&self) -> bool {
        let Self { providers, routes, users, settings } = self;
        providers.is_empty() && routes.is_empty() && users.is_empty() && settings.is_empty()
    }
}

/// The keys whose values differ, but for those of [`NAMED`] and those that need a restart.
fn settings(old: (&Config, &[Effective]), new: (&Config, &[Effective])) -> Vec<String> {
    let single =
        |key: &&str| !NAMED.iter().any(|table| key.starts_with(table)) && !RESTART.contains(key);
    let values = |effective: &[Effective]| -> BTreeMap<String, String> {
        let shown = effective.iter().filter(|shown| single(&shown.key.as_str()));
        shown.map(|shown| (shown.key.clone(), shown.value.clone())).collect()
    };
    let (before, after) = (values(old.1), values(new.1));
    let mut keys: Vec<String> = after
        .iter()
        .filter(|(key, value)| before.get(*key) != Some(value))
        .map(|(key, _)| key.clone())
        .collect();
    // Shown as stars, two secrets look alike.
    for ((key, before), (_, after)) in old.0.secrets().into_iter().zip(new.0.secrets()) {
        if before != after && single(&key) && !keys.iter().any(|known| known == key) {
            keys.push(key.to_owned());
        }
    }
    keys.sort_by_cached_key(|key| schema::position(key));
    keys
}

#[cfg(test)]
mod tests;
