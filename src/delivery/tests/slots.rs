//! Slots and permits of calls that are held up before they are made, or never made.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::scripted::{FatalJoin, Scripted, World, pass, rules, settings, submission};
use super::together::{sizes, with_backlog};
use crate::clock::{SharedClock, TimerClock};
use crate::delivery::memory::Room;
use crate::delivery::{Delivery, Settings};
use crate::provider::{Rate, Verdict};
use crate::queue::{Lease, Portion, RecipientState, State, Store};

const BOB: &[&str] = &["bob@example.net"];
const SECOND: Duration = Duration::from_secs(1);

fn with_rate(provider: &Arc<Scripted>, calls: u32, per: Duration) -> Settings {
    let mut settings = settings(&[("resend", provider)], rules());
    settings.lanes[0].rate = Some(Rate { calls, per });
    settings
}

/// Until this is dropped, those that travel together wait for room, with a slot in their hand.
async fn no_room_to_join(world: &World) -> Option<Room> {
    world.delivery.0.memory.joined(64 << 20).await
}

/// A message that is refused, because the provider wants a rest.
async fn ask_for_a_rest(world: &World, provider: &Scripted, wait: Duration) {
    provider.now_answers(Err(Verdict::Throttled { retry_after: Some(wait) }));
    world.submit(BOB).await;
    pass(Duration::from_millis(100)).await;
    provider.now_answers(Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_made_late_is_paid_once() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    let (world, _) = with_backlog(10, with_rate(&provider, 2, SECOND)).await;
    let room = no_room_to_join(&world).await;
    pass(Duration::from_millis(200)).await;
    drop(room);
    pass(Duration::from_millis(100)).await;
    assert_eq!(sizes(&provider), [10], "it has its permit already");
    for _ in 0..3 {
        world.submit(BOB).await;
        pass(Duration::from_millis(600)).await;
    }
    let seen = provider.seen();
    assert!(seen.len() > 2, "{seen:?}");
    for (first, third) in seen.iter().zip(&seen[2..]) {
        assert!(third.at - first.at >= SECOND, "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_does_not_wait_for_the_rate() {
    let provider = Arc::new(Scripted::new());
    let world = World::with(with_rate(&provider, 1, SECOND * 60));
    let id = world.submit(&["a@example.net", "b@example.net", "c@example.net"]).await;
    pass(SECOND * 5).await;
    assert_eq!(provider.seen().len(), 1);
    let begun = Instant::now();
    let store = world.stop().await;
    assert!(begun.elapsed() <= SECOND * 2, "{:?}", begun.elapsed());
    let summary = store.show(id).await.unwrap().unwrap().summary;
    assert_eq!(summary.state, State::Queued);
    let waiting = summary.recipients.iter().filter(|it| it.state == RecipientState::Queued);
    assert_eq!(waiting.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rate_that_is_slower_than_a_lease_keeps_no_message_beyond_it() {
    let provider = Arc::new(Scripted::new());
    let world = World::with(with_rate(&provider, 1, Duration::from_mins(20)));
    let id = world.submit(&["a@example.net", "b@example.net", "c@example.net"]).await;
    pass(Duration::from_mins(30)).await;
    assert_eq!(provider.seen().len(), 2);
    pass(Duration::from_mins(30)).await;
    assert_eq!(world.show(id).await.summary.state, State::Delivered);
    assert_eq!((provider.seen().len(), provider.copies()), (3, (1, 3)));
}

#[tokio::test(start_paused = true)]
async fn those_that_a_rest_stops_travel_together_later() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    let (world, ids) = with_backlog(10, settings(&[("resend", &provider)], rules())).await;
    let room = no_room_to_join(&world).await;
    pass(Duration::from_millis(100)).await;
    ask_for_a_rest(&world, &provider, SECOND * 3).await;
    drop(room);
    pass(SECOND * 4).await;
    for id in ids {
        assert_eq!(world.show(id).await.summary.state, State::Delivered);
    }
    let seen = provider.seen();
    assert!(sizes(&provider).iter().any(|size| *size >= 10), "{seen:?}");
    assert!(seen.len() <= 3 && seen[1].at >= SECOND * 3, "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_doubt_that_a_rest_stops_takes_no_step_of_the_back_off() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    provider.lose_answers(1);
    let (world, ids) = with_backlog(10, settings(&[("resend", &provider)], rules())).await;
    pass(Duration::from_millis(10)).await;
    let room = no_room_to_join(&world).await;
    pass(SECOND * 3).await;
    ask_for_a_rest(&world, &provider, SECOND * 5).await;
    drop(room);
    pass(SECOND).await;
    assert_eq!(sizes(&provider), [10, 1]);
    let due = world.show(ids[3]).await.summary.next_attempt_at.unwrap();
    let now = world.clock.now();
    assert!(due > now + SECOND * 3 && due < now + SECOND * 5, "{due} at {now}");
    let store = world.stop().await;
    let portion = Portion { ways: BTreeMap::new(), others: 100, bytes: 1 << 20, large: 1 };
    let later = now + Duration::from_hours(1);
    let lease = Lease { owner: "test".into(), expires: later + SECOND };
    let claims = store.claim(portion, later, lease).await.unwrap();
    let steps: Vec<u32> = claims
        .iter()
        .filter(|claim| ids.contains(&claim.message.id))
        .map(|claim| claim.deferrals)
        .collect();
    assert_eq!(steps, [1; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_panic_where_calls_are_joined_costs_neither_slot_nor_message() {
    for fatal in [FatalJoin::Asked, FatalJoin::Done] {
        let provider = Arc::new(Scripted::with_batches(100).panicking_at_joins(fatal));
        let mut settings = settings(&[("resend", &provider)], rules());
        settings.lanes[0].concurrency = NonZeroUsize::MIN;
        let (world, ids) = with_backlog(10, settings).await;
        pass(SECOND * 5).await;
        for id in ids {
            assert_eq!(world.show(id).await.summary.state, State::Delivered);
        }
        assert_eq!(sizes(&provider), [1; 10]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_goes_away_leaves_its_slot_behind() {
    let provider = Arc::new(Scripted::with_latency(SECOND * 20));
    let mut settings = settings(&[("resend", &provider)], rules());
    settings.lanes[0].concurrency = NonZeroUsize::MIN;
    let clock: SharedClock =
        Arc::new(TimerClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()));
    let delivery = Delivery::new(settings, None, clock, fastrand::Rng::with_seed(7));
    let intake = delivery.direct();
    let gone = tokio::time::timeout(SECOND, intake.accept(submission(BOB))).await;
    assert!(gone.is_err());
    assert!(intake.accept(submission(BOB)).await.is_ok());
}
