//! The store that forgets: the same behaviour as its durable sibling, for as long as the process lives.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::rules::{self, Change, HISTORY_MAX, Helping, LastError, Pick, SWEEP_MAX};
use super::{
    Attempt, Claim, Counts, Details, Filter, Lease, Page, Portion, RecipientStatus, Settlement,
    State, Store, StoreError, Summary,
};
use crate::clock::Timestamp;
use crate::message::{Message, QueueId};

/// A queue in memory, for tests and for uses without a disk.
#[derive(Debug)]
pub struct MemoryStore {
    queue: Mutex<Queue>,
    messages_max: u64,
}

impl MemoryStore {
    /// An empty queue for at most `messages_max` open messages.
    pub fn new(messages_max: u64) -> Self {
        Self { queue: Mutex::default(), messages_max }
    }

    /// A panic elsewhere leaves the queue as it was: every change checks first and then goes through.
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Queue {
    records: BTreeMap<QueueId, Record>,
    /// Open messages by due time; while sending that is when the lease runs out.
    due: BTreeSet<(Timestamp, QueueId)>,
    open: BTreeSet<QueueId>,
}

#[derive(Debug)]
struct Record {
    message: Arc<Message>,
    size: u64,
    has_content: bool,
    state: State,
    due: Timestamp,
    lease: i64,
    deferrals: u32,
    trying_since: Timestamp,
    finished: Option<Timestamp>,
    recipients: Vec<RecipientStatus>,
    provider: Option<String>,
    provider_message_id: Option<String>,
    error: Option<String>,
    pinned_provider: Option<String>,
    attempts: Vec<Attempt>,
}

impl Queue {
    fn record(&self, id: QueueId) -> Result<&Record, StoreError> {
        self.records.get(&id).ok_or(StoreError::NotFound(id))
    }

    /// Changes a record and keeps the indexes true.
    fn change<T>(&mut self, id: QueueId, change: impl FnOnce(&mut Record) -> T) -> Option<T> {
        let record = self.records.get_mut(&id)?;
        self.due.remove(&(record.due, id));
        self.open.remove(&id);
        let value = change(record);
        if record.state.is_open() {
            self.due.insert((record.due, id));
            self.open.insert(id);
        }
        Some(value)
    }

    /// The messages of the name that is asked for; `None` where it is not about a name.
    fn named(&self, filter: &Filter) -> Option<BTreeSet<QueueId>> {
        let of = |name: &str| {
            let named = self.records.iter().filter(|(_, record)| record.is_called(name));
            named.map(|(id, _)| *id).collect::<BTreeSet<_>>()
        };
        if filter.name.is_some() {
            return Some(rules::name(filter.name.as_deref()).map(of).unwrap_or_default());
        }
        rules::name(filter.text.as_deref()).map(of).filter(|named| !named.is_empty())
    }

    fn count(&self, state: State) -> u64 {
        let in_state = |record: &&Record| record.state == state;
        self.records.values().filter(in_state).count() as u64
    }

    /// Ids of finished messages for which `choose` holds, the oldest first.
    fn past(
        &self,
        limit: usize,
        until: Timestamp,
        choose: impl Fn(&Record) -> bool,
    ) -> Vec<QueueId> {
        self.records
            .iter()
            .filter(|(_, record)| record.finished.is_some_and(|finished| finished <= until))
            .filter(|(_, record)| choose(record))
            .map(|(id, _)| *id)
            .take(limit)
            .collect()
    }
}

impl Record {
    fn new(message: Arc<Message>, lease: Option<&Lease>) -> Self {
        let addresses = message.envelope.recipients.iter().cloned();
        Self {
            size: message.raw.len() as u64,
            has_content: true,
            state: if lease.is_some() { State::Sending } else { State::Queued },
            due: lease.map_or(message.received_at, |lease| lease.expires),
            lease: i64::from(lease.is_some()),
            deferrals: 0,
            trying_since: message.received_at,
            finished: None,
            recipients: addresses.map(RecipientStatus::queued).collect(),
            provider: None,
            provider_message_id: None,
            error: None,
            pinned_provider: None,
            attempts: Vec::new(),
            message,
        }
    }

    fn claim(&mut self, lease: &Lease) -> Claim {
        self.state = State::Sending;
        self.lease += 1;
        self.due = lease.expires;
        let earlier = self.attempts.len().saturating_sub(HISTORY_MAX);
        let latest = self.attempts.iter().skip(earlier);
        Claim {
            message: Arc::clone(&self.message),
            lease: self.lease,
            recipients: self.recipients.clone(),
            deferrals: self.deferrals,
            trying_since: self.trying_since,
            pinned_provider: self.pinned_provider.clone(),
            history: latest.map(|attempt| (attempt.provider.clone(), attempt.outcome)).collect(),
        }
    }

    fn settle(&mut self, settlement: &Settlement) {
        let change = Change::of(settlement);
        self.state = change.state;
        self.due = change.due.unwrap_or(self.due);
        self.deferrals += change.deferrals;
        self.finished = change.finished;
        self.recipients.clone_from(&settlement.recipients);
        match change.error {
            LastError::Keep => {}
            LastError::Clear => self.error = None,
            LastError::Set(error) => self.error = Some(error.to_owned()),
        }
        if let Some(provider) = change.provider {
            self.provider = Some(provider.to_owned());
        }
        if let Some(name) = change.provider_message_id {
            self.provider_message_id = Some(name.to_owned());
        }
        self.attempts.extend(settlement.attempts.iter().cloned());
        if self.state == State::Delivered && self.message.account.is_some() {
            let message = Message { account: None, ..Message::clone(&self.message) };
            self.message = Arc::new(message);
        }
    }

    fn forget_content(&mut self) {
        self.has_content = false;
        let message = Message { raw: Bytes::new(), account: None, ..Message::clone(&self.message) };
        self.message = Arc::new(message);
    }

    fn summary(&self) -> Summary {
        Summary {
            id: self.message.id,
            state: self.state,
            received_at: self.message.received_at,
            sender: self.message.envelope.sender.clone(),
            recipients: self.recipients.clone(),
            index: self.message.index.clone(),
            size: self.size,
            user: self.message.user.clone(),
            provider: self.provider.clone(),
            provider_message_id: self.provider_message_id.clone(),
            next_attempt_at: (self.state == State::Queued).then_some(self.due),
            error: self.error.clone(),
        }
    }

    fn matches(&self, filter: &Filter) -> bool {
        filter.state.is_none_or(|state| state == self.state)
            && filter.provider.as_ref().is_none_or(|name| self.provider.as_ref() == Some(name))
    }

    fn has_text(&self, filter: &Filter) -> bool {
        rules::search_text(filter.text.as_deref()).is_none_or(|text| self.contains(&text))
    }

    fn is_called(&self, name: &str) -> bool {
        let mut attempts = self.attempts.iter();
        self.message.index.message_id == name
            || attempts.any(|attempt| attempt.provider_message_id.as_deref() == Some(name))
    }

    fn contains(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let has = |field: &str| field.to_ascii_lowercase().contains(&text);
        let index = &self.message.index;
        has(self.message.envelope.sender_text())
            || self.recipients.iter().any(|recipient| has(recipient.address.as_str()))
            || has(&index.header_from)
            || has(&index.subject)
            || has(&index.message_id)
            || self.provider_message_id.as_deref().is_some_and(has)
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn insert(&self, message: Arc<Message>, lease: Option<Lease>) -> Result<(), StoreError> {
        let mut queue = self.queue();
        if queue.open.len() as u64 >= self.messages_max {
            return Err(StoreError::Full(self.messages_max));
        }
        let id = message.id;
        if queue.records.contains_key(&id) {
            return Err(StoreError::Unavailable(format!("there is a message {id} already")));
        }
        let record = Record::new(message, lease.as_ref());
        queue.due.insert((record.due, id));
        queue.open.insert(id);
        queue.records.insert(id, record);
        Ok(())
    }

    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError> {
        let mut queue = self.queue();
        let mut chosen: Vec<QueueId> = Vec::new();
        let mut helping = Helping::new(portion);
        for (_, id) in queue.due.iter().take_while(|(due, _)| *due <= now) {
            match helping.pick(queue.record(*id)?.size) {
                Pick::Take => chosen.push(*id),
                Pick::PassOver => {}
                Pick::End => break,
            }
        }
        let claim = |id| queue.change(id, |record| record.claim(&lease));
        Ok(chosen.into_iter().filter_map(claim).collect())
    }

    async fn settle(&self, settlement: Settlement) -> Result<(), StoreError> {
        let mut queue = self.queue();
        let id = settlement.id;
        let held = queue
            .record(id)
            .is_ok_and(|record| record.state == State::Sending && record.lease == settlement.lease);
        if !held {
            return Err(StoreError::LeaseLost(id));
        }
        queue.change(id, |record| record.settle(&settlement));
        Ok(())
    }

    async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.queue().due.first().map(|(due, _)| *due))
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
        }))
    }

    async fn content(&self, id: QueueId) -> Result<Option<Bytes>, StoreError> {
        let queue = self.queue();
        let record = queue.records.get(&id).filter(|record| record.has_content);
        Ok(record.map(|record| record.message.raw.clone()))
    }

    async fn retry(
        &self,
        id: QueueId,
        provider: Option<String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut queue = self.queue();
        let record = queue.record(id)?;
        rules::may_retry(id, record.state)?;
        rules::may_name(id, record.state, provider.as_deref(), record.message.account.is_some())?;
        if !record.has_content {
            return Err(StoreError::ContentGone(id));
        }
        queue.change(id, |record| {
            rules::reopen(&mut record.recipients);
            record.state = State::Queued;
            record.due = now;
            record.trying_since = now;
            record.deferrals = 0;
            record.finished = None;
            record.pinned_provider = provider;
        });
        Ok(())
    }

    async fn cancel(&self, id: QueueId, now: Timestamp) -> Result<(), StoreError> {
        let mut queue = self.queue();
        rules::may_cancel(id, queue.record(id)?.state)?;
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
        Ok(records.len() + bodies.len())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::MemoryStore;
    use crate::queue::conformance::{Harness, conformance};

    fn open(messages_max: u64) -> Harness {
        let store = Arc::new(MemoryStore::new(messages_max));
        let kept = Arc::clone(&store);
        let account = move |id| {
            let queue = kept.queue();
            queue.records.get(&id).and_then(|record| record.message.account.clone())
        };
        Harness::new(store, (), account)
    }

    conformance!(open);
}
