//! The contract of every store.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::model::{
    Claim, Counts, Details, Entry, Filter, Page, Retried, Retry, Settlement, Start, Usage, WayKey,
};
use super::once::Seen;
use super::shared::Shared;
use super::statistics::Statistics;
use super::suppression::Suppressions;
use crate::clock::Timestamp;
use crate::message::QueueId;

/// How long, and in whose name, a claim holds.
#[derive(Clone, Debug)]
pub struct Lease {
    /// The instance that claims.
    pub owner: Arc<str>,
    /// When others may take the message over.
    pub expires: Timestamp,
}

/// A message of so many octets, or more, is a large one: few of them are handed out at a time.
pub const LARGE: u64 = 1 << 20;

/// How much a claim may bring.
#[derive(Clone, Debug, Default)]
pub struct Portion {
    /// Messages of each of these ways; 0 leaves them where they are.
    pub ways: BTreeMap<WayKey, usize>,
    /// Messages of all other ways together.
    pub others: usize,
    /// About so many octets of messages that are not large. One of them always fits.
    pub bytes: u64,
    /// Messages that are large. Others are passed over, so that what is due behind them does not wait.
    pub large: usize,
}

impl Portion {
    /// So many messages, of whatever way.
    pub fn any(messages: usize, bytes: u64, large: usize) -> Self {
        Self { ways: BTreeMap::new(), others: messages, bytes, large }
    }
}

/// Durable home of accepted messages. Implementations pass `queue::conformance`.
///
/// A store decides nothing: what is due, for how long and what follows comes from its caller. Waiting
/// and trying again is left to the caller as well.
#[async_trait]
pub trait Store: Send + Sync {
    /// The addresses that get no mail.
    fn suppressions(&self) -> &dyn Suppressions;

    /// The counters over time.
    fn statistics(&self) -> &dyn Statistics;

    /// What several instances have in common; `None` where there can be only one.
    fn shared(&self) -> Option<&dyn Shared> {
        None
    }

    /// Keeps a message. Returns only when it would survive a power cut. With [`Entry::once`](super::Entry), what was taken
    /// before under the same key is [`StoreError::Seen`], and nothing is written.
    async fn insert(&self, entry: Entry) -> Result<(), StoreError>;

    /// Hands out entries that are due at `now`, up to `portion`. One whose lease ran out is due again. Behind very many
    /// large ones that are passed over, nothing is found.
    ///
    /// Within a way, mail that somebody may be waiting for goes before bulk mail, which gets a small part all the same;
    /// in each of the two the senders take turns ([`super::Turn`]), and of one sender the longest due comes first. A batch
    /// in doubt is handed out as a whole, its members one after the other in their order, whatever the portion.
    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError>;

    /// Notes that calls are about to be made. All or nothing: [`StoreError::LeaseLost`] names a message whose lease is
    /// not held any more.
    async fn begin(&self, start: Start) -> Result<(), StoreError>;

    /// Records attempts and what follows, of all these messages in one step: a crash leaves all of it or nothing. In their
    /// order, [`StoreError::LeaseLost`] for those whose lease is not held any more, of which nothing is written. With the
    /// delivery the message's account goes.
    async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError>;

    /// [`Store::settle_all`] for one.
    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        let id = settlement.id;
        let mut results = self.settle_all(vec![settlement]).await?;
        results.pop().unwrap_or(Err(StoreError::LeaseLost(id)))
    }

    /// When there is something to claim next by this portion: a queued message that becomes due, or a lease that runs out.
    /// `None` when no such message is open. With very many senders it may be too early.
    async fn next_due(&self, portion: &Portion) -> Result<Option<Timestamp>, StoreError>;

    /// What providers have taken in this hour and those after it, counted from 1970.
    async fn usage(&self, from_hour: i64) -> Result<Vec<Usage>, StoreError>;

    /// One page of messages, newest first.
    async fn list(&self, filter: Filter) -> Result<Page, StoreError>;

    /// One message with its attempts.
    async fn show(&self, id: QueueId) -> Result<Option<Details>, StoreError>;

    /// The raw bytes, while they are kept.
    async fn content(&self, id: QueueId) -> Result<Option<Bytes>, StoreError>;

    /// Makes a queued, failed or cancelled message due now, for everybody who has not got it or for those who are named,
    /// and lets `give_up_after` count from now. The last error stays until the next attempt. Fails with
    /// [`StoreError::ContentGone`] when there is nothing left to send. A message with an account of its own takes no
    /// provider, and one that is in doubt as a member of a batch neither provider nor recipients: its batch is repeated.
    async fn retry(&self, id: QueueId, retry: Retry, now: Timestamp) -> Result<(), StoreError>;

    /// Retries one slice of what has failed, the newest first, from `before` on; without what is in doubt, and without what
    /// [`is_only_suppressed`](super::is_only_suppressed).
    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        now: Timestamp,
    ) -> Result<Retried, StoreError>;

    /// Stops a message that is queued; its recipients that still wait are cancelled. A member of a batch in doubt cannot
    /// be stopped: the batch is repeated as it was.
    async fn cancel(&self, id: QueueId, now: Timestamp) -> Result<(), StoreError>;

    /// How full the queue is. Cheap at any backlog.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Removes one small slice of what is past its time: contents of messages delivered or cancelled more than `keep_bodies`
    /// ago, and with them their accounts, records of messages finished more than `keep_records` ago, what providers took
    /// more than 35 days ago, and the counters and keys of submissions whose time is over. Returns how many were removed;
    /// call again until it is zero.
    async fn sweep(
        &self,
        keep_records: Duration,
        keep_bodies: Duration,
        now: Timestamp,
    ) -> Result<usize, StoreError>;
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// No such message.
    #[error("there is no message {0}")]
    NotFound(QueueId),
    /// The message is in a state in which this cannot be done.
    #[error("message {id} is {state}; {hint}")]
    WrongState { id: QueueId, state: super::State, hint: &'static str },
    /// The record is kept, the content is not any more: it cannot be sent again.
    #[error("the content of message {0} is not kept any more, so it cannot be sent again")]
    ContentGone(QueueId),
    /// Somebody else has claimed the message meanwhile.
    #[error("the lease on message {0} was lost")]
    LeaseLost(QueueId),
    /// The key of the submission was used before.
    #[error("the submission has been taken before")]
    Seen(Seen),
    /// `queue.max_messages` open messages are in the queue.
    #[error("the queue holds {0} messages, its limit (queue.max_messages)")]
    Full(u64),
    /// The disk, the database or the connection to it failed; nothing was written.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
}
