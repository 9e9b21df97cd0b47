//! Two providers: when the second takes over, and when not.

use crate::support::fake::{Behaviour, FakeProvider, Reply, Service};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};
use crate::support::wait;

struct Scene {
    resend: FakeProvider,
    sendgrid: FakeProvider,
    relay: Relay,
}

async fn scene() -> Scene {
    let resend = FakeProvider::resend().await;
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    let relay = Setup::resend(&resend).and_sendgrid(&sendgrid).start().await;
    Scene { resend, sendgrid, relay }
}

async fn submit(scene: &Scene, subject: &str) -> String {
    smtp::submit(scene.relay.smtp, &Mail::about(subject)).await
}

#[tokio::test]
async fn while_the_first_works_the_second_is_left_alone() {
    let scene = scene().await;
    for number in 0..5 {
        let id = submit(&scene, &format!("first-{number}")).await;
        let message = scene.relay.http.until_message_is(&id, "delivered").await;
        assert_eq!(message["provider"], "resend");
    }
    assert_eq!((scene.resend.mail_count(), scene.sendgrid.calls().len()), (5, 0));
}

#[tokio::test]
async fn a_refused_key_hands_the_mail_to_the_next_at_once() {
    let scene = scene().await;
    let invalid = Behaviour::resend_error(401, "validation_error", "API key is invalid");
    scene.resend.behave_in_everything(&invalid);
    let id = submit(&scene, "handed-on").await;
    let message = scene.relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "sendgrid");
    assert_eq!(message["attempts"][0]["outcome"], "misconfigured");

    let id = submit(&scene, "straight").await;
    let message = scene.relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(scene.resend.calls().len(), 1, "a provider that was set aside was asked again");
    let health = scene.relay.http.health().await;
    assert_eq!(health["providers"]["resend"]["state"], "misconfigured");
    assert_eq!(health["providers"]["sendgrid"]["state"], "up");
    assert_eq!(health["status"], "degraded");
    assert_eq!(scene.relay.http.get("/ready").await.status, 200);
}

#[tokio::test]
async fn a_used_up_quota_hands_the_mail_to_the_next() {
    let scene = scene().await;
    scene.resend.behave(Behaviour::resend_error(429, "daily_quota_exceeded", "quota"));
    let id = submit(&scene, "quota").await;
    let message = scene.relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "sendgrid");
    assert_eq!(message["attempts"][0]["outcome"], "exhausted");
}

#[tokio::test]
async fn a_long_retry_after_hands_the_mail_to_the_next() {
    let scene = scene().await;
    let body = r#"{"statusCode":429,"name":"rate_limit_exceeded","message":"slow down"}"#;
    scene.resend.behave(Behaviour::Answer(Reply::new(429, body).header("retry-after", "600")));
    let id = submit(&scene, "throttled").await;
    let message = scene.relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "sendgrid");
    assert_eq!(message["attempts"][0]["outcome"], "throttled");
}

#[tokio::test]
async fn a_provider_that_keeps_failing_is_passed_over() {
    let scene = scene().await;
    scene.resend.behave_in_everything(&Behaviour::answer(500, "{}"));
    let mut ids = Vec::new();
    for number in 0..30 {
        ids.push(submit(&scene, &format!("circuit-{number}")).await);
    }
    for id in &ids {
        let message = scene.relay.http.until_message_is(id, "delivered").await;
        assert_eq!(message["provider"], "sendgrid");
    }
    assert_eq!((scene.resend.mail_count(), scene.sendgrid.mail_count()), (0, ids.len()));
    scene.relay.http.until_provider_is("resend", "down").await;
}

#[tokio::test]
async fn a_provider_that_has_recovered_gets_the_mail_again() {
    let scene = scene().await;
    scene.resend.behave_in_everything(&Behaviour::answer(500, "{}"));
    let id = submit(&scene, "down").await;
    scene.relay.http.until_message_is(&id, "delivered").await;
    scene.resend.behave_in_everything(&Behaviour::Normal);
    let mut number = 0;
    wait::until_within(wait::PATIENCE * 4, "resend carries mail again", async || {
        number += 1;
        let id = submit(&scene, &format!("again-{number}")).await;
        scene.relay.http.until_message_is(&id, "delivered").await;
        (scene.resend.mail_count() > 0).then_some(())
    })
    .await;
    assert_eq!(scene.resend.mail_count() + scene.sendgrid.mail_count(), 1 + number);
}

#[tokio::test]
async fn an_unknown_refusal_or_a_wrong_request_goes_to_the_next() {
    for (behaviour, outcome) in [
        (Behaviour::resend_error(418, "teapot", "I am a teapot"), "unknown"),
        (Behaviour::resend_error(409, "invalid_idempotent_request", "another body"), "bug"),
        (Behaviour::answer(415, "{}"), "bug"),
    ] {
        let scene = scene().await;
        scene.resend.behave(behaviour);
        let id = submit(&scene, outcome).await;
        let message = scene.relay.http.until_message_is(&id, "delivered").await;
        assert_eq!(message["provider"], "sendgrid", "{message}");
        assert_eq!(message["attempts"][0]["outcome"], outcome, "{message}");
        assert_eq!((scene.resend.calls().len(), scene.sendgrid.mail_count()), (1, 1));
    }
}

#[tokio::test]
async fn a_rejected_message_is_not_offered_to_the_next() {
    let scene = scene().await;
    scene.resend.behave(Behaviour::resend_error(422, "invalid_parameter", "no such thing"));
    let id = submit(&scene, "rejected").await;
    scene.relay.http.until_message_is(&id, "failed").await;
    assert_eq!(scene.sendgrid.calls().len(), 0);
}
