//! What providers bear: rates, rests, calls at the same time, quotas.

use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use super::scripted::{Scripted, World, error, pass, rules, settings, submission};
use super::together::{sizes, with_backlog};
use crate::clock::{SharedClock, TimerClock};
use crate::delivery::{Delivery, ProviderState, QuotaSetup, Settings, SetupMark};
use crate::provider::{Heard, Rate, Verdict};
use crate::queue::{MemoryStore, Refusal, SqliteStore, State, Store};

const BOB: &[&str] = &["bob@example.net"];
const SECOND: Duration = Duration::from_secs(1);

fn quota(daily: u64) -> QuotaSetup {
    QuotaSetup { daily: NonZeroU64::new(daily), monthly: None }
}

/// The first of them may serve so many recipients in a day.
fn with_quota(providers: &[(&str, &Arc<Scripted>)], daily: u64) -> Settings {
    let mut settings = settings(providers, rules());
    settings.lanes[0].quotas = quota(daily);
    settings
}

fn most_in_a_second(provider: &Scripted) -> usize {
    let times: Vec<_> = provider.seen().iter().map(|call| call.at).collect();
    let from = |at: &Duration| times.iter().filter(|it| **it >= *at && **it < *at + SECOND).count();
    times.iter().map(from).max().unwrap_or(0)
}

#[tokio::test(start_paused = true)]
async fn headers_set_the_pace() {
    let provider = Arc::new(Scripted::new());
    let limit = |calls| Heard { limit: Some(Rate { calls, per: SECOND }), ..Heard::default() };
    provider.says_of_its_limits(limit(2));
    let world = World::new(&[("resend", &provider)]);
    let first = world.submit(BOB).await;
    world.until(first, State::Delivered).await;
    pass(SECOND * 2).await;
    for _ in 0..20 {
        world.submit(BOB).await;
    }
    pass(SECOND * 5).await;
    assert!(most_in_a_second(&provider) <= 2, "{:?}", provider.seen());
    let slow = provider.seen().len();
    assert!((9..=13).contains(&slow), "{slow}");
    provider.says_of_its_limits(limit(100));
    pass(SECOND).await;
    assert_eq!(provider.seen().len(), 21);
}

#[tokio::test(start_paused = true)]
async fn a_storm_of_refusals_gets_no_call_before_its_time() {
    let wait = Duration::from_millis(3_500);
    let throttled = Err(Verdict::Throttled { retry_after: Some(wait) });
    let provider = Arc::new(Scripted::new().answers([throttled; 12]));
    let mut settings = settings(&[("resend", &provider)], rules());
    settings.lanes[0].concurrency = NonZeroUsize::MIN;
    let world = World::with(settings);
    // Hidden recipients get a call each: the further calls of a message rest as well.
    let id = world.submit(&["a@example.net", "b@example.net", "c@example.net"]).await;
    for _ in 0..20 {
        world.submit(BOB).await;
    }
    world.until(id, State::Delivered).await;
    let seen = provider.seen();
    for refused in seen.iter().take(12) {
        let early = seen.iter().filter(|call| call.at > refused.at && call.at < refused.at + wait);
        assert_eq!(early.count(), 0, "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_further_calls_of_a_message_wait_for_the_end_of_a_rest() {
    let wait = Duration::from_secs(7);
    let provider = Arc::new(
        Scripted::new().answers([Ok(()), Err(Verdict::Throttled { retry_after: Some(wait) })]),
    );
    let world = World::new(&[("resend", &provider)]);
    let many: Vec<String> = (0..6).map(|n| format!("r{n}@example.net")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let one = world.submit(&many).await;
    let other = world.submit(&many).await;
    world.until(one, State::Delivered).await;
    world.until(other, State::Delivered).await;
    let seen = provider.seen();
    let refused = seen[1].at;
    let latency = Duration::from_millis(5);
    let early = seen.iter().filter(|call| call.at > refused + latency && call.at < refused + wait);
    assert_eq!(early.count(), 0, "{seen:?}");
    assert_eq!(seen.len(), 13, "each recipient once, and the refused call again");
}

#[tokio::test(start_paused = true)]
async fn calls_at_the_same_time_fall_and_recover() {
    let provider = Arc::new(
        Scripted::with_latency(Duration::from_millis(100))
            .answers([Err(Verdict::Throttled { retry_after: Some(SECOND) })]),
    );
    let mut settings = settings(&[("resend", &provider)], rules());
    settings.lanes[0].concurrency = NonZeroUsize::new(8).unwrap();
    let world = World::with(settings);
    world.submit(BOB).await;
    pass(SECOND * 2).await;
    for _ in 0..40 {
        world.submit(BOB).await;
    }
    pass(Duration::from_millis(50)).await;
    assert!(provider.calls_at_once() <= 4, "{}", provider.calls_at_once());
    pass(SECOND * 2).await;
    for _ in 0..40 {
        world.submit(BOB).await;
    }
    pass(SECOND * 2).await;
    assert_eq!(provider.calls_at_once(), 8);
}

#[tokio::test(start_paused = true)]
async fn a_full_quota_moves_mail_on_and_back_at_midnight() {
    let (first, second) = (Arc::new(Scripted::new()), Arc::new(Scripted::new()));
    let world = World::with(with_quota(&[("resend", &first), ("ses", &second)], 3));
    pass(SECOND).await;
    for _ in 0..5 {
        let id = world.submit(BOB).await;
        world.until(id, State::Delivered).await;
    }
    assert_eq!((first.seen().len(), second.seen().len()), (3, 2));
    let status = &world.delivery.status()[0];
    assert_eq!(status.state, ProviderState::Exhausted);
    let why = &status.last_error.as_ref().unwrap().1;
    assert!(why.contains("3 of 3; it renews at 2026-11-22T00:00:00Z"), "{why}");
    assert!(world.delivery.ready());

    pass(Duration::from_hours(24)).await;
    assert_eq!(world.delivery.status()[0].state, ProviderState::Up);
    let id = world.submit(BOB).await;
    world.until(id, State::Delivered).await;
    assert_eq!(first.seen().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn without_another_provider_mail_waits_for_midnight() {
    let provider = Arc::new(Scripted::new());
    let world = World::with(with_quota(&[("resend", &provider)], 2));
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.submit(BOB).await);
    }
    pass(Duration::from_hours(23)).await;
    assert_eq!(provider.seen().len(), 2);
    pass(Duration::from_hours(1) + SECOND * 10).await;
    assert_eq!(provider.seen().len(), 4);
    pass(Duration::from_hours(24)).await;
    assert_eq!(provider.seen().len(), 5);
    for id in ids {
        assert_eq!(world.show(id).await.summary.state, State::Delivered);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_larger_than_what_is_left_goes_elsewhere_and_smaller_ones_do_not() {
    let (first, second) = (Arc::new(Scripted::new()), Arc::new(Scripted::new()));
    let world = World::with(with_quota(&[("resend", &first), ("ses", &second)], 3));
    pass(SECOND).await;
    let ab: &[&str] = &["a@example.net", "b@example.net"];
    for (recipients, at_first, at_second) in [(ab, 2, 0), (ab, 2, 2), (BOB, 3, 2), (BOB, 3, 3)] {
        let id = world.submit(recipients).await;
        world.until(id, State::Delivered).await;
        assert_eq!((first.seen().len(), second.seen().len()), (at_first, at_second));
    }
}

#[tokio::test(start_paused = true)]
async fn what_came_to_nothing_does_not_count() {
    let provider =
        Arc::new(Scripted::new().answers([Err(Verdict::Rejected), Err(Verdict::Rejected)]));
    let world = World::with(with_quota(&[("resend", &provider)], 1));
    for _ in 0..2 {
        let id = world.submit(BOB).await;
        world.until(id, State::Failed).await;
    }
    let id = world.submit(BOB).await;
    world.until(id, State::Delivered).await;
    assert_eq!(world.delivery.status()[0].state, ProviderState::Exhausted);
}

#[tokio::test(start_paused = true)]
async fn the_services_own_count_closes_the_account() {
    let provider = Arc::new(Scripted::new());
    provider.says_of_its_limits(Heard { used_today: Some(99), ..Heard::default() });
    let world = World::with(with_quota(&[("resend", &provider)], 100));
    for _ in 0..4 {
        world.submit(BOB).await;
        pass(SECOND).await;
    }
    assert_eq!(provider.seen().len(), 2, "the app's other mail counts too");
}

#[tokio::test(start_paused = true)]
async fn a_quota_is_kept_over_a_restart() {
    let provider = Arc::new(Scripted::new());
    let world = World::with(with_quota(&[("resend", &provider)], 3));
    for _ in 0..2 {
        let id = world.submit(BOB).await;
        world.until(id, State::Delivered).await;
    }
    let clock = Arc::clone(&world.clock);
    let store: Arc<MemoryStore> = world.stop().await;
    let world = World::over(store, clock, with_quota(&[("resend", &provider)], 3));
    for _ in 0..3 {
        world.submit(BOB).await;
    }
    pass(SECOND * 30).await;
    assert_eq!(provider.seen().len(), 3);
    assert_eq!(world.delivery.status()[0].state, ProviderState::Exhausted);
}

#[tokio::test]
async fn a_quota_is_kept_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("queue.db");
    let provider = Arc::new(Scripted::new());
    let start = "2026-11-21T10:00:00Z".parse().unwrap();
    let clock: SharedClock = Arc::new(TimerClock::starting_at(start));
    for expected in [2, 3] {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&file, 1_000).unwrap());
        let settings = with_quota(&[("resend", &provider)], 3);
        let recorded = Some(Arc::clone(&store));
        let delivery = Delivery::new(settings, recorded, Arc::clone(&clock), Rng::with_seed(7));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (delivery, shutdown) = (delivery.clone(), shutdown.clone());
            async move { delivery.run(shutdown, Duration::from_secs(30)).await }
        });
        let mut sent = provider.seen().len();
        while sent < expected {
            let id = delivery.queue_first().accept(submission(BOB)).await.unwrap();
            for _ in 0..200_000 {
                if store.show(id).await.unwrap().unwrap().summary.state == State::Delivered {
                    break;
                }
                tokio::task::yield_now().await;
            }
            assert_eq!(store.show(id).await.unwrap().unwrap().summary.state, State::Delivered);
            sent += 1;
        }
        let exhausted = delivery.status()[0].state == ProviderState::Exhausted;
        assert_eq!(exhausted, expected == 3);
        shutdown.cancel();
        running.await.unwrap();
    }
    assert_eq!(provider.seen().len(), 3);
}

/// With hidden recipients, each of which gets a call.
async fn until_served(world: &World, provider: &Scripted, recipients: usize, days: u64) {
    let addresses: Vec<String> = (0..recipients).map(|n| format!("r{n}@example.net")).collect();
    let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
    let id = world.submit(&addresses).await;
    pass(Duration::from_hours(24 * days) + SECOND * 10).await;
    assert_eq!(world.show(id).await.summary.state, State::Delivered, "{:?}", provider.seen());
    assert_eq!(provider.copies(), (1, recipients));
}

#[tokio::test(start_paused = true)]
async fn the_joined_calls_of_one_message_keep_to_a_quota() {
    let provider = Arc::new(Scripted::with_batches(100));
    let world = World::with(with_quota(&[("resend", &provider)], 5));
    pass(SECOND).await;
    until_served(&world, &provider, 7, 1).await;
    assert_eq!(sizes(&provider), [2, 2, 2, 1], "what one call could have, and no more");
}

#[tokio::test(start_paused = true)]
async fn a_message_with_more_recipients_than_the_whole_quota_goes_in_pieces() {
    let provider = Arc::new(Scripted::with_batches(100));
    let world = World::with(with_quota(&[("resend", &provider)], 1));
    pass(SECOND).await;
    until_served(&world, &provider, 3, 2).await;
    assert_eq!(sizes(&provider), [1, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_doubt_that_is_larger_than_the_whole_quota_goes_singly() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    provider.lose_answers(1);
    let (world, ids) = with_backlog(6, settings(&[("resend", &provider)], rules())).await;
    pass(Duration::from_millis(10)).await;
    assert!(world.show(ids[2]).await.summary.in_doubt);
    let mut smaller = with_quota(&[("resend", &provider)], 5);
    smaller.lanes[0].mark = SetupMark::of(["a quota"]);
    world.delivery.reload(smaller);
    pass(Duration::from_hours(24)).await;
    for id in ids {
        assert_eq!(world.show(id).await.summary.state, State::Delivered);
    }
    assert_eq!(sizes(&provider), [6, 1, 1, 1, 1, 1, 1]);
}

fn direct(settings: Settings) -> Delivery {
    let start = "2026-11-21T00:00:00Z".parse().unwrap();
    let clock: SharedClock = Arc::new(TimerClock::starting_at(start));
    Delivery::new(settings, None, clock, Rng::with_seed(7))
}

#[tokio::test(start_paused = true)]
async fn direct_mode_keeps_to_the_rate_as_long_as_a_client_waits() {
    let provider = Arc::new(Scripted::new());
    let mut settings = settings(&[("resend", &provider)], rules());
    settings.lanes[0].rate = Some(Rate { calls: 2, per: SECOND });
    let intake = direct(settings).direct();
    let clients: Vec<_> = (0..100)
        .map(|_| {
            let intake = Arc::clone(&intake);
            tokio::spawn(async move { intake.accept(submission(BOB)).await })
        })
        .collect();
    let (mut taken, mut put_off) = (0, 0);
    for client in clients {
        match client.await.unwrap() {
            Ok(_) => taken += 1,
            Err(Refusal::TryAgain(words)) => {
                assert!(words.contains("no call before"), "{words}");
                put_off += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((taken + put_off, provider.seen().len()), (100, taken));
    assert!((58..=61).contains(&taken), "{taken}");
    assert!(most_in_a_second(&provider) <= 2);
}

#[tokio::test(start_paused = true)]
async fn direct_mode_does_not_ask_a_provider_that_rests() {
    let wait = Duration::from_mins(10);
    let provider =
        Arc::new(Scripted::new().answers([Err(Verdict::Throttled { retry_after: Some(wait) })]));
    let intake = direct(settings(&[("resend", &provider)], rules())).direct();
    for _ in 0..3 {
        let refusal = intake.accept(submission(BOB)).await;
        assert!(matches!(refusal, Err(Refusal::TryAgain(_))), "{refusal:?}");
    }
    assert_eq!(provider.seen().len(), 1);
    pass(wait).await;
    assert!(intake.accept(submission(BOB)).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn direct_mode_keeps_to_a_quota() {
    let provider = Arc::new(Scripted::new());
    let intake = direct(with_quota(&[("resend", &provider)], 1)).direct();
    assert!(intake.accept(submission(BOB)).await.is_ok());
    let refusal = intake.accept(submission(BOB)).await.unwrap_err();
    let Refusal::TryAgain(words) = refusal else { panic!("{refusal:?}") };
    assert!(words.contains("1 of 1; it renews at"), "{words}");
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_has_waited_for_the_rate_is_not_made_within_a_rest_that_began_meanwhile() {
    let hour = Duration::from_hours(1);
    let provider = Scripted::that_is_asked_rarely(hour).always(Err(Verdict::Misconfigured));
    let world = World::new(&[("resend", &Arc::new(provider))]);
    world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    let later = world.clock.now() + hour * 2;
    let mut board = world.delivery.0.board();
    let lane = board.find("resend").unwrap();
    assert_eq!(board.due_checks(later), [lane]);
    assert!(!board.puts_off_check(lane, later), "it may be made");
    let (_, _, edition) = board.account(lane);
    let throttled = error(Verdict::Throttled { retry_after: Some(hour) });
    board.failed(lane, edition, &throttled, later);
    assert!(board.puts_off_check(lane, later));
    assert_eq!(board.due_checks(later), Vec::<usize>::new());
    assert_eq!(board.due_checks(later + hour * 2), [lane], "and is made afterwards");
}

#[tokio::test(start_paused = true)]
async fn a_provider_whose_window_is_used_up_is_shown_as_throttled() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("sendgrid", &provider)]);
    let state = || world.delivery.status()[0].state;
    provider.says_of_its_limits(Heard {
        remaining: Some(0),
        reset: Some(SECOND * 60),
        ..Heard::default()
    });
    world.submit(BOB).await;
    pass(SECOND).await;
    assert_eq!(state(), ProviderState::Throttled);
    pass(SECOND * 60).await;
    assert_eq!(state(), ProviderState::Up);
}
