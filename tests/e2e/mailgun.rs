//! Mail by Mailgun: octet by octet, to exactly its recipients.

use std::time::Duration;

use serde_json::json;

use crate::support::fake::{Behaviour, FakeProvider, Service, mime};
use crate::support::letter;
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};

/// It must never be seen anywhere, in Base64 neither.
const KEY: &str = "key-5ec3e70000000000000000000000000a";
const ID: &str = "letter.1@sender.example";

async fn scene(key: &str) -> (FakeProvider, Relay) {
    let fake = FakeProvider::start(Service::Mailgun).await;
    let relay = setup(&fake, key).start().await;
    (fake, relay)
}

fn setup(fake: &FakeProvider, key: &str) -> Setup {
    Setup::bare()
        .env("MAILGUN_API_KEY", key)
        .env("MAILGUN_DOMAIN", "mg.sender.example")
        .set("providers.mailgun.region", "eu")
        .set("providers.mailgun.base_url", &fake.url())
        .set("delivery.retry_min", "100ms")
        .set("delivery.retry_max", "400ms")
}

fn mail(to: &[&str], data: &str) -> Mail {
    Mail {
        from: letter::FROM.to_owned(),
        to: to.iter().map(|it| (*it).to_owned()).collect(),
        data: data.replace('\n', "\r\n"),
    }
}

#[tokio::test]
async fn a_letter_with_everything_arrives_octet_by_octet() {
    let (fake, relay) = scene(KEY).await;
    let mail = mail(&letter::RECIPIENTS, &letter::eml(ID, ""));
    let id = smtp::submit(relay.smtp, &mail).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "mailgun");
    // As the events will have it.
    let expected = format!("{}@mg.sender.example", fake.mails()[0].id);
    assert_eq!(message["provider_message_id"], expected);
    assert_eq!(message["attempts"][0]["losses"], json!([]));

    let calls = fake.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].head.path, "/v3/mg.sender.example/messages.mime");
    assert_eq!(mime(&calls[0]), format!("{}\r\n", mail.data).into_bytes());
    assert_eq!(fake.mails()[0].json["to"], json!(letter::RECIPIENTS));
    // Nowhere else in the request.
    let request = String::from_utf8_lossy(&calls[0].body).into_owned();
    assert_eq!(request.matches(letter::BCC).count(), 1);
    assert!(!relay.log().contains(KEY));
}

#[tokio::test]
async fn orders_of_the_app_become_options_and_leave_the_message() {
    let (fake, relay) = scene(KEY).await;
    let data =
        letter::eml(ID, "X-Mailgun-Tag: welcome\nX-Mailgun-Tag: 가입\nX-Mailgun-Track: no\n");
    let id = smtp::submit(relay.smtp, &mail(&[letter::TO], &data)).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    let losses = message["attempts"][0]["losses"].as_array().unwrap();
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!(losses[0]["what"], "header X-Mailgun-Tag");
    let fields = &fake.mails()[0].json;
    assert_eq!((&fields["o:tag"], &fields["o:tracking"]), (&json!(["welcome"]), &json!("no")));
    let kept = format!("{}\r\n", letter::eml(ID, "").replace('\n', "\r\n"));
    assert_eq!(mime(&fake.calls()[0]), kept.into_bytes());
}

#[tokio::test]
async fn a_wrong_key_sets_it_aside_and_keeps_the_mail() {
    let wrong = "wrong-5ec3e7000000000000000000000000";
    let (fake, relay) = scene(wrong).await;
    fake.answer_probes(Behaviour::answer(401, "Forbidden"));
    let id = smtp::submit(relay.smtp, &Mail::about("refused")).await;
    let attempt = relay.http.until_attempt_is(&id, "misconfigured").await;
    assert!(attempt["error"].as_str().unwrap().contains("401: Forbidden"), "{attempt}");
    relay.http.until_provider_is("mailgun", "misconfigured").await;
    relay.http.until_message_is(&id, "queued").await;
    assert_eq!(fake.mail_count(), 0);
    assert!(!relay.log().contains(wrong));
}

#[tokio::test]
async fn a_limit_is_waited_for_as_the_answer_says() {
    let (fake, relay) = scene(KEY).await;
    let words = "Domain mg.sender.example is not allowed to send: account-requests-per-sec limit exceeded, try again \
                 after 1 seconds";
    let refusal = Behaviour::answer(429, json!({"message": words}).to_string());
    fake.then([refusal]);
    let id = smtp::submit(relay.smtp, &Mail::about("throttled")).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    let attempts = message["attempts"].as_array().unwrap();
    let outcomes: Vec<_> = attempts.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert!(outcomes.contains(&"throttled") && outcomes.contains(&"delivered"), "{outcomes:?}");
    let calls = fake.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at - calls[0].at >= Duration::from_millis(900));
}

#[tokio::test]
async fn check_says_whether_the_domain_may_send() {
    let fake = FakeProvider::start(Service::Mailgun).await;
    let said = async || {
        let output = setup(&fake, KEY).run(&["check"]).await;
        String::from_utf8(output.stdout).unwrap()
    };
    let text = said().await;
    assert!(text.contains("mailgun with a key for mg.sender.example (eu)"), "{text}");
    assert!(text.contains("provider mailgun: answers, and does not refuse the account"), "{text}");
    let body = json!({"domain": {"state": "unverified"}});
    fake.answer_probes(Behaviour::answer(200, body.to_string()));
    let text = said().await;
    assert!(text.contains("the domain is unverified"), "{text}");
    assert_eq!(fake.mail_count(), 0);
}
