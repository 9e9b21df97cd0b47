//! Files that were moved, or are being moved.

use super::*;
use crate::clock::SystemClock;
use crate::queue::conformance::{at, in_state, queued};
use crate::queue::moving::{Ends, Movable, Passage, Summary, migrate};
use crate::queue::sqlite::SqliteMover;
use crate::queue::{Entry, Filter, Retry, State, Store};

async fn moved(from: &Path, to: &Path) -> Summary {
    let (source, target) =
        (SqliteMover::open(from, false).unwrap(), SqliteMover::open(to, true).unwrap());
    let ends = Ends { source: &source, target: &target, again: false };
    let summary = migrate(ends, &SystemClock, &mut |_| {}).await.unwrap();
    source.close().await.unwrap();
    target.close().await.unwrap();
    summary
}

#[tokio::test]
async fn a_daemon_finds_everything_where_it_went_and_starts_nowhere_else() {
    let (folder, old) = place();
    let new = folder.path().join("new.db");
    let store = daemon(&old);
    let mut before = Vec::new();
    for (n, state) in (0..).zip(State::ALL) {
        let id = in_state(&store, n, state).await;
        before.push((id, store.show(id).await.unwrap().unwrap(), store.content(id).await.unwrap()));
    }
    drop(store);
    assert_eq!(moved(&old, &new).await.open, 2);

    let refusal = refusal(SqliteStore::open(&old, ROOMY));
    assert!(refusal.contains("was moved to sqlite:") && refusal.contains("new.db"), "{refusal}");
    assert!(refusal.contains("set queue.url to that one"), "{refusal}");
    let store = daemon(&new);
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending, counts.failed), (2, 0, 1));
    for (id, mut details, content) in before {
        if details.summary.state == State::Sending {
            details.summary.state = State::Queued;
            details.summary.next_attempt_at = Some(details.summary.received_at);
        }
        assert_eq!(store.show(id).await.unwrap(), Some(details));
        assert_eq!(store.content(id).await.unwrap(), content);
    }
    drop(store);
    assert_eq!((integrity(&old), integrity(&new)), ("ok".to_owned(), "ok".to_owned()));
}

#[tokio::test]
async fn the_command_line_looks_at_what_was_left_and_changes_nothing() {
    let (folder, old) = place();
    let store = daemon(&old);
    let (waits, failed) = (queued(&store, 0).await, in_state(&store, 1, State::Failed).await);
    drop(store);
    moved(&old, &folder.path().join("new.db")).await;

    let visitor = SqliteStore::attach(&old).unwrap();
    assert_eq!(visitor.list(Filter::default()).await.unwrap().messages.len(), 2);
    let cancelled = visitor.cancel(waits, at(5)).await.unwrap_err().to_string();
    let retried = visitor.retry(failed, Retry::default(), at(5)).await.unwrap_err().to_string();
    for refusal in [cancelled, retried] {
        assert!(refusal.contains("this queue was moved to another store"), "{refusal}");
    }
}

#[tokio::test]
async fn a_file_in_use_stays_where_it_is() {
    let (folder, path) = place();
    let store = daemon(&path);
    let refusal = SqliteMover::open(&path, false).unwrap_err().to_string();
    assert!(refusal.contains("another mailferry has this queue; stop it first"), "{refusal}");
    drop(store);
    let mover = SqliteMover::open(&path, false).unwrap();
    assert!(refusal_of_a_daemon(&path).contains("another mailferry has this queue"));
    mover.close().await.unwrap();
    daemon(&path);
    let missing = folder.path().join("missing.db");
    assert!(SqliteMover::open(&missing, false).is_err());
    assert!(!missing.exists());
}

fn refusal_of_a_daemon(path: &Path) -> String {
    refusal(SqliteStore::open(path, ROOMY))
}

#[tokio::test]
async fn what_has_not_arrived_wholly_is_not_used() {
    let (folder, old) = place();
    let new = folder.path().join("new.db");
    drop(daemon(&old));
    let (source, target) =
        (SqliteMover::open(&old, false).unwrap(), SqliteMover::open(&new, true).unwrap());
    for (mover, other, passage) in
        [(&target, &source, Passage::Arriving), (&source, &target, Passage::Leaving)]
    {
        let mark = crate::queue::moving::Mark {
            passage,
            other: other.id(),
            place: other.place().to_owned(),
            since: at(0),
        };
        mover.set_mark(Some(mark)).await.unwrap();
        mover.close().await.unwrap();
    }
    for path in [&old, &new] {
        let refusal = refusal_of_a_daemon(path);
        assert!(
            refusal.contains("is not finished: run the same `mailferry queue migrate` again"),
            "{refusal}"
        );
    }
    assert!(!moved(&old, &new).await.was_done);
    assert!(moved(&old, &new).await.was_done);
    daemon(&new);
}

#[tokio::test]
async fn a_smaller_limit_stops_no_move_and_a_search_finds_what_came() {
    let (folder, old) = place();
    let new = folder.path().join("new.db");
    // The target has an index that is ahead of what comes.
    let mut store = daemon(&new);
    store.is_eager = true;
    for n in 100..400 {
        in_state(&store, n, State::Delivered).await;
    }
    store.list(Filter::default()).await.unwrap();
    drop(store);
    let store = daemon(&old);
    let waiting = [queued(&store, 0).await, queued(&store, 1).await];
    drop(store);
    moved(&old, &new).await;

    let store = SqliteStore::open(&new, 1).unwrap();
    assert_eq!(store.counts().await.unwrap().queued, 2);
    let more = Arc::new(crate::queue::conformance::message(500));
    assert_eq!(store.insert(Entry::waiting(more)).await.unwrap_err(), StoreError::Full(1));
    let filter = Filter { text: Some("1@app.example".to_owned()), limit: 500, ..Filter::default() };
    let mut found = Vec::new();
    let mut before = None;
    loop {
        let page = store.list(Filter { before, ..filter.clone() }).await.unwrap();
        found.extend(page.messages.iter().map(|summary| summary.id));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert!(found.contains(&waiting[1]), "{found:?}");
}
