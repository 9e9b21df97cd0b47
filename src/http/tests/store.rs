//! A store that only shows what a test has put in.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{
    Claim, Counts, Details, Entry, Filter, Lease, MemoryStore, Page, Portion, Retried, Retry,
    Settlement, Start, State, Statistics, Store, StoreError, Suppressions, Usage,
};

/// Shows; keeps nothing but what it was asked to do.
#[derive(Debug, Default)]
pub(super) struct FakeStore {
    /// Newest first.
    pub(super) messages: Vec<Details>,
    pub(super) contents: Vec<(QueueId, Bytes)>,
    pub(super) fault: Fault,
    /// What a retry or a cancellation is answered with; nothing: it succeeds.
    pub(super) refusal: Option<StoreError>,
    /// What was to be done.
    pub(super) acts: Arc<Mutex<Vec<Act>>>,
    /// How many messages were to be kept.
    pub(super) inserts: Arc<watch::Sender<usize>>,
    /// A list looks at so many messages and leaves the rest to the next page.
    pub(super) reach: Option<usize>,
    /// A retry of all that failed does not come to its end.
    pub(super) endless: bool,
    /// Suppressions and counters.
    pub(super) lists: MemoryStore,
}

/// Something that was to be done to a message.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Act {
    Retry(QueueId, Retry),
    Cancel(QueueId),
    RetryFailed(Option<QueueId>),
}

/// What is wrong with it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Fault {
    #[default]
    None,
    /// Every answer is an error.
    Broken,
    /// No answer ever comes.
    Silent,
}

impl FakeStore {
    async fn look(&self) -> Result<(), StoreError> {
        match self.fault {
            Fault::None => Ok(()),
            Fault::Broken => Err(StoreError::Unavailable("the disk is gone".to_owned())),
            Fault::Silent => std::future::pending().await,
        }
    }

    async fn act(&self, id: QueueId, act: Act) -> Result<(), StoreError> {
        self.look().await?;
        if !self.messages.iter().any(|message| message.summary.id == id) {
            return Err(StoreError::NotFound(id));
        }
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        self.acts.lock().unwrap().push(act);
        Ok(())
    }

    fn count(&self, state: State) -> u64 {
        self.messages.iter().filter(|message| message.summary.state == state).count() as u64
    }
}

fn not_here<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("this store only shows".to_owned()))
}

#[async_trait]
impl Store for FakeStore {
    fn suppressions(&self) -> &dyn Suppressions {
        self.lists.suppressions()
    }

    fn statistics(&self) -> &dyn Statistics {
        self.lists.statistics()
    }

    async fn insert(&self, _: Entry) -> Result<(), StoreError> {
        self.inserts.send_modify(|inserts| *inserts += 1);
        self.look().await?;
        not_here()
    }

    async fn claim(&self, _: Portion, _: Timestamp, _: Lease) -> Result<Vec<Claim>, StoreError> {
        not_here()
    }

    async fn begin(&self, _: Start) -> Result<(), StoreError> {
        not_here()
    }

    async fn settle_all(
        &self,
        _: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        not_here()
    }

    async fn next_due(&self, _: &Portion) -> Result<Option<Timestamp>, StoreError> {
        not_here()
    }

    async fn usage(&self, _: i64) -> Result<Vec<Usage>, StoreError> {
        not_here()
    }

    async fn list(&self, filter: Filter) -> Result<Page, StoreError> {
        self.look().await?;
        let older: Vec<_> = self
            .messages
            .iter()
            .map(|message| &message.summary)
            .filter(|summary| filter.before.is_none_or(|before| summary.id < before))
            .collect();
        let reach = self.reach.unwrap_or(older.len()).min(older.len());
        let mut found = older[..reach]
            .iter()
            .copied()
            .filter(|summary| filter.state.is_none_or(|state| summary.state == state))
            .filter(|summary| {
                filter.text.as_ref().is_none_or(|text| summary.index.subject.contains(text))
            });
        let messages: Vec<_> = found.by_ref().take(filter.limit).cloned().collect();
        let more = found.next().and(messages.last()).map(|summary| summary.id);
        let last = older[..reach].last().filter(|_| reach < older.len());
        let next = more.or(last.map(|summary| summary.id));
        Ok(Page { messages, next })
    }

    async fn show(&self, id: QueueId) -> Result<Option<Details>, StoreError> {
        self.look().await?;
        Ok(self.messages.iter().find(|message| message.summary.id == id).cloned())
    }

    async fn content(&self, id: QueueId) -> Result<Option<Bytes>, StoreError> {
        self.look().await?;
        let found = self.contents.iter().find(|(name, _)| *name == id);
        Ok(found.map(|(_, bytes)| bytes.clone()))
    }

    async fn retry(&self, id: QueueId, retry: Retry, _: Timestamp) -> Result<(), StoreError> {
        self.act(id, Act::Retry(id, retry)).await
    }

    /// Two slices.
    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        _: Timestamp,
    ) -> Result<Retried, StoreError> {
        self.look().await?;
        self.acts.lock().unwrap().push(Act::RetryFailed(before));
        let next = self.messages.first().map(|it| it.summary.id);
        let next = next.filter(|_| before.is_none() || self.endless);
        Ok(Retried { retried: 2, in_doubt: 1, without_content: 3, next })
    }

    async fn cancel(&self, id: QueueId, _: Timestamp) -> Result<(), StoreError> {
        self.act(id, Act::Cancel(id)).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.look().await?;
        Ok(Counts {
            queued: self.count(State::Queued),
            sending: self.count(State::Sending),
            failed: self.count(State::Failed),
            oldest: None,
        })
    }

    async fn sweep(&self, _: Duration, _: Duration, _: Timestamp) -> Result<usize, StoreError> {
        not_here()
    }
}
