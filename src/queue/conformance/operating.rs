//! What an operator may do.

use super::*;
use crate::message::Address;
use crate::queue::{Retried, Retry, StoreError};

pub(in crate::queue) async fn a_retry_makes_a_waiting_message_due(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    let next = Next::Queue { due: at(900), error: Some("busy".to_owned()), deferred: true };
    store.settle(settlement(&first, next, 1)).await.unwrap();

    store.retry(id, Retry::default(), at(10)).await.unwrap();
    let between = summary(&*store, id).await;
    assert_eq!(between.next_attempt_at, Some(at(10)));
    assert_eq!(between.error.as_deref(), Some("busy"), "until the next attempt");
    assert_eq!(store.next_due(&up_to(1)).await.unwrap(), Some(at(10)));
    let second = claim_one(&*store, 10).await;
    assert_eq!((second.deferrals, second.trying_since), (0, at(10)));
    assert!(second.lease > first.lease);
}

pub(in crate::queue) async fn a_retry_revives_a_failed_message(open: Open) {
    let store = open(ROOMY).await;
    let id = in_state(&*store, 0, State::Failed).await;

    store.retry(id, Retry::default(), at(50)).await.unwrap();
    let between = summary(&*store, id).await;
    assert_eq!((between.state, between.next_attempt_at), (State::Queued, Some(at(50))));
    let claim = claim_one(&*store, 50).await;
    assert_eq!(states(&claim.recipients), [RecipientState::Queued; 2]);
    assert!(claim.recipients.iter().all(|recipient| recipient.reason.is_none()));
    assert_eq!(claim.history, [("ses".to_owned(), Outcome::Rejected)]);
    store.settle(delivered(&claim, "resend", 51)).await.unwrap();
    assert_eq!(attempts(&*store, id).await.len(), 2);
}

pub(in crate::queue) async fn a_retry_revives_a_cancelled_message(open: Open) {
    let store = open(ROOMY).await;
    let id = in_state(&*store, 0, State::Cancelled).await;

    store.retry(id, Retry::default(), at(50)).await.unwrap();
    let claim = claim_one(&*store, 50).await;
    assert_eq!(claim.message.id, id);
    assert_eq!(states(&claim.recipients), [RecipientState::Queued; 2]);
}

pub(in crate::queue) async fn a_retry_spares_who_has_got_it(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    let mut partly = refused(&first, "ses", 1);
    partly.recipients[0] = RecipientStatus {
        state: RecipientState::Delivered,
        ..RecipientStatus::queued(first.recipients[0].address.clone())
    };
    store.settle(partly).await.unwrap();

    store.retry(id, Retry::default(), at(2)).await.unwrap();
    let second = claim_one(&*store, 2).await;
    assert_eq!(states(&second.recipients), [RecipientState::Delivered, RecipientState::Queued]);
}

pub(in crate::queue) async fn a_retry_may_name_the_provider(open: Open) {
    let store = open(ROOMY).await;
    let id = in_state(&*store, 0, State::Failed).await;

    store
        .retry(id, Retry { provider: Some("resend".to_owned()), ..Retry::default() }, at(1))
        .await
        .unwrap();
    let pinned = claim_one(&*store, 1).await;
    assert_eq!(pinned.pinned_provider.as_deref(), Some("resend"));
    store.settle(refused(&pinned, "resend", 2)).await.unwrap();
    store.retry(id, Retry::default(), at(3)).await.unwrap();
    assert_eq!(claim_one(&*store, 3).await.pinned_provider, None, "the latest word counts");
}

pub(in crate::queue) async fn a_retry_leaves_sending_and_delivered_alone(open: Open) {
    let store = open(ROOMY).await;
    for (n, state) in [State::Sending, State::Delivered].into_iter().enumerate() {
        let id = in_state(&*store, n as i64, state).await;
        let before = store.show(id).await.unwrap();

        let refusal = store.retry(id, Retry::default(), at(9)).await.unwrap_err();
        assert!(
            matches!(refusal, StoreError::WrongState { id: of, state: is, .. } if of == id && is == state),
            "{refusal}"
        );
        assert_eq!(store.show(id).await.unwrap(), before);
    }
}

pub(in crate::queue) async fn a_retry_needs_the_content(open: Open) {
    let store = open(ROOMY).await;
    let id = in_state(&*store, 0, State::Cancelled).await;
    assert_eq!(store.sweep(HOUR, Duration::ZERO, at(1)).await.unwrap(), 1);

    assert_eq!(store.retry(id, Retry::default(), at(2)).await, Err(StoreError::ContentGone(id)));
    assert_eq!(summary(&*store, id).await.state, State::Cancelled);
}

pub(in crate::queue) async fn a_cancelled_message_is_not_sent(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    let next = Next::Queue { due: at(9), error: Some("busy".to_owned()), deferred: true };
    let mut partly = settlement(&first, next, 1);
    partly.recipients[0].state = RecipientState::Delivered;
    store.settle(partly).await.unwrap();

    store.cancel(id, at(5)).await.unwrap();
    let summary = summary(&*store, id).await;
    assert_eq!((summary.state, summary.next_attempt_at), (State::Cancelled, None));
    assert_eq!(states(&summary.recipients), [RecipientState::Delivered, RecipientState::Cancelled]);
    assert!(claim(&*store, 100_000).await.is_empty());
}

pub(in crate::queue) async fn only_a_waiting_message_can_be_cancelled(open: Open) {
    let store = open(ROOMY).await;
    let others = [State::Sending, State::Delivered, State::Failed, State::Cancelled];
    for (n, state) in others.into_iter().enumerate() {
        let id = in_state(&*store, n as i64, state).await;
        let before = store.show(id).await.unwrap();

        let refusal = store.cancel(id, at(9)).await.unwrap_err();
        assert!(
            matches!(refusal, StoreError::WrongState { id: of, state: is, .. } if of == id && is == state),
            "{refusal}"
        );
        assert_eq!(store.show(id).await.unwrap(), before);
    }
}

pub(in crate::queue) async fn a_stranger_cannot_be_operated_on(open: Open) {
    let store = open(ROOMY).await;
    let id = message(0).id;

    assert_eq!(store.retry(id, Retry::default(), at(1)).await, Err(StoreError::NotFound(id)));
    assert_eq!(store.cancel(id, at(1)).await, Err(StoreError::NotFound(id)));
}

pub(in crate::queue) async fn a_retry_names_no_provider_beside_an_account(open: Open) {
    let store = open(ROOMY).await;
    let message = with_account(0);
    let id = message.id;
    store.insert(Entry::waiting(message)).await.unwrap();
    let refusal = store
        .retry(id, Retry { provider: Some("ses".to_owned()), ..Retry::default() }, at(1))
        .await
        .unwrap_err();
    assert!(matches!(refusal, StoreError::WrongState { .. }), "{refusal}");
    assert!(refusal.to_string().contains("without naming a provider"), "{refusal}");
    store.retry(id, Retry::default(), at(1)).await.unwrap();
    assert_eq!(claim_one(&*store, 1).await.pinned_provider, None);
}

fn to(addresses: &[&str]) -> Retry {
    let recipients = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Retry { recipients, ..Retry::default() }
}

pub(in crate::queue) async fn a_retry_may_name_the_recipients(open: Open) {
    let store = open(ROOMY).await;
    let id = in_state(&*store, 0, State::Failed).await;

    store.retry(id, to(&["grace@EXAMPLE.com", "eve@example.org"]), at(1)).await.unwrap();
    let claim = claim_one(&*store, 1).await;
    let (names, all): (Vec<_>, Vec<_>) =
        claim.recipients.iter().map(|one| (one.address.as_str(), one.state)).unzip();
    assert_eq!(names, ["ada@example.net", "grace@example.com", "eve@example.org"]);
    let (cancelled, queued) = (RecipientState::Cancelled, RecipientState::Queued);
    assert_eq!(
        all,
        [cancelled, queued, queued],
        "who failed and is not named is not meant any more"
    );
    let envelope = claim.message.envelope.recipients.iter().map(Address::as_str);
    assert_eq!(envelope.collect::<Vec<_>>(), names, "the envelope has the new one");
    assert_eq!(claim.message.raw, message(0).raw);
    store.settle(delivered(&claim, "resend", 2)).await.unwrap();
    assert_eq!(summary(&*store, id).await.recipients.len(), 3);
}

pub(in crate::queue) async fn a_delivered_message_can_be_sent_to_others(open: Open) {
    let store = open(ROOMY).await;
    let id = in_state(&*store, 0, State::Delivered).await;
    assert!(store.retry(id, Retry::default(), at(1)).await.is_err(), "nobody is named");
    store.retry(id, to(&["eve@example.org"]), at(1)).await.unwrap();

    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.oldest), (1, Some(at(0))));
    let claim = claim_one(&*store, 1).await;
    let (delivered, queued) = (RecipientState::Delivered, RecipientState::Queued);
    assert_eq!(states(&claim.recipients), [delivered, delivered, queued]);
    assert_eq!((claim.deferrals, claim.trying_since), (0, at(1)));
    store.settle(super::delivered(&claim, "resend", 2)).await.unwrap();
    assert_eq!(summary(&*store, id).await.state, State::Delivered);

    store.retry(id, to(&["ada@example.net"]), at(3)).await.unwrap();
    let again = states(&claim_one(&*store, 3).await.recipients);
    assert_eq!(again, [queued, delivered, delivered], "a second copy, as it was asked for");
}

pub(in crate::queue) async fn everything_that_failed_is_retried_in_slices(open: Open) {
    let store = open(ROOMY).await;
    assert_eq!(store.retry_failed(None, at(0)).await.unwrap(), Retried::default());
    for n in 0..620 {
        in_state(&*store, n, State::Failed).await;
    }
    let doubtful = in_doubt(&*store, 700).await;
    let others = [State::Cancelled, State::Delivered, State::Sending];
    for (n, state) in (701..).zip(others) {
        in_state(&*store, n, state).await;
    }

    let first = store.retry_failed(None, at(800)).await.unwrap();
    assert_eq!((first.retried, first.in_doubt, first.without_content), (499, 1, 0));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.failed), (499, 122));
    let second = store.retry_failed(first.next, at(800)).await.unwrap();
    assert_eq!(second, Retried { retried: 121, ..Retried::default() });
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.failed, counts.sending), (620, 1, 1));
    assert_eq!(summary(&*store, doubtful).await.state, State::Failed, "it may have arrived");
    assert_eq!(claim(&*store, 800).await.len(), 620);
}

/// A message that failed, nobody knows whether it has arrived.
async fn in_doubt(store: &dyn Store, seconds: i64) -> QueueId {
    let entry = Entry::held(Arc::new(message(seconds)), lease(seconds + 600));
    let claim = Claim::fresh(Arc::clone(&entry.message), 1);
    store.insert(Entry { provider: Some("ses".to_owned()), ..entry }).await.unwrap();
    let settled = Settlement { unclear: true, ..refused(&claim, "ses", seconds) };
    store.settle(settled).await.unwrap();
    claim.message.id
}

pub(in crate::queue) async fn a_retry_of_all_passes_over_who_is_suppressed(open: Open) {
    use RecipientState::{Delivered, Failed, Suppressed};
    let store = open(ROOMY).await;
    let mut ids = Vec::new();
    for (n, states) in (0..).zip([[Suppressed; 2], [Delivered, Suppressed], [Failed, Suppressed]]) {
        let entry = Entry::held(Arc::new(message(n)), lease(n + 600));
        let claim = Claim::fresh(Arc::clone(&entry.message), 1);
        store.insert(entry).await.unwrap();
        let mut settled = refused(&claim, "ses", n);
        for (recipient, state) in settled.recipients.iter_mut().zip(states) {
            recipient.state = state;
        }
        store.settle(settled).await.unwrap();
        ids.push(claim.message.id);
    }
    let retried = store.retry_failed(None, at(10)).await.unwrap();
    assert_eq!(retried, Retried { retried: 1, ..Retried::default() });
    assert_eq!(summary(&*store, ids[0]).await.state, State::Failed);
    assert_eq!(summary(&*store, ids[1]).await.state, State::Failed);
    let back = summary(&*store, ids[2]).await;
    assert_eq!(states(&back.recipients), [RecipientState::Queued; 2], "it is looked at anew");
    store.retry(ids[0], Retry::default(), at(11)).await.unwrap();
    assert_eq!(summary(&*store, ids[0]).await.state, State::Queued, "who is named is retried");
}

pub(in crate::queue) async fn a_retry_in_doubt_leaves_the_suppressed_out(open: Open) {
    use RecipientState::{Queued, Suppressed};
    let store = open(ROOMY).await;
    for unclear in [true, false] {
        let n = i64::from(unclear);
        let entry = Entry::held(Arc::new(message(n)), lease(600));
        let claim = Claim::fresh(Arc::clone(&entry.message), 1);
        store.insert(Entry { provider: Some("ses".to_owned()), ..entry }).await.unwrap();
        let next = Next::Queue { due: at(50), error: None, deferred: true };
        let mut settled = Settlement { unclear, ..settlement(&claim, next, n) };
        settled.recipients[0].state = Suppressed;
        store.settle(settled).await.unwrap();
        let id = claim.message.id;
        store.retry(id, Retry::default(), at(5)).await.unwrap();
        let found = summary(&*store, id).await;
        assert_eq!(found.in_doubt, unclear);
        let expected = if unclear { [Suppressed, Queued] } else { [Queued, Queued] };
        assert_eq!(states(&found.recipients), expected);
    }
}
