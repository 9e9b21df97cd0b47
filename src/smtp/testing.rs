//! An intake for tests: keeps what it gets, and answers as told.

use std::collections::VecDeque;
use std::sync::Mutex;

use async_trait::async_trait;
use tokio::sync::Semaphore;

use crate::clock::Timestamp;
use crate::message::{QueueId, Submission};
use crate::queue::{Intake, Refusal};

#[derive(Debug)]
pub(super) struct Recorder {
    taken: Mutex<Vec<Submission>>,
    refusals: Mutex<VecDeque<Refusal>>,
    /// One permit per answer.
    gate: Semaphore,
}

impl Recorder {
    /// Answers at once.
    pub(super) fn open() -> Self {
        Self { gate: Semaphore::new(Semaphore::MAX_PERMITS), ..Self::gated() }
    }

    /// Answers once for every [`Recorder::let_through`].
    pub(super) fn gated() -> Self {
        Self { taken: Mutex::default(), refusals: Mutex::default(), gate: Semaphore::new(0) }
    }

    pub(super) fn let_through(&self) {
        self.gate.add_permits(1);
    }

    /// The next message is refused.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.refusals.lock().unwrap().push_back(refusal);
    }

    pub(super) fn taken(&self) -> Vec<Submission> {
        self.taken.lock().unwrap().clone()
    }

    /// The contents taken, in their order.
    pub(super) fn contents(&self) -> Vec<String> {
        let text = |submission: Submission| String::from_utf8_lossy(&submission.raw).into_owned();
        self.taken().into_iter().map(text).collect()
    }
}

#[async_trait]
impl Intake for Recorder {
    async fn accept(&self, submission: Submission) -> Result<QueueId, Refusal> {
        self.gate.acquire().await.unwrap().forget();
        if let Some(refusal) = self.refusals.lock().unwrap().pop_front() {
            return Err(refusal);
        }
        assert!(!submission.raw.starts_with(b"panic"), "told to panic");
        self.taken.lock().unwrap().push(submission);
        Ok(QueueId::new(Timestamp::UNIX_EPOCH))
    }
}
