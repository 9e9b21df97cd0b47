//! `POST /api/v1/messages`: what a program hands in as JSON arrives whole, and once.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::fake::{Behaviour, FakeProvider, Service};
use crate::support::http::{Answer, Api};
use crate::support::letter;
use crate::support::relay::Setup;

const MESSAGES: &str = "/api/v1/messages";

/// Callers that use one key at the same time.
const CALLERS: usize = 12;

/// The letter of all clients, as JSON.
fn whole_letter() -> Value {
    json!({
        "from": {"name": letter::FROM_NAME, "address": letter::FROM},
        "to": [{"name": letter::TO_NAME, "address": letter::TO}, letter::TO_PLAIN],
        "cc": [{"name": letter::CC_NAME, "address": letter::CC}],
        "bcc": letter::BCC,
        "subject": letter::SUBJECT,
        "text": letter::TEXT,
        "html": letter::HTML,
        "headers": {"X-Campaign": "welcome"},
        "attachments": [
            {
                "filename": letter::IMAGE_NAME,
                "content": STANDARD.encode(letter::image_bytes()),
                "content_type": "image/png",
                "content_id": letter::IMAGE_CID,
            },
            {
                "filename": letter::FILE_NAME,
                "content": STANDARD.encode(letter::file_bytes()),
                "content_type": "application/pdf",
            },
        ],
    })
}

fn small(subject: &str) -> Value {
    json!({
        "from": "app@sender.example", "to": "ada@rcpt.example", "subject": subject, "text": "Hello."
    })
}

/// The id of a message that was taken.
fn accepted(answer: &Answer) -> String {
    assert_eq!(answer.status, 202, "{}", answer.text());
    let taken = answer.json();
    assert_eq!(taken["state"], "queued");
    let id = taken["id"].as_str().unwrap().to_owned();
    assert_eq!(answer.header("location"), Some(format!("{MESSAGES}/{id}").as_str()));
    id
}

/// The same, where nothing was taken before under this key.
fn taken_anew(answer: &Answer) -> String {
    assert_eq!(answer.header("idempotent-replayed"), None);
    accepted(answer)
}

/// The same, where it was.
fn taken_before(answer: &Answer) -> String {
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    accepted(answer)
}

/// The record of the letter, with everybody of the envelope in it; and what is stored, with nobody who is hidden.
async fn assert_kept(api: &Api, id: &str) -> Value {
    let record = api.until_message_is(id, "delivered").await;
    assert_eq!(record["from"], letter::FROM);
    let recipients = record["recipients"].as_array().unwrap();
    let addresses: Vec<_> = recipients.iter().map(|it| it["address"].as_str().unwrap()).collect();
    assert_eq!(addresses, letter::RECIPIENTS);
    let raw = api.get(&format!("{MESSAGES}/{id}/raw")).await.text();
    assert!(!raw.contains(letter::BCC) && !raw.to_ascii_lowercase().contains("bcc:"), "{raw}");
    record
}

#[tokio::test]
async fn everything_that_was_said_arrives_and_hidden_recipients_stay_hidden() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let id = taken_anew(&relay.http.post(MESSAGES, &whole_letter()).await);
    let record = assert_kept(&relay.http, &id).await;
    assert_eq!(fake.mail_count(), 1);
    let mail = &fake.mails()[0].json;
    letter::assert_whole(mail, record["message_id"].as_str().unwrap());
    assert_eq!(letter::header(mail, "X-Campaign").as_deref(), Some("welcome"));

    let parts = relay.http.get(&format!("{MESSAGES}/{id}/parts")).await.json();
    let names: Vec<_> =
        parts["parts"].as_array().unwrap().iter().map(|it| &it["filename"]).collect();
    assert_eq!(names, [letter::IMAGE_NAME, letter::FILE_NAME], "{parts}");
    let file =
        relay.http.get(&format!("{MESSAGES}/{id}/parts/{}", parts["parts"][1]["number"])).await;
    assert!(file.status == 200 && file.body == letter::file_bytes(), "{}", file.status);
}

#[tokio::test]
async fn where_the_message_goes_as_it_is_hidden_recipients_are_in_the_envelope_only() {
    let fake = FakeProvider::start(Service::Ses).await;
    let relay = Setup::ses(&fake).start().await;
    let id = taken_anew(&relay.http.post(MESSAGES, &whole_letter()).await);
    assert_kept(&relay.http, &id).await;
    let sent = &fake.mails()[0].json;
    let raw = STANDARD.decode(sent["Content"]["Raw"]["Data"].as_str().unwrap()).unwrap();
    let raw = String::from_utf8(raw).unwrap();
    assert!(!raw.contains(letter::BCC), "{raw}");
    let destination = sent["Destination"].as_object().unwrap().values();
    let told: BTreeSet<_> = destination.flat_map(letter::mailboxes).map(|(_, it)| it).collect();
    assert_eq!(told, letter::RECIPIENTS.map(str::to_owned).into());
}

#[tokio::test]
async fn one_who_gets_it_hidden_only_is_enough() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let mut body = small("quiet");
    body["bcc"] = body["to"].take();
    let id = taken_anew(&relay.http.post(MESSAGES, &body).await);
    let record = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(record["recipients"].as_array().unwrap().len(), 1);
    let raw = relay.http.get(&format!("{MESSAGES}/{id}/raw")).await.text();
    assert!(!raw.contains("ada@"), "{raw}");
    assert_eq!(fake.mail_count(), 1);
}

#[tokio::test]
async fn what_is_wrong_is_named_and_nothing_is_taken() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).set("smtp.max_message_size", "100KiB").start().await;
    let with = |field: &str, value: Value| {
        let mut body = small("wrong");
        body[field] = value;
        body
    };
    let large = "x".repeat(101 * 1024);
    for (body, status, code) in [
        (with("to", json!("ada")), 400, "invalid_field"),
        (with("cc", json!("a@rcpt.example, b@rcpt.example")), 400, "invalid_field"),
        (with("subject", json!("x\r\nBcc: eve@evil.example")), 400, "invalid_field"),
        (with("headers", json!({"X-A": "x\r\nBcc: eve@evil.example"})), 400, "invalid_message"),
        (with("headers", json!({"Bcc": "eve@evil.example"})), 400, "invalid_message"),
        (with("tags", json!(["a"])), 400, "unknown_field"),
        (with("text", json!(large)), 413, "payload_too_large"),
    ] {
        let answer = relay.http.post(MESSAGES, &body).await;
        let error = answer.json()["error"].clone();
        assert_eq!((answer.status, &error["code"]), (status, &json!(code)), "{error}");
        assert!(error["message"].as_str().is_some_and(|it| !it.is_empty()), "{error}");
    }
    let answer = relay.http.post_text(MESSAGES, "text/plain", &small("x").to_string()).await;
    assert_eq!(answer.status, 415, "{}", answer.text());
    let answer = relay.http.post_under(MESSAGES, &"k".repeat(256), &small("x")).await;
    assert_eq!(answer.json()["error"]["code"], "invalid_idempotency_key");
    assert!(relay.http.messages().await.is_empty());
    assert_eq!(fake.calls().len(), 0);
}

#[tokio::test]
async fn a_repeat_under_the_same_key_is_answered_alike_and_another_body_is_refused() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let body = small("order 1");
    let id = taken_anew(&relay.http.post_under(MESSAGES, "order-1", &body).await);
    for _ in 0..2 {
        assert_eq!(taken_before(&relay.http.post_under(MESSAGES, "order-1", &body).await), id);
    }
    relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(taken_before(&relay.http.post_under(MESSAGES, "order-1", &body).await), id);

    let other = relay.http.post_under(MESSAGES, "order-1", &small("order 2")).await;
    assert_eq!(other.status, 409, "{}", other.text());
    assert_eq!(other.json()["error"]["code"], "idempotency_key_reused");

    // Another key, or none: another message.
    let second = taken_anew(&relay.http.post_under(MESSAGES, "order-2", &body).await);
    let third = taken_anew(&relay.http.post(MESSAGES, &body).await);
    assert_eq!(BTreeSet::from([&id, &second, &third]).len(), 3);
    for id in [&second, &third] {
        relay.http.until_message_is(id, "delivered").await;
    }
    assert_eq!((relay.http.messages().await.len(), fake.mail_count()), (3, 3));
}

/// The answers of many callers that use one key in the same moment.
async fn all_at_once(api: &Api, key: &'static str, body: &Value) -> Vec<Answer> {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (api, body) = (api.clone(), body.clone());
        callers.spawn(async move { api.post_under(MESSAGES, key, &body).await });
    }
    callers.join_all().await
}

#[tokio::test]
async fn many_callers_with_one_key_make_one_message() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let answers = all_at_once(&relay.http, "same", &small("same")).await;
    let ids: BTreeSet<_> = answers.iter().map(accepted).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    let anew = answers.iter().filter(|it| it.header("idempotent-replayed").is_none());
    assert_eq!(anew.count(), 1, "one caller was the first");
    relay.http.until_message_is(ids.first().unwrap(), "delivered").await;
    assert_eq!((relay.http.messages().await.len(), fake.mail_count()), (1, 1));
}

#[tokio::test]
async fn a_key_is_remembered_by_a_relay_that_was_killed() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::answer(503, "{}"));
    let relay = Setup::resend(&fake).start().await;
    let body = small("once");
    let answers = all_at_once(&relay.http, "once", &body).await;
    let id = accepted(&answers[0]);
    // It was answered, so it is safe: nothing is waited for.
    let relay = relay.kill_9().await.start().await;
    assert_eq!(taken_before(&relay.http.post_under(MESSAGES, "once", &body).await), id);
    let other = relay.http.post_under(MESSAGES, "once", &small("twice")).await;
    assert_eq!(other.status, 409, "{}", other.text());

    fake.behave(Behaviour::Normal);
    relay.http.until_message_is(&id, "delivered").await;
    let relay = relay.kill_9().await.start().await;
    assert_eq!(taken_before(&relay.http.post_under(MESSAGES, "once", &body).await), id);
    assert_eq!((relay.http.messages().await.len(), fake.mail_count()), (1, 1));
}
