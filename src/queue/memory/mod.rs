//! The store that forgets: the same behaviour as its durable sibling, for as long as the process lives.

mod aside;
mod ground;
mod instance;
#[cfg(test)]
mod moving;
mod paces;
mod queue;
mod record;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::aside::{Counters, List};
use self::ground::Ground;
pub use self::instance::MemoryInstance;
#[cfg(test)]
pub(super) use self::moving::MemoryMover;
use self::paces::Paces;
use self::queue::Queue;
use self::record::Record;
use super::rules::{self, SWEEP_MAX};
use super::{
    Claim, Counts, Details, Doubt, Entry, Filter, Lease, Page, Place, Portion, Retried, Retry,
    Settlement, Start, State, Statistics, Store, StoreError, Summary, Suppressions, Usage,
};
use crate::clock::Timestamp;
use crate::message::QueueId;

/// A queue in memory, for tests and for uses without a disk.
#[derive(Debug, Default)]
pub struct MemoryStore {
    queue: Mutex<Queue>,
    messages_max: u64,
    list: List,
    counters: Counters,
    /// What instances have in common, where there are several on this store.
    ground: Ground,
    paces: Paces,
}

impl MemoryStore {
    /// An empty queue for at most `messages_max` open messages.
    pub fn new(messages_max: u64) -> Self {
        Self {
            queue: Mutex::default(),
            messages_max,
            list: List::default(),
            counters: Counters::default(),
            ground: Ground::default(),
            paces: Paces::default(),
        }
    }

    /// What a durable store finds when it is opened again: whoever had claimed something is no more.
    #[cfg(test)]
    pub(crate) fn restart(&self) {
        let mut queue = self.queue();
        let held =
            |(id, record): (&QueueId, &Record)| (record.state == State::Sending).then_some(*id);
        let held: Vec<QueueId> = queue.records.iter().filter_map(held).collect();
        for id in held {
            queue.change(id, |record| {
                record.state = State::Queued;
                record.due = record.message.received_at;
            });
        }
    }

    /// Makes due what the claims of these instances hold. True when there was something.
    fn release(&self, is_gone: impl Fn(&str) -> bool) -> bool {
        let mut queue = self.queue();
        let held = |(id, record): (&QueueId, &Record)| {
            let gone = record.owner.as_deref().is_some_and(&is_gone);
            (record.state == State::Sending && gone).then_some(*id)
        };
        let held: Vec<QueueId> = queue.records.iter().filter_map(held).collect();
        for id in &held {
            queue.change(*id, |record| record.due = Timestamp::MIN);
        }
        !held.is_empty()
    }

    /// What is kept of a message's account.
    #[cfg(test)]
    pub(super) fn account(&self, id: QueueId) -> Option<crate::message::SealedAccount> {
        self.queue().records.get(&id).and_then(|record| record.message.account.clone())
    }

    /// A panic elsewhere leaves the queue as it was: every change checks first and then goes through.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn suppressions(&self) -> &dyn Suppressions {
        &self.list
    }

    fn statistics(&self) -> &dyn Statistics {
        &self.counters
    }

    async fn insert(&self, entry: Entry) -> Result<(), StoreError> {
        let mut queue = self.queue();
        if let Some(seen) = entry.once.as_ref().and_then(|once| queue.seen(once)) {
            return Err(StoreError::Seen(seen));
        }
        if queue.open.len() as u64 >= self.messages_max {
            return Err(StoreError::Full(self.messages_max));
        }
        let id = entry.message.id;
        if queue.records.contains_key(&id) {
            return Err(StoreError::Unavailable(format!("there is a message {id} already")));
        }
        if let Some(once) = &entry.once {
            queue.once.insert(once.key, (once.clone(), id));
        }
        queue.add(Record::new(entry));
        Ok(())
    }

    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError> {
        let mut queue = self.queue();
        let chosen = queue.choose(&portion, now);
        let claim = |id| queue.change(id, |record| record.claim(&lease));
        Ok(chosen.into_iter().filter_map(claim).collect())
    }

    async fn begin(&self, start: Start) -> Result<(), StoreError> {
        let mut queue = self.queue();
        if let Some((id, _)) = start.claims.iter().find(|(id, lease)| !queue.is_held(*id, *lease)) {
            return Err(StoreError::LeaseLost(*id));
        }
        let of = u32::try_from(start.claims.len()).unwrap_or(u32::MAX);
        for ((id, _), number) in start.claims.iter().zip(0..) {
            let place = start.batch.map(|batch| Place { batch, number, of });
            let provider = start.provider.clone();
            let doubt = Doubt { provider, since: start.at, place };
            queue.change(*id, |record| record.begun = Some(doubt));
        }
        Ok(())
    }

    async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let mut queue = self.queue();
        let settle = |settlement: Settlement| {
            let id = settlement.id;
            if !queue.is_held(id, settlement.lease) {
                return Err(StoreError::LeaseLost(id));
            }
            queue.change(id, |record| record.settle(&settlement));
            for Usage { provider, hour, recipients } in settlement.usage {
                *queue.usage.entry((hour, provider)).or_default() += recipients;
            }
            Ok(())
        };
        Ok(settlements.into_iter().map(settle).collect())
    }

    async fn next_due(&self, portion: &Portion) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.queue().next_due(portion))
    }

    async fn usage(&self, from_hour: i64) -> Result<Vec<Usage>, StoreError> {
        let queue = self.queue();
        let since = queue.usage.range((from_hour, String::new())..);
        let usage = since.map(|((hour, provider), recipients)| Usage {
            provider: provider.clone(),
            hour: *hour,
            recipients: *recipients,
        });
        Ok(usage.collect())
    }

    async fn list(&self, filter: Filter) -> Result<Page, StoreError> {
        let length = rules::page_length(filter.limit);
        let queue = self.queue();
        let wanted = queue.named(&filter);
        let mut messages: Vec<Summary> = queue
            .records
            .iter()
            .rev()
            .filter(|(id, _)| filter.before.is_none_or(|before| **id < before))
            .filter(|(id, record)| {
                record.matches(&filter)
                    && match &wanted {
                        Some(named) => named.contains(id),
                        None => record.has_text(&filter),
                    }
            })
            .map(|(_, record)| record.summary())
            .take(length + 1)
            .collect();
        let more = messages.len() > length;
        messages.truncate(length);
        let next = messages.last().filter(|_| more).map(|last| last.id);
        Ok(Page { messages, next })
    }

    async fn show(&self, id: QueueId) -> Result<Option<Details>, StoreError> {
        let queue = self.queue();
        Ok(queue.records.get(&id).map(|record| Details {
            summary: record.summary(),
            attempts: record.attempts.clone(),
            dsn: record.message.envelope.dsn.clone(),
            smtp_utf8: record.message.envelope.smtp_utf8,
            may_steer: record.message.may_steer,
        }))
    }

    async fn content(&self, id: QueueId) -> Result<Option<Bytes>, StoreError> {
        let queue = self.queue();
        let record = queue.records.get(&id).filter(|record| record.has_content);
        Ok(record.map(|record| record.message.raw.clone()))
    }

    async fn retry(&self, id: QueueId, retry: Retry, now: Timestamp) -> Result<(), StoreError> {
        let mut queue = self.queue();
        let record = queue.record(id)?;
        let has_account = record.message.account.is_some();
        rules::may_retry(id, record.state, &retry)?;
        rules::may_name(id, record.state, retry.provider.as_deref(), has_account)?;
        rules::may_leave_batch(id, record.state, record.batch().is_some(), &retry)?;
        if !record.has_content {
            return Err(StoreError::ContentGone(id));
        }
        queue.change(id, |record| record.retry(retry, now));
        Ok(())
    }

    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        now: Timestamp,
    ) -> Result<Retried, StoreError> {
        let mut queue = self.queue();
        let failed = queue.records.iter().rev().filter(|(id, record)| {
            record.state == State::Failed && before.is_none_or(|before| **id < before)
        });
        let slice: Vec<QueueId> = failed.map(|(id, _)| *id).take(SWEEP_MAX).collect();
        let mut retried = Retried::default();
        for id in &slice {
            let record = queue.record(*id)?;
            if record.begun.is_some() {
                retried.in_doubt += 1;
            } else if rules::is_only_suppressed(&record.recipients) {
                // It would end as it has.
            } else if !record.has_content {
                retried.without_content += 1;
            } else {
                queue.change(*id, |record| record.retry(Retry::default(), now));
                retried.retried += 1;
            }
        }
        retried.next = slice.last().copied().filter(|_| slice.len() == SWEEP_MAX);
        Ok(retried)
    }

    async fn cancel(&self, id: QueueId, now: Timestamp) -> Result<(), StoreError> {
        let mut queue = self.queue();
        let record = queue.record(id)?;
        rules::may_cancel(id, record.state, record.batch().is_some())?;
        queue.change(id, |record| {
            rules::stop(&mut record.recipients);
            record.state = State::Cancelled;
            record.finished = Some(now);
        });
        Ok(())
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        let queue = self.queue();
        let oldest = queue.open.first().and_then(|id| queue.records.get(id));
        Ok(Counts {
            queued: queue.count(State::Queued),
            sending: queue.count(State::Sending),
            failed: queue.count(State::Failed),
            oldest: oldest.map(|record| record.message.received_at),
        })
    }

    async fn sweep(
        &self,
        keep_records: Duration,
        keep_bodies: Duration,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let before = |age| now.checked_sub(age).unwrap_or(Timestamp::MIN);
        let mut queue = self.queue();
        let records = queue.past(SWEEP_MAX, before(keep_records), |_| true);
        let room = SWEEP_MAX - records.len();
        let bodies = queue.past(room, before(keep_bodies), |record| {
            record.has_content && matches!(record.state, State::Delivered | State::Cancelled)
        });
        for id in &bodies {
            queue.change(*id, Record::forget_content);
        }
        for id in &records {
            queue.records.remove(id);
        }
        let kept = queue.usage.split_off(&(rules::usage_from(now), String::new()));
        let usage = std::mem::replace(&mut queue.usage, kept);
        let keys = queue.once.len();
        queue.once.retain(|_, (once, _)| once.is_remembered(now));
        let counters = self.counters.forget_old(now.as_second());
        Ok(records.len() + bodies.len() + usage.len() + keys - queue.once.len() + counters)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::MemoryStore;
    use crate::queue::conformance::{Harness, Opening, conformance};

    fn open(messages_max: u64) -> Opening {
        let store = Arc::new(MemoryStore::new(messages_max));
        let kept = Arc::clone(&store);
        let harness = Harness::new(store, (), move |id| kept.account(id));
        Box::pin(async { harness })
    }

    conformance!(open);
}
