//! Connections that end, and a server that does.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::*;
use crate::queue::StoreError;

/// How long anything may take here.
const PATIENCE: Duration = Duration::from_secs(60);

/// What became of the messages that were handed in.
#[derive(Default)]
struct Told {
    kept: BTreeSet<String>,
    refused: BTreeSet<String>,
}

/// Hands in messages from several tasks, until it is told to stop.
async fn hand_in(store: &Arc<PostgresStore>, stop: &Arc<AtomicBool>) -> Told {
    let handing_in = (0..8_i64).map(|task| {
        let (store, stop) = (Arc::clone(store), Arc::clone(stop));
        tokio::spawn(async move {
            let mut told = Told::default();
            for n in 0..5_000 {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let message = Arc::new(message(task * 10_000 + n));
                let id = message.id.to_string();
                match store.insert(Entry::held(message, lease(1_000_000))).await {
                    Ok(()) => told.kept.insert(id),
                    Err(StoreError::Unavailable(_)) => {
                        sleep(Duration::from_millis(5)).await;
                        told.refused.insert(id)
                    }
                    Err(error) => panic!("{error}"),
                };
            }
            told
        })
    });
    let mut all = Told::default();
    for one in handing_in.collect::<Vec<_>>() {
        let mut one = one.await.unwrap();
        all.kept.append(&mut one.kept);
        all.refused.append(&mut one.refused);
    }
    all
}

/// Hands in one message, as soon as one is taken: then all that was in doubt is put right.
async fn until_one_is_kept(store: &PostgresStore) -> String {
    let end = Instant::now() + PATIENCE;
    loop {
        let message = Arc::new(message(900_000));
        let id = message.id.to_string();
        match store.insert(Entry::waiting(message)).await {
            Ok(()) => return id,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
}

fn ids(server: &server::Server, database: &str) -> BTreeSet<String> {
    server.sql(database, "SELECT id FROM messages").lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_promised_is_there_and_nothing_else_when_connections_are_ended() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = Arc::new(PostgresStore::open(settings(&database, ROOMY)).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let handing_in = tokio::spawn({
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        async move { hand_in(&store, &stop).await }
    });
    for _ in 0..8 {
        let kill = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = '{database}' AND pid <> pg_backend_pid()"
        );
        server.sql("postgres", &kill);
        until_one_is_kept(&store).await;
    }
    stop.store(true, Ordering::Relaxed);
    let told = handing_in.await.unwrap();
    until_one_is_kept(&store).await;
    let there = ids(server, &database);
    assert!(!told.kept.is_empty());
    assert!(told.kept.is_subset(&there), "a promise was broken");
    assert!(told.refused.is_disjoint(&there), "what was refused will come again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_the_server_costs_nothing_that_was_promised() {
    if server().is_none() {
        return;
    }
    let mut server = server::Server::start(&["fsync=on"]);
    let database = server.database();
    let url = server.url(&database).parse().unwrap();
    let store = Arc::new(PostgresStore::open(PostgresSettings::new(url)).await.unwrap());
    let stop = Arc::new(AtomicBool::new(false));
    let handing_in = tokio::spawn({
        let (store, stop) = (Arc::clone(&store), Arc::clone(&stop));
        async move { hand_in(&store, &stop).await }
    });
    until_one_is_kept(&store).await;
    tokio::task::block_in_place(|| server.stop("immediate"));
    let asked = Instant::now();
    let refused = store.insert(Entry::waiting(Arc::new(message(900_001)))).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert!(asked.elapsed() < Duration::from_secs(6), "nobody waits for long");
    tokio::task::block_in_place(|| server.resume());
    until_one_is_kept(&store).await;
    stop.store(true, Ordering::Relaxed);
    let told = handing_in.await.unwrap();
    until_one_is_kept(&store).await;
    let there = ids(&server, &database);
    assert!(told.kept.is_subset(&there), "a promise was broken");
    assert!(told.refused.is_disjoint(&there), "what was refused will come again");
}

#[tokio::test]
async fn closing_finishes_what_waits() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = Arc::new(PostgresStore::open(settings(&database, ROOMY)).await.unwrap());
    let inserting: Vec<_> = (0..50)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { queued(&*store, n).await })
        })
        .collect();
    tokio::task::yield_now().await;
    store.close().await;
    for done in inserting {
        done.await.unwrap();
    }
    assert_eq!(server.sql(&database, "SELECT count(*) FROM messages"), "50");
    let late = store.insert(Entry::waiting(Arc::new(message(99)))).await;
    assert_eq!(late, Err(StoreError::Unavailable("the queue is closed".to_owned())));
}

#[tokio::test]
async fn a_claim_that_nobody_heard_of_is_due_again() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = PostgresStore::open(settings(&database, ROOMY)).await.unwrap();
    queued(&store, 0).await;
    // Somebody else's lock on the contents holds the claim up in the middle.
    let other = store.connections.alone(Role::Schema).await.unwrap();
    other.batch_execute("BEGIN; LOCK TABLE bodies IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let claiming = store.claim(up_to(1), at(10), lease(1_000_000));
    let kill = async {
        let end = Instant::now() + PATIENCE;
        let waiting = format!(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
             WHERE datname = '{database}' AND wait_event_type = 'Lock'"
        );
        while server.sql("postgres", &waiting) == "0" {
            assert!(Instant::now() < end);
            sleep(Duration::from_millis(20)).await;
        }
        other.batch_execute("ROLLBACK").await.unwrap();
    };
    let (claimed, ()) = tokio::join!(claiming, kill);
    assert!(claimed.is_err());
    let end = Instant::now() + PATIENCE;
    let again = loop {
        match store.claim(up_to(1), at(20), lease(1_000_000)).await {
            Ok(claims) => break claims,
            Err(error) => assert!(Instant::now() < end, "{error}"),
        }
        sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(again.len(), 1);
}
