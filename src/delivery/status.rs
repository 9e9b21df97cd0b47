//! What delivery tells others about itself.

use crate::clock::Timestamp;
use crate::message::QueueId;

/// The state of a provider as `/health` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderState {
    /// Takes mail, as far as we know.
    Up,
    /// Asked for a rest.
    Throttled,
    /// A quota is used up.
    Exhausted,
    /// Key, domain or account must be mended.
    Misconfigured,
    /// Does not answer, or only with errors that pass.
    Down,
}

impl ProviderState {
    /// The name in `/health`, log and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Throttled => "throttled",
            Self::Exhausted => "exhausted",
            Self::Misconfigured => "misconfigured",
            Self::Down => "down",
        }
    }
}

/// How a provider does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderStatus {
    pub name: String,
    pub state: ProviderState,
    pub last_success: Option<Timestamp>,
    /// The newest error in the provider's words, and when it came.
    pub last_error: Option<(Timestamp, String)>,
}

/// A message that a provider took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    pub id: QueueId,
    pub provider: String,
    pub provider_message_id: Option<String>,
}

/// A message that no provider took.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}")]
pub struct NotSent {
    /// Its record in the queue, when one was made.
    pub id: Option<QueueId>,
    /// The last provider that was asked.
    pub provider: Option<String>,
    /// What it said, or what stood in the way.
    pub error: String,
    /// What kind of hindrance.
    pub cause: Cause,
}

/// Why a message was not sent at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// No provider of that name, or none at all.
    NoProvider,
    /// The store could not keep the record; nothing was sent.
    Store,
    /// A provider refused the message for good.
    Rejected,
    /// Everybody is on the list of addresses that get no mail; nobody was asked.
    Suppressed,
    /// No provider can take it now.
    Unavailable,
}
