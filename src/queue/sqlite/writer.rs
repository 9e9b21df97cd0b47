//! The one thread that writes.
//!
//! It takes all that waits, does it in one transaction, commits once and then answers everybody: under load the
//! price of a commit is shared, and a lone message waits for one and for no timer.

use std::sync::Arc;

use rusqlite::Connection;

use super::books::Books;
use super::checkpoint::{self, Checkpointer};
use super::claim::{self, Wanted};
use super::fault::{Fault, explain, is_disk_full, is_index_damaged, unavailable};
use super::held::Held;
use super::indexer::{self, BREATH, CALM, Progress};
use super::line::{Job, Line, Patience};
use super::served::Served;
use super::suppressed::Known;
use super::tally::Tally;
use super::{begin, counted, insert, operator, settle, suppressed};
use crate::clock::Timestamp;
#[cfg(not(test))]
use crate::clock::{Clock as _, SystemClock};
use crate::queue::round::Rounds;
use crate::queue::{Counts, StoreError};

/// The most work in one transaction: pieces, and octets of content. One piece always fits.
const BATCH_JOBS_MAX: usize = 1_000;
const BATCH_BYTES_MAX: usize = 16 << 20;

/// Messages of which the index takes a page, about.
const INDEXED_IN_PAGE: usize = 3;

/// Octets in a page of the file.
const PAGE: usize = 4096;

/// The state of the writing thread.
#[derive(Debug)]
pub(super) struct Writer {
    connection: Connection,
    line: Arc<Line>,
    books: Books,
    /// False beside a daemon, which does it.
    keeps_index: bool,
    /// The last slice of the index could not be written, which has been said.
    index_failed: bool,
    /// Whose turn it is at the next claim.
    rounds: Rounds,
    /// `PRAGMA data_version` when the tally was read: another number says that another process has written since.
    version: i64,
    /// The same of the last look at the list of addresses that get no mail; `None` when this process has changed it.
    list_version: Option<i64>,
    known: Arc<Known>,
    messages_max: u64,
    checkpointer: Option<Checkpointer>,
}

/// Whatever ends the thread, nobody is left waiting.
struct Abandon(Arc<Line>);

impl Drop for Abandon {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

impl Writer {
    /// Takes over the connection and counts what is there.
    pub(super) fn new(
        connection: Connection,
        line: Arc<Line>,
        messages_max: u64,
        checkpointer: Option<Checkpointer>,
    ) -> rusqlite::Result<Self> {
        let version = data_version(&connection)?;
        // A visitor has no checkpointer either.
        let keeps_index = checkpointer.is_some();
        let books = Books::read(&connection, keeps_index)?;
        let rounds = Rounds::default();
        let known = Arc::new(Known::default());
        known.set(suppressed::is_filled(&connection)?);
        Ok(Self {
            connection,
            line,
            books,
            keeps_index,
            index_failed: false,
            rounds,
            version,
            list_version: None,
            known,
            messages_max,
            checkpointer,
        })
    }

    /// What is known of the list of addresses that get no mail.
    pub(super) fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known)
    }

    /// Works until the line is closed and empty, then leaves the file tidy.
    pub(super) fn run(mut self) {
        let _abandon = Abandon(Arc::clone(&self.line));
        let mut jobs = Vec::new();
        let mut held = Held::default();
        let mut calm = CALM;
        loop {
            let patience = match (held.is_empty(), self.books.index.has_slice()) {
                (false, _) => Patience::None,
                (true, true) => Patience::For(calm),
                (true, false) => Patience::Endless,
            };
            if !self.line.take(&mut jobs, patience) {
                break;
            }
            let is_calm = jobs.is_empty() && held.is_empty();
            held.sort(&mut jobs, self.messages_max.saturating_sub(self.books.tally.open()));
            while !jobs.is_empty() {
                let rest = jobs.split_off(portion(&jobs));
                self.serve(std::mem::replace(&mut jobs, rest));
            }
            if is_calm {
                self.index(indexer::TEXT);
            } else if self.books.index.is_pressing() {
                self.index(indexer::TEXT_PRESSING);
            }
            calm = if is_calm { BREATH } else { CALM };
        }
        if self.checkpointer.take().is_some() {
            let tidy = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            if let Err(error) = tidy {
                tracing::warn!(error = explain(&error), "queue checkpoint at the end failed");
            }
        }
    }

    /// Writes a slice of about `text_max` octets of the index of texts. Returns how many messages it was about.
    fn index(&mut self, text_max: usize) -> usize {
        if !self.keeps_index {
            return 0;
        }
        match self.write_index(|index, connection| index.step(connection, text_max, now())) {
            Ok(written) => {
                self.index_failed = false;
                if let Some(checkpointer) = &mut self.checkpointer {
                    checkpointer.written(&self.connection, written / INDEXED_IN_PAGE);
                }
                written
            }
            Err(error) => {
                self.books.index.pause();
                // Searches look at the records instead.
                if std::mem::replace(&mut self.index_failed, true) {
                    return 0;
                }
                if is_index_damaged(&error) {
                    self.mend_index();
                } else {
                    tracing::warn!(error = explain(&error), "queue index was not written");
                }
                0
            }
        }
    }

    /// Has a damaged index begin again.
    fn mend_index(&mut self) {
        tracing::warn!("queue index is damaged; it is written again from the records");
        if let Err(error) = self.write_index(Progress::begin_again) {
            self.books.index.pause();
            tracing::error!(%error, "queue index cannot be written again");
        }
    }

    /// Does something with the index, in a transaction of its own.
    fn write_index<T>(
        &mut self,
        act: impl FnOnce(&mut Progress, &Connection) -> rusqlite::Result<T>,
    ) -> rusqlite::Result<T> {
        let books = self.books;
        let result = self.connection.execute_batch("BEGIN IMMEDIATE").and_then(|()| {
            let result = act(&mut self.books.index, &self.connection)?;
            // Without anything written it does not wait for the disk.
            self.connection.execute_batch("COMMIT")?;
            Ok(result)
        });
        if result.is_err() {
            self.books = books;
            self.roll_back();
        }
        result
    }

    /// Does one portion and answers it.
    fn serve(&mut self, jobs: Vec<Job>) {
        let (counts, mut jobs): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| matches!(job, Job::Count { .. }));
        // Who has hung up was told nothing, and must not find the message sent or claimed all the same.
        jobs.retain(|job| !is_unwanted(job));
        #[cfg(test)]
        for mut job in jobs.extract_if(.., |job| matches!(job, Job::Index { .. })) {
            let written = self.index(indexer::TEXT);
            if let Job::Index { answer } = &mut job {
                answer.keep(Ok(written));
            }
            job.finish(Ok(()));
        }
        if !jobs.is_empty() {
            self.transact_and_answer(jobs);
        }
        for mut job in counts {
            if let Job::Count { answer } = &mut job {
                answer.keep(self.counts().map_err(|error| unavailable(&error)));
            }
            job.finish(Ok(()));
        }
    }

    fn transact_and_answer(&mut self, mut jobs: Vec<Job>) {
        let pages = pages(&jobs);
        let mut result = self.transact(&mut jobs);
        if result.as_ref().is_err_and(is_disk_full) {
            // Once the log is copied it is written anew from its beginning, and takes no more of the disk.
            if checkpoint::try_copy(&self.connection).is_ok() {
                result = self.transact(&mut jobs);
            }
        }
        let Err(error) = result else {
            for job in jobs {
                job.finish(Ok(()));
            }
            if let Some(checkpointer) = &mut self.checkpointer {
                checkpointer.written(&self.connection, pages);
            }
            return;
        };
        let error = unavailable(&error);
        let (inserts, others): (Vec<Job>, Vec<Job>) =
            jobs.into_iter().partition(|job| matches!(job, Job::Insert { .. }));
        // A disk too full for new messages may still have room to note what became of the old ones.
        let again = !inserts.is_empty() && !others.is_empty();
        for job in inserts {
            job.finish(Err(&error));
        }
        if again {
            self.transact_and_answer(others);
        } else {
            for job in others {
                job.finish(Err(&error));
            }
        }
    }

    /// All or nothing: after an error neither the file nor the tally has changed.
    fn transact(&mut self, jobs: &mut [Job]) -> rusqlite::Result<()> {
        let books = self.books;
        let result = self.attempt(jobs);
        if result.is_err() {
            self.books = books;
            self.list_version = None;
            self.roll_back();
        }
        result
    }

    fn attempt(&mut self, jobs: &mut [Job]) -> rusqlite::Result<()> {
        self.connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        let mut served = Served::default();
        for job in jobs {
            self.apply(job, &mut served)?;
        }
        served.write(&self.connection)?;
        let list = self.look_at_list()?;
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        if let Some(is_filled) = list {
            self.known.set(is_filled);
        }
        Ok(())
    }

    /// Whether addresses are listed that get no mail, when that may have changed.
    fn look_at_list(&mut self) -> rusqlite::Result<Option<bool>> {
        let version = Some(data_version(&self.connection)?);
        if version == self.list_version {
            return Ok(None);
        }
        let is_filled = suppressed::is_filled(&self.connection)?;
        self.list_version = version;
        Ok(Some(is_filled))
    }

    /// SQLite has often done it already, after a full disk for instance.
    fn roll_back(&self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.connection.execute_batch("ROLLBACK") {
            tracing::error!(error = explain(&error), "queue roll-back failed");
        }
    }

    /// Does one piece of work and keeps its answer until the commit.
    fn apply(&mut self, job: &mut Job, served: &mut Served) -> rusqlite::Result<()> {
        let connection = &self.connection;
        let (books, rounds) = (&mut self.books, &mut self.rounds);
        match job {
            Job::Insert { entry, answer } => {
                answer.keep(sort(insert::insert(connection, books, self.messages_max, entry))?);
            }
            Job::Begin { start, answer } => {
                answer.keep(sort(begin::begin(connection, start))?);
            }
            Job::Settle { settlements, answer } => {
                let each = settlements.iter();
                let results = each.map(|one| sort(settle::settle(connection, books, served, one)));
                answer.keep(Ok(results.collect::<rusqlite::Result<_>>()?));
            }
            Job::Claim { portion, now, lease, answer } => {
                let wanted = Wanted { portion, now: *now, lease };
                answer.keep(sort(claim::claim(connection, books, rounds, &wanted))?);
            }
            Job::Retry { id, retry, now, answer } => {
                answer.keep(sort(operator::retry(connection, books, *id, retry, *now))?);
            }
            Job::RetryFailed { before, now, answer } => {
                let slice = operator::retry_failed(connection, books, *before, *now);
                answer.keep(sort(slice)?);
            }
            Job::Cancel { id, now, answer } => {
                answer.keep(sort(operator::cancel(connection, books, *id, *now))?);
            }
            Job::Sweep { slice, answer } => {
                answer.keep(sort(slice.remove(connection, books))?);
            }
            Job::Suppress { change, answer } => {
                answer.keep(Ok(suppressed::write(connection, change)?));
                self.list_version = None;
            }
            Job::Sample { samples, answer } => {
                answer.keep(Ok(counted::add(connection, samples)?));
            }
            // Answered after the commit, see `serve`.
            Job::Count { .. } => {}
            // A transaction of its own, see `serve`.
            #[cfg(test)]
            Job::Index { .. } => {}
            #[cfg(test)]
            Job::Test { act, answer } => {
                act(connection);
                answer.keep(Ok(()));
            }
        }
        Ok(())
    }

    fn counts(&mut self) -> rusqlite::Result<Counts> {
        let version = data_version(&self.connection)?;
        if version != self.version {
            self.books.tally = Tally::read(&self.connection)?;
            self.version = version;
        }
        self.books.tally.counts(&self.connection)
    }
}

/// The time that tells which messages come from a clock that was ahead.
#[cfg(not(test))]
fn now() -> Timestamp {
    SystemClock.now()
}

/// After all messages of the tests but those that are ahead.
#[cfg(test)]
fn now() -> Timestamp {
    crate::queue::conformance::at(1_000_000)
}

/// Changes when another connection has written.
fn data_version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// A refusal concerns one piece of work, a broken database all of them.
fn sort<T>(result: Result<T, Fault>) -> rusqlite::Result<Result<T, StoreError>> {
    match result {
        Ok(value) => Ok(Ok(value)),
        Err(Fault::Refused(error)) => Ok(Err(error)),
        Err(Fault::Broken(error)) => Err(error),
    }
}

fn is_unwanted(job: &Job) -> bool {
    match job {
        Job::Insert { answer, .. } => answer.is_unwanted(),
        Job::Claim { answer, .. } => answer.is_unwanted(),
        // What has happened must be recorded, whoever asks.
        Job::Begin { .. }
        | Job::Settle { .. }
        | Job::RetryFailed { .. }
        | Job::Retry { .. }
        | Job::Cancel { .. }
        | Job::Sweep { .. }
        | Job::Suppress { .. }
        | Job::Sample { .. }
        | Job::Count { .. } => false,
        #[cfg(test)]
        Job::Test { .. } | Job::Index { .. } => false,
    }
}

/// How many jobs from the front make one transaction.
fn portion(jobs: &[Job]) -> usize {
    let mut bytes = 0;
    let fitting = jobs
        .iter()
        .take(BATCH_JOBS_MAX)
        .take_while(|job| {
            bytes += job.bytes();
            bytes <= BATCH_BYTES_MAX
        })
        .count();
    fitting.max(1)
}

/// About how many pages these jobs write.
fn pages(jobs: &[Job]) -> usize {
    /// The roots and the edges of the tables and indexes, which every commit writes.
    const EACH_COMMIT: usize = 6;
    EACH_COMMIT + jobs.iter().map(|job| job.records() + job.bytes().div_ceil(PAGE)).sum::<usize>()
}
