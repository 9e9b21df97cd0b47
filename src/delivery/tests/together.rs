//! Messages that travel together.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Scripted, World, error, pass, rules, settings, submission};
use crate::clock::{SharedClock, TimerClock};
use crate::delivery::Settings;
use crate::delivery::policy::Policy;
use crate::message::{IndexFields, Message, QueueId};
use crate::provider::{Rate, SendError, Verdict};
use crate::queue::{Details, Entry, Lease, MemoryStore, Outcome, Portion, State, Store};

const PASSING: Verdict = Verdict::Temporary { retry_after: None };

pub(super) fn clock() -> SharedClock {
    Arc::new(TimerClock::starting_at("2026-11-21T00:00:00Z".parse().unwrap()))
}

/// Messages that wait since before the start, one recipient each.
pub(super) async fn waiting(store: &dyn Store, clock: &SharedClock, count: usize) -> Vec<QueueId> {
    let mut ids = Vec::new();
    for number in 0..count {
        let submitted = submission(&[&format!("r{number}@example.net")]);
        let id = QueueId::new(clock.now());
        let message = Message {
            id,
            received_at: clock.now(),
            index: IndexFields::read(&submitted.raw),
            envelope: submitted.envelope,
            raw: submitted.raw,
            user: None,
            account: None,
            may_steer: true,
        };
        store.insert(Entry::waiting(Arc::new(message))).await.unwrap();
        ids.push(id);
    }
    ids
}

/// A delivery that finds a backlog.
pub(super) async fn with_backlog(count: usize, settings: Settings) -> (World, Vec<QueueId>) {
    let (store, clock) = (Arc::new(MemoryStore::new(50_000)), clock());
    let ids = waiting(&*store, &clock, count).await;
    (World::over(store, clock, settings), ids)
}

pub(super) fn sizes(provider: &Scripted) -> Vec<usize> {
    provider.seen().iter().map(|seen| seen.recipients.len()).collect()
}

async fn all(world: &World, ids: &[QueueId], state: State) -> Vec<Details> {
    let mut details = Vec::new();
    for id in ids {
        details.push(world.until(*id, state).await);
    }
    details
}

fn unclear() -> SendError {
    SendError { unclear: true, ..error(PASSING) }
}

#[tokio::test(start_paused = true)]
async fn a_backlog_goes_out_by_the_hundred() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    let mut settings = settings(&[("resend", &provider)], rules());
    settings.lanes[0].rate = Some(Rate { calls: 2, per: Duration::from_secs(1) });
    let (world, ids) = with_backlog(1_000, settings).await;
    pass(Duration::from_secs(6)).await;
    let counts = world.store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending), (0, 0), "{:?}", sizes(&provider));
    assert_eq!(provider.copies(), (1, 1_000));
    assert!(provider.seen().len() <= 12, "{:?}", sizes(&provider));
    let details = world.show(ids[500]).await;
    assert_eq!((details.attempts.len(), details.attempts[0].error.as_deref()), (1, None));
    assert!(details.attempts[0].recipients.is_empty(), "it went to all of its envelope");
}

#[tokio::test(start_paused = true)]
async fn a_poisoned_message_fails_alone() {
    for all_or_nothing in [true, false] {
        let provider = Scripted::with_batches(100).refusing("r7@example.net", all_or_nothing);
        let provider = Arc::new(provider.recognising());
        let (world, ids) = with_backlog(20, settings(&[("resend", &provider)], rules())).await;
        let details = world.until(ids[7], State::Failed).await;
        let others: Vec<_> = ids.iter().copied().filter(|id| *id != ids[7]).collect();
        all(&world, &others, State::Delivered).await;
        assert_eq!(provider.copies(), (1, 19));
        let seen = sizes(&provider);
        if all_or_nothing {
            assert_eq!(seen, [vec![20], vec![1; 20]].concat(), "never joined again");
            let words = details.attempts[0].error.as_deref().unwrap();
            assert!(words.contains("in a batch of 20"), "{words}");
            assert_eq!(details.attempts.len(), 2);
        } else {
            assert_eq!((seen, details.attempts.len()), (vec![20], 1));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_repeats_the_same_request_and_doubles_nothing() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    provider.lose_answers(3);
    let (world, ids) = with_backlog(30, settings(&[("resend", &provider)], rules())).await;
    let details = all(&world, &ids, State::Delivered).await;
    let seen = provider.seen();
    assert_eq!(sizes(&provider), [30; 4]);
    assert!(seen.iter().all(|it| it.key == seen[0].key && it.recipients == seen[0].recipients));
    assert_eq!(provider.copies(), (1, 30));
    let attempts = &details[3].attempts;
    let outcomes: Vec<_> = attempts.iter().map(|attempt| attempt.outcome).collect();
    let lost = Outcome::Temporary;
    assert_eq!(outcomes, [lost, lost, lost, Outcome::Delivered]);
    assert!(attempts[0].error.as_deref().unwrap().contains("in a batch of 30"));
    assert!(!details[3].summary.in_doubt);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_under_way_at_a_crash_is_repeated_as_it_was() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    provider.fall_silent(1);
    let (world, ids) = with_backlog(30, settings(&[("resend", &provider)], rules())).await;
    pass(Duration::from_secs(2)).await;
    assert_eq!(sizes(&provider), [30]);
    let clock = Arc::clone(&world.clock);
    let store = world.crash();
    let world = World::over(store, clock, settings(&[("resend", &provider)], rules()));
    // Fresh mail does not get into it.
    let fresh = world.submit(&["fresh@example.net"]).await;
    world.until(fresh, State::Delivered).await;
    all(&world, &ids, State::Delivered).await;
    let seen = provider.seen();
    let (first, last) = (&seen[0], seen.last().unwrap());
    assert_eq!((&first.key, &first.recipients), (&last.key, &last.recipients));
    assert_eq!((provider.copies(), sizes(&provider)), ((1, 31), vec![30, 1, 30]));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_repeated_over_a_restart() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    provider.lose_answers(1);
    let (world, ids) = with_backlog(10, settings(&[("resend", &provider)], rules())).await;
    pass(Duration::from_millis(10)).await;
    assert!(world.show(ids[2]).await.summary.in_doubt);
    let clock = Arc::clone(&world.clock);
    let store = world.stop().await;
    let world = World::over(store, clock, settings(&[("resend", &provider)], rules()));
    all(&world, &ids, State::Delivered).await;
    assert_eq!((provider.copies(), sizes(&provider)), ((1, 10), vec![10, 10]));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_would_have_other_bytes_now_is_not_repeated() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    provider.lose_answers(1);
    let (world, ids) = with_backlog(5, settings(&[("resend", &provider)], rules())).await;
    pass(Duration::from_millis(10)).await;
    let clock = Arc::clone(&world.clock);
    let store = world.stop().await;
    // As if the configuration had changed what is sent.
    let other = Arc::new(Scripted::with_batches(100).recognising().in_capitals());
    let world = World::over(store, clock, settings(&[("resend", &other)], rules()));
    let details = all(&world, &ids, State::Delivered).await;
    assert_eq!(sizes(&other), [1; 5], "singly");
    let words = details[0].attempts.last().unwrap().error.as_deref().unwrap();
    assert!(words.contains("second copy"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_clear_refusal_to_look_leaves_the_members_free() {
    let busy = error(Verdict::Throttled { retry_after: Some(Duration::from_secs(3)) });
    let provider = Arc::new(Scripted::with_batches(100).recognising().batches_end([busy]));
    let (world, ids) = with_backlog(10, settings(&[("resend", &provider)], rules())).await;
    pass(Duration::from_secs(1)).await;
    assert!(!world.show(ids[2]).await.summary.in_doubt);
    all(&world, &ids, State::Delivered).await;
    assert_eq!(provider.copies(), (1, 10));
    assert!(provider.seen()[1].at >= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_batch_in_doubt_stays_one_when_its_repeat_is_put_off() {
    let busy = error(Verdict::Throttled { retry_after: Some(Duration::from_secs(40)) });
    let ends = [unclear(), busy];
    let provider = Arc::new(Scripted::with_batches(100).recognising().batches_end(ends));
    let (world, ids) = with_backlog(10, settings(&[("resend", &provider)], rules())).await;
    pass(Duration::from_secs(20)).await;
    assert_eq!(sizes(&provider), [10, 10]);
    assert!(world.show(ids[2]).await.summary.in_doubt);
    all(&world, &ids, State::Delivered).await;
    assert_eq!(provider.copies(), (1, 10));
}

#[tokio::test(start_paused = true)]
async fn without_recognition_each_member_of_an_unclear_batch_says_so() {
    let provider = Arc::new(Scripted::with_batches(100).batches_end([unclear()]));
    let (world, ids) = with_backlog(10, settings(&[("postmark", &provider)], rules())).await;
    for details in all(&world, &ids, State::Delivered).await {
        let words = details.attempts[0].error.as_deref().unwrap();
        assert!(words.contains("may be a second copy"), "{words}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_joined_goes_alone_and_in_its_turn() {
    let provider = Scripted::with_batches(100).not_joining("r3@example.net");
    let provider = Arc::new(provider.recognising());
    let (world, ids) = with_backlog(10, settings(&[("resend", &provider)], rules())).await;
    all(&world, &ids, State::Delivered).await;
    let mut seen = sizes(&provider);
    seen.sort_unstable();
    assert_eq!((seen, provider.copies()), (vec![1, 9], (1, 10)));
}

#[tokio::test(start_paused = true)]
async fn a_lone_message_waits_for_company_where_that_is_wanted() {
    let linger = Duration::from_millis(500);
    let provider = Arc::new(Scripted::with_batches(100));
    let settings =
        Settings { batch_linger: linger, ..settings(&[("postmark", &provider)], rules()) };
    let world = World::with(settings);
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(world.submit(&[&format!("r{number}@example.net")]).await);
        pass(Duration::from_millis(50)).await;
    }
    all(&world, &ids, State::Delivered).await;
    assert_eq!(sizes(&provider), [5]);
    let at = provider.seen()[0].at;
    assert!(at >= linger && at < linger + Duration::from_millis(50), "{at:?}");
}

#[tokio::test(start_paused = true)]
async fn enough_company_does_not_wait() {
    let provider = Arc::new(Scripted::with_batches(3));
    let settings = Settings {
        batch_linger: Duration::from_secs(60),
        ..settings(&[("postmark", &provider)], rules())
    };
    let world = World::with(settings);
    for number in 0..3 {
        world.submit(&[&format!("r{number}@example.net")]).await;
    }
    pass(Duration::from_secs(1)).await;
    assert_eq!(sizes(&provider), [3]);
}

#[tokio::test(start_paused = true)]
async fn batches_can_be_switched_off_while_it_runs() {
    let provider = Arc::new(Scripted::with_batches(100));
    let mut settings = settings(&[("postmark", &provider)], rules());
    settings.lanes[0].rate = Some(Rate { calls: 10, per: Duration::from_secs(1) });
    let world = World::with(settings.clone());
    settings.batch_max = NonZeroUsize::MIN;
    world.delivery.0.set_policy(Policy::of(&settings));
    for number in 0..10 {
        world.submit(&[&format!("r{number}@example.net")]).await;
    }
    pass(Duration::from_secs(2)).await;
    assert_eq!(sizes(&provider), [1; 10]);
}

#[tokio::test(start_paused = true)]
async fn a_free_provider_gets_fresh_mail_at_once_and_singly() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    let world = World::new(&[("resend", &provider)]);
    for number in 0..3 {
        world.submit(&[&format!("r{number}@example.net")]).await;
    }
    pass(Duration::from_millis(6)).await;
    assert_eq!(sizes(&provider), [1; 3]);
}

#[tokio::test(start_paused = true)]
async fn what_was_told_to_wait_as_a_batch_is_noted_anew_when_it_goes_alone() {
    let wait = Verdict::Throttled { retry_after: Some(Duration::from_secs(2)) };
    let provider = Scripted::with_batches(100).recognising().batches_end([error(wait)]);
    let provider = Arc::new(provider);
    let mut settings = settings(&[("resend", &provider)], rules());
    let (world, ids) = with_backlog(10, settings.clone()).await;
    pass(Duration::from_secs(1)).await;
    assert_eq!(sizes(&provider), [10]);
    settings.batch_max = NonZeroUsize::MIN;
    world.delivery.0.set_policy(Policy::of(&settings));
    provider.fall_silent(10);
    pass(Duration::from_secs(5)).await;
    let (now, store) = (world.clock.now(), world.crash());
    let lease = Lease { owner: "test".into(), expires: now + Duration::from_hours(2) };
    let later = now + Duration::from_hours(1);
    let claims = store.claim(Portion::any(100, 1 << 20, 0), later, lease).await.unwrap();
    assert_eq!(claims.len(), ids.len());
    // A key of a batch would be one that the provider has never taken.
    let places: Vec<_> =
        claims.iter().map(|it| it.doubt.as_ref().and_then(|it| it.place)).collect();
    let called = claims.iter().filter(|it| it.doubt.as_ref().is_some_and(|it| it.place.is_none()));
    let singly = sizes(&provider).len() - 1;
    assert!(singly > 0 && called.count() == singly, "{singly} calls: {places:?}");
}
