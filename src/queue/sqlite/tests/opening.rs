//! Opening: what is there, what is refused, and with what words.

use super::*;
use crate::message::Message;
use crate::queue::conformance::{
    self, at, attempts, claim_one, delivered, in_state, lease, queued, summary, up_to,
};
use crate::queue::sqlite::{VOID_LEASES, operator, shelf, tally};
use crate::queue::{BatchId, Doubt, Entry, Filter, Place, RecipientState, Start, State, Store};

#[tokio::test]
async fn everything_survives_reopening() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let mut before = Vec::new();
    for (n, state) in (0..).zip([State::Queued, State::Delivered, State::Failed, State::Cancelled])
    {
        let id = in_state(&store, n, state).await;
        before.push((id, store.show(id).await.unwrap(), store.content(id).await.unwrap()));
    }
    let counts = store.counts().await.unwrap();
    drop(store);

    let store = daemon(&path);
    for (id, details, content) in before {
        assert_eq!(store.show(id).await.unwrap(), details);
        assert_eq!(store.content(id).await.unwrap(), content);
    }
    assert_eq!(store.counts().await.unwrap(), counts);
    assert_eq!(integrity(&path), "ok");
}

#[tokio::test]
async fn whoever_might_not_steer_may_not_after_a_restart() {
    let (_folder, path) = place();
    let store = daemon(&path);
    for (seconds, may_steer) in [(0, false), (1, true)] {
        let message = Message { may_steer, ..conformance::message(seconds) };
        store.insert(Entry::waiting(Arc::new(message))).await.unwrap();
    }
    drop(store);

    let store = daemon(&path);
    let claims = conformance::claim(&store, 1).await;
    let kept: Vec<_> = claims.iter().map(|claim| claim.message.may_steer).collect();
    assert_eq!(kept, [false, true]);
}

#[tokio::test]
async fn leases_are_void_for_a_new_daemon() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let id = queued(&store, 0).await;
    let lost = claim_one(&store, 0).await;
    drop(store);

    let store = daemon(&path);
    assert_eq!(store.next_due(&up_to(1)).await.unwrap(), Some(lost.message.received_at));
    let counts = store.counts().await.unwrap();
    assert_eq!((counts.queued, counts.sending), (1, 0));
    let late = store.settle(delivered(&lost, "resend", 1)).await;
    assert_eq!(late, Err(StoreError::LeaseLost(id)));
    let again = claim_one(&store, 1).await;
    assert_eq!((again.message.id, again.lease), (id, 2));
    assert_eq!(again.recipients[0].state, RecipientState::Queued);
}

#[tokio::test]
async fn what_was_begun_before_a_restart_is_in_doubt() {
    let (_folder, path) = place();
    let store = daemon(&path);
    for n in 0..4 {
        queued(&store, n).await;
    }
    let claims = conformance::claim(&store, 5).await;
    let names = |range: std::ops::Range<usize>| {
        claims[range].iter().map(|claim| (claim.message.id, claim.lease)).collect()
    };
    let (batch, provider) = (BatchId(claims[2].message.id), "resend".to_owned());
    let alone = Start { claims: names(1..2), provider, batch: None, at: at(6) };
    store.begin(alone.clone()).await.unwrap();
    store.begin(Start { claims: names(2..4), batch: Some(batch), ..alone }).await.unwrap();
    let born = Entry::held(Arc::new(conformance::message(4)), lease(600));
    store.insert(Entry { provider: Some("ses".to_owned()), ..born }).await.unwrap();
    drop(store);

    let again = conformance::claim(&daemon(&path), 5).await;
    let doubts: Vec<_> = again.iter().map(|claim| claim.doubt.clone()).collect();
    let doubt = |provider: &str, since, number: Option<u32>| {
        let place = number.map(|number| Place { batch, number, of: 2 });
        Some(Doubt { provider: provider.to_owned(), since: at(since), place })
    };
    let expected = [
        None,
        doubt("resend", 6, None),
        doubt("resend", 6, Some(0)),
        doubt("resend", 6, Some(1)),
        doubt("ses", 4, None),
    ];
    assert_eq!(doubts, expected);
}

#[tokio::test]
async fn who_attaches_leaves_leases_alone() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let id = queued(&store, 0).await;
    let held = claim_one(&store, 0).await;

    let visitor = SqliteStore::attach(&path).unwrap();
    assert_eq!(summary(&visitor, id).await.state, State::Sending);
    drop(visitor);
    store.settle(delivered(&held, "resend", 1)).await.unwrap();
    assert_eq!(attempts(&store, id).await.len(), 1);
}

#[tokio::test]
async fn a_closed_store_is_tidy_and_takes_no_more() {
    let (folder, path) = place();
    let store = daemon(&path);
    let id = queued(&store, 0).await;
    store.close().await;
    store.close().await;

    let log = std::fs::metadata(folder.path().join("queue.db-wal")).map_or(0, |log| log.len());
    assert_eq!(log, 0, "the file alone is the queue");
    let refused = store.cancel(id, at(1)).await.unwrap_err();
    assert_eq!(refused.to_string(), "the store cannot be used: the queue is closed");
    assert!(store.content(id).await.unwrap().is_some(), "reading still works");
}

#[test]
fn a_queue_has_one_daemon() {
    let (_folder, path) = place();
    let first = daemon(&path);
    let text = refusal(SqliteStore::open(&path, ROOMY));
    assert!(text.contains("another mailferry has this queue; stop it"), "{text}");
    drop(first);
    daemon(&path);
}

#[test]
fn nobody_attaches_to_nothing() {
    let (_folder, path) = place();
    let text = refusal(SqliteStore::attach(&path));
    assert!(text.contains("there is no such file"), "{text}");
    assert!(!path.exists());
    std::fs::write(&path, "").unwrap();
    let text = refusal(SqliteStore::attach(&path));
    assert!(text.contains("start the daemon"), "{text}");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_left_alone() {
    let (_folder, path) = place();
    let store = daemon(&path);
    queued(&store, 0).await;
    reach(&store, |connection| connection.execute_batch("PRAGMA user_version = 99").unwrap()).await;
    drop(store);

    for result in [SqliteStore::open(&path, ROOMY), SqliteStore::attach(&path)] {
        let text = refusal(result);
        assert!(text.contains("a newer mailferry has written it (schema 99"), "{text}");
    }
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 9").unwrap();
    assert_eq!(conformance::claim(&daemon(&path), 0).await.len(), 1);
}

#[tokio::test]
async fn mail_that_waits_in_an_older_file_is_kept() {
    let (_folder, path) = place();
    let store = daemon(&path);
    let id = queued(&store, 0).await;
    drop(store);
    let version_1 = "ALTER TABLE messages DROP COLUMN account; ALTER TABLE messages DROP COLUMN dsn; \
                     ALTER TABLE messages DROP COLUMN may_steer; \
                     ALTER TABLE attempts DROP COLUMN together; \
                     DROP INDEX by_batch; DROP INDEX leases; DROP INDEX waiting; DROP TABLE usage; \
                     DROP TABLE suppressions; DROP TABLE statistics; DROP TABLE submissions; \
                     DROP TABLE search; DROP TABLE indexed; DROP TABLE unindexed; DROP TABLE identity; \
                     CREATE INDEX open_by_due ON messages (due_at, state) WHERE state < 2; \
                     ALTER TABLE messages DROP COLUMN way; ALTER TABLE messages DROP COLUMN bulk; \
                     ALTER TABLE messages DROP COLUMN share; ALTER TABLE messages DROP COLUMN begun_by; \
                     ALTER TABLE messages DROP COLUMN begun_at; ALTER TABLE messages DROP COLUMN batch; \
                     ALTER TABLE messages DROP COLUMN place; ALTER TABLE messages DROP COLUMN batch_of; \
                     PRAGMA user_version = 1;";
    Connection::open(&path).unwrap().execute_batch(version_1).unwrap();

    let store = daemon(&path);
    let filter = Filter { name: Some("<0@app.example.org>".to_owned()), ..Filter::default() };
    assert_eq!(store.list(filter).await.unwrap().messages[0].id, id, "it is found by its name");
    let claims = conformance::claim(&store, 0).await;
    assert_eq!(claims.iter().map(|claim| claim.message.id).collect::<Vec<_>>(), [id]);
    assert_eq!(claims[0].message.account, None);
    assert!(claims[0].message.may_steer, "whoever sent then could be trusted");
}

#[test]
fn other_files_are_refused_and_left_alone() {
    let (_folder, path) = place();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let theirs = std::fs::read(&path).unwrap();
    for result in [SqliteStore::open(&path, ROOMY), SqliteStore::attach(&path)] {
        let text = refusal(result);
        assert!(text.contains("another program"), "{text}");
    }
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 =
        Connection::open(&path).unwrap().query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
    assert_eq!(std::fs::read(&path).unwrap(), theirs);

    let letter = "Dear diary, this is no database at all. ".repeat(200);
    std::fs::write(&path, &letter).unwrap();
    let text = refusal(SqliteStore::open(&path, ROOMY));
    assert!(text.contains("not an SQLite database"), "{text}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);
}

#[test]
fn a_folder_must_be_there_and_writable() {
    let (folder, _) = place();
    let text = refusal(SqliteStore::open(&folder.path().join("none/queue.db"), ROOMY));
    assert!(text.contains("there is no folder") && text.contains("create it"), "{text}");
    // Even the superuser cannot make files here.
    #[cfg(target_os = "linux")]
    {
        let text = refusal(SqliteStore::open(Path::new("/proc/queue.db"), ROOMY));
        assert!(text.contains("the folder /proc must be writable"), "{text}");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn mail_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;

    let (folder, path) = place();
    let store = daemon(&path);
    queued(&store, 0).await;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn counting_and_claiming_read_no_history() {
    let (_folder, path) = place();
    let store = daemon(&path);
    reach(&store, |connection| {
        for (sql, expected) in [
            (tally::COUNT_QUEUED, "COVERING INDEX waiting"),
            (tally::COUNT_SENDING, "COVERING INDEX leases"),
            (tally::COUNT_FAILED, "INDEX stopped"),
            (tally::OLDEST_QUEUED, "COVERING INDEX waiting"),
            (tally::OLDEST_SENDING, "COVERING INDEX leases"),
            (VOID_LEASES, "INDEX leases"),
            (shelf::EXPIRED, "INDEX leases (due_at<?)"),
            (shelf::EXPIRIES, "INDEX leases"),
            (shelf::FIRST_WAY, "COVERING INDEX waiting"),
            (shelf::NEXT_WAY, "COVERING INDEX waiting (way>?)"),
            (shelf::FIRST, "COVERING INDEX waiting (way=? AND bulk=? AND share>?)"),
            (
                shelf::BEHIND,
                "COVERING INDEX waiting (way=? AND bulk=? AND share=? AND (due_at,id)>(?,?))",
            ),
            (shelf::MEMBERS, "INDEX by_batch (batch=?)"),
            (operator::FAILED, "INDEX stopped (state=? AND id<?)"),
        ] {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
            let steps: Vec<String> =
                plan.raw_query().mapped(|row| row.get(3)).collect::<rusqlite::Result<_>>().unwrap();
            assert!(steps.iter().any(|step| step.contains(expected)), "{sql}: {steps:?}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {steps:?}");
        }
    })
    .await;
}
