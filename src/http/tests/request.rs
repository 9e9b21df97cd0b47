//! `GET /api/v1/messages/{id}/request`.

use bytes::Bytes;
use serde_json::json;

use super::sample;
use super::{FakeStore, Running, Setup};
use crate::message::QueueId;

async fn server() -> (QueueId, QueueId, Running) {
    let (kept, gone) = (sample::failed(), sample::failed());
    let ids = (kept.summary.id, gone.summary.id);
    let content = Bytes::from_static(b"From: a@x.org\r\nTo: ada@example.org\r\n\r\nhi\r\n");
    let store = FakeStore {
        messages: vec![kept, gone],
        contents: vec![(ids.0, content)],
        ..FakeStore::default()
    };
    (ids.0, ids.1, Setup { store, ..Setup::default() }.start().await)
}

#[tokio::test]
async fn the_provider_of_the_last_attempt_is_shown_unless_another_is_named() {
    let (id, _, server) = server().await;
    let shown = async |query: &str| {
        let answer = server.get(&format!("/api/v1/messages/{id}/request{query}")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    // These providers make no requests; what they are called and what is said of them is all there is.
    assert_eq!(shown("").await["provider"], json!("resend"));
    assert_eq!(shown("?provider=").await["provider"], json!("resend"));
    let other = shown("?provider=ses").await;
    assert_eq!((&other["provider"], &other["exact"]), (&json!("ses"), &json!(false)));
    assert_eq!(other["calls"], json!([]));
    let note = other["note"].as_str().unwrap();
    assert!(note.contains("has not been asked") && note.contains("there is no request"), "{note}");
}

#[tokio::test]
async fn what_cannot_be_shown_is_told_with_its_reason() {
    let (id, gone, server) = server().await;
    let nobody = QueueId::new(sample::now());
    for (path, status, code) in [
        (format!("{nobody}/request"), 404, "not_found"),
        ("x/request".to_owned(), 404, "not_found"),
        (format!("{gone}/request"), 410, "content_gone"),
        (format!("{id}/request?provider=pigeon"), 404, "unknown_provider"),
        (format!("{id}/request?providers=ses"), 400, "invalid_query"),
        (format!("{id}/request?provider=a&provider=b"), 400, "invalid_query"),
        (format!("{id}/request?provider={}", "a".repeat(201)), 400, "invalid_query"),
    ] {
        let answer = server.get(&format!("/api/v1/messages/{path}")).await;
        assert_eq!((answer.status, answer.code()), (status, code.to_owned()), "{path}");
    }
}
