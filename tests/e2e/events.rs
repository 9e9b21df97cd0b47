//! What the operator's address and Prometheus are told while a provider is down, and afterwards.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use mailferry::clock::Timestamp;
use mailferry::secret::Secret;
use mailferry::signature::{ID, SIGNATURE, Signer, TIMESTAMP};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::fake::{Behaviour, FakeProvider, Service, WEBHOOK_SECRET};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};
use crate::support::wait;

/// An address of the operator's: takes what is signed, after a first answer of 503 for each event.
#[derive(Clone, Default)]
struct Receiver {
    tries: Arc<Mutex<HashMap<String, usize>>>,
    events: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    /// Starts it; its address.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/events", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        url
    }

    fn kinds(&self) -> Vec<String> {
        let events = self.events.lock().unwrap();
        events.iter().map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    }

    async fn until_told(&self, kind: &str) -> Value {
        wait::until_within(wait::PATIENCE * 2, kind, async || {
            let events = self.events.lock().unwrap();
            events.iter().find(|event| event["type"] == kind).map(|event| event["data"].clone())
        })
        .await
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let header = |name: &str| headers[name].to_str().unwrap();
    let at = Timestamp::from_second(header(TIMESTAMP).parse().unwrap()).unwrap();
    let signer = Signer::new(&Secret::new(WEBHOOK_SECRET)).unwrap();
    if signer.sign(header(ID), at, &body) != header(SIGNATURE) {
        return StatusCode::UNAUTHORIZED;
    }
    let id = header(ID).to_owned();
    let mut tries = receiver.tries.lock().unwrap();
    let tries = tries.entry(id).or_default();
    *tries += 1;
    if *tries == 1 {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    receiver.events.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
    StatusCode::NO_CONTENT
}

async fn metrics(relay: &Relay) -> String {
    let answer = relay.http.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.content_type.starts_with("text/plain; version=0.0.4"));
    answer.text()
}

async fn deliver(relay: &Relay, subject: &str) -> Value {
    let id = smtp::submit(relay.smtp, &Mail::about(subject)).await;
    relay.http.until_message_is(&id, "delivered").await["provider"].clone()
}

#[tokio::test]
async fn a_failover_and_its_end_are_posted_and_counted() {
    let receiver = Receiver::default();
    let resend = FakeProvider::resend().await;
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    let relay = Setup::resend(&resend)
        .and_sendgrid(&sendgrid)
        .set("delivery.on_failure_webhook", &receiver.start().await)
        .set("delivery.on_failure_webhook_secret", WEBHOOK_SECRET)
        .start()
        .await;
    assert_eq!(deliver(&relay, "before").await, "resend");

    resend.behave(Behaviour::answer(500, "{}"));
    // An answer of any kind would let a message try.
    resend.answer_probes(Behaviour::ResetEarly);
    assert_eq!(deliver(&relay, "meanwhile").await, "sendgrid");
    let began = receiver.until_told("failover.began").await;
    let data = json!({"route": "default", "from": "resend", "to": "sendgrid", "reason": "down"});
    assert_eq!(began, data);
    let set_aside = receiver.until_told("provider.set_aside").await;
    assert_eq!((&set_aside["provider"], &set_aside["state"]), (&json!("resend"), &json!("down")));
    let text = metrics(&relay).await;
    for line in [
        r#"mailferry_provider_up{provider="resend"} 0"#,
        r#"mailferry_provider_up{provider="sendgrid"} 1"#,
        r#"mailferry_failovers_total{from="resend",to="sendgrid"} 1"#,
        r#"mailferry_messages_finished_total{provider="sendgrid",state="delivered"} 1"#,
        r#"mailferry_queue_messages{state="queued"} 0"#,
    ] {
        assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
    }

    resend.behave_in_everything(&Behaviour::Normal);
    wait::until("resend delivers again", async || {
        (deliver(&relay, "afterwards").await == "resend").then_some(())
    })
    .await;
    let recovered = receiver.until_told("failover.recovered").await;
    let data = json!({"route": "default", "provider": "resend", "from": "sendgrid"});
    assert_eq!(recovered, data);
    receiver.until_told("provider.recovered").await;
    let kinds = receiver.kinds();
    assert_eq!(kinds.len(), 4, "each once: {kinds:?}");
    let up = r#"mailferry_provider_up{provider="resend"} 1"#;
    assert!(metrics(&relay).await.lines().any(|own| own == up));
    assert!(!relay.log().contains(WEBHOOK_SECRET));
    relay.stop().await;
}

#[tokio::test]
async fn a_failed_message_is_posted_with_its_reason() {
    let receiver = Receiver::default();
    let resend = FakeProvider::resend().await;
    resend.behave(Behaviour::resend_error(422, "invalid_parameter", "no such recipient"));
    let relay = Setup::resend(&resend)
        .set("delivery.on_failure_webhook", &receiver.start().await)
        .set("delivery.on_failure_webhook_secret", WEBHOOK_SECRET)
        .set("log.subject", "false")
        .start()
        .await;
    let id = smtp::submit(relay.smtp, &Mail::about("refused")).await;
    let failed = receiver.until_told("message.failed").await;
    assert_eq!(failed["id"], id);
    assert_eq!(failed["provider"], "resend");
    assert!(failed["error"].as_str().unwrap().contains("no such recipient"), "{failed}");
    assert_eq!(failed["recipients"][0]["state"], "failed");
    assert_eq!(failed.get("subject"), None, "subjects are not logged");
    relay.stop().await;
}
