//! The way from and to the queue.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use super::scripted::{Scripted, World, pass, rules, settings, submission};
use crate::clock::TimerClock;
use crate::delivery::Delivery;
use crate::provider::{Rate, Verdict};
use crate::queue::{Filter, Lease, Portion, RecipientState, SqliteStore, State, Store};

const LONG: Duration = Duration::from_hours(1);
const BOB: &[&str] = &["bob@example.net"];

#[tokio::test(start_paused = true)]
async fn a_backlog_that_built_up_during_an_outage_goes_out_afterwards() {
    let provider = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    provider.probe_says(Err(Verdict::Misconfigured));
    let world = World::new(&[("resend", &provider)]);
    for _ in 0..500 {
        world.submit(BOB).await;
    }
    pass(Duration::from_mins(5)).await;
    assert_eq!(world.store.counts().await.unwrap().queued, 500);
    provider.probe_says(Ok(()));
    provider.now_answers(Ok(()));
    pass(Duration::from_mins(3)).await;
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending), (0, 0));
    let in_flight_when_it_closed = 4;
    assert_eq!(provider.seen().len(), 500 + in_flight_when_it_closed);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_longer_than_its_lease_for_a_slot_is_still_sent_once() {
    let provider = Arc::new(Scripted::with_latency(Duration::from_secs(10)));
    let world = World::new(&[("resend", &provider)]);
    let burst = 700;
    for _ in 0..burst {
        world.submit(BOB).await;
    }
    // Four at a time.
    pass(Duration::from_mins(40)).await;
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending, counts.failed), (0, 0, 0));
    assert_eq!(provider.seen().len(), burst);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_somebody_else_has_taken_is_not_sent_on() {
    let provider = Arc::new(Scripted::with_latency(Duration::from_secs(60)));
    let world = World::new(&[("resend", &provider)]);
    // Hidden recipients get a call each from a structured provider.
    world.submit(&["a@example.net", "b@example.net", "c@example.net"]).await;
    let lease = Lease { owner: "other".into(), expires: world.clock.now() + LONG };
    let claims =
        world.store.claim(Portion::any(1, 1, 0), world.clock.now() + LONG, lease).await.unwrap();
    assert_eq!(claims.len(), 1);
    pass(Duration::from_mins(10)).await;
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_finishes_running_calls_and_keeps_the_rest() {
    let provider = Arc::new(Scripted::with_latency(Duration::from_secs(3)));
    let world = World::new(&[("resend", &provider)]);
    for _ in 0..20 {
        world.submit(BOB).await;
    }
    pass(Duration::from_secs(1)).await;
    let store = world.stop().await;
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending), (16, 0));
    let delivered = Filter { state: Some(State::Delivered), limit: 100, ..Filter::default() };
    assert_eq!(store.list(delivered).await.unwrap().messages.len(), 4);
    assert_eq!(provider.seen().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_ends_in_time_although_nothing_can_be_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(SqliteStore::open(&folder.path().join("queue.db"), 100).unwrap());
    let provider = Arc::new(Scripted::with_latency(Duration::from_secs(3)));
    let clock = Arc::new(TimerClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
    let settings = settings(&[("resend", &provider)], rules());
    let recorded = Arc::clone(&store) as Arc<dyn Store>;
    let delivery = Delivery::new(settings, Some(recorded), clock, Rng::with_seed(7));
    let intake = delivery.queue_first();
    for _ in 0..10 {
        intake.accept(submission(BOB)).await.unwrap();
    }
    store.close().await;
    let shutdown = CancellationToken::new();
    shutdown.cancel();
    let ending = delivery.run(shutdown, Duration::from_secs(30));
    tokio::time::timeout(Duration::from_secs(40), ending).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_does_not_begin_another_call_of_a_message() {
    let provider = Arc::new(Scripted::with_latency(Duration::from_secs(3)));
    let world = World::new(&[("resend", &provider)]);
    // Hidden recipients get a call each from a structured provider.
    let id = world.submit(&["a@example.net", "b@example.net", "c@example.net"]).await;
    pass(Duration::from_secs(4)).await;
    let store = world.stop().await;
    assert_eq!(provider.seen().len(), 2);
    let details = store.show(id).await.unwrap().unwrap();
    assert_eq!(details.summary.state, State::Queued);
    let states: Vec<_> = details.summary.recipients.iter().map(|r| r.state).collect();
    use RecipientState::{Delivered, Queued};
    assert_eq!(states, [Delivered, Delivered, Queued]);
}

#[tokio::test(start_paused = true)]
async fn calls_keep_to_the_rate() {
    let provider = Arc::new(Scripted::new());
    let mut settings = settings(&[("resend", &provider)], rules());
    settings.lanes[0].rate = Some(Rate { calls: 10, per: Duration::from_secs(1) });
    let world = World::with(settings);
    for _ in 0..50 {
        world.submit(BOB).await;
    }
    pass(Duration::from_secs(6)).await;
    let seen = provider.seen();
    assert_eq!(seen.len(), 50);
    for (index, call) in seen.iter().enumerate().skip(11) {
        assert!(call.at - seen[index - 11].at >= Duration::from_secs(1), "{index}");
    }
    assert!(seen[49].at < Duration::from_millis(5_200), "{:?}", seen[49].at);
}

#[tokio::test(start_paused = true)]
async fn a_slow_provider_is_not_given_more_calls_than_its_limit() {
    let provider = Arc::new(Scripted::with_latency(Duration::from_secs(1)));
    let world = World::new(&[("resend", &provider)]);
    for _ in 0..12 {
        world.submit(BOB).await;
    }
    pass(Duration::from_millis(3_500)).await;
    let seen = provider.seen();
    assert_eq!(seen.len(), 12);
    assert!(seen[4].at >= seen[0].at + Duration::from_secs(1), "four at a time");
}
