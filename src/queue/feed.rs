//! Telling those who look on what changes in the queue.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

use super::rules;
use super::{
    Claim, Counts, Details, Entry, Filter, Lease, Page, Portion, Retried, Retry, Settlement, Start,
    State, Statistics, Store, StoreError, Suppressions, Usage,
};
use crate::clock::Timestamp;
use crate::message::QueueId;

/// How many changes a slow listener may be behind; then it is told that it has missed some.
const BEHIND_MAX: usize = 1_024;

/// Something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// This message is in this state now.
    Message { id: QueueId, state: State },
    /// Many have changed, or some were removed.
    Many,
}

/// A store that tells what is done to it by this process. Without listeners that costs a look at a counter.
pub struct Watched {
    store: Arc<dyn Store>,
    listeners: broadcast::Sender<Change>,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Watched {
    /// Watches this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, listeners: broadcast::Sender::new(BEHIND_MAX) }
    }

    /// What changes from now on. Who does not keep up is told so by the channel, and should look at everything again.
    pub fn listen(&self) -> broadcast::Receiver<Change> {
        self.listeners.subscribe()
    }

    fn tell(&self, change: impl FnOnce() -> Change) {
        if self.listeners.receiver_count() > 0 {
            // They may go away meanwhile.
            let _ = self.listeners.send(change());
        }
    }
}

#[async_trait]
impl Store for Watched {
    fn suppressions(&self) -> &dyn Suppressions {
        self.store.suppressions()
    }

    fn statistics(&self) -> &dyn Statistics {
        self.store.statistics()
    }

    async fn insert(&self, entry: Entry) -> Result<(), StoreError> {
        let id = entry.message.id;
        let state = if entry.lease.is_some() { State::Sending } else { State::Queued };
        self.store.insert(entry).await?;
        self.tell(|| Change::Message { id, state });
        Ok(())
    }

    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError> {
        let claims = self.store.claim(portion, now, lease).await?;
        for claim in &claims {
            self.tell(|| Change::Message { id: claim.message.id, state: State::Sending });
        }
        Ok(claims)
    }

    async fn begin(&self, start: Start) -> Result<(), StoreError> {
        self.store.begin(start).await
    }

    async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        let watched = self.listeners.receiver_count() > 0;
        let changed: Vec<Change> = settlements
            .iter()
            .filter(|_| watched)
            .map(|settlement| Change::Message {
                id: settlement.id,
                state: rules::Change::of(settlement).state,
            })
            .collect();
        let results = self.store.settle_all(settlements).await?;
        for (change, result) in changed.into_iter().zip(&results) {
            if result.is_ok() {
                self.tell(|| change);
            }
        }
        Ok(results)
    }

    async fn next_due(&self, portion: &Portion) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_due(portion).await
    }

    async fn usage(&self, from_hour: i64) -> Result<Vec<Usage>, StoreError> {
        self.store.usage(from_hour).await
    }

    async fn list(&self, filter: Filter) -> Result<Page, StoreError> {
        self.store.list(filter).await
    }

    async fn show(&self, id: QueueId) -> Result<Option<Details>, StoreError> {
        self.store.show(id).await
    }

    async fn content(&self, id: QueueId) -> Result<Option<Bytes>, StoreError> {
        self.store.content(id).await
    }

    async fn retry(&self, id: QueueId, retry: Retry, now: Timestamp) -> Result<(), StoreError> {
        self.store.retry(id, retry, now).await?;
        self.tell(|| Change::Message { id, state: State::Queued });
        Ok(())
    }

    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        now: Timestamp,
    ) -> Result<Retried, StoreError> {
        let retried = self.store.retry_failed(before, now).await?;
        self.tell(|| Change::Many);
        Ok(retried)
    }

    async fn cancel(&self, id: QueueId, now: Timestamp) -> Result<(), StoreError> {
        self.store.cancel(id, now).await?;
        self.tell(|| Change::Message { id, state: State::Cancelled });
        Ok(())
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.store.counts().await
    }

    async fn sweep(
        &self,
        keep_records: Duration,
        keep_bodies: Duration,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let removed = self.store.sweep(keep_records, keep_bodies, now).await?;
        if removed > 0 {
            self.tell(|| Change::Many);
        }
        Ok(removed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::Lease;
    use crate::queue::MemoryStore;
    use crate::queue::conformance::{at, message};

    #[tokio::test]
    async fn who_listens_hears_of_every_step() {
        let store = Watched::new(Arc::new(MemoryStore::new(10)));
        store.insert(Entry::waiting(Arc::new(message(1)))).await.unwrap();
        let mut heard = store.listen();
        let id = message(1).id;
        let lease = Lease { owner: "test".into(), expires: at(100) };
        store.claim(Portion::any(1, 1 << 20, 0), at(1), lease).await.unwrap();
        assert_eq!(heard.try_recv(), Ok(Change::Message { id, state: State::Sending }));
        store.cancel(id, at(1)).await.unwrap_err();
        assert!(heard.try_recv().is_err(), "what was refused has changed nothing");
    }
}
