//! How full the queue is, counted along with each change, so that nobody has to count rows.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::rows::{self, Id};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{Counts, State};

/// How many rows of history are looked through for the next oldest message before the index is asked.
const STEPS_MAX: usize = 1_000;

/// One pass over the index of open messages; the sum is the number of those that are sending, whose state is 1.
pub(super) const COUNT_OPEN: &str = "SELECT count(*), coalesce(sum(state), 0), min(id) \
     FROM messages INDEXED BY open_by_due WHERE state < 2";

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
    /// Counts what is in the file. Reads the index of open messages and the one of stopped ones, no history.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let (open, sending, floor) =
            connection.prepare_cached(COUNT_OPEN)?.query_row([], |row| {
                let floor =
                    if row.get_ref(2)? == ValueRef::Null { None } else { Some(rows::id(row, 2)?) };
                Ok((rows::unsigned(row, 0)?, rows::unsigned(row, 1)?, floor))
            })?;
        let failed = connection
            .prepare_cached(
                "SELECT count(*) FROM messages INDEXED BY stopped WHERE state = 3 AND state >= 3",
            )?
            .query_row([], |row| rows::unsigned(row, 0))?;
        Ok(Self { queued: open.saturating_sub(sending), sending, failed, floor })
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

    fn oldest(&mut self, connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
        let floor = self.floor.unwrap_or(QueueId::from_bytes([0; 16]));
        let mut step = connection.prepare_cached(
            "SELECT id, state, received_at FROM messages WHERE id >= ?1 ORDER BY id LIMIT ?2",
        )?;
        let mut found = step.query((Id(floor), rows::signed(STEPS_MAX)))?;
        while let Some(row) = found.next()? {
            if rows::state(row, 1)?.is_open() {
                self.floor = Some(rows::id(row, 0)?);
                return rows::time(row, 2).map(Some);
            }
        }
        // Much has been finished since: the index knows without reading history.
        let mut search = connection.prepare_cached(
            "SELECT id, received_at FROM messages WHERE id = \
             (SELECT min(id) FROM messages INDEXED BY open_by_due WHERE state < 2)",
        )?;
        let mut found = search.query([])?;
        let Some(row) = found.next()? else { return Ok(None) };
        self.floor = Some(rows::id(row, 0)?);
        rows::time(row, 1).map(Some)
    }

    fn lower_floor(&mut self, id: QueueId) {
        if self.floor.is_none_or(|floor| id < floor) {
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
