//! What a provider's answer means for the message and for the provider.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;

/// The provider has the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the provider calls the message; unknown where a repeat was refused because the first try had arrived.
    pub provider_message_id: Option<String>,
}

/// What a failed attempt means: the classes of SPEC 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Too fast. The provider rests for as long as it asked.
    Throttled { retry_after: Option<Duration> },
    /// A quota or the credits are used up, until the time if it is known.
    Exhausted { until: Option<Timestamp> },
    /// Passes by itself.
    Temporary { retry_after: Option<Duration> },
    /// The account must be mended; no message is at fault.
    Misconfigured,
    /// This message will never be taken.
    Rejected,
    /// A refusal that no table knows.
    Unknown,
    /// We asked wrongly.
    Bug,
}

/// An attempt that did not end with a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SendError {
    /// What it means.
    pub verdict: Verdict,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// The provider's own words, shortened; or what happened to the connection. Never a secret.
    pub reason: String,
    /// The request may have arrived: the connection was lost after the body had been sent, or timed out.
    pub unclear: bool,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}
