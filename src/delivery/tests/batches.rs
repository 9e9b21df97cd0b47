//! The calls of one message in one request.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use super::scripted::{Scripted, World, error, pass, rules, settings, submission};
use crate::delivery::Settings;
use crate::provider::{SendError, Verdict};
use crate::queue::{Details, Outcome, RecipientState, State};

/// Hidden recipients get a call each.
const FIVE: [&str; 5] =
    ["a@example.net", "b@example.net", "c@example.net", "d@example.net", "e@example.net"];
const PASSING: Verdict = Verdict::Temporary { retry_after: None };

fn requests(provider: &Scripted) -> Vec<Vec<String>> {
    provider.seen().into_iter().map(|seen| seen.recipients).collect()
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|it| (*it).to_owned()).collect()
}

fn states(details: &Details) -> Vec<RecipientState> {
    details.summary.recipients.iter().map(|recipient| recipient.state).collect()
}

fn unclear(verdict: Verdict) -> SendError {
    SendError { unclear: true, ..error(verdict) }
}

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_message_travel_together_and_are_recorded_singly() {
    let provider = Arc::new(Scripted::with_batches(100));
    let world = World::new(&[("postmark", &provider)]);
    let id = world.submit(&FIVE).await;
    let details = world.until(id, State::Delivered).await;
    assert_eq!(requests(&provider), [names(&FIVE)]);
    assert_eq!(details.attempts.len(), 5);
    for (place, attempt) in details.attempts.iter().enumerate() {
        let id = format!("id-1.{}", place + 1);
        assert_eq!(attempt.provider_message_id.as_deref(), Some(id.as_str()));
        assert_eq!(attempt.recipients.len(), 1);
        assert_eq!(attempt.recipients[0].as_str(), FIVE[place]);
    }
}

#[tokio::test(start_paused = true)]
async fn no_request_has_more_calls_than_the_provider_or_the_operator_allows() {
    for (provider_max, own_max, expected) in
        [(2, 100, vec![2, 2, 1]), (100, 3, vec![3, 2]), (100, 1, vec![1; 5]), (1, 100, vec![1; 5])]
    {
        let provider = Arc::new(Scripted::with_batches(provider_max));
        let batch_max = NonZeroUsize::new(own_max).unwrap();
        let settings = Settings { batch_max, ..settings(&[("postmark", &provider)], rules()) };
        let world = World::with(settings);
        let id = world.submit(&FIVE).await;
        let details = world.until(id, State::Delivered).await;
        let sizes: Vec<_> = requests(&provider).iter().map(Vec::len).collect();
        assert_eq!(sizes, expected);
        assert_eq!(details.attempts.len(), 5);
    }
}

#[tokio::test(start_paused = true)]
async fn each_member_has_its_own_outcome() {
    let answers = [Ok(()), Err(Verdict::Rejected), Err(PASSING), Ok(()), Err(PASSING)];
    let provider = Arc::new(Scripted::with_batches(100).answers(answers));
    let world = World::new(&[("postmark", &provider)]);
    let id = world.submit(&FIVE).await;
    let details = world.until(id, State::Failed).await;
    use RecipientState::{Delivered, Failed};
    assert_eq!(states(&details), [Delivered, Failed, Delivered, Delivered, Delivered]);
    let seen = requests(&provider);
    assert_eq!(seen[0], names(&FIVE));
    // Who is settled is not in any later request.
    assert_eq!(seen[1..].concat(), names(&[FIVE[2], FIVE[4]]));
    let outcomes: Vec<_> = details.attempts.iter().map(|attempt| attempt.outcome).collect();
    assert_eq!(outcomes[1], Outcome::Rejected);
    assert_eq!((outcomes[2], outcomes[4]), (Outcome::Temporary, Outcome::Temporary));
}

#[tokio::test(start_paused = true)]
async fn a_batch_with_an_unclear_end_is_repeated_as_it_was_under_its_key() {
    let provider = Arc::new(Scripted::with_batches(2).batches_end([unclear(PASSING)]));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(&FIVE).await;
    world.until(id, State::Delivered).await;
    let seen = provider.seen();
    let sizes: Vec<_> = seen.iter().map(|seen| seen.recipients.len()).collect();
    assert_eq!(sizes, [2, 2, 2, 1]);
    assert_eq!((&seen[0].key, &seen[0].recipients), (&seen[1].key, &seen[1].recipients));
    assert_ne!(seen[1].key, seen[2].key);
}

#[tokio::test(start_paused = true)]
async fn a_later_batch_keeps_its_members_when_the_first_is_through() {
    let ends = [Ok(()), Ok(()), Err(PASSING), Err(PASSING)];
    let provider = Arc::new(Scripted::with_batches(2).answers(ends));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(&FIVE).await;
    world.until(id, State::Delivered).await;
    let seen = requests(&provider);
    assert_eq!(seen[1], names(&FIVE[2..4]));
    assert_eq!(seen[2], seen[1], "the same two again, before the fifth");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_refused_goes_singly() {
    for verdict in [Verdict::Rejected, Verdict::Bug, Verdict::Unknown] {
        let provider = Arc::new(Scripted::with_batches(100).batches_end([error(verdict)]));
        let world = World::new(&[("resend", &provider)]);
        let id = world.submit(&FIVE).await;
        let details = world.until(id, State::Delivered).await;
        let sizes: Vec<_> = requests(&provider).iter().map(Vec::len).collect();
        assert_eq!(sizes, [5, 1, 1, 1, 1, 1]);
        let refusal = &details.attempts[0];
        assert_eq!((refusal.outcome, refusal.recipients.len()), (Outcome::Rejected, 5));
        assert!(refusal.error.as_deref().unwrap().contains("singly"), "{refusal:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_went_singly_after_a_refused_batch_is_repeated_singly() {
    let answers = [Ok(()), Err(PASSING)];
    let provider = Scripted::with_batches(100).batches_end([error(Verdict::Rejected)]);
    let provider = Arc::new(provider.answers(answers));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(&FIVE[..3]).await;
    world.until(id, State::Delivered).await;
    let seen = provider.seen();
    let sizes: Vec<_> = seen.iter().map(|seen| seen.recipients.len()).collect();
    assert_eq!(sizes, [3, 1, 1, 1, 1]);
    assert_eq!((&seen[2].key, &seen[2].recipients), (&seen[3].key, &seen[3].recipients));
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_is_on_record_before_the_first_goes_singly() {
    let slow = Scripted::with_latency(Duration::from_secs(10)).taking_batches(100);
    let provider = Arc::new(slow.batches_end([error(Verdict::Rejected)]));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(&FIVE[..3]).await;
    pass(Duration::from_secs(15)).await;
    assert_eq!(requests(&provider), [names(&FIVE[..3])], "the first is still on its way");
    let outcomes: Vec<_> = world.show(id).await.attempts.iter().map(|it| it.outcome).collect();
    assert_eq!(outcomes, [Outcome::Rejected]);
    let details = world.until(id, State::Delivered).await;
    assert_eq!(details.attempts.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_dead_key_keeps_the_whole_batch() {
    let provider =
        Arc::new(Scripted::with_batches(100).batches_end([error(Verdict::Misconfigured)]));
    provider.probe_says(Err(Verdict::Misconfigured));
    let world = World::new(&[("postmark", &provider)]);
    let id = world.submit(&FIVE).await;
    pass(Duration::from_mins(10)).await;
    let details = world.show(id).await;
    assert_eq!(details.summary.state, State::Queued);
    assert_eq!((provider.seen().len(), details.attempts.len()), (1, 1));
    provider.probe_says(Ok(()));
    world.until(id, State::Delivered).await;
    assert_eq!(requests(&provider), [names(&FIVE), names(&FIVE)]);
}

#[tokio::test(start_paused = true)]
async fn an_unclear_member_goes_to_no_other_provider_at_once() {
    let first = Arc::new(Scripted::that_does_not_answer().taking_batches(100));
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("postmark", &first), ("resend", &second)]);
    let sent = world.delivery.send_now(submission(&FIVE), None).await;
    assert!(sent.is_err());
    assert_eq!((first.seen().len(), second.seen().len()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn without_recognition_the_record_of_an_unclear_batch_says_so() {
    let provider = Arc::new(Scripted::with_batches(100).batches_end([unclear(PASSING)]));
    let world = World::new(&[("postmark", &provider)]);
    let id = world.submit(&FIVE).await;
    let details = world.until(id, State::Delivered).await;
    let words = details.attempts[0].error.as_deref().unwrap();
    assert!(words.contains("a batch of 5") && words.contains("may be a second copy"), "{words}");
}
