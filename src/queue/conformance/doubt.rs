//! Calls that were begun and whose end is not known.

use super::*;
use crate::queue::{BatchId, Doubt, Place, Retry, Start, StoreError, WayKey};

fn start(claims: &[&Claim], provider: &str, seconds: i64) -> Start {
    let claims = claims.iter().map(|claim| (claim.message.id, claim.lease)).collect();
    Start { claims, provider: provider.to_owned(), batch: None, at: at(seconds) }
}

fn doubt(provider: &str, seconds: i64) -> Doubt {
    Doubt { provider: provider.to_owned(), since: at(seconds), place: None }
}

fn back(seconds: i64) -> Next {
    Next::Queue { due: at(seconds), error: Some("lost".to_owned()), deferred: true }
}

fn unclear(claim: &Claim, next: Next) -> Settlement {
    Settlement { unclear: true, ..settlement(claim, next, 1) }
}

/// Three messages of three senders, begun as a batch at `at(1)` in the reverse order of their time, and due again at
/// `at(10)`, nobody knows whether they have arrived.
async fn batch_in_doubt(store: &dyn Store) -> (BatchId, Vec<QueueId>) {
    for (n, user) in (0..).zip(["b", "c", "a"]) {
        let message = Message { user: Some(user.to_owned()), ..message(n) };
        store.insert(Entry::waiting(Arc::new(message))).await.unwrap();
    }
    let mut claims = claim(store, 2).await;
    claims.sort_by_key(|claim| std::cmp::Reverse(claim.message.id));
    let batch = BatchId(claims[0].message.id);
    let members: Vec<&Claim> = claims.iter().collect();
    store.begin(Start { batch: Some(batch), ..start(&members, "resend", 1) }).await.unwrap();
    let settlements = claims.iter().map(|claim| unclear(claim, back(10))).collect();
    for settled in store.settle_all(settlements).await.unwrap() {
        settled.unwrap();
    }
    (batch, claims.iter().map(|claim| claim.message.id).collect())
}

pub(in crate::queue) async fn what_was_begun_is_in_doubt_when_the_lease_runs_out(open: Open) {
    let store = open(ROOMY).await;
    queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    assert_eq!(first.doubt, None);
    store.begin(start(&[&first], "resend", 1)).await.unwrap();
    assert!(!summary(&*store, first.message.id).await.in_doubt, "it is under way");
    let second = claim_one(&*store, 600).await;
    assert_eq!(second.doubt, Some(doubt("resend", 1)));
    store.begin(start(&[&second], "ses", 601)).await.unwrap();
    assert_eq!(claim_one(&*store, 1_200).await.doubt, Some(doubt("ses", 601)));
}

pub(in crate::queue) async fn a_message_born_claimed_may_be_begun_at_once(open: Open) {
    let store = open(ROOMY).await;
    let provider = Some("resend".to_owned());
    let entry = Entry { provider, ..Entry::held(Arc::new(message(0)), lease(60)) };
    store.insert(entry).await.unwrap();
    assert_eq!(claim_one(&*store, 60).await.doubt, Some(doubt("resend", 0)));
}

pub(in crate::queue) async fn calls_are_begun_all_or_none(open: Open) {
    let store = open(ROOMY).await;
    for n in 0..3 {
        queued(&*store, n).await;
    }
    let mut claims = claim(&*store, 5).await;
    claims[1].lease += 1;
    let lost = claims[1].message.id;
    let claims: Vec<&Claim> = claims.iter().collect();
    let begun = store.begin(start(&claims, "resend", 6)).await;
    assert_eq!(begun, Err(StoreError::LeaseLost(lost)));
    let after = claim(&*store, 700).await;
    assert_eq!(after.len(), 3);
    assert!(after.iter().all(|claim| claim.doubt.is_none()));
}

pub(in crate::queue) async fn only_an_unclear_end_leaves_the_doubt(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    store.begin(start(&[&first], "resend", 1)).await.unwrap();
    store.settle(settlement(&first, Next::Continue, 2)).await.unwrap();
    store.settle(unclear(&first, back(10))).await.unwrap();
    assert!(summary(&*store, id).await.in_doubt);

    let second = claim_one(&*store, 10).await;
    assert_eq!(
        second.doubt,
        Some(doubt("resend", 1)),
        "it goes on with everything but a clear end"
    );
    store.settle(settlement(&second, back(20), 11)).await.unwrap();
    assert!(!summary(&*store, id).await.in_doubt);
    let third = claim_one(&*store, 20).await;
    assert_eq!(third.doubt, None);

    store.begin(start(&[&third], "ses", 21)).await.unwrap();
    let failed = Next::Failed { error: "it may have arrived".to_owned() };
    store.settle(unclear(&third, failed)).await.unwrap();
    let summary = summary(&*store, id).await;
    assert_eq!((summary.state, summary.in_doubt), (State::Failed, true));
}

pub(in crate::queue) async fn an_end_may_name_who_may_have_the_message(open: Open) {
    let store = open(ROOMY).await;
    let (_, members) = batch_in_doubt(&*store).await;
    let claims = claim(&*store, 10).await;
    let failed = Next::Failed { error: "it may have arrived".to_owned() };
    let suspect = Some("ses".to_owned());
    let settled = Settlement { suspect, ..settlement(&claims[0], failed, 11) };
    store.settle(settled).await.unwrap();
    let summary = summary(&*store, members[0]).await;
    assert_eq!((summary.in_doubt, summary.maybe_at.as_deref()), (true, Some("ses")));
    // Of no batch any more, it can be sent by another provider.
    let retry = Retry { provider: Some("resend".to_owned()), ..Retry::default() };
    store.retry(members[0], retry, at(12)).await.unwrap();
    let again = claim(&*store, 13).await;
    let again = again.iter().find(|claim| claim.message.id == members[0]).unwrap();
    assert_eq!(again.doubt, None, "the operator has decided");
}

pub(in crate::queue) async fn a_batch_in_doubt_comes_back_as_a_whole(open: Open) {
    let store = open(ROOMY).await;
    let (batch, members) = batch_in_doubt(&*store).await;
    let other = queued(&*store, 3).await;
    assert!(claim(&*store, 9).await.iter().all(|claim| claim.message.id == other));

    // A small portion brings it all the same, and an expired lease does not change it.
    for seconds in [10, 700] {
        let claims = store.claim(up_to(1), at(seconds), lease(seconds + 500)).await.unwrap();
        let claims: Vec<_> = claims.into_iter().filter(|claim| claim.message.id != other).collect();
        let ids: Vec<_> = claims.iter().map(|claim| claim.message.id).collect();
        assert_eq!(ids, members, "one after the other in their order");
        for (claim, number) in claims.iter().zip(0..) {
            let place = Some(Place { batch, number, of: 3 });
            assert_eq!(claim.doubt, Some(Doubt { place, ..doubt("resend", 1) }));
        }
    }
}

pub(in crate::queue) async fn a_batch_of_which_a_member_is_held_is_not_torn(open: Open) {
    let store = open(ROOMY).await;
    let (_, members) = batch_in_doubt(&*store).await;
    let claims = claim(&*store, 10).await;
    store.settle(unclear(&claims[1], back(11))).await.unwrap();
    assert!(claim(&*store, 12).await.is_empty(), "the other two are under way");
    store.settle(unclear(&claims[0], back(11))).await.unwrap();
    store.settle(unclear(&claims[2], back(500))).await.unwrap();
    let again = claim(&*store, 12).await;
    let ids: Vec<_> = again.iter().map(|claim| claim.message.id).collect();
    assert_eq!(ids, members, "the first that is due brings the others");
    assert!(again.iter().all(|claim| claim.lease == 3));
}

pub(in crate::queue) async fn a_clear_answer_ends_the_batch(open: Open) {
    let store = open(ROOMY).await;
    batch_in_doubt(&*store).await;
    let claims = claim(&*store, 10).await;
    let mut settlements = vec![delivered(&claims[0], "resend", 11)];
    settlements.extend(claims[1..].iter().map(|claim| settlement(claim, back(20), 11)));
    store.settle_all(settlements).await.unwrap();
    let free = store.claim(up_to(1), at(20), lease(600)).await.unwrap();
    assert_eq!(free.len(), 1, "each goes on its own");
    assert_eq!(free[0].doubt, None);
}

pub(in crate::queue) async fn the_members_of_a_batch_in_doubt_stay_together(open: Open) {
    let store = open(ROOMY).await;
    let (_, members) = batch_in_doubt(&*store).await;
    let refused = |result: Result<(), StoreError>| {
        let refusal = result.unwrap_err();
        assert!(matches!(refusal, StoreError::WrongState { .. }), "{refusal}");
        assert!(refusal.to_string().contains("together with others"), "{refusal}");
    };
    refused(store.cancel(members[0], at(3)).await);
    let provider = Retry { provider: Some("ses".to_owned()), ..Retry::default() };
    refused(store.retry(members[0], provider, at(3)).await);
    let recipients = vec!["eve@example.org".parse().unwrap()];
    refused(store.retry(members[0], Retry { recipients, ..Retry::default() }, at(3)).await);

    store.retry(members[1], Retry::default(), at(3)).await.unwrap();
    assert_eq!(store.next_due(&up_to(1)).await.unwrap(), Some(at(3)));
    let claims = claim(&*store, 3).await;
    let ids: Vec<_> = claims.iter().map(|claim| claim.message.id).collect();
    assert_eq!(ids, members, "earlier, and together all the same");
    assert!(claims.iter().all(|claim| claim.doubt.is_some()));
}

pub(in crate::queue) async fn a_retry_ends_the_doubt_of_a_lone_message(open: Open) {
    let store = open(ROOMY).await;
    let entry = Entry { way: WayKey::new("default", 1), ..Entry::waiting(Arc::new(message(0))) };
    let id = entry.message.id;
    store.insert(entry).await.unwrap();
    let first = claim_one(&*store, 0).await;
    store.begin(start(&[&first], "resend", 1)).await.unwrap();
    store.settle(unclear(&first, back(10))).await.unwrap();
    store.retry(id, Retry::default(), at(2)).await.unwrap();
    assert!(summary(&*store, id).await.in_doubt, "it was only hurried");
    store.cancel(id, at(2)).await.unwrap();
    assert!(summary(&*store, id).await.in_doubt, "it may have arrived all the same");
    store.retry(id, Retry::default(), at(3)).await.unwrap();
    assert_eq!(summary(&*store, id).await.way, WayKey::default(), "its way is looked at anew");
    assert_eq!(claim_one(&*store, 3).await.doubt, None, "the operator has decided");
}
