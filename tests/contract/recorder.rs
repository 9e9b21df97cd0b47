//! A server that takes every request, keeps it, and answers as the services do when they accept mail.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Recorded {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Recorded {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

type Requests = Arc<Mutex<Vec<Recorded>>>;

/// The running server.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) url: String,
    requests: Requests,
    task: JoinHandle<()>,
}

impl Recorder {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let requests = Requests::default();
        let app = Router::new().fallback(record).with_state(Arc::clone(&requests));
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { url, requests, task }
    }

    /// The requests so far; they are forgotten.
    pub(crate) fn take(&self) -> Vec<Recorded> {
        std::mem::take(&mut *self.requests.lock().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn record(
    State(requests): State<Requests>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().to_owned();
    let answer = match path.as_str() {
        "/emails" => (StatusCode::OK, [("content-type", "application/json")], r#"{"id":"1"}"#),
        "/v3/mail/send" => (StatusCode::ACCEPTED, [("x-message-id", "1")], ""),
        "/email" => (
            StatusCode::OK,
            [("content-type", "application/json")],
            r#"{"To":"","SubmittedAt":"2026-11-21T10:00:00Z","MessageID":"1","ErrorCode":0,"Message":"OK"}"#,
        ),
        "/mail" => (StatusCode::OK, [("content-type", "application/json")], r#"{"id":"1"}"#),
        "/v3/mg.example.org/messages.mime" => (
            StatusCode::OK,
            [("content-type", "application/json")],
            r#"{"id":"<1>","message":"Queued. Thank you."}"#,
        ),
        "/v3/smtp/email" => {
            (StatusCode::CREATED, [("content-type", "application/json")], r#"{"messageId":"<1>"}"#)
        }
        _ => (StatusCode::OK, [("content-type", "application/json")], r#"{"MessageId":"1"}"#),
    };
    requests.lock().unwrap().push(Recorded { method, path, headers, body });
    answer.into_response()
}
