//! One of several instances on one store in memory: what a database gives to processes, for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast;

use super::{MemoryStore, paces};
use crate::clock::{SharedClock, Timestamp};
use crate::message::QueueId;
use crate::queue::{
    AccountStanding, CallPlaces, CallsWanted, Change, Claim, Counts, Details, Entry, Filter, Lease,
    News, Page, Portion, Presence, RecipientsWanted, Reserved, Retried, Retry, Settlement, Shared,
    Start, Statistics, Store, StoreError, Suppressions, Usage,
};

/// An instance says that it lives this often in the time after which it is taken for dead.
const BEATS: u32 = 6;

/// An instance on a store that others use as well. It lives while [`MemoryInstance::live`] runs.
pub struct MemoryInstance {
    store: Arc<MemoryStore>,
    name: String,
    number: usize,
    /// How many names it has had.
    lives: AtomicU64,
    has_left: AtomicBool,
    presence: Presence,
    news: broadcast::Sender<News>,
    clock: SharedClock,
    takeover_after: Duration,
}

impl std::fmt::Debug for MemoryInstance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryInstance").field("presence", &self.presence).finish_non_exhaustive()
    }
}

impl MemoryInstance {
    /// Another instance on this store. The others take it for dead when it has given no sign of life for so long.
    pub fn join(
        store: Arc<MemoryStore>,
        name: &str,
        clock: SharedClock,
        takeover_after: Duration,
    ) -> Self {
        let (number, news) = store.ground.join();
        let instance = Self {
            store,
            name: name.to_owned(),
            number,
            lives: AtomicU64::new(0),
            has_left: AtomicBool::new(false),
            presence: Presence::new(Arc::from(""), Timestamp::MIN),
            news,
            clock,
            takeover_after,
        };
        instance.beat();
        instance
    }

    /// Says again and again that it lives, and takes over from those that do not.
    pub async fn live(&self) {
        loop {
            tokio::time::sleep(self.takeover_after / BEATS).await;
            self.beat();
        }
    }

    /// Says that it lives, and takes over from those that do not.
    pub fn beat(&self) {
        let now = self.clock.now();
        let (until, mut owner) = (now + self.takeover_after, self.presence.owner());
        let mut is_renamed = false;
        if self.has_left.load(Ordering::Relaxed) {
            return;
        }
        if owner.is_empty() || !self.store.ground.lives(&owner, until, false) {
            let life = self.lives.fetch_add(1, Ordering::Relaxed);
            owner = format!("{}-{}-{life}", self.name, self.number).into();
            self.store.ground.lives(&owner, until, true);
            is_renamed = life > 0;
        }
        self.presence.renew(owner, until - self.takeover_after / BEATS);
        if is_renamed {
            // Nobody may be listening.
            let _ = self.news.send(News::Renamed);
        }
        self.store.ground.bury(now);
        self.take_over();
    }

    /// What the dead have claimed is due.
    fn take_over(&self) {
        if self.store.release(|owner| !self.store.ground.is_alive(owner)) {
            self.store.ground.tell(&News::Due);
        }
    }
}

impl Drop for MemoryInstance {
    fn drop(&mut self) {
        self.store.ground.part(self.number);
    }
}

#[async_trait]
impl Shared for MemoryInstance {
    fn presence(&self) -> &Presence {
        &self.presence
    }

    async fn reserve_calls(&self, wanted: CallsWanted) -> Result<CallPlaces, StoreError> {
        Ok(self.store.paces.reserve_calls(&wanted))
    }

    async fn reserve_recipients(&self, wanted: RecipientsWanted) -> Result<Reserved, StoreError> {
        Ok(paces::reserve_recipients(&mut self.store.queue(), &wanted))
    }

    async fn return_recipients(
        &self,
        provider: &str,
        hour: i64,
        recipients: u64,
    ) -> Result<(), StoreError> {
        paces::return_recipients(&mut self.store.queue(), provider, hour, recipients);
        Ok(())
    }

    async fn tell(&self, standing: AccountStanding) -> Result<bool, StoreError> {
        Ok(self.store.ground.keep(standing))
    }

    async fn standings(&self) -> Result<Vec<AccountStanding>, StoreError> {
        Ok(self.store.ground.standings())
    }

    fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    fn due(&self) {
        self.store.ground.tell(&News::Due);
    }

    fn changed(&self, change: Change) {
        self.store.ground.changed(self.number, change);
    }

    fn is_watched(&self) -> bool {
        self.store.ground.is_watched(self.number)
    }

    fn watch(&self, watching: bool) {
        self.store.ground.watch(self.number, watching);
    }

    async fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        self.presence.renew(self.presence.owner(), Timestamp::MIN);
        self.store.ground.forget(&self.presence.owner());
        self.take_over();
        self.due();
    }
}

#[async_trait]
impl Store for MemoryInstance {
    fn suppressions(&self) -> &dyn Suppressions {
        self.store.suppressions()
    }

    fn statistics(&self) -> &dyn Statistics {
        self.store.statistics()
    }

    fn shared(&self) -> Option<&dyn Shared> {
        Some(self)
    }

    async fn insert(&self, entry: Entry) -> Result<(), StoreError> {
        let waits = entry.lease.is_none();
        self.store.insert(entry).await?;
        if waits {
            self.due();
        }
        Ok(())
    }

    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError> {
        self.store.claim(portion, now, lease).await
    }

    async fn begin(&self, start: Start) -> Result<(), StoreError> {
        self.store.begin(start).await
    }

    async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
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
        self.store.retry(id, retry, now).await?;
        self.due();
        Ok(())
    }

    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        now: Timestamp,
    ) -> Result<Retried, StoreError> {
        let retried = self.store.retry_failed(before, now).await?;
        if retried.retried > 0 {
            self.due();
        }
        Ok(retried)
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

#[cfg(test)]
mod tests;
