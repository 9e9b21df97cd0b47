//! Mail by Brevo: what of it can travel, to exactly its recipients, and once.

use serde_json::json;

use crate::support::fake::{Behaviour, FakeProvider, Service};
use crate::support::letter;
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};

/// It must never be seen anywhere.
const KEY: &str = "xkeysib-5ec3e7000001";

async fn scene(on_loss: &str) -> (FakeProvider, Relay) {
    let fake = FakeProvider::start(Service::Brevo).await;
    let setup = Setup::bare()
        .env("BREVO_API_KEY", KEY)
        .set("providers.brevo.base_url", &fake.url())
        .set("delivery.retry_min", "100ms")
        .set("delivery.retry_max", "400ms")
        .set("delivery.on_loss", on_loss);
    (fake, setup.start().await)
}

fn mail(to: &[&str], data: &str) -> Mail {
    Mail {
        from: letter::FROM.to_owned(),
        to: to.iter().map(|it| (*it).to_owned()).collect(),
        data: data.replace('\n', "\r\n"),
    }
}

const TEXT: &str = "From: App <app@sender.example>\nTo: <to@recipient.example>\nSubject: Hello\n\
    Message-ID: <1@sender.example>\nX-Mailin-Tag: welcome, first\nX-Mailin-custom: id:7\n\n\
    Click https://app.example/verify?a=1&b=2\n";

#[tokio::test]
async fn a_text_arrives_with_a_page_beside_it_and_with_its_orders() {
    let (fake, relay) = scene("next").await;
    let id = smtp::submit(relay.smtp, &mail(&["to@recipient.example"], TEXT)).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    let mails = fake.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(message["provider_message_id"], mails[0].id);
    let sent = &mails[0].json;
    let text = sent["textContent"].as_str().unwrap();
    assert_eq!(text.trim_end(), "Click https://app.example/verify?a=1&b=2");
    let page = sent["htmlContent"].as_str().unwrap();
    assert!(page.contains("<a href=\"https://app.example/verify?a=1&amp;b=2\">"), "{page}");
    assert_eq!(sent["tags"], json!(["welcome", "first"]));
    assert_eq!(sent["headers"]["X-Mailin-custom"], "id:7");
    assert_eq!(sent["headers"]["References"], "<1@sender.example>");
    let losses = message["attempts"][0]["losses"].as_array().unwrap();
    assert!(losses.iter().all(|loss| loss["grave"] == false), "{losses:?}");
    assert_eq!(fake.calls()[0].header("api-key"), Some(KEY));
    assert!(!relay.log().contains(KEY));
}

#[tokio::test]
async fn an_inline_image_is_sent_only_where_the_operator_says_so() {
    let letter = mail(&letter::RECIPIENTS, &letter::eml("1@sender.example", ""));
    let (fake, relay) = scene("next").await;
    let id = smtp::submit(relay.smtp, &letter).await;
    let message = relay.http.until_message_is(&id, "failed").await;
    assert!(message["error"].as_str().unwrap().contains("inline image"), "{message}");
    assert_eq!(fake.calls().len(), 0);

    let (fake, relay) = scene("send").await;
    let id = smtp::submit(relay.smtp, &letter).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    let mails = fake.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].json["bcc"], json!([{"email": letter::BCC}]));
    assert_eq!(mails[0].json.to_string().matches(letter::BCC).count(), 1);
    let losses = message["attempts"][0]["losses"].as_array().unwrap();
    assert!(losses.iter().any(|loss| loss["grave"] == true), "{losses:?}");
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_is_not_sent_twice() {
    let (fake, relay) = scene("next").await;
    fake.then([Behaviour::LoseAnswer]);
    let id = smtp::submit(relay.smtp, &mail(&["to@recipient.example"], TEXT)).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!((fake.calls().len(), fake.mail_count()), (2, 1));
    assert_eq!(fake.calls()[0].body, fake.calls()[1].body);
    assert!(message["provider_message_id"].is_null(), "its id is not known: {message}");
}

#[tokio::test]
async fn a_wrong_key_and_used_up_credits_keep_the_mail() {
    for (status, code, words, outcome) in [
        (401, "unauthorized", "Key not found", "misconfigured"),
        (402, "not_enough_credits", "You do not have enough credits", "exhausted"),
    ] {
        let (fake, relay) = scene("next").await;
        fake.behave_in_everything(&Behaviour::brevo_error(status, code, words));
        let id = smtp::submit(relay.smtp, &mail(&["to@recipient.example"], TEXT)).await;
        let attempt = relay.http.until_attempt_is(&id, outcome).await;
        assert!(attempt["error"].as_str().unwrap().contains(words), "{attempt}");
        relay.http.until_provider_is("brevo", outcome).await;
        relay.http.until_message_is(&id, "queued").await;
        assert_eq!(fake.mail_count(), 0);
    }
}
