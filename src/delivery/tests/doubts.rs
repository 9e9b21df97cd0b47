//! Calls of which nobody knows whether they have brought the message.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use super::counting::Counting;
use super::scripted::{Scripted, World, pass, rules, settings, submission};
use super::together::{clock, waiting};
use crate::config::OnUnclear;
use crate::delivery::{Delivery, Settings};
use crate::message::QueueId;
use crate::provider::Verdict;
use crate::queue::{MemoryStore, Retry, SqliteStore, State, Store};

const BOB: &[&str] = &["bob@example.net"];
const PASSING: Verdict = Verdict::Temporary { retry_after: None };

fn held(providers: &[(&str, &Arc<Scripted>)]) -> Settings {
    Settings { on_unclear: OnUnclear::Hold, ..settings(providers, rules()) }
}

#[tokio::test(start_paused = true)]
async fn who_recognises_a_repeat_gets_it_under_the_same_key() {
    for how in [OnUnclear::Retry, OnUnclear::Hold] {
        let (first, second) = (Arc::new(Scripted::new().recognising()), Arc::new(Scripted::new()));
        first.lose_answers(2);
        let providers = [("resend", &first), ("sendgrid", &second)];
        let world = World::with(Settings { on_unclear: how, ..settings(&providers, rules()) });
        let id = world.submit(BOB).await;
        pass(Duration::from_millis(10)).await;
        assert!(world.show(id).await.summary.in_doubt);
        let details = world.until(id, State::Delivered).await;
        let seen = first.seen();
        assert_eq!((seen.len(), second.seen().len(), first.copies()), (3, 0, (1, 1)));
        assert!(seen.iter().all(|call| call.key == seen[0].key));
        assert!(!details.summary.in_doubt);
        assert!(details.attempts[2].error.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn without_recognition_a_message_is_sent_again_and_the_record_says_so() {
    let provider = Arc::new(Scripted::new());
    provider.lose_answers(1);
    let world = World::new(&[("sendgrid", &provider)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(provider.copies(), (2, 1));
    let words = details.attempts[0].error.as_deref().unwrap();
    assert!(words.contains("may have arrived") && words.contains("second copy"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn without_recognition_a_message_can_be_held() {
    let (first, second) = (Arc::new(Scripted::new()), Arc::new(Scripted::new()));
    first.lose_answers(1);
    let world = World::with(held(&[("sendgrid", &first), ("ses", &second)]));
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Failed).await;
    assert!(details.summary.in_doubt);
    let words = details.summary.error.as_deref().unwrap();
    assert!(words.contains("may have this message") && words.contains("retry"), "{words}");
    assert_eq!(world.store.retry_failed(None, world.clock.now()).await.unwrap().in_doubt, 1);
    pass(Duration::from_hours(2)).await;
    assert_eq!((first.seen().len(), second.seen().len()), (1, 0));
    // The operator has looked.
    world.store.retry(id, Retry::default(), world.clock.now()).await.unwrap();
    world.delivery.wake();
    world.until(id, State::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn a_crash_within_a_call_holds_the_message() {
    let provider = Arc::new(Scripted::new());
    provider.fall_silent(1);
    let world = World::with(held(&[("sendgrid", &provider)]));
    let id = world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    let clock = Arc::clone(&world.clock);
    let world = World::over(world.crash(), clock, held(&[("sendgrid", &provider)]));
    let details = world.until(id, State::Failed).await;
    assert!(details.summary.in_doubt);
    assert_eq!(provider.copies(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_crash_within_a_call_repeats_it_under_its_key() {
    let provider = Arc::new(Scripted::new().recognising());
    provider.fall_silent(1);
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    let clock = Arc::clone(&world.clock);
    let providers = [("resend", &provider)];
    let world = World::over(world.crash(), clock, settings(&providers, rules()));
    world.until(id, State::Delivered).await;
    let seen = provider.seen();
    assert_eq!((seen.len(), provider.copies()), (2, (1, 1)));
    assert_eq!(seen[0].key, seen[1].key);
}

/// A provider that takes a message, loses its answer, and is down from then on.
pub(super) async fn lost_and_down(
    how: OnUnclear,
) -> (World, QueueId, Arc<Scripted>, Arc<Scripted>) {
    let (first, second) = (Arc::new(Scripted::new().recognising()), Arc::new(Scripted::new()));
    let providers = [("resend", &first), ("sendgrid", &second)];
    let world = World::with(Settings { on_unclear: how, ..settings(&providers, rules()) });
    first.lose_answers(1);
    let id = world.submit(BOB).await;
    pass(Duration::from_millis(10)).await;
    first.now_answers(Err(Verdict::Misconfigured));
    first.probe_says(Err(Verdict::Misconfigured));
    world.submit(&["other@example.net"]).await;
    pass(Duration::from_millis(10)).await;
    (world, id, first, second)
}

#[tokio::test(start_paused = true)]
async fn a_message_in_doubt_waits_a_while_for_its_provider_and_then_moves() {
    let (world, id, _, second) = lost_and_down(OnUnclear::Retry).await;
    pass(Duration::from_secs(28)).await;
    assert_eq!(world.show(id).await.summary.state, State::Queued);
    assert_eq!(second.seen().len(), 1, "the other one moved on at once");
    pass(Duration::from_secs(8)).await;
    let details = world.show(id).await;
    assert_eq!(details.summary.provider.as_deref(), Some("sendgrid"));
    assert_eq!(details.summary.state, State::Delivered);
    let words = details.attempts.last().unwrap().error.as_deref().unwrap();
    assert!(words.contains("resend") && words.contains("second copy"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_held_waits_for_its_provider_for_as_long_as_it_takes() {
    let (world, id, first, second) = lost_and_down(OnUnclear::Hold).await;
    pass(Duration::from_hours(10)).await;
    assert_eq!(world.show(id).await.summary.state, State::Queued);
    assert_eq!(second.seen().len(), 1);
    first.now_answers(Ok(()));
    first.probe_says(Ok(()));
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.summary.provider.as_deref(), Some("resend"));
    assert_eq!(first.copies(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_later_call_of_a_message_is_repeated_alone() {
    let provider = Arc::new(Scripted::new().recognising());
    let world = World::new(&[("resend", &provider)]);
    // Hidden recipients get a call each from a structured provider.
    let id = world.submit(&["a@example.net", "b@example.net", "c@example.net"]).await;
    pass(Duration::from_millis(6)).await;
    provider.lose_answers(1);
    world.until(id, State::Delivered).await;
    assert_eq!((provider.seen().len(), provider.copies()), (4, (1, 3)));
}

#[tokio::test(start_paused = true)]
async fn an_operator_who_names_another_provider_ends_the_wait() {
    let (world, id, _, second) = lost_and_down(OnUnclear::Hold).await;
    let retry = Retry { provider: Some("sendgrid".to_owned()), ..Retry::default() };
    pass(Duration::from_secs(5)).await;
    world.store.retry(id, retry, world.clock.now()).await.unwrap();
    world.delivery.wake();
    world.until(id, State::Delivered).await;
    assert_eq!(second.seen().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_clear_fault_says_nothing_about_the_call_before_it() {
    let first = Arc::new(Scripted::new().recognising().always(Err(PASSING)));
    first.probe_says(Err(PASSING));
    first.lose_answers(1);
    let second = Arc::new(Scripted::new());
    let world = World::with(held(&[("resend", &first), ("sendgrid", &second)]));
    let ids = [world.submit(BOB).await, world.submit(BOB).await];
    pass(Duration::from_hours(1)).await;
    assert!(first.seen().len() >= 3, "it was asked again");
    assert!(world.show(ids[0]).await.summary.in_doubt);
    let other = world.show(ids[1]).await.summary;
    assert_eq!((other.state, other.in_doubt), (State::Delivered, false));
    assert_eq!(second.copies(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn fresh_mail_costs_one_insert_and_one_settlement_unless_the_note_must_be_exact() {
    for (provider, how, notes) in [
        (Scripted::new(), OnUnclear::Retry, 0),
        (Scripted::new(), OnUnclear::Hold, 10),
        (Scripted::new().recognising(), OnUnclear::Retry, 0),
        (Scripted::new().recognising(), OnUnclear::Hold, 10),
        (Scripted::with_batches(100).recognising(), OnUnclear::Retry, 0),
    ] {
        let provider = Arc::new(provider);
        let store = Counting::new(Arc::new(MemoryStore::new(100)));
        let providers = [("resend", &provider)];
        let settings = Settings { on_unclear: how, ..settings(&providers, rules()) };
        let recorded = Arc::clone(&store) as Arc<dyn Store>;
        let delivery = Delivery::new(settings, Some(recorded), clock(), Rng::with_seed(7));
        for _ in 0..10 {
            delivery.queue_first().accept(submission(BOB)).await.unwrap();
            pass(Duration::from_millis(10)).await;
        }
        assert_eq!((provider.seen().len(), store.written()), (10, (notes, 10)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_costs_two_writes_and_so_does_a_read_of_the_backlog() {
    let batches = Arc::new(Scripted::with_batches(100).recognising());
    let singly = Arc::new(Scripted::new().recognising());
    for (provider, settles) in [(batches, 1), (singly, 40)] {
        let (memory, clock) = (Arc::new(MemoryStore::new(100)), clock());
        waiting(&*memory, &clock, 40).await;
        let store = Counting::new(memory);
        let recorded = Arc::clone(&store) as Arc<dyn Store>;
        let settings = settings(&[("resend", &provider)], rules());
        let delivery = Delivery::new(settings, Some(recorded), clock, Rng::with_seed(7));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { delivery.run(shutdown, Duration::from_secs(30)).await }
        });
        pass(Duration::from_secs(1)).await;
        shutdown.cancel();
        running.await.unwrap();
        assert_eq!(store.written(), (1, settles));
        assert_eq!(provider.copies(), (1, 40));
    }
}

/// Over a file, which a restart opens anew. Each round has a runtime of its own, and what is under way ends with it.
#[test]
fn a_batch_is_repeated_after_a_restart_with_what_is_in_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    provider.fall_silent(1);
    let clock = clock();
    for round in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Arc::new(SqliteStore::open(&path, 1_000).unwrap());
            if round == 0 {
                waiting(&*store, &clock, 25).await;
            }
            let recorded = Arc::clone(&store) as Arc<dyn Store>;
            let settings = settings(&[("resend", &provider)], rules());
            let clock = Arc::clone(&clock);
            let delivery = Delivery::new(settings, Some(recorded), clock, Rng::with_seed(7));
            let running = async { delivery.run(CancellationToken::new(), Duration::ZERO).await };
            let done = async {
                while provider.seen().len() <= round {
                    tokio::task::yield_now().await;
                }
                while round == 1 && store.counts().await.unwrap().sending > 0 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                () = running => panic!("it runs until it is told"),
                done = tokio::time::timeout(Duration::from_secs(60), done) => done.unwrap(),
            }
            if round == 1 {
                assert_eq!(store.counts().await.unwrap().queued, 0);
            }
        });
    }
    let seen = provider.seen();
    assert_eq!((seen.len(), provider.copies()), (2, (1, 25)));
    assert_eq!((&seen[0].key, &seen[0].recipients), (&seen[1].key, &seen[1].recipients));
}
