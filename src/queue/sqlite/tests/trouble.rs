//! Full disks and damaged records.

use std::process::Command;

use bytes::Bytes;

use super::*;
use crate::message::{Message, QueueId};
use crate::queue::conformance::{
    at, attempts, claim, claim_one, delivered, lease, message, queued, summary, up_to,
};
use crate::queue::{Entry, Retry, State, Store};

/// A message of that many KiB.
fn large(seconds: i64, kib: usize) -> Arc<Message> {
    Arc::new(Message { raw: Bytes::from(vec![b'x'; kib << 10]), ..message(seconds) })
}

/// Lets the file grow by so many pages more, as a disk does that is nearly full.
async fn room(store: &SqliteStore, pages: i64) {
    reach(store, move |connection| {
        let count: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0)).unwrap();
        let limit = format!("PRAGMA max_page_count = {}", count + pages);
        connection.query_row(&limit, [], |_| Ok(())).unwrap();
    })
    .await;
}

async fn is_absent(store: &SqliteStore, id: QueueId) -> bool {
    store.show(id).await.unwrap().is_none() && store.content(id).await.unwrap().is_none()
}

#[tokio::test]
async fn a_full_disk_refuses_and_nothing_is_half_written() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let kept = queued(&store, 0).await;
    let before = store.counts().await.unwrap();
    room(&store, 10).await;
    let refused = large(1, 900);
    let error = store.insert(Entry::waiting(Arc::clone(&refused))).await.unwrap_err();
    assert_eq!(error.to_string(), "the store cannot be used: the disk is full");
    assert!(is_absent(&store, refused.id).await);
    assert_eq!(store.counts().await.unwrap(), before);
    assert!(store.content(kept).await.unwrap().is_some());

    room(&store, 1_000).await;
    store.insert(Entry::waiting(Arc::clone(&refused))).await.unwrap();
    assert_eq!(claim(&store, 1).await.len(), 2);
    drop(store);
    assert_eq!(integrity(&path), "ok");
    assert!(daemon(&path).content(refused.id).await.unwrap() == Some(refused.raw.clone()));
}

#[tokio::test]
async fn a_full_disk_still_records_what_was_delivered() {
    let (_folder, path) = place();
    let store = Arc::new(daemon(&path));
    let id = queued(&*store, 0).await;
    let held = claim_one(&*store, 0).await;
    room(&store, 3).await;
    let refused = large(1, 900);
    let release = busy(&store).await;
    let (inserted, settled, ()) = tokio::join!(
        store.insert(Entry::waiting(Arc::clone(&refused))),
        store.settle(delivered(&held, "resend", 1)),
        async { drop(release) },
    );

    assert!(matches!(inserted, Err(StoreError::Unavailable(_))));
    settled.unwrap();
    assert_eq!(summary(&*store, id).await.state, State::Delivered);
    assert_eq!(attempts(&*store, id).await.len(), 1, "written once");
    assert!(is_absent(&store, refused.id).await);
    assert_eq!(store.counts().await.unwrap().queued, 0);
}

/// A real disk that is really full: a file system of 8 MiB.
#[tokio::test]
#[ignore = "mounts a small tmpfs, which needs the superuser"]
async fn a_full_file_system_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |command: &mut Command| assert!(command.status().unwrap().success());
    mount(Command::new("mount").args(["-t", "tmpfs", "-o", "size=8m", "tmpfs"]).arg(folder.path()));
    let path = folder.path().join("queue.db");
    let store = daemon(&path);
    let mut kept = Vec::new();
    let ballast = folder.path().join("ballast");
    for round in 0..20 {
        std::fs::write(&ballast, vec![0; 5 << 20]).unwrap_or_default();
        let mut refusals = 0;
        for n in 0..80 {
            let message = large(round * 100 + n, 30);
            match store.insert(Entry::waiting(Arc::clone(&message))).await {
                Ok(()) => kept.push(message),
                Err(error) => {
                    assert!(error.to_string().contains("the disk is full"), "{error}");
                    assert!(is_absent(&store, message.id).await);
                    refusals += 1;
                }
            }
        }
        assert!(refusals > 0, "round {round}");
        std::fs::remove_file(&ballast).unwrap();
        // Room again: what waits goes out, its content goes away, new messages come in.
        for claim in claim(&store, 10_000).await {
            store.settle(delivered(&claim, "resend", 10_000)).await.unwrap();
        }
        for message in &kept {
            assert!(store.content(message.id).await.unwrap() == Some(message.raw.clone()));
        }
        while store.sweep(Default::default(), Default::default(), at(10_000)).await.unwrap() > 0 {}
        kept.clear();
        let message = large(round, 30);
        store.insert(Entry::waiting(Arc::clone(&message))).await.unwrap();
        kept.push(message);
    }
    drop(store);
    assert_eq!(integrity(&path), "ok");
    mount(Command::new("umount").arg(folder.path()));
}

#[tokio::test]
async fn a_damaged_record_fails_and_stands_in_nobodys_way() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let (garbled, emptied, sound) =
        (queued(&store, 0).await, queued(&store, 1).await, queued(&store, 2).await);
    reach(&store, move |connection| {
        connection
            .execute("UPDATE messages SET recipients = '[{' WHERE id = ?1", [garbled.as_bytes()])
            .unwrap();
        connection.execute("DELETE FROM bodies WHERE message = ?1", [emptied.as_bytes()]).unwrap();
    })
    .await;

    assert_eq!(claim_one(&store, 10).await.message.id, sound);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending, counts.failed), (0, 1, 2));
    let error = summary(&store, garbled).await.error.unwrap();
    assert!(error.contains("its record cannot be read"), "{error}");
    let error = summary(&store, emptied).await.error.unwrap();
    assert!(error.contains("its content is missing"), "{error}");
    assert_eq!(store.list(Default::default()).await.unwrap().messages.len(), 3);

    let store = Arc::new(store);
    let release = busy(&store).await;
    let (garbled, gone, fine, ()) = tokio::join!(
        store.retry(garbled, Retry::default(), at(11)),
        store.retry(emptied, Retry::default(), at(11)),
        store.insert(Entry::waiting(Arc::new(message(12)))),
        async { drop(release) },
    );
    assert!(garbled.unwrap_err().to_string().contains("a record cannot be read"));
    assert_eq!(gone, Err(StoreError::ContentGone(emptied)));
    fine.unwrap();
}

#[tokio::test]
async fn a_message_of_which_a_piece_is_missing_does_not_go_out() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let torn = large(0, 1_200);
    let id = torn.id;
    store.insert(Entry::waiting(torn)).await.unwrap();
    reach(&store, |connection| {
        let last = "DELETE FROM bodies WHERE n = (SELECT max(n) FROM bodies)";
        assert_eq!(connection.execute(last, []).unwrap(), 1);
    })
    .await;
    assert!(claim(&store, 10).await.is_empty());
    assert_eq!(summary(&store, id).await.state, State::Failed);
    assert_eq!(store.content(id).await.unwrap(), None);
}

#[tokio::test]
async fn a_broken_statement_leaves_the_writer_able() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let id = queued(&store, 0).await;
    reach(&store, |connection| {
        connection.execute_batch("ALTER TABLE attempts RENAME TO elsewhere").unwrap();
    })
    .await;
    let error = store.claim(up_to(1), at(0), lease(600)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending), (1, 0), "rolled back");
    reach(&store, |connection| {
        connection.execute_batch("ALTER TABLE elsewhere RENAME TO attempts").unwrap();
    })
    .await;
    assert_eq!(claim_one(&store, 0).await.message.id, id);
}
