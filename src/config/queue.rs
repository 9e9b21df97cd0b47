//! `[queue]`: where messages wait, and how long their traces stay.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::database::DatabaseUrl;
use super::reader::Reader;
use super::value::{Setting, quote, toml_text};
use super::{AuthMode, Mode, SmtpConfig};
use crate::secret::Secret;

/// The store and its limits.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Which store.
    pub url: QueueUrl,
    /// Of the database; the URL has it as well.
    pub password: Secret,
    /// How many open messages it may hold.
    pub max_messages: u64,
    /// How long a finished message's record stays.
    pub keep_delivered: Duration,
    /// How long a delivered message's content stays.
    pub keep_bodies: Duration,
    /// After this long without a sign of life, the others take over what an instance has claimed.
    pub takeover_after: Duration,
    /// What locks up the accounts that clients bring, for all instances alike; `None`: a file beside the store.
    pub seal_key: Option<SealSecret>,
}

/// The store that `queue.url` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueUrl {
    /// `sqlite:FILE`.
    Sqlite(PathBuf),
    /// `postgres://...`, which several instances share.
    Postgres(Box<DatabaseUrl>),
}

/// The octets of `queue.seal_key`.
#[derive(Clone, PartialEq, Eq)]
pub struct SealSecret(pub [u8; 32]);

impl std::fmt::Debug for SealSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

impl Setting for SealSecret {
    const EXPECTED: &'static str =
        "the base64 of 32 octets; `openssl rand -base64 32` makes one, the same for all instances";

    fn parse(text: &str) -> Option<Self> {
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// Does not repeat the value.
    fn from_text(text: &str) -> Result<Self, String> {
        Self::parse(text.trim()).ok_or_else(|| format!("is not {}", Self::EXPECTED))
    }

    fn show(&self) -> String {
        toml_text("***")
    }
}

impl Setting for QueueUrl {
    const EXPECTED: &'static str = "the URL of a store such as \"sqlite:/data/mailferry.db\" or \"postgres://user@host/database\"";

    fn parse(text: &str) -> Option<Self> {
        Self::from_text(text).ok()
    }

    /// `sqlite:x.db` and `sqlite://x.db` stand in the working directory, `sqlite:/x.db` and `sqlite:///x.db` do not.
    fn from_text(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once(':') else {
            return Err(format!("{} is not {}", quote(text), Self::EXPECTED));
        };
        // The rest of any other URL may hold a password and is not repeated.
        match scheme.to_ascii_lowercase().as_str() {
            "sqlite" => {}
            "postgres" | "postgresql" if cfg!(feature = "postgres") => {
                return text.parse().map(|url| Self::Postgres(Box::new(url)));
            }
            "postgres" | "postgresql" => {
                return Err(
                    "PostgreSQL is not in this build: build it with the feature `postgres`, or \
                            run one instance with \"sqlite:FILE\""
                        .to_owned(),
                );
            }
            other => {
                return Err(format!(
                    "{} is not a store; expected {}",
                    quote(other),
                    Self::EXPECTED
                ));
            }
        }
        let file = rest.strip_prefix("//").unwrap_or(rest);
        if file.contains(":memory:") {
            return Err("a store in memory would lose mail; name a file".to_owned());
        }
        if file.contains(['?', '#']) || file.chars().any(char::is_control) {
            return Err("takes a file name and no options".to_owned());
        }
        if file.is_empty() || file.ends_with('/') {
            return Err(format!("names no file; expected {}", Self::EXPECTED));
        }
        Ok(Self::Sqlite(PathBuf::from(file)))
    }

    fn show(&self) -> String {
        match self {
            Self::Sqlite(file) => toml_text(&format!("sqlite:{}", file.display())),
            Self::Postgres(url) => toml_text(&url.to_string()),
        }
    }
}

/// More than any disk of this decade has room for; it also keeps the number within the range of SQL.
const MESSAGES_MAX: u64 = 1_000_000_000_000;

/// Below, a short pause of the machine would look like an end; above, mail would wait for long.
const TAKEOVER: std::ops::RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(600);

impl QueueUrl {
    /// Reads what somebody has given on the command line.
    pub fn read(text: &str) -> Result<Self, String> {
        Self::from_text(text)
    }
}

impl QueueConfig {
    /// Accounts that clients bring to one instance must open at every other one.
    pub(super) fn check_seal(&self, smtp: &SmtpConfig, mode: Mode, reader: &mut Reader) {
        let shared = matches!(self.url, QueueUrl::Postgres(_)) && mode == Mode::Queue;
        let wanted = shared && smtp.auth == AuthMode::Provider && self.seal_key.is_none();
        if wanted && !reader.has_fault("queue.seal_key") {
            reader.fault(
                "queue.seal_key",
                "must be set where clients bring their accounts (smtp.auth = \"provider\") to a queue in PostgreSQL, the \
                 same for all instances: `openssl rand -base64 32` makes one",
            );
        }
    }

    pub(super) fn read(reader: &mut Reader) -> Self {
        let mut config = Self {
            url: reader.get("queue.url"),
            password: reader.get("queue.password"),
            max_messages: reader.get("queue.max_messages"),
            keep_delivered: reader.get("queue.keep_delivered"),
            keep_bodies: reader.get("queue.keep_bodies"),
            takeover_after: reader.get("queue.takeover_after"),
            seal_key: reader.get("queue.seal_key"),
        };
        if config.max_messages > MESSAGES_MAX {
            reader.fault("queue.max_messages", format!("must not be above {MESSAGES_MAX}"));
        }
        if !TAKEOVER.contains(&config.takeover_after) {
            reader.fault("queue.takeover_after", "must be from 1s to 10m");
        }
        match &mut config.url {
            QueueUrl::Sqlite(_) | QueueUrl::Postgres(_) if config.password.is_empty() => {}
            // A faulty URL is read as the default, and has been named.
            QueueUrl::Sqlite(_) if reader.has_fault("queue.url") => {}
            QueueUrl::Sqlite(_) => {
                reader.warn(
                    "queue.password is for a PostgreSQL queue, and queue.url names a file"
                        .to_owned(),
                );
            }
            QueueUrl::Postgres(url) => url.password = config.password.clone(),
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sqlite_url_names_a_file() {
        for (url, file) in [
            ("sqlite:mailferry.db", "mailferry.db"),
            ("sqlite:/data/x.db", "/data/x.db"),
            ("sqlite:///data/x.db", "/data/x.db"),
            ("sqlite://x.db", "x.db"),
            ("SQLite:x.db", "x.db"),
        ] {
            assert_eq!(QueueUrl::from_text(url), Ok(QueueUrl::Sqlite(file.into())), "{url}");
        }
        for bad in
            ["", "x.db", "sqlite:", "sqlite::memory:", "sqlite:/data/", "sqlite:x.db?mode=rwc"]
        {
            assert!(QueueUrl::from_text(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_password_of_another_store_is_not_repeated() {
        for url in ["postgres://u:hunter2@db/x?sslmod=disable", "mysql://u:hunter2@db/x"] {
            let message = QueueUrl::from_text(url).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
