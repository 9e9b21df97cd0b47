//! What is never sent where it could be a second copy, and what else becomes of it: `delivery.on_unclear = "hold"`.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Scripted, World, error, pass, rules, settings};
use super::together::{clock, waiting};
use super::ways::{KOREA, dead, mend, recipients, with_routes};
use crate::clock::SharedClock;
use crate::config::OnUnclear;
use crate::delivery::policy::Policy;
use crate::delivery::{QuotaSetup, Settings};
use crate::message::QueueId;
use crate::provider::{SendError, Verdict};
use crate::queue::{
    Details, Lease, MemoryStore, Portion, RecipientState, Retry, Start, State, Store,
};

const BOB: &[&str] = &["bob@example.net"];
/// The first by the default route, the second by the other.
const BOTH: &[&str] = &["b@example.net", "a@mail.kr"];
const THREE: &[&str] = &["a@example.net", "b@example.net", "c@example.net"];
const PASSING: Verdict = Verdict::Temporary { retry_after: None };

fn held(settings: Settings) -> Settings {
    Settings { on_unclear: OnUnclear::Hold, ..settings }
}

fn states(details: &Details) -> Vec<RecipientState> {
    details.summary.recipients.iter().map(|it| it.state).collect()
}

/// It is in doubt there, and is left alone when all that has failed is sent again.
async fn may_be_at(world: &World, details: &Details, provider: &str) {
    assert_eq!(details.summary.maybe_at.as_deref(), Some(provider), "{:?}", details.summary);
    let retried = world.store.retry_failed(None, world.clock.now()).await.unwrap();
    assert_eq!((retried.retried, retried.in_doubt), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_held_leaves_the_other_alone() {
    let [resend, ses] = [(); 2].map(|()| Arc::new(Scripted::new()));
    resend.lose_answers(1);
    let world = World::with(held(with_routes(&resend, &ses, KOREA)));
    let id = world.submit(BOTH).await;
    let details = world.until(id, State::Failed).await;
    assert_eq!(states(&details), [RecipientState::Failed, RecipientState::Delivered]);
    let reason = details.summary.recipients[0].reason.as_deref().unwrap();
    assert!(reason.contains("resend may have this message. It is not sent again"), "{reason}");
    may_be_at(&world, &details, "resend").await;
    pass(Duration::from_hours(2)).await;
    assert_eq!((resend.seen().len(), recipients(&ses)), (1, vec!["a@mail.kr".to_owned()]));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_is_held_stays_in_doubt_while_the_other_waits() {
    let (resend, ses) = (Arc::new(Scripted::new()), dead());
    resend.lose_answers(1);
    let world = World::with(held(with_routes(&resend, &ses, KOREA)));
    let id = world.submit(BOTH).await;
    pass(Duration::from_hours(1)).await;
    let details = world.show(id).await;
    assert_eq!(details.summary.state, State::Queued);
    assert_eq!(states(&details), [RecipientState::Failed, RecipientState::Queued]);
    mend(&ses);
    let details = world.until(id, State::Failed).await;
    assert_eq!(states(&details), [RecipientState::Failed, RecipientState::Delivered]);
    assert_eq!(resend.seen().len(), 1);
    may_be_at(&world, &details, "resend").await;
}

#[tokio::test(start_paused = true)]
async fn after_a_crash_only_the_part_is_held_that_may_have_arrived() {
    let [resend, ses] = [(); 2].map(|()| Arc::new(Scripted::new()));
    resend.fall_silent(1);
    let world = World::with(held(with_routes(&resend, &ses, KOREA)));
    let id = world.submit(BOTH).await;
    pass(Duration::from_secs(1)).await;
    let clock = Arc::clone(&world.clock);
    let world = World::over(world.crash(), clock, held(with_routes(&resend, &ses, KOREA)));
    let details = world.until(id, State::Failed).await;
    assert_eq!(states(&details), [RecipientState::Failed, RecipientState::Delivered]);
    assert_eq!((resend.seen().len(), recipients(&ses)), (1, vec!["a@mail.kr".to_owned()]));
    may_be_at(&world, &details, "resend").await;
}

#[tokio::test(start_paused = true)]
async fn a_part_in_doubt_binds_no_other_part() {
    for how in [OnUnclear::Retry, OnUnclear::Hold] {
        // Its first answer is lost, the second is a clear fault.
        let resend = Scripted::new().recognising().answers([Err(PASSING), Err(PASSING)]);
        let (resend, ses) = (Arc::new(resend), Arc::new(Scripted::new()));
        resend.lose_answers(1);
        let settings = with_routes(&resend, &ses, KOREA);
        let world = World::with(Settings { on_unclear: how, ..settings });
        let id = world.submit(BOTH).await;
        world.until(id, State::Delivered).await;
        assert_eq!(recipients(&resend), vec!["b@example.net"; 3]);
        assert_eq!(recipients(&ses), ["a@mail.kr"]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_whose_provider_may_have_it_holds_up_the_other_for_a_moment_only() {
    let resend = Scripted::new().recognising().answers([Err(PASSING)]);
    let resend = Arc::new(resend.always(Err(Verdict::Misconfigured)));
    resend.probe_says(Err(Verdict::Misconfigured));
    resend.lose_answers(1);
    let ses = Arc::new(Scripted::new());
    let world = World::with(with_routes(&resend, &ses, KOREA));
    let id = world.submit(BOTH).await;
    pass(Duration::from_mins(10)).await;
    let details = world.show(id).await;
    assert_eq!(states(&details), [RecipientState::Queued, RecipientState::Delivered]);
    assert!(details.attempts.last().unwrap().error.is_none(), "it is no second copy");
    mend(&resend);
    world.until(id, State::Delivered).await;
    assert_eq!(recipients(&ses), ["a@mail.kr"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_given_up_is_given_up_as_a_whole() {
    let unclear = SendError { unclear: true, ..error(PASSING) };
    let ends = std::iter::once(unclear).chain(std::iter::repeat_n(error(PASSING), 100));
    let provider = Scripted::with_batches(100).recognising().batches_end(ends);
    let provider = Arc::new(provider);
    provider.probe_says(Err(PASSING));
    let (store, clock) = (Arc::new(MemoryStore::new(1_000)), clock());
    let ids = waiting(&*store, &clock, 10).await;
    let mut settings = held(settings(&[("resend", &provider)], rules()));
    settings.rules.give_up_after = Duration::from_hours(1);
    let world = World::over(store, clock, settings);
    for id in &ids {
        let details = world.until(*id, State::Failed).await;
        assert_eq!(details.summary.maybe_at.as_deref(), Some("resend"));
    }
    provider.probe_says(Ok(()));
    // Members no more: one of them can be sent by itself, and in another way.
    let retry = Retry { provider: Some("resend".to_owned()), ..Retry::default() };
    world.store.retry(ids[3], retry, world.clock.now()).await.unwrap();
    world.delivery.wake();
    world.until(ids[3], State::Delivered).await;
    let mut sizes: Vec<_> = provider.seen().iter().map(|seen| seen.recipients.len()).collect();
    assert_eq!(sizes.pop(), Some(1));
    assert!(sizes.iter().all(|size| *size == 10), "{sizes:?}");
}

#[tokio::test(start_paused = true)]
async fn mail_that_waited_in_memory_at_a_crash_is_not_held() {
    for backlog in [false, true] {
        let provider = Arc::new(Scripted::new());
        provider.fall_silent(4);
        let (store, clock) = (Arc::new(MemoryStore::new(1_000)), clock());
        let mut ids = if backlog { waiting(&*store, &clock, 10).await } else { Vec::new() };
        let settings = held(settings(&[("sendgrid", &provider)], rules()));
        let world = World::over(store, Arc::clone(&clock), settings.clone());
        while ids.len() < 10 {
            ids.push(world.submit(BOB).await);
        }
        pass(Duration::from_secs(1)).await;
        assert_eq!(provider.seen().len(), 4, "all slots are taken");
        let world = World::over(world.crash(), clock, settings);
        pass(Duration::from_hours(1)).await;
        let counts = world.store.counts().await.unwrap();
        assert_eq!((counts.queued, counts.sending, provider.seen().len()), (0, 0, 10));
        let mut failed = 0;
        for id in ids {
            failed += usize::from(world.show(id).await.summary.state == State::Failed);
        }
        assert_eq!(failed, 4, "those that were under way");
    }
}

/// A store with a message for which a call by this provider was noted when the process ended.
async fn noted_for(provider: &str, clock: &SharedClock) -> (Arc<MemoryStore>, QueueId) {
    let store = Arc::new(MemoryStore::new(10));
    let id = waiting(&*store, clock, 1).await[0];
    let lease = Lease { owner: "gone".into(), expires: clock.now() + Duration::from_secs(1) };
    let claim = store.claim(Portion::any(1, 1 << 20, 0), clock.now(), lease).await.unwrap();
    let (claims, provider) = (vec![(id, claim[0].lease)], provider.to_owned());
    store.begin(Start { claims, provider, batch: None, at: clock.now() }).await.unwrap();
    store.restart();
    (store, id)
}

#[tokio::test(start_paused = true)]
async fn what_was_noted_for_a_provider_that_cannot_carry_it_goes_elsewhere_or_is_held() {
    for how in [OnUnclear::Retry, OnUnclear::Hold] {
        let cannot = Arc::new(Scripted::that_cannot_carry_it().recognising());
        let other = Arc::new(Scripted::new());
        let providers = [("resend", &cannot), ("ses", &other)];
        let settings = Settings { on_unclear: how, ..settings(&providers, rules()) };
        let clock = clock();
        let (store, id) = noted_for("resend", &clock).await;
        let world = World::over(store, clock, settings);
        if how == OnUnclear::Hold {
            // Its note proves that it could be carried once, by other settings.
            let details = world.until(id, State::Failed).await;
            may_be_at(&world, &details, "resend").await;
            continue;
        }
        let details = world.until(id, State::Delivered).await;
        assert_eq!((cannot.seen().len(), other.seen().len()), (0, 1));
        let words = details.attempts.last().unwrap().error.clone();
        assert_eq!((words, details.summary.in_doubt), (None, false), "no call was made");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_at_which_the_code_fails_is_held_in_doubt() {
    let provider = Arc::new(Scripted::that_panics_at(BOB[0]));
    let world = World::with(held(settings(&[("ses", &provider)], rules())));
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Failed).await;
    may_be_at(&world, &details, "ses").await;
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_not_noted_is_held_in_doubt() {
    let provider = Arc::new(Scripted::with_latency(Duration::from_secs(5)));
    provider.lose_answers(1);
    let mut settings = settings(&[("ses", &provider)], rules());
    let world = World::with(settings.clone());
    let id = world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    settings.on_unclear = OnUnclear::Hold;
    world.delivery.0.set_policy(Policy::of(&settings));
    let details = world.until(id, State::Failed).await;
    may_be_at(&world, &details, "ses").await;
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_recipient_of_whom_the_provider_says_nothing_is_in_doubt() {
    let provider = Arc::new(Scripted::with_batches(100).recognising());
    provider.forget_the_last(1);
    let world = World::with(held(settings(&[("resend", &provider)], rules())));
    let id = world.submit(THREE).await;
    let details = world.until(id, State::Failed).await;
    assert_eq!(provider.seen().len(), 1);
    assert_eq!(states(&details)[..2], [RecipientState::Delivered; 2]);
    may_be_at(&world, &details, "resend").await;
}

#[tokio::test(start_paused = true)]
async fn what_was_unclear_in_a_request_with_others_may_be_a_second_copy_in_the_next() {
    let provider = Scripted::that_does_not_answer().taking_batches(100).recognising();
    let provider = Arc::new(provider.answers([Ok(()), Ok(())]));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(THREE).await;
    pass(Duration::from_millis(10)).await;
    provider.now_answers(Ok(()));
    let details = world.until(id, State::Delivered).await;
    let words = details.attempts[2].error.as_deref().unwrap_or_default();
    assert!(words.contains("may have arrived") && words.contains("second copy"), "{words}");
    let sizes: Vec<_> = provider.seen().iter().map(|seen| seen.recipients.len()).collect();
    assert_eq!(sizes, [3, 1]);
}

#[tokio::test(start_paused = true)]
async fn the_answer_for_one_part_says_nothing_of_another_that_may_have_arrived_there() {
    let toml = KOREA.replace("'ses'", "['resend', 'ses']");
    let resend = Arc::new(Scripted::new().recognising());
    let ses = Arc::new(Scripted::new());
    let settings = || {
        let mut settings = held(with_routes(&resend, &ses, &toml));
        settings.lanes[1].in_route = true;
        settings
    };
    resend.fall_silent(1);
    let world = World::with(settings());
    let id = world.submit(BOTH).await;
    pass(Duration::from_secs(1)).await;
    // The repeat of what was asked is known there; whatever is new is refused.
    resend.now_answers(Err(Verdict::Misconfigured));
    resend.probe_says(Err(Verdict::Misconfigured));
    let clock = Arc::clone(&world.clock);
    let world = World::over(world.crash(), clock, settings());
    pass(Duration::from_mins(10)).await;
    assert_eq!(ses.seen().len(), 0, "both may have arrived at the other");
    mend(&resend);
    world.until(id, State::Delivered).await;
    assert_eq!((resend.copies().0, ses.seen().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_message_too_large_for_what_is_left_of_a_quota_does_not_wait_for_its_provider() {
    let resend = Arc::new(Scripted::new().recognising());
    let ses = Arc::new(Scripted::new());
    let settings = |daily| {
        let mut settings = settings(&[("resend", &resend), ("ses", &ses)], rules());
        settings.lanes[0].quotas = QuotaSetup { daily: NonZeroU64::new(daily), monthly: None };
        settings
    };
    let world = World::with(settings(10));
    let first = world.submit(BOB).await;
    world.until(first, State::Delivered).await;
    resend.fall_silent(1);
    let second = world.submit(BOTH).await;
    pass(Duration::from_secs(1)).await;
    let clock = Arc::clone(&world.clock);
    let world = World::over(world.crash(), clock, settings(2));
    let details = world.until(second, State::Delivered).await;
    assert_eq!(ses.seen().len(), 2, "each recipient is hidden from the other");
    let words = details.attempts.last().unwrap().error.clone().unwrap_or_default();
    assert!(words.contains("second copy"), "{words}");
}
