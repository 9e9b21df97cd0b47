//! SPEC 5's table, message side.

use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Scripted, World, pass, rules, settings};
use crate::delivery::RetryRules;
use crate::provider::Verdict;
use crate::queue::{Outcome, RecipientState, Retry, State, Store};

const BOB: &[&str] = &["bob@example.net"];
const PASSING: Verdict = Verdict::Temporary { retry_after: None };

#[tokio::test(start_paused = true)]
async fn an_accepted_message_is_delivered_once_and_recorded() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(provider.seen().len(), 1);
    assert_eq!(details.summary.provider.as_deref(), Some("resend"));
    assert_eq!(details.summary.provider_message_id.as_deref(), Some("id-1"));
    assert_eq!(details.summary.recipients[0].state, RecipientState::Delivered);
    assert_eq!(details.attempts.len(), 1);
    assert_eq!(details.attempts[0].outcome, Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn passing_faults_are_retried_with_the_same_key_and_growing_waits() {
    let faults = [Err(PASSING), Err(PASSING), Err(PASSING)];
    let provider = Arc::new(Scripted::new().answers(faults));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    let seen = provider.seen();
    assert_eq!(seen.len(), 4);
    assert!(seen.iter().all(|call| call.key == seen[0].key));
    let outcomes: Vec<_> = details.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes[..3], [Outcome::Temporary; 3]);
    assert_eq!(outcomes[3], Outcome::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_only_meets_faults_is_given_up_in_time() {
    let provider = Arc::new(Scripted::new().always(Err(PASSING)));
    let rules = RetryRules { give_up_after: Duration::from_hours(1), ..rules() };
    let world = World::with(settings(&[("resend", &provider)], rules));
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Failed).await;
    let error = details.summary.error.unwrap();
    assert!(error.starts_with("given up after"), "{error}");
    assert!(world.clock.now().duration_since(details.summary.received_at).as_hours() < 3);
    assert_eq!(details.summary.recipients[0].state, RecipientState::Failed);
}

#[tokio::test(start_paused = true)]
async fn mail_that_waits_for_a_dead_provider_is_given_up_in_time_too() {
    let provider = Arc::new(Scripted::new().always(Err(PASSING)));
    provider.probe_says(Err(PASSING));
    let rules = RetryRules { give_up_after: Duration::from_hours(1), ..rules() };
    let world = World::with(settings(&[("resend", &provider)], rules));
    let mut ids = Vec::new();
    for _ in 0..100 {
        ids.push(world.submit(BOB).await);
    }
    pass(Duration::from_mins(55)).await;
    assert_eq!(world.store.counts().await.unwrap().failed, 0);
    let late = world.submit(BOB).await;
    pass(Duration::from_mins(10)).await;
    for id in ids {
        let error = world.show(id).await.summary.error.unwrap();
        assert!(error.starts_with("given up after 6") && error.contains("resend"), "{error}");
    }
    assert_eq!(world.store.counts().await.unwrap().failed, 100);
    provider.now_answers(Ok(()));
    provider.probe_says(Ok(()));
    world.until(late, State::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_dies_after_its_key_was_mended_ends_no_mail_at_once() {
    let provider = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    provider.probe_says(Err(Verdict::Misconfigured));
    let rules = RetryRules { give_up_after: Duration::from_hours(1), ..rules() };
    let world = World::with(settings(&[("resend", &provider)], rules));
    for _ in 0..20 {
        world.submit(BOB).await;
    }
    pass(Duration::from_hours(2)).await;
    provider.probe_says(Ok(()));
    provider.now_answers(Err(PASSING));
    pass(Duration::from_mins(2)).await;
    provider.probe_says(Err(PASSING));
    pass(Duration::from_mins(8)).await;
    assert_eq!(world.store.counts().await.unwrap().failed, 0);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_message_fails_with_the_providers_words_and_is_not_repeated() {
    let provider = Arc::new(Scripted::new().answers([Err(Verdict::Rejected)]));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Failed).await;
    pass(Duration::from_hours(48)).await;
    assert_eq!(provider.seen().len(), 1);
    assert!(details.summary.error.unwrap().contains("Rejected"));
}

#[tokio::test(start_paused = true)]
async fn who_is_put_off_gets_the_message_later_and_nobody_gets_it_twice() {
    let provider = Arc::new(Scripted::that_puts_off("bob@example.net"));
    let world = World::new(&[("smtp", &provider)]);
    let id = world.submit(&["bob@example.net", "eve@example.net"]).await;
    pass(Duration::from_mins(5)).await;
    let details = world.show(id).await;
    assert_eq!(details.summary.state, State::Queued);
    assert!(details.summary.error.unwrap().contains("greylisted"));
    let states: Vec<_> = details.summary.recipients.iter().map(|it| it.state).collect();
    assert_eq!(states, [RecipientState::Queued, RecipientState::Delivered]);
    let seen = provider.seen();
    assert!(seen.len() > 2 && seen.iter().skip(2).all(|it| it.recipients == ["bob@example.net"]));
}

#[tokio::test(start_paused = true)]
async fn whom_the_provider_leaves_out_of_a_message_that_it_takes_has_failed() {
    let provider = Arc::new(Scripted::that_leaves_out("bob@example.net"));
    let world = World::new(&[("postmark", &provider)]);
    let id = world.submit(&["Bob@example.net", "eve@example.net"]).await;
    let details = world.until(id, State::Failed).await;
    assert!(details.attempts.iter().all(|attempt| attempt.outcome == Outcome::Delivered));
    let [bob, eve] = details.summary.recipients.as_slice() else { panic!("{details:?}") };
    assert_eq!(
        (bob.state, bob.reason.as_deref()),
        (RecipientState::Failed, Some("postmark: inactive"))
    );
    assert_eq!((eve.state, eve.reason.as_deref()), (RecipientState::Delivered, None));
    assert_eq!(details.summary.error.as_deref(), Some("postmark: inactive"));
}

#[tokio::test(start_paused = true)]
async fn a_revoked_key_fails_no_mail_however_long_it_takes_to_mend() {
    let provider = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    provider.probe_says(Err(Verdict::Misconfigured));
    let world = World::new(&[("resend", &provider)]);
    let first = world.submit(BOB).await;
    pass(Duration::from_hours(30)).await;
    let second = world.submit(BOB).await;
    assert_eq!(world.show(first).await.summary.state, State::Queued);
    assert_eq!(provider.seen().len(), 1, "checking costs no mail");
    assert!(provider.probes() > 100);

    provider.now_answers(Ok(()));
    provider.probe_says(Ok(()));
    world.until(first, State::Delivered).await;
    world.until(second, State::Delivered).await;
    assert_eq!(provider.seen().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_bears_few_questions_is_asked_as_rarely() {
    let provider = Scripted::that_is_asked_rarely(Duration::from_mins(2));
    let provider = Arc::new(provider.always(Err(Verdict::Misconfigured)));
    provider.probe_says(Err(Verdict::Misconfigured));
    let world = World::new(&[("brevo", &provider)]);
    world.submit(BOB).await;
    pass(Duration::from_hours(10)).await;
    // Half of the time is chance.
    assert!((200..=600).contains(&provider.probes()), "{}", provider.probes());
}

#[tokio::test(start_paused = true)]
async fn after_a_long_wait_for_a_key_a_passing_fault_does_not_end_the_message() {
    let provider = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    let rules = RetryRules { give_up_after: Duration::from_hours(1), ..rules() };
    let world = World::with(settings(&[("resend", &provider)], rules));
    let id = world.submit(BOB).await;
    pass(Duration::from_hours(2)).await;
    assert_eq!(world.show(id).await.summary.state, State::Queued);
    provider.now_answers(Err(PASSING));
    pass(Duration::from_secs(70)).await;
    provider.now_answers(Ok(()));
    world.until(id, State::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_kept_to() {
    let wait = Duration::from_secs(7);
    let throttled = Err(Verdict::Throttled { retry_after: Some(wait) });
    let provider = Arc::new(Scripted::new().answers([throttled]));
    let world = World::new(&[("resend", &provider)]);
    let first = world.submit(BOB).await;
    let second = world.submit(BOB).await;
    world.until(first, State::Delivered).await;
    world.until(second, State::Delivered).await;
    let seen = provider.seen();
    let refused = seen[0].at;
    let early = seen.iter().filter(|call| call.at > refused + Duration::from_millis(50));
    assert!(early.clone().count() >= 1);
    assert!(early.into_iter().all(|call| call.at >= refused + wait), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn a_full_quota_waits_until_it_renews() {
    let start: jiff::Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
    let midnight = start + Duration::from_hours(24);
    let full = Err(Verdict::Exhausted { until: Some(midnight) });
    let provider = Arc::new(Scripted::new().answers([full]));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(BOB).await;
    world.until(id, State::Delivered).await;
    let seen = provider.seen();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].at >= Duration::from_hours(24));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_refusal_is_tried_three_more_times_and_then_fails() {
    let provider = Arc::new(Scripted::new().always(Err(Verdict::Unknown)));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Failed).await;
    assert_eq!(provider.seen().len(), 4);
    assert!(details.summary.error.unwrap().contains("Unknown"));
}

#[tokio::test(start_paused = true)]
async fn a_malformed_request_of_ours_is_kept_and_not_sent_again() {
    let provider = Arc::new(Scripted::new().always(Err(Verdict::Bug)));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(BOB).await;
    pass(Duration::from_hours(2)).await;
    assert_eq!(world.show(id).await.summary.state, State::Queued);
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_operator_may_have_a_malformed_request_tried_again() {
    let provider = Arc::new(Scripted::new().answers([Err(Verdict::Bug)]));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(BOB).await;
    pass(Duration::from_secs(1)).await;
    world
        .store
        .retry(id, Retry { provider: Some("resend".into()), ..Retry::default() }, world.clock.now())
        .await
        .unwrap();
    world.delivery.wake();
    world.until(id, State::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn messages_at_which_the_program_fails_are_kept_and_cost_no_slot() {
    let provider = Arc::new(Scripted::that_panics_at("poison@example.net"));
    let world = World::new(&[("resend", &provider)]);
    let mut poisoned = Vec::new();
    for _ in 0..10 {
        poisoned.push(world.submit(&["poison@example.net"]).await);
    }
    let id = world.submit(BOB).await;
    world.until(id, State::Delivered).await;
    pass(Duration::from_secs(1)).await;
    for id in poisoned {
        let details = world.show(id).await;
        assert_eq!(details.summary.state, State::Queued);
        assert_eq!(details.attempts[0].outcome, Outcome::Bug);
    }
}

#[tokio::test(start_paused = true)]
async fn many_recipients_are_split_and_each_call_counts_for_itself() {
    // Hidden recipients get a call each from a structured provider.
    let provider =
        Arc::new(Scripted::new().answers([Ok(()), Err(Verdict::Rejected), Err(PASSING)]));
    let world = World::new(&[("resend", &provider)]);
    let all = ["a@example.net", "b@example.net", "c@example.net"];
    let id = world.submit(&all).await;
    let details = world.until(id, State::Failed).await;
    let states: Vec<_> = details.summary.recipients.iter().map(|r| r.state).collect();
    use RecipientState::{Delivered, Failed};
    assert_eq!(states, [Delivered, Failed, Delivered]);
    let calls: Vec<_> = provider.seen().into_iter().map(|call| call.recipients).collect();
    let one = |address: &str| vec![address.to_owned()];
    assert_eq!(calls, [one(all[0]), one(all[1]), one(all[2]), one(all[2])]);
    assert_eq!(details.attempts.len(), 4);
}
