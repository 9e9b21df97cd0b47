//! Noting that calls are about to be made.

use rusqlite::{Connection, params};

use super::fault::Fault;
use super::rows::{self, Id};
use crate::queue::{Start, StoreError};

/// Notes it for all, or for none when the lease of one is not held any more.
pub(super) fn begin(connection: &Connection, start: &Start) -> Result<(), Fault> {
    let mut is_held = connection
        .prepare_cached("SELECT 1 FROM messages WHERE id = ?1 AND state = 1 AND lease = ?2")?;
    for (id, lease) in &start.claims {
        if !is_held.exists(params![Id(*id), lease])? {
            return Err(StoreError::LeaseLost(*id).into());
        }
    }
    let mut note = connection.prepare_cached(
        "UPDATE messages SET begun_by = ?2, begun_at = ?3, batch = ?4, place = ?5, batch_of = ?6 WHERE id = ?1",
    )?;
    let batch = start.batch.map(|batch| Id(batch.0));
    let of = batch.map(|_| rows::signed(start.claims.len()));
    for ((id, _), number) in start.claims.iter().zip(0_i64..) {
        let place = batch.map(|_| number);
        note.execute(params![Id(*id), start.provider, rows::millis(start.at), batch, place, of])?;
    }
    Ok(())
}
