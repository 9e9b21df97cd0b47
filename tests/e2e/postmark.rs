//! Mail by Postmark: whole, to exactly its recipients, and with a word about those whom it does not serve.

use serde_json::{Value, json};

use crate::support::fake::{Behaviour, FakeProvider, INACTIVE, Service};
use crate::support::letter;
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};

/// Postmark's tokens are UUIDs. It must never be seen anywhere.
const TOKEN: &str = "5f2c7a10-0000-4000-8000-5ec3e7000001";
const ID: &str = "letter.1@sender.example";

async fn scene() -> (FakeProvider, Relay) {
    let fake = FakeProvider::start(Service::Postmark).await;
    let setup = Setup::bare()
        .env("POSTMARK_SERVER_TOKEN", TOKEN)
        .set("providers.postmark.base_url", &fake.url());
    (fake, setup.start().await)
}

fn mail(to: &[&str], data: &str) -> Mail {
    Mail {
        from: letter::FROM.to_owned(),
        to: to.iter().map(|it| (*it).to_owned()).collect(),
        data: data.replace('\n', "\r\n"),
    }
}

/// The request in Resend's words, which the check of the whole letter knows.
fn in_resends_words(request: &Value) -> Value {
    let list = |name: &str| -> Value {
        request[name].as_str().map(|text| text.split(", ").collect::<Vec<_>>()).into()
    };
    let entries = |name: &str| request[name].as_array().cloned().unwrap_or_default().into_iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let headers: serde_json::Map<String, Value> =
        entries("Headers").map(|field| (text(&field["Name"]), field["Value"].clone())).collect();
    let files = entries("Attachments").map(|file| {
        let id = file["ContentID"].as_str().map(|id| id.strip_prefix("cid:").unwrap());
        json!({
            "filename": file["Name"], "content": file["Content"],
            "content_type": file["ContentType"], "content_id": id
        })
    });
    json!({
        "from": request["From"], "to": list("To"), "cc": list("Cc"), "bcc": list("Bcc"),
        "subject": request["Subject"], "text": request["TextBody"], "html": request["HtmlBody"],
        "headers": headers, "attachments": files.collect::<Vec<_>>()
    })
}

#[tokio::test]
async fn a_letter_with_everything_arrives_whole() {
    let (fake, relay) = scene().await;
    let mail = mail(&letter::RECIPIENTS, &letter::eml(ID, ""));
    let id = smtp::submit(relay.smtp, &mail).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "postmark");
    assert_eq!(message["provider_message_id"], fake.mails()[0].id);
    let losses = message["attempts"][0]["losses"].as_array().unwrap();
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!(losses[0]["what"], "header Date");

    let mails = fake.mails();
    assert_eq!(mails.len(), 1);
    letter::assert_whole(&in_resends_words(&mails[0].json), ID);
    // Nowhere else in the request either.
    assert_eq!(mails[0].json.to_string().matches(letter::BCC).count(), 1);
    let calls = fake.calls();
    assert_eq!(calls[0].header("x-postmark-server-token"), Some(TOKEN));
    assert!(!relay.log().contains(TOKEN));
}

#[tokio::test]
async fn hidden_recipients_travel_in_one_request_and_see_nobody_else() {
    let (fake, relay) = scene().await;
    let all: Vec<_> = (1..=5).map(|n| format!("r{n}@recipient.example")).collect();
    let to: Vec<&str> = all.iter().map(String::as_str).collect();
    let data = format!("From: <{}>\nSubject: s\nX-PM-Tag: news\n\nx\n", letter::FROM);
    let id = smtp::submit(relay.smtp, &mail(&to, &data)).await;
    let message = relay.http.until_message_is(&id, "delivered").await;

    let calls = fake.calls();
    assert_eq!((calls.len(), calls[0].head.path.as_str()), (1, "/email/batch"));
    let mails = fake.mails();
    for (mail, address) in mails.iter().zip(&all) {
        assert_eq!((&mail.json["To"], mail.json.get("Bcc")), (&json!(address), None));
        assert_eq!(mail.json["Tag"], "news");
    }
    let attempts = message["attempts"].as_array().unwrap();
    assert_eq!((mails.len(), attempts.len()), (5, 5));
    for (attempt, mail) in attempts.iter().zip(&mails) {
        assert_eq!(attempt["provider_message_id"], mail.id);
    }
}

#[tokio::test]
async fn of_a_batch_everybody_has_an_outcome_of_their_own() {
    let (fake, relay) = scene().await;
    let gone = format!("gone{INACTIVE}");
    let to = ["a@recipient.example", &gone, "b@recipient.example"];
    let data = format!("From: <{}>\nSubject: s\n\nx\n", letter::FROM);
    let id = smtp::submit(relay.smtp, &mail(&to, &data)).await;
    let message = relay.http.until_message_is(&id, "failed").await;
    let states: Vec<_> = message["recipients"].as_array().unwrap().iter().collect();
    let states: Vec<_> = states.iter().map(|it| it["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["delivered", "failed", "delivered"]);
    assert_eq!((fake.calls().len(), fake.mail_count()), (1, 2));
}

#[tokio::test]
async fn whom_postmark_does_not_serve_has_failed_with_its_words() {
    let (fake, relay) = scene().await;
    let gone = format!("Gone{INACTIVE}");
    let data =
        format!("From: <{}>\nTo: <{gone}>, <{}>\nSubject: s\n\nx\n", letter::FROM, letter::TO);
    let id = smtp::submit(relay.smtp, &mail(&[&gone, letter::TO], &data)).await;
    let message = relay.http.until_message_is(&id, "failed").await;
    assert_eq!(fake.mail_count(), 1);
    let state = |address: &str| {
        let all = message["recipients"].as_array().unwrap();
        let one = all.iter().find(|it| it["address"] == address).unwrap();
        (one["state"].as_str().unwrap(), one["reason"].as_str().unwrap_or_default())
    };
    assert_eq!(state(letter::TO), ("delivered", ""));
    let (state, reason) = state(&gone);
    assert_eq!(state, "failed");
    assert!(reason.contains("inactive addresses: gone@inactive.example"), "{reason}");
    assert_eq!(message["attempts"][0]["outcome"], "delivered");
}

#[tokio::test]
async fn a_refused_token_keeps_the_mail_and_used_up_credits_too() {
    for (status, code, words, outcome) in [
        (401, 10, "The Server Token you provided was invalid.", "misconfigured"),
        (422, 405, "Not allowed to send.", "exhausted"),
    ] {
        let (fake, relay) = scene().await;
        fake.behave_in_everything(&Behaviour::postmark_error(status, code, words));
        let id = smtp::submit(relay.smtp, &Mail::about("refused")).await;
        let attempt = relay.http.until_attempt_is(&id, outcome).await;
        assert!(attempt["error"].as_str().unwrap().contains(words), "{attempt}");
        relay.http.until_provider_is("postmark", outcome).await;
        relay.http.until_message_is(&id, "queued").await;
        assert_eq!(fake.mail_count(), 0);
    }
}
