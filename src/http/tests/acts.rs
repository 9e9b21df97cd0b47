//! Retry and cancellation, as a program asks for them.

use std::sync::{Arc, Mutex};

use serde_json::json;

use super::client::Answer;
use super::store::{Act, Fault};
use super::{FakeStore, Running, Setup, sample};
use crate::message::QueueId;
use crate::queue::{Retry, State, StoreError};

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// A server with one message, and what its store is asked to do.
struct Scene {
    server: Running,
    id: QueueId,
    acts: Arc<Mutex<Vec<Act>>>,
}

async fn scene_with(store: FakeStore, token: &'static str) -> Scene {
    let details = sample::failed();
    let id = details.summary.id;
    let acts = Arc::clone(&store.acts);
    let store = FakeStore { messages: vec![details], ..store };
    let server = Setup { store, token, ..Setup::default() }.start().await;
    Scene { server, id, acts }
}

async fn scene() -> Scene {
    scene_with(FakeStore::default(), "").await
}

impl Scene {
    async fn post(&self, what: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let path = format!("/api/v1/messages/{}/{what}", self.id);
        self.server.post(&path, headers, body.as_bytes()).await
    }

    fn acts(&self) -> Vec<Act> {
        self.acts.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_retry_is_answered_with_the_message() {
    let scene = scene().await;
    let answer = scene.post("retry", &[], "").await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let path = format!("/api/v1/messages/{}", scene.id);
    assert_eq!(answer.json(), scene.server.get(&path).await.json());
    assert_eq!(scene.acts(), [Act::Retry(scene.id, Retry::default())]);
}

#[tokio::test]
async fn a_retry_may_name_provider_and_recipients() {
    let scene = scene().await;
    let body =
        json!({ "provider": "ses", "recipients": ["bob@right.example", "bob@RIGHT.example"] });
    let answer = scene.post("retry", &[JSON], &body.to_string()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let retry = Retry {
        provider: Some("ses".to_owned()),
        recipients: vec!["bob@right.example".parse().unwrap()],
    };
    assert_eq!(scene.acts(), [Act::Retry(scene.id, retry)]);
}

#[tokio::test]
async fn a_cancellation_is_answered_with_the_message() {
    let scene = scene().await;
    for (headers, body) in [(&[][..], ""), (&[JSON], "{}")] {
        let answer = scene.post("cancel", headers, body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.json()["id"], json!(scene.id.to_string()));
    }
    assert_eq!(scene.acts(), [Act::Cancel(scene.id), Act::Cancel(scene.id)]);
    let counted = r#"mailferry_messages_finished_total{provider="resend",state="cancelled"} 2"#;
    let metrics = scene.server.get("/metrics").await;
    assert!(metrics.text().lines().any(|line| line == counted), "{}", metrics.text());
    let answer = scene.post("cancel", &[JSON], r#"{"recipients": ["ada@example.org"]}"#).await;
    assert_eq!((answer.status, answer.code()), (400, "unknown_field".to_owned()));
}

#[tokio::test]
async fn bad_input_is_told_and_nothing_is_done() {
    let scene = scene().await;
    for (body, code, words) in [
        ("{", "malformed_json", "not valid JSON"),
        (r#"{"provider": "sess"}"#, "invalid_field", "did you mean ses? configured: resend, ses"),
        (r#"{"recipients": ["bob"]}"#, "invalid_field", "\"bob\" is not an address"),
        (
            r#"{"recipients": ["a@x.org", "b@x.org", "c@x.org", "d@x.org"]}"#,
            "invalid_field",
            "smtp.max_recipients is 3",
        ),
    ] {
        let answer = scene.post("retry", &[JSON], body).await;
        assert_eq!((answer.status, answer.code()), (400, code.to_owned()), "{body}");
        assert!(answer.message().contains(words), "{body}: {}", answer.message());
    }
    let long = format!("{{\"provider\": \"{}\"}}", "x".repeat(600 * 1024));
    let answer = scene.post("retry", &[JSON], &long).await;
    assert_eq!((answer.status, answer.code()), (413, "payload_too_large".to_owned()));
    assert!(scene.acts().is_empty());
}

#[tokio::test]
async fn what_is_no_json_is_refused_even_when_it_is_empty() {
    let scene = scene().await;
    let form = ("Content-Type", "application/x-www-form-urlencoded");
    for what in ["retry", "cancel"] {
        for (headers, body) in [
            (&[form][..], ""),
            (&[form], "provider=ses"),
            (&[("Content-Type", "text/plain")], "{}"),
            (&[], "{}"),
        ] {
            let answer = scene.post(what, headers, body).await;
            let expected = (415, "unsupported_media_type".to_owned());
            assert_eq!((answer.status, answer.code()), expected, "{what} {headers:?}");
        }
    }
    assert!(scene.acts().is_empty());
}

#[tokio::test]
async fn a_refusal_of_the_store_has_its_status_and_hint() {
    let id = QueueId::new(sample::now());
    let wrong = StoreError::WrongState { id, state: State::Sending, hint: "wait for the outcome" };
    let gone = StoreError::ContentGone(id);
    for (refusal, status, code, words) in [
        (wrong, 409, "wrong_state", "is sending; wait for the outcome"),
        (gone, 410, "content_gone", "not kept any more"),
    ] {
        let store = FakeStore { refusal: Some(refusal), ..FakeStore::default() };
        let scene = scene_with(store, "").await;
        for what in ["retry", "cancel"] {
            let answer = scene.post(what, &[], "").await;
            assert_eq!((answer.status, answer.code()), (status, code.to_owned()));
            assert!(answer.message().contains(words), "{}", answer.message());
        }
    }
    let broken = FakeStore { fault: Fault::Broken, ..FakeStore::default() };
    let answer = scene_with(broken, "").await.post("retry", &[], "").await;
    assert_eq!((answer.status, answer.code()), (503, "store_unavailable".to_owned()));
}

#[tokio::test]
async fn who_is_not_known_is_not_found_and_get_does_nothing() {
    let scene = scene().await;
    let unknown = QueueId::new(sample::now()).to_string();
    for id in [unknown.as_str(), "17", "%ff"] {
        for what in ["retry", "cancel"] {
            let path = format!("/api/v1/messages/{id}/{what}");
            let answer = scene.server.post(&path, &[], b"").await;
            assert_eq!((answer.status, answer.code()), (404, "not_found".to_owned()), "{path}");
        }
    }
    for what in ["retry", "cancel"] {
        let answer = scene.server.get(&format!("/api/v1/messages/{}/{what}", scene.id)).await;
        assert_eq!((answer.status, answer.code()), (405, "method_not_allowed".to_owned()));
    }
    assert!(scene.acts().is_empty());
}

#[tokio::test]
async fn neither_strangers_nor_other_sites_act() {
    let scene = scene_with(FakeStore::default(), "s3cret").await;
    let right = ("Authorization", "Bearer s3cret");
    for what in ["retry", "cancel"] {
        let answer = scene.post(what, &[], "").await;
        assert_eq!((answer.status, answer.code()), (401, "unauthorized".to_owned()), "{what}");
        for foreign in [("Sec-Fetch-Site", "cross-site"), ("Origin", "https://evil.example")] {
            let answer = scene.post(what, &[right, foreign], "").await;
            assert_eq!((answer.status, answer.code()), (403, "cross_site".to_owned()), "{what}");
        }
    }
    assert!(scene.acts().is_empty());
    assert_eq!(scene.post("retry", &[right], "").await.status, 200);
}

#[tokio::test]
async fn all_that_failed_is_retried_slice_by_slice() {
    let scene = scene().await;
    let path = "/api/v1/messages/retry-failed";
    let answer = scene.server.post(path, &[], b"").await;
    let expected = json!({ "retried": 4, "in_doubt": 2, "without_content": 6, "next": null });
    assert_eq!((answer.status, answer.json()), (200, expected));
    assert_eq!(scene.acts(), [Act::RetryFailed(None), Act::RetryFailed(Some(scene.id))]);
    for (query, body, code) in [
        ("?state=queued", "", "invalid_query"),
        ("?before=x", "", "invalid_query"),
        ("", "{\"provider\": \"ses\"}", "unknown_field"),
    ] {
        let answer = scene.server.post(&format!("{path}{query}"), &[JSON], body.as_bytes()).await;
        assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (400, Some(code)));
    }
    assert_eq!(scene.acts().len(), 2);
}
