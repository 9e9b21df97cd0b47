//! The two doors for submitted messages: queue first, or wait for the provider.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use aws_lc_rs::digest;

use super::brought::Way;
use super::engine::{Engine, StoreHandle};
use super::job::Job;
use super::status::{Cause, NotSent};
use crate::clock::Timestamp;
use crate::message::{IndexFields, Message, QueueId, Submission};
use crate::queue::{Claim, Entry, Intake, Once, Refusal, Store, StoreError};

/// The number of the claim that a message is born with (`Store::insert`).
const BIRTH_LEASE: i64 = 1;

/// `delivery.mode = "queue"`: the message is safe in the queue before the 250.
pub(super) struct QueueFirst(pub(super) Arc<Engine>);

#[async_trait]
impl Intake for QueueFirst {
    async fn accept(&self, submission: Submission) -> Result<QueueId, Refusal> {
        self.0.take_in(submission, None).await.map_err(|error| {
            tracing::error!(error = %error, "a message was not accepted");
            Refusal::NoRoom(match error {
                StoreError::Full(_) => "the queue is full; try again later".to_owned(),
                _ => "the message could not be stored; try again later".to_owned(),
            })
        })
    }
}

impl Engine {
    /// Keeps what is submitted, and begins to deliver it.
    pub(super) async fn take_in(
        self: &Arc<Self>,
        submission: Submission,
        once: Option<Once>,
    ) -> Result<QueueId, StoreError> {
        let Some(StoreHandle(store)) = &self.store else {
            return Err(StoreError::Unavailable("there is no queue".to_owned()));
        };
        let now = self.now();
        let admitted = self.admit(QueueId::new(now), submission, now);
        let (message, way) = admitted.map_err(StoreError::Unavailable)?;
        self.enqueue(store, Arc::new(message), way, once).await
    }

    /// The message that a submission becomes, and by which way it goes. An account that its client brought is kept sealed,
    /// where something is kept at all.
    pub(super) fn admit(
        &self,
        id: QueueId,
        submission: Submission,
        now: Timestamp,
    ) -> Result<(Message, Way), String> {
        let Submission { envelope, raw, user, peer: _, account, may_steer } = submission;
        let way = self.fresh_way(account)?;
        let account = match (&way, &self.policy().accounts, &self.store) {
            (Way::Account(brought), Some(accounts), Some(_)) => {
                let sealed = accounts.seal.seal(id, &brought.account);
                Some(sealed.map_err(|error| error.to_string())?)
            }
            (Way::Route | Way::Account(_) | Way::Locked(_), _, _) => None,
        };
        let index = IndexFields::read(&raw);
        Ok((Message { id, received_at: now, index, envelope, raw, user, account, may_steer }, way))
    }

    /// Keeps a message and, while there is room, delivers it from memory without reading it back.
    async fn enqueue(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        message: Arc<Message>,
        way: Way,
        once: Option<Once>,
    ) -> Result<QueueId, StoreError> {
        let id = message.id;
        let fresh = self.board().fresh(&message, &way, self.now());
        let closing = self.closing.load(Ordering::Relaxed);
        let open = fresh.takes && !closing && self.is_present();
        let room = if open { self.memory.try_take(message.raw.len()) } else { None };
        let lease = room.is_some().then(|| self.lease());
        let held = lease.clone();
        // What is noted is repeated without a look at the list of addresses that get no mail: then there must have been a
        // call.
        let may_note = lease.is_some() && self.list().is_none();
        let provider = fresh.ahead.filter(|_| may_note);
        let entry = Entry {
            message: Arc::clone(&message),
            way: fresh.way,
            lease,
            provider: provider.clone(),
            once,
        };
        store.insert(entry).await?;
        self.log().accepted(&message);
        match held {
            Some(lease) => {
                let claim = Claim::fresh(message, BIRTH_LEASE);
                let mut job = Job::new(claim, lease, way, room).in_parts(fresh.parts);
                job.begun = provider;
                self.dispatch(job);
            }
            None => {
                self.backlog.store(true, Ordering::Relaxed);
                if open {
                    self.pump.notify_one();
                }
            }
        }
        Ok(id)
    }
}

/// `delivery.mode = "direct"`: nothing is stored, the client hears what the provider says.
pub(super) struct Direct(pub(super) Arc<Engine>);

#[async_trait]
impl Intake for Direct {
    async fn accept(&self, submission: Submission) -> Result<QueueId, Refusal> {
        let now = self.0.now();
        let admitted = self.0.admit(QueueId::new(now), submission, now);
        let (mut message, way) = admitted.map_err(Refusal::TryAgain)?;
        if !message.index.message_id.is_empty() {
            message.id = repeatable_id(&message);
        }
        let id = message.id;
        match self.0.at_once(Arc::new(message), way, None).await {
            Ok(_) => {
                self.0.observers.tally.received();
                Ok(id)
            }
            // Taken, and not sent: the log says so.
            Err(NotSent { cause: Cause::Suppressed, .. }) => {
                self.0.observers.tally.received();
                Ok(id)
            }
            Err(NotSent { cause: Cause::Rejected, error, .. }) => Err(Refusal::Rejected(error)),
            Err(NotSent { error, .. }) => Err(Refusal::TryAgain(error)),
        }
    }
}

/// An id made from the message itself: when the client repeats the submission after a 451, the idempotency key is the
/// same again. Only for messages with a Message-ID, which says that equal bytes are one message.
fn repeatable_id(message: &Message) -> QueueId {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(message.envelope.sender_text().as_bytes());
    for recipient in &message.envelope.recipients {
        hash.update(b"\0");
        hash.update(recipient.as_str().as_bytes());
    }
    hash.update(b"\0");
    hash.update(&message.raw);
    let hash = hash.finish();
    let mut bytes = [0; 16];
    for (byte, hashed) in bytes.iter_mut().zip(hash.as_ref()) {
        *byte = *hashed;
    }
    QueueId::from_bytes(bytes)
}
