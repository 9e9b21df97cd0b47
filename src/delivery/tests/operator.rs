//! What an operator's retry means for the calls.

use std::sync::Arc;

use super::scripted::{Scripted, World};
use crate::message::{Address, QueueId};
use crate::provider::Verdict;
use crate::queue::{RecipientState, Retry, State, Store as _};

fn to(addresses: &[&str]) -> Vec<Address> {
    addresses.iter().map(|address| address.parse().unwrap()).collect()
}

async fn retry(world: &World, id: QueueId, retry: Retry) {
    world.store.retry(id, retry, world.clock.now()).await.unwrap();
    world.delivery.wake();
}

#[tokio::test(start_paused = true)]
async fn who_has_the_message_gets_it_anew_and_not_as_a_repeat() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(&["bob@example.net", "cy@example.net"]).await;
    world.until(id, State::Delivered).await;
    let first: Vec<_> = provider.seen().into_iter().map(|seen| seen.key).collect();

    for times in 1..=2 {
        let retry_of_bob = Retry { recipients: to(&["bob@EXAMPLE.net"]), ..Retry::default() };
        retry(&world, id, retry_of_bob).await;
        world.until(id, State::Delivered).await;
        let seen = provider.seen();
        assert_eq!(seen.len(), first.len() + times, "cy is left alone");
        let last = seen.last().unwrap();
        assert_eq!(last.recipients, ["bob@example.net"]);
        let earlier = seen.iter().filter(|seen| seen.key == last.key).count();
        assert_eq!(earlier, 1, "the provider would take it for a repeat: {}", last.key);
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_not_got_it_is_tried_again_under_the_same_key() {
    let provider = Arc::new(Scripted::new().answers([Err(Verdict::Rejected)]));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(&["bob@example.net"]).await;
    world.until(id, State::Failed).await;
    retry(&world, id, Retry { recipients: to(&["bob@example.net"]), ..Retry::default() }).await;
    world.until(id, State::Delivered).await;
    let seen = provider.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].key, seen[1].key);
}

#[tokio::test(start_paused = true)]
async fn a_corrected_address_gets_it_and_the_wrong_one_nothing_more() {
    let provider = Arc::new(Scripted::new().answers([Err(Verdict::Rejected)]));
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(&["bob@exmaple.net"]).await;
    world.until(id, State::Failed).await;
    retry(&world, id, Retry { recipients: to(&["bob@example.net"]), ..Retry::default() }).await;
    let details = world.until(id, State::Delivered).await;
    let seen = provider.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[1].recipients, ["bob@example.net"]);
    let states: Vec<_> = details.summary.recipients.iter().map(|r| r.state).collect();
    assert_eq!(states, [RecipientState::Cancelled, RecipientState::Delivered]);
    assert!(details.summary.recipients[0].reason.is_some(), "why the old one failed stays");
}

#[tokio::test(start_paused = true)]
async fn a_retry_by_another_provider_goes_to_no_other() {
    let refusing = Arc::new(Scripted::new().always(Err(Verdict::Rejected)));
    let second = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &refusing), ("ses", &second)]);
    let id = world.submit(&["bob@example.net"]).await;
    world.until(id, State::Failed).await;
    retry(&world, id, Retry { provider: Some("ses".to_owned()), ..Retry::default() }).await;
    world.until(id, State::Delivered).await;
    assert_eq!((refusing.seen().len(), second.seen().len()), (1, 1));
}
