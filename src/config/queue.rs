//! `[queue]`: where messages wait, and how long their traces stay.

use std::path::PathBuf;
use std::time::Duration;

use super::reader::Reader;
use super::value::{Setting, quote, toml_text};

/// The store and its limits.
#[derive(Clone, Debug)]
pub struct QueueConfig {
    /// Which store.
    pub url: QueueUrl,
    /// How many open messages it may hold.
    pub max_messages: u64,
    /// How long a finished message's record stays.
    pub keep_delivered: Duration,
    /// How long a delivered message's content stays.
    pub keep_bodies: Duration,
}

/// The store that `queue.url` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueueUrl {
    /// `sqlite:FILE`.
    Sqlite(PathBuf),
}

impl Setting for QueueUrl {
    const EXPECTED: &'static str = "the URL of a store such as \"sqlite:/data/mailferry.db\"";

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
            "postgres" | "postgresql" => {
                return Err("PostgreSQL is not in this version yet; \
                            instead: one instance with \"sqlite:FILE\""
                    .to_owned());
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
        }
    }
}

/// More than any disk of this decade has room for; it also keeps the number within the range of SQL.
const MESSAGES_MAX: u64 = 1_000_000_000_000;

impl QueueConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let config = Self {
            url: reader.get("queue.url"),
            max_messages: reader.get("queue.max_messages"),
            keep_delivered: reader.get("queue.keep_delivered"),
            keep_bodies: reader.get("queue.keep_bodies"),
        };
        if config.max_messages > MESSAGES_MAX {
            reader.fault("queue.max_messages", format!("must not be above {MESSAGES_MAX}"));
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
        for url in ["postgres://u:hunter2@db/x", "mysql://u:hunter2@db/x"] {
            let message = QueueUrl::from_text(url).unwrap_err();
            assert!(!message.contains("hunter2"), "{message}");
        }
    }
}
