//! Finding messages by their names: the Message-ID, and what providers called them. The index knows which messages may have
//! a name; in front of it the records are read.

use rusqlite::types::ToSql;
use rusqlite::{Connection, params};

use super::rows::{self, Id};
use super::terms::{self, Terms};
use super::{indexer, rows::signed};
use crate::message::QueueId;

/// So many messages of one name are looked for: an app that gives all its mail the same Message-ID must not cost more.
const NAMED_MAX: usize = 500;

/// In front of the index, and among what has changed since.
const BY_MESSAGE_ID: [&str; 2] = [
    "SELECT id FROM messages WHERE id >= ?2 AND message_id = ?1 ORDER BY id DESC LIMIT ?3",
    "SELECT m.id FROM unindexed AS u CROSS JOIN messages AS m ON m.id = u.message \
     WHERE m.message_id = ?1 AND m.id < ?2 ORDER BY m.id DESC LIMIT ?3",
];
const BY_PROVIDER_ID: [&str; 2] = [
    "SELECT DISTINCT message FROM attempts WHERE message >= ?2 AND provider_message_id = ?1 \
     ORDER BY message DESC LIMIT ?3",
    "SELECT DISTINCT a.message FROM unindexed AS u CROSS JOIN attempts AS a ON a.message = u.message \
     WHERE a.provider_message_id = ?1 AND a.message < ?2 ORDER BY a.message DESC LIMIT ?3",
];

/// Among those of a row in the index.
const IN_ROW: &str = "SELECT id FROM messages AS m WHERE id >= ?2 AND id <= ?3 AND (message_id = ?1 \
     OR EXISTS (SELECT 1 FROM attempts AS a WHERE a.message = m.id AND a.provider_message_id = ?1))";

/// The messages of this name, newest first.
pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Vec<QueueId>> {
    let mut terms = Terms::default();
    terms.name(name);
    let upto = if terms.is_empty() { terms::id(0) } else { indexer::upto(connection)? };
    let mut ids = Vec::new();
    for sql in BY_MESSAGE_ID.into_iter().chain(BY_PROVIDER_ID) {
        add(connection, sql, params![name, Id(upto), signed(NAMED_MAX)], &mut ids)?;
    }
    if !terms.is_empty() {
        let mut search = connection
            .prepare_cached("SELECT rowid FROM search WHERE search MATCH ?1 ORDER BY rowid DESC")?;
        let mut found = search.query([terms.query()])?;
        let enough = ids.len() + NAMED_MAX;
        while ids.len() < enough
            && let Some(row) = found.next()?
        {
            let (low, high) = terms::ids(row.get(0)?);
            let range = params![name, Id(terms::id(low)), Id(terms::id(high))];
            add(connection, IN_ROW, range, &mut ids)?;
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids.reverse();
    ids.truncate(NAMED_MAX);
    Ok(ids)
}

fn add(
    connection: &Connection,
    sql: &str,
    parameters: &[&dyn ToSql],
    ids: &mut Vec<QueueId>,
) -> rusqlite::Result<()> {
    let mut search = connection.prepare_cached(sql)?;
    let mut found = search.query(parameters)?;
    while let Some(row) = found.next()? {
        ids.push(rows::id(row, 0)?);
    }
    Ok(())
}
