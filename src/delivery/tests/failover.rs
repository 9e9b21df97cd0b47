//! The next provider takes over, and the preferred one comes back.

use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Scripted, World, pass};
use crate::delivery::ProviderState;
use crate::provider::Verdict;
use crate::queue::{Outcome, Retry, State, Store};

const BOB: &[&str] = &["bob@example.net"];
const PASSING: Verdict = Verdict::Temporary { retry_after: None };

#[tokio::test(start_paused = true)]
async fn a_refused_key_moves_the_message_on_at_once() {
    let first = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    first.probe_says(Err(Verdict::Misconfigured));
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.summary.provider.as_deref(), Some("sendgrid"));
    let outcomes: Vec<_> = details.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes, [Outcome::Misconfigured, Outcome::Delivered]);
    assert_eq!(world.delivery.status()[0].state, ProviderState::Misconfigured);
    assert!(world.delivery.ready());

    for _ in 0..5 {
        let id = world.submit(BOB).await;
        world.until(id, State::Delivered).await;
    }
    assert_eq!(first.seen().len(), 1, "a provider that is set aside gets no mail");
}

#[tokio::test(start_paused = true)]
async fn the_preferred_provider_comes_back_after_a_check() {
    let first = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let id = world.submit(BOB).await;
    world.until(id, State::Delivered).await;
    first.now_answers(Ok(()));
    pass(Duration::from_mins(2)).await;
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.summary.provider.as_deref(), Some("resend"));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_moves_mail_on() {
    let first = Arc::new(Scripted::new().always(Err(PASSING)));
    first.probe_says(Err(PASSING));
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(world.submit(BOB).await);
        pass(Duration::from_millis(20)).await;
    }
    for id in ids {
        let details = world.until(id, State::Delivered).await;
        assert_eq!(details.summary.provider.as_deref(), Some("sendgrid"));
    }
    assert_eq!(world.delivery.status()[0].state, ProviderState::Down);
    assert_eq!(first.seen().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_long_rest_moves_mail_on_and_a_short_one_does_not() {
    let rest =
        |seconds| Err(Verdict::Throttled { retry_after: Some(Duration::from_secs(seconds)) });
    let first = Arc::new(Scripted::new().answers([rest(5), rest(600)]));
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.summary.provider.as_deref(), Some("sendgrid"));
    assert_eq!(first.seen().len(), 2, "the short rest was waited for");
}

#[tokio::test(start_paused = true)]
async fn what_one_provider_cannot_carry_goes_to_another() {
    let first = Arc::new(Scripted::that_cannot_carry_it());
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &first), ("ses", &second)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.attempts[0].outcome, Outcome::Unfit);
    assert_eq!(details.summary.provider.as_deref(), Some("ses"));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_can_carry_fails_with_the_reason() {
    let only = Arc::new(Scripted::that_cannot_carry_it());
    let world = World::new(&[("resend", &only)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Failed).await;
    assert!(details.summary.error.unwrap().contains("it is signed"));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_refusal_asks_the_next_provider() {
    let first = Arc::new(Scripted::new().always(Err(Verdict::Unknown)));
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.summary.provider.as_deref(), Some("sendgrid"));
    assert_eq!(first.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_names_a_provider_uses_only_that_one() {
    let first = Arc::new(Scripted::new().answers([Err(Verdict::Rejected)]));
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let id = world.submit(BOB).await;
    world.until(id, State::Failed).await;
    world
        .store
        .retry(
            id,
            Retry { provider: Some("sendgrid".into()), ..Retry::default() },
            world.clock.now(),
        )
        .await
        .unwrap();
    world.delivery.wake();
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.summary.provider.as_deref(), Some("sendgrid"));
    assert_eq!(first.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_waits_for_a_closed_provider_does_not_spin() {
    let first = Arc::new(Scripted::new().always(Err(Verdict::Unknown)));
    let second = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    second.probe_says(Err(Verdict::Misconfigured));
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let id = world.submit(BOB).await;
    pass(Duration::from_secs(60)).await;
    let details = world.show(id).await;
    assert!(details.attempts.len() < 40, "{} attempts in a minute", details.attempts.len());
    pass(Duration::from_hours(10)).await;
    assert!(first.seen().len() < 150, "{} calls in ten hours", first.seen().len());
}

#[tokio::test(start_paused = true)]
async fn what_one_cannot_carry_waits_for_another_without_growing() {
    let first = Arc::new(Scripted::that_cannot_carry_it());
    let second = Arc::new(Scripted::new().always(Err(Verdict::Misconfigured)));
    second.probe_says(Err(Verdict::Misconfigured));
    let world = World::new(&[("resend", &first), ("ses", &second)]);
    let id = world.submit(BOB).await;
    pass(Duration::from_hours(30)).await;
    let details = world.show(id).await;
    assert_eq!(details.summary.state, State::Queued);
    assert_eq!(details.attempts.len(), 2);
    second.probe_says(Ok(()));
    second.now_answers(Ok(()));
    world.until(id, State::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_refusal_is_tried_again_although_another_cannot_carry_the_message() {
    let first = Arc::new(Scripted::new().answers([Err(Verdict::Unknown)]));
    let second = Arc::new(Scripted::that_cannot_carry_it());
    let world = World::new(&[("resend", &first), ("sendgrid", &second)]);
    let id = world.submit(BOB).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.summary.provider.as_deref(), Some("resend"));
}
