//! Retention.

use super::*;
use crate::queue::{Retry, Usage};

/// Sweeps until nothing is left; how much that was, and in how many slices.
async fn sweep(store: &dyn Store, records: Duration, bodies: Duration, now: i64) -> (usize, usize) {
    let (mut removed, mut slices) = (0, 0);
    for _ in 0..1_000 {
        match store.sweep(records, bodies, at(now)).await.unwrap() {
            0 => return (removed, slices),
            count => (removed, slices) = (removed + count, slices + 1),
        }
    }
    panic!("the sweep does not end");
}

const LONG: Duration = Duration::from_secs(1_000_000);
const MINUTE: Duration = Duration::from_secs(60);

pub(in crate::queue) async fn contents_go_after_their_time(open: Open) {
    let store = open(ROOMY).await;
    let delivered = in_state(&*store, 0, State::Delivered).await;
    let cancelled = in_state(&*store, 1, State::Cancelled).await;

    assert_eq!(sweep(&*store, LONG, MINUTE, 59).await, (0, 0));
    assert_eq!(sweep(&*store, LONG, MINUTE, 60).await, (1, 1));
    assert_eq!(store.content(delivered).await.unwrap(), None);
    assert!(store.content(cancelled).await.unwrap().is_some());
    let summary = summary(&*store, delivered).await;
    assert_eq!((summary.state, summary.size), (State::Delivered, message(0).raw.len() as u64));
    assert_eq!(attempts(&*store, delivered).await.len(), 1);
    assert_eq!(sweep(&*store, LONG, Duration::ZERO, 61).await, (1, 1));
    assert_eq!(store.content(cancelled).await.unwrap(), None);
}

pub(in crate::queue) async fn contents_of_failed_messages_stay_with_the_record(open: Open) {
    let store = open(ROOMY).await;
    let failed = in_state(&*store, 0, State::Failed).await;
    let delivered = in_state(&*store, 1, State::Delivered).await;

    assert_eq!(sweep(&*store, HOUR, Duration::ZERO, 100).await, (1, 1));
    assert!(store.content(failed).await.unwrap().is_some());
    assert_eq!(store.content(delivered).await.unwrap(), None);
    store.retry(failed, Retry::default(), at(101)).await.unwrap();
    let claim = claim_one(&*store, 101).await;
    assert_eq!(claim.message.raw, message(0).raw);
}

pub(in crate::queue) async fn an_account_goes_with_the_content(open: Open) {
    let store = open(ROOMY).await;
    let message = with_account(0);
    let id = message.id;
    store.insert(Entry::waiting(message)).await.unwrap();
    store.cancel(id, at(1)).await.unwrap();
    assert!(store.account(id).is_some(), "an operator may have it sent after all");

    assert_eq!(sweep(&*store, LONG, MINUTE, 61).await, (1, 1));
    assert_eq!(store.account(id), None);
    assert_eq!(summary(&*store, id).await.state, State::Cancelled);
}

pub(in crate::queue) async fn records_go_after_their_time(open: Open) {
    let store = open(ROOMY).await;
    let mut over = Vec::new();
    for (n, state) in [State::Delivered, State::Failed, State::Cancelled].into_iter().enumerate() {
        over.push(in_state(&*store, n as i64, state).await);
    }
    let late = queued(&*store, 3).await;
    let claim = claim_one(&*store, 3).await;
    store.settle(refused(&claim, "ses", 50)).await.unwrap();

    assert_eq!(sweep(&*store, MINUTE, LONG, 59).await, (0, 0));
    sweep(&*store, MINUTE, LONG, 62).await;
    for id in over {
        assert!(store.show(id).await.unwrap().is_none());
        assert_eq!(store.content(id).await.unwrap(), None);
    }
    assert!(store.show(late).await.unwrap().is_some(), "what counts is when it was over");
    sweep(&*store, MINUTE, LONG, 110).await;
    assert_eq!(store.list(Default::default()).await.unwrap(), Default::default());
}

pub(in crate::queue) async fn open_messages_are_never_swept(open: Open) {
    let store = open(ROOMY).await;
    let waiting = queued(&*store, 0).await;
    let sending = in_state(&*store, 1, State::Sending).await;

    assert_eq!(sweep(&*store, Duration::ZERO, Duration::ZERO, 1_000_000).await, (0, 0));
    for id in [waiting, sending] {
        assert!(store.content(id).await.unwrap().is_some());
    }
}

pub(in crate::queue) async fn a_sweep_works_in_small_slices_until_nothing_is_left(open: Open) {
    let store = open(ROOMY).await;
    let mut failed = Vec::new();
    for n in 0..1_200 {
        if n % 3 == 0 {
            failed.push(in_state(&*store, n, State::Failed).await);
        } else {
            in_state(&*store, n, State::Delivered).await;
        }
    }

    let (removed, slices) = sweep(&*store, LONG, MINUTE, 5_000).await;
    assert_eq!(removed, 800);
    assert!(slices >= 2, "{slices} slices");
    for id in &failed {
        assert!(store.content(*id).await.unwrap().is_some());
    }
    let (_, slices) = sweep(&*store, MINUTE, MINUTE, 5_000).await;
    assert!(slices >= 3, "{slices} slices");
    assert_eq!(store.counts().await.unwrap().failed, 0);
    assert!(store.list(Default::default()).await.unwrap().messages.is_empty());
}

pub(in crate::queue) async fn what_providers_took_is_forgotten_after_35_days(open: Open) {
    let store = open(ROOMY).await;
    queued(&*store, 0).await;
    let claim = claim_one(&*store, 0).await;
    let this_hour = at(0).as_second().div_euclid(3_600);
    let at_hour =
        |hour| Usage { provider: "resend".to_owned(), hour: this_hour + hour, recipients: 1 };
    let (old, young) = (at_hour(-35 * 24 - 1), at_hour(-35 * 24));
    let usage = vec![old, young.clone()];
    store.settle(Settlement { usage, ..delivered(&claim, "resend", 0) }).await.unwrap();

    assert_eq!(sweep(&*store, LONG, LONG, 0).await, (1, 1));
    assert_eq!(store.usage(0).await.unwrap(), [young]);
}
