//! Finding messages by their names: the Message-ID, and what providers called them.

use rusqlite::{Connection, OptionalExtension, params};

use super::rows;
use crate::message::QueueId;

/// So many messages of one name are looked for: an app that gives all its mail the same Message-ID must not cost more.
const NAMED_MAX: usize = 500;

/// Steps of time that are looked at, from the newest on: some twenty years of them.
const STEPS_MAX: usize = 700_000;

/// Where a kind of name is kept, in the words of the index that is walked along.
struct Index {
    table: &'static str,
    index: &'static str,
    step: &'static str,
    id: &'static str,
    name: &'static str,
    present: &'static str,
}

const MESSAGE_IDS: Index = Index {
    table: "messages",
    index: "by_message_id",
    step: "substr(hex(id), 1, 7)",
    id: "id",
    name: "message_id",
    present: "message_id <> ''",
};

const PROVIDER_IDS: Index = Index {
    table: "attempts",
    index: "by_provider_id",
    step: "substr(hex(message), 1, 7)",
    id: "message",
    name: "provider_message_id",
    present: "provider_message_id IS NOT NULL",
};

/// The messages of this name, newest first.
pub(super) fn find(connection: &Connection, name: &str) -> rusqlite::Result<Vec<QueueId>> {
    let mut ids = MESSAGE_IDS.find(connection, name)?;
    ids.extend(PROVIDER_IDS.find(connection, name)?);
    ids.sort_unstable();
    ids.dedup();
    ids.reverse();
    ids.truncate(NAMED_MAX);
    Ok(ids)
}

impl Index {
    /// One look per step of time that has messages.
    fn find(&self, connection: &Connection, name: &str) -> rusqlite::Result<Vec<QueueId>> {
        let Self { table, index, step, id, name: column, present } = self;
        let mut earlier = connection.prepare_cached(&format!(
            "SELECT {step} FROM {table} INDEXED BY {index} WHERE {present} AND {step} < ?1 \
             ORDER BY {step} DESC LIMIT 1"
        ))?;
        let mut look = connection.prepare_cached(&format!(
            "SELECT {id} FROM {table} INDEXED BY {index} WHERE {present} AND {step} = ?1 AND {column} = ?2 LIMIT ?3"
        ))?;
        let mut ids = Vec::new();
        // Behind every step: they are hexadecimal digits.
        let mut at = "G".to_owned();
        for _ in 0..STEPS_MAX {
            let next: Option<String> = earlier.query_row([&at], |row| row.get(0)).optional()?;
            let Some(next) = next else { break };
            at = next;
            let mut found = look.query(params![at, name, rows::signed(NAMED_MAX)])?;
            while let Some(row) = found.next()? {
                ids.push(rows::id(row, 0)?);
            }
            if ids.len() >= NAMED_MAX {
                break;
            }
        }
        Ok(ids)
    }
}
