//! Keeping a message, and getting its content back.

use rusqlite::{Connection, params};

use super::books::Books;
use super::fault::Fault;
use super::once;
use super::rows::{self, Content, Id};
use crate::message::{Address, QueueId};
use crate::queue::{Entry, State, StoreError, Turn};

/// The largest piece of content in one row, octets. SQLite copies a row twice on its way in: large messages are
/// cut, so that it copies pieces.
const PIECE_MAX: usize = 512 << 10;

/// Writes the message: one row of record, one or more of content.
pub(super) fn insert(
    connection: &Connection,
    books: &mut Books,
    messages_max: u64,
    entry: &Entry,
) -> Result<(), Fault> {
    let Entry { message, way, lease, provider, once } = entry;
    if let Some(once) = once
        && let Some(seen) = once::seen(connection, once)?
    {
        return Err(StoreError::Seen(seen).into());
    }
    if books.tally.open() >= messages_max {
        return Err(StoreError::Full(messages_max).into());
    }
    let turn = Turn::of(message);
    let (state, number, due) = match lease {
        Some(lease) => (State::Sending, 1, lease.expires),
        None => (State::Queued, 0, message.received_at),
    };
    let (first, pieces) = insert_pieces(connection, message.id, &message.raw)?;
    let received_at = rows::millis(message.received_at);
    let record = connection
        .prepare_cached(
            "INSERT INTO messages (id, state, due_at, lease, lease_owner, deferrals, received_at, trying_since, \
             sender, recipients, smtp_utf8, header_from, subject, message_id, size, user, body, body_rows, dsn, account, \
             may_steer, way, bulk, share, begun_by, begun_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, 0, ?6, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, \
             ?21, ?22, ?23, iif(?23 IS NULL, NULL, ?6))",
        )?
        .execute(params![
            Id(message.id),
            state as u8,
            rows::millis(due),
            number,
            lease.as_ref().map(|lease| &*lease.owner),
            received_at,
            message.envelope.sender.as_ref().map(Address::as_str),
            rows::waiting_json(&message.envelope.recipients)?,
            message.envelope.smtp_utf8,
            message.index.header_from,
            message.index.subject,
            message.index.message_id,
            rows::signed(message.raw.len()),
            message.user,
            first,
            rows::signed(pieces),
            message.envelope.dsn.as_deref().map(rows::to_json).transpose()?,
            message.account.as_ref().map(|account| &*account.0),
            message.may_steer,
            way.as_str(),
            turn.bulk,
            turn.share,
            provider,
        ]);
    match record {
        Ok(_) => {}
        Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) =>
        {
            connection.prepare_cached("DELETE FROM bodies WHERE n >= ?1")?.execute([first])?;
            let problem = format!("there is a message {} already", message.id);
            return Err(StoreError::Unavailable(problem).into());
        }
        Err(error) => return Err(error.into()),
    }
    if let Some(once) = once {
        once::remember(connection, once, message.id)?;
    }
    books.tally.came(message.id, state);
    books.index.came(connection, message.id)?;
    Ok(())
}

/// Appends the rows of content. Returns the number of the first, and how many there are: they follow each other,
/// because only this transaction appends.
pub(super) fn insert_pieces(
    connection: &Connection,
    id: QueueId,
    content: &[u8],
) -> rusqlite::Result<(i64, usize)> {
    let mut append =
        connection.prepare_cached("INSERT INTO bodies (message, raw) VALUES (?1, ?2)")?;
    let (piece, mut rest) = split(content);
    let first = append.insert((Id(id), piece))?;
    let mut pieces = 1;
    while !rest.is_empty() {
        let (piece, after) = split(rest);
        append.insert((Id(id), piece))?;
        rest = after;
        pieces += 1;
    }
    Ok((first, pieces))
}

fn split(content: &[u8]) -> (&[u8], &[u8]) {
    content.split_at(content.len().min(PIECE_MAX))
}

/// The content of a message, while it is kept.
pub(super) fn content(connection: &Connection, id: QueueId) -> rusqlite::Result<Option<Content>> {
    let mut find =
        connection.prepare_cached("SELECT size, body, body_rows FROM messages WHERE id = ?1")?;
    let mut found = find.query([Id(id)])?;
    let Some(row) = found.next()? else { return Ok(None) };
    let (size, first, pieces) = (rows::unsigned(row, 0)?, row.get(1)?, row.get(2)?);
    content_at(connection, id, size, first, pieces)
}

/// The content whose rows are known, if all of it is there.
pub(super) fn content_at(
    connection: &Connection,
    id: QueueId,
    size: u64,
    first: i64,
    pieces: i64,
) -> rusqlite::Result<Option<Content>> {
    let mut read = connection.prepare_cached(
        "SELECT raw FROM bodies WHERE n >= ?1 AND n < ?1 + ?2 AND message = ?3 ORDER BY n",
    )?;
    let mut found = read.query((first, pieces, Id(id)))?;
    let mut content: Option<Content> = None;
    while let Some(row) = found.next()? {
        content.get_or_insert_with(|| Content::with_capacity(size)).add(row, 0)?;
    }
    // A message of which a piece is missing must not go out as if it were the message.
    Ok(content.filter(|content| content.len() == size))
}
