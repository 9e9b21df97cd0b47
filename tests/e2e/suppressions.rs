//! Addresses that get no mail: their mail is accepted, recorded and not sent.

use serde_json::{Value, json};

use crate::support::fake::FakeProvider;
use crate::support::http::Api;
use crate::support::letter;
use crate::support::relay::Setup;
use crate::support::smtp::{self, Mail};

const LIST: &str = "/api/v1/suppressions";
const ADA: &str = "ada@rcpt.example";
const BOB: &str = "bob@rcpt.example";

/// The addresses on the list, the newest first, page by page.
async fn listed(api: &Api, limit: usize) -> Vec<String> {
    let mut addresses = Vec::new();
    let mut before = String::new();
    loop {
        let page = api.get(&format!("{LIST}?limit={limit}{before}")).await.json();
        let entries = page["suppressions"].as_array().unwrap();
        assert!(entries.len() <= limit, "{page}");
        addresses.extend(entries.iter().map(|it| it["address"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { return addresses };
        assert!(!entries.is_empty(), "a page without an entry leads on: {page}");
        before = format!("&before={next}");
    }
}

/// The states of a message's recipients, in their order.
fn states(message: &Value) -> Vec<&str> {
    let recipients = message["recipients"].as_array().unwrap();
    recipients.iter().map(|it| it["state"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn mail_to_an_address_on_the_list_is_recorded_and_not_sent_until_it_is_off() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let api = &relay.http;
    let entry = json!({"address": "ada@RCPT.example", "note": "asked us by telephone"});
    let added = api.post(LIST, &entry).await;
    assert_eq!(added.status, 201, "{}", added.text());
    assert_eq!(added.json()["reason"], "manual");
    // Another spelling of the same mailbox is the same entry.
    let entry = json!({"address": ADA, "reason": "complained", "note": "spam"});
    assert_eq!(api.post(LIST, &entry).await.status, 200);
    assert_eq!(listed(api, 10).await, [ADA]);

    let by_smtp = smtp::submit(relay.smtp, &Mail::about("unwanted")).await;
    let body = json!({"from": "app@sender.example", "to": [ADA], "subject": "x", "text": "x"});
    let by_http = api.post("/api/v1/messages", &body).await.json()["id"].clone();
    let by_http = by_http.as_str().unwrap().to_owned();
    for id in [&by_smtp, &by_http] {
        let message = api.until_message_is(id, "failed").await;
        assert_eq!(states(&message), ["suppressed"]);
        assert!(message["attempts"].as_array().unwrap().is_empty(), "{message}");
        let error = message["error"].as_str().unwrap();
        assert!(error.contains(ADA) && error.contains("suppression list"), "{error}");
    }
    assert_eq!(fake.calls().len(), 0, "a provider was asked");

    assert_eq!(api.delete(&format!("{LIST}/ada%40RCPT.example")).await.status, 204);
    assert_eq!(api.delete(&format!("{LIST}?address={ADA}")).await.status, 404);
    let answer = api.post(&format!("/api/v1/messages/{by_smtp}/retry"), &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    let message = api.until_message_is(&by_smtp, "delivered").await;
    assert_eq!(states(&message), ["delivered"]);
    assert_eq!(fake.mail_count(), 1);
    assert_eq!(api.message(&by_http).await["state"], "failed");
}

#[tokio::test]
async fn the_others_get_it_and_the_list_outlives_the_relay() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let entry = json!({"address": BOB, "reason": "bounced", "note": "no such user"});
    assert_eq!(relay.http.post(LIST, &entry).await.status, 201);
    let relay = relay.kill_9().await.start().await;
    assert_eq!(listed(&relay.http, 10).await, [BOB]);

    let mut mail = Mail::about("news");
    mail.to.push(BOB.to_owned());
    let id = smtp::submit(relay.smtp, &mail).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(states(&message), ["delivered", "suppressed"]);
    let reason = message["recipients"][1]["reason"].as_str().unwrap();
    assert!(reason.contains("bounced") && reason.contains("no such user"), "{reason}");
    let [call] = &fake.calls()[..] else { panic!("{} calls", fake.calls().len()) };
    assert!(!String::from_utf8_lossy(&call.body).contains(BOB));
    assert_eq!(letter::mailboxes(&call.json()["to"])[0].1, ADA);
}

#[tokio::test]
async fn the_list_is_read_page_by_page_without_gaps_while_it_grows() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let api = &relay.http;
    let mut expected: Vec<String> =
        (0..23).map(|n| format!("person+{n:02}@rcpt.example")).collect();
    for address in &expected {
        assert_eq!(api.post(LIST, &json!({"address": address})).await.status, 201);
    }
    expected.reverse();
    for limit in [1, 5, 23, 500] {
        assert_eq!(listed(api, limit).await, expected, "{limit} on a page");
    }
    let page = api.get(&format!("{LIST}?limit=5")).await.json();
    assert_eq!(api.post(LIST, &json!({"address": "new@rcpt.example"})).await.status, 201);
    let next = page["next"].as_str().unwrap();
    let page = api.get(&format!("{LIST}?limit=5&before={next}")).await.json();
    assert_eq!(page["suppressions"][0]["address"], expected[5]);
    let found = api.get(&format!("{LIST}?q=%2B07%40")).await.json();
    assert_eq!(found["suppressions"].as_array().unwrap().len(), 1, "{found}");
}
