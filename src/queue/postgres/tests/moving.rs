//! Moving into a database, out of it, and from one to another.

use tokio_postgres::NoTls;

use super::*;
use crate::clock::SystemClock;
use crate::queue::moving::tests::round_trip::{everything, in_file, record, there_and_back};
use crate::queue::moving::{Ends, Movable, MoveError, Passage, migrate};

async fn mover(database: &str) -> PostgresMover {
    PostgresMover::open(settings(database, 10)).await.unwrap()
}

async fn moved(from: &dyn Movable, to: &dyn Movable) {
    let ends = Ends { source: from, target: to, again: false };
    migrate(ends, &SystemClock, &mut |_| {}).await.unwrap();
}

#[tokio::test]
async fn from_a_file_into_a_database_and_back() {
    for seed in 30..32 {
        let database = mover(&server::common().database()).await;
        let (file, _folder) = in_file();
        there_and_back(&file, &database, seed).await;
    }
}

#[tokio::test]
async fn from_a_database_into_a_file_and_back() {
    let database = mover(&server::common().database()).await;
    let (file, _folder) = in_file();
    there_and_back(&database, &file, 40).await;
}

#[tokio::test]
async fn from_one_database_to_another_and_back() {
    let server = server::common();
    let (one, other) = (mover(&server.database()).await, mover(&server.database()).await);
    there_and_back(&one, &other, 50).await;
}

#[tokio::test]
async fn characters_that_a_database_cannot_keep_are_replaced() {
    let database = mover(&server::common().database()).await;
    let mut record = record(&mut fastrand::Rng::with_seed(60));
    record.subject = "a\0b".to_owned();
    database.write(vec![record.clone()]).await.unwrap();
    record.subject = "a\u{fffd}b".to_owned();
    assert_eq!(everything(&database).await.0, [record]);
}

#[tokio::test]
async fn no_instance_starts_on_a_queue_that_has_gone_and_nothing_changes_in_it() {
    let server = server::common();
    let (here, there) = (server.database(), server.database());
    let (one, other) = (mover(&here).await, mover(&there).await);
    one.write((0..3).map(|n| record(&mut fastrand::Rng::with_seed(70 + n))).collect())
        .await
        .unwrap();
    moved(&one, &other).await;

    let refusal = PostgresStore::open(settings(&here, 10)).await.unwrap_err().to_string();
    assert!(refusal.contains("was moved to postgres://"), "{refusal}");
    assert!(refusal.contains("set queue.url to that one"), "{refusal}");

    let url = server.url(&here);
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    for sql in [
        "INSERT INTO messages SELECT * FROM messages LIMIT 1",
        "UPDATE messages SET state = 1",
        "UPDATE messages SET lease = lease + 1",
        "INSERT INTO suppressions VALUES ('a@example.net', 'a@example.net', 'manual', NULL, 0)",
        "INSERT INTO instances (owner, seen_at, since, watching) VALUES ('zombie', 0, 0, false)",
    ] {
        let error = client.execute(sql, &[]).await.unwrap_err();
        let error = error.as_db_error().unwrap().message();
        assert!(error.contains("this queue was moved"), "{sql}: {error}");
    }
    // It can be looked at.
    let visitor = PostgresStore::attach(settings(&here, 10)).await.unwrap();
    assert!(!visitor.list(Filter::default()).await.unwrap().messages.is_empty());
    drop(visitor);
    moved(&other, &one).await;
    client.execute("UPDATE messages SET lease = lease + 1", &[]).await.unwrap();
}

#[tokio::test]
async fn a_database_that_an_instance_uses_stays_where_it_is() {
    let server = server::common();
    let (here, there) = (server.database(), server.database());
    let (one, other) = (mover(&here).await, mover(&there).await);
    let now = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
    let sql = format!(
        "INSERT INTO instances (owner, seen_at, since, watching) VALUES ('alive-1', {now}, 0, false)"
    );
    server.sql(&here, &sql);
    for (from, to) in [(&one, &other), (&other, &one)] {
        let ends = Ends { source: from, target: to, again: false };
        let refusal = migrate(ends, &SystemClock, &mut |_| {}).await.unwrap_err();
        assert!(matches!(refusal, MoveError::InUse { .. }), "{refusal}");
        let refusal = refusal.to_string();
        assert!(refusal.contains("alive-1") && refusal.contains("stop all of them"), "{refusal}");
    }
    assert_eq!((one.mark().await.unwrap(), other.mark().await.unwrap()), (None, None));

    // One that died long ago is nobody.
    server.sql(&here, "UPDATE instances SET seen_at = 0");
    moved(&one, &other).await;
    assert_eq!(one.mark().await.unwrap().unwrap().passage, Passage::Gone);
}
