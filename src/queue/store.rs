//! The contract of every store.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::model::{Claim, Counts, Details, Filter, Page, Settlement};
use crate::clock::Timestamp;
use crate::message::{Message, QueueId};

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
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    /// Messages in all.
    pub messages: usize,
    /// About so many octets of messages that are not large. One of them always fits.
    pub bytes: u64,
    /// Messages that are large. Others are passed over, so that what is due behind them does not wait.
    pub large: usize,
}

/// Durable home of accepted messages. Implementations pass `queue::conformance`.
///
/// A store decides nothing: what is due, for how long and what follows comes from its caller. Waiting
/// and trying again is left to the caller as well.
#[async_trait]
pub trait Store: Send + Sync {
    /// Keeps a message. Returns only when it would survive a power cut.
    ///
    /// With a lease the message is born claimed, for a caller that delivers it from memory; the lease number
    /// of such a claim is 1. Without, it is queued and due at once.
    async fn insert(&self, message: Arc<Message>, lease: Option<Lease>) -> Result<(), StoreError>;

    /// Hands out entries that are due at `now`, the longest due first, up to `portion`. One whose lease ran out is due
    /// again. Behind very many large ones that are passed over, nothing is found.
    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError>;

    /// Records attempts and what follows. Fails with [`StoreError::LeaseLost`] and writes nothing when the lease
    /// is not held any more. With the delivery the message's account goes.
    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError>;

    /// When there is something to claim next: a queued message that becomes due, or a lease that runs out.
    /// `None` when no message is open.
    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError>;

    /// One page of messages, newest first.
    async fn list(&self, filter: Filter) -> Result<Page, StoreError>;

    /// One message with its attempts.
    async fn show(&self, id: QueueId) -> Result<Option<Details>, StoreError>;

    /// The raw bytes, while they are kept.
    async fn content(&self, id: QueueId) -> Result<Option<Bytes>, StoreError>;

    /// Makes a queued, failed or cancelled message due now, for everybody who has not got it, and lets
    /// `give_up_after` count from now. With a provider, only that one is used. The last error stays until the next
    /// attempt. Fails with [`StoreError::ContentGone`] when there is nothing left to send. A message with an account of its
    /// own takes no provider.
    async fn retry(
        &self,
        id: QueueId,
        provider: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Stops a message that is queued; its recipients that still wait are cancelled.
    async fn cancel(&self, id: QueueId, now: Timestamp) -> Result<(), StoreError>;

    /// How full the queue is. Cheap at any backlog.
    async fn counts(&self) -> Result<Counts, StoreError>;

    /// Removes one small slice of what is past its time: contents of messages delivered or cancelled more than `keep_bodies`
    /// ago, and with them their accounts, records of messages finished more than `keep_records` ago. Returns how many were removed; call again
    /// until it is zero.
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
    /// `queue.max_messages` open messages are in the queue.
    #[error("the queue holds {0} messages, its limit (queue.max_messages)")]
    Full(u64),
    /// The disk, the database or the connection to it failed; nothing was written.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
}
