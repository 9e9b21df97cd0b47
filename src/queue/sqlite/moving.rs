//! Moving from or to a file.

use std::collections::HashSet;
use std::fmt;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};
use tokio::sync::Mutex;

use super::fault::unavailable;
use super::line::stopped;
use super::rows::{self, Id};
use super::{aside_rows as aside, file, insert, void_leases};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::StoreError;
use crate::queue::moving::{
    Aside, AsideKind, Call, ENDED_ELSEWHERE, Judgement, Mark, Movable, Passage, Record, Sketch,
    StoreId, Taken, judge,
};

/// A file that was opened to be moved from or to. It keeps daemons away.
pub struct SqliteMover {
    connection: Arc<Mutex<Option<Open>>>,
    id: StoreId,
    place: String,
}

struct Open {
    connection: Connection,
    /// After the connection: it goes last.
    _lock: File,
}

impl fmt::Debug for SqliteMover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteMover").field("place", &self.place).finish_non_exhaustive()
    }
}

impl SqliteMover {
    /// Takes a file that exists, or with `make` also one that does not.
    pub fn open(path: &Path, make: bool) -> Result<Self, StoreError> {
        let path = file::absolute(path)?;
        if !make && !path.is_file() {
            return Err(StoreError::Unavailable("there is no such file".to_owned()));
        }
        let lock = file::lock_or(&path, "stop it first")?;
        let connection = file::create(&path)?;
        let id = connection
            .query_row("SELECT id FROM identity", [], |row| row.get(0).map(StoreId))
            .map_err(|error| unavailable(&error))?;
        let open = Open { connection, _lock: lock };
        Ok(Self {
            connection: Arc::new(Mutex::new(Some(open))),
            id,
            place: format!("sqlite:{}", path.display()),
        })
    }

    /// Works with the connection, on a thread for that.
    async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let mut open = Arc::clone(&self.connection).lock_owned().await;
        tokio::task::spawn_blocking(move || match &mut *open {
            Some(open) => work(&mut open.connection).map_err(|error| unavailable(&error)),
            None => Err(stopped()),
        })
        .await
        // It ended by a panic, or the runtime is shutting down.
        .unwrap_or_else(|_| Err(stopped()))
    }
}

/// What a file says of a move. A daemon must not use one that says something.
pub(super) fn mark(connection: &Connection) -> rusqlite::Result<Option<Mark>> {
    let found = connection.query_row(
        "SELECT mark, other, place, since FROM identity WHERE mark IS NOT NULL",
        [],
        |row| {
            let name: String = row.get(0)?;
            let passage = Passage::from_name(&name);
            Ok(Mark {
                // Of a later version: whatever it is, nobody may use the file.
                passage: passage.unwrap_or(Passage::Leaving),
                other: StoreId(row.get(1)?),
                place: row.get(2)?,
                since: rows::time(row, 3)?,
            })
        },
    );
    found.optional()
}

/// Nobody changes a queue that is away: neither a daemon that does not know of moves, nor the command line.
const GUARD: &str = "\
    CREATE TRIGGER IF NOT EXISTS no_insert BEFORE INSERT ON messages \
    BEGIN SELECT RAISE(ABORT, 'this queue was moved to another store: use that one'); END; \
    CREATE TRIGGER IF NOT EXISTS no_update BEFORE UPDATE ON messages \
    BEGIN SELECT RAISE(ABORT, 'this queue was moved to another store: use that one'); END; \
    CREATE TRIGGER IF NOT EXISTS no_suppression BEFORE INSERT ON suppressions \
    BEGIN SELECT RAISE(ABORT, 'this queue was moved to another store: use that one'); END;";

const NO_GUARD: &str = "DROP TRIGGER IF EXISTS no_insert; DROP TRIGGER IF EXISTS no_update; \
     DROP TRIGGER IF EXISTS no_suppression;";

fn set_mark(connection: &Connection, mark: Option<&Mark>) -> rusqlite::Result<()> {
    connection.execute_batch(NO_GUARD)?;
    match mark.map(|mark| mark.passage) {
        Some(Passage::Leaving | Passage::Gone) => {
            void_leases(connection)?;
            connection.execute_batch(GUARD)?;
        }
        Some(Passage::Returning) => connection.execute_batch(
            "DELETE FROM suppressions; DELETE FROM usage; DELETE FROM statistics; DELETE FROM submissions;",
        )?,
        Some(Passage::Arriving) | None => {}
    }
    connection.execute(
        "UPDATE identity SET mark = ?1, other = ?2, place = ?3, since = ?4",
        params![
            mark.map(|mark| mark.passage.name()),
            mark.map(|mark| mark.other.0),
            mark.map(|mark| mark.place.as_str()),
            mark.map(|mark| rows::millis(mark.since)),
        ],
    )?;
    Ok(())
}

#[async_trait]
impl Movable for SqliteMover {
    fn id(&self) -> StoreId {
        self.id
    }

    fn place(&self) -> &str {
        &self.place
    }

    async fn mark(&self) -> Result<Option<Mark>, StoreError> {
        self.run(|connection| mark(connection)).await
    }

    async fn set_mark(&self, mark: Option<Mark>) -> Result<(), StoreError> {
        self.run(move |connection| in_one_step(connection, |step| set_mark(step, mark.as_ref())))
            .await
    }

    async fn in_use(&self) -> Result<Option<String>, StoreError> {
        // The lock keeps everybody away.
        Ok(None)
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.run(|connection| {
            connection.query_row("SELECT count(*) FROM messages", [], |row| rows::unsigned(row, 0))
        })
        .await
    }

    async fn sketches(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<Sketch>, StoreError> {
        self.run(move |connection| {
            let begin = after.unwrap_or(QueueId::from_bytes([0; 16]));
            let sql = format!("{SKETCH} WHERE id > ?1 ORDER BY id LIMIT ?2");
            connection
                .prepare_cached(&sql)?
                .query_map((Id(begin), rows::signed(limit)), sketch)?
                .collect()
        })
        .await
    }

    async fn sketches_of(&self, ids: Vec<QueueId>) -> Result<Vec<Sketch>, StoreError> {
        self.run(move |connection| {
            let found = ids.into_iter().map(|id| known(connection, id));
            Ok(found.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
        })
        .await
    }

    async fn read(&self, ids: Vec<QueueId>) -> Result<Vec<Record>, StoreError> {
        self.run(move |connection| {
            let found = ids.into_iter().map(|id| read(connection, id));
            Ok(found.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
        })
        .await
    }

    async fn write(&self, records: Vec<Record>) -> Result<Taken, StoreError> {
        self.run(move |connection| {
            in_one_step(connection, |step| {
                let mut taken = Taken::default();
                for record in &records {
                    let there = known(step, record.id)?;
                    match judge(&record.sketch(), there.as_ref()) {
                        Judgement::Keep => continue,
                        Judgement::Add => taken.added += 1,
                        Judgement::Replace => {
                            remove(step, record.id)?;
                            taken.updated += 1;
                        }
                    }
                    write(step, record)?;
                    note(step, record.id)?;
                }
                Ok(taken)
            })
        })
        .await
    }

    async fn end_others(
        &self,
        after: Option<QueueId>,
        upto: Option<QueueId>,
        known: Vec<QueueId>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        self.run(move |connection| {
            in_one_step(connection, |step| {
                let known: HashSet<QueueId> = known.iter().copied().collect();
                let others: Vec<QueueId> = step
                    .prepare_cached(
                        "SELECT id FROM messages WHERE id > ?1 AND id <= ?2 AND state < 2 ORDER BY id",
                    )?
                    .query_map(
                        (
                            Id(after.unwrap_or(QueueId::from_bytes([0; 16]))),
                            Id(upto.unwrap_or(QueueId::from_bytes([0xff; 16]))),
                        ),
                        |row| rows::id(row, 0),
                    )?
                    .filter(|id| !id.as_ref().is_ok_and(|id| known.contains(id)))
                    .collect::<rusqlite::Result<_>>()?;
                for id in &others {
                    end(step, *id, now)?;
                    note(step, *id)?;
                }
                Ok(others.len() as u64)
            })
        })
        .await
    }

    async fn read_aside(
        &self,
        kind: AsideKind,
        after: Option<Aside>,
    ) -> Result<Vec<Aside>, StoreError> {
        self.run(move |connection| aside::read(connection, kind, after.as_ref())).await
    }

    async fn write_aside(&self, slice: Vec<Aside>) -> Result<(), StoreError> {
        self.run(move |connection| {
            in_one_step(connection, |step| slice.iter().try_for_each(|row| aside::write(step, row)))
        })
        .await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.run(|connection| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        })
        .await?;
        *self.connection.lock().await = None;
        Ok(())
    }
}

/// All of it or nothing.
fn in_one_step<T>(
    connection: &mut Connection,
    act: impl FnOnce(&Connection) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let step = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let done = act(&step)?;
    step.commit()?;
    Ok(done)
}

const SKETCH: &str = "SELECT id, state, due_at, lease, \
     (SELECT count(*) FROM attempts AS a WHERE a.message = m.id), deferrals, trying_since, finished_at, \
     iif(begun_by IS NULL, NULL, begun_at), \
     iif(EXISTS (SELECT 1 FROM bodies AS b WHERE b.n = m.body AND b.message = m.id), size, 0), \
     account IS NOT NULL FROM messages AS m";

fn sketch(row: &Row<'_>) -> rusqlite::Result<Sketch> {
    Ok(Sketch {
        id: rows::id(row, 0)?,
        state: rows::state(row, 1)?,
        due_at: row.get(2)?,
        lease: row.get(3)?,
        attempts: rows::unsigned(row, 4)?,
        deferrals: row.get(5)?,
        trying_since: row.get(6)?,
        finished_at: row.get(7)?,
        begun_at: row.get(8)?,
        octets: rows::unsigned(row, 9)?,
        has_account: row.get(10)?,
    })
}

fn known(connection: &Connection, id: QueueId) -> rusqlite::Result<Option<Sketch>> {
    let sql = format!("{SKETCH} WHERE id = ?1");
    connection.prepare_cached(&sql)?.query_row([Id(id)], sketch).optional()
}

/// The columns of a message but for its content, in the order of [`Record`].
const COLUMNS: &str = "id, state, due_at, lease, deferrals, received_at, trying_since, finished_at, sender, recipients, \
     smtp_utf8, header_from, subject, message_id, size, user, provider, provider_message_id, error, pinned_provider, \
     dsn, account, may_steer, way, bulk, share, begun_by, begun_at, batch, place, batch_of";

fn read(connection: &Connection, id: QueueId) -> rusqlite::Result<Option<Record>> {
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ?1");
    let found = connection.prepare_cached(&sql)?.query_row([Id(id)], record).optional()?;
    let Some(record) = found else { return Ok(None) };
    let content = insert::content(connection, id)?.map(rows::Content::into_bytes);
    let columns = rows::ATTEMPT_COLUMNS;
    let attempts = connection
        .prepare_cached(&format!("SELECT {columns} FROM attempts WHERE message = ?1 ORDER BY n"))?
        .query_map([Id(id)], |row| {
            Ok(Call {
                at: row.get(0)?,
                provider: row.get(1)?,
                outcome: row.get(2)?,
                error: row.get(3)?,
                provider_message_id: row.get(4)?,
                latency_ms: row.get(5)?,
                recipients: row.get(6)?,
                losses: row.get(7)?,
                together: row.get(8)?,
            })
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Record { content, attempts, ..record }))
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let begun_by: Option<String> = row.get(26)?;
    Ok(Record {
        id: rows::id(row, 0)?,
        state: rows::state(row, 1)?,
        due_at: row.get(2)?,
        lease: row.get(3)?,
        deferrals: row.get(4)?,
        received_at: row.get(5)?,
        trying_since: row.get(6)?,
        finished_at: row.get(7)?,
        sender: row.get(8)?,
        recipients: row.get(9)?,
        smtp_utf8: row.get(10)?,
        header_from: row.get(11)?,
        subject: row.get(12)?,
        message_id: row.get(13)?,
        size: row.get(14)?,
        user: row.get(15)?,
        provider: row.get(16)?,
        provider_message_id: row.get(17)?,
        error: row.get(18)?,
        pinned_provider: row.get(19)?,
        dsn: row.get(20)?,
        account: row.get(21)?,
        may_steer: row.get(22)?,
        way: row.get(23)?,
        bulk: row.get(24)?,
        share: row.get(25)?,
        begun_at: row.get(27)?,
        batch: row.get(28)?,
        place: row.get(29)?,
        batch_of: row.get(30)?,
        begun_by,
        content: None,
        attempts: Vec::new(),
    })
}

fn write(connection: &Connection, record: &Record) -> rusqlite::Result<()> {
    let (first, pieces) = match &record.content {
        Some(content) => insert::insert_pieces(connection, record.id, content)?,
        None => (0, 0),
    };
    let sql = format!(
        "INSERT INTO messages ({COLUMNS}, body, body_rows) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, \
         ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25, ?26, ?27, ?28, ?29, ?30, ?31, ?32, ?33)"
    );
    connection.prepare_cached(&sql)?.execute(params![
        Id(record.id),
        record.state as u8,
        record.due_at,
        record.lease,
        record.deferrals,
        record.received_at,
        record.trying_since,
        record.finished_at,
        record.sender,
        record.recipients,
        record.smtp_utf8,
        record.header_from,
        record.subject,
        record.message_id,
        record.size,
        record.user,
        record.provider,
        record.provider_message_id,
        record.error,
        record.pinned_provider,
        record.dsn,
        record.account,
        record.may_steer,
        record.way,
        record.bulk,
        record.share,
        record.begun_by,
        record.begun_at,
        record.batch,
        record.place,
        record.batch_of,
        first,
        rows::signed(pieces),
    ])?;
    let mut add = connection.prepare_cached(
        "INSERT INTO attempts (message, n, at, provider, outcome, error, provider_message_id, latency_ms, recipients, \
         losses, together) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    for (call, n) in record.attempts.iter().zip(1_i64..) {
        add.execute(params![
            Id(record.id),
            n,
            call.at,
            call.provider,
            call.outcome,
            call.error,
            call.provider_message_id,
            call.latency_ms,
            call.recipients,
            call.losses,
            call.together,
        ])?;
    }
    Ok(())
}

fn remove(connection: &Connection, id: QueueId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM bodies WHERE message = ?1 AND n >= (SELECT body FROM messages WHERE id = ?1) \
             AND n < (SELECT body + body_rows FROM messages WHERE id = ?1)",
        )?
        .execute([Id(id)])?;
    connection.prepare_cached("DELETE FROM attempts WHERE message = ?1")?.execute([Id(id)])?;
    connection.prepare_cached("DELETE FROM messages WHERE id = ?1")?.execute([Id(id)])?;
    Ok(())
}

/// Has the index of texts look at it, where it would not do so by itself.
fn note(connection: &Connection, id: QueueId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO unindexed (message) SELECT ?1 FROM indexed WHERE ?1 < upto",
        )?
        .execute([Id(id)])?;
    Ok(())
}

/// Cancels a message that is open here and nowhere else.
fn end(connection: &Connection, id: QueueId, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE messages SET state = 4, finished_at = ?2, error = ?3, begun_by = NULL, batch = NULL, \
             lease_owner = NULL, \
             recipients = replace(recipients, '\"state\":\"queued\"', '\"state\":\"cancelled\"') WHERE id = ?1",
        )?
        .execute(params![Id(id), rows::millis(now), ENDED_ELSEWHERE])?;
    Ok(())
}
