//! Addresses that get no mail.

use std::sync::Arc;

use fastrand::Rng;

use super::scripted::{Scripted, World, rules, settings, submission};
use crate::delivery::{Cause, Delivery};
use crate::queue::{
    MemoryStore, RecipientState, Retry, State, Store, Suppression, SuppressionReason,
};

const BOB: &str = "bob@example.net";
const EVE: &str = "eve@example.net";

async fn suppress(store: &dyn Store, address: &str) {
    let entry = Suppression {
        address: address.parse().unwrap(),
        reason: SuppressionReason::Bounced,
        note: Some("550 no such user".to_owned()),
        since: "2026-11-20T00:00:00Z".parse().unwrap(),
    };
    store.suppressions().add(entry).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_to_nobody_but_them_ends_failed_and_nobody_is_asked() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, BOB).await;
    let id = world.submit(&["bob@Example.NET"]).await;
    let details = world.until(id, State::Failed).await;
    assert_eq!(provider.seen(), []);
    assert!(details.attempts.is_empty());
    let recipient = &details.summary.recipients[0];
    assert_eq!(recipient.state, RecipientState::Suppressed);
    let reason = "on the suppression list (bounced: 550 no such user)";
    assert_eq!(recipient.reason.as_deref(), Some(reason));
    let error = details.summary.error.unwrap();
    assert!(error.starts_with("not sent: ") && error.contains(reason), "{error}");

    // A retry looks again.
    let now = world.clock.now();
    world.store.retry(id, Retry::default(), now).await.unwrap();
    world.delivery.wake();
    world.until(id, State::Failed).await;
    assert_eq!(provider.seen(), []);
    world.store.suppressions().remove(&BOB.parse().unwrap()).await.unwrap();
    world.store.retry(id, Retry::default(), now).await.unwrap();
    world.delivery.wake();
    world.until(id, State::Delivered).await;
    assert_eq!(provider.seen().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_others_get_it_and_decide_how_it_ends() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, EVE).await;
    let id = world.submit(&[BOB, EVE]).await;
    let details = world.until(id, State::Delivered).await;
    let states: Vec<_> = details.summary.recipients.iter().map(|it| it.state).collect();
    assert_eq!(states, [RecipientState::Delivered, RecipientState::Suppressed]);
    let asked: Vec<_> = provider.seen().into_iter().flat_map(|call| call.recipients).collect();
    assert_eq!(asked, [BOB]);
}

#[tokio::test(start_paused = true)]
async fn of_messages_that_could_travel_together_theirs_stays_behind() {
    let provider = Arc::new(Scripted::with_batches(10));
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, EVE).await;
    let mut ids = Vec::new();
    for number in 0..20 {
        let friend = format!("friend{number}@example.net");
        let to = if number == 7 { EVE } else { &friend };
        ids.push((world.submit(&[to]).await, to == EVE));
    }
    for (id, suppressed) in ids {
        let state = if suppressed { State::Failed } else { State::Delivered };
        world.until(id, state).await;
    }
    let asked: Vec<_> = provider.seen().into_iter().flat_map(|call| call.recipients).collect();
    assert!(!asked.iter().any(|address| address == EVE), "{asked:?}");
}

#[tokio::test(start_paused = true)]
async fn a_test_mail_to_them_is_not_sent_and_that_is_told() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    suppress(&*world.store, BOB).await;
    let not_sent = world.delivery.send_now(submission(&[BOB]), None).await.unwrap_err();
    assert_eq!(not_sent.cause, Cause::Suppressed);
    assert!(not_sent.error.contains("suppression list"), "{}", not_sent.error);
    assert_eq!(world.show(not_sent.id.unwrap()).await.summary.state, State::Failed);
    assert_eq!(provider.seen(), []);
}

#[tokio::test(start_paused = true)]
async fn in_direct_mode_it_is_accepted_and_not_sent() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    let settings = settings(&[("resend", &provider)], rules());
    let clock = Arc::clone(&world.clock);
    let delivery = Delivery::new(settings, None, clock, Rng::with_seed(1));
    let list = Arc::new(MemoryStore::new(1));
    suppress(&*list, BOB).await;
    delivery.suppress_by(list);
    delivery.direct().accept(submission(&[BOB])).await.unwrap();
    assert_eq!(provider.seen(), []);
    delivery.direct().accept(submission(&[BOB, EVE])).await.unwrap();
    let asked: Vec<_> = provider.seen().into_iter().flat_map(|call| call.recipients).collect();
    assert_eq!(asked, [EVE]);
}
