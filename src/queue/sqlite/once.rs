//! Submissions that are taken once.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows::{self, Id};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::rules::SWEEP_MAX;
use crate::queue::{Once, REMEMBERED, Seen};

/// What is known about a submission of this key.
pub(super) fn seen(connection: &Connection, once: &Once) -> rusqlite::Result<Option<Seen>> {
    let earlier = connection
        .prepare_cached("SELECT request, at, message FROM submissions WHERE key = ?1")?
        .query_row([once.key], |row| {
            let earlier = Once { key: once.key, request: row.get(0)?, at: rows::time(row, 1)? };
            Ok((earlier, rows::id(row, 2)?))
        })
        .optional()?;
    Ok(earlier.and_then(|(earlier, id)| once.seen(&earlier, id)))
}

/// Remembers that it was taken as this message.
pub(super) fn remember(connection: &Connection, once: &Once, id: QueueId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO submissions (key, request, message, at) VALUES (?1, ?2, ?3, ?4)",
        )?
        .execute(params![once.key, once.request, Id(id), rows::millis(once.at)])?;
    Ok(())
}

/// True when there are keys that are not remembered any more.
pub(super) fn has_old(connection: &Connection, now: Timestamp) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM submissions WHERE at <= ?1")?.exists([until(now)])
}

/// Forgets a slice of them. Returns how many that were.
pub(super) fn forget_old(connection: &Connection, now: Timestamp) -> rusqlite::Result<usize> {
    connection
        .prepare_cached(
            "DELETE FROM submissions WHERE key IN \
             (SELECT key FROM submissions WHERE at <= ?1 ORDER BY at LIMIT ?2)",
        )?
        .execute((until(now), rows::signed(SWEEP_MAX)))
}

fn until(now: Timestamp) -> i64 {
    rows::millis(now.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN))
}
