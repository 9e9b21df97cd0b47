//! What is kept beside the messages, over restarts and between processes.

use bytes::Bytes;

use super::*;
use crate::message::Message;
use crate::queue::conformance::once::{once, submit};
use crate::queue::conformance::suppressing::suppression;
use crate::queue::conformance::{at, message, queued};
use crate::queue::{Entry, Grain, Sample, Seen, Store, SuppressionFilter, SuppressionReason};

#[tokio::test]
async fn list_counters_and_keys_survive_a_restart() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let entry = suppression("ada@example.net", SuppressionReason::Bounced, 1);
    store.suppressions().add(entry.clone()).await.unwrap();
    let sample = Sample { at: at(0).as_second(), received: 1, ..Sample::default() };
    store.statistics().add(vec![sample.clone()]).await.unwrap();
    let id = submit(&store, once(1, 1, 0)).await.unwrap();
    drop(store);

    let store = daemon(&path);
    assert!(!store.suppressions().is_empty());
    let page = store.suppressions().list(SuppressionFilter::default()).await.unwrap();
    assert_eq!(page.entries, [entry]);
    store.statistics().add(vec![sample]).await.unwrap();
    let hours = store.statistics().read(Grain::Hour, 0, i64::MAX).await.unwrap();
    assert_eq!(hours.iter().map(|hour| hour.received).collect::<Vec<_>>(), [2]);
    let seen = submit(&store, once(1, 1, 1)).await;
    assert_eq!(seen, Err(StoreError::Seen(Seen::Same(id))));
}

#[tokio::test]
async fn what_a_failed_commit_brought_is_not_seen() {
    let (_folder, path) = place();
    let store = daemon(&path);
    queued(&store, 0).await;
    reach(&store, |connection| {
        // As a disk that is full: no page more than there are.
        connection.query_row("PRAGMA max_page_count = 1", [], |_| Ok(())).unwrap();
    })
    .await;
    let full = Arc::new(Message { raw: Bytes::from(vec![b'x'; 100_000]), ..message(1) });
    let first = Entry { once: Some(once(1, 1, 0)), ..Entry::waiting(full) };
    store.insert(first).await.unwrap_err();
    let mut entry = suppression("ada@example.net", SuppressionReason::Manual, 1);
    entry.note = Some("n".repeat(100_000));
    store.suppressions().add(entry).await.unwrap_err();
    assert!(store.suppressions().is_empty());
    reach(&store, |connection| {
        connection.query_row("PRAGMA max_page_count = 1000000", [], |_| Ok(())).unwrap();
    })
    .await;
    submit(&store, once(1, 1, 0)).await.unwrap();
}

#[tokio::test]
async fn a_daemon_knows_of_the_command_lines_entries_before_the_next_message_is_its() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let visitor = SqliteStore::attach(&path).unwrap();
    let entry = suppression("ada@example.net", SuppressionReason::Manual, 1);
    visitor.suppressions().add(entry.clone()).await.unwrap();
    queued(&store, 1).await;
    assert!(!store.suppressions().is_empty());
    visitor.suppressions().remove(&entry.address).await.unwrap();
    queued(&store, 2).await;
    assert!(store.suppressions().is_empty());

    visitor.suppressions().add(entry).await.unwrap();
    store.sweep(std::time::Duration::MAX, std::time::Duration::MAX, at(3)).await.unwrap();
    assert!(!store.suppressions().is_empty(), "also without messages, after a while");
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_is_one_nevertheless() {
    let (_folder, path) = place();
    let store = daemon(&path);
    for address in ["ada@example.net", "bob@example.net"] {
        let entry = suppression(address, SuppressionReason::Manual, 1);
        store.suppressions().add(entry).await.unwrap();
    }
    reach(&store, |connection| {
        let change = "UPDATE suppressions SET reason = 'later' WHERE mailbox LIKE 'ada@%'";
        assert_eq!(connection.execute(change, []).unwrap(), 1);
    })
    .await;
    let asked = ["Ada@example.net", "bob@example.net", "eve@example.net"];
    let asked = asked.iter().map(|address| address.parse().unwrap()).collect();
    let found = store.suppressions().among(asked).await.unwrap();
    let found: Vec<&str> = found.iter().map(|entry| entry.address.as_str()).collect();
    assert_eq!(found, ["Ada@example.net", "bob@example.net"]);
}
