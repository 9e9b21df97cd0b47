//! `[delivery]`: how messages leave.

use std::num::NonZeroUsize;
use std::time::Duration;

/// How messages are delivered.
#[derive(Clone, Debug)]
pub struct DeliveryConfig {
    /// Queue first, or wait for the provider.
    pub mode: Mode,
    /// Provider names in order of preference; never empty after loading, except in `dev`.
    pub providers: Vec<String>,
    /// The first back-off ceiling.
    pub retry_min: Duration,
    /// The largest back-off ceiling.
    pub retry_max: Duration,
    /// How long a message is tried, from acceptance or from an operator's retry.
    pub give_up_after: Duration,
    /// Most messages in one batch call.
    pub batch_max: NonZeroUsize,
    /// How long a lone message may wait for company.
    pub batch_linger: Duration,
}

/// When the 250 is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// When the message is on stable storage.
    #[default]
    Queue,
    /// When the provider has said yes; nothing is stored.
    Direct,
}
