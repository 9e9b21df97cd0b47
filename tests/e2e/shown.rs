//! The request that was sent, as an operator sees it afterwards.

use serde_json::{Value, json};

use crate::support::fake::FakeProvider;
use crate::support::fake::Service;
use crate::support::relay::Setup;
use crate::support::smtp::{self, Mail};

#[tokio::test]
async fn the_request_is_shown_as_the_service_got_it_but_for_the_key() {
    let fake = FakeProvider::resend().await;
    let other = FakeProvider::start(Service::SendGrid).await;
    let relay = Setup::resend(&fake).and_sendgrid(&other).start().await;
    let id = smtp::submit(relay.smtp, &Mail::with_text("tea", "안녕하세요")).await;
    relay.http.until_message_is(&id, "delivered").await;

    let path = format!("/api/v1/messages/{id}/request");
    let shown = relay.http.get(&path).await.json();
    assert_eq!((&shown["provider"], &shown["exact"]), (&json!("resend"), &json!(true)), "{shown}");
    let [call] = shown["calls"].as_array().unwrap().as_slice() else { panic!("{shown}") };
    let seen = &fake.calls()[0];
    assert_eq!(call["method"], json!("POST"));
    assert_eq!(call["url"], json!(format!("{}{}", fake.url(), seen.head.path)));
    assert_eq!(call["body_octets"], json!(seen.body.len()));
    let body: Value = serde_json::from_str(call["body"].as_str().unwrap()).unwrap();
    assert_eq!(body, seen.json());
    let header = |name: &str| {
        let pairs = call["headers"].as_array().unwrap();
        pairs.iter().find(|pair| pair[0] == *name).map(|pair| pair[1].clone())
    };
    assert_eq!(header("authorization"), Some(json!("Bearer ***")));
    assert_eq!(header("idempotency-key"), seen.header("idempotency-key").map(|key| json!(key)));

    let other = relay.http.get(&format!("{path}?provider=sendgrid")).await.json();
    assert_eq!((&other["provider"], &other["exact"]), (&json!("sendgrid"), &json!(false)));
    assert!(other["calls"][0]["body"].as_str().unwrap().contains("personalizations"), "{other}");
}

#[tokio::test]
async fn after_a_change_of_the_settings_it_says_that_it_may_have_been_another() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let id = smtp::submit(relay.smtp, &Mail::about("before")).await;
    relay.http.until_message_is(&id, "delivered").await;
    relay.reload().await;
    let shown = relay.http.get(&format!("/api/v1/messages/{id}/request")).await.json();
    assert_eq!(shown["exact"], json!(false), "{shown}");
    assert!(shown["note"].as_str().unwrap().contains("settings"), "{shown}");
    assert_eq!(shown["calls"].as_array().unwrap().len(), 1, "{shown}");
}
