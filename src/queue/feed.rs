//! Telling those who look on what changes in the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{Notify, broadcast};
use tokio_util::sync::CancellationToken;

use super::rules;
use super::{
    Claim, Counts, Details, Entry, Filter, Lease, News, Page, Portion, Retried, Retry, Settlement,
    Shared, Start, State, Statistics, Store, StoreError, Suppressions, Usage,
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

/// Where changes are told. Clones are one feed. Without listeners it costs a look at a number.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Told>);

#[derive(Debug)]
struct Told {
    changes: broadcast::Sender<Change>,
    /// The channel counts them too, but under a lock.
    listeners: AtomicUsize,
    /// The first listener has come, or the last one has gone.
    attended: Notify,
}

impl Default for Feed {
    fn default() -> Self {
        let changes = broadcast::Sender::new(BEHIND_MAX);
        Self(Arc::new(Told { changes, listeners: AtomicUsize::new(0), attended: Notify::new() }))
    }
}

impl Feed {
    /// What changes from now on.
    pub fn listen(&self) -> Listener {
        let changes = self.0.changes.subscribe();
        if self.0.listeners.fetch_add(1, Ordering::Relaxed) == 0 {
            self.0.attended.notify_one();
        }
        Listener { changes, feed: self.clone() }
    }

    fn has_listeners(&self) -> bool {
        self.0.listeners.load(Ordering::Relaxed) > 0
    }

    /// Brings what other instances change in this store to those who listen here, until `stop`. The others are asked for it
    /// only while somebody listens.
    pub async fn follow(self, store: Arc<dyn Store>, stop: CancellationToken) {
        let Some(shared) = store.shared() else { return };
        let mut news = shared.listen();
        loop {
            shared.watch(self.has_listeners());
            let heard = tokio::select! {
                () = stop.cancelled() => return,
                () = self.0.attended.notified() => continue,
                heard = news.recv() => heard,
            };
            match heard {
                Ok(News::Changed(change)) => self.tell(|| change),
                Ok(News::Missed) | Err(RecvError::Lagged(_)) => self.tell(|| Change::Many),
                Ok(News::Standing(_) | News::Due | News::Suppressions | News::Renamed) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Tells it to those who listen.
    pub fn tell(&self, change: impl FnOnce() -> Change) {
        if self.has_listeners() {
            // They may go away meanwhile.
            let _ = self.0.changes.send(change());
        }
    }
}

/// Hears of changes, in their order.
#[derive(Debug)]
pub struct Listener {
    changes: broadcast::Receiver<Change>,
    feed: Feed,
}

impl Listener {
    /// Waits for the next change. Who is too far behind hears [`Change::Many`] for those that were missed. Nothing is lost
    /// when the waiting is given up.
    pub async fn next(&mut self) -> Change {
        match self.changes.recv().await {
            Ok(change) => change,
            Err(RecvError::Lagged(_)) => Change::Many,
            // It cannot end while this holds the feed; there would be nothing to hear any more.
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }

    /// The next change, if there is one already.
    pub fn try_next(&mut self) -> Option<Change> {
        match self.changes.try_recv() {
            Ok(change) => Some(change),
            Err(TryRecvError::Lagged(_)) => Some(Change::Many),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if self.feed.0.listeners.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.feed.0.attended.notify_one();
        }
    }
}

/// A store that tells what is done to it by this process, also to the other instances that use it.
pub struct Watched {
    store: Arc<dyn Store>,
    feed: Feed,
}

impl std::fmt::Debug for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").finish_non_exhaustive()
    }
}

impl Watched {
    /// Watches this store and tells what changes by this feed.
    pub fn new(store: Arc<dyn Store>, feed: Feed) -> Self {
        Self { store, feed }
    }

    /// Tells those who listen here, and the other instances where somebody does.
    fn tell(&self, change: impl Fn() -> Change) {
        self.feed.tell(&change);
        if let Some(shared) = self.store.shared().filter(|shared| shared.is_watched()) {
            shared.changed(change());
        }
    }

    fn is_watched(&self) -> bool {
        self.feed.has_listeners() || self.store.shared().is_some_and(Shared::is_watched)
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

    fn shared(&self) -> Option<&dyn Shared> {
        self.store.shared()
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
        let watched = self.is_watched();
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

    fn watched() -> (Feed, Watched) {
        let feed = Feed::default();
        (feed.clone(), Watched::new(Arc::new(MemoryStore::new(10)), feed))
    }

    fn lease() -> Lease {
        Lease { owner: "test".into(), expires: at(100) }
    }

    #[tokio::test]
    async fn who_listens_hears_of_every_step() {
        let (feed, store) = watched();
        let message = Arc::new(message(1));
        let id = message.id;
        store.insert(Entry::waiting(message)).await.unwrap();
        let mut heard = feed.listen();
        store.claim(Portion::any(1, 1 << 20, 0), at(1), lease()).await.unwrap();
        assert_eq!(heard.try_next(), Some(Change::Message { id, state: State::Sending }));
        store.cancel(id, at(1)).await.unwrap_err();
        assert_eq!(heard.try_next(), None, "what was refused has changed nothing");
    }

    #[tokio::test]
    async fn who_is_far_behind_is_told_to_look_again_and_hears_what_comes_after() {
        let (feed, store) = watched();
        let mut heard = feed.listen();
        for _ in 0..BEHIND_MAX + 1 {
            store.retry_failed(None, at(1)).await.unwrap();
        }
        let message = Arc::new(message(1));
        let id = message.id;
        store.insert(Entry::waiting(message)).await.unwrap();
        assert_eq!(heard.next().await, Change::Many, "some were missed");
        let mut last = None;
        while let Some(change) = heard.try_next() {
            last = Some(change);
        }
        assert_eq!(last, Some(Change::Message { id, state: State::Queued }));
    }

    #[tokio::test]
    async fn nothing_is_told_when_the_last_listener_has_gone() {
        let (feed, store) = watched();
        let (first, second) = (feed.listen(), feed.listen());
        drop(first);
        assert!(feed.has_listeners());
        drop(second);
        assert!(!feed.has_listeners());
        store.insert(Entry::waiting(Arc::new(message(1)))).await.unwrap();
        assert_eq!(feed.listen().try_next(), None);
    }
}
