//! The index of texts as the writer keeps it.

use super::searching::{all, fill, index, index_all, rows_of_index, text};
use super::*;
use crate::queue::conformance::{HOUR, at, attempt, in_state, queued, settlement, up_to};
use crate::queue::sqlite::names;
use crate::queue::{Attempt, Filter, Lease, Next, Outcome, State, Store as _};

/// How many messages are noted for the index.
fn noted(path: &Path) -> i64 {
    let connection = Connection::open(path).unwrap();
    connection.query_row("SELECT count(*) FROM unindexed", [], |row| row.get(0)).unwrap()
}

#[tokio::test]
async fn a_message_from_a_clock_far_ahead_stays_in_front_of_the_index() {
    const YEAR: i64 = 31_536_000;
    let (_folder, path) = place();
    let store = daemon(&path);
    let early = queued(&store, 0).await;
    let ahead = queued(&store, YEAR).await;
    index_all(&store).await;
    let late = queued(&store, 1).await;
    assert_eq!((noted(&path), rows_of_index(&path)), (0, 1));
    assert_eq!(all(&store, &text("ada@")).await, [ahead, late, early]);

    // An index that has gone by the wrong clock comes back.
    index_all(&store).await;
    reach(&store, |connection| {
        let far = QueueId::lower_bound(at(2 * YEAR));
        connection.execute("UPDATE indexed SET upto = ?1", [far.as_bytes()]).unwrap();
    })
    .await;
    drop(store);
    let store = daemon(&path);
    let first = queued(&store, 2_000_000).await;
    index_all(&store).await;
    let second = queued(&store, 2_000_001).await;
    assert_eq!(noted(&path), 0);
    assert_eq!(all(&store, &text("ada@")).await, [ahead, second, first, late, early]);
}

/// Takes away what the index knows, but for its rows.
async fn damage(store: &SqliteStore) {
    reach(store, |connection| {
        connection.execute("DELETE FROM search_data", []).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_damaged_index_costs_no_records_and_is_written_again() {
    let (_folder, path) = place();
    let store = daemon(&path);
    for n in 0..5 {
        in_state(&store, n, State::Delivered).await;
    }
    let kept = queued(&store, 6).await;
    index_all(&store).await;
    damage(&store).await;
    drop(store);

    let store = daemon(&path);
    let late = queued(&store, 7).await;
    assert_eq!(all(&store, &text("ada@")).await.len(), 7, "the records are searched");
    while store.sweep(HOUR, HOUR, at(100_000)).await.unwrap() > 0 {}
    assert_eq!(all(&store, &text("ada@")).await, [late, kept]);
    assert_eq!(index(&store).await, 0, "it begins again");
    index_all(&store).await;
    assert_eq!((noted(&path), rows_of_index(&path)), (0, 2));
    assert_eq!(all(&store, &text("ada@")).await, [late, kept]);
}

/// How many rows the index names of messages that may have this name.
fn candidates(path: &Path, name: &str) -> i64 {
    let connection = Connection::open(path).unwrap();
    let sql = "SELECT count(*) FROM search WHERE search MATCH ?1";
    connection
        .query_row(sql, [names::terms(name).query(|_| Ok::<_, ()>(None)).unwrap()], |row| {
            row.get(0)
        })
        .unwrap()
}

#[tokio::test]
async fn names_that_begin_alike_are_told_apart() {
    let (_folder, path) = place();
    let store = daemon(&path);
    fill(&store, 300).await;
    reach(&store, |connection| {
        let name =
            "printf('a-beginning-that-all-names-of-this-app-have.%s@mail.shop.example', substr(hex(id), -6))";
        connection.execute(&format!("UPDATE messages SET message_id = {name}"), []).unwrap();
    })
    .await;
    index_all(&store).await;
    let name = "a-beginning-that-all-names-of-this-app-have.00007B@mail.shop.example";
    assert_eq!(candidates(&path, name), 1);
    let filter = Filter { name: Some(name.to_owned()), ..Filter::default() };
    assert_eq!(all(&store, &filter).await.len(), 1);
}

#[tokio::test]
async fn a_page_looks_at_so_many_that_may_have_a_text_and_the_next_one_goes_on() {
    let (_folder, path) = place();
    let store = daemon(&path);
    fill(&store, 5_000).await;
    reach(&store, |connection| {
        // All of them have the parts of "abab".
        connection.execute("UPDATE messages SET subject = 'aba bab'", []).unwrap();
        let oldest = "WHERE id = (SELECT min(id) FROM messages)";
        connection.execute(&format!("UPDATE messages SET subject = 'abab' {oldest}"), []).unwrap();
    })
    .await;
    index_all(&store).await;
    let filter = text("abab");
    let page = store.list(filter.clone()).await.unwrap();
    assert!(page.messages.is_empty() && page.next.is_some());
    assert_eq!(all(&store, &filter).await.len(), 1);
}

#[tokio::test]
async fn only_what_changes_a_text_has_it_written_again() {
    let (_folder, path) = place();
    let store = daemon(&path);
    queued(&store, 0).await;
    index_all(&store).await;
    let lease = || Lease { owner: "test".into(), expires: at(1_000) };
    for (provider, name, notes) in [
        ("resend", None, 1),
        ("resend", None, 0),
        ("ses", None, 1),
        ("ses", Some("a name"), 1),
        ("ses", None, 0),
    ] {
        let claims = store.claim(up_to(1), at(10), lease()).await.unwrap();
        let next = Next::Queue { due: at(10), error: None, deferred: true };
        let mut settled = settlement(&claims[0], next, 10);
        let call = attempt(provider, Outcome::Temporary, 10);
        settled.attempts.push(Attempt { provider_message_id: name.map(str::to_owned), ..call });
        store.settle(settled).await.unwrap();
        assert_eq!(noted(&path), notes, "{provider} {name:?}");
        index_all(&store).await;
    }
}
