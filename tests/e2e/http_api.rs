//! The HTTP side as SPEC 7 has it: health, test mail, messages, token.

use serde_json::{Value, json};

use crate::support::fake::{Behaviour, FakeProvider, Service};
use crate::support::letter;
use crate::support::relay::{RESEND_KEY, Relay, Setup};
use crate::support::smtp::{self, Mail};

async fn scene() -> (FakeProvider, Relay) {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake)
        .set("sender.address", "relay@sender.example")
        .set("sender.name", "우체국")
        .start()
        .await;
    (fake, relay)
}

fn seed_body() -> Value {
    json!({"to": "ada@rcpt.example", "subject": "시험 메일", "content": "안녕하세요"})
}

/// Panics unless the answer is an error as the API writes all of them.
fn assert_error(answer: &crate::support::http::Answer, status: u16) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = &answer.json()["error"];
    assert!(error["code"].as_str().is_some_and(|code| !code.is_empty()), "{}", answer.text());
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{}", answer.text());
}

#[tokio::test]
async fn health_tells_everything_to_a_trusted_caller() {
    let (_fake, relay) = scene().await;
    let answer = relay.http.get("/health").await;
    assert_eq!(answer.status, 200);
    let health = answer.json();
    assert_eq!(health["status"], "ok");
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
    assert!(health["uptime_seconds"].is_number());
    assert_eq!(health["smtp"]["listening"], json!([relay.smtp.to_string()]));
    assert_eq!(health["smtp"]["connections"], 0);
    assert_eq!(health["queue"]["backend"], "sqlite");
    for count in ["queued", "sending", "failed"] {
        assert_eq!(health["queue"][count], 0, "{count}");
    }
    assert_eq!(health["providers"]["resend"]["state"], "up");
    assert_eq!(relay.http.get("/ready").await.status, 200);

    let _session = smtp::Session::open(relay.smtp).await.unwrap();
    assert_eq!(relay.http.health().await["smtp"]["connections"], 1);
}

#[tokio::test]
async fn a_test_mail_is_sent_at_once() {
    let (fake, relay) = scene().await;
    let answer = relay.http.post("/send-test-email", &seed_body()).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let sent = answer.json();
    assert_eq!(sent["ok"], true);
    assert_eq!(sent["provider"], "resend");
    assert_eq!(sent["message_id"], fake.mails()[0].id);
    let mail = &fake.mails()[0].json;
    assert_eq!(mail["subject"], "시험 메일");
    assert_eq!(letter::lines(&mail["text"]), "안녕하세요");
    assert!(mail["html"].is_null(), "{mail}");
    let pair = |name: &str, address: &str| (name.to_owned(), address.to_owned());
    assert_eq!(letter::mailboxes(&mail["from"]), [pair("우체국", "relay@sender.example")]);
    assert_eq!(letter::mailboxes(&mail["to"]), [pair("", "ada@rcpt.example")]);

    let message = relay.http.message(sent["id"].as_str().unwrap()).await;
    assert_eq!(message["state"], "delivered");
    assert_eq!(message["subject"], "시험 메일");
}

#[tokio::test]
async fn test_mail_with_tags_is_html() {
    let (fake, relay) = scene().await;
    let body = json!({
        "to": "ada@rcpt.example", "subject": "x", "content": "<p>안녕</p>", "from": "other@sender.example"
    });
    let answer = relay.http.post("/send-test-email", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let mail = &fake.mails()[0].json;
    assert_eq!(letter::lines(&mail["html"]), "<p>안녕</p>");
    assert_eq!(letter::mailboxes(&mail["from"])[0].1, "other@sender.example");
}

#[tokio::test]
async fn test_mail_goes_by_the_provider_that_is_named() {
    let resend = FakeProvider::resend().await;
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    let setup = Setup::resend(&resend).and_sendgrid(&sendgrid);
    let relay = setup.set("sender.address", "relay@sender.example").start().await;
    let mut body = seed_body();
    body["provider"] = json!("sendgrid");
    let answer = relay.http.post("/send-test-email", &body).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["provider"], "sendgrid");
    assert_eq!((resend.mail_count(), sendgrid.mail_count()), (0, 1));
    body["provider"] = json!("nobody");
    assert_error(&relay.http.post("/send-test-email", &body).await, 400);
}

#[tokio::test]
async fn a_test_mail_that_the_provider_refuses_is_502_with_its_words() {
    let (fake, relay) = scene().await;
    for behaviour in [
        Behaviour::resend_error(401, "validation_error", "API key is invalid"),
        Behaviour::resend_error(422, "invalid_parameter", "API key is invalid"),
    ] {
        fake.behave_in_everything(&behaviour);
        let answer = relay.http.post("/send-test-email", &seed_body()).await;
        assert_eq!(answer.status, 502, "{}", answer.text());
        let failed = answer.json();
        assert_eq!(failed["ok"], false);
        assert_eq!(failed["provider"], "resend");
        assert!(failed["error"].to_string().contains("API key is invalid"), "{failed}");
    }
    assert_eq!(fake.mail_count(), 0);
}

#[tokio::test]
async fn bad_input_is_400_and_says_what_is_wrong() {
    let (fake, relay) = scene().await;
    for body in [
        json!({"subject": "x", "content": "y"}),
        json!({"to": "no address", "subject": "x", "content": "y"}),
        json!({"to": "ada@rcpt.example", "subject": "x\r\nBcc: eve@evil.example", "content": 3}),
        json!([]),
    ] {
        assert_error(&relay.http.post("/send-test-email", &body).await, 400);
    }
    for (content_type, text) in [("application/json", "{"), ("application/json", "")] {
        let answer = relay.http.post_text("/send-test-email", content_type, text).await;
        assert_error(&answer, 400);
    }
    assert_eq!(fake.calls().len(), 0);
}

#[tokio::test]
async fn a_subject_cannot_smuggle_a_header() {
    let (fake, relay) = scene().await;
    let mut body = seed_body();
    body["subject"] = json!("hello\r\nBcc: eve@evil.example");
    relay.http.post("/send-test-email", &body).await;
    for mail in fake.mails() {
        assert_eq!(mail.json["bcc"].as_array().map_or(0, Vec::len), 0);
        assert_eq!(letter::header(&mail.json, "Bcc"), None);
        assert_eq!(letter::mailboxes(&mail.json["to"]).len(), 1);
    }
}

#[tokio::test]
async fn messages_are_listed_newest_first_page_by_page() {
    let (fake, relay) = scene().await;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(smtp::submit(relay.smtp, &Mail::about(&format!("page-{number}"))).await);
    }
    for id in &ids {
        relay.http.until_message_is(id, "delivered").await;
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for _ in 0..3 {
        let page = relay.http.get(&format!("/api/v1/messages?limit=2{cursor}")).await.json();
        for message in page["messages"].as_array().unwrap() {
            assert!(message["attempts"].is_null(), "a list has no attempts: {message}");
            seen.push(message["id"].as_str().unwrap().to_owned());
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);

    let one = relay.http.get("/api/v1/messages?q=page-3").await.json();
    assert_eq!(one["messages"].as_array().unwrap().len(), 1, "{one}");
    assert_eq!(one["messages"][0]["subject"], "page-3");
    let none = relay.http.get("/api/v1/messages?state=failed").await.json();
    assert_eq!(none, json!({"messages": [], "next": null}));
    assert_error(&relay.http.get("/api/v1/messages?state=nonsense").await, 400);
    assert_error(&relay.http.get("/api/v1/messages?limit=-1").await, 400);
    assert_eq!(fake.mail_count(), 5);
}

#[tokio::test]
async fn one_message_shows_everything_about_it() {
    let (fake, relay) = scene().await;
    fake.then([Behaviour::answer(500, "{}")]);
    let mail = Mail::about("detail");
    let id = smtp::submit(relay.smtp, &mail).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["id"], id);
    assert_eq!(message["from"], "app@sender.example");
    assert_eq!(message["header_from"], "App <app@sender.example>");
    assert_eq!(message["message_id"], "detail@sender.example");
    let recipient = &message["recipients"][0];
    assert_eq!(
        (&recipient["address"], &recipient["state"]),
        (&json!("ada@rcpt.example"), &json!("delivered"))
    );
    assert!(message["received_at"].as_str().unwrap().ends_with('Z'), "{message}");
    let attempts = message["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 2);
    for attempt in attempts {
        assert_eq!(attempt["provider"], "resend");
        assert!(attempt["at"].is_string() && attempt["latency_ms"].is_number(), "{attempt}");
    }
    assert_eq!(attempts[1]["provider_message_id"], fake.mails()[0].id);

    let raw = relay.http.get(&format!("/api/v1/messages/{id}/raw")).await;
    assert_eq!(raw.status, 200);
    assert_eq!(raw.text(), mail.data + "\r\n");
    assert_eq!(message["size"], raw.body.len());
    assert!(!raw.content_type.starts_with("text/html"), "{}", raw.content_type);
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let (_fake, relay) = scene().await;
    let nobody = "/api/v1/messages/0193a5f0-0000-7000-8000-000000000000";
    assert_error(&relay.http.get(nobody).await, 404);
    assert_error(&relay.http.get(&format!("{nobody}/raw")).await, 404);
    assert_error(&relay.http.get("/api/v1/nothing").await, 404);
}

#[tokio::test]
async fn with_a_token_only_its_bearer_gets_in() {
    let fake = FakeProvider::resend().await;
    let setup = Setup::resend(&fake).set("sender.address", "relay@sender.example");
    let relay = setup.set("http.token", "open-sesame").start().await;
    let id = smtp::submit(relay.smtp, &Mail::about("private")).await;
    let paths = ["/api/v1/messages".to_owned(), format!("/api/v1/messages/{id}/raw")];
    for path in &paths {
        assert_error(&relay.http.get(path).await, 401);
        assert_error(&relay.http.with_token("open-sesam").get(path).await, 401);
        assert_eq!(relay.http.with_token("open-sesame").get(path).await.status, 200);
    }
    assert_error(&relay.http.post("/send-test-email", &seed_body()).await, 401);
    let sent = relay.http.with_token("open-sesame").post("/send-test-email", &seed_body()).await;
    assert_eq!(sent.status, 200);

    // Health is open to all, the details are not.
    let bare = relay.http.get("/health").await;
    assert_eq!((bare.status, &bare.json()["status"]), (200, &json!("ok")));
    assert!(bare.json()["providers"].is_null(), "{}", bare.text());
    let full = relay.http.with_token("open-sesame").health().await;
    assert_eq!(full["providers"]["resend"]["state"], "up");
}

#[tokio::test]
async fn strangers_without_a_token_are_kept_out() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).set("http.trusted_networks", "192.0.2.0/24").start().await;
    for path in ["/api/v1/messages", "/"] {
        let status = relay.http.get(path).await.status;
        assert!(matches!(status, 401 | 403), "{path}: {status}");
    }
    let sent = relay.http.post("/send-test-email", &seed_body()).await;
    assert!(matches!(sent.status, 401 | 403), "{}", sent.status);
    assert_eq!(relay.http.get("/health").await.status, 200);
    assert_eq!(fake.calls().len(), 0);
}

#[tokio::test]
async fn the_page_lists_messages_and_never_runs_what_they_contain() {
    let (_fake, relay) = scene().await;
    let id = smtp::submit(relay.smtp, &Mail::about("<script>alert(1)</script>")).await;
    relay.http.until_message_is(&id, "delivered").await;
    let page = relay.http.get("/messages").await;
    assert_eq!(page.status, 200);
    assert!(page.content_type.starts_with("text/html"), "{}", page.content_type);
    assert!(page.text().contains("alert(1)"), "the message is not listed");
    assert!(!page.text().contains("<script>alert"), "the subject is not escaped");
}

#[tokio::test]
async fn secrets_and_contents_are_seen_nowhere() {
    let fake = FakeProvider::resend().await;
    let setup = Setup::resend(&fake).env("RUST_LOG", "debug").set("http.token", "open-sesame");
    let relay = setup.set("sender.address", "relay@sender.example").start().await;
    let api = relay.http.with_token("open-sesame");
    let mail = Mail::with_text("discreet", "the-body-of-the-mail");
    let id = smtp::submit(relay.smtp, &mail).await;
    api.until_message_is(&id, "delivered").await;
    fake.behave(Behaviour::resend_error(401, "validation_error", "API key is invalid"));
    let id = smtp::submit(relay.smtp, &mail).await;
    api.until_attempt_is(&id, "misconfigured").await;
    let mut seen = relay.log();
    for path in ["/health", "/api/v1/messages", "/", &format!("/api/v1/messages/{id}")] {
        seen += &api.get(path).await.text();
    }
    for secret in [RESEND_KEY, "open-sesame", "the-body-of-the-mail"] {
        assert!(!seen.contains(secret), "{secret} can be seen");
    }
}
