//! Several instances on one store: what an account bears, they keep together.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::scripted::{Scripted, pass, rules, settings, submission};
use crate::clock::{SharedClock, TimerClock};
use crate::delivery::{Delivery, ProviderState, QuotaSetup, Settings};
use crate::provider::{Heard, Rate, Verdict};
use crate::queue::{MemoryInstance, MemoryStore, Store};

const BOB: &[&str] = &["bob@example.net"];
const SECOND: Duration = Duration::from_secs(1);
const TAKEOVER: Duration = Duration::from_secs(30);

/// Instances on one store and one provider.
struct Several {
    store: Arc<MemoryStore>,
    clock: SharedClock,
    settings: Settings,
}

struct Instance {
    delivery: Delivery,
    shutdown: CancellationToken,
    running: JoinHandle<()>,
    living: JoinHandle<()>,
}

impl Several {
    fn new(settings: Settings) -> Self {
        Self::starting_at("2026-11-21T00:00:00Z", settings)
    }

    fn starting_at(start: &str, settings: Settings) -> Self {
        let start = start.parse().unwrap();
        let clock: SharedClock = Arc::new(TimerClock::starting_at(start));
        Self { store: Arc::new(MemoryStore::new(50_000)), clock, settings }
    }

    fn instance(&self, seed: u64) -> Instance {
        let clock = Arc::clone(&self.clock);
        let shared = MemoryInstance::join(Arc::clone(&self.store), "test", clock, TAKEOVER);
        let shared = Arc::new(shared);
        let living = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move { shared.live().await }
        });
        let store = shared as Arc<dyn Store>;
        let clock = Arc::clone(&self.clock);
        let rng = Rng::with_seed(seed);
        let delivery = Delivery::new(self.settings.clone(), Some(store), clock, rng);
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (delivery, shutdown) = (delivery.clone(), shutdown.clone());
            async move { delivery.run(shutdown, SECOND * 30).await }
        });
        Instance { delivery, shutdown, running, living }
    }

    /// Lets time pass until nothing is open.
    async fn until_all_is_over(&self) {
        for _ in 0..20_000 {
            let counts = self.store.counts().await.unwrap();
            if counts.queued + counts.sending == 0 {
                return;
            }
            pass(Duration::from_millis(100)).await;
        }
        panic!("something is open for ever");
    }
}

impl Instance {
    async fn submit(&self, count: usize) {
        let intake = self.delivery.queue_first();
        for _ in 0..count {
            intake.accept(submission(BOB)).await.unwrap();
        }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
        self.living.abort();
    }
}

fn with_rate(provider: &Arc<Scripted>, calls: u32, per: Duration) -> Settings {
    let mut settings = settings(&[("resend", provider)], rules());
    settings.lanes[0].rate = Some(Rate { calls, per });
    settings.lanes[0].concurrency = NonZeroUsize::new(16).unwrap();
    settings
}

fn times(provider: &Scripted) -> Vec<Duration> {
    provider.seen().iter().map(|call| call.at).collect()
}

fn most_within(times: &[Duration], per: Duration) -> usize {
    let from = |at: &Duration| times.iter().filter(|it| **it >= *at && **it < *at + per).count();
    times.iter().map(from).max().unwrap_or(0)
}

/// How long it took from the first to the last.
fn length(times: &[Duration]) -> f64 {
    let (first, last) = (times.iter().min().unwrap(), times.iter().max().unwrap());
    (*last - *first).as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn all_together_keep_the_rate_and_reach_it() {
    for (calls, per, count) in [
        (2, SECOND, 60),
        (10, SECOND, 200),
        (50, SECOND, 600),
        (250, SECOND, 1_500),
        (120, SECOND * 60, 300),
    ] {
        let provider = Arc::new(Scripted::new());
        let several = Several::new(with_rate(&provider, calls, per));
        let instances: Vec<Instance> = (0..3).map(|seed| several.instance(seed)).collect();
        for (instance, share) in instances.iter().zip([6, 3, 1]) {
            instance.submit(count * share / 10).await;
        }
        several.until_all_is_over().await;
        let times = times(&provider);
        assert_eq!(times.len(), count, "{calls} in {per:?}");
        assert!(most_within(&times, per) <= calls as usize, "{calls} in {per:?}");
        let reached = count as f64 / length(&times) * per.as_secs_f64() / f64::from(calls);
        assert!(reached > 0.94, "{calls} in {per:?}: {reached}");
        for instance in instances {
            instance.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_is_kept_whoever_comes_and_goes() {
    for seed in 0..12 {
        let mut rng = Rng::with_seed(seed);
        let (calls, per) = (rng.u32(1..40), *rng.choice([SECOND, SECOND * 12].iter()).unwrap());
        let latency = Duration::from_millis(rng.u64(1..400));
        let provider = Arc::new(Scripted::with_latency(latency));
        let several = Several::new(with_rate(&provider, calls, per));
        let mut instances: Vec<Instance> = (0..3).map(|seed| several.instance(seed)).collect();
        let mut sent = 0;
        for step in 0..12 {
            let count = rng.usize(..20);
            rng.choice(instances.iter()).unwrap().submit(count).await;
            sent += count;
            pass(Duration::from_millis(rng.u64(..3_000))).await;
            if step % 4 == 3 {
                // A rolling restart.
                instances.remove(rng.usize(..3)).stop().await;
                instances.push(several.instance(seed + 10));
            }
        }
        several.until_all_is_over().await;
        let times = times(&provider);
        assert_eq!(times.len(), sent, "seed {seed}");
        let most = most_within(&times, per);
        assert!(most <= calls as usize, "seed {seed}: {most} of {calls} in {per:?}");
        for instance in instances {
            instance.stop().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_with_several_calls_and_a_test_mail_take_places_like_all() {
    let provider = Arc::new(Scripted::new());
    let several = Several::new(with_rate(&provider, 5, SECOND));
    let (one, other) = (several.instance(1), several.instance(2));
    one.submit(20).await;
    let many: Vec<String> = (0..6).map(|n| format!("r{n}@example.net")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    other.delivery.queue_first().accept(submission(&many)).await.unwrap();
    pass(Duration::from_millis(700)).await;
    let sent = other.delivery.send_now(submission(BOB), None).await;
    assert!(sent.is_ok(), "{sent:?}");
    several.until_all_is_over().await;
    let times = times(&provider);
    assert_eq!(times.len(), 27);
    assert!(most_within(&times, SECOND) <= 5, "{times:?}");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_service_says_of_its_rate_changes_the_places() {
    let provider = Arc::new(Scripted::new());
    let limit = |calls| Heard { limit: Some(Rate { calls, per: SECOND }), ..Heard::default() };
    provider.says_of_its_limits(limit(2));
    let several = Several::new(settings(&[("resend", &provider)], rules()));
    let (one, other) = (several.instance(1), several.instance(2));
    // Each has heard it once.
    for instance in [&one, &other] {
        instance.submit(1).await;
        pass(SECOND * 2).await;
    }
    one.submit(20).await;
    other.submit(20).await;
    pass(SECOND * 5).await;
    let slow = times(&provider);
    assert!(most_within(&slow[2..], SECOND) <= 2, "{slow:?}");
    assert!((10..=13).contains(&slow.len()), "{}", slow.len());
    provider.says_of_its_limits(limit(100));
    pass(SECOND * 2).await;
    assert_eq!(provider.seen().len(), 42);
    one.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_account_without_a_rate_waits_for_no_place() {
    let provider = Arc::new(Scripted::new());
    let several = Several::new(settings(&[("resend", &provider)], rules()));
    let (one, other) = (several.instance(1), several.instance(2));
    one.submit(30).await;
    other.submit(30).await;
    several.until_all_is_over().await;
    assert!(length(&times(&provider)) < 0.2, "without a rate nobody waits");
    one.stop().await;
    other.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_for_all_together() {
    let provider = Arc::new(Scripted::new());
    let mut settings = settings(&[("resend", &provider)], rules());
    settings.lanes[0].quotas = QuotaSetup { daily: NonZeroU64::new(50), monthly: None };
    let several = Several::starting_at("2026-11-21T23:58:00Z", settings);
    let instances: Vec<Instance> = (0..3).map(|seed| several.instance(seed)).collect();
    // Some of what is reserved is not used.
    provider.now_answers(Err(Verdict::Rejected));
    instances[0].submit(5).await;
    pass(SECOND).await;
    assert_eq!(provider.seen().len(), 5);
    provider.now_answers(Ok(()));
    for instance in &instances {
        instance.submit(30).await;
    }
    pass(SECOND * 20).await;
    assert_eq!(provider.seen().len(), 55, "50 have been served");
    for instance in &instances {
        assert_eq!(instance.delivery.status()[0].state, ProviderState::Exhausted);
    }
    // Nothing is asked for in vain meanwhile, and the rest goes on the next day.
    pass(SECOND * 120).await;
    several.until_all_is_over().await;
    assert_eq!(provider.seen().len(), 95);
    let usage = several.store.usage(0).await.unwrap();
    assert_eq!(usage.iter().map(|usage| usage.recipients).sum::<u64>(), 90);
    for instance in instances {
        instance.stop().await;
    }
}
