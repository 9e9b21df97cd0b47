//! The store in one SQLite file.
//!
//! [`writer`] is the only one that writes, in group commits; [`line`] is where work waits for it. [`read`] and [`list`]
//! look on from connections of their own. [`file`] opens the file and keeps its schema.

mod aside_rows;
mod begin;
mod books;
mod checkpoint;
mod claim;
mod counted;
mod fault;
mod file;
mod held;
mod indexer;
mod insert;
mod line;
mod list;
mod moving;
mod names;
mod once;
mod operator;
mod read;
mod rows;
mod search;
mod served;
mod settle;
mod shelf;
mod suppressed;
mod sweep;
mod tally;
mod terms;
#[cfg(test)]
mod tests;
mod writer;

pub use self::moving::SqliteMover;

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rusqlite::Connection;

use self::checkpoint::Checkpointer;
use self::counted::Counters;
use self::fault::unavailable;
use self::line::{Answer, Job, Line};
use self::read::Reader;
use self::suppressed::List;
use self::sweep::Slice;
use self::writer::Writer;
use super::{
    Claim, Counts, Details, Entry, Filter, Lease, Page, Portion, Retried, Retry, Settlement, Start,
    Statistics, Store, StoreError, Suppressions, Usage,
};
use crate::clock::Timestamp;
use crate::message::QueueId;

/// A queue in an SQLite file.
///
/// Dropping it finishes what waits, brings the file up to date and lets go of it; that takes as long as the disk does.
#[derive(Debug)]
pub struct SqliteStore {
    line: Arc<Line>,
    writer: Mutex<Option<JoinHandle<()>>>,
    /// For delivery: short reads only.
    lane: Reader,
    /// For people: lists and searches may take their time.
    desk: Reader,
    /// Where the sweep of contents goes on.
    sweep_from: Mutex<Option<i64>>,
    list: List,
    counters: Counters,
    /// Everything is indexed before each list, for tests.
    #[cfg(test)]
    is_eager: bool,
    /// Held by the daemon, so that there is one. After the writer: it goes last.
    _lock: Option<File>,
}

impl SqliteStore {
    /// Opens the queue as its one daemon; makes the file if there is none.
    ///
    /// Leases are void now: whoever held them is gone. At most `messages_max` messages may be open at a time.
    pub fn open(path: &Path, messages_max: u64) -> Result<Self, StoreError> {
        let path = file::absolute(path)?;
        let lock = file::lock(&path)?;
        let connection = file::create(&path)?;
        file::not_moved(&path, &connection)?;
        void_leases(&connection).map_err(|error| unavailable(&error))?;
        let checkpointer = Checkpointer::start(&path)?;
        Self::start(&path, connection, messages_max, Some(checkpointer), Some(lock))
    }

    /// Joins a queue that exists, beside a daemon or without one: for the command line. Leases are left alone.
    pub fn attach(path: &Path) -> Result<Self, StoreError> {
        let path = file::absolute(path)?;
        let connection = file::join(&path)?;
        Self::start(&path, connection, u64::MAX, None, None)
    }

    /// Finishes what waits, takes nothing more and brings the file up to date. Reading still works.
    pub async fn close(&self) {
        self.line.close();
        let writer = self.take_writer();
        // A panic of the writer has been answered to those whom it concerned.
        let _ = tokio::task::spawn_blocking(move || writer.map(JoinHandle::join)).await;
    }

    fn start(
        path: &Path,
        connection: Connection,
        messages_max: u64,
        checkpointer: Option<Checkpointer>,
        lock: Option<File>,
    ) -> Result<Self, StoreError> {
        let (lane, desk) = (Reader::open(path)?, Reader::open(path)?);
        let line = Arc::new(Line::default());
        let writer = Writer::new(connection, Arc::clone(&line), messages_max, checkpointer)
            .map_err(|error| unavailable(&error))?;
        let known = writer.known();
        let thread = std::thread::Builder::new()
            .name("queue-writer".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| {
                StoreError::Unavailable(format!("a thread cannot be started: {error}"))
            })?;
        Ok(Self {
            list: List { line: Arc::clone(&line), lane: lane.clone(), desk: desk.clone(), known },
            counters: Counters { line: Arc::clone(&line), desk: desk.clone() },
            line,
            writer: Mutex::new(Some(thread)),
            lane,
            desk,
            sweep_from: Mutex::new(None),
            #[cfg(test)]
            is_eager: false,
            _lock: lock,
        })
    }

    /// Puts work into the line and waits for its answer.
    async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StoreError> {
        self.line.ask(job).await
    }

    fn take_writer(&self) -> Option<JoinHandle<()>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        self.line.close();
        if let Some(writer) = self.take_writer() {
            // A panic of the writer has been answered to those whom it concerned.
            let _ = writer.join();
        }
    }
}

const VOID_LEASES: &str = "UPDATE messages INDEXED BY leases \
     SET state = 0, due_at = received_at, lease_owner = NULL WHERE state = 1";

/// Gives back what a daemon that is no more had claimed: due since it came in. What it had begun stays in doubt.
fn void_leases(connection: &Connection) -> rusqlite::Result<usize> {
    connection.execute(VOID_LEASES, [])
}

#[async_trait]
impl Store for SqliteStore {
    fn suppressions(&self) -> &dyn Suppressions {
        &self.list
    }

    fn statistics(&self) -> &dyn Statistics {
        &self.counters
    }

    async fn insert(&self, entry: Entry) -> Result<(), StoreError> {
        self.ask(|answer| Job::Insert { entry, answer }).await
    }

    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError> {
        self.ask(|answer| Job::Claim { portion, now, lease, answer }).await
    }

    async fn begin(&self, start: Start) -> Result<(), StoreError> {
        self.ask(|answer| Job::Begin { start, answer }).await
    }

    async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.ask(|answer| Job::Settle { settlements, answer }).await
    }

    async fn next_due(&self, portion: &Portion) -> Result<Option<Timestamp>, StoreError> {
        let portion = portion.clone();
        self.lane.run(move |connection| read::next_due(connection, &portion)).await
    }

    async fn usage(&self, from_hour: i64) -> Result<Vec<Usage>, StoreError> {
        self.lane.run(move |connection| served::since(connection, from_hour)).await
    }

    async fn list(&self, filter: Filter) -> Result<Page, StoreError> {
        #[cfg(test)]
        while self.is_eager && self.ask(|answer| Job::Index { answer }).await? > 0 {}
        self.desk.run(move |connection| list::list(connection, &filter)).await
    }

    async fn show(&self, id: QueueId) -> Result<Option<Details>, StoreError> {
        self.desk.run(move |connection| read::show(connection, id)).await
    }

    async fn content(&self, id: QueueId) -> Result<Option<Bytes>, StoreError> {
        self.lane
            .run(move |connection| {
                Ok(insert::content(connection, id)?.map(rows::Content::into_bytes))
            })
            .await
    }

    async fn retry(&self, id: QueueId, retry: Retry, now: Timestamp) -> Result<(), StoreError> {
        self.ask(|answer| Job::Retry { id, retry, now, answer }).await
    }

    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        now: Timestamp,
    ) -> Result<Retried, StoreError> {
        self.ask(|answer| Job::RetryFailed { before, now, answer }).await
    }

    async fn cancel(&self, id: QueueId, now: Timestamp) -> Result<(), StoreError> {
        self.ask(|answer| Job::Cancel { id, now, answer }).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.ask(|answer| Job::Count { answer }).await
    }

    async fn sweep(
        &self,
        keep_records: Duration,
        keep_bodies: Duration,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let resume = *self.sweep_from.lock().unwrap_or_else(PoisonError::into_inner);
        let (slice, is_filled) = self
            .desk
            .run(move |connection| {
                let is_filled = suppressed::is_filled(connection)?;
                let slice = Slice::find(connection, keep_records, keep_bodies, now, resume)?;
                Ok((slice, is_filled))
            })
            .await?;
        if is_filled {
            self.list.known.seen();
        }
        *self.sweep_from.lock().unwrap_or_else(PoisonError::into_inner) = slice.resume;
        if slice.is_empty() {
            return Ok(0);
        }
        self.ask(|answer| Job::Sweep { slice, answer }).await
    }
}
