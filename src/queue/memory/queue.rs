//! The records and what finds them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::ops::Bound;

use super::record::Record;
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::round::{self, Facts, Head, Member, Rounds, Shelf};
use crate::queue::{BatchId, Filter, Once, Portion, Seen, State, StoreError, WayKey, rules};

#[derive(Debug, Default)]
pub(super) struct Queue {
    pub(super) records: BTreeMap<QueueId, Record>,
    /// Claimed messages by the end of their leases.
    leased: BTreeSet<(Timestamp, QueueId)>,
    /// Those that wait: by way, bulk, share and due time.
    waiting: BTreeSet<Place>,
    pub(super) open: BTreeSet<QueueId>,
    /// Recipients served, by hour and provider.
    pub(super) usage: BTreeMap<(i64, String), u64>,
    /// Submissions that are taken once, by their keys.
    pub(super) once: HashMap<[u8; 32], (Once, QueueId)>,
    rounds: Rounds,
}

/// Where a message waits.
type Place = (WayKey, bool, u16, Timestamp, QueueId);

impl Queue {
    /// What is known about a submission of this key.
    pub(super) fn seen(&self, once: &Once) -> Option<Seen> {
        let (earlier, id) = self.once.get(&once.key)?;
        once.seen(earlier, *id)
    }

    pub(super) fn record(&self, id: QueueId) -> Result<&Record, StoreError> {
        self.records.get(&id).ok_or(StoreError::NotFound(id))
    }

    /// Changes a record and keeps the indexes true.
    pub(super) fn change<T>(
        &mut self,
        id: QueueId,
        change: impl FnOnce(&mut Record) -> T,
    ) -> Option<T> {
        let mut record = self.records.remove(&id)?;
        self.leased.remove(&(record.due, id));
        self.waiting.remove(&record.place());
        self.open.remove(&id);
        let value = change(&mut record);
        self.add(record);
        Some(value)
    }

    /// Adds a record that is not there.
    pub(super) fn add(&mut self, record: Record) {
        let id = record.message.id;
        match record.state {
            State::Queued => self.waiting.insert(record.place()),
            State::Sending => self.leased.insert((record.due, id)),
            State::Delivered | State::Failed | State::Cancelled => false,
        };
        if record.state.is_open() {
            self.open.insert(id);
        }
        self.records.insert(id, record);
    }

    /// What a claim hands out.
    pub(super) fn choose(&mut self, portion: &Portion, now: Timestamp) -> Vec<QueueId> {
        let mut rounds = std::mem::take(&mut self.rounds);
        let Ok(chosen) = round::choose(self, &mut rounds, portion, now);
        self.rounds = rounds;
        chosen.into_iter().map(|chosen| chosen.id).collect()
    }

    /// When there is something to claim next.
    pub(super) fn next_due(&mut self, portion: &Portion) -> Option<Timestamp> {
        let Ok(due) = round::next_due(self, portion);
        due
    }

    /// The messages of the name that is asked for; `None` where it is not about a name.
    pub(super) fn named(&self, filter: &Filter) -> Option<BTreeSet<QueueId>> {
        let of = |name: &str| {
            let named = self.records.iter().filter(|(_, record)| record.is_called(name));
            named.map(|(id, _)| *id).collect::<BTreeSet<_>>()
        };
        if filter.name.is_some() {
            return Some(rules::name(filter.name.as_deref()).map(of).unwrap_or_default());
        }
        rules::name(filter.text.as_deref()).map(of).filter(|named| !named.is_empty())
    }

    pub(super) fn is_held(&self, id: QueueId, lease: i64) -> bool {
        self.record(id).is_ok_and(|record| record.state == State::Sending && record.lease == lease)
    }

    pub(super) fn count(&self, state: State) -> u64 {
        let in_state = |record: &&Record| record.state == state;
        self.records.values().filter(in_state).count() as u64
    }

    /// Ids of finished messages for which `choose` holds, the oldest first.
    pub(super) fn past(
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

impl Shelf for Queue {
    type Error = Infallible;

    fn expired(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(QueueId, WayKey)>, Infallible> {
        let over = self.leased.iter().take_while(|(expiry, _)| *expiry <= now).take(limit);
        Ok(over.filter_map(|(_, id)| Some((*id, self.records.get(id)?.way.clone()))).collect())
    }

    fn first_expiry(
        &mut self,
        wanted: &dyn Fn(&WayKey) -> bool,
    ) -> Result<Option<Timestamp>, Infallible> {
        let is_wanted = |id| self.records.get(id).is_some_and(|record| wanted(&record.way));
        Ok(self.leased.iter().find(|(_, id)| is_wanted(id)).map(|(expiry, _)| *expiry))
    }

    fn way_after(&mut self, way: Option<&WayKey>) -> Result<Option<WayKey>, Infallible> {
        let first = match way {
            None => self.waiting.first(),
            Some(way) => {
                let last = QueueId::from_bytes([0xff; 16]);
                let end = (way.clone(), true, u16::MAX, Timestamp::MAX, last);
                self.waiting.range((Bound::Excluded(end), Bound::Unbounded)).next()
            }
        };
        Ok(first.map(|(way, ..)| way.clone()))
    }

    fn first(&mut self, way: &WayKey, bulk: bool, share: u16) -> Result<Option<Head>, Infallible> {
        let begin = (way.clone(), bulk, share, Timestamp::MIN, QueueId::from_bytes([0; 16]));
        let first = self.waiting.range(begin..).next();
        Ok(first.filter(|(of, is_bulk, ..)| of == way && *is_bulk == bulk).map(head))
    }

    fn behind(
        &mut self,
        way: &WayKey,
        bulk: bool,
        Head { share, due, id }: Head,
    ) -> Result<Option<Head>, Infallible> {
        let begin = Bound::Excluded((way.clone(), bulk, share, due, id));
        let next = self.waiting.range((begin, Bound::Unbounded)).next();
        let is_of_group = |place: &&Place| place.0 == *way && place.1 == bulk && place.2 == share;
        Ok(next.filter(is_of_group).map(head))
    }

    fn facts(&mut self, id: QueueId) -> Result<Option<Facts>, Infallible> {
        let facts = |record: &Record| Facts { size: record.size, batch: record.batch() };
        Ok(self.records.get(&id).map(facts))
    }

    fn members(&mut self, batch: BatchId) -> Result<Vec<Member>, Infallible> {
        let open = self.open.iter().filter_map(|id| self.records.get(id));
        let places = open.filter_map(|record| Some((record.begun.as_ref()?.place?, record)));
        let mut members: Vec<_> = places.filter(|(place, _)| place.batch == batch).collect();
        members.sort_by_key(|(place, _)| place.number);
        let member = |(_, record): &(_, &Record)| {
            let Record { state, due, .. } = **record;
            Member { id: record.message.id, state, due }
        };
        Ok(members.iter().map(member).collect())
    }
}

fn head((_, _, share, due, id): &Place) -> Head {
    Head { share: *share, due: *due, id: *id }
}
