//! A store that is slow, and at times does not answer.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;

use super::time::TrueTime;
use super::trace::Trace;
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{
    Claim, Counts, Details, Entry, Filter, Lease, MemoryStore, Page, Portion, Retried, Retry,
    Settlement, Start, Statistics, Store, StoreError, Suppressions, Usage,
};

pub(super) struct FaultyStore {
    inner: Arc<MemoryStore>,
    time: Arc<TrueTime>,
    trace: Arc<Trace>,
    /// When it does not answer.
    outages: Vec<(Duration, Duration)>,
    rng: Mutex<Rng>,
    /// The present minute, and how often the store was asked in it.
    asked: Mutex<(u64, usize)>,
    /// Noted for a call that has not begun yet; for good, where the process ended right there.
    noted: Mutex<BTreeSet<QueueId>>,
}

/// Questions in a minute. No flood of mail needs so many: whoever asks more asks for ever.
const ASKED_MAX: usize = 20_000;

impl FaultyStore {
    pub(super) fn new(
        inner: Arc<MemoryStore>,
        time: Arc<TrueTime>,
        trace: Arc<Trace>,
        outages: Vec<(Duration, Duration)>,
        rng: Rng,
    ) -> Self {
        Self {
            inner,
            time,
            trace,
            outages,
            rng: Mutex::new(rng),
            asked: Mutex::default(),
            noted: Mutex::default(),
        }
    }

    /// Whether a process ended when it had noted a call of this message and not begun it.
    pub(super) fn was_cut_short(&self, id: QueueId) -> bool {
        self.noted.lock().unwrap().contains(&id)
    }

    /// Before and after a write: a process that ends here does not know whether it was written.
    async fn takes_time(&self) {
        let latency = {
            let mut rng = self.rng.lock().unwrap();
            if rng.u8(..50) == 0 { rng.u64(..300) } else { rng.u64(..3) }
        };
        if latency > 0 {
            tokio::time::sleep(Duration::from_millis(latency)).await;
        }
    }

    fn count(&self, minute: u64, what: &str) {
        let mut asked = self.asked.lock().unwrap();
        *asked = if asked.0 == minute { (minute, asked.1 + 1) } else { (minute, 0) };
        assert!(asked.1 < ASKED_MAX, "in minute {minute} delivery asks for ever: {what}");
    }

    fn answers(&self, what: &str) -> Result<(), StoreError> {
        let now = self.time.now();
        self.count(now.as_secs() / 60, what);
        if !self.outages.iter().any(|(from, until)| (*from..*until).contains(&now)) {
            return Ok(());
        }
        self.trace.note(format_args!("store: no {what}"));
        Err(StoreError::Unavailable("it is away for a moment".to_owned()))
    }
}

#[async_trait]
impl Store for FaultyStore {
    fn suppressions(&self) -> &dyn Suppressions {
        self.inner.suppressions()
    }

    fn statistics(&self) -> &dyn Statistics {
        self.inner.statistics()
    }

    async fn insert(&self, entry: Entry) -> Result<(), StoreError> {
        self.takes_time().await;
        self.answers("insert")?;
        let result = self.inner.insert(entry).await;
        self.takes_time().await;
        result
    }

    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError> {
        self.answers("claim")?;
        self.inner.claim(portion, now, lease).await
    }

    async fn begin(&self, start: Start) -> Result<(), StoreError> {
        self.takes_time().await;
        self.answers("begin")?;
        let ids: Vec<QueueId> = start.claims.iter().map(|(id, _)| *id).collect();
        self.inner.begin(start).await?;
        self.noted.lock().unwrap().extend(&ids);
        self.takes_time().await;
        self.noted.lock().unwrap().retain(|id| !ids.contains(id));
        Ok(())
    }

    async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.takes_time().await;
        self.answers("settlement")?;
        let result = self.inner.settle_all(settlements).await;
        self.takes_time().await;
        result
    }

    async fn next_due(&self, portion: &Portion) -> Result<Option<Timestamp>, StoreError> {
        self.answers("due time")?;
        self.inner.next_due(portion).await
    }

    async fn usage(&self, from_hour: i64) -> Result<Vec<Usage>, StoreError> {
        self.answers("usage")?;
        self.inner.usage(from_hour).await
    }

    async fn list(&self, filter: Filter) -> Result<Page, StoreError> {
        self.inner.list(filter).await
    }

    async fn show(&self, id: QueueId) -> Result<Option<Details>, StoreError> {
        self.inner.show(id).await
    }

    async fn content(&self, id: QueueId) -> Result<Option<Bytes>, StoreError> {
        self.inner.content(id).await
    }

    async fn retry(&self, id: QueueId, retry: Retry, now: Timestamp) -> Result<(), StoreError> {
        self.inner.retry(id, retry, now).await
    }

    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        now: Timestamp,
    ) -> Result<Retried, StoreError> {
        self.inner.retry_failed(before, now).await
    }

    async fn cancel(&self, id: QueueId, now: Timestamp) -> Result<(), StoreError> {
        self.inner.cancel(id, now).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        self.answers("counts")?;
        self.inner.counts().await
    }

    async fn sweep(
        &self,
        keep_records: Duration,
        keep_bodies: Duration,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.inner.sweep(keep_records, keep_bodies, now).await
    }
}
