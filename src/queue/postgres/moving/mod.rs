//! Moving from or to a database.

mod aside;
mod rows;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, MutexGuard};
use tokio_postgres::{Client, Error, Row, Transaction};
use uuid::Uuid;

use super::PostgresSettings;
use super::connect::{Connections, Role};
use super::fault::unavailable;
use super::rows::{get, millis, signed, time, uuid};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::StoreError;
use crate::queue::moving::{
    Aside, AsideKind, ENDED_ELSEWHERE, Judgement, Mark, Movable, Passage, Record, Sketch, StoreId,
    Taken, judge,
};

/// A database that was opened to be moved from or to.
pub struct PostgresMover {
    client: Mutex<Option<Client>>,
    id: StoreId,
    place: String,
    takeover_after: Duration,
}

impl fmt::Debug for PostgresMover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresMover").field("place", &self.place).finish_non_exhaustive()
    }
}

impl PostgresMover {
    /// Connects, and brings the schema up to date.
    pub async fn open(settings: PostgresSettings) -> Result<Self, StoreError> {
        let connections = Connections::new(&settings);
        connections.attach().await?;
        let client = connections.alone(Role::Schema).await?;
        let row = client.query_one("SELECT id FROM identity", &[]).await;
        let row = row.map_err(|error| unavailable(&error))?;
        let id: Uuid = get(&row, 0)?;
        Ok(Self {
            client: Mutex::new(Some(client)),
            id: StoreId(id.into_bytes()),
            place: settings.url.to_string(),
            takeover_after: settings.takeover_after,
        })
    }

    /// What to do about an instance that lives.
    fn used_by(&self, row: &Row) -> Result<String, StoreError> {
        let (owner, seconds): (String, _) = (get(row, 0)?, self.takeover_after.as_secs());
        Ok(format!(
            "the instance {owner} uses this queue: stop all of them; one that was killed counts for {seconds} seconds more \
             (queue.takeover_after)"
        ))
    }

    async fn client(&self) -> Held<'_> {
        Held(self.client.lock().await)
    }
}

/// The connection, while somebody uses it.
struct Held<'a>(MutexGuard<'a, Option<Client>>);

impl Held<'_> {
    fn get(&mut self) -> Result<&mut Client, StoreError> {
        self.0.as_mut().ok_or_else(|| StoreError::Unavailable("the queue is closed".to_owned()))
    }

    async fn step(&mut self) -> Result<Transaction<'_>, StoreError> {
        self.get()?.transaction().await.map_err(|error| unavailable(&error))
    }

    async fn query(
        &mut self,
        sql: &str,
        parameters: &[&(dyn tokio_postgres::types::ToSql + Sync)],
    ) -> Result<Vec<Row>, StoreError> {
        self.get()?.query(sql, parameters).await.map_err(|error| unavailable(&error))
    }
}

/// What a database says of a move. A daemon must not use one that says something.
pub(super) async fn mark(client: &Client) -> Result<Option<Mark>, StoreError> {
    let sql = "SELECT mark, other, place, since FROM identity WHERE mark IS NOT NULL";
    let row = client.query_opt(sql, &[]).await.map_err(|error| unavailable(&error))?;
    let Some(row) = row else { return Ok(None) };
    let other: Uuid = get(&row, 1)?;
    Ok(Some(Mark {
        // Of a later version: whatever it is, nobody may use the database.
        passage: Passage::from_name(get(&row, 0)?).unwrap_or(Passage::Leaving),
        other: StoreId(other.into_bytes()),
        place: get(&row, 2)?,
        since: time(&row, 3)?,
    }))
}

/// Refuses a database whose queue was moved, or is being moved: it must not be used in two places.
pub(super) async fn not_moved(client: &Client) -> Result<(), StoreError> {
    match mark(client).await? {
        Some(mark) => Err(StoreError::Unavailable(mark.to_string())),
        None => Ok(()),
    }
}

/// Nobody changes a queue that is away, whatever he knows of moves: a constraint that is never true holds for all rows
/// that are written from now on, and costs nothing where it is not there. Its name is what is read.
const GUARD: &str = "\
    ALTER TABLE messages ADD CONSTRAINT \"this queue was moved to another store: use that one\" \
    CHECK (false) NOT VALID; \
    ALTER TABLE suppressions ADD CONSTRAINT \"this queue was moved to another store: use that one\" \
    CHECK (false) NOT VALID";

const NO_GUARD: &str = "\
    ALTER TABLE messages DROP CONSTRAINT IF EXISTS \"this queue was moved to another store: use that one\"; \
    ALTER TABLE suppressions DROP CONSTRAINT IF EXISTS \"this queue was moved to another store: use that one\"";

async fn set_mark(step: &Transaction<'_>, mark: Option<&Mark>) -> Result<(), Error> {
    step.batch_execute(NO_GUARD).await?;
    match mark.map(|mark| mark.passage) {
        Some(Passage::Leaving | Passage::Gone) => {
            step.batch_execute(
                "UPDATE messages SET state = 0, due_at = received_at, lease_owner = NULL WHERE state = 1",
            )
            .await?;
            step.batch_execute(GUARD).await?;
        }
        Some(Passage::Returning) => {
            step.batch_execute(
                "DELETE FROM suppressions; DELETE FROM usage; DELETE FROM statistics; DELETE FROM submissions",
            )
            .await?;
        }
        Some(Passage::Arriving) | None => {}
    }
    step.execute(
        "UPDATE identity SET mark = $1, other = $2, place = $3, since = $4",
        &[
            &mark.map(|mark| mark.passage.name()),
            &mark.map(|mark| Uuid::from_bytes(mark.other.0)),
            &mark.map(|mark| mark.place.as_str()),
            &mark.map(|mark| millis(mark.since)),
        ],
    )
    .await?;
    Ok(())
}

/// Forgets instances that have been silent for so long, and names one that has not.
const LIVING: &str = "\
    WITH dead AS (DELETE FROM instances WHERE seen_at <= (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1) \
    SELECT owner FROM instances WHERE seen_at > (extract(epoch FROM clock_timestamp()) * 1000)::bigint - $1 LIMIT 1";

#[async_trait]
impl Movable for PostgresMover {
    fn id(&self) -> StoreId {
        self.id
    }

    fn place(&self) -> &str {
        &self.place
    }

    async fn mark(&self) -> Result<Option<Mark>, StoreError> {
        mark(self.client().await.get()?).await
    }

    async fn set_mark(&self, mark: Option<Mark>) -> Result<(), StoreError> {
        let mut held = self.client().await;
        let step = held.step().await?;
        // Whoever begins to live waits here, and finds the mark.
        let lock = step.batch_execute("LOCK TABLE instances IN SHARE ROW EXCLUSIVE MODE").await;
        lock.map_err(|error| unavailable(&error))?;
        if mark.is_some() {
            let found = step.query(LIVING, &[&signed(self.takeover_after.as_millis())]).await;
            if let Some(row) = found.map_err(|error| unavailable(&error))?.first() {
                return Err(StoreError::Unavailable(self.used_by(row)?));
            }
        }
        let done = async {
            set_mark(&step, mark.as_ref()).await?;
            step.commit().await
        };
        done.await.map_err(|error| unavailable(&error))
    }

    async fn in_use(&self) -> Result<Option<String>, StoreError> {
        let silent = signed(self.takeover_after.as_millis());
        let found = self.client().await.query(LIVING, &[&silent]).await?;
        found.first().map(|row| self.used_by(row)).transpose()
    }

    async fn count(&self) -> Result<u64, StoreError> {
        let found = self.client().await.query("SELECT count(*) FROM messages", &[]).await?;
        let count: i64 = found.first().map(|row| get(row, 0)).transpose()?.unwrap_or_default();
        Ok(u64::try_from(count).unwrap_or_default())
    }

    async fn sketches(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<Sketch>, StoreError> {
        let begin = uuid(after.unwrap_or(QueueId::from_bytes([0; 16])));
        let sql = format!("{} WHERE id > $1 ORDER BY id LIMIT $2", rows::SKETCH);
        let found = self.client().await.query(&sql, &[&begin, &signed(limit)]).await?;
        found.iter().map(|row| Ok(rows::sketch(row)?)).collect()
    }

    async fn sketches_of(&self, ids: Vec<QueueId>) -> Result<Vec<Sketch>, StoreError> {
        let ids: Vec<Uuid> = ids.into_iter().map(uuid).collect();
        let sql = format!("{} WHERE id = ANY($1)", rows::SKETCH);
        let found = self.client().await.query(&sql, &[&ids]).await?;
        found.iter().map(|row| Ok(rows::sketch(row)?)).collect()
    }

    async fn read(&self, ids: Vec<QueueId>) -> Result<Vec<Record>, StoreError> {
        rows::read(self.client().await.get()?, &ids).await
    }

    async fn write(&self, records: Vec<Record>) -> Result<Taken, StoreError> {
        let mut held = self.client().await;
        let step = held.step().await?;
        let ids: Vec<Uuid> = records.iter().map(|record| uuid(record.id)).collect();
        let sql = format!("{} WHERE id = ANY($1) ORDER BY id FOR UPDATE OF m", rows::SKETCH);
        let found = step.query(&sql, &[&ids]).await.map_err(|error| unavailable(&error))?;
        let there = found.iter().map(rows::sketch).collect::<Result<Vec<_>, _>>()?;
        let mut taken = Taken::default();
        let mut wanted = Vec::with_capacity(records.len());
        for record in records {
            match judge(&record.sketch(), there.iter().find(|sketch| sketch.id == record.id)) {
                Judgement::Keep => continue,
                Judgement::Add => taken.added += 1,
                Judgement::Replace => taken.updated += 1,
            }
            wanted.push(record);
        }
        let old: Vec<Uuid> = there.iter().map(|sketch| uuid(sketch.id)).collect();
        let replaced: Vec<Uuid> = wanted.iter().map(|record| uuid(record.id)).collect();
        let replaced: Vec<Uuid> = replaced.into_iter().filter(|id| old.contains(id)).collect();
        let done = async {
            if !replaced.is_empty() {
                for table in ["bodies WHERE message", "attempts WHERE message", "messages WHERE id"]
                {
                    let sql = format!("DELETE FROM {table} = ANY($1)");
                    step.execute(&sql, &[&replaced]).await?;
                }
            }
            rows::write(&step, &wanted).await?;
            step.commit().await
        };
        done.await.map_err(|error| unavailable(&error))?;
        Ok(taken)
    }

    async fn end_others(
        &self,
        after: Option<QueueId>,
        upto: Option<QueueId>,
        known: Vec<QueueId>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let after = uuid(after.unwrap_or(QueueId::from_bytes([0; 16])));
        let upto = uuid(upto.unwrap_or(QueueId::from_bytes([0xff; 16])));
        let known: Vec<Uuid> = known.into_iter().map(uuid).collect();
        let now = millis(now);
        let mut held = self.client().await;
        let client = held.get()?;
        let sql = "UPDATE messages SET state = 4, finished_at = $4, error = $5, begun_by = NULL, batch = NULL, \
             lease_owner = NULL, \
             recipients = replace(recipients, '\"state\":\"queued\"', '\"state\":\"cancelled\"') \
             WHERE id > $1 AND id <= $2 AND state < 2 AND id <> ALL($3)";
        let ended = client.execute(sql, &[&after, &upto, &known, &now, &ENDED_ELSEWHERE]).await;
        ended.map_err(|error| unavailable(&error))
    }

    async fn read_aside(
        &self,
        kind: AsideKind,
        after: Option<Aside>,
    ) -> Result<Vec<Aside>, StoreError> {
        aside::read(self.client().await.get()?, kind, after.as_ref()).await
    }

    async fn write_aside(&self, slice: Vec<Aside>) -> Result<(), StoreError> {
        let mut held = self.client().await;
        let step = held.step().await?;
        let done = async {
            aside::write(&step, &slice).await?;
            step.commit().await
        };
        done.await.map_err(|error| unavailable(&error))
    }

    async fn close(&self) -> Result<(), StoreError> {
        *self.client.lock().await = None;
        Ok(())
    }
}
