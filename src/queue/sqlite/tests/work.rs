//! How much is read for an answer, counted in steps of SQLite's machine: a time would say more about the computer.

use std::collections::BTreeMap;

use rusqlite::StatementStatus;

use super::*;
use crate::queue::conformance::{self, at, lease, message, queued, up_to};
use crate::queue::round::LOOKS_MAX;
use crate::queue::sqlite::shelf;
use crate::queue::{Entry, Portion, State, Store, WayKey};

/// Copies a message that waits, so many times, into so many shares of a way.
async fn fill(store: &SqliteStore, way: &WayKey, copies: i64, shares: i64, due: i64) {
    let way = way.as_str().to_owned();
    reach(store, move |connection| {
        connection
            .execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
                 INSERT INTO messages (id, state, due_at, lease, deferrals, received_at, trying_since, recipients, \
                 smtp_utf8, header_from, subject, message_id, size, body, body_rows, way, bulk, share) \
                 SELECT randomblob(16), 0, ?4, 0, 0, 0, 0, '[]', 0, '', '', '', 10, 1, 1, ?2, i % 2, i % ?3 FROM n",
                (copies, &way, shares, due),
            )
            .unwrap();
    })
    .await;
}

/// The steps that the statements of a shelf have taken since they were asked the last time.
async fn steps(store: &SqliteStore) -> i32 {
    let (answer, steps) = mpsc::channel();
    reach(store, move |connection| {
        let statements = [
            shelf::FIRST_WAY,
            shelf::NEXT_WAY,
            shelf::FIRST,
            shelf::BEHIND,
            shelf::EXPIRED,
            shelf::FACTS,
        ];
        let steps = statements.map(|sql| {
            let statement = connection.prepare_cached(sql).unwrap();
            statement.reset_status(StatementStatus::VmStep)
        });
        answer.send(steps.iter().sum()).unwrap();
    })
    .await;
    steps.recv().unwrap()
}

#[tokio::test]
async fn a_claim_does_not_read_what_waits_in_a_closed_way() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let (up, down) = (WayKey::new("up", 1), WayKey::new("down", 1));
    let mut costs = Vec::new();
    for copies in [10, 100_000] {
        fill(&store, &down, copies, 1_021, 0).await;
        let message = Arc::new(message(0));
        let entry = Entry { way: up.clone(), ..Entry::waiting(Arc::clone(&message)) };
        store.insert(entry).await.unwrap();
        let ways = BTreeMap::from([(down.clone(), 0), (up.clone(), 50)]);
        let portion = Portion { ways, ..up_to(50) };
        assert_eq!(store.next_due(&portion).await.unwrap(), Some(at(0)));
        steps(&store).await;
        let claims = store.claim(portion, at(1), lease(600)).await.unwrap();
        assert_eq!(claims.len(), 1);
        costs.push(steps(&store).await);
    }
    assert!(costs[0] > 10, "something was counted");
    // The second time there is a lease to be looked at.
    assert!(costs[1] < 2 * costs[0], "{costs:?}");
}

#[tokio::test]
async fn a_claim_looks_into_so_many_groups_at_the_most() {
    let (_folder, path) = place();
    let store = daemon(&path);
    for name in ["a", "b", "c", "d"] {
        fill(&store, &WayKey::new(name, 1), 4_000, 1_021, i64::MAX).await;
    }
    let id = queued(&store, 0).await;
    steps(&store).await;
    let mut found = Vec::new();
    for _ in 0..6 {
        let claims = store.claim(up_to(10), at(1), lease(600)).await.unwrap();
        found.extend(claims.iter().map(|claim| claim.message.id));
        let taken = steps(&store).await;
        assert!(usize::try_from(taken).unwrap() < LOOKS_MAX * 30, "{taken} steps");
    }
    assert_eq!(found, [id]);
}

#[tokio::test]
async fn mail_that_is_delivered_at_once_touches_no_index_of_waiting_mail() {
    let (_folder, path) = place();
    let store = daemon(&path);
    reach(&store, |connection| {
        // Whoever writes to the index fails from here on.
        connection
            .execute_batch(
                "CREATE INDEX tripwire ON messages (json_extract('{', '$')) WHERE state = 0",
            )
            .unwrap();
    })
    .await;
    let error = store.insert(Entry::waiting(Arc::new(message(0)))).await.unwrap_err();
    assert!(error.to_string().contains("JSON"), "{error}");
    conformance::in_state(&store, 1, State::Delivered).await;
}
