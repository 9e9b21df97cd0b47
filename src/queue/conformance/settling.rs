//! Recording how claims ended.

use super::*;
use crate::message::Loss;
use crate::queue::Retry;
use crate::queue::{StoreError, Usage};

pub(in crate::queue) async fn delivery_ends_a_message(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    let next = Next::Queue { due: at(5), error: Some("busy".to_owned()), deferred: true };
    store.settle(settlement(&first, next, 1)).await.unwrap();
    let second = claim_one(&*store, 5).await;
    store.settle(delivered(&second, "resend", 6)).await.unwrap();

    let summary = summary(&*store, id).await;
    assert_eq!(summary.state, State::Delivered);
    assert_eq!(states(&summary.recipients), [RecipientState::Delivered; 2]);
    assert_eq!(summary.provider.as_deref(), Some("resend"));
    assert_eq!(summary.provider_message_id.as_deref(), Some("resend-6"));
    assert_eq!((summary.next_attempt_at, summary.error), (None, None));
    assert!(claim(&*store, 100_000).await.is_empty());
}

pub(in crate::queue) async fn refusal_ends_a_message_with_its_reason(open: Open) {
    let store = open(ROOMY).await;
    let id = in_state(&*store, 0, State::Failed).await;

    let summary = summary(&*store, id).await;
    assert_eq!(summary.state, State::Failed);
    assert_eq!(summary.error.as_deref(), Some("550 no such user"));
    assert_eq!(summary.recipients[1].state, RecipientState::Failed);
    assert_eq!(summary.recipients[1].reason.as_deref(), Some("550 no such user"));
    assert_eq!(summary.provider.as_deref(), Some("ses"));
    assert!(claim(&*store, 100_000).await.is_empty());
    assert!(store.content(id).await.unwrap().is_some());
}

pub(in crate::queue) async fn a_deferred_message_comes_back_when_due(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    for step in 0..3 {
        let claim = claim_one(&*store, step * 100).await;
        assert_eq!(claim.deferrals, u32::try_from(step).unwrap());
        let due = at((step + 1) * 100);
        let next = Next::Queue { due, error: Some(format!("error {step}")), deferred: true };
        store.settle(settlement(&claim, next, step * 100 + 1)).await.unwrap();

        let summary = summary(&*store, id).await;
        assert_eq!((summary.state, summary.next_attempt_at), (State::Queued, Some(due)));
        assert_eq!(summary.error, Some(format!("error {step}")));
        assert!(super::claim(&*store, step * 100 + 99).await.is_empty());
    }
}

pub(in crate::queue) async fn a_message_put_back_is_not_counted_as_deferred(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    let next = Next::Queue { due: at(0), error: Some("busy".to_owned()), deferred: true };
    store.settle(settlement(&first, next, 0)).await.unwrap();
    let second = claim_one(&*store, 1).await;
    let next = Next::Queue { due: at(2), error: None, deferred: false };
    store.settle(settlement(&second, next, 2)).await.unwrap();

    assert_eq!(summary(&*store, id).await.error.as_deref(), Some("busy"), "still the last error");
    assert_eq!(claim_one(&*store, 2).await.deferrals, 1);
}

pub(in crate::queue) async fn a_partial_delivery_keeps_the_lease(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let claim = claim_one(&*store, 0).await;
    let mut first = settlement(&claim, Next::Continue, 1);
    let address = claim.recipients[0].address.clone();
    let call = attempt("resend", Outcome::Delivered, 1);
    first.attempts.push(Attempt {
        recipients: vec![address],
        provider_message_id: Some("r-1".to_owned()),
        ..call
    });
    first.recipients[0].state = RecipientState::Delivered;
    store.settle(first.clone()).await.unwrap();

    let between = summary(&*store, id).await;
    assert_eq!(between.state, State::Sending);
    assert_eq!(between.recipients, first.recipients);
    assert_eq!(between.provider_message_id.as_deref(), Some("r-1"));
    assert!(super::claim(&*store, 599).await.is_empty(), "the lease holds");
    let mut second = delivered(&claim, "resend", 2);
    second.attempts[0].provider_message_id = Some("r-2".to_owned());
    store.settle(second).await.unwrap();

    let after = summary(&*store, id).await;
    assert_eq!(after.state, State::Delivered);
    assert_eq!(after.provider_message_id.as_deref(), Some("r-2"));
    assert_eq!(attempts(&*store, id).await.len(), 2);
}

pub(in crate::queue) async fn attempts_are_kept_whole_and_in_order(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    let full = Attempt {
        error: Some("한도 초과: \"429\"".to_owned()),
        provider_message_id: Some("x'1".to_owned()),
        latency_ms: 30_001,
        recipients: vec![first.recipients[1].address.clone()],
        losses: vec![Loss::slight("header X-A", "not taken")],
        together: Some(100),
        ..attempt("resend", Outcome::Throttled, 7)
    };
    let plain = Attempt { together: None, ..attempt("ses", Outcome::Unknown, 6) };
    let next = Next::Queue { due: at(9), error: None, deferred: true };
    let mut twice = settlement(&first, next, 8);
    twice.attempts = vec![full.clone(), plain.clone()];
    store.settle(twice).await.unwrap();
    let second = claim_one(&*store, 9).await;
    let last = delivered(&second, "resend", 9);
    store.settle(last.clone()).await.unwrap();

    assert_eq!(attempts(&*store, id).await, [full, plain, last.attempts[0].clone()]);
}

pub(in crate::queue) async fn a_late_settlement_writes_nothing(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let lost = claim_one(&*store, 0).await;
    let held = claim_one(&*store, 600).await;
    let before = store.show(id).await.unwrap();

    for next in [Next::Continue, Next::Delivered, Next::Failed { error: "late".to_owned() }] {
        let mut late = delivered(&lost, "resend", 601);
        late.next = next;
        assert_eq!(store.settle(late).await, Err(StoreError::LeaseLost(id)));
    }
    assert_eq!(store.show(id).await.unwrap(), before);
    assert_eq!(store.counts().await.unwrap().sending, 1);
    store.settle(delivered(&held, "ses", 602)).await.unwrap();
    assert_eq!(summary(&*store, id).await.provider.as_deref(), Some("ses"));
}

pub(in crate::queue) async fn an_expired_lease_that_nobody_took_may_settle(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let claim = claim_one(&*store, 0).await;

    store.settle(delivered(&claim, "resend", 100_000)).await.unwrap();
    assert_eq!(summary(&*store, id).await.state, State::Delivered);
}

pub(in crate::queue) async fn a_message_is_settled_once(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let claim = claim_one(&*store, 0).await;
    store.settle(delivered(&claim, "resend", 1)).await.unwrap();

    let again = store.settle(refused(&claim, "ses", 2)).await;
    assert_eq!(again, Err(StoreError::LeaseLost(id)));
    assert_eq!(summary(&*store, id).await.state, State::Delivered);
    assert_eq!(attempts(&*store, id).await.len(), 1);
}

pub(in crate::queue) async fn a_stranger_is_not_settled(open: Open) {
    let store = open(ROOMY).await;
    let claim = Claim::fresh(Arc::new(message(0)), 1);

    let settled = store.settle(delivered(&claim, "resend", 1)).await;
    assert_eq!(settled, Err(StoreError::LeaseLost(claim.message.id)));
    assert!(store.show(claim.message.id).await.unwrap().is_none());
}

pub(in crate::queue) async fn an_account_goes_with_the_delivery_and_not_before(open: Open) {
    let store = open(ROOMY).await;
    let message = with_account(0);
    let id = message.id;
    store.insert(Entry::waiting(Arc::clone(&message))).await.unwrap();
    let kept = message.account.clone();
    let first = claim_one(&*store, 0).await;
    assert_eq!(first.message.account, kept);

    store.settle(settlement(&first, Next::Continue, 1)).await.unwrap();
    assert_eq!(store.account(id), kept);
    let next = Next::Queue { due: at(5), error: None, deferred: true };
    store.settle(settlement(&first, next, 1)).await.unwrap();
    assert_eq!(store.account(id), kept);
    let second = claim_one(&*store, 5).await;
    store.settle(refused(&second, "resend", 6)).await.unwrap();
    assert_eq!(store.account(id), kept, "an operator may have it tried again");
    store.retry(id, Retry::default(), at(7)).await.unwrap();
    let third = claim_one(&*store, 7).await;
    assert_eq!(third.message.account, kept);
    store.settle(delivered(&third, "resend", 8)).await.unwrap();
    assert_eq!(store.account(id), None);
}

pub(in crate::queue) async fn each_of_many_settlements_has_its_own_answer(open: Open) {
    let store = open(ROOMY).await;
    for n in 0..3 {
        queued(&*store, n).await;
    }
    let claims = claim(&*store, 5).await;
    let mut settlements: Vec<_> =
        claims.iter().map(|claim| delivered(claim, "resend", 6)).collect();
    settlements[1].lease += 1;
    settlements[1].usage = usage("resend", 1, 100);
    let results = store.settle_all(settlements).await.unwrap();

    let lost = claims[1].message.id;
    assert_eq!(results, [Ok(()), Err(StoreError::LeaseLost(lost)), Ok(())]);
    assert_eq!(summary(&*store, lost).await.state, State::Sending);
    assert_eq!(attempts(&*store, lost).await, []);
    for claim in [&claims[0], &claims[2]] {
        assert_eq!(summary(&*store, claim.message.id).await.state, State::Delivered);
    }
    assert_eq!(store.usage(0).await.unwrap(), [], "nothing of it is written");
    assert_eq!(store.settle_all(Vec::new()).await.unwrap(), []);
}

fn usage(provider: &str, hour: i64, recipients: u64) -> Vec<Usage> {
    vec![Usage { provider: provider.to_owned(), hour, recipients }]
}

pub(in crate::queue) async fn what_providers_have_taken_is_counted(open: Open) {
    let store = open(ROOMY).await;
    for n in 0..4 {
        queued(&*store, n).await;
    }
    let claims = claim(&*store, 5).await;
    let took = [usage("resend", 10, 2), usage("ses", 10, 1), usage("resend", 10, 3)];
    let settlements = claims.iter().zip(took);
    let settlements =
        settlements.map(|(claim, usage)| Settlement { usage, ..delivered(claim, "resend", 6) });
    store.settle_all(settlements.collect()).await.unwrap();
    let later = Settlement { usage: usage("resend", 11, 7), ..delivered(&claims[3], "resend", 7) };
    store.settle(later.clone()).await.unwrap();
    assert!(store.settle(later).await.is_err(), "counted once");

    let mut all = usage("resend", 10, 5);
    all.extend(usage("ses", 10, 1));
    all.extend(usage("resend", 11, 7));
    assert_eq!(store.usage(i64::MIN).await.unwrap(), all);
    assert_eq!(store.usage(11).await.unwrap(), usage("resend", 11, 7));
    assert_eq!(store.usage(12).await.unwrap(), []);
}
