//! The lines in which work waits for a writer.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::{Instant, sleep_until};

use crate::queue::StoreError;

/// Content that may wait in a line, octets. Sessions limit it as well; this is for a database that hangs.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// How long work waits for a connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where an answer goes: kept until the commit, then sent.
#[derive(Debug)]
pub(super) struct Answer<T> {
    to: oneshot::Sender<Result<T, StoreError>>,
    value: Option<Result<T, StoreError>>,
}

impl<T> Answer<T> {
    /// True when nobody waits for the answer any more.
    pub(super) fn is_unwanted(&self) -> bool {
        self.to.is_closed()
    }

    pub(super) fn keep(&mut self, value: Result<T, StoreError>) {
        self.value = Some(value);
    }

    /// Sends what was kept if all went well, else the error.
    pub(super) fn send(self, verdict: Result<(), &StoreError>) {
        let value = match verdict {
            Ok(()) => self.value.unwrap_or_else(|| Err(stopped())),
            Err(error) => Err(error.clone()),
        };
        // Whoever has gone away does not want to know.
        let _ = self.to.send(value);
    }
}

/// One piece of work for a writer.
pub(super) trait Job: Send + 'static {
    /// Octets of content to be written.
    fn bytes(&self) -> usize;

    /// True when it must not be done, because nobody waits for it any more.
    fn is_unwanted(&self) -> bool;

    /// Sends the answer: the one kept if all went well, else the error.
    fn finish(self, verdict: Result<(), &StoreError>);
}

/// Where work waits. Many put in, one writer takes all at once.
pub(super) struct Line<J> {
    waiting: Mutex<Waiting<J>>,
    arrival: Notify,
}

struct Waiting<J> {
    jobs: Vec<J>,
    bytes: usize,
    /// Since when the first of them has waited.
    since: Option<Instant>,
    closed: bool,
}

impl<J> Line<J> {
    /// Takes no more work; what waits is still done.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.arrival.notify_one();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.waiting().closed
    }

    /// A panic elsewhere leaves the list as it was: no step here can be half done.
    fn waiting(&self) -> MutexGuard<'_, Waiting<J>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<J: Job> Line<J> {
    pub(super) fn new() -> Self {
        let waiting = Waiting { jobs: Vec::new(), bytes: 0, since: None, closed: false };
        Self { waiting: Mutex::new(waiting), arrival: Notify::new() }
    }

    /// Puts work into the line and waits for its answer.
    pub(super) async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> J) -> Result<T, StoreError> {
        let (to, receiver) = oneshot::channel();
        self.push(job(Answer { to, value: None }));
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Adds a piece of work at the end, or answers it at once when the line takes none.
    fn push(&self, job: J) {
        let mut waiting = self.waiting();
        let bytes = job.bytes();
        if waiting.closed {
            drop(waiting);
            return job.finish(Err(&stopped()));
        }
        // One message always fits; nothing that makes the queue shorter is ever turned away.
        if bytes > 0 && waiting.bytes > 0 && waiting.bytes + bytes > WAITING_BYTES_MAX {
            drop(waiting);
            let slow = "the database does not keep up with the messages that come in";
            return job.finish(Err(&StoreError::Unavailable(slow.to_owned())));
        }
        waiting.bytes += bytes;
        waiting.jobs.push(job);
        waiting.since.get_or_insert_with(Instant::now);
        drop(waiting);
        self.arrival.notify_one();
    }

    /// Waits until there is work, or none will come any more.
    pub(super) async fn arrival(&self) {
        loop {
            {
                let waiting = self.waiting();
                if waiting.closed || !waiting.jobs.is_empty() {
                    return;
                }
            }
            // There is one who waits here, so a notification that comes before is kept for it.
            self.arrival.notified().await;
        }
    }

    /// Takes all that waits.
    pub(super) fn take(&self) -> Vec<J> {
        let mut waiting = self.waiting();
        waiting.bytes = 0;
        waiting.since = None;
        std::mem::take(&mut waiting.jobs)
    }

    /// Puts work back in front, which has waited since then.
    pub(super) fn put_back(&self, mut jobs: Vec<J>, since: Instant) {
        if jobs.is_empty() {
            return;
        }
        let mut waiting = self.waiting();
        waiting.bytes += jobs.iter().map(Job::bytes).sum::<usize>();
        waiting.since = Some(waiting.since.map_or(since, |other| other.min(since)));
        jobs.append(&mut waiting.jobs);
        waiting.jobs = jobs;
    }

    /// Waits until somebody has waited for too long.
    pub(super) async fn overdue(&self) {
        loop {
            self.arrival().await;
            let since = self.waiting().since;
            match since {
                Some(since) => return sleep_until(since + PATIENCE).await,
                // Closed: nobody comes any more.
                None => std::future::pending().await,
            }
        }
    }

    /// Answers all that waits with an error.
    pub(super) fn refuse(&self, error: &StoreError) {
        for job in self.take() {
            job.finish(Err(error));
        }
    }
}

impl<J> fmt::Debug for Line<J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

/// What everybody hears who comes too late.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("the queue is closed".to_owned())
}
