//! Retention: removing what is past its time, in small slices. One instance at a time does it; the others pass.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::change::{Fault, change};
use super::connect::Connections;
use super::{counted, once, rows};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::StoreError;
use crate::queue::rules::{self, SWEEP_MAX};

/// Content in one slice, octets: to free large contents takes time.
const SLICE_BYTES_MAX: u64 = 16 << 20;

/// Names the lock that is held while a slice is removed ("mfry", and what for).
const LOCK: i64 = 0x6d66_7279_0000_0002;
const TURN: &str = "SELECT pg_try_advisory_xact_lock($1)";

/// From the oldest message on. What was received after the limit cannot have finished before it. Who is being changed by
/// somebody else is passed over.
const RECORDS: &str = "SELECT id, size FROM messages WHERE id < $1 AND state >= 2 AND finished_at <= $2 \
     ORDER BY id LIMIT $3 FOR UPDATE SKIP LOCKED";

/// Over the contents that are there. Those that stay long (of failed messages) are passed once in a round.
const BODIES: &str = "SELECT m.id, m.size FROM bodies AS b JOIN messages AS m ON m.id = b.message \
     WHERE b.message > $1 AND b.message < $2 AND m.state IN (2, 4) AND m.finished_at <= $3 \
     ORDER BY b.message LIMIT $4 FOR UPDATE OF m SKIP LOCKED";

const FORGET_BODIES: &str = "DELETE FROM bodies WHERE message = ANY($1)";
/// Without content it is never sent again.
const FORGET_ACCOUNTS: &str =
    "UPDATE messages SET account = NULL WHERE id = ANY($1) AND account IS NOT NULL";
const FORGET_ATTEMPTS: &str = "DELETE FROM attempts WHERE message = ANY($1)";
const FORGET_RECORDS: &str = "DELETE FROM messages WHERE id = ANY($1)";
const FORGET_USAGE: &str = "DELETE FROM usage WHERE hour < $1";

/// Removes what is past its time.
#[derive(Debug, Default)]
pub(super) struct Sweeper {
    /// Behind which message the search for contents goes on; from the beginning when it has seen the end.
    resume: Mutex<Option<Uuid>>,
}

impl Sweeper {
    /// Removes one slice. Returns how many contents, records and other things that were.
    pub(super) async fn sweep(
        &self,
        connections: &Connections,
        keep_records: Duration,
        keep_bodies: Duration,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let resume = *self.resume.lock().unwrap_or_else(PoisonError::into_inner);
        let (removed, resume) = change(move || {
            Box::pin(async move {
                let mut client = connections.get().await?;
                let transaction = client.transaction().await?;
                let turn = transaction.prepare_cached(TURN).await?;
                if !rows::get::<bool>(&transaction.query_one(&turn, &[&LOCK]).await?, 0)? {
                    return Ok((0, resume));
                }
                let slice = slice(&transaction, keep_records, keep_bodies, now, resume).await?;
                transaction.commit().await?;
                Ok(slice)
            })
        })
        .await?;
        *self.resume.lock().unwrap_or_else(PoisonError::into_inner) = resume;
        Ok(removed)
    }
}

/// Returns how much was removed, and where to go on.
async fn slice(
    transaction: &Transaction<'_>,
    keep_records: Duration,
    keep_bodies: Duration,
    now: Timestamp,
    resume: Option<Uuid>,
) -> Result<(usize, Option<Uuid>), Fault> {
    let aside = aside(transaction, now).await?;
    let (records, bytes) = records(transaction, before(now, keep_records)).await?;
    let removed = aside + records;
    if records >= SWEEP_MAX || bytes >= SLICE_BYTES_MAX {
        return Ok((removed, resume));
    }
    let limit = before(now, keep_bodies);
    let from = resume.unwrap_or(Uuid::nil());
    let search = transaction.prepare_cached(BODIES).await?;
    let room = rows::signed(SWEEP_MAX - records);
    let found = transaction
        .query(&search, &[&from, &received_until(limit), &rows::millis(limit), &room])
        .await?;
    let (ids, _) = up_to_a_slice(&found, bytes)?;
    let is_more = ids.len() < found.len() || rows::signed(found.len()) == room;
    let resume = ids.last().copied().filter(|_| is_more);
    let accounts = transaction.prepare_cached(FORGET_ACCOUNTS).await?;
    transaction.execute(&accounts, &[&ids]).await?;
    Ok((removed + remove(transaction, FORGET_BODIES, &ids).await?, resume))
}

/// Removes records with all that belongs to them. Returns how many, and how many octets of content went with them.
async fn records(transaction: &Transaction<'_>, limit: Timestamp) -> Result<(usize, u64), Fault> {
    let search = transaction.prepare_cached(RECORDS).await?;
    let found = transaction
        .query(&search, &[&received_until(limit), &rows::millis(limit), &rows::signed(SWEEP_MAX)])
        .await?;
    let (ids, bytes) = up_to_a_slice(&found, 0)?;
    remove(transaction, FORGET_BODIES, &ids).await?;
    remove(transaction, FORGET_ATTEMPTS, &ids).await?;
    Ok((remove(transaction, FORGET_RECORDS, &ids).await?, bytes))
}

async fn aside(transaction: &Transaction<'_>, now: Timestamp) -> Result<usize, Fault> {
    let usage = transaction.prepare_cached(FORGET_USAGE).await?;
    let usage = transaction.execute(&usage, &[&rules::usage_from(now)]).await?;
    let counters = counted::forget_old(transaction, now.as_second()).await?;
    let keys = once::forget_old(transaction, now).await?;
    Ok(usize::try_from(usage).unwrap_or(usize::MAX).saturating_add(counters + keys))
}

/// The ids of as many of these as fit into a slice of which so many octets are taken, and one at the least; and the sum.
fn up_to_a_slice(found: &[Row], taken: u64) -> Result<(Vec<Uuid>, u64), Fault> {
    let (mut ids, mut bytes) = (Vec::with_capacity(found.len()), taken);
    for row in found {
        if bytes >= SLICE_BYTES_MAX {
            break;
        }
        ids.push(rows::get(row, 0)?);
        bytes = bytes.saturating_add(rows::unsigned(row, 1)?);
    }
    Ok((ids, bytes))
}

async fn remove(transaction: &Transaction<'_>, sql: &str, ids: &[Uuid]) -> Result<usize, Fault> {
    if ids.is_empty() {
        return Ok(0);
    }
    let remove = transaction.prepare_cached(sql).await?;
    let removed = transaction.execute(&remove, &[&ids]).await?;
    Ok(usize::try_from(removed).unwrap_or(usize::MAX))
}

/// Below this id is all that was received until then.
fn received_until(limit: Timestamp) -> Uuid {
    let end = limit.checked_add(Duration::from_millis(1)).unwrap_or(Timestamp::MAX);
    rows::uuid(QueueId::lower_bound(end))
}

/// A moment ago; the earliest there is when that is too long.
fn before(now: Timestamp, age: Duration) -> Timestamp {
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}
