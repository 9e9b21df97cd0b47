//! What the queue knows about a message besides its bytes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::message::{Address, Dsn, IndexFields, Loss, Message, QueueId};

/// Where a message stands (SPEC 6). The numbers are what the stores keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits until it is due.
    Queued = 0,
    /// Claimed by an instance, under a lease.
    Sending = 1,
    /// Every recipient's provider said yes.
    Delivered = 2,
    /// Given up or refused for at least one recipient; the reason is kept.
    Failed = 3,
    /// Stopped by an operator.
    Cancelled = 4,
}

impl State {
    /// All states, in the order of their numbers.
    pub const ALL: [Self; 5] =
        [Self::Queued, Self::Sending, Self::Delivered, Self::Failed, Self::Cancelled];

    /// The name that the API and the command line use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Sending => "sending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// True while the message still has a way to go.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Queued | Self::Sending)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for State {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.name() == text).ok_or_else(|| {
            format!("{text:?} is not a state: queued, sending, delivered, failed or cancelled")
        })
    }
}

/// Where one recipient of a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RecipientState {
    /// Not settled yet.
    Queued,
    /// The provider took the message for this recipient.
    Delivered,
    /// Refused or given up, see the reason.
    Failed,
    /// Stopped by an operator.
    Cancelled,
}

/// One recipient and what became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientStatus {
    /// The envelope address.
    pub address: Address,
    /// Where it stands.
    pub state: RecipientState,
    /// Why, where there is something to say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl RecipientStatus {
    /// A recipient that waits.
    pub fn queued(address: Address) -> Self {
        Self { address, state: RecipientState::Queued, reason: None }
    }
}

/// How a call ended: the classes of SPEC 5 under the names that log, metrics and API use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The provider has it.
    Delivered,
    /// The provider asked to slow down.
    Throttled,
    /// A quota or the credits are used up.
    Exhausted,
    /// A fault that passes: 5xx, time-out, connection lost.
    Temporary,
    /// The account must be mended: key, domain, sandbox, suspension.
    Misconfigured,
    /// The provider refused this message for good.
    Rejected,
    /// A refusal that no table knows.
    Unknown,
    /// The request was malformed by us.
    Bug,
    /// This provider cannot carry the message as it is.
    Unfit,
}

impl Outcome {
    /// The name used in the store, the log and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Delivered => "delivered",
            Self::Throttled => "throttled",
            Self::Exhausted => "exhausted",
            Self::Temporary => "temporary",
            Self::Misconfigured => "misconfigured",
            Self::Rejected => "rejected",
            Self::Unknown => "unknown",
            Self::Bug => "bug",
            Self::Unfit => "unfit",
        }
    }

    /// The outcome of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        [
            Self::Delivered,
            Self::Throttled,
            Self::Exhausted,
            Self::Temporary,
            Self::Misconfigured,
            Self::Rejected,
            Self::Unknown,
            Self::Bug,
            Self::Unfit,
        ]
        .into_iter()
        .find(|outcome| outcome.name() == name)
    }
}

/// One call to a provider, as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When the call began.
    pub at: Timestamp,
    /// The configured provider's name.
    pub provider: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The provider's own words, or ours, when it did not end well.
    pub error: Option<String>,
    /// What the provider calls the message.
    pub provider_message_id: Option<String>,
    /// From the first byte of the request to the last of the answer, milliseconds.
    pub latency_ms: u64,
    /// The recipients of this call; empty means all of the envelope.
    #[serde(default)]
    pub recipients: Vec<Address>,
    /// What this provider could not carry.
    #[serde(default)]
    pub losses: Vec<Loss>,
}

/// A message handed out for delivery. Only the holder of its lease may settle it.
#[derive(Clone, Debug)]
pub struct Claim {
    /// The message itself.
    pub message: Arc<Message>,
    /// Names this claim; a later claim of the same message has another number.
    pub lease: i64,
    /// Each recipient's state so far, in the order of the envelope. Shorter than the envelope never.
    pub recipients: Vec<RecipientStatus>,
    /// How often delivery was deferred so far; the exponent of the back-off.
    pub deferrals: u32,
    /// From when `give_up_after` counts: acceptance, or the operator's last retry.
    pub trying_since: Timestamp,
    /// The only provider to use, when an operator's retry named one.
    pub pinned_provider: Option<String>,
    /// Earlier attempts as (provider, outcome), oldest first; empty for a fresh message.
    pub history: Vec<(String, Outcome)>,
}

impl Claim {
    /// The claim of a message that was just accepted.
    pub fn fresh(message: Arc<Message>, lease: i64) -> Self {
        let recipients =
            message.envelope.recipients.iter().cloned().map(RecipientStatus::queued).collect();
        let trying_since = message.received_at;
        Self {
            message,
            lease,
            recipients,
            deferrals: 0,
            trying_since,
            pinned_provider: None,
            history: Vec::new(),
        }
    }
}

/// What comes after an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// More calls follow under the same lease: record what has happened so far.
    Continue,
    /// Back to the queue; `deferred` counts it as one more step of the back-off.
    Queue { due: Timestamp, error: Option<String>, deferred: bool },
    /// Done, all recipients delivered.
    Delivered,
    /// Over, with the reason.
    Failed { error: String },
}

/// How a claim ended, to be written in one step.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// The message.
    pub id: QueueId,
    /// The lease it was claimed under.
    pub lease: i64,
    /// The calls made since the last settlement.
    pub attempts: Vec<Attempt>,
    /// All recipients as they stand now.
    pub recipients: Vec<RecipientStatus>,
    /// What follows.
    pub next: Next,
    /// When this was decided.
    pub at: Timestamp,
}

/// A message as lists show it (SPEC 7), without attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub id: QueueId,
    pub state: State,
    pub received_at: Timestamp,
    /// Envelope sender; `None` is `<>`.
    pub sender: Option<Address>,
    pub recipients: Vec<RecipientStatus>,
    pub index: IndexFields,
    /// Octets of the raw message.
    pub size: u64,
    pub user: Option<String>,
    /// The provider of the last attempt.
    pub provider: Option<String>,
    pub provider_message_id: Option<String>,
    /// When the next attempt is due, while queued.
    pub next_attempt_at: Option<Timestamp>,
    /// The last error.
    pub error: Option<String>,
}

/// A message with its attempts, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    pub summary: Summary,
    pub attempts: Vec<Attempt>,
    /// What the client asked for about delivery status notifications; `None`: nothing.
    pub dsn: Option<Box<Dsn>>,
}

/// Which messages to list. Newest first.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    pub state: Option<State>,
    pub provider: Option<String>,
    /// The whole name of a message, with or without angle brackets: its Message-ID, or what a provider called it in any
    /// attempt.
    pub name: Option<String>,
    /// Where it is the name of a message, that one is found and no other. Else it is found in sender, recipients,
    /// From, subject, Message-ID or provider id, whatever the case of ASCII letters.
    pub text: Option<String>,
    /// Only messages older than this one: the cursor.
    pub before: Option<QueueId>,
    /// How many at the most; never more than 500, and 0 means that.
    pub limit: usize,
}

/// One page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    pub messages: Vec<Summary>,
    /// The cursor for the next page, when there is one.
    pub next: Option<QueueId>,
}

/// How full the queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub queued: u64,
    pub sending: u64,
    pub failed: u64,
    /// When the oldest message that is still queued or sending was received.
    pub oldest: Option<Timestamp>,
}
