//! The line in which work waits for the writer.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::suppressed::Change;
use super::sweep::Slice;
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{
    Claim, Counts, Entry, Lease, Portion, Retried, Retry, Sample, Settlement, Start, StoreError,
};

/// Content that may wait in the line, octets. Sessions limit it as well; this is for a disk that hangs.
const WAITING_BYTES_MAX: usize = 256 << 20;

/// Where an answer goes: kept until the commit, then sent.
#[derive(Debug)]
pub(super) struct Answer<T> {
    to: oneshot::Sender<Result<T, StoreError>>,
    value: Option<Result<T, StoreError>>,
}

/// The other end of an [`Answer`].
type Receiver<T> = oneshot::Receiver<Result<T, StoreError>>;

impl<T> Answer<T> {
    pub(super) fn new() -> (Self, Receiver<T>) {
        let (to, receiver) = oneshot::channel();
        (Self { to, value: None }, receiver)
    }

    /// True when nobody waits for the answer any more.
    pub(super) fn is_unwanted(&self) -> bool {
        self.to.is_closed()
    }

    pub(super) fn keep(&mut self, value: Result<T, StoreError>) {
        self.value = Some(value);
    }

    fn send(self, verdict: Result<(), &StoreError>) {
        let value = match verdict {
            Ok(()) => self.value.unwrap_or_else(|| Err(stopped())),
            Err(error) => Err(error.clone()),
        };
        // Whoever has gone away does not want to know.
        let _ = self.to.send(value);
    }
}

/// One piece of work for the writer.
pub(super) enum Job {
    Insert {
        entry: Entry,
        answer: Answer<()>,
    },
    Begin {
        start: Start,
        answer: Answer<()>,
    },
    Settle {
        settlements: Vec<Settlement>,
        answer: Answer<Vec<Result<(), StoreError>>>,
    },
    Claim {
        portion: Portion,
        now: Timestamp,
        lease: Lease,
        answer: Answer<Vec<Claim>>,
    },
    Retry {
        id: QueueId,
        retry: Retry,
        now: Timestamp,
        answer: Answer<()>,
    },
    RetryFailed {
        before: Option<QueueId>,
        now: Timestamp,
        answer: Answer<Retried>,
    },
    Cancel {
        id: QueueId,
        now: Timestamp,
        answer: Answer<()>,
    },
    Sweep {
        slice: Slice,
        answer: Answer<usize>,
    },
    Suppress {
        change: Change,
        answer: Answer<bool>,
    },
    Sample {
        samples: Vec<Sample>,
        answer: Answer<()>,
    },
    /// Needs no transaction: answered from memory.
    Count {
        answer: Answer<Counts>,
    },
    /// Lets a test reach into the connection.
    #[cfg(test)]
    Test {
        act: Box<dyn FnMut(&rusqlite::Connection) + Send>,
        answer: Answer<()>,
    },
}

impl Job {
    /// Octets of content to be written.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Insert { entry, .. } => entry.message.raw.len(),
            Self::Begin { .. }
            | Self::Settle { .. }
            | Self::Claim { .. }
            | Self::Retry { .. }
            | Self::RetryFailed { .. }
            | Self::Cancel { .. }
            | Self::Sweep { .. }
            | Self::Suppress { .. }
            | Self::Sample { .. }
            | Self::Count { .. } => 0,
            #[cfg(test)]
            Self::Test { .. } => 0,
        }
    }

    /// About how many records it changes.
    pub(super) fn records(&self) -> usize {
        match self {
            Self::Begin { start, .. } => start.claims.len(),
            Self::Settle { settlements, .. } => settlements.len(),
            Self::Insert { .. }
            | Self::Claim { .. }
            | Self::Retry { .. }
            | Self::RetryFailed { .. }
            | Self::Cancel { .. }
            | Self::Sweep { .. }
            | Self::Suppress { .. }
            | Self::Count { .. } => 1,
            Self::Sample { samples, .. } => samples.len(),
            #[cfg(test)]
            Self::Test { .. } => 1,
        }
    }

    /// Sends the answer: the one kept if all went well, else the error.
    pub(super) fn finish(self, verdict: Result<(), &StoreError>) {
        match self {
            Self::Insert { answer, .. }
            | Self::Begin { answer, .. }
            | Self::Retry { answer, .. }
            | Self::Cancel { answer, .. }
            | Self::Sample { answer, .. } => answer.send(verdict),
            Self::Suppress { answer, .. } => answer.send(verdict),
            Self::Settle { answer, .. } => answer.send(verdict),
            Self::RetryFailed { answer, .. } => answer.send(verdict),
            Self::Claim { answer, .. } => answer.send(verdict),
            Self::Sweep { answer, .. } => answer.send(verdict),
            Self::Count { answer } => answer.send(verdict),
            #[cfg(test)]
            Self::Test { answer, .. } => answer.send(verdict),
        }
    }
}

/// Where work waits. Many put in, the writer takes all at once.
#[derive(Default)]
pub(super) struct Line {
    waiting: Mutex<Waiting>,
    arrival: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: Vec<Job>,
    bytes: usize,
    closed: bool,
}

impl Line {
    /// Puts work into the line and waits for its answer.
    pub(super) async fn ask<T>(&self, job: impl FnOnce(Answer<T>) -> Job) -> Result<T, StoreError> {
        let (answer, receiver): (_, Receiver<T>) = Answer::new();
        self.push(job(answer));
        receiver.await.unwrap_or_else(|_| Err(stopped()))
    }

    /// Adds a piece of work at the end, or answers it at once when the line takes none.
    pub(super) fn push(&self, job: Job) {
        let mut waiting = self.waiting();
        let bytes = job.bytes();
        if waiting.closed {
            drop(waiting);
            return job.finish(Err(&stopped()));
        }
        // One message always fits; nothing that makes the queue shorter is ever turned away.
        if bytes > 0 && waiting.bytes > 0 && waiting.bytes + bytes > WAITING_BYTES_MAX {
            drop(waiting);
            let slow = "the disk does not keep up with the messages that come in";
            return job.finish(Err(&StoreError::Unavailable(slow.to_owned())));
        }
        waiting.bytes += bytes;
        waiting.jobs.push(job);
        // The writer sleeps only in front of an empty line.
        let first = waiting.jobs.len() == 1;
        drop(waiting);
        if first {
            self.arrival.notify_one();
        }
    }

    /// Takes all there is into the empty `taken`. Waits for work when `patient`, else it may take nothing. False when
    /// the line is closed and done.
    pub(super) fn take(&self, taken: &mut Vec<Job>, patient: bool) -> bool {
        let mut waiting = self.waiting();
        while waiting.jobs.is_empty() && patient {
            if waiting.closed {
                return false;
            }
            waiting = self.arrival.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut waiting.jobs, taken);
        waiting.bytes = 0;
        true
    }

    /// Takes no more work; what waits is still done.
    pub(super) fn close(&self) {
        self.waiting().closed = true;
        self.arrival.notify_all();
    }

    /// Nobody works here any more: what waits is answered with an error.
    pub(super) fn abandon(&self) {
        self.close();
        for job in std::mem::take(&mut self.waiting().jobs) {
            job.finish(Err(&stopped()));
        }
    }

    /// A panic elsewhere leaves the list as it was: no step here can be half done.
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

/// What everybody hears who comes too late.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("the queue is closed".to_owned())
}
