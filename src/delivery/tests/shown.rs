//! Requests that are shown, and what is said of them.

use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;

use super::scripted::{Scripted, World, rules, settings};
use super::together::with_backlog;
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
    for note in [Note::Batch(None), Note::Batch(Some(2)), Note::Recipients, Note::NotAsked] {
        assert!(!request(vec![note.clone()]).is_exact(), "{note}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_in_a_batch_is_told() {
    // One call, and several of one message.
    let many: &[&str] = &["a@example.net", "b@example.net", "c@example.net"];
    for (recipients, together) in [(&many[..1], None), (many, Some(3))] {
        for (calls_max, own_max, together) in [(10, 100, together), (10, 1, None)] {
            let provider = Arc::new(Scripted::with_batches(calls_max));
            let batch_max = NonZeroUsize::new(own_max).unwrap();
            let settings = Settings { batch_max, ..settings(&[("resend", &provider)], rules()) };
            let world = World::with(settings);
            let id = world.submit(recipients).await;
            world.until(id, State::Delivered).await;
            let notes = notes(&world, id).await;
            let told = notes.iter().find(|note| matches!(note, Note::Batch(_)));
            assert_eq!(told, together.map(|it| Note::Batch(Some(it))).as_ref(), "{notes:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_that_went_in_one_request_say_with_how_many() {
    let provider = Arc::new(Scripted::with_batches(10));
    let (world, ids) = with_backlog(30, settings(&[("resend", &provider)], rules())).await;
    for id in ids {
        world.until(id, State::Delivered).await;
        assert!(notes(&world, id).await.contains(&Note::Batch(Some(10))));
    }
}

#[tokio::test(start_paused = true)]
async fn of_older_records_a_batch_is_not_known() {
    for (provider, told) in [(Scripted::with_batches(10), true), (Scripted::new(), false)] {
        let provider = Arc::new(provider);
        let world = World::new(&[("resend", &provider)]);
        let id = world.submit(&["a@example.net"]).await;
        world.until(id, State::Delivered).await;
        let mut details = world.show(id).await;
        details.attempts[0].together = None;
        let content = world.store.content(id).await.unwrap().unwrap();
        let shown = world.delivery.show_request(&details, content, None).await.unwrap();
        assert_eq!(shown.notes.contains(&Note::Batch(None)), told);
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
