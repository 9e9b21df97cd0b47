//! The index of texts as the writer keeps it.

use super::searching::{all, index_all, rows_of_index, text};
use super::*;
use crate::queue::conformance::{at, queued};

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
