//! What waits together is written together, and each gets its own answer.

use super::*;
use crate::message::Message;
use crate::queue::conformance::{
    at, attempts, claim, claim_one, delivered, lease, message, queued, summary, up_to,
};
use crate::queue::{Entry, State, Store};

#[tokio::test]
async fn a_refusal_concerns_only_who_is_refused() {
    let (_folder, path) = place();
    let store = Arc::new(SqliteStore::open(&path, 2).unwrap());
    let id = queued(&*store, 0).await;
    let held = claim_one(&*store, 0).await;
    let mut lost = delivered(&held, "ses", 1);
    lost.lease += 1;
    let (second, third) = (Arc::new(message(1)), Arc::new(message(2)));
    let release = busy(&store).await;
    let (inserted, full, late, settled, unknown, fits, ()) = tokio::join!(
        store.insert(Entry::waiting(Arc::clone(&second))),
        store.insert(Entry::waiting(Arc::clone(&third))),
        store.settle(lost),
        store.settle(delivered(&held, "resend", 2)),
        store.cancel(message(3).id, at(3)),
        store.insert(Entry::held(Arc::clone(&third), lease(600))),
        async { drop(release) },
    );

    inserted.unwrap();
    assert_eq!(full, Err(StoreError::Full(2)));
    assert_eq!(late, Err(StoreError::LeaseLost(id)));
    settled.unwrap();
    assert!(matches!(unknown, Err(StoreError::NotFound(_))));
    fits.unwrap();
    assert_eq!(attempts(&*store, id).await.len(), 1);
    assert_eq!(summary(&*store, third.id).await.state, State::Sending);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending), (1, 1));
}

#[tokio::test]
async fn what_waits_is_written_in_one_transaction() {
    let (_folder, path) = place();
    let store = Arc::new(daemon(&path));
    let watcher = Connection::open(&path).unwrap();
    let commits =
        || -> i64 { watcher.query_row("PRAGMA data_version", [], |row| row.get(0)).unwrap() };
    let release = busy(&store).await;
    let before = commits();
    let inserts: Vec<_> = (0..300)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { queued(&*store, n).await })
        })
        .collect();
    // Every task has put its message into the line when this one comes up again.
    tokio::task::yield_now().await;
    assert_eq!(commits(), before);
    drop(release);
    for insert in inserts {
        insert.await.unwrap();
    }
    // The one that kept the writer busy wrote nothing, so there was one commit.
    assert_eq!(claim(&*store, 300).await.len(), 300);
    let log = std::fs::metadata(path.with_extension("db-wal")).unwrap().len();
    assert!(log < 300 * 4_096, "300 commits would have written {log} octets three times over");
}

#[tokio::test]
async fn who_hangs_up_while_waiting_is_not_served() {
    let (_folder, path) = place();
    let store = Arc::new(daemon(&path));
    let waiting = queued(&*store, 0).await;
    let release = busy(&store).await;
    let message: Arc<Message> = Arc::new(message(1));
    {
        let insert = store.insert(Entry::waiting(Arc::clone(&message)));
        let take = store.claim(up_to(10), at(10), lease(600));
        tokio::select! {
            biased;
            _ = insert => panic!("the writer is busy"),
            _ = take => panic!("the writer is busy"),
            () = std::future::ready(()) => {}
        }
    }
    drop(release);

    assert!(store.show(message.id).await.unwrap().is_none());
    assert_eq!(claim_one(&*store, 10).await.message.id, waiting);
}

#[tokio::test]
async fn dropping_the_store_finishes_what_waits() {
    let (_folder, path) = place();
    let store = Arc::new(daemon(&path));
    let release = busy(&store).await;
    let message = Arc::new(message(0));
    let insert = tokio::spawn({
        let (store, message) = (Arc::clone(&store), Arc::clone(&message));
        async move { store.insert(Entry::waiting(message)).await }
    });
    tokio::task::yield_now().await;
    store.line.close();
    drop(release);
    insert.await.unwrap().unwrap();
    drop(store);

    assert!(daemon(&path).show(message.id).await.unwrap().is_some());
}
