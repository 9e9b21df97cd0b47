//! What an operator does to a message: have it tried again, stop it.

use rusqlite::{Connection, OptionalExtension, params};

use super::books::Books;
use super::fault::Fault;
use super::rows::{self, Id};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{RecipientStatus, Retried, Retry, State, StoreError, rules};

/// Messages that one slice of [`retry_failed`] looks at.
const SLICE: usize = 500;

pub(super) const FAILED: &str = "SELECT id, begun_by IS NOT NULL FROM messages INDEXED BY stopped \
     WHERE state = 3 AND state >= 3 AND id < ?1 ORDER BY id DESC LIMIT ?2";

/// Puts a message that waits or is over back into the queue, due now.
pub(super) fn retry(
    connection: &Connection,
    books: &mut Books,
    id: QueueId,
    retry: &Retry,
    now: Timestamp,
) -> Result<(), Fault> {
    let current = current(connection, id)?;
    reopen(connection, books, id, current, retry, now)
}

/// The same, of a message that has been looked at.
fn reopen(
    connection: &Connection,
    books: &mut Books,
    id: QueueId,
    current: Current,
    retry: &Retry,
    now: Timestamp,
) -> Result<(), Fault> {
    let Current { state, mut recipients, has_account, in_doubt, in_batch } = current;
    rules::may_retry(id, state, retry)?;
    rules::may_name(id, state, retry.provider.as_deref(), has_account)?;
    rules::may_leave_batch(id, state, in_batch, retry)?;
    if !has_content(connection, id)? {
        return Err(StoreError::ContentGone(id).into());
    }
    let keeps_doubt = rules::keeps_doubt(state, in_batch, retry);
    rules::reopen(&mut recipients, state, &retry.recipients, keeps_doubt && in_doubt);
    connection
        .prepare_cached(
            "UPDATE messages SET state = 0, due_at = ?2, trying_since = ?2, deferrals = 0, finished_at = NULL, \
             recipients = ?3, pinned_provider = ?4, way = '', begun_by = iif(?5, begun_by, NULL) \
             WHERE id = ?1",
        )?
        .execute(params![
            Id(id),
            rows::millis(now),
            rows::recipients_json(&recipients)?,
            retry.provider,
            keeps_doubt,
        ])?;
    books.tally.moved(id, state, State::Queued);
    books.index.changed(connection, id)?;
    Ok(())
}

/// Retries the newest of what has failed, from `before` on.
pub(super) fn retry_failed(
    connection: &Connection,
    books: &mut Books,
    before: Option<QueueId>,
    now: Timestamp,
) -> Result<Retried, Fault> {
    let before = before.unwrap_or(QueueId::from_bytes([0xff; 16]));
    let slice: Vec<(QueueId, bool)> = connection
        .prepare_cached(FAILED)?
        .query_map(params![Id(before), rows::signed(SLICE)], |row| {
            Ok((rows::id(row, 0)?, row.get(1)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    let mut retried = Retried::default();
    for (id, in_doubt) in &slice {
        if *in_doubt {
            retried.in_doubt += 1;
            continue;
        }
        let current = current(connection, *id)?;
        if rules::is_only_suppressed(&current.recipients) {
            continue;
        }
        match reopen(connection, books, *id, current, &Retry::default(), now) {
            Ok(()) => retried.retried += 1,
            Err(Fault::Refused(_)) => retried.without_content += 1,
            Err(broken @ Fault::Broken(_)) => return Err(broken),
        }
    }
    retried.next = slice.last().map(|(id, _)| *id).filter(|_| slice.len() == SLICE);
    Ok(retried)
}

/// Stops a message that waits.
pub(super) fn cancel(
    connection: &Connection,
    books: &mut Books,
    id: QueueId,
    now: Timestamp,
) -> Result<(), Fault> {
    let Current { state, mut recipients, in_batch, .. } = current(connection, id)?;
    rules::may_cancel(id, state, in_batch)?;
    rules::stop(&mut recipients);
    connection
        .prepare_cached(
            "UPDATE messages SET state = 4, finished_at = ?2, recipients = ?3 WHERE id = ?1",
        )?
        .execute(params![Id(id), rows::millis(now), rows::recipients_json(&recipients)?])?;
    books.tally.moved(id, state, State::Cancelled);
    books.index.changed(connection, id)?;
    Ok(())
}

struct Current {
    state: State,
    recipients: Vec<RecipientStatus>,
    /// It goes by the account that its client brought.
    has_account: bool,
    /// The record says by whom it is, or was, being tried.
    in_doubt: bool,
    /// It is in doubt as a member of a batch.
    in_batch: bool,
}

fn current(connection: &Connection, id: QueueId) -> Result<Current, Fault> {
    connection
        .prepare_cached(
            "SELECT state, recipients, account IS NOT NULL, begun_by IS NOT NULL, batch IS NOT NULL FROM messages \
             WHERE id = ?1",
        )?
        .query_row([Id(id)], |row| {
            Ok(Current {
                state: rows::state(row, 0)?,
                recipients: rows::json(row, 1)?,
                has_account: row.get(2)?,
                in_doubt: row.get(3)?,
                in_batch: row.get(4)?,
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
