//! What is in a message, asked over a socket.

use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{Path, RawQuery, State as Shared};
use bytes::Bytes;
use serde_json::json;

use super::store::Fault;
use super::{FakeStore, Setup, sample};
use crate::http::{content, html};
use crate::message::QueueId;

const MAIL: &[u8] = b"Subject: =?utf-8?Q?=EA=B0=80?=\r\nX-A: <script>\r\n\
    Content-Type: multipart/mixed; boundary=b\r\n\r\n\
    --b\r\nContent-Type: multipart/alternative; boundary=c\r\n\r\n\
    --c\r\nContent-Type: text/plain\r\n\r\nHello <b>\r\n\
    --c\r\nContent-Type: text/html\r\n\r\n<p onclick=x>Hello</p><script>x</script><img src=http://x.example/a>\r\n--c--\r\n\
    --b\r\nContent-Type: text/html\r\nContent-Disposition: attachment; filename=\"../a.html\"\r\n\r\n<script>\r\n--b--\r\n";

/// A server with two messages: one whose content is kept, and one whose content is gone.
fn setup(token: &'static str) -> (Setup, QueueId, QueueId) {
    let (kept, gone) = (sample::failed(), sample::failed());
    let (kept_id, gone_id) = (kept.summary.id, gone.summary.id);
    let store = FakeStore {
        messages: vec![kept, gone],
        contents: vec![(kept_id, Bytes::from_static(MAIL))],
        ..FakeStore::default()
    };
    (Setup { store, token, ..Setup::default() }, kept_id, gone_id)
}

#[tokio::test]
async fn the_frame_is_served_under_a_policy_of_its_own() {
    let (setup, id, _) = setup("");
    let server = setup.start().await;
    for (query, images, loads) in
        [("", "data:", false), ("?images=remote", "data: https: http:", true)]
    {
        let answer = server.get(&format!("/messages/{id}/html{query}")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"));
        let policy = format!(
            "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; \
             style-src 'unsafe-inline'; img-src {images}; form-action 'none'; base-uri 'none'; \
             frame-ancestors 'self'"
        );
        assert_eq!(answer.header("content-security-policy"), Some(&*policy));
        for (name, value) in [
            ("x-dns-prefetch-control", "off"),
            ("referrer-policy", "no-referrer"),
            ("x-content-type-options", "nosniff"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{name}");
        }
        assert!(answer.text().contains("<p>Hello</p>"), "{}", answer.text());
        assert!(!answer.text().contains("<script") && !answer.text().contains("onclick"));
        assert_eq!(answer.text().contains("x.example"), loads);
    }
}

#[tokio::test]
async fn text_headers_and_source_are_plain_text() {
    let (setup, id, _) = setup("");
    let server = setup.start().await;
    for (name, content) in [
        ("text", "Hello <b>"),
        ("headers", "Subject: 가\nX-A: <script>\nContent-Type: multipart/mixed; boundary=b\n"),
        ("source", std::str::from_utf8(MAIL).unwrap()),
    ] {
        let answer = server.get(&format!("/messages/{id}/{name}")).await;
        assert_eq!((answer.status, answer.text()), (200, content), "{name}");
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; sandbox;"), "{policy}");
    }
}

#[tokio::test]
async fn parts_are_listed_and_downloaded() {
    let (setup, id, gone) = setup("");
    let server = setup.start().await;
    let list = server.get(&format!("/api/v1/messages/{id}/parts")).await.json();
    let part = json!({"number": 1, "filename": "a.html", "media_type": "text/html", "size": 8, "inline": false});
    assert_eq!(list, json!({"parts": [part]}));
    let answer = server.get(&format!("/api/v1/messages/{id}/parts/1")).await;
    assert_eq!((answer.status, &*answer.body), (200, &b"<script>"[..]));
    assert_eq!(answer.header("content-type"), Some("application/octet-stream"));
    let disposition = "attachment; filename=\"a.html\"; filename*=UTF-8''a.html";
    assert_eq!(answer.header("content-disposition"), Some(disposition));
    assert!(answer.header("content-security-policy").unwrap().contains("sandbox"));
    for number in ["0", "2", "-1", "x", "99999999999999999999"] {
        let answer = server.get(&format!("/api/v1/messages/{id}/parts/{number}")).await;
        assert_eq!((answer.status, answer.code()), (404, "not_found".to_owned()), "{number}");
    }
    let answer = server.get(&format!("/api/v1/messages/{gone}/parts/1")).await;
    assert_eq!((answer.status, answer.code()), (410, "content_gone".to_owned()));
}

#[tokio::test]
async fn content_that_is_gone_is_told_to_a_person() {
    let (setup, _, gone) = setup("");
    let server = setup.start().await;
    let unknown = QueueId::new(sample::now());
    for name in ["html", "text", "headers", "source"] {
        assert_eq!(server.get(&format!("/messages/{gone}/{name}")).await.status, 410, "{name}");
        assert_eq!(server.get(&format!("/messages/{unknown}/{name}")).await.status, 404, "{name}");
    }
}

/// The page that tells of problems, and the one to log in by, may not be framed.
#[tokio::test]
async fn what_is_wrong_with_the_frame_is_told_within_the_frame() {
    let (setup, id, gone) = setup("secret");
    let server = setup.start().await;
    let token = ("authorization", "Bearer secret");
    let korean = ("accept-language", "ko");
    let frame = ("sec-fetch-dest", "iframe");
    for (path, headers, status, words) in [
        (format!("/messages/{gone}/html"), &[token, korean, frame][..], 410, "본문은 보관 기간"),
        (format!("/messages/{gone}/html"), &[token], 410, "not kept any more"),
        (format!("/messages/x{id}/html"), &[token, frame], 404, "message"),
        (format!("/messages/{id}/html"), &[frame, korean], 401, "로그인이 필요합니다"),
        // Browsers do not say where an answer goes when they ask over plain HTTP.
        (format!("/messages/{id}/html"), &[], 401, "Please sign in"),
    ] {
        let answer = server.get_with(&path, headers).await;
        assert_eq!(answer.status, status, "{path}");
        assert!(answer.text().contains(words), "{}", answer.text());
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
        let policy = "default-src 'none'; sandbox; frame-ancestors 'self'";
        assert_eq!(answer.header("content-security-policy"), Some(policy), "{path}");
        assert_eq!(answer.header("location"), None);
        let prompt = answer.header("www-authenticate").unwrap_or_default();
        assert!(!prompt.contains("Basic"), "a browser would ask for a password: {prompt}");
    }
    let window = [("sec-fetch-dest", "document")];
    let answer = server.get_with(&format!("/messages/{id}/html"), &window).await;
    assert_eq!(answer.status, 303);
    assert!(answer.header("location").unwrap().starts_with("/login?next="));
}

#[tokio::test]
async fn a_store_that_is_broken_is_told_within_the_frame() {
    let store = FakeStore { fault: Fault::Broken, ..FakeStore::default() };
    let server = Setup { store, ..Setup::default() }.start().await;
    let path = format!("/messages/{}/html", QueueId::new(sample::now()));
    let answer = server.get(&path).await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("content-security-policy").unwrap().ends_with("frame-ancestors 'self'"));
}

/// What is shown of a message is in memory until the last of it is written.
#[tokio::test]
async fn a_place_is_free_again_when_the_last_of_an_answer_is_gone() {
    let (setup, id, _) = setup("");
    let context = setup.context();
    let shown = Arc::clone(&context.shown);
    let places = shown.available_permits();
    let id = || Ok(Path(id.to_string()));
    let state = || Shared(Arc::clone(&context));
    let mut answers = Vec::new();
    answers.push(html::frame(state(), RawQuery(None), id()).await);
    answers.push(content::text(state(), id()).await);
    answers.push(content::headers(state(), id()).await);
    answers.push(content::source(state(), id()).await);
    assert!(answers.iter().all(|answer| answer.status() == 200));
    assert_eq!(shown.available_permits(), places - answers.len());
    let answer = answers.pop().unwrap();
    let bytes = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    assert_eq!(&bytes[..], MAIL);
    assert_eq!(shown.available_permits(), places - 4);
    drop((bytes, answers));
    assert_eq!(shown.available_permits(), places);
}

#[tokio::test(start_paused = true)]
async fn who_gets_no_place_is_told_to_come_again() {
    let (setup, id, _) = setup("");
    let context = setup.context();
    let all = u32::try_from(context.shown.available_permits()).unwrap();
    let _taken = Arc::clone(&context.shown).acquire_many_owned(all).await.unwrap();
    let answer = content::text(Shared(context), Ok(Path(id.to_string()))).await;
    assert_eq!(answer.status(), 429);
}

#[tokio::test]
async fn content_is_for_those_who_may_see_it() {
    let (setup, id, _) = setup("secret");
    let server = setup.start().await;
    for path in ["html", "text", "headers", "source"].map(|name| format!("/messages/{id}/{name}")) {
        let answer = server.get(&path).await;
        assert!(answer.status == 401 || answer.status == 303, "{path}: {}", answer.status);
        assert!(!answer.text().contains("Hello"), "{path}");
    }
    for path in ["raw", "parts", "parts/1"] {
        let answer = server.get(&format!("/api/v1/messages/{id}/{path}")).await;
        assert_eq!(answer.status, 401, "{path}");
    }
}
