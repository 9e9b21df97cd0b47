//! What the queue knows about a message besides its bytes.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::once::Once;
use super::store::Lease;
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
    /// On the list of addresses that get no mail; see the reason.
    Suppressed,
}

impl RecipientState {
    /// The name that the API and the command line use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Suppressed => "suppressed",
        }
    }
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
    /// How often an operator has had it sent anew to somebody who had got it. The call is then no repeat of an earlier
    /// one, and must not look like one to a provider that recognises repeats.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub again: u32,
}

/// The form of the attribute wants a reference.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

impl RecipientStatus {
    /// A recipient that waits.
    pub fn queued(address: Address) -> Self {
        Self { address, state: RecipientState::Queued, reason: None, again: 0 }
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
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Delivered,
        Self::Throttled,
        Self::Exhausted,
        Self::Temporary,
        Self::Misconfigured,
        Self::Rejected,
        Self::Unknown,
        Self::Bug,
        Self::Unfit,
    ];

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
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
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
    /// How many calls its request carried, this one among them: one, unless they were joined. Not known where no request
    /// was made, and of attempts from before it was recorded.
    #[serde(default)]
    pub together: Option<u32>,
}

/// Names a way that messages go: a route, or an account that its client brought. Messages of one way wait for the same
/// providers, so that a claim can leave those out that would find all of them closed.
///
/// Delivery makes the names. One says which routing configuration it is of: after a change the old names are unknown,
/// and their messages are handed out to be looked at anew.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WayKey(Arc<str>);

impl WayKey {
    /// The way of this name in the routing configuration of this fingerprint.
    pub fn new(name: &str, configuration: u32) -> Self {
        Self(format!("{name}#{configuration:08x}").into())
    }

    /// As the stores keep it.
    pub fn from_text(text: &str) -> Self {
        Self(text.into())
    }

    /// As the stores keep it; empty for a message whose way nobody has looked at yet.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name alone.
    pub fn name(&self) -> &str {
        self.0.split('#').next().unwrap_or_default()
    }
}

/// A message on its way into the queue.
#[derive(Clone, Debug)]
pub struct Entry {
    pub message: Arc<Message>,
    /// By which way it goes.
    pub way: WayKey,
    /// With a lease the message is born claimed, for a caller that delivers it from memory; the number of such a claim
    /// is 1. Without, it is queued and due at once.
    pub lease: Option<Lease>,
    /// Born claimed: by which provider its holder is about to try it, see [`Doubt`].
    pub provider: Option<String>,
    /// With it, a repeat of the same submission is recognised.
    pub once: Option<Once>,
}

impl Entry {
    /// A message that waits, of a way that nobody has looked at.
    pub fn waiting(message: Arc<Message>) -> Self {
        Self { message, way: WayKey::default(), lease: None, provider: None, once: None }
    }

    /// A message that is born claimed.
    pub fn held(message: Arc<Message>, lease: Lease) -> Self {
        Self { lease: Some(lease), ..Self::waiting(message) }
    }
}

/// Names a batch: calls of several messages in one request, which is repeated as a whole while its outcome is unclear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub QueueId);

/// A message's place in a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub batch: BatchId,
    /// From 0, in the order of the request.
    pub number: u32,
    /// How many members the batch has.
    pub of: u32,
}

/// A call whose outcome nobody knows: it may have brought the message. The connection was lost before the answer, or the
/// process ended within the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// Who may have the message.
    pub provider: String,
    /// Since when this is so.
    pub since: Timestamp,
    /// The batch that it was in.
    pub place: Option<Place>,
}

/// What is written down before calls are made, so that their end may be unknown, but not that they began.
#[derive(Clone, Debug)]
pub struct Start {
    /// Claimed messages and the numbers of their leases; in a batch in the order of the request.
    pub claims: Vec<(QueueId, i64)>,
    /// The configured provider that they are tried by.
    pub provider: String,
    /// The batch that they make.
    pub batch: Option<BatchId>,
    pub at: Timestamp,
}

/// Mail that a provider has taken, as it counts for quotas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The configured provider's name.
    pub provider: String,
    /// The hour, counted from 1970.
    pub hour: i64,
    /// Recipients served.
    pub recipients: u64,
}

/// What an operator wants of a retry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retry {
    /// The only provider to use.
    pub provider: Option<String>,
    /// Who shall get the message, instead of everybody who has not got it; also addresses that it was not for. Then a
    /// delivered message can be sent again as well. Who is not named and has not got it is cancelled.
    pub recipients: Vec<Address>,
}

/// What one slice of a retry of everything that failed has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Messages that wait again.
    pub retried: u64,
    /// Left alone because they may have arrived: an operator has to name them.
    pub in_doubt: u64,
    /// Left alone because their content is not kept any more.
    pub without_content: u64,
    /// Where the next slice begins, when there is one.
    pub next: Option<QueueId>,
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
    /// An earlier call whose outcome is unknown. The other members of its batch, if it was one, are in the same answer.
    pub doubt: Option<Doubt>,
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
            doubt: None,
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
    /// It is not known whether the last call has brought the message: what [`Start`] says of it stays. Otherwise it goes
    /// with everything but [`Next::Continue`].
    pub unclear: bool,
    /// It ends, although this provider may have it: from now on the record says so of it alone, and of no batch.
    pub suspect: Option<String>,
    /// The way that a message goes that returns to the queue; `None`: as before.
    pub way: Option<WayKey>,
    /// What counts for quotas.
    pub usage: Vec<Usage>,
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
    /// The route that it takes or took; empty where nobody has looked at it yet.
    pub way: WayKey,
    /// Nobody knows whether its last call has brought it.
    pub in_doubt: bool,
    /// While it is in doubt: the provider that may have it.
    pub maybe_at: Option<String>,
}

/// A message with its attempts, oldest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Details {
    pub summary: Summary,
    pub attempts: Vec<Attempt>,
    /// What the client asked for about delivery status notifications; `None`: nothing.
    pub dsn: Option<Box<Dsn>>,
    /// The client announced SMTPUTF8.
    pub smtp_utf8: bool,
    /// Header fields that give a provider orders are obeyed.
    pub may_steer: bool,
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
    /// The cursor for the next page, when there is one. Then this one may be short, even empty: a search for what is rare
    /// looks at so many messages only, and goes on from there.
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
