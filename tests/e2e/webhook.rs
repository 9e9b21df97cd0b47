//! Mail to a webhook of the operator's: whole, signed, and recognisable when it comes twice.

use std::time::Duration;

use serde_json::json;

use crate::support::fake::{Behaviour, FakeProvider, Reply, Service, WEBHOOK_SECRET, mime};
use crate::support::letter;
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};

const ID: &str = "letter.1@sender.example";

async fn scene(secret: &str) -> (FakeProvider, Relay) {
    let fake = FakeProvider::start(Service::Webhook).await;
    let relay = setup(&fake, secret).start().await;
    (fake, relay)
}

fn setup(fake: &FakeProvider, secret: &str) -> Setup {
    Setup::bare()
        .set("providers.webhook.url", &format!("{}/mail", fake.url()))
        .set("providers.webhook.secret", secret)
        .set("delivery.retry_min", "100ms")
        .set("delivery.retry_max", "400ms")
}

#[tokio::test]
async fn a_letter_with_everything_is_posted_whole() {
    let (fake, relay) = scene(WEBHOOK_SECRET).await;
    let mail = Mail {
        from: letter::FROM.to_owned(),
        to: letter::RECIPIENTS.map(str::to_owned).to_vec(),
        data: letter::eml(ID, "").replace('\n', "\r\n"),
    };
    let id = smtp::submit(relay.smtp, &mail).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "webhook");
    assert_eq!(message["provider_message_id"], fake.mails()[0].id);
    assert_eq!(message["attempts"][0]["losses"], json!([]));

    let calls = fake.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(mime(&calls[0]), format!("{}\r\n", mail.data).into_bytes());
    let data = &fake.mails()[0].json["data"];
    assert_eq!(data["id"], id);
    assert_eq!(data["envelope"], json!({"sender": letter::FROM, "recipients": letter::RECIPIENTS}));
    assert_eq!(data["subject"], letter::SUBJECT);
    assert_eq!(data["message_id"], ID);
    assert_eq!(data["text"], letter::TEXT);
    assert_eq!(data["html"], letter::HTML);
    assert_eq!(data["attachments"][1]["filename"], letter::FILE_NAME);
    assert_eq!(data["attachments"][1]["size"], letter::file_bytes().len());
    assert!(!relay.log().contains(WEBHOOK_SECRET));
}

#[tokio::test]
async fn a_post_whose_answer_was_lost_comes_again_under_the_same_id() {
    let (fake, relay) = scene(WEBHOOK_SECRET).await;
    fake.then([Behaviour::LoseAnswer]);
    let id = smtp::submit(relay.smtp, &Mail::about("twice")).await;
    relay.http.until_message_is(&id, "delivered").await;
    let calls = fake.calls();
    assert_eq!(calls.len(), 2);
    assert_eq!(calls[0].header("webhook-id"), calls[1].header("webhook-id"));
    assert_eq!(calls[0].body, calls[1].body);
    assert_eq!(fake.mail_count(), 1, "the receiver knew it");
}

#[tokio::test]
async fn a_wrong_secret_sets_it_aside_and_keeps_the_mail() {
    let wrong = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let (fake, relay) = scene(wrong).await;
    let id = smtp::submit(relay.smtp, &Mail::about("refused")).await;
    let attempt = relay.http.until_attempt_is(&id, "misconfigured").await;
    let error = attempt["error"].as_str().unwrap();
    assert!(error.contains("401: the signature does not fit"), "{attempt}");
    relay.http.until_provider_is("webhook", "misconfigured").await;
    relay.http.until_message_is(&id, "queued").await;
    assert_eq!(fake.mail_count(), 0);
}

#[tokio::test]
async fn a_busy_receiver_is_given_the_time_that_it_asks_for() {
    let (fake, relay) = scene(WEBHOOK_SECRET).await;
    fake.then([Behaviour::Answer(Reply::new(429, "").header("Retry-After", "1"))]);
    let id = smtp::submit(relay.smtp, &Mail::about("throttled")).await;
    relay.http.until_message_is(&id, "delivered").await;
    let calls = fake.calls();
    assert_eq!(calls.len(), 2);
    assert!(calls[1].at - calls[0].at >= Duration::from_millis(900));
}

#[tokio::test]
async fn a_message_that_the_receiver_refuses_fails_with_its_words() {
    let (fake, relay) = scene(WEBHOOK_SECRET).await;
    fake.behave(Behaviour::answer(422, json!({"error": "no such mailbox"}).to_string()));
    let id = smtp::submit(relay.smtp, &Mail::about("refused")).await;
    let message = relay.http.until_message_is(&id, "failed").await;
    assert!(message["error"].as_str().unwrap().contains("no such mailbox"), "{message}");
}

#[tokio::test]
async fn check_pings_the_receiver() {
    let fake = FakeProvider::start(Service::Webhook).await;
    let said = async |secret: &str| {
        let output = setup(&fake, secret).run(&["check"]).await;
        String::from_utf8(output.stdout).unwrap()
    };
    let text = said(WEBHOOK_SECRET).await;
    assert!(text.contains("provider webhook: webhook at http://127.0.0.1, signed"), "{text}");
    assert!(text.contains("provider webhook: answers, and does not refuse the account"), "{text}");
    let text = said("whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").await;
    assert!(text.contains("401: the signature does not fit"), "{text}");
    assert_eq!((fake.mail_count(), fake.probes().len()), (0, 2));
}
