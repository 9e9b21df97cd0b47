//! Walking over messages, newest first, for those that fulfil conditions: by the index as far as it has come, by looking at
//! the records in front of it.

use std::iter::Peekable;

use rusqlite::types::ToSql;
use rusqlite::{Connection, OptionalExtension as _, Row, Statement};

use super::fault::is_index_damaged;
use super::indexer;
use super::rows::{self, Id};
use super::terms::{self, Terms};
use crate::message::QueueId;
use crate::queue::{Page, Summary};

/// Records that one page looks at where no index helps: in stretches, so that a page that is soon full looks at few.
pub(super) const STRETCHES: &[u32] = &[500, 4_500, 20_000];

/// Records that one page looks at because the index names them.
const NAMED_MAX: usize = 4_000;

/// Where a stretch ends.
const STRETCH: &str = "SELECT id FROM messages WHERE id <= ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2";

/// What is looked for.
pub(super) struct Wanted<'a> {
    /// Conditions on `m`; parameters from `?4` on.
    pub(super) conditions: &'a str,
    pub(super) parameters: &'a [Box<dyn ToSql>],
    /// What the index knows of it; nothing where the index is of no use.
    pub(super) terms: Terms,
    /// How many records are looked at where no index helps.
    pub(super) stretches: &'static [u32],
    /// Only messages older than this one.
    pub(super) before: Option<QueueId>,
    pub(super) length: usize,
}

/// How a walk ended.
enum End {
    /// There is nothing older.
    Bottom,
    /// There is one more than the page holds.
    Full,
    /// Enough was looked at: the next page begins below this id.
    Tired(u128),
}

/// The newest messages that match. A page may be short and have a next one all the same.
pub(super) fn page(connection: &Connection, wanted: &Wanted<'_>) -> rusqlite::Result<Page> {
    match look(connection, wanted, !wanted.terms.is_empty()) {
        Err(error) if is_index_damaged(&error) => {
            tracing::warn!(%error, "queue index is damaged; the records were searched without it");
            look(connection, wanted, false)
        }
        result => result,
    }
}

fn look(connection: &Connection, wanted: &Wanted<'_>, by_index: bool) -> rusqlite::Result<Page> {
    let Some(high) = highest(wanted.before) else { return Ok(Page::default()) };
    let mut walk = Walk::new(connection, wanted)?;
    let upto = if by_index { terms::number(indexer::upto(connection)?) } else { 0 };
    let end = match (walk.look_through(connection, high, upto)?, upto.checked_sub(1)) {
        (End::Bottom, Some(indexed)) => walk.follow(connection, high.min(indexed))?,
        (end, _) => end,
    };
    let mut messages = walk.found;
    messages.truncate(wanted.length);
    let next = match end {
        End::Bottom => None,
        End::Full => messages.last().map(|last| last.id),
        End::Tired(low) => Some(terms::id(low)),
    };
    Ok(Page { messages, next })
}

/// The largest id below this one.
fn highest(before: Option<QueueId>) -> Option<u128> {
    before.map_or(Some(u128::MAX), |before| terms::number(before).checked_sub(1))
}

struct Walk<'c, 'a> {
    wanted: &'a Wanted<'a>,
    /// Reads the messages of a range that match.
    range: Statement<'c>,
    found: Vec<Summary>,
}

impl<'c, 'a> Walk<'c, 'a> {
    fn new(connection: &'c Connection, wanted: &'a Wanted<'a>) -> rusqlite::Result<Self> {
        let sql = format!(
            "SELECT {} FROM messages AS m WHERE m.id >= ?1 AND m.id <= ?2{} ORDER BY m.id DESC LIMIT ?3",
            rows::SUMMARY_COLUMNS,
            wanted.conditions,
        );
        let mut range = connection.prepare(&sql)?;
        for (parameter, number) in wanted.parameters.iter().zip(4..) {
            range.raw_bind_parameter(number, parameter)?;
        }
        Ok(Self { wanted, range, found: Vec::new() })
    }

    /// Looks at all messages from `high` down to `low`.
    fn look_at(&mut self, low: u128, high: u128) -> rusqlite::Result<End> {
        let room = self.wanted.length + 1 - self.found.len();
        self.range.raw_bind_parameter(1, Id(terms::id(low)))?;
        self.range.raw_bind_parameter(2, Id(terms::id(high)))?;
        self.range.raw_bind_parameter(3, rows::signed(room))?;
        let mut rows = self.range.raw_query();
        while let Some(row) = rows.next()? {
            self.found.push(rows::summary(row)?);
        }
        Ok(if self.found.len() > self.wanted.length { End::Full } else { End::Bottom })
    }

    /// Looks at messages from `high` down to `bottom`, a stretch at a time.
    fn look_through(
        &mut self,
        connection: &Connection,
        mut high: u128,
        bottom: u128,
    ) -> rusqlite::Result<End> {
        for length in self.wanted.stretches {
            if high < bottom {
                return Ok(End::Bottom);
            }
            let mut ends = connection.prepare_cached(STRETCH)?;
            let mut ends = ends.query((Id(terms::id(high)), length))?;
            let end = ends.next()?.map(|row| rows::id(row, 0)).transpose()?;
            let low = end.map_or(bottom, terms::number).max(bottom);
            if let End::Full = self.look_at(low, high)? {
                return Ok(End::Full);
            }
            if low == bottom {
                return Ok(End::Bottom);
            }
            high = low - 1;
        }
        Ok(End::Tired(high + 1))
    }

    /// Looks at the messages from `high` down that the index names, and at those that have changed since it was written.
    fn follow(&mut self, connection: &Connection, high: u128) -> rusqlite::Result<End> {
        let mut search = connection.prepare_cached(
            "SELECT rowid FROM search WHERE search MATCH ?1 AND rowid <= ?2 ORDER BY rowid DESC",
        )?;
        let mut changed = connection.prepare_cached(
            "SELECT message FROM unindexed WHERE message <= ?1 ORDER BY message DESC",
        )?;
        let query = self.wanted.terms.query(|part| how_new(connection, part, terms::row(high)))?;
        let named = search.query_map((query, terms::row(high)), number)?;
        let changed = changed.query_map([Id(terms::id(high))], |row| {
            Ok(terms::row(terms::number(rows::id(row, 0)?)))
        })?;
        let mut candidates = Merged { one: named.peekable(), other: changed.peekable() };
        let mut last = high;
        for _ in 0..NAMED_MAX {
            let Some(row) = candidates.next().transpose()? else { return Ok(End::Bottom) };
            let (low, end) = terms::ids(row);
            if let End::Full = self.look_at(low, end.min(high))? {
                return Ok(End::Full);
            }
            last = low;
        }
        Ok(End::Tired(last))
    }
}

/// How far up those are that have this part, by the last of the first few; nothing when there are not so many.
fn how_new(connection: &Connection, part: &str, high: i64) -> rusqlite::Result<Option<i64>> {
    connection
        .prepare_cached(
            "SELECT rowid FROM search WHERE search MATCH ?1 AND rowid <= ?2 ORDER BY rowid DESC \
             LIMIT 1 OFFSET 63",
        )?
        .query_row((part, high), number)
        .optional()
}

fn number(row: &Row<'_>) -> rusqlite::Result<i64> {
    row.get(0)
}

/// Two lists of falling numbers as one, each number once.
struct Merged<A: Iterator, B: Iterator> {
    one: Peekable<A>,
    other: Peekable<B>,
}

impl<A, B> Iterator for Merged<A, B>
where
    A: Iterator<Item = rusqlite::Result<i64>>,
    B: Iterator<Item = rusqlite::Result<i64>>,
{
    type Item = rusqlite::Result<i64>;

    fn next(&mut self) -> Option<Self::Item> {
        let largest = match (self.one.peek(), self.other.peek()) {
            (Some(Err(_)), _) => return self.one.next(),
            (_, Some(Err(_))) => return self.other.next(),
            (Some(Ok(one)), Some(Ok(other))) => *one.max(other),
            (Some(Ok(only)), None) | (None, Some(Ok(only))) => *only,
            (None, None) => return None,
        };
        let is_largest = |next: &rusqlite::Result<i64>| matches!(next, Ok(n) if *n == largest);
        while self.one.next_if(is_largest).is_some() {}
        while self.other.next_if(is_largest).is_some() {}
        Some(Ok(largest))
    }
}
