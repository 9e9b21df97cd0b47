//! Messages that are handed in as JSON.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::client::{Answer, ask};
use super::store::{FakeStore, Fault};
use super::{Running, Setup};
use crate::queue::{Filter, MemoryStore, Store};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A server over an empty queue.
async fn scene() -> (Running, Arc<dyn Store>) {
    let queue: Arc<dyn Store> = Arc::new(MemoryStore::new(10));
    (Setup { queue: Some(Arc::clone(&queue)), ..Setup::default() }.start().await, queue)
}

impl Running {
    async fn submit(&self, headers: &[(&str, &str)], body: &Value) -> Answer {
        let headers = [&[JSON], headers].concat();
        self.post("/api/v1/messages", &headers, body.to_string().as_bytes()).await
    }
}

fn letter() -> Value {
    json!({
        "to": "ada@example.org", "cc": ["bob@example.org"], "bcc": "carol@example.org",
        "subject": "안녕", "text": "Hello",
        "headers": { "X-Campaign": "spring" },
    })
}

async fn count(queue: &Arc<dyn Store>) -> usize {
    queue.list(Filter { limit: 50, ..Filter::default() }).await.unwrap().messages.len()
}

#[tokio::test]
async fn a_message_is_in_the_queue_when_it_is_answered() {
    let (server, queue) = scene().await;
    let answer = server.submit(&[], &letter()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    let id = answer.json()["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.json(), json!({ "id": id, "state": "queued" }));
    let place = format!("/api/v1/messages/{id}");
    assert_eq!(answer.header("location"), Some(place.as_str()));
    assert_eq!(answer.header("idempotent-replayed"), None);

    let shown = server.get(&place).await.json();
    assert_eq!((&shown["subject"], &shown["from"]), (&json!("안녕"), &json!("app@example.org")));
    let addresses: Vec<_> = shown["recipients"].as_array().unwrap().iter().collect();
    assert_eq!(addresses.len(), 3);
    let raw = queue.content(id.parse().unwrap()).await.unwrap().unwrap();
    let raw = String::from_utf8(raw.to_vec()).unwrap();
    assert!(raw.contains("\r\nCc: <bob@example.org>\r\n"), "{raw}");
    assert!(raw.contains("\r\nX-Campaign: spring\r\n"), "{raw}");
    assert!(!raw.contains("carol"), "{raw}");
}

#[tokio::test]
async fn a_repeat_under_the_same_key_is_the_same_message() {
    let (server, queue) = scene().await;
    let key = [("Idempotency-Key", "order 17")];
    let first = server.submit(&key, &letter()).await;
    let again = server.submit(&key, &letter()).await;
    assert_eq!((first.status, again.status), (202, 202), "{}", again.text());
    assert_eq!(first.json(), again.json());
    assert_eq!(first.header("location"), again.header("location"));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(count(&queue).await, 1);

    let mut other = letter();
    other["subject"] = json!("Bye");
    let answer = server.submit(&key, &other).await;
    assert_eq!((answer.status, answer.code()), (409, "idempotency_key_reused".to_owned()));
    let answer = server.submit(&[("Idempotency-Key", "order 18")], &letter()).await;
    assert_eq!((answer.status, count(&queue).await), (202, 2));
}

#[tokio::test]
async fn what_cannot_be_sent_is_refused_and_not_kept() {
    let (server, queue) = scene().await;
    let with = |field: &str, value: Value| {
        let mut body = letter();
        body[field] = value;
        body
    };
    let many: Vec<_> = (0..4).map(|n| format!("a{n}@example.org")).collect();
    for (body, status, code, words) in [
        (json!([]), 400, "invalid_field", "object"),
        (with("body", json!("x")), 400, "unknown_field", "\"body\""),
        (with("to", json!(many)), 400, "invalid_field", "smtp.max_recipients is 3"),
        (with("headers", json!({ "Bcc": "eve@evil.org" })), 400, "invalid_message", "Bcc"),
        (with("headers", json!({ "Received": "x" })), 400, "invalid_message", "on the way"),
        (with("headers", json!({ "X: a\r\nBcc": "x" })), 400, "invalid_message", "name"),
        (with("headers", json!({ "X-A": "x\r\nBcc: e" })), 400, "invalid_message", "line breaks"),
        (with("text", json!("x".repeat(1 << 20))), 413, "payload_too_large", "max_message_size"),
        (with("text", json!("x".repeat(2 << 20))), 413, "payload_too_large", "KiB"),
    ] {
        let answer = server.submit(&[], &body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code), "{}", answer.text());
        assert!(answer.message().contains(words), "{}", answer.message());
    }
    let long = "k".repeat(256);
    for key in ["", "schlüssel", long.as_str()] {
        let answer = server.submit(&[("Idempotency-Key", key)], &letter()).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_idempotency_key".to_owned()));
    }
    let answer = server.post("/api/v1/messages", &[], b"{}").await;
    assert_eq!((answer.status, answer.code()), (415, "unsupported_media_type".to_owned()));
    assert_eq!(count(&queue).await, 0);
}

#[tokio::test]
async fn a_full_queue_says_so() {
    let queue: Arc<dyn Store> = Arc::new(MemoryStore::new(0));
    let server = Setup { queue: Some(queue), ..Setup::default() }.start().await;
    let answer = server.submit(&[], &letter()).await;
    assert_eq!((answer.status, answer.code()), (503, "queue_full".to_owned()));
}

#[tokio::test]
async fn without_a_queue_the_provider_answers_and_no_key_is_taken() {
    let server = Setup::default().start().await;
    let answer = server.submit(&[], &letter()).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("delivered")));
    let answer = server.submit(&[("Idempotency-Key", "a")], &letter()).await;
    assert_eq!((answer.status, answer.code()), (400, "idempotency_key_unsupported".to_owned()));
    let nobody = Setup { providers: &[], ..Setup::default() }.start().await;
    let answer = nobody.submit(&[], &letter()).await;
    assert_eq!((answer.status, answer.code()), (502, "not_sent".to_owned()));
}

#[tokio::test]
async fn strangers_and_other_sites_hand_nothing_in() {
    let queue: Arc<dyn Store> = Arc::new(MemoryStore::new(10));
    let setup = Setup { token: "s3cret", queue: Some(Arc::clone(&queue)), ..Setup::default() };
    let server = setup.start().await;
    let answer = server.submit(&[], &letter()).await;
    assert_eq!((answer.status, answer.code()), (401, "unauthorized".to_owned()));
    let right = ("Authorization", "Bearer s3cret");
    let answer = server.submit(&[right, ("Origin", "https://evil.example")], &letter()).await;
    assert_eq!((answer.status, answer.code()), (403, "cross_site".to_owned()));
    assert_eq!(count(&queue).await, 0);
    assert_eq!(server.submit(&[right], &letter()).await.status, 202);
}

/// Large messages are in memory until the queue has them, whether or not their callers wait for that.
#[tokio::test]
async fn a_large_message_has_its_place_until_the_queue_has_it() {
    let silent = FakeStore { fault: Fault::Silent, ..FakeStore::default() };
    let mut inserts = silent.inserts.subscribe();
    let queue: Option<Arc<dyn Store>> = Some(Arc::new(silent));
    let server = Setup { queue, ..Setup::default() }.start().await;
    let mut large = letter();
    large["text"] = json!("x".repeat(300 * 1024));
    let large = large.to_string();
    let mut callers = JoinSet::new();
    for _ in 0..2 {
        let (address, body) = (server.address, large.clone());
        callers.spawn(async move {
            ask(address, "POST", "/api/v1/messages", &[JSON], body.as_bytes()).await
        });
    }
    let both = timeout(Duration::from_secs(60), inserts.wait_for(|inserts| *inserts == 2));
    drop(both.await.expect("both are given to the queue").unwrap());
    let length = ("Content-Length", "300000");
    let answer = server.post("/api/v1/messages", &[JSON, length], b"").await;
    assert_eq!((answer.status, answer.code()), (429, "too_many_requests".to_owned()));
    // The callers go. What they have handed over stays, and so does its place.
    callers.shutdown().await;
    let answer = server.post("/api/v1/messages", &[JSON, length], b"").await;
    assert_eq!((answer.status, answer.code()), (429, "too_many_requests".to_owned()));
}
