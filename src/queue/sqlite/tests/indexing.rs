//! The index of texts as the writer keeps it.

use super::searching::{all, index, index_all, rows_of_index, text};
use super::*;
use crate::queue::conformance::{HOUR, at, in_state, queued};
use crate::queue::{State, Store as _};

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
