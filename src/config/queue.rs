//! `[queue]`: where messages wait, and how long their traces stay.

use std::path::PathBuf;
use std::time::Duration;

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
