//! Which database, and how it is used.

use std::sync::Arc;
use std::time::Duration;

use crate::config::DatabaseUrl;

/// What a store is opened with.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// The database, with the password.
    pub url: DatabaseUrl,
    /// At most so many messages may be open at a time.
    pub messages_max: u64,
    /// After this long without a sign of life, the others take over what an instance has claimed.
    pub takeover_after: Duration,
    /// What this instance is called, among all that use the database.
    pub instance: Arc<str>,
}

impl PostgresSettings {
    /// This database, and everything else as it is usual.
    pub fn new(url: DatabaseUrl) -> Self {
        Self {
            url,
            messages_max: 1_000_000,
            takeover_after: Duration::from_secs(30),
            instance: "mailferry".into(),
        }
    }
}
