//! Several stores on one database.

use std::collections::BTreeSet;

use super::*;
use crate::queue::conformance::attempt;
use crate::queue::{Outcome, StoreError};

async fn stores(database: &str, count: usize) -> Vec<Arc<PostgresStore>> {
    let mut stores = Vec::new();
    for _ in 0..count {
        stores.push(Arc::new(PostgresStore::open(settings(database, ROOMY)).await.unwrap()));
    }
    stores
}

#[tokio::test]
async fn several_share_one_senders_backlog_without_doubles_and_none_starves() {
    let Some(server) = server() else { return };
    let database = server.database();
    let stores = stores(&database, 3).await;
    let inserting = (0..600).map(|n| {
        let store = Arc::clone(&stores[n % 3]);
        tokio::spawn(async move { queued(&*store, i64::try_from(n).unwrap()).await })
    });
    let mut waiting = BTreeSet::new();
    for id in inserting.collect::<Vec<_>>() {
        waiting.insert(id.await.unwrap());
    }
    let claiming = stores.iter().map(|store| {
        let store = Arc::clone(store);
        tokio::spawn(async move {
            let mut own = Vec::new();
            let mut misses = 0;
            // What another one has in hand is passed over, so that one empty answer says little.
            while misses < 20 {
                let claims = store.claim(up_to(10), at(10_000), lease(20_000)).await.unwrap();
                misses = if claims.is_empty() { misses + 1 } else { 0 };
                own.extend(claims.iter().map(|claim| claim.message.id));
            }
            own
        })
    });
    let mut claimed = Vec::new();
    for own in claiming.collect::<Vec<_>>() {
        let own = own.await.unwrap();
        assert!(own.len() >= 30, "one of three has got {} of 600", own.len());
        claimed.extend(own);
    }
    assert_eq!(claimed.len(), 600, "each once");
    assert_eq!(claimed.into_iter().collect::<BTreeSet<_>>(), waiting);
}

#[tokio::test]
async fn what_another_one_has_taken_over_is_settled_by_that_one_alone() {
    let Some(server) = server() else { return };
    let database = server.database();
    let stores = stores(&database, 2).await;
    let id = queued(&*stores[0], 0).await;
    let named = |owner: &str, seconds| Lease { owner: owner.into(), expires: at(seconds) };
    let first = stores[0].claim(up_to(1), at(10), named("one", 20)).await.unwrap().remove(0);
    let owner = format!("SELECT lease_owner FROM messages WHERE id = '{id}'");
    assert_eq!(server.sql(&database, &owner), "one");
    assert!(stores[1].claim(up_to(1), at(15), named("two", 99)).await.unwrap().is_empty());
    let second = stores[1].claim(up_to(1), at(21), named("two", 99)).await.unwrap().remove(0);
    assert_eq!(server.sql(&database, &owner), "two");

    let start = Start {
        claims: vec![(id, first.lease)],
        provider: "ses".to_owned(),
        batch: None,
        at: at(22),
    };
    assert_eq!(stores[0].begin(start).await, Err(StoreError::LeaseLost(id)));
    let late = stores[0].settle(delivered(&first, "ses", 23)).await;
    assert_eq!(late, Err(StoreError::LeaseLost(id)));
    stores[1].settle(delivered(&second, "resend", 24)).await.unwrap();
    let details = stores[0].show(id).await.unwrap().unwrap();
    assert_eq!(details.summary.state, State::Delivered);
    assert_eq!(details.attempts.len(), 1, "the late one has written nothing");
}

#[tokio::test]
async fn those_who_come_together_share_a_commit() {
    let Some(server) = server() else { return };
    let database = server.database();
    let store = stores(&database, 1).await.remove(0);
    let inserting = (0..300).map(|n| {
        let store = Arc::clone(&store);
        tokio::spawn(async move { queued(&*store, n).await })
    });
    for done in inserting.collect::<Vec<_>>() {
        done.await.unwrap();
    }
    let commits = server.sql(&database, "SELECT count(DISTINCT xmin::text) FROM messages");
    assert!(commits.parse::<u32>().unwrap() < 100, "{commits} commits for 300 messages");

    let claims = store.claim(up_to(300), at(1_000), lease(2_000)).await.unwrap();
    assert_eq!(claims.len(), 300);
    let settlements = claims.iter().map(|claim| delivered(claim, "ses", 1_001)).collect();
    let answers = store.settle_all(settlements).await.unwrap();
    assert!(answers.len() == 300 && answers.iter().all(Result::is_ok));
    let commits = server.sql(&database, "SELECT count(DISTINCT xmin::text) FROM messages");
    assert_eq!(commits, "1", "a group is settled at once");
}

#[tokio::test]
async fn a_list_of_settlements_may_name_a_message_twice() {
    let Some(server) = server() else { return };
    let store = stores(&server.database(), 1).await.remove(0);
    queued(&*store, 0).await;
    let claim = claim_one(&*store, 10).await;
    let on_its_way = settlement(&claim, Next::Continue, 11);
    let list = vec![on_its_way.clone(), delivered(&claim, "ses", 12), on_its_way];
    let id = claim.message.id;
    let answers = store.settle_all(list).await.unwrap();
    assert_eq!(answers, [Ok(()), Ok(()), Err(StoreError::LeaseLost(id))]);
}

#[tokio::test]
async fn an_outcome_that_is_written_once_more_is_recorded_once() {
    let Some(server) = server() else { return };
    let store = stores(&server.database(), 1).await.remove(0);
    let id = queued(&*store, 0).await;
    let claim = claim_one(&*store, 10).await;
    // After a commit of which nobody knows whether it went through.
    for _ in 0..2 {
        let attempts = vec![attempt("resend", Outcome::Delivered, 11)];
        let goes_on = Settlement { attempts, ..settlement(&claim, Next::Continue, 11) };
        store.settle(goes_on).await.unwrap();
    }
    store.settle(delivered(&claim, "resend", 12)).await.unwrap();
    assert_eq!(store.show(id).await.unwrap().unwrap().attempts.len(), 2);
}
