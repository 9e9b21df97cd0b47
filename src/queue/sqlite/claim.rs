//! Handing out what is due.

use std::sync::Arc;

use rusqlite::{Connection, Row, params};

use super::books::Books;
use super::fault::{Fault, is_unreadable};
use super::insert::content_at;
use super::rows::{self, Id};
use super::shelf::FileShelf;
use crate::clock::Timestamp;
use crate::message::{Envelope, IndexFields, Message, QueueId, SealedAccount};
use crate::queue::round::{self, Chosen, Rounds};
use crate::queue::rules::HISTORY_MAX;
use crate::queue::{BatchId, Claim, Doubt, Lease, Outcome, Place, Portion, RecipientStatus, State};

/// What a claim asks for.
#[derive(Debug)]
pub(super) struct Wanted<'a> {
    pub(super) portion: &'a Portion,
    pub(super) now: Timestamp,
    pub(super) lease: &'a Lease,
}

/// Claims what is due, in turns.
///
/// A record that cannot be read must not stand in the way of all others for ever: it fails, with the reason.
pub(super) fn claim(
    connection: &Connection,
    books: &mut Books,
    rounds: &mut Rounds,
    wanted: &Wanted<'_>,
) -> Result<Vec<Claim>, Fault> {
    let mut shelf = FileShelf::new(connection)?;
    let chosen = round::choose(&mut shelf, rounds, wanted.portion, wanted.now)?;
    let mut claims = Vec::with_capacity(chosen.len());
    for Chosen { id, from } in chosen {
        lease(connection, id, wanted.lease)?;
        let problem = match read(connection, id) {
            Ok(Some(claim)) => {
                claims.push(claim);
                books.tally.moved(id, from, State::Sending);
                continue;
            }
            Ok(None) => "its content is missing in the queue, or a part of it".to_owned(),
            Err(error) if is_unreadable(&error) => format!("its record cannot be read: {error}"),
            Err(error) => return Err(Fault::Broken(error)),
        };
        tracing::error!(queue_id = %id, error = problem, "message failed");
        fail(connection, id, wanted.now, &problem)?;
        books.tally.moved(id, from, State::Failed);
        books.index.changed(connection, id)?;
    }
    Ok(claims)
}

/// Makes the message ours under the next number.
fn lease(connection: &Connection, id: QueueId, lease: &Lease) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE messages SET state = 1, due_at = ?2, lease = lease + 1, lease_owner = ?3 WHERE id = ?1",
        )?
        .execute(params![Id(id), rows::millis(lease.expires), &*lease.owner])?;
    Ok(())
}

/// Reads a message as it is handed out; `None` without its content.
fn read(connection: &Connection, id: QueueId) -> rusqlite::Result<Option<Claim>> {
    let mut search = connection.prepare_cached(
        "SELECT lease, deferrals, trying_since, pinned_provider, received_at, sender, recipients, smtp_utf8, \
         header_from, subject, message_id, user, size, body, body_rows, dsn, account, may_steer, bulk, begun_by, begun_at, batch, place, batch_of FROM messages WHERE id = ?1",
    )?;
    search.query_row([Id(id)], |row| {
        let (size, first, pieces) = (rows::unsigned(row, 12)?, row.get(13)?, row.get(14)?);
        let Some(raw) = content_at(connection, id, size, first, pieces)? else {
            return Ok(None);
        };
        let recipients: Vec<RecipientStatus> = rows::json(row, 6)?;
        Ok(Some(Claim {
            lease: row.get(0)?,
            deferrals: row.get(1)?,
            trying_since: rows::time(row, 2)?,
            pinned_provider: row.get(3)?,
            history: history(connection, id)?,
            message: Arc::new(Message {
                id,
                received_at: rows::time(row, 4)?,
                envelope: envelope(row, &recipients)?,
                raw: raw.into_bytes(),
                index: IndexFields {
                    header_from: row.get(8)?,
                    subject: row.get(9)?,
                    message_id: row.get(10)?,
                    bulk: row.get(18)?,
                },
                user: row.get(11)?,
                account: row.get::<_, Option<Vec<u8>>>(16)?.map(|seal| SealedAccount(seal.into())),
                may_steer: row.get(17)?,
            }),
            recipients,
            doubt: doubt(row)?,
        }))
    })
}

fn doubt(row: &Row<'_>) -> rusqlite::Result<Option<Doubt>> {
    let Some(provider) = row.get(19)? else { return Ok(None) };
    let batch: Option<[u8; 16]> = row.get(21)?;
    let place = batch.map(|batch| {
        let batch = BatchId(QueueId::from_bytes(batch));
        Ok::<_, rusqlite::Error>(Place { batch, number: row.get(22)?, of: row.get(23)? })
    });
    Ok(Some(Doubt { provider, since: rows::time(row, 20)?, place: place.transpose()? }))
}

fn envelope(row: &Row<'_>, recipients: &[RecipientStatus]) -> rusqlite::Result<Envelope> {
    Ok(Envelope {
        sender: rows::sender(row, 5)?,
        recipients: recipients.iter().map(|recipient| recipient.address.clone()).collect(),
        smtp_utf8: row.get(7)?,
        dsn: rows::json_or_none(row, 15)?.map(Box::new),
    })
}

/// The latest attempts, the oldest of them first.
fn history(connection: &Connection, id: QueueId) -> rusqlite::Result<Vec<(String, Outcome)>> {
    let mut search = connection.prepare_cached(
        "SELECT provider, outcome FROM attempts WHERE message = ?1 ORDER BY n DESC LIMIT ?2",
    )?;
    let mut history = search
        .query_map((Id(id), rows::signed(HISTORY_MAX)), |row| {
            Ok((row.get(0)?, rows::outcome(row, 1)?))
        })?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    history.reverse();
    Ok(history)
}

fn fail(connection: &Connection, id: QueueId, now: Timestamp, error: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE messages SET state = 3, finished_at = ?2, error = ?3, lease_owner = NULL WHERE id = ?1",
        )?
        .execute(params![Id(id), rows::millis(now), error])?;
    Ok(())
}
