//! Addresses that get no mail.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use super::counting::Counting;
use super::doubts::lost_and_down;
use super::scripted::{Scripted, World, pass, rules, settings, submission};
use super::together::with_backlog;
use crate::config::OnUnclear;
use crate::delivery::{Cause, Delivery, Observers, Settings};
use crate::metrics::{Format, Now};
use crate::provider::Verdict;
use crate::queue::{
    MemoryStore, RecipientState, Retry, State, Store, Suppression, SuppressionReason,
};

const BOB: &str = "bob@example.net";
const EVE: &str = "eve@example.net";

async fn suppress(store: &dyn Store, address: &str) {
    let entry = Suppression {
        address: address.parse().unwrap(),
        reason: SuppressionReason::Bounced,
        note: Some("550 no such user".to_owned()),
        since: "2026-11-20T00:00:00Z".parse().unwrap(),
    };
    store.suppressions().add(entry).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_to_nobody_but_them_ends_failed_and_nobody_is_asked() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, BOB).await;
    let id = world.submit(&["bob@Example.NET"]).await;
    let details = world.until(id, State::Failed).await;
    assert_eq!(provider.seen(), []);
    assert!(details.attempts.is_empty());
    let recipient = &details.summary.recipients[0];
    assert_eq!(recipient.state, RecipientState::Suppressed);
    let reason = "on the suppression list (bounced: 550 no such user)";
    assert_eq!(recipient.reason.as_deref(), Some(reason));
    let error = details.summary.error.unwrap();
    assert!(error.starts_with("not sent: ") && error.contains(reason), "{error}");

    // A retry looks again.
    let now = world.clock.now();
    world.store.retry(id, Retry::default(), now).await.unwrap();
    world.delivery.wake();
    world.until(id, State::Failed).await;
    assert_eq!(provider.seen(), []);
    world.store.suppressions().remove(&BOB.parse().unwrap()).await.unwrap();
    world.store.retry(id, Retry::default(), now).await.unwrap();
    world.delivery.wake();
    world.until(id, State::Delivered).await;
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_others_get_it_and_decide_how_it_ends() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, EVE).await;
    let id = world.submit(&[BOB, EVE]).await;
    let details = world.until(id, State::Delivered).await;
    let states: Vec<_> = details.summary.recipients.iter().map(|it| it.state).collect();
    assert_eq!(states, [RecipientState::Delivered, RecipientState::Suppressed]);
    let asked: Vec<_> = provider.seen().into_iter().flat_map(|call| call.recipients).collect();
    assert_eq!(asked, [BOB]);
}

#[tokio::test(start_paused = true)]
async fn of_messages_that_could_travel_together_theirs_stays_behind() {
    let provider = Arc::new(Scripted::with_batches(10));
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, EVE).await;
    let mut ids = Vec::new();
    for number in 0..20 {
        let friend = format!("friend{number}@example.net");
        let to = if number == 7 { EVE } else { &friend };
        ids.push((world.submit(&[to]).await, to == EVE));
    }
    for (id, suppressed) in ids {
        let state = if suppressed { State::Failed } else { State::Delivered };
        world.until(id, state).await;
    }
    let asked: Vec<_> = provider.seen().into_iter().flat_map(|call| call.recipients).collect();
    assert!(!asked.iter().any(|address| address == EVE), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_test_mail_to_them_is_not_sent_and_that_is_told() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, BOB).await;
    let not_sent = world.delivery.send_now(submission(&[BOB]), None).await.unwrap_err();
    assert_eq!(not_sent.cause, Cause::Suppressed);
    assert!(not_sent.error.contains("suppression list"), "{}", not_sent.error);
    assert_eq!(world.show(not_sent.id.unwrap()).await.summary.state, State::Failed);
    assert_eq!(provider.seen(), []);
}

#[tokio::test(start_paused = true)]
async fn in_direct_mode_it_is_accepted_and_not_sent() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    let settings = settings(&[("resend", &provider)], rules());
    let clock = Arc::clone(&world.clock);
    let delivery = Delivery::new(settings, None, clock, Rng::with_seed(1));
    let list = Arc::new(MemoryStore::new(1));
    suppress(&*list, BOB).await;
    delivery.suppress_by(list);
    delivery.direct().accept(submission(&[BOB])).await.unwrap();
    assert_eq!(provider.seen(), []);
    delivery.direct().accept(submission(&[BOB, EVE])).await.unwrap();
    let asked: Vec<_> = provider.seen().into_iter().flat_map(|call| call.recipients).collect();
    assert_eq!(asked, [EVE]);
    let sample = delivery.0.observers.tally.relay_now();
    assert_eq!((sample.received, sample.failed), (2, 1), "what is taken is counted as taken");
}

#[tokio::test(start_paused = true)]
async fn they_are_found_whatever_the_case_of_their_letters() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, "Bob@Example.net").await;
    let id = world.submit(&[BOB, "BOB@example.net"]).await;
    let details = world.until(id, State::Failed).await;
    assert!(details.summary.recipients.iter().all(|it| it.state == RecipientState::Suppressed));
    assert_eq!(provider.seen(), []);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_repeated_keeps_its_members_when_one_is_put_on_the_list() {
    for how in [OnUnclear::Retry, OnUnclear::Hold] {
        let provider = Arc::new(Scripted::with_batches(100).recognising());
        provider.lose_answers(1);
        let settings = Settings { on_unclear: how, ..settings(&[("resend", &provider)], rules()) };
        let (world, ids) = with_backlog(5, settings).await;
        pass(Duration::from_millis(100)).await;
        assert_eq!(provider.seen().len(), 1, "its answer is lost");
        suppress(&*world.store, "r3@example.net").await;
        for id in ids {
            world.until(id, State::Delivered).await;
        }
        let seen = provider.seen();
        assert_eq!((seen.len(), provider.copies()), (2, (1, 5)));
        assert_eq!(seen[0].key, seen[1].key);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_end_is_unclear_is_repeated_without_a_look() {
    let provider = Arc::new(Scripted::new().recognising());
    provider.lose_answers(1);
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(&[BOB]).await;
    pass(Duration::from_millis(10)).await;
    suppress(&*world.store, BOB).await;
    world.until(id, State::Delivered).await;
    assert_eq!((provider.seen().len(), provider.copies()), (2, (1, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_message_in_doubt_goes_to_nobody_on_the_list_by_another_provider() {
    let (world, id, first, second) = lost_and_down(OnUnclear::Retry).await;
    suppress(&*world.store, BOB).await;
    let details = world.until(id, State::Failed).await;
    assert_eq!(details.summary.recipients[0].state, RecipientState::Suppressed);
    assert!(details.summary.in_doubt, "the first may have it");
    assert_eq!(first.copies(), (1, 1));
    let asked: Vec<_> = second.seen().into_iter().flat_map(|call| call.recipients).collect();
    assert_eq!(asked, ["other@example.net"]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_of_a_message_in_doubt_brings_nobody_back_who_was_not_in_the_call() {
    let provider = Arc::new(Scripted::new().recognising());
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, EVE).await;
    provider.lose_answers(1);
    let id = world.submit(&[EVE, BOB]).await;
    pass(Duration::from_millis(10)).await;
    assert!(world.show(id).await.summary.in_doubt);
    world.store.retry(id, Retry::default(), world.clock.now()).await.unwrap();
    world.delivery.wake();
    world.until(id, State::Delivered).await;
    let seen = provider.seen();
    assert_eq!((seen.len(), provider.copies()), (2, (1, 1)));
    assert_eq!(seen[0].key, seen[1].key);
    assert!(seen.iter().all(|call| call.recipients == [BOB]), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_of_which_no_call_was_made_before_a_crash_is_looked_at() {
    let slow = Arc::new(Scripted::with_latency(Duration::from_hours(1)).recognising());
    let world = World::new(&[("resend", &slow)]);
    suppress(&*world.store, EVE).await;
    for number in 0..4 {
        world.submit(&[&format!("friend{number}@example.net")]).await;
    }
    // All its places are taken.
    let id = world.submit(&[BOB]).await;
    pass(Duration::from_secs(1)).await;
    let clock = Arc::clone(&world.clock);
    let store = world.crash();
    suppress(&*store, BOB).await;
    let provider = Arc::new(Scripted::new().recognising());
    let world = World::over(store, clock, settings(&[("resend", &provider)], rules()));
    let details = world.until(id, State::Failed).await;
    assert_eq!(details.summary.recipients[0].state, RecipientState::Suppressed);
    let asked: Vec<_> = provider.seen().into_iter().flat_map(|call| call.recipients).collect();
    assert!(!asked.iter().any(|address| address == BOB), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn it_is_no_failure_to_those_who_watch() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    let Observers { metrics, notices, tally: _ } = world.delivery.0.observers.clone();
    notices.keep();
    suppress(&*world.store, BOB).await;
    let id = world.submit(&[BOB]).await;
    world.until(id, State::Failed).await;
    let told = notices.told(world.clock.now());
    assert!(told.is_empty(), "{told:?}");
    let text = metrics.render(Now::default(), Format::OpenMetrics);
    let ended = |state, count| {
        let line =
            format!("mailferry_messages_finished_total{{provider=\"\",state=\"{state}\"}} {count}");
        assert!(text.lines().any(|own| own == line), "{line} is not in {text}");
    };
    ended("suppressed", 1);
    ended("failed", 0);
    let retried = world.store.retry_failed(None, world.clock.now()).await.unwrap();
    assert_eq!(retried.retried, 0, "it would end as it has");
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_was_not_asked_has_carried_nothing() {
    let mut first = Scripted::that_puts_off(EVE);
    first.set_latency(Duration::from_secs(60));
    let first = Arc::new(first.answers([Ok(()), Err(Verdict::Unknown)]));
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let metrics = world.delivery.0.observers.metrics.clone();
    let id = world.submit(&[BOB, EVE]).await;
    // The call that is to be the last is under way.
    pass(Duration::from_secs(90)).await;
    suppress(&*world.store, EVE).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(second.seen(), []);
    let states: Vec<_> = details.summary.recipients.iter().map(|it| it.state).collect();
    assert_eq!(states, [RecipientState::Delivered, RecipientState::Suppressed]);
    let text = metrics.render(Now::default(), Format::OpenMetrics);
    let line = r#"mailferry_failovers_total{from="resend",to="sendgrid"} 0"#;
    assert!(text.lines().any(|own| own == line), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_cannot_be_read_makes_a_message_wait_and_not_spin() {
    let provider = Arc::new(Scripted::new());
    let clock = super::together::clock();
    let memory = Arc::new(MemoryStore::new(100));
    suppress(&*memory, EVE).await;
    let store = Counting::new(memory);
    store.break_list(true);
    let recorded = Arc::clone(&store) as Arc<dyn Store>;
    let settings = settings(&[("resend", &provider)], rules());
    let delivery = Delivery::new(settings, Some(recorded), clock, Rng::with_seed(7));
    let shutdown = CancellationToken::new();
    let running = tokio::spawn({
        let (delivery, shutdown) = (delivery.clone(), shutdown.clone());
        async move { delivery.run(shutdown, Duration::from_secs(30)).await }
    });
    let id = delivery.queue_first().accept(submission(&[BOB])).await.unwrap();
    pass(Duration::from_secs(20)).await;
    let (_, settles) = store.written();
    assert!((5..=11).contains(&settles), "{settles} times in 20 s");
    assert_eq!(provider.seen(), []);
    let error = store.show(id).await.unwrap().unwrap().summary.error.unwrap();
    assert!(error.contains("suppression list"), "{error}");
    store.break_list(false);
    pass(Duration::from_secs(3)).await;
    let summary = store.show(id).await.unwrap().unwrap().summary;
    assert_eq!((summary.state, provider.seen().len()), (State::Delivered, 1));
    shutdown.cancel();
    running.await.unwrap();
}
