//! Recording how a claim ended.

use rusqlite::{Connection, params};

use super::books::Books;
use super::fault::Fault;
use super::rows::{self, Id};
use super::served::Served;
use crate::message::QueueId;
use crate::queue::rules::{Change, LastError};
use crate::queue::{Attempt, Next, Settlement, State, StoreError, WayKey};

/// Writes the new state under the lease that is expected, and the attempts. A delivered message needs the account
/// that its client brought no more.
pub(super) fn settle(
    connection: &Connection,
    books: &mut Books,
    served: &mut Served,
    settlement: &Settlement,
) -> Result<(), Fault> {
    let change = Change::of(settlement);
    let (keeps_error, error) = match change.error {
        LastError::Keep => (true, None),
        LastError::Clear => (false, None),
        LastError::Set(error) => (false, Some(error)),
    };
    let is_news = is_news(connection, books, settlement.id, &change)?;
    let held = connection
        .prepare_cached(
            "UPDATE messages SET state = ?3, due_at = coalesce(?4, due_at), deferrals = deferrals + ?5, \
             finished_at = ?6, recipients = ?7, provider = coalesce(?8, provider), \
             provider_message_id = coalesce(?9, provider_message_id), error = iif(?10, error, ?11), \
             lease_owner = iif(?3 = 1, lease_owner, NULL), account = iif(?3 = 2, NULL, account), \
             begun_by = coalesce(?14, iif(?12, begun_by, NULL)), begun_at = iif(?14 IS NULL, begun_at, ?15), \
             batch = iif(?12 AND ?14 IS NULL, batch, NULL), way = coalesce(?13, way) \
             WHERE id = ?1 AND state = 1 AND lease = ?2",
        )?
        .execute(params![
            Id(settlement.id),
            settlement.lease,
            change.state as u8,
            change.due.map(rows::millis),
            change.deferrals,
            change.finished.map(rows::millis),
            rows::recipients_json(&settlement.recipients)?,
            change.provider,
            change.provider_message_id,
            keeps_error,
            error,
            settlement.unclear || settlement.next == Next::Continue,
            settlement.way.as_ref().map(WayKey::as_str),
            settlement.suspect,
            rows::millis(settlement.at),
        ])?;
    if held == 0 {
        return Err(StoreError::LeaseLost(settlement.id).into());
    }
    for attempt in &settlement.attempts {
        record(connection, settlement.id, attempt)?;
    }
    served.add(&settlement.usage);
    books.tally.moved(settlement.id, State::Sending, change.state);
    if is_news {
        books.index.changed(connection, settlement.id)?;
    }
    Ok(())
}

/// False when what the index has of a message stays as it is: one that waits for its next try as it did before. To write
/// it again for each try would cost much where it has many recipients.
fn is_news(
    connection: &Connection,
    books: &Books,
    id: QueueId,
    change: &Change<'_>,
) -> rusqlite::Result<bool> {
    if !change.state.is_open() || change.provider_message_id.is_some() || !books.index.has(id) {
        return Ok(true);
    }
    let Some(provider) = change.provider else { return Ok(false) };
    let mut search =
        connection.prepare_cached("SELECT 1 FROM messages WHERE id = ?1 AND provider = ?2")?;
    Ok(!search.exists(params![Id(id), provider])?)
}

/// Adds an attempt after those that are there.
fn record(connection: &Connection, id: QueueId, attempt: &Attempt) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO attempts (message, n, at, provider, outcome, error, provider_message_id, latency_ms, \
             recipients, losses, together) VALUES (?1, \
             (SELECT coalesce(max(n), 0) + 1 FROM attempts WHERE message = ?1), \
             ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?
        .execute(params![
            Id(id),
            rows::millis(attempt.at),
            attempt.provider,
            attempt.outcome.name(),
            attempt.error,
            attempt.provider_message_id,
            rows::signed(attempt.latency_ms),
            rows::list_json(&attempt.recipients)?,
            rows::list_json(&attempt.losses)?,
            attempt.together,
        ])?;
    Ok(())
}
