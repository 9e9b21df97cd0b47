//! The row of calls and the quotas, asked by many at once.

use std::collections::BTreeSet;
use std::time::Duration;

use fastrand::Rng;

use super::super::connect::Connections;
use super::super::{PostgresSettings, paces};
use super::server;
use crate::clock::Timestamp;
use crate::queue::row::take;
use crate::queue::row::tests::{start, wanted};
use crate::queue::{CallsWanted, Quota, RecipientsWanted, Reserved};

const SECOND: Duration = Duration::from_secs(1);

/// So many instances' connections to one new database.
async fn instances(count: usize) -> Vec<Connections> {
    let server = server::common();
    let settings = PostgresSettings::new(server.url(&server.database()).parse().unwrap());
    let mut instances = Vec::new();
    for _ in 0..count {
        let connections = Connections::new(&settings);
        connections.attach().await.unwrap();
        instances.push(connections);
    }
    instances
}

#[tokio::test]
async fn the_database_gives_the_same_places_as_the_store_in_memory() {
    let instances = instances(1).await;
    let mut rng = Rng::with_seed(7);
    for (number, per) in [SECOND / 10, SECOND, SECOND * 10, SECOND * 3_600].into_iter().enumerate()
    {
        let (mut last, mut now) = (None, start());
        for step in 0..60 {
            now += Duration::from_micros(rng.u64(..700_000));
            if step % 20 == 19 {
                now -= SECOND * 60;
            }
            let calls = *rng.choice([1, 3, 50, 2_000].iter()).unwrap();
            let account = format!("account {number}");
            let wanted = CallsWanted { account, now, ..wanted(calls, per, rng.u32(1..30)) };
            let (first, given) = take(&mut last, &wanted);
            let expected = crate::queue::row::places(&wanted, first, given);
            assert_eq!(paces::reserve_calls(&instances[0], &wanted).await.unwrap(), expected);
        }
    }
}

#[tokio::test]
async fn places_for_many_connections_are_disjoint_and_spaced() {
    let instances = instances(3).await;
    let mut asking = Vec::new();
    for number in 0..24_u32 {
        let connections = instances[number as usize % 3].clone();
        // Some ask for a moment that has passed when they get the row.
        let now = start() + Duration::from_millis(u64::from(number % 5));
        let wanted = CallsWanted { now, ..wanted(200, SECOND, number % 4 + 1) };
        asking.push(tokio::spawn(async move {
            paces::reserve_calls(&connections, &wanted).await.unwrap().taken
        }));
    }
    let mut taken: Vec<Timestamp> = Vec::new();
    for asking in asking {
        taken.extend(asking.await.unwrap());
    }
    assert_eq!(taken.len(), 60);
    taken.sort();
    let interval = wanted(200, SECOND, 1).interval();
    for pair in taken.windows(2) {
        assert!(pair[1].duration_since(pair[0]).unsigned_abs() >= interval, "{pair:?}");
    }
}

#[tokio::test]
async fn a_quota_is_never_exceeded_by_all_together() {
    let instances = instances(3).await;
    let wanted = |recipients| RecipientsWanted {
        provider: "resend".to_owned(),
        quotas: vec![Quota { from_hour: 96, limit: 50 }, Quota { from_hour: 0, limit: 60 }],
        recipients,
        hour: 100,
    };
    // Of earlier in the month; of another provider nothing counts.
    let past = RecipientsWanted { hour: 20, quotas: Vec::new(), ..wanted(7) };
    assert_eq!(paces::reserve_recipients(&instances[0], &past).await.unwrap(), Reserved::Yes);
    let other = RecipientsWanted { provider: "ses".to_owned(), ..past };
    assert_eq!(paces::reserve_recipients(&instances[1], &other).await.unwrap(), Reserved::Yes);
    let mut asking = Vec::new();
    for number in 0..40 {
        let (connections, wanted) = (instances[number % 3].clone(), wanted(3));
        asking.push(tokio::spawn(async move {
            paces::reserve_recipients(&connections, &wanted).await.unwrap()
        }));
    }
    let mut served = 0;
    for asking in asking {
        served += usize::from(asking.await.unwrap() == Reserved::Yes);
    }
    assert_eq!(served, 16, "48 of 50 by the day");
    paces::return_recipients(&instances[2], "resend", 100, 5).await.unwrap();
    assert_eq!(paces::reserve_recipients(&instances[0], &wanted(8)).await.unwrap(), Reserved::Full);
    assert_eq!(paces::reserve_recipients(&instances[0], &wanted(7)).await.unwrap(), Reserved::Yes);
    let more = RecipientsWanted { hour: 140, ..wanted(4) };
    let quotas = vec![Quota { from_hour: 120, limit: 50 }, Quota { from_hour: 0, limit: 60 }];
    let next_day = RecipientsWanted { quotas, ..more };
    let of_month = paces::reserve_recipients(&instances[1], &next_day).await.unwrap();
    assert_eq!(of_month, Reserved::Full, "50 and 7 of this month's 60");
    let rows = instances[0].get().await.unwrap();
    let rows = rows.query("SELECT provider FROM quotas", &[]).await.unwrap();
    let names: BTreeSet<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(names, BTreeSet::from(["resend".to_owned(), "ses".to_owned()]));
}
