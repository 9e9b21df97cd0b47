//! Finding messages by their names: the Message-ID, and what providers called them. No index has them, because it would
//! cost each message more than these searches are worth: both tables are read, the newest first.

use rusqlite::{Connection, params};

use super::rows;
use crate::message::QueueId;

/// So many messages of one name are looked for: an app that gives all its mail the same Message-ID must not cost more.
const NAMED_MAX: usize = 500;

const BY_MESSAGE_ID: &str =
    "SELECT id FROM messages WHERE message_id = ?1 ORDER BY id DESC LIMIT ?2";

const BY_PROVIDER_ID: &str = "SELECT DISTINCT message FROM attempts WHERE provider_message_id = ?1 \
     ORDER BY message DESC LIMIT ?2";

/// The messages of this name, newest first.
pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Vec<QueueId>> {
    let mut ids = Vec::new();
    for sql in [BY_MESSAGE_ID, BY_PROVIDER_ID] {
        let mut search = connection.prepare_cached(sql)?;
        let mut found = search.query(params![name, rows::signed(NAMED_MAX)])?;
        while let Some(row) = found.next()? {
            ids.push(rows::id(row, 0)?);
        }
    }
    ids.sort_unstable();
    ids.dedup();
    ids.reverse();
    ids.truncate(NAMED_MAX);
    Ok(ids)
}
