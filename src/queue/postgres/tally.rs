//! How full the queue is: triggers count along with each change (migrations/0002_aside.sql), so that nobody has to count
//! rows.

use tokio_postgres::Row;
use uuid::Uuid;

use super::change::Fault;
use super::connect::Connections;
use super::rows;
use crate::clock::Timestamp;
use crate::queue::{Counts, StoreError};

/// How many messages are open, as a part of another statement. Costs the same at any backlog.
pub(super) const OPEN: &str = "(SELECT coalesce(sum(queued + sending), 0)::bigint FROM tallies)";

/// How many records are looked through for the oldest open message before the indexes are asked: so many, or a part of
/// the open messages, which is about as much work as the indexes are.
const STEPS_MIN: i64 = 1_000;
const STEPS_PART: i64 = 8;

/// The floor is left where it is while so few steps lead from it to the oldest.
const STEPS_KEPT: i64 = 64;

const SLOTS: &str = "SELECT queued, sending, failed, lowest, slot, changes FROM tallies";

/// From the floor on, with the number of steps to it.
const WALK: &str = "SELECT id, received_at, step FROM \
     (SELECT id, received_at, state, row_number() OVER (ORDER BY id) AS step FROM messages WHERE id >= $1 \
      ORDER BY id LIMIT $2) AS steps \
     WHERE state < 2 OR step = $2 ORDER BY id LIMIT 1";

/// Reads the indexes of open messages.
const LEAST: &str = "WITH open AS MATERIALIZED \
     (SELECT id, received_at FROM messages WHERE state = 0 UNION ALL SELECT id, received_at FROM messages WHERE state = 1) \
     SELECT id, received_at FROM open ORDER BY id LIMIT 1";

/// Only rows that are as they were read: whatever came in between has changed one, and is found from there. A row that
/// somebody has at the moment is left alone.
const RAISE: &str = "UPDATE tallies SET lowest = $3 WHERE slot IN \
     (SELECT t.slot FROM tallies AS t JOIN unnest($1::bigint[], $2::bigint[]) AS seen (slot, changes) \
        ON t.slot = seen.slot AND t.changes = seen.changes \
      FOR NO KEY UPDATE OF t SKIP LOCKED)";

/// The rows, summed up.
#[derive(Debug, Default)]
struct Tally {
    queued: i64,
    sending: i64,
    failed: i64,
    /// No open message has a smaller id. Nothing while none was ever open.
    floor: Option<Uuid>,
    /// The slots below, and how often each had changed.
    slots: Vec<i64>,
    changes: Vec<i64>,
}

/// The figures.
pub(super) async fn counts(connections: &Connections) -> Result<Counts, StoreError> {
    Ok(read(connections).await?)
}

async fn read(connections: &Connections) -> Result<Counts, Fault> {
    let client = connections.short().await?;
    let slots = client.query(&client.prepare_cached(SLOTS).await?, &[]).await?;
    let tally = Tally::of(&slots)?;
    let open = tally.queued + tally.sending;
    let counts = |oldest| Counts {
        queued: tally.queued.try_into().unwrap_or(0),
        sending: tally.sending.try_into().unwrap_or(0),
        failed: tally.failed.try_into().unwrap_or(0),
        oldest,
    };
    let raise = async |floor: Option<Uuid>| {
        let raise = client.prepare_cached(RAISE).await?;
        client.execute(&raise, &[&tally.slots, &tally.changes, &floor]).await
    };
    let Some(floor) = tally.floor else { return Ok(counts(None)) };
    if open == 0 {
        raise(None).await?;
        return Ok(counts(None));
    }
    let steps = STEPS_MIN.max(open / STEPS_PART);
    let walk = client.prepare_cached(WALK).await?;
    let Some(row) = client.query_opt(&walk, &[&floor, &steps]).await? else {
        return Ok(counts(None));
    };
    let (found, step) = (open_at(&row)?, rows::get::<i64>(&row, 2)?);
    if step < steps {
        if step > STEPS_KEPT {
            raise(Some(found.0)).await?;
        }
        return Ok(counts(Some(found.1)));
    }
    let least = client.prepare_cached(LEAST).await?;
    let Some(row) = client.query_opt(&least, &[]).await? else { return Ok(counts(None)) };
    let (id, oldest) = open_at(&row)?;
    raise(Some(id)).await?;
    Ok(counts(Some(oldest)))
}

/// An id, and when its message was received.
fn open_at(row: &Row) -> Result<(Uuid, Timestamp), Fault> {
    Ok((rows::get(row, 0)?, rows::time(row, 1)?))
}

impl Tally {
    fn of(rows: &[Row]) -> Result<Self, Fault> {
        let mut tally = Self::default();
        for row in rows {
            tally.queued += rows::get::<i64>(row, 0)?;
            tally.sending += rows::get::<i64>(row, 1)?;
            tally.failed += rows::get::<i64>(row, 2)?;
            let lowest: Option<Uuid> = rows::get(row, 3)?;
            let Some(lowest) = lowest else { continue };
            tally.floor = Some(tally.floor.map_or(lowest, |floor| floor.min(lowest)));
            tally.slots.push(rows::get(row, 4)?);
            tally.changes.push(rows::get(row, 5)?);
        }
        Ok(tally)
    }
}
