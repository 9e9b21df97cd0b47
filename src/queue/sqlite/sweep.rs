//! Retention: finding what is past its time, and removing it in small slices.
//!
//! Finding reads history and is done beside the writer, on a connection for reading; removing looks again, because
//! an operator may have come in between.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::rows::{self, Id};
use super::tally::Tally;
use super::{counted, once, served};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::rules::{self, SWEEP_MAX};

/// Content in one slice, octets: to free large contents takes time, and acceptance waits meanwhile.
const SLICE_BYTES_MAX: u64 = 16 << 20;

/// Contents are written in the order of time, give or take the moments that messages spent in the line.
const DISORDER_MAX: Duration = Duration::from_secs(60);

/// What to remove next.
#[derive(Debug)]
pub(super) struct Slice {
    /// Finished until then: the record goes, with all that belongs to it.
    records_before: Timestamp,
    /// Delivered or cancelled until then: the content goes.
    bodies_before: Timestamp,
    records: Vec<QueueId>,
    bodies: Vec<QueueId>,
    /// Something that is kept beside the messages is past its time.
    has_old_aside: bool,
    now: Timestamp,
    /// Where the search for contents goes on; from the beginning when it has seen the end.
    pub(super) resume: Option<i64>,
}

impl Slice {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.bodies.is_empty() && !self.has_old_aside
    }

    /// Looks for the next slice, for contents from `resume` on.
    pub(super) fn find(
        connection: &Connection,
        keep_records: Duration,
        keep_bodies: Duration,
        now: Timestamp,
        resume: Option<i64>,
    ) -> rusqlite::Result<Self> {
        let has_old_aside = served::has_before(connection, rules::usage_from(now))?
            || counted::has_old(connection, now.as_second())?
            || once::has_old(connection, now)?;
        let mut slice = Self {
            records_before: before(now, keep_records),
            bodies_before: before(now, keep_bodies),
            records: Vec::new(),
            bodies: Vec::new(),
            has_old_aside,
            now,
            resume,
        };
        let bytes = slice.find_records(connection)?;
        if slice.records.len() < SWEEP_MAX && bytes < SLICE_BYTES_MAX {
            slice.find_bodies(connection, bytes)?;
        }
        Ok(slice)
    }

    /// Walks from the oldest message on. What was received after the limit cannot have finished before it.
    fn find_records(&mut self, connection: &Connection) -> rusqlite::Result<u64> {
        let mut search = connection.prepare_cached(
            "SELECT id, size FROM messages WHERE id < ?1 AND state >= 2 AND finished_at <= ?2 ORDER BY id LIMIT ?3",
        )?;
        let end = QueueId::lower_bound(after(self.records_before, Duration::from_millis(1)));
        let mut found =
            search.query((Id(end), rows::millis(self.records_before), rows::signed(SWEEP_MAX)))?;
        let mut bytes = 0_u64;
        while let Some(row) = found.next()? {
            self.records.push(rows::id(row, 0)?);
            bytes = bytes.saturating_add(rows::unsigned(row, 1)?);
            if bytes >= SLICE_BYTES_MAX {
                break;
            }
        }
        Ok(bytes)
    }

    /// Walks over the contents that are there. Those that stay long (of failed messages) are passed once in a round.
    fn find_bodies(&mut self, connection: &Connection, mut bytes: u64) -> rusqlite::Result<()> {
        let mut search =
            connection.prepare_cached("SELECT n, message FROM bodies WHERE n >= ?1 ORDER BY n")?;
        let mut look = connection.prepare_cached(
            "SELECT size FROM messages WHERE id = ?1 AND state IN (2, 4) AND finished_at <= ?2 AND body = ?3",
        )?;
        let end = QueueId::lower_bound(after(self.bodies_before, DISORDER_MAX));
        let mut found = search.query([self.resume.unwrap_or(i64::MIN)])?;
        while let Some(row) = found.next()? {
            let (n, id) = (row.get::<_, i64>(0)?, rows::id(row, 1)?);
            if self.records.len() + self.bodies.len() >= SWEEP_MAX || bytes >= SLICE_BYTES_MAX {
                self.resume = Some(n);
                return Ok(());
            }
            if id >= end {
                break;
            }
            let size = look
                .query_row((Id(id), rows::millis(self.bodies_before), n), |row| {
                    rows::unsigned(row, 0)
                })
                .optional()?;
            if let Some(size) = size {
                self.bodies.push(id);
                bytes = bytes.saturating_add(size);
            }
        }
        self.resume = None;
        Ok(())
    }

    /// Removes what is still past its time. Returns how many contents and records that were.
    pub(super) fn remove(
        &self,
        connection: &Connection,
        tally: &mut Tally,
    ) -> Result<usize, Fault> {
        let mut removed = if self.has_old_aside { self.remove_aside(connection)? } else { 0 };
        for id in &self.bodies {
            removed += remove_body(connection, *id, self.bodies_before)?;
        }
        for id in &self.records {
            removed += remove_record(connection, tally, *id, self.records_before)?;
        }
        Ok(removed)
    }

    fn remove_aside(&self, connection: &Connection) -> rusqlite::Result<usize> {
        let usage = served::forget_before(connection, rules::usage_from(self.now))?;
        let counters = counted::forget_old(connection, self.now.as_second())?;
        Ok(usage + counters + once::forget_old(connection, self.now)?)
    }
}

fn remove_body(
    connection: &Connection,
    id: QueueId,
    finished_before: Timestamp,
) -> rusqlite::Result<usize> {
    let found = connection
        .prepare_cached(
            "SELECT body, body_rows, account IS NOT NULL FROM messages \
             WHERE id = ?1 AND state IN (2, 4) AND finished_at <= ?2",
        )?
        .query_row((Id(id), rows::millis(finished_before)), |row| Ok((place(row)?, row.get(2)?)))
        .optional()?;
    let Some((place, has_account)) = found else { return Ok(0) };
    if has_account {
        // Without content it is never sent again.
        connection
            .prepare_cached("UPDATE messages SET account = NULL WHERE id = ?1")?
            .execute([Id(id)])?;
    }
    // However many rows it had, it was one content.
    Ok(delete_body(connection, id, place)?.min(1))
}

fn remove_record(
    connection: &Connection,
    tally: &mut Tally,
    id: QueueId,
    finished_before: Timestamp,
) -> rusqlite::Result<usize> {
    let found = connection
        .prepare_cached(
            "SELECT body, body_rows, state FROM messages WHERE id = ?1 AND state >= 2 AND finished_at <= ?2",
        )?
        .query_row((Id(id), rows::millis(finished_before)), |row| {
            Ok((place(row)?, rows::state(row, 2)?))
        })
        .optional()?;
    let Some((place, state)) = found else { return Ok(0) };
    delete_body(connection, id, place)?;
    connection.prepare_cached("DELETE FROM attempts WHERE message = ?1")?.execute([Id(id)])?;
    connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([Id(id)])?;
    tally.gone(state);
    Ok(1)
}

/// The first row of a content, and how many there are.
type Place = (i64, i64);

fn place(row: &rusqlite::Row<'_>) -> rusqlite::Result<Place> {
    Ok((row.get(0)?, row.get(1)?))
}

fn delete_body(
    connection: &Connection,
    id: QueueId,
    (first, pieces): Place,
) -> rusqlite::Result<usize> {
    connection
        .prepare_cached("DELETE FROM bodies WHERE n >= ?1 AND n < ?1 + ?2 AND message = ?3")?
        .execute(params![first, pieces, Id(id)])
}

/// A moment ago; the earliest there is when that is too long.
fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

fn after(time: Timestamp, distance: Duration) -> Timestamp {
    time.checked_add(distance).unwrap_or(Timestamp::MAX)
}
