//! Requests that are shown, and what is said of them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;

use super::scripted::{Scripted, World, rules, settings};
use crate::delivery::{Note, Settings, ShownCall, ShownRequest};
use crate::message::QueueId;
use crate::provider::Shown;
use crate::queue::{Retry, State, Store};

async fn notes(world: &World, id: QueueId) -> Vec<Note> {
    let details = world.show(id).await;
    let content = world.store.content(id).await.unwrap().unwrap();
    world.delivery.show_request(&details, content, None).await.unwrap().notes
}

fn request(notes: Vec<Note>) -> ShownRequest {
    let request = Shown {
        method: "POST".to_owned(),
        url: "https://example.org/".to_owned(),
        headers: Vec::new(),
        body: Bytes::new(),
        content_type: "text/plain".to_owned(),
        varies: None,
    };
    let calls = vec![ShownCall { request, recipients: Vec::new() }];
    ShownRequest { provider: "resend".to_owned(), calls, notes }
}

#[test]
fn what_may_have_been_otherwise_is_not_exact() {
    assert!(request(vec![Note::More]).is_exact());
    for note in [Note::Batch, Note::Recipients, Note::NotAsked] {
        assert!(!request(vec![note.clone()]).is_exact(), "{note}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_have_been_in_a_batch_is_told() {
    // One call, and several of one message.
    let many: &[&str] = &["a@example.net", "b@example.net", "c@example.net"];
    for recipients in [&many[..1], many] {
        for (calls_max, own_max, told) in [(10, 100, true), (10, 1, false)] {
            let provider = Arc::new(Scripted::with_batches(calls_max));
            let batch_max = NonZeroUsize::new(own_max).unwrap();
            let settings = Settings { batch_max, ..settings(&[("resend", &provider)], rules()) };
            let world = World::with(settings);
            let id = world.submit(recipients).await;
            world.until(id, State::Delivered).await;
            let notes = notes(&world, id).await;
            assert_eq!(notes.contains(&Note::Batch), told, "{notes:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_whose_recipients_were_changed_says_so() {
    let bob = "bob@example.net";
    for named in [bob, "eve@example.net"] {
        let provider = Arc::new(Scripted::new());
        let world = World::new(&[("resend", &provider)]);
        let id = world.submit(&[bob]).await;
        world.until(id, State::Delivered).await;
        assert!(!notes(&world, id).await.contains(&Note::Recipients));
        let retry = Retry { recipients: vec![named.parse().unwrap()], ..Retry::default() };
        world.store.retry(id, retry, world.clock.now()).await.unwrap();
        assert!(notes(&world, id).await.contains(&Note::Recipients), "{named}: it waits");
        world.delivery.wake();
        world.until(id, State::Delivered).await;
        assert!(notes(&world, id).await.contains(&Note::Recipients), "{named}: it is sent");
    }
}

#[tokio::test(start_paused = true)]
async fn recipients_with_calls_of_their_own_are_in_the_record() {
    let provider = Arc::new(Scripted::new());
    let world = World::new(&[("resend", &provider)]);
    let id = world.submit(&["a@example.net", "b@example.net", "c@example.net"]).await;
    world.until(id, State::Delivered).await;
    let notes = notes(&world, id).await;
    assert!(!notes.contains(&Note::Recipients), "{notes:?}");
}
