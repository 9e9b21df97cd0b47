//! Submissions that are taken once.

use super::*;
use crate::queue::{Once, Seen, StoreError};

pub(in crate::queue) fn once(key: u8, request: u8, seconds: i64) -> Once {
    Once { key: [key; 32], request: [request; 32], at: at(seconds) }
}

/// Inserts a message under a key, and returns its id.
pub(in crate::queue) async fn submit(store: &dyn Store, once: Once) -> Result<QueueId, StoreError> {
    let message = Arc::new(message(once.at.as_second() - at(0).as_second()));
    let id = message.id;
    store.insert(Entry { once: Some(once), ..Entry::waiting(message) }).await.map(|()| id)
}

const DAY: i64 = 24 * 3_600;

pub(in crate::queue) async fn a_key_is_taken_once(open: Open) {
    let store = open(ROOMY).await;
    let id = submit(&*store, once(1, 1, 0)).await.unwrap();
    let same = Err(StoreError::Seen(Seen::Same(id)));
    assert_eq!(submit(&*store, once(1, 1, 10)).await, same);
    assert_eq!(submit(&*store, once(1, 2, 10)).await, Err(StoreError::Seen(Seen::Other)));
    submit(&*store, once(2, 1, 10)).await.unwrap();
    assert_eq!(store.counts().await.unwrap().queued, 2, "of repeats nothing is written");
    assert_eq!(submit(&*store, once(1, 1, DAY - 1)).await, same);
}

pub(in crate::queue) async fn a_key_is_forgotten_after_a_day(open: Open) {
    let store = open(ROOMY).await;
    let first = submit(&*store, once(1, 1, 0)).await.unwrap();
    submit(&*store, once(2, 1, 1)).await.unwrap();
    let second = submit(&*store, once(1, 2, DAY)).await.unwrap();
    assert_ne!(first, second);
    let seen = submit(&*store, once(1, 2, DAY + 1)).await;
    assert_eq!(seen, Err(StoreError::Seen(Seen::Same(second))));

    let long = Duration::from_secs(1_000 * 24 * 3_600);
    assert_eq!(store.sweep(long, long, at(DAY)).await.unwrap(), 0);
    assert_eq!(store.sweep(long, long, at(DAY + 1)).await.unwrap(), 1, "the second key");
    assert_eq!(store.sweep(long, long, at(DAY + 1)).await.unwrap(), 0);
    assert!(submit(&*store, once(1, 2, DAY + 2)).await.is_err());
}

pub(in crate::queue) async fn a_refused_submission_leaves_its_key(open: Open) {
    let store = open(1).await;
    let full = queued(&*store, 0).await;
    assert_eq!(submit(&*store, once(1, 1, 1)).await, Err(StoreError::Full(1)));
    store.cancel(full, at(2)).await.unwrap();
    let id = submit(&*store, once(1, 1, 3)).await.unwrap();
    let seen = submit(&*store, once(1, 1, 4)).await;
    assert_eq!(seen, Err(StoreError::Seen(Seen::Same(id))), "also while the queue is full");
}

pub(in crate::queue) async fn of_many_at_once_one_is_taken(open: Open) {
    let store = open(ROOMY).await;
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let store = Arc::clone(&store.store);
            tokio::spawn(async move { submit(&*store, once(1, 1, 0)).await })
        })
        .collect();
    let (mut taken, mut seen) = (Vec::new(), Vec::new());
    for task in tasks {
        match task.await.unwrap() {
            Ok(id) => taken.push(id),
            Err(StoreError::Seen(Seen::Same(id))) => seen.push(id),
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!((taken.len(), seen.len()), (1, 49));
    assert!(seen.iter().all(|id| *id == taken[0]));
    assert_eq!(store.counts().await.unwrap().queued, 1);
}
