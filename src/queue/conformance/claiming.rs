//! Handing messages out.

use std::collections::HashSet;

use bytes::Bytes;

use super::*;

pub(in crate::queue) async fn the_longest_due_comes_first(open: Open) {
    let store = open(ROOMY).await;
    let third = queued(&*store, 30).await;
    let first = queued(&*store, 10).await;
    let second = queued(&*store, 20).await;

    let ids: Vec<_> = claim(&*store, 30).await.iter().map(|claim| claim.message.id).collect();
    assert_eq!(ids, [first, second, third]);
}

pub(in crate::queue) async fn nothing_is_handed_out_before_it_is_due(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 10).await;

    assert!(claim(&*store, 9).await.is_empty());
    assert_eq!(claim_one(&*store, 10).await.message.id, id);
}

pub(in crate::queue) async fn a_message_is_handed_out_once(open: Open) {
    let store = open(ROOMY).await;
    let id = queued(&*store, 0).await;

    claim_one(&*store, 0).await;
    assert!(claim(&*store, 1).await.is_empty());
    let summary = summary(&*store, id).await;
    assert_eq!((summary.state, summary.next_attempt_at), (State::Sending, None));
}

pub(in crate::queue) async fn claimers_share_without_doubles(open: Open) {
    let store = open(ROOMY).await;
    for n in 0..100 {
        queued(&*store, n).await;
    }
    let claimers: Vec<_> = (0..10)
        .map(|_| {
            let store = Arc::clone(&store.store);
            tokio::spawn(async move { store.claim(up_to(15), at(200), lease(800)).await })
        })
        .collect();
    let mut seen = HashSet::new();
    for claimer in claimers {
        for claim in claimer.await.unwrap().unwrap() {
            assert!(seen.insert(claim.message.id), "handed out twice");
        }
    }
    assert_eq!(seen.len(), 100);
}

pub(in crate::queue) async fn a_claim_keeps_to_its_limits(open: Open) {
    let store = open(ROOMY).await;
    for n in 0..6 {
        let message = Message { raw: Bytes::from(vec![b'x'; 1_000]), ..message(n) };
        store.insert(Entry::waiting(Arc::new(message))).await.unwrap();
    }
    let take = async |messages, bytes| {
        let portion = Portion::any(messages, bytes, 0);
        store.claim(portion, at(10), lease(600)).await.unwrap().len()
    };

    assert_eq!(take(0, u64::MAX).await, 0);
    assert_eq!(take(2, u64::MAX).await, 2);
    assert_eq!(take(10, 2_999).await, 2, "about that many octets, not more");
    assert_eq!(take(10, 0).await, 1, "one message always fits");
    assert_eq!(take(10, u64::MAX).await, 1);
}

pub(in crate::queue) async fn large_messages_that_are_not_wanted_are_passed_over(open: Open) {
    let store = open(ROOMY).await;
    let size = |n: i64| if n % 3 == 2 { 10 } else { 1 << 20 };
    let mut ids = Vec::new();
    for n in 0..6 {
        let message = Message { raw: Bytes::from(vec![b'x'; size(n)]), ..message(n) };
        ids.push(message.id);
        store.insert(Entry::waiting(Arc::new(message))).await.unwrap();
    }
    let take = async |large| {
        let portion = Portion::any(10, 100, large);
        let claims = store.claim(portion, at(10), lease(600)).await.unwrap();
        claims.iter().map(|claim| claim.message.id).collect::<Vec<_>>()
    };

    assert_eq!(take(1).await, [ids[0], ids[2], ids[5]], "the small ones behind do not wait");
    assert_eq!(take(0).await, []);
    assert_eq!(take(2).await, [ids[1], ids[3]], "their order is kept");
    assert_eq!(take(2).await, [ids[4]]);
}

pub(in crate::queue) async fn a_lease_that_ran_out_is_due_again(open: Open) {
    let store = open(ROOMY).await;
    let id = in_state(&*store, 0, State::Sending).await;

    assert!(claim(&*store, 599).await.is_empty());
    let second = claim_one(&*store, 600).await;
    assert_eq!((second.message.id, second.lease), (id, 2));
    assert!(claim(&*store, 1_199).await.is_empty());
    assert_eq!(claim_one(&*store, 1_200).await.lease, 3);
}

pub(in crate::queue) async fn a_claim_carries_what_happened_before(open: Open) {
    let store = open(ROOMY).await;
    queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    let next = Next::Queue { due: at(30), error: Some("timed out".to_owned()), deferred: true };
    let mut partly = settlement(&first, next, 2);
    partly.attempts.push(attempt("resend", Outcome::Delivered, 0));
    partly.attempts.push(attempt("ses", Outcome::Temporary, 1));
    partly.recipients[0].state = RecipientState::Delivered;
    partly.recipients[1].reason = Some("timed out".to_owned());
    store.settle(partly.clone()).await.unwrap();

    let second = claim_one(&*store, 30).await;
    assert_eq!(second.recipients, partly.recipients);
    assert_eq!(second.deferrals, 1);
    assert_eq!(second.trying_since, at(0));
    let history =
        [("resend".to_owned(), Outcome::Delivered), ("ses".to_owned(), Outcome::Temporary)];
    assert_eq!(second.history, history);
}

pub(in crate::queue) async fn a_claim_carries_the_latest_hundred_attempts(open: Open) {
    let store = open(ROOMY).await;
    queued(&*store, 0).await;
    let first = claim_one(&*store, 0).await;
    let next = Next::Queue { due: at(10), error: None, deferred: true };
    let mut busy = settlement(&first, next, 5);
    busy.attempts = (0..130).map(|n| attempt(&format!("p{n}"), Outcome::Temporary, n)).collect();
    store.settle(busy).await.unwrap();

    let history = claim_one(&*store, 10).await.history;
    assert_eq!(history.len(), 100);
    assert_eq!((&*history[0].0, &*history[99].0), ("p30", "p129"));
}

pub(in crate::queue) async fn next_due_is_the_first_of_waiting_and_leased(open: Open) {
    let store = open(ROOMY).await;
    assert_eq!(store.next_due(&up_to(1)).await.unwrap(), None);
    let waiting = queued(&*store, 700).await;
    assert_eq!(store.next_due(&up_to(1)).await.unwrap(), Some(at(700)));
    in_state(&*store, 0, State::Sending).await;
    assert_eq!(store.next_due(&up_to(1)).await.unwrap(), Some(at(600)), "a lease runs out");
    in_state(&*store, 1, State::Failed).await;
    store.cancel(waiting, at(2)).await.unwrap();
    let claim = claim_one(&*store, 600).await;
    store.settle(delivered(&claim, "resend", 601)).await.unwrap();
    assert_eq!(store.next_due(&up_to(1)).await.unwrap(), None);
}
