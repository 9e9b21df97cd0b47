//! What is asked, and what is answered.

use bytes::Bytes;
use serde_json::json;

use super::client::ask;
use super::store::Fault;
use super::{FakeStore, Setup, sample};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::Details;

/// So many messages, newest first, each a second older than the one before.
fn messages(count: u64) -> Vec<Details> {
    let each = |age: u64| {
        let at: Timestamp = sample::now() - std::time::Duration::from_secs(age);
        let mut details = sample::failed();
        details.summary.id = QueueId::new(at);
        details.summary.received_at = at;
        details.summary.index.subject = format!("number {age}");
        details
    };
    (0..count).map(each).collect()
}

fn with(messages: Vec<Details>) -> Setup {
    Setup { store: FakeStore { messages, ..FakeStore::default() }, ..Setup::default() }
}

const JSON: (&str, &str) = ("Content-Type", "application/json");
const SEED: &[u8] = br#"{"to": "ada@example.org", "subject": "Hi", "content": "Hello"}"#;

#[tokio::test]
async fn a_list_is_read_page_by_page() {
    let server = with(messages(5)).start().await;
    let mut seen = Vec::new();
    let mut path = "/api/v1/messages?limit=2".to_owned();
    for _ in 0..3 {
        let answer = server.get(&path).await;
        assert_eq!(answer.status, 200);
        let page = answer.json();
        for message in page["messages"].as_array().unwrap() {
            seen.push(message["subject"].as_str().unwrap().to_owned());
        }
        path = match page["next"].as_str() {
            Some(next) => format!("/api/v1/messages?limit=2&before={next}"),
            None => break,
        };
    }
    assert_eq!(seen, ["number 0", "number 1", "number 2", "number 3", "number 4"]);
}

#[tokio::test]
async fn a_wrong_query_is_told_and_not_ignored() {
    let server = Setup::default().start().await;
    for path in ["/api/v1/messages?state=sent", "/api/v1/messages?limit=0", "/api/v1/messages?x=1"]
    {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.code()), (400, "invalid_query".to_owned()), "{path}");
    }
}

#[tokio::test]
async fn one_message_is_shown_with_its_attempts() {
    let details = sample::failed();
    let id = details.summary.id;
    let server = with(vec![details]).start().await;
    let message = server.get(&format!("/api/v1/messages/{id}")).await.json();
    assert_eq!(message["id"], json!(id.to_string()));
    assert_eq!(message["attempts"][0]["outcome"], json!("rejected"));
    let page = server.get(&format!("/messages/{id}")).await;
    assert_eq!(page.status, 200);
    assert!(page.text().contains("bob@example.org"));
}

#[tokio::test]
async fn what_names_no_message_is_not_found() {
    let server = Setup::default().start().await;
    let unknown = QueueId::new(sample::now()).to_string();
    for id in [unknown.as_str(), "1", "%ff", "..%2f"] {
        for path in [format!("/api/v1/messages/{id}"), format!("/api/v1/messages/{id}/raw")] {
            let answer = server.get(&path).await;
            assert_eq!((answer.status, answer.code()), (404, "not_found".to_owned()), "{path}");
        }
        assert_eq!(server.get(&format!("/messages/{id}")).await.status, 404, "{id}");
    }
}

#[tokio::test]
async fn the_raw_message_is_a_download_while_it_is_kept() {
    let (kept, gone) = (sample::failed(), sample::failed());
    let (kept_id, gone_id) = (kept.summary.id, gone.summary.id);
    let raw = Bytes::from_static(b"Subject: Hi\r\n\r\n<script>\r\n");
    let store = FakeStore {
        messages: vec![kept, gone],
        contents: vec![(kept_id, raw.clone())],
        ..FakeStore::default()
    };
    let server = Setup { store, ..Setup::default() }.start().await;
    let answer = server.get(&format!("/api/v1/messages/{kept_id}/raw")).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, raw);
    assert_eq!(answer.header("content-type"), Some("message/rfc822"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let policy = answer.header("content-security-policy").unwrap();
    assert!(policy.contains("sandbox") && policy.contains("default-src 'none'"), "{policy}");
    let disposition = format!("attachment; filename=\"{kept_id}.eml\"");
    assert_eq!(answer.header("content-disposition"), Some(&*disposition));
    let answer = server.get(&format!("/api/v1/messages/{gone_id}/raw")).await;
    assert_eq!((answer.status, answer.code()), (410, "content_gone".to_owned()));
}

#[tokio::test]
async fn the_page_lists_filters_and_leads_to_older_mail() {
    let server = with(messages(60)).start().await;
    let page = server.get("/messages").await;
    assert_eq!(page.status, 200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    assert!(page.text().contains("number 49") && !page.text().contains("number 50"));
    let older = page.text().split("rel=\"next\" href=\"").nth(1).unwrap();
    let older = older.split('"').next().unwrap().replace("&#38;", "&");
    let page = server.get(&older).await;
    assert!(page.text().contains("number 50") && !page.text().contains("number 49"));
    let page = server.get("/messages?state=failed&q=number+7").await;
    assert!(page.text().contains("number 7") && !page.text().contains("number 8"));
    let page = server.get("/messages?state=delivered").await;
    assert!(page.text().contains("No message matches"));
    assert_eq!(server.get("/messages?state=sent").await.status, 400);
}

#[tokio::test]
async fn a_search_that_has_not_looked_at_everything_says_so_and_goes_on() {
    let store = FakeStore { messages: messages(9), reach: Some(4), ..FakeStore::default() };
    let server = Setup { store, ..Setup::default() }.start().await;
    let mut path = "/messages?q=number+5".to_owned();
    for (found, told) in [
        (false, Some("Nothing found so far")),
        (true, Some("Not all messages have been looked at yet")),
        (false, None),
    ] {
        let page = server.get(&path).await;
        let text = page.text();
        assert_eq!(text.contains("number 5</bdi>"), found, "{text}");
        let next = text.split("rel=\"next\" href=\"").nth(1);
        let Some(told) = told else {
            assert!(text.contains("No older message matches") && next.is_none(), "{text}");
            break;
        };
        assert!(text.contains(told) && text.contains("Search further"), "{text}");
        assert!(!text.contains("No message matches"), "{text}");
        path = next.unwrap().split('"').next().unwrap().replace("&#38;", "&");
    }
}

#[tokio::test]
async fn every_answer_forbids_foreign_scripts_frames_and_caching() {
    let server = Setup { token: "s3cret", ..Setup::default() }.start().await;
    let bearer = ("Authorization", "Bearer s3cret");
    for (path, page) in [
        ("/", true),
        ("/login", false),
        ("/messages/1", true),
        ("/health", false),
        ("/api/v1/messages", false),
        ("/nothing", false),
    ] {
        for headers in [&[bearer][..], &[], &[("Sec-Fetch-Site", "cross-site")]] {
            let answer = server.get_with(path, headers).await;
            let policy = answer.header("content-security-policy").unwrap();
            for rule in ["default-src 'none'", "base-uri 'none'", "frame-ancestors 'none'"] {
                assert!(policy.contains(rule), "{path}: {policy}");
            }
            assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
            if page && headers == [bearer] {
                assert!(policy.contains("script-src 'self'; style-src 'self'"), "{path}: {policy}");
            }
            // Of what is no page, nothing refers to anything.
            let html = answer.header("content-type").is_some_and(|of| of.starts_with("text/html"));
            let referrer = if html { "same-origin" } else { "no-referrer" };
            assert!(html || !page || headers != [bearer], "{path} is no page");
            for (name, value) in [
                ("x-content-type-options", "nosniff"),
                ("referrer-policy", referrer),
                ("cross-origin-resource-policy", "same-origin"),
                ("cross-origin-opener-policy", "same-origin"),
                ("cache-control", "no-store"),
            ] {
                assert_eq!(answer.header(name), Some(value), "{path}: {name}");
            }
            assert!(answer.header("permissions-policy").unwrap().contains("camera=()"), "{path}");
            assert!(answer.header("access-control-allow-origin").is_none(), "{path}");
        }
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let server = with(messages(1)).start().await;
    let page = server.get("/").await;
    for forbidden in ["http://", "https://", "src=\"//", " style=", " onclick="] {
        assert!(!page.text().contains(forbidden), "{forbidden}");
    }
    let scripts = page.text().matches("<script").count();
    assert_eq!((scripts, page.text().matches("<script src=\"/page.js?v=").count()), (1, 1));
    let style = server.get("/style.css?v=1").await;
    assert_eq!(style.header("content-type"), Some("text/css; charset=utf-8"));
    assert!(!style.text().contains("url("), "the style loads nothing either");
    assert_eq!(server.get("/icon.svg").await.header("content-type"), Some("image/svg+xml"));
}

#[tokio::test]
async fn health_tells_trusted_callers_how_everything_is() {
    let server = with(messages(2)).start().await;
    let answer = server.get("/health").await;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(health["status"], json!("ok"));
    assert_eq!(health["smtp"], json!({ "listening": ["127.0.0.1:1025"], "connections": 0 }));
    assert_eq!(health["queue"]["backend"], json!("memory"));
    assert_eq!(health["queue"]["failed"], json!(2));
    assert_eq!(health["providers"]["ses"]["state"], json!("up"));
    let ready = server.get("/ready").await;
    assert_eq!((ready.status, ready.json()), (200, json!({ "ready": true })));
}

#[tokio::test]
async fn health_says_down_only_when_no_mail_can_be_taken() {
    let nobody = Setup { providers: &[], ..Setup::default() }.start().await;
    let answer = nobody.get("/health").await;
    assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("degraded")));
    let ready = nobody.get("/ready").await;
    assert_eq!((ready.status, ready.json()), (503, json!({ "ready": false })));

    let deaf = Setup { listening: Vec::new(), ..Setup::default() }.start().await;
    let answer = deaf.get("/health").await;
    assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("down")));

    let store = FakeStore { fault: Fault::Broken, ..FakeStore::default() };
    let broken = Setup { store, ..Setup::default() }.start().await;
    let answer = broken.get("/health").await;
    assert_eq!((answer.status, &answer.json()["status"]), (503, &json!("down")));
    assert_eq!(answer.json()["queue"], json!(null));
}

#[tokio::test]
async fn health_tells_strangers_one_word_and_asks_them_for_nothing() {
    let one_word = json!({ "status": "ok" });
    let stranger = Setup { trusted: false, ..Setup::default() }.start().await;
    let answer = stranger.get("/health").await;
    assert_eq!((answer.status, answer.json()), (200, one_word.clone()));
    // With a token a trusted network alone is no trust: it may be a reverse proxy's.
    let server = Setup { token: "s3cret", ..Setup::default() }.start().await;
    assert_eq!(server.get("/health").await.json(), one_word);
    let answer = server.get_with("/health", &[("Authorization", "Bearer s3cret")]).await;
    assert!(answer.json()["smtp"]["listening"].is_array());
    assert_eq!(server.get("/ready").await.status, 200);
}

#[tokio::test]
async fn head_is_answered_like_get_without_the_body() {
    let server = Setup::default().start().await;
    for (path, status) in [("/health", 200), ("/ready", 200), ("/", 200), ("/api/v1/messages", 200)]
    {
        let answer = ask(server.address, "HEAD", path, &[], b"").await;
        assert_eq!((answer.status, answer.body.len()), (status, 0), "{path}");
    }
}

#[tokio::test]
async fn a_set_token_is_needed_everywhere_mail_is_shown_or_sent() {
    let server = Setup { token: "s3cret", ..Setup::default() }.start().await;
    let id = QueueId::new(sample::now());
    for path in [
        "/api/v1/messages".to_owned(),
        format!("/api/v1/messages/{id}"),
        format!("/api/v1/messages/{id}/raw"),
    ] {
        let answer = server.get(&path).await;
        assert_eq!((answer.status, answer.code()), (401, "unauthorized".to_owned()), "{path}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"), "{path}");
        let answer = server.get_with(&path, &[("Authorization", "Bearer wrong!")]).await;
        assert_eq!(answer.status, 401, "{path}");
        let answer = server.get_with(&path, &[("Authorization", "Bearer s3cret")]).await;
        assert_ne!(answer.status, 401, "{path}");
    }
    let answer = server.post("/send-test-email", &[JSON], SEED).await;
    assert_eq!((answer.status, answer.code()), (401, "unauthorized".to_owned()));
    for path in ["/", &format!("/messages/{id}")] {
        let wrong = [("Authorization", "Bearer wrong!")];
        let page = server.get_with(path, &wrong).await;
        assert_eq!(page.status, 401);
        assert!(page.header("www-authenticate").unwrap().starts_with("Basic"));
        assert!(page.text().contains("http.token"), "a page, not JSON, for a person");
    }
    // anybody:s3cret
    let basic = ("Authorization", "Basic YW55Ym9keTpzM2NyZXQ=");
    assert_eq!(server.get_with("/", &[basic]).await.status, 200);
}

#[tokio::test]
async fn without_a_token_strangers_are_refused_whatever_they_claim() {
    let server = Setup { trusted: false, ..Setup::default() }.start().await;
    let claims = [("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")];
    for path in ["/metrics", "/api/v1/messages", "/api/v1/messages/1"] {
        let answer = server.get_with(path, &claims).await;
        assert_eq!((answer.status, answer.code()), (403, "forbidden".to_owned()), "{path}");
        assert!(answer.message().contains("http.token"), "{}", answer.message());
    }
    let answer = server.post("/send-test-email", &[JSON], SEED).await;
    assert_eq!((answer.status, answer.code()), (403, "forbidden".to_owned()));
    assert_eq!(server.get_with("/", &claims).await.status, 403);
    assert_eq!(server.get("/health").await.status, 200);
}

#[tokio::test]
async fn a_rebound_name_reads_no_mail_and_the_refusal_says_what_to_do() {
    let server = Setup::default().start().await;
    let answer = server.get_with("/api/v1/messages", &[("Host", "evil.example")]).await;
    assert_eq!((answer.status, answer.code()), (403, "forbidden_host".to_owned()));
    assert!(answer.message().contains("http.token"), "{}", answer.message());
    assert_eq!(server.get_with("/", &[("Host", "evil.example")]).await.status, 403);
    let health = server.get_with("/health", &[("Host", "evil.example")]).await;
    assert_eq!(health.json(), json!({ "status": "ok" }));
    assert_eq!(server.get_with("/", &[("Host", "mailferry:8025")]).await.status, 200);
}

#[tokio::test]
async fn a_page_of_another_site_cannot_send() {
    let server = Setup::default().start().await;
    for header in [("Origin", "https://evil.example"), ("Sec-Fetch-Site", "cross-site")] {
        let answer = server.post("/send-test-email", &[JSON, header], SEED).await;
        assert_eq!((answer.status, answer.code()), (403, "cross_site".to_owned()), "{header:?}");
    }
    let answer = server.post("/send-test-email", &[("Content-Type", "text/plain")], SEED).await;
    assert_eq!((answer.status, answer.code()), (415, "unsupported_media_type".to_owned()));
}

#[tokio::test]
async fn a_bad_test_mail_is_refused_with_the_field_named() {
    let server = Setup::default().start().await;
    for (body, code, words) in [
        (&b"{"[..], "malformed_json", "JSON"),
        (b"", "malformed_json", "JSON"),
        (b"{\"subject\": \"Hi\", \"content\": \"x\"}", "invalid_field", "\"to\""),
        (b"{\"to\": \"ada\", \"subject\": \"Hi\", \"content\": \"x\"}", "invalid_field", "\"to\""),
        (b"{\"recipient\": \"ada@example.org\"}", "unknown_field", "recipient"),
    ] {
        let answer = server.post("/send-test-email", &[JSON], body).await;
        assert_eq!((answer.status, answer.code()), (400, code.to_owned()));
        assert!(answer.message().contains(words), "{}", answer.message());
    }
    let body =
        br#"{"to": "ada@example.org", "subject": "Hi", "content": "x", "provider": "pigeon"}"#;
    let answer = server.post("/send-test-email", &[JSON], body).await;
    assert_eq!((answer.status, answer.code()), (400, "invalid_field".to_owned()));
    assert!(answer.message().contains("resend, ses"), "{}", answer.message());
}

#[tokio::test]
async fn a_browser_that_has_lost_its_way_is_shown_a_page() {
    let server = Setup::default().start().await;
    let accept = ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8");
    let answer = server.get_with("/mesages", &[accept]).await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().contains("There is no page at this address"), "{}", answer.text());
    let answer = server.get_with("/suppressions/remove", &[accept]).await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    assert!(answer.text().starts_with("<!doctype html>"), "{}", answer.text());
    let answer = server.get_with("/api/v1/mesages", &[accept]).await;
    assert_eq!((answer.status, answer.code()), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn what_does_not_exist_is_told_in_json() {
    let server = Setup::default().start().await;
    let answer = server.get("/api/v2/messages").await;
    assert_eq!((answer.status, answer.code()), (404, "not_found".to_owned()));
    let answer = server.post("/health", &[], b"").await;
    assert_eq!((answer.status, answer.code()), (405, "method_not_allowed".to_owned()));
    assert_eq!(answer.header("allow"), Some("GET,HEAD"));
    let answer = server.get("/send-test-email").await;
    assert_eq!((answer.status, answer.code()), (405, "method_not_allowed".to_owned()));
}

#[tokio::test]
async fn a_broken_store_is_told_as_such() {
    let store = FakeStore { fault: Fault::Broken, ..FakeStore::default() };
    let server = Setup { store, ..Setup::default() }.start().await;
    let answer = server.get("/api/v1/messages").await;
    assert_eq!((answer.status, answer.code()), (503, "store_unavailable".to_owned()));
    let page = server.get("/messages").await;
    assert_eq!(page.status, 503);
    assert!(page.text().contains("the disk is gone"));
    let page = server.get("/").await;
    assert!(page.text().contains("Not taking mail"), "the overview says what is wrong");
}

#[tokio::test]
async fn a_test_mail_is_sent_at_once_and_answered_with_the_providers_id() {
    let server = Setup::default().start().await;
    let answer = server.post("/send-test-email", &[JSON], SEED).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = answer.json();
    assert_eq!(sent["ok"], json!(true));
    assert_eq!(sent["provider"], json!("resend"));
    assert_eq!(sent["message_id"], json!("pigeon-1"));
    assert!(sent["id"].as_str().unwrap().parse::<QueueId>().is_ok());
    let body = br#"{"to": ["ada@example.org"], "subject": "Hi", "content": "<p>x</p>", "provider": "ses"}"#;
    let answer = server.post("/send-test-email", &[JSON], body).await;
    assert_eq!(answer.json()["provider"], json!("ses"));
}

#[tokio::test]
async fn a_test_mail_that_nobody_can_take_is_a_bad_gateway() {
    let server = Setup { providers: &[], ..Setup::default() }.start().await;
    let answer = server.post("/send-test-email", &[JSON], SEED).await;
    assert_eq!(answer.status, 502, "{}", answer.text());
    assert_eq!(answer.json()["ok"], json!(false));
    assert_eq!(answer.json()["provider"], json!(null));
}
