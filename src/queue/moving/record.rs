//! What is moved: the rows as the stores keep them. Texts and JSON are carried as they are, so that nothing is lost that
//! this version cannot read. Times are milliseconds since 1970.

use bytes::Bytes;

use super::knowledge::Sketch;
use crate::message::QueueId;
use crate::queue::State;

/// A message with all that is kept of it. What a field means is said in the schema (`sqlite/migrations`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub id: QueueId,
    pub state: State,
    pub due_at: i64,
    pub lease: i64,
    pub deferrals: u32,
    pub received_at: i64,
    pub trying_since: i64,
    pub finished_at: Option<i64>,
    pub sender: Option<String>,
    pub recipients: String,
    pub smtp_utf8: bool,
    pub header_from: String,
    pub subject: String,
    pub message_id: String,
    pub size: i64,
    pub user: Option<String>,
    pub provider: Option<String>,
    pub provider_message_id: Option<String>,
    pub error: Option<String>,
    pub pinned_provider: Option<String>,
    pub dsn: Option<String>,
    pub account: Option<Vec<u8>>,
    pub may_steer: bool,
    pub way: String,
    pub bulk: bool,
    pub share: u16,
    pub begun_by: Option<String>,
    pub begun_at: Option<i64>,
    pub batch: Option<[u8; 16]>,
    pub place: Option<u32>,
    pub batch_of: Option<u32>,
    /// `None`: it is not kept any more.
    pub content: Option<Bytes>,
    /// The oldest first.
    pub attempts: Vec<Call>,
}

/// An attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    pub at: i64,
    pub provider: String,
    pub outcome: String,
    pub error: Option<String>,
    pub provider_message_id: Option<String>,
    pub latency_ms: i64,
    pub recipients: Option<String>,
    pub losses: Option<String>,
    pub together: Option<u32>,
}

impl Record {
    /// As much of it as tells which of two is the younger.
    pub fn sketch(&self) -> Sketch {
        Sketch {
            id: self.id,
            state: self.state,
            due_at: self.due_at,
            lease: self.lease,
            attempts: self.attempts.len() as u64,
            deferrals: self.deferrals,
            trying_since: self.trying_since,
            finished_at: self.finished_at,
            begun_at: self.begun_by.as_ref().and(self.begun_at),
            octets: self.content.as_ref().map_or(0, Bytes::len) as u64,
            has_account: self.account.is_some(),
        }
    }
}

/// What is kept beside the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsideKind {
    Suppressions,
    Usage,
    Counters,
    Submissions,
}

impl AsideKind {
    /// All of it.
    pub const ALL: [Self; 4] = [Self::Suppressions, Self::Usage, Self::Counters, Self::Submissions];
}

/// One row of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aside {
    /// An address that gets no mail. Of two of one mailbox the later one stays.
    Suppression {
        mailbox: String,
        address: String,
        reason: String,
        note: Option<String>,
        since: i64,
    },
    /// What counts for quotas. The larger one stays: to add them up would count twice when a move is repeated.
    Usage { hour: i64, provider: String, recipients: i64 },
    /// Counters of one step. Those of more messages stay, for the same reason.
    Counter {
        grain: i64,
        at: i64,
        provider: String,
        received: i64,
        delivered: i64,
        failed: i64,
        cancelled: i64,
        attempts: String,
        latency: String,
    },
    /// A submission that is taken once. The later one stays.
    Submission { key: [u8; 32], request: [u8; 32], message: [u8; 16], at: i64 },
}

impl Aside {
    /// Which kind it is of.
    pub fn kind(&self) -> AsideKind {
        match self {
            Self::Suppression { .. } => AsideKind::Suppressions,
            Self::Usage { .. } => AsideKind::Usage,
            Self::Counter { .. } => AsideKind::Counters,
            Self::Submission { .. } => AsideKind::Submissions,
        }
    }
}
