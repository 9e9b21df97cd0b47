//! Keeping the index of texts: what waits to be in it, and writing it, a slice at a time, when there is nothing else to do.
//!
//! A message that comes in costs nothing here. The index follows later and knows how far it has come; what is behind that
//! is found by looking at the records. What changes after it was indexed is noted together with the change.

use std::time::Duration;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, params};
use serde::Deserialize;

use super::rows::{self, Id};
use super::terms::{self, Text};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::State;

/// Messages in one slice at the most. Fewer than that are not written: to look at their records costs next to nothing.
pub(super) const SLICE: usize = 256;

/// Octets of text after which a slice ends: so few that acceptance hardly waits for it, so many that its pages are worth
/// writing. The text of one message may have more, with a thousand recipients.
pub(super) const TEXT: usize = 64 << 10;
/// The same between commits that others wait for.
pub(super) const TEXT_PRESSING: usize = 16 << 10;

/// When so many wait, slices are written also while there is other work.
const PRESSING: u64 = 50_000;
/// The same of those that have changed: each is looked at in every search.
const CHANGED_PRESSING: u64 = 10_000;
/// So far is counted what waits and was not seen to come.
const COUNTED: u64 = 2 * PRESSING;

/// A message that is on its way will have another state and another name in a moment, and is waited for; until so many
/// wait with it.
const PATIENCE: u64 = 5_000;

/// Messages that are further ahead of the clock stay in front of the index: behind one of them each new one would have to
/// be noted.
const AHEAD_MAX: Duration = Duration::from_hours(1);

/// For so long nobody must have wanted anything else.
pub(super) const CALM: Duration = Duration::from_millis(50);
/// The same between one slice and the next.
pub(super) const BREATH: Duration = Duration::from_millis(10);

/// How far the index has come, and what waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Messages before this one are in the index, but for those that are noted.
    upto: QueueId,
    /// How many are not before it, as far as that is known.
    behind: u64,
    /// There may be more of them than were counted.
    is_more_behind: bool,
    /// How many are noted, as far as that is known.
    changed: u64,
    /// Nothing has happened since a slice found nothing that could be done.
    stuck: bool,
}

impl Progress {
    /// Reads it.
    pub(super) fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let upto = upto(connection)?;
        let mut progress =
            Self { upto, behind: 0, is_more_behind: false, changed: 0, stuck: false };
        // A long tail must press at once, however busy everybody is from now on.
        progress.look(connection, COUNTED)?;
        Ok(progress)
    }

    /// Of a process that does not keep the index: everything may be in it.
    pub(super) fn elsewhere() -> Self {
        let upto = terms::id(u128::MAX);
        Self { upto, behind: 0, is_more_behind: false, changed: 0, stuck: true }
    }

    /// A message has come in.
    pub(super) fn came(&mut self, connection: &Connection, id: QueueId) -> rusqlite::Result<()> {
        if id >= self.upto {
            self.behind += 1;
            self.stuck = false;
            return Ok(());
        }
        self.changed(connection, id)
    }

    /// True when the index has this message, or it is noted.
    pub(super) fn has(&self, id: QueueId) -> bool {
        id < self.upto
    }

    /// A message has other names or another state, or is for others.
    pub(super) fn changed(&mut self, connection: &Connection, id: QueueId) -> rusqlite::Result<()> {
        self.stuck = false;
        if id < self.upto {
            self.changed += 1;
            connection
                .prepare_cached("INSERT OR IGNORE INTO unindexed (message) VALUES (?1)")?
                .execute([Id(id)])?;
        }
        Ok(())
    }

    /// The record of a message has been removed. Its row goes later: a fault in the index must not keep records.
    pub(super) fn gone(&mut self, connection: &Connection, id: QueueId) -> rusqlite::Result<()> {
        if id >= self.upto {
            self.behind = self.behind.saturating_sub(1);
            return Ok(());
        }
        self.changed(connection, id)
    }

    /// Begins again with an empty index.
    pub(super) fn begin_again(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute_batch(
            "INSERT INTO search (search) VALUES ('delete-all'); DELETE FROM unindexed; \
             UPDATE indexed SET upto = zeroblob(16);",
        )?;
        *self = Self::read(connection)?;
        Ok(())
    }

    /// True when there is a slice to write.
    pub(super) fn has_slice(&self) -> bool {
        !self.stuck && self.behind + self.changed >= SLICE as u64
    }

    /// True when a slice must not wait for a calm moment.
    pub(super) fn is_pressing(&self) -> bool {
        !self.stuck && (self.behind >= PRESSING || self.changed >= CHANGED_PRESSING)
    }

    /// It did not work: not before something else has been written.
    pub(super) fn pause(&mut self) {
        self.stuck = true;
    }

    /// Writes a slice of about `text_max` octets, within the transaction of its caller. Returns how many messages it was
    /// about.
    pub(super) fn step(
        &mut self,
        connection: &Connection,
        text_max: usize,
        now: Timestamp,
    ) -> rusqlite::Result<usize> {
        let end = QueueId::lower_bound(now.checked_add(AHEAD_MAX).unwrap_or(Timestamp::MAX));
        if self.upto > end {
            // The clock was ahead when they were indexed. To look at their records again does no harm.
            self.reach(connection, QueueId::lower_bound(now))?;
        }
        let noted: Vec<QueueId> = connection
            .prepare_cached("SELECT message FROM unindexed ORDER BY message LIMIT ?1")?
            .query_map([rows::signed(SLICE)], |row| rows::id(row, 0))?
            .collect::<rusqlite::Result<_>>()?;
        let next = self.next(connection, end, SLICE - noted.len())?;
        // In the order of the rows: otherwise the index would be written in many small pieces.
        let (mut last, mut octets, mut messages) = (None, 0, 0);
        for id in noted.iter().chain(&next) {
            if octets >= text_max {
                break;
            }
            let row = terms::row(terms::number(*id));
            if last.replace(row) != Some(row) {
                octets += write(connection, row)?;
            }
            messages += 1;
        }
        let (noted, next) =
            (&noted[..messages.min(noted.len())], &next[..messages.saturating_sub(noted.len())]);
        for id in noted {
            connection
                .prepare_cached("DELETE FROM unindexed WHERE message = ?1")?
                .execute([Id(*id)])?;
        }
        if let Some(last) = next.last() {
            self.reach(connection, terms::id(terms::number(*last).saturating_add(1)))?;
        }
        self.behind = self.behind.saturating_sub(next.len() as u64);
        self.changed = self.changed.saturating_sub(noted.len() as u64);
        let is_worth_counting = self.is_more_behind && self.behind < PRESSING;
        self.look(connection, if is_worth_counting { COUNTED } else { SLICE as u64 })?;
        self.stuck = messages == 0;
        Ok(messages)
    }

    fn reach(&mut self, connection: &Connection, upto: QueueId) -> rusqlite::Result<()> {
        self.upto = upto;
        connection.prepare_cached("UPDATE indexed SET upto = ?1")?.execute([Id(upto)])?;
        Ok(())
    }

    /// The messages that come next in the order of time and before `end`, up to one that is on its way.
    fn next(
        &self,
        connection: &Connection,
        end: QueueId,
        limit: usize,
    ) -> rusqlite::Result<Vec<QueueId>> {
        let mut search = connection.prepare_cached(
            "SELECT id, state FROM messages WHERE id >= ?1 AND id < ?2 ORDER BY id LIMIT ?3",
        )?;
        let mut found = search.query((Id(self.upto), Id(end), rows::signed(limit)))?;
        let mut next = Vec::new();
        while let Some(row) = found.next()? {
            if self.behind < PATIENCE && row.get::<_, i64>(1)? == State::Sending as i64 {
                break;
            }
            next.push(rows::id(row, 0)?);
        }
        Ok(next)
    }

    /// Counts what waits, up to `most`: what is known may be too low by what was there before this process.
    fn look(&mut self, connection: &Connection, most: u64) -> rusqlite::Result<()> {
        let limit = rows::signed(most);
        let behind = connection
            .prepare_cached(
                "SELECT count(*) FROM (SELECT 1 FROM messages WHERE id >= ?1 LIMIT ?2)",
            )?
            .query_row((Id(self.upto), limit), |row| rows::unsigned(row, 0))?;
        let changed = connection
            .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM unindexed LIMIT ?1)")?
            .query_row([limit], |row| rows::unsigned(row, 0))?;
        // Fewer than that are exactly so many.
        let exact = |found: u64, known: u64| if found < most { found } else { known.max(found) };
        self.behind = exact(behind, self.behind);
        if behind < most {
            self.is_more_behind = false;
        } else if most >= COUNTED {
            self.is_more_behind = true;
        }
        self.changed = exact(changed, self.changed);
        Ok(())
    }
}

/// How far the index has come: messages before this one are in it.
pub(super) fn upto(connection: &Connection) -> rusqlite::Result<QueueId> {
    connection.prepare_cached("SELECT upto FROM indexed")?.query_row([], |row| rows::id(row, 0))
}

/// Writes one row of the index as its messages are now. Returns how many octets its text has.
fn write(connection: &Connection, row: i64) -> rusqlite::Result<usize> {
    let (low, high) = terms::ids(row);
    let mut search = connection.prepare_cached(
        "SELECT id, state, sender, recipients, header_from, subject, provider, message_id, provider_message_id \
         FROM messages WHERE id >= ?1 AND id <= ?2",
    )?;
    let mut found = search.query((Id(terms::id(low)), Id(terms::id(high))))?;
    let mut text = Text::default();
    while let Some(row) = found.next()? {
        describe(connection, row, &mut text)?;
    }
    if text.len() == 0 {
        connection.prepare_cached("DELETE FROM search WHERE rowid = ?1")?.execute([row])?;
    } else {
        connection
            .prepare_cached(
                "INSERT OR REPLACE INTO search (rowid, text, names) VALUES (?1, ?2, ?3)",
            )?
            .execute(params![row, text.texts(), text.names()])?;
    }
    Ok(text.len())
}

/// Adds what a message is found by.
fn describe(connection: &Connection, row: &Row<'_>, text: &mut Text) -> rusqlite::Result<()> {
    text.state(rows::state(row, 1).unwrap_or(State::Failed));
    with(row, 6, |provider| text.provider(provider))?;
    with(row, 2, |sender| text.text(sender))?;
    with(row, 3, |json| match serde_json::from_str::<Vec<Addressed>>(json) {
        Ok(recipients) => recipients.iter().for_each(|recipient| text.text(&recipient.address)),
        Err(_) => text.text(json),
    })?;
    with(row, 4, |header_from| text.text(header_from))?;
    with(row, 5, |subject| text.text(subject))?;
    with(row, 7, |name| text.name(name))?;
    with(row, 8, |name| text.name(name))?;
    let latest = row.get_ref(8)?;
    let mut search = connection.prepare_cached(
        "SELECT DISTINCT provider_message_id FROM attempts \
         WHERE message = ?1 AND provider_message_id IS NOT NULL",
    )?;
    let mut found = search.query([Id(rows::id(row, 0)?)])?;
    while let Some(attempt) = found.next()? {
        if attempt.get_ref(0)? != latest {
            with(attempt, 0, |name| text.name(name))?;
        }
    }
    Ok(())
}

/// A recipient, as far as it is searched for.
#[derive(Deserialize)]
struct Addressed {
    address: String,
}

/// Does something with a text that is not empty. A record that makes no sense must not stop the index.
fn with(row: &Row<'_>, column: usize, act: impl FnOnce(&str)) -> rusqlite::Result<()> {
    if let ValueRef::Text(text) = row.get_ref(column)?
        && !text.is_empty()
    {
        act(&String::from_utf8_lossy(text));
    }
    Ok(())
}
