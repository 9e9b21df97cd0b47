//! What delivery asks of the queue, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{
    Claim, Counts, Details, Entry, Filter, Lease, Page, Portion, Retried, Retry, Settlement, Start,
    Statistics, Store, StoreError, Suppressions, Usage,
};

/// A store that counts what it is asked.
pub(super) struct Counting {
    store: Arc<dyn Store>,
    begins: AtomicUsize,
    settles: AtomicUsize,
    claims: AtomicUsize,
    handed_out: AtomicUsize,
}

impl Counting {
    pub(super) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        let (begins, settles, claims, handed_out) = (zero(), zero(), zero(), zero());
        Arc::new(Self { store, begins, settles, claims, handed_out })
    }

    /// Notes before calls, and settlements.
    pub(super) fn written(&self) -> (usize, usize) {
        (self.begins.load(Ordering::Relaxed), self.settles.load(Ordering::Relaxed))
    }

    /// Claims, and the messages that they brought.
    pub(super) fn claimed(&self) -> (usize, usize) {
        (self.claims.load(Ordering::Relaxed), self.handed_out.load(Ordering::Relaxed))
    }
}

#[async_trait]
impl Store for Counting {
    fn suppressions(&self) -> &dyn Suppressions {
        self.store.suppressions()
    }

    fn statistics(&self) -> &dyn Statistics {
        self.store.statistics()
    }

    async fn insert(&self, entry: Entry) -> Result<(), StoreError> {
        self.store.insert(entry).await
    }
    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError> {
        let claims = self.store.claim(portion, now, lease).await?;
        self.claims.fetch_add(1, Ordering::Relaxed);
        self.handed_out.fetch_add(claims.len(), Ordering::Relaxed);
        Ok(claims)
    }
    async fn begin(&self, start: Start) -> Result<(), StoreError> {
        self.begins.fetch_add(1, Ordering::Relaxed);
        self.store.begin(start).await
    }
    async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.settles.fetch_add(1, Ordering::Relaxed);
        self.store.settle_all(settlements).await
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
        self.store.retry(id, retry, now).await
    }
    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        now: Timestamp,
    ) -> Result<Retried, StoreError> {
        self.store.retry_failed(before, now).await
    }
    async fn cancel(&self, id: QueueId, now: Timestamp) -> Result<(), StoreError> {
        self.store.cancel(id, now).await
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
        self.store.sweep(keep_records, keep_bodies, now).await
    }
}
