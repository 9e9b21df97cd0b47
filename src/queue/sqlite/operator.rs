//! What an operator does to a message: have it tried again, stop it.

use rusqlite::{Connection, OptionalExtension, params};

use super::fault::Fault;
use super::rows::{self, Id};
use super::tally::Tally;
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{RecipientStatus, State, StoreError, rules};

/// Puts a message that waits or is over back into the queue, due now.
pub(super) fn retry(
    connection: &Connection,
    tally: &mut Tally,
    id: QueueId,
    provider: Option<&str>,
    now: Timestamp,
) -> Result<(), Fault> {
    let Current { state, mut recipients, has_account } = current(connection, id)?;
    rules::may_retry(id, state)?;
    rules::may_name(id, state, provider, has_account)?;
    if !has_content(connection, id)? {
        return Err(StoreError::ContentGone(id).into());
    }
    rules::reopen(&mut recipients);
    connection
        .prepare_cached(
            "UPDATE messages SET state = 0, due_at = ?2, trying_since = ?2, deferrals = 0, finished_at = NULL, \
             recipients = ?3, pinned_provider = ?4 WHERE id = ?1",
        )?
        .execute(params![
            Id(id),
            rows::millis(now),
            rows::recipients_json(&recipients)?,
            provider
        ])?;
    tally.moved(id, state, State::Queued);
    Ok(())
}

/// Stops a message that waits.
pub(super) fn cancel(
    connection: &Connection,
    tally: &mut Tally,
    id: QueueId,
    now: Timestamp,
) -> Result<(), Fault> {
    let Current { state, mut recipients, has_account: _ } = current(connection, id)?;
    rules::may_cancel(id, state)?;
    rules::stop(&mut recipients);
    connection
        .prepare_cached(
            "UPDATE messages SET state = 4, finished_at = ?2, recipients = ?3 WHERE id = ?1",
        )?
        .execute(params![Id(id), rows::millis(now), rows::recipients_json(&recipients)?])?;
    tally.moved(id, state, State::Cancelled);
    Ok(())
}

struct Current {
    state: State,
    recipients: Vec<RecipientStatus>,
    /// It goes by the account that its client brought.
    has_account: bool,
}

fn current(connection: &Connection, id: QueueId) -> Result<Current, Fault> {
    connection
        .prepare_cached(
            "SELECT state, recipients, account IS NOT NULL FROM messages WHERE id = ?1",
        )?
        .query_row([Id(id)], |row| {
            Ok(Current {
                state: rows::state(row, 0)?,
                recipients: rows::json(row, 1)?,
                has_account: row.get(2)?,
            })
        })
        .optional()?
        .ok_or_else(|| StoreError::NotFound(id).into())
}

fn has_content(connection: &Connection, id: QueueId) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT 1 FROM messages AS m JOIN bodies AS b ON b.n = m.body AND b.message = m.id WHERE m.id = ?1",
        )?
        .exists([Id(id)])
}
