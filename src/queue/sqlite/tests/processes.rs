//! A command line beside a running daemon.

use super::*;
use crate::queue::conformance::{at, claim_one, in_state, queued, up_to};
use crate::queue::{Retry, State, Store};

#[tokio::test]
async fn a_daemon_notices_what_the_command_line_does() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let failed = in_state(&store, 0, State::Failed).await;
    let waiting = queued(&store, 1).await;
    let before = store.counts().await.unwrap();
    assert_eq!((before.queued, before.failed, before.oldest), (1, 1, Some(at(1))));

    let visitor = SqliteStore::attach(&path).unwrap();
    visitor.cancel(waiting, at(2)).await.unwrap();
    visitor
        .retry(failed, Retry { provider: Some("ses".to_owned()), ..Retry::default() }, at(3))
        .await
        .unwrap();
    let seen = visitor.counts().await.unwrap();
    drop(visitor);

    assert_eq!(store.next_due(&up_to(1)).await.unwrap(), Some(at(3)));
    let after = store.counts().await.unwrap();
    assert_eq!((after.queued, after.failed, after.oldest), (1, 0, Some(at(0))));
    assert_eq!(after, seen);
    let claim = claim_one(&store, 3).await;
    assert_eq!(claim.message.id, failed);
    assert_eq!(claim.pinned_provider.as_deref(), Some("ses"));
}

#[tokio::test]
async fn both_write_at_the_same_time() {
    let (_folder, path) = place();
    let store = Arc::new(daemon(&path));
    let mut failed = Vec::new();
    for n in 0..50 {
        failed.push(in_state(&*store, n, State::Failed).await);
    }
    let visitor = SqliteStore::attach(&path).unwrap();
    let retries = async {
        for id in &failed {
            visitor.retry(*id, Retry::default(), at(100)).await.unwrap();
        }
    };
    let inserts = async {
        for n in 0..50 {
            queued(&*store, n).await;
        }
    };
    tokio::join!(retries, inserts);
    drop(visitor);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.failed), (100, 0));
    drop(store);
    assert_eq!(integrity(&path), "ok");
}
