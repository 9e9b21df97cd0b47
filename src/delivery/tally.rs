//! Counts what happens for [`Statistics`](crate::queue::Statistics): in memory, and every few seconds into the store.
//!
//! Counting is an atomic addition, as with the metrics. A crash costs what was counted since the last time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

use crate::clock::{SharedClock, Timestamp};
use crate::metrics::BROUGHT;
use crate::queue::{Outcome, Sample, Spread, Store};

/// How often what was counted is written, seconds. It divides a minute: no sample reaches into the next step.
const INTERVAL_SECONDS: i64 = 5;

/// How long the last writing may take at shutdown.
const LAST_MAX: Duration = Duration::from_secs(5);

/// Samples that wait while the store cannot be written; the oldest go first.
const WAITING_MAX: usize = 10_000;

/// The counters. Cloning shares them.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    relay: Counter,
    brought: Counter,
    /// By the configured name; one that is gone keeps its place, since what it has done may not have been written.
    providers: ArcSwap<HashMap<String, Arc<Counter>>>,
}

#[derive(Debug)]
struct Counter {
    received: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    attempts: [AtomicU64; Outcome::ALL.len()],
    latency: [AtomicU64; Spread::BUCKETS],
}

impl Default for Counter {
    fn default() -> Self {
        Self {
            received: AtomicU64::default(),
            delivered: AtomicU64::default(),
            failed: AtomicU64::default(),
            cancelled: AtomicU64::default(),
            attempts: std::array::from_fn(|_| AtomicU64::default()),
            latency: std::array::from_fn(|_| AtomicU64::default()),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Counter {
    fn took(&self, took: Duration) {
        let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        count(&self.latency[Spread::bucket(milliseconds)]);
    }

    /// What was counted since the last time; nothing when nothing was.
    fn drain(&self, provider: &str, at: i64) -> Option<Sample> {
        let take = |counter: &AtomicU64| counter.swap(0, Ordering::Relaxed);
        let attempts: Vec<_> = Outcome::ALL
            .into_iter()
            .zip(self.attempts.iter().map(take))
            .filter(|(_, calls)| *calls > 0)
            .collect();
        let sample = Sample {
            at,
            provider: provider.to_owned(),
            received: take(&self.received),
            delivered: take(&self.delivered),
            failed: take(&self.failed),
            cancelled: take(&self.cancelled),
            attempts,
            latency: Spread::from_counts(self.latency.iter().map(take)),
        };
        let empty = Sample { at, provider: provider.to_owned(), ..Sample::default() };
        (sample != empty).then_some(sample)
    }
}

impl Tally {
    /// Says which providers are configured. What is counted under any other name counts for [`BROUGHT`].
    pub(super) fn set_providers<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let mut providers = HashMap::clone(&self.0.providers.load());
        for name in names {
            providers.entry(name.to_owned()).or_default();
        }
        self.0.providers.store(Arc::new(providers));
    }

    /// A message was accepted.
    pub(super) fn received(&self) {
        count(&self.0.relay.received);
    }

    /// A call to a provider has ended so; `None`: it was not made.
    pub(super) fn attempt(&self, provider: &str, outcome: &str, took: Option<Duration>) {
        self.with(provider, |counter| {
            let place = Outcome::ALL.iter().position(|known| known.name() == outcome);
            if let Some(calls) = place.and_then(|at| counter.attempts.get(at)) {
                count(calls);
            }
            if let Some(took) = took {
                counter.took(took);
            }
        });
    }

    /// A message was delivered, so long after its acceptance.
    pub(super) fn delivered(&self, provider: &str, after: Duration) {
        self.with(provider, |counter| count(&counter.delivered));
        count(&self.0.relay.delivered);
        self.0.relay.took(after);
    }

    /// A message has failed; the provider that was asked last, if any was.
    pub(super) fn failed(&self, provider: Option<&str>) {
        count(&self.0.relay.failed);
        if let Some(name) = provider {
            self.with(name, |counter| count(&counter.failed));
        }
    }

    /// An operator has cancelled a message; the provider that was asked last, if any was.
    pub(super) fn cancelled(&self, provider: Option<&str>) {
        count(&self.0.relay.cancelled);
        if let Some(name) = provider {
            self.with(name, |counter| count(&counter.cancelled));
        }
    }

    fn with(&self, provider: &str, count: impl FnOnce(&Counter)) {
        let providers = self.0.providers.load();
        count(providers.get(provider).map_or(&self.0.brought, |counter| counter));
    }

    /// What the whole relay has counted since the last time.
    #[cfg(test)]
    pub(super) fn relay_now(&self) -> Sample {
        self.0.relay.drain("", 0).unwrap_or_default()
    }

    /// Everything since the last time.
    fn drain(&self, at: i64) -> Vec<Sample> {
        let mut samples = Vec::new();
        samples.extend(self.0.relay.drain("", at));
        samples.extend(self.0.brought.drain(BROUGHT, at));
        let providers = self.0.providers.load();
        samples.extend(providers.iter().filter_map(|(name, counter)| counter.drain(name, at)));
        samples
    }

    /// Writes what is counted into `store` until `shutdown`, and then the rest. While the store cannot be written, it waits.
    pub(super) async fn keep(
        self,
        store: Arc<dyn Store>,
        clock: SharedClock,
        shutdown: CancellationToken,
    ) {
        let mut waiting = Vec::new();
        let mut well = true;
        loop {
            let began = clock.now();
            let ended = tokio::select! {
                () = shutdown.cancelled() => true,
                () = tokio::time::sleep(until_next(began)) => false,
            };
            waiting.extend(self.drain(began.as_second()));
            let writing = write(&*store, &mut waiting, &mut well);
            if ended {
                // Counters are not worth a longer wait.
                let _ = tokio::time::timeout(LAST_MAX, writing).await;
                return;
            }
            writing.await;
        }
    }
}

/// Up to the next whole interval.
fn until_next(now: Timestamp) -> Duration {
    let passed = now.as_second().rem_euclid(INTERVAL_SECONDS);
    let next = now.as_second() - passed + INTERVAL_SECONDS;
    let next = Timestamp::from_second(next).unwrap_or(Timestamp::MAX);
    next.duration_since(now).unsigned_abs()
}

/// Writes all of `waiting`, or leaves it there. One line of the log for a trouble, however long it lasts.
async fn write(store: &dyn Store, waiting: &mut Vec<Sample>, well: &mut bool) {
    if waiting.is_empty() {
        return;
    }
    match store.statistics().add(waiting.clone()).await {
        Ok(()) => {
            waiting.clear();
            *well = true;
        }
        Err(error) => {
            if std::mem::replace(well, false) {
                tracing::warn!(%error, "statistics could not be written; they wait in memory");
            }
            let excess = waiting.len().saturating_sub(WAITING_MAX);
            waiting.drain(..excess);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TimerClock;
    use crate::queue::{Grain, MemoryStore};

    const START: i64 = 1_780_000_020;

    #[test]
    fn what_is_counted_is_told_once_by_provider() {
        let tally = Tally::default();
        tally.set_providers(["resend"]);
        tally.received();
        tally.attempt("resend", "temporary", Some(Duration::from_millis(90)));
        tally.attempt("resend", "delivered", Some(Duration::from_millis(20)));
        tally.attempt("resend:0a", "unfit", None);
        tally.delivered("resend", Duration::from_millis(300));
        tally.failed(None);
        tally.cancelled(Some("resend"));
        let samples = tally.drain(START);
        let of = |name: &str| samples.iter().find(|it| it.provider == name).unwrap();
        let relay = of("");
        assert_eq!((relay.received, relay.delivered, relay.failed, relay.cancelled), (1, 1, 1, 1));
        assert_eq!((relay.at, relay.latency.total()), (START, 1));
        let resend = of("resend");
        assert_eq!((resend.delivered, resend.failed, resend.cancelled), (1, 0, 1));
        assert_eq!(resend.attempts, [(Outcome::Delivered, 1), (Outcome::Temporary, 1)]);
        assert_eq!(resend.latency.total(), 2);
        assert_eq!(of(BROUGHT).attempts, [(Outcome::Unfit, 1)]);
        assert_eq!(tally.drain(START), []);
    }

    #[test]
    fn a_provider_that_is_gone_keeps_what_was_not_written() {
        let tally = Tally::default();
        tally.set_providers(["resend"]);
        tally.attempt("resend", "delivered", None);
        tally.set_providers(["ses"]);
        assert_eq!(tally.drain(START)[0].provider, "resend");
    }

    #[test]
    fn an_interval_ends_where_a_minute_does() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        assert_eq!(until_next(at("2026-11-21T10:00:58.5Z")), Duration::from_millis(1_500));
        assert_eq!(until_next(at("2026-11-21T10:01:00Z")), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn counters_are_in_the_store_after_seconds_and_after_the_end() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(1));
        let epoch = Timestamp::from_second(START).unwrap();
        let clock: SharedClock = Arc::new(TimerClock::starting_at(epoch));
        let (tally, stop) = (Tally::default(), CancellationToken::new());
        let keeping = tally.clone().keep(Arc::clone(&store), clock, stop.clone());
        let keeping = tokio::spawn(keeping);
        let received = async || {
            let range = (START - START % 60, START + 60);
            let samples = store.statistics().read(Grain::Minute, range.0, range.1).await.unwrap();
            samples.iter().map(|sample| sample.received).sum::<u64>()
        };
        tally.received();
        // The clock is paused: this takes no time.
        tokio::time::sleep(Duration::from_secs(6)).await;
        assert_eq!(received().await, 1);
        tally.received();
        stop.cancel();
        keeping.await.unwrap();
        assert_eq!(received().await, 2);
    }
}
