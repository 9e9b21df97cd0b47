//! Several instances on one queue: each a delivery of its own, with its own provider object for the same account.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::scripted::{Scripted, pass, rules, settings, submission};
use crate::clock::{SharedClock, TimerClock};
use crate::delivery::{Delivery, ProviderState, Settings};
use crate::message::{Message, QueueId};
use crate::provider::Verdict;
use crate::queue::{
    Condition, Details, Entry, Intake, MemoryInstance, MemoryStore, Shared as _, State, Store,
};

const BOB: &[&str] = &["bob@example.net"];
const REFUSED: Result<(), Verdict> = Err(Verdict::Misconfigured);
const TAKEOVER: Duration = Duration::from_secs(30);

/// What all have in common.
struct Ground {
    store: Arc<MemoryStore>,
    clock: SharedClock,
}

/// One instance.
struct Instance {
    queue: Arc<MemoryInstance>,
    delivery: Delivery,
    intake: Arc<dyn Intake>,
    beating: JoinHandle<()>,
    running: JoinHandle<()>,
    shutdown: CancellationToken,
}

impl Ground {
    fn new() -> Self {
        let start = "2026-11-22T00:00:00Z".parse().unwrap();
        let clock: SharedClock = Arc::new(TimerClock::starting_at(start));
        Self { store: Arc::new(MemoryStore::new(1_000)), clock }
    }

    fn join(&self, name: &str, settings: Settings) -> Instance {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        let queue = Arc::new(MemoryInstance::join(store, name, clock, TAKEOVER));
        let beating = tokio::spawn({
            let queue = Arc::clone(&queue);
            async move { queue.live().await }
        });
        let store = Arc::clone(&queue) as Arc<dyn Store>;
        let clock = Arc::clone(&self.clock);
        let delivery = Delivery::new(settings, Some(store), clock, Rng::with_seed(7));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (delivery, shutdown) = (delivery.clone(), shutdown.clone());
            async move { delivery.run(shutdown, Duration::from_secs(30)).await }
        });
        Instance { queue, intake: delivery.queue_first(), delivery, beating, running, shutdown }
    }

    async fn show(&self, id: QueueId) -> Details {
        self.store.show(id).await.unwrap().unwrap()
    }

    async fn state(&self, id: QueueId) -> State {
        self.show(id).await.summary.state
    }
}

impl Instance {
    async fn submit(&self, count: usize) -> Vec<QueueId> {
        let mut ids = Vec::new();
        for _ in 0..count {
            ids.push(self.intake.accept(submission(BOB)).await.unwrap());
        }
        ids
    }

    fn provider(&self) -> ProviderState {
        self.delivery.status()[0].state
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.beating.abort();
        self.running.abort();
    }
}

/// One call at a time.
fn narrow(provider: &Arc<Scripted>) -> Settings {
    let mut settings = settings(&[("resend", provider)], rules());
    settings.lanes[0].concurrency = std::num::NonZeroUsize::MIN;
    settings
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_from_the_dead_makes_no_call_for_what_others_have_taken_over() {
    let ground = Ground::new();
    let slow = Arc::new(Scripted::with_latency(Duration::from_secs(40)));
    let quick = Arc::new(Scripted::new());
    let a = ground.join("a", narrow(&slow));
    let b = ground.join("b", narrow(&quick));
    pass(Duration::from_millis(100)).await;
    let ids = a.submit(4).await;
    // From here on it says nothing of life, as one that is stopped.
    a.beating.abort();
    pass(Duration::from_secs(29)).await;
    assert_eq!((slow.calls_at_once(), quick.seen().len()), (1, 0), "it may come back");
    pass(Duration::from_secs(8)).await;
    for id in &ids {
        assert_eq!(ground.state(*id).await, State::Delivered, "taken over");
    }
    assert_eq!(quick.seen().len(), 4);
    // The call that was under way ends, and a sign of life shows that it was buried.
    pass(Duration::from_secs(5)).await;
    a.queue.beat();
    pass(Duration::from_secs(60)).await;
    assert_eq!(slow.seen().len(), 1, "only the call that was under way");
    for id in &ids {
        let details = ground.show(*id).await;
        assert_eq!(details.summary.state, State::Delivered);
        assert_eq!(details.attempts.len(), 1, "its settlement has written nothing");
    }
    // It goes on under its new name.
    let more = a.submit(1).await;
    pass(Duration::from_secs(41)).await;
    assert_eq!(ground.state(more[0]).await, State::Delivered);
    drop(b);
}

#[tokio::test(start_paused = true)]
async fn while_nobody_can_say_that_it_lives_an_instance_waits_and_then_goes_on() {
    let ground = Ground::new();
    let slow = Arc::new(Scripted::with_latency(Duration::from_secs(20)));
    let a = ground.join("a", narrow(&slow));
    pass(Duration::from_millis(100)).await;
    let ids = a.submit(3).await;
    a.beating.abort();
    pass(Duration::from_secs(90)).await;
    assert_eq!(slow.seen().len(), 2, "the second began while it was sure");
    let owner = a.queue.presence().owner();
    a.queue.beat();
    assert_eq!(a.queue.presence().owner(), owner, "nobody was there to bury it");
    let beating = tokio::spawn({
        let queue = Arc::clone(&a.queue);
        async move { queue.live().await }
    });
    pass(Duration::from_secs(25)).await;
    beating.abort();
    for id in &ids {
        assert_eq!(ground.state(*id).await, State::Delivered);
    }
    assert_eq!(slow.seen().len(), 3, "each was sent once");
}

#[tokio::test(start_paused = true)]
async fn who_stops_hands_over_at_once() {
    let ground = Ground::new();
    let slow = Arc::new(Scripted::with_latency(Duration::from_secs(5)));
    let quick = Arc::new(Scripted::new());
    let a = ground.join("a", narrow(&slow));
    pass(Duration::from_millis(100)).await;
    let ids = a.submit(4).await;
    pass(Duration::from_millis(100)).await;
    let b = ground.join("b", narrow(&quick));
    a.shutdown.cancel();
    pass(Duration::from_secs(1)).await;
    let delivered =
        |states: Vec<State>| states.iter().filter(|it| **it == State::Delivered).count();
    let mut states = Vec::new();
    for id in &ids {
        states.push(ground.state(*id).await);
    }
    assert_eq!(delivered(states), 3, "all but the one that is under way");
    pass(Duration::from_secs(10)).await;
    assert_eq!((slow.seen().len(), quick.seen().len()), (1, 3));
    assert!(!a.queue.presence().holds(&a.queue.presence().owner(), ground.clock.now()));
    drop(b);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_refused_at_one_closes_the_provider_at_all_and_opens_with_it() {
    let ground = Ground::new();
    let [one, other] = [(); 2].map(|()| {
        let dead = Arc::new(Scripted::new().always(REFUSED));
        dead.probe_says(REFUSED);
        dead
    });
    let a = ground.join("a", settings(&[("resend", &one)], rules()));
    let b = ground.join("b", settings(&[("resend", &other)], rules()));
    pass(Duration::from_millis(100)).await;
    let ids = a.submit(1).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(a.provider(), ProviderState::Misconfigured);
    assert_eq!(b.provider(), ProviderState::Misconfigured, "without a call of its own");
    let waiting = b.submit(3).await;
    pass(Duration::from_mins(30)).await;
    assert_eq!(other.seen().len(), 0);
    assert!(one.probes() > 10, "the one that has found out goes on asking");
    assert_eq!(other.probes(), 0, "and the other one leaves that to it");
    // A third one learns it at its start.
    let third = Arc::new(Scripted::new().always(REFUSED));
    third.probe_says(REFUSED);
    let c = ground.join("c", settings(&[("resend", &third)], rules()));
    pass(Duration::from_secs(1)).await;
    assert_eq!(c.provider(), ProviderState::Misconfigured);
    assert_eq!(third.seen().len(), 0);
    for provider in [&one, &other, &third] {
        provider.now_answers(Ok(()));
        provider.probe_says(Ok(()));
    }
    pass(Duration::from_mins(3)).await;
    for instance in [&a, &b, &c] {
        assert_eq!(instance.provider(), ProviderState::Up);
    }
    pass(Duration::from_mins(1)).await;
    for id in ids.iter().chain(&waiting) {
        assert_eq!(ground.state(*id).await, State::Delivered);
    }
    let known = ground.standings().await;
    assert_eq!(known.len(), 1);
    assert_eq!(known[0].condition, Condition::Up);
}

#[tokio::test(start_paused = true)]
async fn a_rest_that_a_service_asks_for_is_kept_by_all() {
    let ground = Ground::new();
    let wait = Duration::from_secs(8);
    let throttled = Err(Verdict::Throttled { retry_after: Some(wait) });
    let one = Arc::new(Scripted::new().answers([throttled]));
    let other = Arc::new(Scripted::new());
    let a = ground.join("a", settings(&[("resend", &one)], rules()));
    let b = ground.join("b", settings(&[("resend", &other)], rules()));
    pass(Duration::from_millis(100)).await;
    let begun = ground.clock.now();
    a.submit(1).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(b.provider(), ProviderState::Throttled);
    let ids = b.submit(1).await;
    while ground.state(ids[0]).await != State::Delivered {
        assert!(ground.clock.now() < begun + Duration::from_secs(60));
        pass(Duration::from_millis(100)).await;
    }
    assert!(ground.clock.now() >= begun + wait, "{:?}", ground.clock.now());
}

#[tokio::test(start_paused = true)]
async fn what_another_instance_queues_wakes_who_can_deliver_it() {
    let ground = Ground::new();
    let provider = Arc::new(Scripted::new());
    let a = ground.join("a", settings(&[("resend", &provider)], rules()));
    pass(Duration::from_secs(5)).await;
    let idle = MemoryInstance::join(
        Arc::clone(&ground.store),
        "idle",
        Arc::clone(&ground.clock),
        TAKEOVER,
    );
    let now = ground.clock.now();
    let mail = submission(BOB);
    let message = Arc::new(Message {
        id: QueueId::new(now),
        received_at: now,
        index: crate::message::IndexFields::read(&mail.raw),
        envelope: mail.envelope,
        raw: mail.raw,
        user: None,
        account: None,
        may_steer: true,
    });
    let id = message.id;
    idle.insert(Entry::waiting(message)).await.unwrap();
    pass(Duration::from_millis(100)).await;
    assert_eq!(ground.state(id).await, State::Delivered);
    drop(a);
}

impl Ground {
    async fn standings(&self) -> Vec<crate::queue::AccountStanding> {
        let (store, clock) = (Arc::clone(&self.store), Arc::clone(&self.clock));
        MemoryInstance::join(store, "looks on", clock, TAKEOVER).standings().await.unwrap()
    }
}
