//! The list of addresses that get no mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params, params_from_iter};

use super::line::{Job, Line};
use super::list::pattern;
use super::read::Reader;
use super::rows;
use crate::clock::Timestamp;
use crate::message::Address;
use crate::queue::{
    StoreError, Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage,
    SuppressionReason, Suppressions, rules,
};

const ONE: &str =
    "SELECT mailbox, address, reason, note, since FROM suppressions WHERE mailbox = ?1";

/// The list in the file.
#[derive(Debug)]
pub(super) struct List {
    pub(super) line: Arc<Line>,
    pub(super) lane: Reader,
    pub(super) desk: Reader,
    pub(super) known: Arc<Known>,
}

/// What is known of the list without a look at it. The writer keeps it true; who reads may only say that there is
/// something.
#[derive(Debug, Default)]
pub(super) struct Known {
    is_filled: AtomicBool,
}

impl Known {
    /// By the writer, after its commit.
    pub(super) fn set(&self, is_filled: bool) {
        self.is_filled.store(is_filled, Ordering::Release);
    }

    /// By anybody who has seen an entry: another process may have put it there.
    pub(super) fn seen(&self) {
        self.set(true);
    }
}

/// A change of the list.
#[derive(Debug)]
pub(super) enum Change {
    Add(Suppression),
    Remove(String),
}

#[async_trait]
impl Suppressions for List {
    fn is_empty(&self) -> bool {
        !self.known.is_filled.load(Ordering::Acquire)
    }

    async fn add(&self, entry: Suppression) -> Result<bool, StoreError> {
        let change = Change::Add(entry);
        self.line.ask(|answer| Job::Suppress { change, answer }).await
    }

    async fn remove(&self, address: &Address) -> Result<bool, StoreError> {
        let change = Change::Remove(address.suppression_key());
        self.line.ask(|answer| Job::Suppress { change, answer }).await
    }

    async fn list(&self, filter: SuppressionFilter) -> Result<SuppressionPage, StoreError> {
        self.desk.run(move |connection| page(connection, &filter)).await
    }

    async fn among(&self, addresses: Vec<Address>) -> Result<Vec<Suppression>, StoreError> {
        self.lane.run(move |connection| among(connection, &addresses)).await
    }
}

/// True when there is an entry.
pub(super) fn is_filled(connection: &Connection) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM suppressions")?.exists([])
}

/// Writes the change. For an addition: whether it is new; for a removal: whether it was there.
pub(super) fn write(connection: &Connection, change: &Change) -> rusqlite::Result<bool> {
    let Suppression { address, reason, note, since } = match change {
        Change::Add(entry) => entry,
        Change::Remove(mailbox) => {
            let mut remove =
                connection.prepare_cached("DELETE FROM suppressions WHERE mailbox = ?1")?;
            return Ok(remove.execute([mailbox])? > 0);
        }
    };
    let mailbox = address.suppression_key();
    let was_there = connection.prepare_cached(ONE)?.exists([&mailbox])?;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO suppressions (mailbox, address, reason, note, since) \
             VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![mailbox, address.as_str(), reason.name(), note, rows::millis(*since)])?;
    Ok(!was_there)
}

fn page(connection: &Connection, filter: &SuppressionFilter) -> rusqlite::Result<SuppressionPage> {
    let length = rules::page_length(filter.limit);
    let mut conditions = String::from("1");
    let mut parameters: Vec<Box<dyn ToSql>> = Vec::new();
    if let Some(reason) = filter.reason {
        parameters.push(Box::new(reason.name()));
        conditions.push_str(" AND reason = ?");
    }
    if let Some(text) = rules::search_text(filter.text.as_deref()) {
        parameters.push(Box::new(pattern(&text)));
        conditions.push_str(" AND address LIKE ? ESCAPE '\\'");
    }
    if let Some(SuppressionCursor { since, key }) = &filter.before {
        parameters.push(Box::new(rows::millis(*since)));
        parameters.push(Box::new(key.clone()));
        conditions.push_str(" AND (since, mailbox) < (?, ?)");
    }
    // One more than the page holds tells whether there is another.
    parameters.push(Box::new(rows::signed(length + 1)));
    let sql = format!(
        "SELECT mailbox, address, reason, note, since FROM suppressions WHERE {conditions} \
         ORDER BY since DESC, mailbox DESC LIMIT ?"
    );
    let mut found = connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(parameters), entry)?
        .collect::<rusqlite::Result<Vec<_>>>()?;
    let more = found.len() > length;
    found.truncate(length);
    let next = found
        .last()
        .filter(|_| more)
        .map(|(key, entry)| SuppressionCursor { since: entry.since, key: key.clone() });
    Ok(SuppressionPage { entries: found.into_iter().map(|(_, entry)| entry).collect(), next })
}

fn among(connection: &Connection, addresses: &[Address]) -> rusqlite::Result<Vec<Suppression>> {
    // All looks must see the same moment.
    let moment = connection.unchecked_transaction()?;
    let mut search = moment.prepare_cached(ONE)?;
    let mut found = Vec::new();
    for address in addresses {
        // What it says may be unreadable, written by a later version perhaps; that it is there is certain.
        let or_bare =
            |row: &Row<'_>| Ok(entry(row).map_or_else(|_| bare(address), |(_, entry)| entry));
        found.extend(search.query_row([address.suppression_key()], or_bare).optional()?);
    }
    Ok(found)
}

/// An entry of this address that says nothing.
fn bare(address: &Address) -> Suppression {
    Suppression {
        address: address.clone(),
        reason: SuppressionReason::Manual,
        note: Some("the entry cannot be read".to_owned()),
        since: Timestamp::default(),
    }
}

/// An entry with its key.
fn entry(row: &Row<'_>) -> rusqlite::Result<(String, Suppression)> {
    let suppression = Suppression {
        address: rows::parsed(row, 1, "an address")?,
        reason: rows::parsed(row, 2, "a reason")?,
        note: row.get(3)?,
        since: rows::time(row, 4)?,
    };
    Ok((row.get(0)?, suppression))
}
