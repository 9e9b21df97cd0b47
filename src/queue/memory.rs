//! The store that forgets: the same behaviour as its durable sibling, for as long as the process lives.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use super::rules::{self, Change, HISTORY_MAX, Helping, LastError, Pick, SWEEP_MAX};
use super::{
    Attempt, BatchId, Claim, Counts, Details, Doubt, Entry, Filter, Lease, Next, Page, Place,
    Portion, RecipientStatus, Retried, Retry, Settlement, Start, State, Store, StoreError, Summary,
    Turn, Usage, WayKey,
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
    usage: BTreeMap<(i64, String), u64>,
    /// The share from which the next claim begins.
    from: u16,
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
    way: WayKey,
    turn: Turn,
    /// The call that is under way, or whose outcome is unknown.
    begun: Option<Doubt>,
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

    fn is_held(&self, id: QueueId, lease: i64) -> bool {
        self.record(id).is_ok_and(|record| record.state == State::Sending && record.lease == lease)
    }

    /// What is due, in the order in which it has its turn.
    fn in_turn(&self, now: Timestamp) -> Vec<QueueId> {
        let mut shares: BTreeMap<Turn, VecDeque<QueueId>> = BTreeMap::new();
        for (_, id) in self.due.iter().take_while(|(due, _)| *due <= now) {
            if let Some(record) = self.records.get(id) {
                shares.entry(record.turn).or_default().push_back(*id);
            }
        }
        let mut order = Vec::new();
        for bulk in [false, true] {
            let (before, from): (Vec<_>, Vec<_>) = shares
                .iter_mut()
                .filter(|(turn, _)| turn.bulk == bulk)
                .partition(|(turn, _)| turn.share < self.from);
            let mut round: Vec<_> = from.into_iter().chain(before).map(|(_, ids)| ids).collect();
            while !round.is_empty() {
                order.extend(round.iter_mut().filter_map(|ids| ids.pop_front()));
                round.retain(|ids| !ids.is_empty());
            }
        }
        order
    }

    /// The message itself, or all members of its batch in their order.
    fn together_with(&self, id: QueueId) -> Vec<QueueId> {
        let Some(batch) = self.records.get(&id).and_then(Record::batch) else { return vec![id] };
        let place = |record: &Record| record.begun.as_ref().and_then(|begun| begun.place);
        let members = self.records.iter().filter_map(|(id, record)| Some((place(record)?, *id)));
        let mut members: Vec<_> = members.filter(|(place, _)| place.batch == batch).collect();
        members.sort_by_key(|(place, _)| place.number);
        members.into_iter().map(|(_, id)| id).collect()
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
    fn new(entry: Entry) -> Self {
        let Entry { message, way, lease, provider } = entry;
        let addresses = message.envelope.recipients.iter().cloned();
        let since = message.received_at;
        Self {
            way,
            turn: Turn::of(&message),
            begun: provider.map(|provider| Doubt { provider, since, place: None }),
            size: message.raw.len() as u64,
            has_content: true,
            state: if lease.is_some() { State::Sending } else { State::Queued },
            due: lease.as_ref().map_or(message.received_at, |lease| lease.expires),
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

    fn batch(&self) -> Option<BatchId> {
        let place = self.begun.as_ref().and_then(|begun| begun.place);
        place.map(|place| place.batch)
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
            doubt: self.begun.clone(),
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
        if !settlement.unclear && settlement.next != Next::Continue {
            self.begun = None;
        }
        if let Some(way) = &settlement.way {
            self.way = way.clone();
        }
        if self.state == State::Delivered && self.message.account.is_some() {
            let message = Message { account: None, ..Message::clone(&self.message) };
            self.message = Arc::new(message);
        }
    }

    fn retry(&mut self, retry: Retry, now: Timestamp) {
        rules::reopen(&mut self.recipients, &retry.recipients);
        if self.recipients.len() > self.message.envelope.recipients.len() {
            let mut message = Message::clone(&self.message);
            let addresses = self.recipients.iter().map(|recipient| recipient.address.clone());
            message.envelope.recipients = addresses.collect();
            self.message = Arc::new(message);
        }
        self.state = State::Queued;
        self.due = now;
        self.trying_since = now;
        self.deferrals = 0;
        self.finished = None;
        self.pinned_provider = retry.provider;
        // The operator has decided; a batch stays one.
        if self.batch().is_none() {
            self.begun = None;
        }
        self.way = WayKey::default();
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
            way: self.way.clone(),
            in_doubt: self.state != State::Sending && self.begun.is_some(),
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
    async fn insert(&self, entry: Entry) -> Result<(), StoreError> {
        let mut queue = self.queue();
        if queue.open.len() as u64 >= self.messages_max {
            return Err(StoreError::Full(self.messages_max));
        }
        let id = entry.message.id;
        if queue.records.contains_key(&id) {
            return Err(StoreError::Unavailable(format!("there is a message {id} already")));
        }
        let record = Record::new(entry);
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
        for id in queue.in_turn(now) {
            if chosen.contains(&id) {
                continue;
            }
            let record = queue.record(id)?;
            match helping.pick(&record.way, record.size) {
                Pick::Take => {
                    queue.from = queue.record(id)?.turn.share + 1;
                    chosen.extend(queue.together_with(id));
                }
                Pick::PassOver => {}
                Pick::End => break,
            }
        }
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
        let queue = self.queue();
        let mut due = queue.due.iter();
        let wanted = |id: &QueueId| {
            queue.records.get(id).is_some_and(|record| {
                record.state == State::Sending || portion.wants(&record.way) > 0
            })
        };
        Ok(due.find(|(_, id)| wanted(id)).map(|(due, _)| *due))
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
