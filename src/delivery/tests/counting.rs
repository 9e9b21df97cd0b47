//! What delivery asks of the queue, counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::message::{Address, QueueId};
use crate::queue::{
    Claim, Counts, Details, Entry, Filter, Lease, Page, Portion, Retried, Retry, Settlement, Start,
    Statistics, Store, StoreError, Suppression, SuppressionFilter, SuppressionPage, Suppressions,
    Usage,
};

/// A store that counts what it is asked.
pub(super) struct Counting {
    store: Arc<dyn Store>,
    begins: AtomicUsize,
    settles: AtomicUsize,
    claims: AtomicUsize,
    handed_out: AtomicUsize,
    is_list_broken: AtomicBool,
}

/// A list that has entries, and cannot be read.
struct BrokenList;

#[async_trait]
impl Suppressions for BrokenList {
    fn is_empty(&self) -> bool {
        false
    }

    async fn add(&self, _entry: Suppression) -> Result<bool, StoreError> {
        Err(unreadable())
    }

    async fn remove(&self, _address: &Address) -> Result<bool, StoreError> {
        Err(unreadable())
    }

    async fn list(&self, _filter: SuppressionFilter) -> Result<SuppressionPage, StoreError> {
        Err(unreadable())
    }

    async fn among(&self, _addresses: Vec<Address>) -> Result<Vec<Suppression>, StoreError> {
        Err(unreadable())
    }
}

fn unreadable() -> StoreError {
    StoreError::Unavailable("as told".to_owned())
}

impl Counting {
    pub(super) fn new(store: Arc<dyn Store>) -> Arc<Self> {
        let zero = || AtomicUsize::new(0);
        let (begins, settles, claims, handed_out) = (zero(), zero(), zero(), zero());
        let is_list_broken = AtomicBool::new(false);
        Arc::new(Self { store, begins, settles, claims, handed_out, is_list_broken })
    }

    /// From now on the list of addresses that get no mail cannot be read, or can again.
    pub(super) fn break_list(&self, is_broken: bool) {
        self.is_list_broken.store(is_broken, Ordering::Relaxed);
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
        if self.is_list_broken.load(Ordering::Relaxed) {
            return &BrokenList;
        }
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
