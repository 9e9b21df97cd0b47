//! Test mails and direct mode.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::scripted::{Scripted, World, rules, settings, submission};
use crate::clock::{SharedClock, TimerClock};
use crate::delivery::{Cause, Delivery, ProviderState};
use crate::provider::Verdict;
use crate::queue::{Refusal, State};

const BOB: &[&str] = &["bob@example.net"];
const PASSING: Verdict = Verdict::Temporary { retry_after: None };

fn direct(providers: &[(&str, &Arc<Scripted>)]) -> Delivery {
    let start = "2026-11-21T00:00:00Z".parse().unwrap();
    let clock: SharedClock = Arc::new(TimerClock::starting_at(start));
    Delivery::new(settings(providers, rules()), None, clock, Rng::with_seed(7))
}

#[tokio::test(start_paused = true)]
async fn a_test_mail_is_sent_and_recorded() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    let sent = world.delivery.send_now(submission(BOB), None).await.unwrap();
    assert_eq!(
        (sent.provider.as_str(), sent.provider_message_id.as_deref()),
        ("resend", Some("id-1"))
    );
    assert_eq!(world.show(sent.id).await.summary.state, State::Delivered);
}

#[tokio::test(start_paused = true)]
async fn a_test_mail_that_nobody_takes_fails_now_and_is_not_sent_later() {
    let provider = Arc::new(Scripted::new().always(Err(PASSING)));
    let world = World::new(&[("resend", &provider)]);
    let not_sent = world.delivery.send_now(submission(BOB), None).await.unwrap_err();
    assert_eq!(not_sent.cause, Cause::Unavailable);
    assert_eq!(not_sent.provider.as_deref(), Some("resend"));
    let details = world.show(not_sent.id.unwrap()).await;
    assert_eq!(details.summary.state, State::Failed);
    assert_eq!(details.attempts.len(), 1);
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_test_mail_asks_a_provider_that_is_set_aside_and_brings_it_back() {
    let provider = Arc::new(Scripted::new().answers([Err(Verdict::Misconfigured)]));
    provider.probe_says(Err(Verdict::Misconfigured));
    let world = World::new(&[("resend", &provider)]);
    let waiting = world.submit(BOB).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(world.delivery.status()[0].state, ProviderState::Misconfigured);
    world.delivery.send_now(submission(BOB), None).await.unwrap();
    assert_eq!(world.delivery.status()[0].state, ProviderState::Up);
    world.until(waiting, State::Delivered).await;
}

#[tokio::test(start_paused = true)]
async fn an_unknown_provider_is_named_with_those_that_there_are() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    let not_sent = world.delivery.send_now(submission(BOB), Some("resnd")).await.unwrap_err();
    assert_eq!(not_sent.cause, Cause::NoProvider);
    assert!(not_sent.error.contains("\"resnd\"") && not_sent.error.contains("resend"));
}

#[tokio::test(start_paused = true)]
async fn direct_mode_hands_on_what_the_provider_says() {
    let answers = [Ok(()), Err(PASSING), Err(Verdict::Rejected), Err(Verdict::Misconfigured)];
    let provider = Arc::new(Scripted::new().answers(answers));
    let intake = direct(&[("resend", &provider)]).direct();
    assert!(intake.accept(submission(BOB)).await.is_ok());
    assert!(matches!(intake.accept(submission(BOB)).await, Err(Refusal::TryAgain(_))));
    assert!(matches!(intake.accept(submission(BOB)).await, Err(Refusal::Rejected(_))));
    assert!(matches!(intake.accept(submission(BOB)).await, Err(Refusal::TryAgain(_))));
}

#[tokio::test(start_paused = true)]
async fn a_message_that_may_have_arrived_is_not_given_to_another_provider() {
    let first = Arc::new(Scripted::that_does_not_answer());
    let second = Arc::new(Scripted::new());
    let intake = direct(&[("resend", &first), ("sendgrid", &second)]).direct();
    assert!(matches!(intake.accept(submission(BOB)).await, Err(Refusal::TryAgain(_))));
    assert!(second.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_submission_repeated_in_direct_mode_has_the_same_key() {
    let provider = Arc::new(Scripted::new().answers([Err(PASSING), Ok(())]));
    let intake = direct(&[("resend", &provider)]).direct();
    assert!(intake.accept(submission(BOB)).await.is_err());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(intake.accept(submission(BOB)).await.is_ok());
    let seen = provider.seen();
    assert_eq!(seen[0].key, seen[1].key);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_can_carry_it_later_outweighs_one_that_never_can() {
    let down = Arc::new(Scripted::new().always(Err(PASSING)));
    let narrow = Arc::new(Scripted::that_cannot_carry_it());
    let unsure = Arc::new(Scripted::new().always(Err(Verdict::Unknown)));
    for other in [&narrow, &unsure] {
        for providers in
            [[("resend", &down), ("brevo", other)], [("brevo", other), ("resend", &down)]]
        {
            let refusal = direct(&providers).direct().accept(submission(BOB)).await.unwrap_err();
            let Refusal::TryAgain(words) = refusal else { panic!("{refusal:?}") };
            assert!(words.starts_with("resend:"), "{words}");
        }
    }
    let refusal = direct(&[("brevo", &narrow)]).direct().accept(submission(BOB)).await;
    assert!(matches!(refusal, Err(Refusal::Rejected(_))));
}
