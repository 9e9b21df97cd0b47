//! Open messages in the order in which they have their turns: one look at an index for each question.

use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};

use super::rows::{self, Id};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::round::{Facts, Head, Member, Shelf};
use crate::queue::{BatchId, WayKey};

pub(super) const EXPIRED: &str = "SELECT id, way FROM messages INDEXED BY leases \
     WHERE state = 1 AND due_at <= ?1 ORDER BY due_at, id LIMIT ?2";

pub(super) const EXPIRIES: &str =
    "SELECT due_at, way FROM messages INDEXED BY leases WHERE state = 1 ORDER BY due_at";

pub(super) const FIRST_WAY: &str =
    "SELECT way FROM messages INDEXED BY waiting WHERE state = 0 ORDER BY way LIMIT 1";

pub(super) const NEXT_WAY: &str = "SELECT way FROM messages INDEXED BY waiting \
     WHERE state = 0 AND way > ?1 ORDER BY way LIMIT 1";

pub(super) const FIRST: &str = "SELECT share, due_at, id FROM messages INDEXED BY waiting \
     WHERE state = 0 AND way = ?1 AND bulk = ?2 AND share >= ?3 ORDER BY share, due_at, id LIMIT 1";

pub(super) const BEHIND: &str = "SELECT share, due_at, id FROM messages INDEXED BY waiting \
     WHERE state = 0 AND way = ?1 AND bulk = ?2 AND share = ?3 AND (due_at, id) > (?4, ?5) \
     ORDER BY due_at, id LIMIT 1";

pub(super) const MEMBERS: &str = "SELECT id, state, due_at FROM messages INDEXED BY by_batch \
     WHERE batch = ?1 AND state < 2 ORDER BY place";

pub(super) const FACTS: &str = "SELECT size, batch FROM messages WHERE id = ?1";

/// Open messages of a file. What is asked again and again is looked up among the statements once.
pub(super) struct FileShelf<'c> {
    connection: &'c Connection,
    first: CachedStatement<'c>,
    behind: CachedStatement<'c>,
    facts: CachedStatement<'c>,
}

impl<'c> FileShelf<'c> {
    pub(super) fn new(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            connection,
            first: connection.prepare_cached(FIRST)?,
            behind: connection.prepare_cached(BEHIND)?,
            facts: connection.prepare_cached(FACTS)?,
        })
    }
}

impl Shelf for FileShelf<'_> {
    type Error = rusqlite::Error;

    fn expired(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> rusqlite::Result<Vec<(QueueId, WayKey)>> {
        self.connection
            .prepare_cached(EXPIRED)?
            .query_map((rows::millis(now), rows::signed(limit)), |row| {
                Ok((rows::id(row, 0)?, rows::way(row, 1)?))
            })?
            .collect()
    }

    fn first_expiry(
        &mut self,
        wanted: &dyn Fn(&WayKey) -> bool,
    ) -> rusqlite::Result<Option<Timestamp>> {
        let mut search = self.connection.prepare_cached(EXPIRIES)?;
        let mut found = search.query([])?;
        while let Some(row) = found.next()? {
            if wanted(&rows::way(row, 1)?) {
                return Ok(Some(rows::nearest_time(row.get(0)?)));
            }
        }
        Ok(None)
    }

    fn way_after(&mut self, way: Option<&WayKey>) -> rusqlite::Result<Option<WayKey>> {
        let read = |row: &Row<'_>| rows::way(row, 0);
        match way {
            None => self.connection.prepare_cached(FIRST_WAY)?.query_row([], read),
            Some(way) => self.connection.prepare_cached(NEXT_WAY)?.query_row([way.as_str()], read),
        }
        .optional()
    }

    fn first(&mut self, way: &WayKey, bulk: bool, share: u16) -> rusqlite::Result<Option<Head>> {
        self.first.query_row((way.as_str(), bulk, share), head).optional()
    }

    fn behind(&mut self, way: &WayKey, bulk: bool, last: Head) -> rusqlite::Result<Option<Head>> {
        let Head { share, due, id } = last;
        self.behind
            .query_row((way.as_str(), bulk, share, rows::millis(due), Id(id)), head)
            .optional()
    }

    fn facts(&mut self, id: QueueId) -> rusqlite::Result<Option<Facts>> {
        let read = |row: &Row<'_>| {
            let batch: Option<[u8; 16]> = row.get(1).unwrap_or_default();
            let batch = batch.map(|batch| BatchId(QueueId::from_bytes(batch)));
            Ok(Facts { size: rows::unsigned(row, 0).unwrap_or_default(), batch })
        };
        self.facts.query_row([Id(id)], read).optional()
    }

    fn members(&mut self, batch: BatchId) -> rusqlite::Result<Vec<Member>> {
        self.connection
            .prepare_cached(MEMBERS)?
            .query_map([Id(batch.0)], |row| {
                let (id, state) = (rows::id(row, 0)?, rows::state(row, 1)?);
                Ok(Member { id, state, due: rows::nearest_time(row.get(2)?) })
            })?
            .collect()
    }
}

/// What makes no sense must not stand in the way of the others: it is found out when the message is read.
fn head(row: &Row<'_>) -> rusqlite::Result<Head> {
    let share: i64 = row.get(0)?;
    Ok(Head {
        share: u16::try_from(share).unwrap_or(u16::MAX),
        due: rows::nearest_time(row.get(1)?),
        id: rows::id(row, 2)?,
    })
}
