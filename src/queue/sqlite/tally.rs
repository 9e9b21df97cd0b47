//! How full the queue is, counted along with each change, so that nobody has to count rows.

use rusqlite::Connection;

use super::rows::{self, Id};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{Counts, State};

/// How many rows of history are looked through for the next oldest message before the indexes are asked: so many, or a
/// part of the open messages, which is about as much work as the indexes are.
const STEPS_MIN: u64 = 1_000;
const STEPS_PART: u64 = 8;

/// Each reads one index and no rows.
pub(super) const COUNT_QUEUED: &str =
    "SELECT count(*) FROM messages INDEXED BY waiting WHERE state = 0";
pub(super) const COUNT_SENDING: &str =
    "SELECT count(*) FROM messages INDEXED BY leases WHERE state = 1";
pub(super) const COUNT_FAILED: &str =
    "SELECT count(*) FROM messages INDEXED BY stopped WHERE state = 3 AND state >= 3";
pub(super) const OLDEST_QUEUED: &str =
    "SELECT min(id) FROM messages INDEXED BY waiting WHERE state = 0";
pub(super) const OLDEST_SENDING: &str =
    "SELECT min(id) FROM messages INDEXED BY leases WHERE state = 1";

/// Messages by state, and where the oldest open one is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    queued: u64,
    sending: u64,
    failed: u64,
    /// No open message has a smaller id.
    floor: Option<QueueId>,
}

impl Tally {
    /// Counts what is in the file. Reads the indexes of open messages and the one of stopped ones, no history.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let count =
            |sql| connection.prepare_cached(sql)?.query_row([], |row| rows::unsigned(row, 0));
        Ok(Self {
            queued: count(COUNT_QUEUED)?,
            sending: count(COUNT_SENDING)?,
            failed: count(COUNT_FAILED)?,
            floor: None,
        })
    }

    /// Messages that still have a way to go.
    pub(super) fn open(&self) -> u64 {
        self.queued + self.sending
    }

    /// A message has come in.
    pub(super) fn came(&mut self, id: QueueId, state: State) {
        self.add(state);
        self.lower_floor(id);
    }

    /// A message has changed its state.
    pub(super) fn moved(&mut self, id: QueueId, from: State, to: State) {
        self.gone(from);
        self.came(id, to);
    }

    /// The record of a message has been removed.
    pub(super) fn gone(&mut self, state: State) {
        if let Some(count) = self.count(state) {
            *count = count.saturating_sub(1);
        }
    }

    /// The figures. Looks for the oldest open message from where the last one was.
    pub(super) fn counts(&mut self, connection: &Connection) -> rusqlite::Result<Counts> {
        let oldest = if self.open() == 0 { None } else { self.oldest(connection)? };
        Ok(Counts { queued: self.queued, sending: self.sending, failed: self.failed, oldest })
    }

    /// Walks over what has been finished since the last time, and asks the indexes where that is more than they hold.
    fn oldest(&mut self, connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
        let steps = match self.floor {
            Some(_) => STEPS_MIN.max(self.open() / STEPS_PART),
            None => STEPS_MIN,
        };
        let floor = self.floor.unwrap_or(QueueId::from_bytes([0; 16]));
        let mut step = connection.prepare_cached(
            "SELECT id, state, received_at FROM messages WHERE id >= ?1 ORDER BY id LIMIT ?2",
        )?;
        let mut found = step.query((Id(floor), rows::signed(steps)))?;
        while let Some(row) = found.next()? {
            if rows::state(row, 1)?.is_open() {
                self.floor = Some(rows::id(row, 0)?);
                return rows::time(row, 2).map(Some);
            }
        }
        let least = |sql| {
            connection.prepare_cached(sql)?.query_row([], |row| row.get::<_, Option<[u8; 16]>>(0))
        };
        let oldest = [least(OLDEST_QUEUED)?, least(OLDEST_SENDING)?].into_iter().flatten().min();
        let Some(oldest) = oldest.map(QueueId::from_bytes) else { return Ok(None) };
        self.floor = Some(oldest);
        connection
            .prepare_cached("SELECT received_at FROM messages WHERE id = ?1")?
            .query_row([Id(oldest)], |row| rows::time(row, 0).map(Some))
    }

    /// A floor that is not known yet stays so: there may be older ones in the file.
    fn lower_floor(&mut self, id: QueueId) {
        if self.floor.is_some_and(|floor| id < floor) {
            self.floor = Some(id);
        }
    }

    fn add(&mut self, state: State) {
        if let Some(count) = self.count(state) {
            *count += 1;
        }
    }

    fn count(&mut self, state: State) -> Option<&mut u64> {
        match state {
            State::Queued => Some(&mut self.queued),
            State::Sending => Some(&mut self.sending),
            State::Failed => Some(&mut self.failed),
            State::Delivered | State::Cancelled => None,
        }
    }
}
