//! Several stores on one database, beside each other.

use std::collections::BTreeSet;
use std::time::Duration;

use super::*;
use crate::queue::conformance::{
    ROOMY, at, attempt, claim_one, delivered, in_state, lease, message, queued, refused,
    settlement, up_to,
};
use crate::queue::{
    Attempt, Filter, Grain, Lease, MemoryStore, Next, Outcome, Retry, Sample, State, Suppression,
    SuppressionReason,
};

/// So many instances on one new database, and its name.
pub(super) async fn instances(count: usize) -> (Vec<Arc<PostgresStore>>, String) {
    let database = server::common().database();
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(Arc::new(PostgresStore::open(settings(&database, ROOMY)).await.unwrap()));
    }
    (stores, database)
}

/// Counted row by row.
fn counted(database: &str) -> (u64, u64, u64) {
    let sql = "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state = 1), \
               count(*) FILTER (WHERE state = 3) FROM messages";
    let line = server::common().sql(database, sql);
    let mut counts = line.split('|').map(|count| count.parse().unwrap());
    (counts.next().unwrap(), counts.next().unwrap(), counts.next().unwrap())
}

async fn counts(store: &PostgresStore) -> (u64, u64, u64) {
    let Counts { queued, sending, failed, .. } = store.counts().await.unwrap();
    (queued, sending, failed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_are_exact_whoever_changes_what_at_the_same_time() {
    let (stores, database) = instances(3).await;
    let work = async |store: Arc<PostgresStore>, number: i64| {
        for round in 0..8 {
            let seconds = number * 100 + round;
            let waiting = queued(&*store, seconds).await;
            let failed = in_state(&*store, seconds, State::Failed).await;
            in_state(&*store, seconds, State::Sending).await;
            // Others may have claimed, retried or stopped it before.
            let _ = store.cancel(waiting, at(seconds)).await;
            let _ = store.retry(failed, Retry::default(), at(seconds)).await;
            let _ = store.retry_failed(None, at(seconds)).await.unwrap();
            let owner = Lease { owner: number.to_string().into(), expires: at(50_000) };
            let claims = store.claim(up_to(4), at(590), owner).await.unwrap();
            for (n, claim) in claims.iter().enumerate() {
                let settlement = match n % 3 {
                    0 => delivered(claim, "resend", 10_000),
                    1 => refused(claim, "ses", 10_000),
                    _ => {
                        let due = at(20_000);
                        settlement(claim, Next::Queue { due, error: None, deferred: true }, 10_000)
                    }
                };
                store.settle(settlement).await.unwrap();
            }
            store.sweep(Duration::from_secs(9_000), Duration::ZERO, at(19_100)).await.unwrap();
            store.counts().await.unwrap();
        }
    };
    let tasks: Vec<_> = (0..9)
        .map(|n| {
            let store = Arc::clone(&stores[n % 3]);
            tokio::spawn(async move { work(store, n.try_into().unwrap()).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let exact = counted(&database);
    assert!(exact.0 + exact.1 > 0, "{exact:?}");
    for store in &stores {
        assert_eq!(counts(store).await, exact);
    }
    let oldest = server::common()
        .sql(&database, "SELECT received_at FROM messages WHERE state < 2 ORDER BY id LIMIT 1");
    let told = stores[0].counts().await.unwrap().oldest.unwrap();
    assert_eq!(told.as_millisecond().to_string(), oldest);
    let slots = server::common().sql(&database, "SELECT count(*) FROM tallies");
    assert!(slots.parse::<u64>().unwrap() <= 30, "{slots} rows for at most so many connections");
}

#[tokio::test]
async fn the_oldest_is_found_behind_a_long_history_and_when_another_opens_an_older_one() {
    let (stores, database) = instances(2).await;
    let failed = in_state(&*stores[0], 0, State::Failed).await;
    let first = queued(&*stores[0], 1).await;
    // A history that is longer than one walk.
    server::common().sql(
        &database,
        "INSERT INTO messages (id, state, due_at, lease, deferrals, received_at, trying_since, finished_at, recipients, \
         smtp_utf8, header_from, subject, message_id, size, may_steer, way, bulk, share) \
         SELECT (lpad(to_hex(1790000100000 + n), 12, '0') || '7000800000000000beef')::uuid, 2, 0, 1, 0, 1790000100000 + n, 0, \
         1790000100000 + n, '[]', false, '', '', '', 1, true, '', false, 0 FROM generate_series(1, 3000) AS n",
    );
    let last = queued(&*stores[1], 200_000).await;
    let oldest = async |store: usize| stores[store].counts().await.unwrap().oldest;
    assert_eq!(oldest(0).await, Some(at(1)));
    stores[1].cancel(first, at(2)).await.unwrap();
    assert_eq!(oldest(0).await, Some(at(200_000)));
    let floor = "SELECT count(DISTINCT lowest) FROM tallies WHERE lowest IS NOT NULL";
    assert_eq!(server::common().sql(&database, floor), "1", "nobody walks that way again");
    stores[1].retry(failed, Retry::default(), at(3)).await.unwrap();
    assert_eq!(oldest(0).await, Some(at(0)), "it is open again");
    stores[0].cancel(failed, at(4)).await.unwrap();
    stores[0].cancel(last, at(4)).await.unwrap();
    assert_eq!(oldest(1).await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_of_the_same_step_are_added_by_several_at_once() {
    let (stores, _) = instances(3).await;
    const START: i64 = 1_790_002_800;
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let store = Arc::clone(&stores[n % 3]);
            tokio::spawn(async move {
                for round in 0..10 {
                    let sample = |provider: &str| Sample {
                        at: START + 60 * (round % 2),
                        provider: provider.to_owned(),
                        delivered: 1,
                        attempts: vec![(Outcome::Delivered, 2)],
                        ..Sample::default()
                    };
                    let mut samples = vec![sample("ses"), sample(""), sample("brevo")];
                    if n % 2 == 0 {
                        samples.reverse();
                    }
                    store.statistics().add(samples).await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let hours = stores[0].statistics().read(Grain::Hour, START, START + 1).await.unwrap();
    let sums: Vec<_> = hours.iter().map(|it| (it.delivered, it.attempts[0].1)).collect();
    assert_eq!(sums, [(60, 120); 3]);
    let minutes = stores[1].statistics().read(Grain::Minute, START, START + 120).await.unwrap();
    assert!(minutes.iter().all(|it| it.delivered == 30), "{minutes:?}");
    assert_eq!(minutes.len(), 6);
}

#[tokio::test]
async fn all_instances_know_whether_somebody_is_suppressed() {
    let (stores, _) = instances(2).await;
    assert!(stores.iter().all(|store| store.suppressions().is_empty()));
    let entry = Suppression {
        address: "Ada@example.net".parse().unwrap(),
        reason: SuppressionReason::Manual,
        note: Some("with a NUL \0".to_owned()),
        since: at(0),
    };
    let address = entry.address.clone();
    let known = async |is_empty: bool| {
        for _ in 0..600 {
            if stores[1].suppressions().is_empty() == is_empty {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the other instance never learns that the list is empty: {is_empty}");
    };
    assert!(stores[0].suppressions().add(entry).await.unwrap());
    known(false).await;
    let found = stores[1].suppressions().among(vec![address.clone()]).await.unwrap();
    assert_eq!(found[0].note.as_deref(), Some("with a NUL \u{fffd}"));
    assert!(stores[0].suppressions().remove(&address).await.unwrap());
    assert!(stores[0].suppressions().is_empty());
    known(true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_sweep_at_once_and_everything_goes_once() {
    let (stores, database) = instances(3).await;
    for n in 0..40 {
        in_state(&*stores[n % 3], n.try_into().unwrap(), State::Delivered).await;
    }
    let tasks: Vec<_> = stores
        .iter()
        .map(|store| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut removed = 0;
                for _ in 0..20 {
                    removed += store.sweep(Duration::ZERO, Duration::ZERO, at(100)).await.unwrap();
                }
                removed
            })
        })
        .collect();
    let mut removed = 0;
    for task in tasks {
        removed += task.await.unwrap();
    }
    assert_eq!(removed, 40);
    let left = "SELECT (SELECT count(*) FROM messages) + (SELECT count(*) FROM bodies) + (SELECT count(*) FROM attempts)";
    assert_eq!(server::common().sql(&database, left), "0");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_and_a_claim_of_another_instance_do_not_both_have_a_message() {
    let (stores, _) = instances(2).await;
    for round in 0..20 {
        let id = queued(&*stores[0], round).await;
        let other = Arc::clone(&stores[1]);
        let lease = Lease { owner: "other".into(), expires: at(50_000) };
        let claiming =
            tokio::spawn(async move { other.claim(up_to(1), at(1_000), lease).await.unwrap() });
        let cancelled = stores[0].cancel(id, at(1_000)).await;
        let claimed = claiming.await.unwrap();
        assert_eq!(cancelled.is_ok(), claimed.is_empty(), "{cancelled:?} {claimed:?}");
        for claim in &claimed {
            stores[1].settle(delivered(claim, "resend", 1_000)).await.unwrap();
        }
    }
}

/// All pages of a list.
async fn all(store: &dyn Store, filter: &Filter) -> Vec<QueueId> {
    let mut found: Vec<QueueId> = Vec::new();
    let mut before = None;
    for _ in 0..1_000 {
        let page = store.list(Filter { before, ..filter.clone() }).await.unwrap();
        found.extend(page.messages.iter().map(|summary| summary.id));
        before = page.next;
        if before.is_none() {
            return found;
        }
    }
    panic!("a list without end");
}

#[tokio::test]
async fn a_search_finds_what_the_store_in_memory_finds() {
    let (stores, _) = instances(1).await;
    let memory = MemoryStore::new(ROOMY);
    let both: [&dyn Store; 2] = [&*stores[0], &memory];
    let addresses =
        ["Ada.Kim@Shop.example", "\"o\\\"hara\"@irish.example", "박@한국.kr", "a_b@x.example"];
    for n in 0..40_i64 {
        let mut one = message(n);
        let address = addresses[usize::try_from(n).unwrap() % addresses.len()];
        one.envelope.recipients = vec![address.parse().unwrap()];
        one.index.subject = format!(
            "주문 {n}% ÄÖ\\ [{}]",
            ["x", "Y\u{1}z", "n\nn"][usize::try_from(n).unwrap() % 3]
        );
        one.envelope.sender = (n % 5 > 0).then(|| format!("b+{n}@mail.example").parse().unwrap());
        let one = Arc::new(one);
        for store in both {
            if n < 20 {
                store.insert(Entry::waiting(Arc::clone(&one))).await.unwrap();
                continue;
            }
            store.insert(Entry::held(Arc::clone(&one), lease(50_000))).await.unwrap();
            let claim = Claim::fresh(Arc::clone(&one), 1);
            let mut end = match n % 2 {
                0 => delivered(&claim, "resend", 1_000 + n),
                _ => refused(&claim, "ses", 1_000 + n),
            };
            let call = attempt("resend", Outcome::Temporary, 900);
            let name = Some(format!("Re_{}", n % 7));
            end.attempts.insert(0, Attempt { provider_message_id: name, ..call });
            store.settle(end).await.unwrap();
        }
    }
    let texts = [
        "shop",
        "SHOP.example",
        "o\\\"h",
        "\\",
        "\"",
        "%",
        "_",
        "a_b",
        "주문 1",
        "äö",
        "ÄÖ",
        "kr",
        "박",
        "[x]",
        ".*",
        "y",
        "re_3",
        "Re_3",
        "resend-1",
        "b+1",
        "mail.example",
        "<1@app.example.org>",
        "1@app.example.org",
        "queued",
        "n\nn",
        "example.org app",
        "(",
        "address",
        "'",
        "$1",
        "?",
    ];
    let states = [None, Some(State::Queued), Some(State::Delivered), Some(State::Failed)];
    let mut hits = BTreeSet::new();
    for text in texts {
        for state in states {
            for provider in [None, Some("ses".to_owned())] {
                let text = Some(text.to_owned());
                let filter = Filter { state, provider, text, limit: 7, ..Filter::default() };
                let found = all(both[0], &filter).await;
                assert_eq!(found, all(both[1], &filter).await, "{filter:?}");
                hits.extend(found);
                let filter = Filter { name: filter.text.clone(), text: None, ..filter };
                assert_eq!(all(both[0], &filter).await, all(both[1], &filter).await, "{filter:?}");
            }
        }
    }
    assert_eq!(hits.len(), 40, "the texts are about all of them");
}

#[tokio::test]
async fn what_is_found_once_may_be_retried_with_a_reason_that_the_database_cannot_hold() {
    let (stores, _) = instances(1).await;
    let store = &*stores[0];
    let id = queued(store, 0).await;
    let claim = claim_one(store, 1).await;
    let mut end = refused(&claim, "ses", 2);
    end.recipients[0].reason = Some("a NUL \0 and \"address\":\"kim@x.example\"".to_owned());
    store.settle(end).await.unwrap();
    let about = |text: &str| Filter { text: Some(text.to_owned()), ..Filter::default() };
    assert_eq!(all(store, &about("kim@x")).await, [], "a reason is no address");
    assert_eq!(all(store, &about("ada@\0")).await, []);
    store.retry(id, Retry::default(), at(3)).await.unwrap();
    assert_eq!(all(store, &about("ada@")).await, [id]);
}
