//! Who has its turn when more waits than a claim may bring.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::*;
use crate::queue::{Turn, WayKey};

/// A message of this user, due at `at(seconds)`.
fn of(user: &str, seconds: i64) -> Message {
    Message { user: Some(user.to_owned()), ..message(seconds) }
}

fn bulk(user: &str, seconds: i64) -> Message {
    let mut letter = of(user, seconds);
    letter.index.bulk = true;
    letter
}

fn way(name: &str) -> WayKey {
    WayKey::new(name, 1)
}

async fn add(store: &dyn Store, message: Message, way: &WayKey) -> QueueId {
    let entry = Entry { way: way.clone(), ..Entry::waiting(Arc::new(message)) };
    let id = entry.message.id;
    store.insert(entry).await.unwrap();
    id
}

/// Claims so many messages, of whatever way, and returns their users.
async fn users(store: &dyn Store, messages: usize) -> Vec<String> {
    let claims = store.claim(up_to(messages), at(10_000), lease(20_000)).await.unwrap();
    claims.iter().map(|claim| claim.message.user.clone().unwrap()).collect()
}

async fn ids(store: &dyn Store, portion: Portion) -> Vec<QueueId> {
    let claims = store.claim(portion, at(10_000), lease(20_000)).await.unwrap();
    claims.iter().map(|claim| claim.message.id).collect()
}

fn only(ways: &[(&WayKey, usize)], others: usize) -> Portion {
    let ways: BTreeMap<_, _> = ways.iter().map(|(way, room)| ((*way).clone(), *room)).collect();
    Portion { ways, ..up_to(others) }
}

pub(in crate::queue) async fn one_sender_does_not_hold_up_another(open: Open) {
    let store = open(ROOMY).await;
    for n in 0..300 {
        add(&*store, of("flood", n), &way("default")).await;
    }
    let verification = add(&*store, of("shop", 900), &way("default")).await;
    let second = add(&*store, of("shop", 901), &way("default")).await;
    let claims = ids(&*store, up_to(4)).await;
    assert!(claims.contains(&verification), "it does not wait for the 300");
    assert!(claims.contains(&second), "each has every second turn");
    assert_eq!(users(&*store, 4).await, ["flood"; 4], "nobody else waits");
}

pub(in crate::queue) async fn of_one_sender_the_longest_due_comes_first(open: Open) {
    let store = open(ROOMY).await;
    let mut expected = Vec::new();
    for n in [30, 10, 20, 10] {
        expected.push((n, add(&*store, of("shop", n), &way("default")).await));
    }
    expected.sort();
    let expected: Vec<_> = expected.into_iter().map(|(_, id)| id).collect();
    assert_eq!(ids(&*store, up_to(3)).await, expected[..3]);
    assert_eq!(ids(&*store, up_to(3)).await, expected[3..]);
}

pub(in crate::queue) async fn every_sender_has_its_turn_however_small_the_claims(open: Open) {
    let store = open(ROOMY).await;
    let senders: Vec<String> = (0..50).map(|n| format!("user-{n}")).collect();
    for sender in &senders {
        for n in 0..10 {
            add(&*store, of(sender, n), &way("default")).await;
        }
    }
    let shares = senders.iter().map(|user| Turn::of(&of(user, 0)).share);
    let shares: BTreeSet<u16> = shares.collect();
    let mut served = BTreeMap::new();
    for _ in 0..shares.len() {
        for user in users(&*store, 1).await {
            *served.entry(Turn::of(&of(&user, 0)).share).or_insert(0) += 1;
        }
    }
    assert_eq!(served.len(), shares.len(), "those at the end are not forgotten");
    assert!(served.values().all(|turns| *turns == 1), "{served:?}");
}

pub(in crate::queue) async fn bulk_mail_comes_last_but_gets_a_small_part(open: Open) {
    let store = open(ROOMY).await;
    for n in 0..40 {
        add(&*store, bulk("list", n), &way("default")).await;
    }
    for n in 0..64 {
        add(&*store, of("shop", 500 + n), &way("default")).await;
    }
    let first = users(&*store, 15).await;
    assert!(first.iter().all(|user| user == "shop"), "{first:?}");
    let mut next = Vec::new();
    for _ in 0..16 {
        next.extend(users(&*store, 1).await);
    }
    assert_eq!(next.iter().filter(|user| *user == "list").count(), 1, "{next:?}");
    let rest = users(&*store, 73).await;
    let (shop, list): (Vec<_>, Vec<_>) = rest.iter().partition(|user| *user == "shop");
    assert_eq!((shop.len(), list.len()), (34, 39), "alone, it has all the room");
}

pub(in crate::queue) async fn what_is_not_due_costs_no_turn(open: Open) {
    let store = open(ROOMY).await;
    for n in 0..20 {
        add(&*store, of(&format!("later-{n}"), 90_000), &way("default")).await;
    }
    let due = add(&*store, of("shop", 5), &way("default")).await;
    assert_eq!(ids(&*store, up_to(5)).await, [due]);
    assert_eq!(store.next_due(&up_to(5)).await.unwrap(), Some(at(20_000)), "its lease");
    let nobody = only(&[(&way("default"), 0)], 5);
    assert_eq!(store.next_due(&nobody).await.unwrap(), None);
}

pub(in crate::queue) async fn a_closed_way_is_left_alone(open: Open) {
    let store = open(ROOMY).await;
    let (up, down) = (way("up"), way("down"));
    for n in 0..600 {
        add(&*store, of("shop", n), &down).await;
    }
    let wanted = add(&*store, of("shop", 700), &up).await;
    let stranger = add(&*store, of("shop", 701), &WayKey::default()).await;
    let portion = only(&[(&up, 9), (&down, 0)], 9);
    assert_eq!(store.next_due(&portion).await.unwrap(), Some(at(700)));
    let mut claims = ids(&*store, portion.clone()).await;
    claims.sort();
    assert_eq!(claims, [wanted, stranger]);
    assert_eq!(store.next_due(&portion).await.unwrap(), Some(at(20_000)), "their leases");
    assert_eq!(store.counts().await.unwrap().queued, 600);
    assert_eq!(ids(&*store, only(&[(&down, 2)], 0)).await.len(), 2, "until it opens");
}

pub(in crate::queue) async fn each_way_has_room_of_its_own(open: Open) {
    let store = open(ROOMY).await;
    let ways = [way("a"), way("b"), way("c"), way("d")];
    for (n, way) in (0..40).zip(ways.iter().cycle()) {
        add(&*store, of("shop", n), way).await;
    }
    let portion = only(&[(&ways[0], 3), (&ways[1], 1)], 5);
    let claims = store.claim(portion, at(10_000), lease(20_000)).await.unwrap();
    let mut by_way = BTreeMap::new();
    for claim in &claims {
        let way = summary(&*store, claim.message.id).await.way;
        *by_way.entry(way.name().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(by_way.get("a"), Some(&3));
    assert_eq!(by_way.get("b"), Some(&1));
    assert_eq!(claims.len(), 9, "the others share theirs");
}

pub(in crate::queue) async fn ways_take_turns_when_octets_are_short(open: Open) {
    let store = open(ROOMY).await;
    let ways = [way("a"), way("b"), way("c")];
    for (n, way) in (0..30).zip(ways.iter().cycle()) {
        let letter = Message { raw: Bytes::from(vec![b'x'; 600]), ..of("shop", n) };
        add(&*store, letter, way).await;
    }
    let mut served = BTreeSet::new();
    for _ in 0..3 {
        let portion = Portion { bytes: 1_000, ..up_to(10) };
        let claims = ids(&*store, portion).await;
        assert_eq!(claims.len(), 1);
        served.insert(summary(&*store, claims[0]).await.way);
    }
    assert_eq!(served.len(), 3, "{served:?}");
}

pub(in crate::queue) async fn a_lease_that_ran_out_in_a_closed_way_waits_for_it(open: Open) {
    let store = open(ROOMY).await;
    let down = way("down");
    let message = Arc::new(of("shop", 0));
    let entry = Entry { way: down.clone(), ..Entry::held(Arc::clone(&message), lease(60)) };
    store.insert(entry).await.unwrap();
    let without = only(&[(&down, 0)], 9);
    assert_eq!(store.next_due(&without).await.unwrap(), None);
    assert_eq!(ids(&*store, without).await, []);
    assert_eq!(store.next_due(&up_to(9)).await.unwrap(), Some(at(60)));
    assert_eq!(ids(&*store, up_to(9)).await, [message.id]);
}

pub(in crate::queue) async fn a_settlement_may_change_the_way(open: Open) {
    let store = open(ROOMY).await;
    let (first, second) = (way("first"), way("second"));
    let id = add(&*store, of("shop", 0), &first).await;
    assert_eq!(summary(&*store, id).await.way, first);
    for expected in [&first, &second] {
        let claim = claim_one(&*store, 10_000).await;
        let next = Next::Queue { due: at(1), error: None, deferred: false };
        let settled = settlement(&claim, next, 1);
        let changed = (expected == &second).then(|| second.clone());
        store.settle(Settlement { way: changed, ..settled }).await.unwrap();
        assert_eq!(summary(&*store, id).await.way, *expected);
    }
    assert_eq!(ids(&*store, only(&[(&second, 1)], 0)).await, [id]);
}

pub(in crate::queue) async fn very_many_senders_are_all_served_in_the_end(open: Open) {
    let store = open(ROOMY).await;
    let ways = [way("a"), way("b"), way("c")];
    // Nine of ten are not due yet: the walk has to pass them.
    let seconds = |n: usize| if n.is_multiple_of(10) { 5 } else { 50_000 };
    let inserts = (0..6_000).map(|n| {
        let store = Arc::clone(&store.store);
        let (letter, way) = (of(&format!("user-{n}"), seconds(n)), ways[n % 3].clone());
        tokio::spawn(async move { add(&*store, letter, &way).await })
    });
    let mut waiting = BTreeSet::new();
    for (insert, n) in inserts.collect::<Vec<_>>().into_iter().zip(0..) {
        let id = insert.await.unwrap();
        if seconds(n) == 5 {
            waiting.insert(id);
        }
    }
    for _ in 0..40 {
        for id in ids(&*store, up_to(50)).await {
            assert!(waiting.remove(&id), "only what is due, and once");
        }
    }
    assert!(waiting.is_empty(), "{} are left", waiting.len());
}
