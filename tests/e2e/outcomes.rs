//! What the provider says, and what becomes of the message: the table of SPEC 5 with one provider.
//!
//! Whatever the provider does, SMTP answers 250.

use std::collections::HashSet;
use std::time::Duration;

use tokio::time::Instant;

use crate::support::fake::{Behaviour, FakeProvider, Recorded, Reply, Service};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};
use crate::support::wait;

/// An app notices when mail takes longer than this; a provider's time-out is far above it.
const PROMPT: Duration = Duration::from_secs(5);

async fn scene() -> (FakeProvider, Relay) {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    (fake, relay)
}

/// Submits a mail, which must be taken promptly.
async fn submit(relay: &Relay, subject: &str) -> String {
    let begin = Instant::now();
    let id = smtp::submit(relay.smtp, &Mail::about(subject)).await;
    assert!(begin.elapsed() < PROMPT, "the 250 took {:?}", begin.elapsed());
    id
}

/// Panics unless all calls are the same request under the same key.
fn assert_same_request(calls: &[Recorded]) {
    let keys: HashSet<&str> =
        calls.iter().map(|call| call.header("idempotency-key").unwrap()).collect();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let bodies: HashSet<&[u8]> = calls.iter().map(|call| call.body.as_slice()).collect();
    assert_eq!(bodies.len(), 1, "the repeated request has another body");
}

fn error_text(message: &serde_json::Value) -> String {
    message["error"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn accepted_is_delivered_with_the_providers_id() {
    let (fake, relay) = scene().await;
    let id = submit(&relay, "accepted").await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(fake.mail_count(), 1);
    assert_eq!(message["provider"], "resend");
    assert_eq!(message["provider_message_id"], fake.mails()[0].id);
    assert_eq!(message["recipients"][0]["state"], "delivered");
    assert_eq!(message["attempts"].as_array().unwrap().len(), 1);
    assert_eq!(message["attempts"][0]["outcome"], "delivered");
    relay.http.until_provider_is("resend", "up").await;
    assert_eq!(relay.http.health().await["status"], "ok");
}

#[tokio::test]
async fn a_black_hole_delays_mail_and_nothing_else() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::Hang);
    let relay = Setup::resend(&fake).set("providers.resend.timeout", "1s").start().await;
    let mut ids = Vec::new();
    for number in 0..20 {
        ids.push(submit(&relay, &format!("hole-{number}")).await);
    }
    let begin = Instant::now();
    assert_eq!(relay.http.get("/health").await.status, 200);
    assert!(begin.elapsed() < PROMPT);
    relay.http.until_attempt_is(&ids[0], "temporary").await;

    fake.behave(Behaviour::Normal);
    for id in &ids {
        relay.http.until_message_is(id, "delivered").await;
    }
    assert_eq!(fake.mail_count(), ids.len());
}

#[tokio::test]
async fn a_torn_connection_is_tried_again_with_the_same_request() {
    for torn in [
        Behaviour::ResetEarly,
        Behaviour::ResetLate,
        Behaviour::LoseAnswer,
        Behaviour::Garbage,
        Behaviour::answer(500, r#"{"statusCode":500,"name":"application_error","message":"oh"}"#),
        Behaviour::answer(503, "<html>Service Unavailable</html>"),
        Behaviour::resend_error(409, "concurrent_idempotent_requests", "in progress"),
    ] {
        let (fake, relay) = scene().await;
        fake.then([torn.clone(), torn.clone()]);
        let id = submit(&relay, "torn").await;
        let message = relay.http.until_message_is(&id, "delivered").await;
        assert_eq!(fake.mail_count(), 1, "{torn:?}");
        assert_eq!(message["attempts"][0]["outcome"], "temporary", "{torn:?}");
        assert!(message["attempts"][0]["error"].is_string(), "{torn:?}: no reason recorded");
        let mut calls = fake.calls();
        assert_eq!(calls.len(), 3, "{torn:?}");
        calls.retain(|call| !call.body.is_empty());
        assert_same_request(&calls);
    }
}

#[tokio::test]
async fn an_endless_answer_ends_and_the_mail_leaves_once() {
    let fake = FakeProvider::resend().await;
    fake.then([Behaviour::Huge]);
    let relay = Setup::resend(&fake).set("providers.resend.timeout", "5s").start().await;
    let id = submit(&relay, "endless").await;
    relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(fake.mail_count(), 1);
}

#[tokio::test]
async fn a_slow_provider_does_not_slow_the_app() {
    let (fake, relay) = scene().await;
    fake.behave(Behaviour::Slow(Duration::from_millis(500)));
    let mut ids = Vec::new();
    for number in 0..16 {
        ids.push(submit(&relay, &format!("slow-{number}")).await);
    }
    for id in &ids {
        relay.http.until_message_is(id, "delivered").await;
    }
    assert_eq!(fake.mail_count(), ids.len());
}

#[tokio::test]
async fn an_answer_slower_than_the_time_out_does_not_double_the_mail() {
    let fake = FakeProvider::resend().await;
    fake.then([Behaviour::Slow(Duration::from_millis(2500))]);
    let relay = Setup::resend(&fake).set("providers.resend.timeout", "1s").start().await;
    let id = submit(&relay, "late").await;
    relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(fake.mail_count(), 1);
    assert_same_request(&fake.calls());
}

#[tokio::test]
async fn nobody_listening_is_temporary_and_the_provider_goes_down() {
    let fake = FakeProvider::resend().await;
    let url = fake.url();
    drop(fake);
    let gone = FakeProvider::resend().await;
    let relay = Setup::resend(&gone).set("providers.resend.base_url", &url).start().await;
    let id = submit(&relay, "refused").await;
    relay.http.until_attempt_is(&id, "temporary").await;
    relay.http.until_provider_is("resend", "down").await;
    assert_eq!(relay.http.health().await["status"], "degraded");
    assert_eq!(relay.http.get("/ready").await.status, 503);
    submit(&relay, "still-taken").await;
}

#[tokio::test]
async fn a_throttled_provider_is_left_alone_as_long_as_it_asked() {
    let (fake, relay) = scene().await;
    let body = r#"{"statusCode":429,"name":"rate_limit_exceeded","message":"Too many requests."}"#;
    fake.then([Behaviour::Answer(Reply::new(429, body).header("retry-after", "2"))]);
    let id = submit(&relay, "throttled").await;
    relay.http.until_provider_is("resend", "throttled").await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(message["attempts"][0]["outcome"], "throttled");
    let calls = fake.calls();
    let rest = calls[1].at - calls[0].at;
    assert!(rest >= Duration::from_millis(1900), "asked again after {rest:?}");
    assert!(rest < Duration::from_secs(20), "asked again only after {rest:?}");
    assert_same_request(&calls);
}

#[tokio::test]
async fn a_used_up_quota_keeps_the_mail() {
    for name in ["daily_quota_exceeded", "monthly_quota_exceeded"] {
        let (fake, relay) = scene().await;
        fake.behave(Behaviour::resend_error(429, name, "You have reached your quota."));
        let id = submit(&relay, "quota").await;
        let attempt = relay.http.until_attempt_is(&id, "exhausted").await;
        assert!(attempt["error"].as_str().unwrap().contains("reached your quota"), "{attempt}");
        relay.http.until_provider_is("resend", "exhausted").await;
        let waiting = relay.http.until_message_is(&id, "queued").await;
        assert!(waiting["next_attempt_at"].is_string(), "{waiting}");
        submit(&relay, "behind-the-quota").await;
        assert_eq!(fake.calls().len(), 1, "an exhausted provider was asked again");
        assert_eq!(relay.http.get("/ready").await.status, 503);
    }
}

#[tokio::test]
async fn a_refused_key_costs_no_mail_and_once_mended_everything_leaves() {
    let invalid = Behaviour::resend_error(401, "validation_error", "API key is invalid");
    let fake = FakeProvider::resend().await;
    fake.behave_in_everything(&invalid);
    let relay = Setup::resend(&fake).start().await;
    let first = submit(&relay, "key-1").await;
    let attempt = relay.http.until_attempt_is(&first, "misconfigured").await;
    assert!(attempt["error"].as_str().unwrap().contains("API key is invalid"), "{attempt}");
    relay.http.until_provider_is("resend", "misconfigured").await;
    let second = submit(&relay, "key-2").await;

    let health = relay.http.health().await;
    assert_eq!(health["status"], "degraded");
    assert!(health["providers"]["resend"]["last_error"].to_string().contains("API key is invalid"));
    assert_eq!(relay.http.get("/health").await.status, 200, "a restart could not help");
    assert_eq!(relay.http.get("/ready").await.status, 503);
    for id in [&first, &second] {
        relay.http.until_message_is(id, "queued").await;
    }

    fake.behave_in_everything(&Behaviour::Normal);
    // The provider is asked now and then whether the key works again.
    wait::until_within(wait::PATIENCE * 4, "the waiting mail leaves", async || {
        (fake.mail_count() == 2).then_some(())
    })
    .await;
    for id in [&first, &second] {
        relay.http.until_message_is(id, "delivered").await;
    }
    relay.http.until_provider_is("resend", "up").await;
    assert_eq!(relay.http.get("/ready").await.status, 200);
}

#[tokio::test]
async fn an_account_that_must_be_mended_never_fails_mail() {
    for (status, name, words) in [
        (401, "missing_api_key", "Missing API key in the authorization header"),
        (403, "validation_error", "The sender.example domain is not verified."),
        (403, "validation_error", "You can only send testing emails to your own email address"),
        (403, "suspended_api_key", "This API key is suspended"),
        (400, "validation_error", "API key is invalid"),
    ] {
        let (fake, relay) = scene().await;
        fake.behave_in_everything(&Behaviour::resend_error(status, name, words));
        let id = submit(&relay, "account").await;
        let attempt = relay.http.until_attempt_is(&id, "misconfigured").await;
        assert!(attempt["error"].as_str().unwrap().contains(words), "{attempt}");
        relay.http.until_message_is(&id, "queued").await;
        relay.http.until_provider_is("resend", "misconfigured").await;
    }
}

#[tokio::test]
async fn a_rejected_message_fails_with_the_providers_words() {
    for (status, name, words) in [
        (422, "invalid_parameter", "The `to` field must be a valid address"),
        (422, "invalid_attachment", "The attachment is broken"),
        (400, "validation_error", "The `from` field is not as it should be"),
    ] {
        let (fake, relay) = scene().await;
        fake.then([Behaviour::resend_error(status, name, words)]);
        let id = submit(&relay, "rejected").await;
        let message = relay.http.until_message_is(&id, "failed").await;
        assert!(error_text(&message).contains(words), "{message}");
        assert_eq!(message["recipients"][0]["state"], "failed");
        assert_eq!(message["attempts"].as_array().unwrap().len(), 1);
        assert_eq!(message["attempts"][0]["outcome"], "rejected");
        assert_eq!(fake.calls().len(), 1);

        // It was the message, not the provider.
        let next = submit(&relay, "not-rejected").await;
        relay.http.until_message_is(&next, "delivered").await;
    }
}

#[tokio::test]
async fn an_unknown_refusal_is_tried_three_times_more() {
    let (fake, relay) = scene().await;
    fake.behave(Behaviour::resend_error(418, "teapot", "I am a teapot"));
    let id = submit(&relay, "teapot").await;
    let message = relay.http.until_message_is(&id, "failed").await;
    assert!(error_text(&message).contains("I am a teapot"), "{message}");
    let attempts = message["attempts"].as_array().unwrap();
    assert!(attempts.iter().all(|attempt| attempt["outcome"] == "unknown"), "{message}");
    assert_eq!((attempts.len(), fake.calls().len()), (4, 4));
}

#[tokio::test]
async fn a_request_that_was_wrong_is_kept_and_not_repeated() {
    let (fake, relay) = scene().await;
    let words = "This idempotency key was used with another body";
    fake.behave(Behaviour::resend_error(409, "invalid_idempotent_request", words));
    let id = submit(&relay, "bug").await;
    relay.http.until_attempt_is(&id, "bug").await;
    fake.behave(Behaviour::Normal);

    // Others pass; it was our request, not the provider.
    let next = submit(&relay, "no-bug").await;
    relay.http.until_message_is(&next, "delivered").await;
    let kept = relay.http.until_message_is(&id, "queued").await;
    assert_eq!(kept["attempts"].as_array().unwrap().len(), 1, "{kept}");
    assert_eq!(fake.calls().len(), 2);
    assert!(relay.log().contains("\"ERROR\""), "the error is not loud:\n{}", relay.log());
}

#[tokio::test]
async fn mail_that_nobody_takes_in_time_fails_with_the_last_reason() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::resend_error(503, "service_unavailable", "come back tomorrow"));
    let relay = Setup::resend(&fake).set("delivery.give_up_after", "1s").start().await;
    let id = submit(&relay, "given-up").await;
    let message = relay.http.until_message_is(&id, "failed").await;
    assert!(error_text(&message).contains("come back tomorrow"), "{message}");
    assert!(fake.calls().len() > 1);
}

#[tokio::test]
async fn sendgrid_tells_used_up_credits_from_a_bad_key() {
    for (words, outcome) in [
        ("Maximum credits exceeded", "exhausted"),
        ("The provided authorization grant is invalid, expired, or revoked", "misconfigured"),
    ] {
        let fake = FakeProvider::start(Service::SendGrid).await;
        let setup = Setup::bare()
            .env("SENDGRID_API_KEY", "SG.test")
            .set("providers.sendgrid.base_url", &fake.url());
        let relay = setup.start().await;
        let id = submit(&relay, "sendgrid").await;
        let message = relay.http.until_message_is(&id, "delivered").await;
        assert_eq!(message["provider_message_id"], fake.mails()[0].id);

        fake.behave_in_everything(&Behaviour::sendgrid_error(401, words));
        let id = submit(&relay, "sendgrid-401").await;
        relay.http.until_attempt_is(&id, outcome).await;
        relay.http.until_provider_is("sendgrid", outcome).await;
        relay.http.until_message_is(&id, "queued").await;
    }
}

#[tokio::test]
async fn ses_takes_the_raw_message_and_names_its_errors_in_a_header() {
    let fake = FakeProvider::start(Service::Ses).await;
    let setup =
        Setup::ses(&fake).set("delivery.retry_min", "100ms").set("delivery.retry_max", "400ms");
    let relay = setup.start().await;
    let slow_down = Reply::new(429, r#"{"message":"Maximum sending rate exceeded."}"#)
        .header("x-amzn-ErrorType", "TooManyRequestsException:http://internal");
    fake.then([Behaviour::Answer(slow_down)]);
    let id = submit(&relay, "ses").await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["attempts"][0]["outcome"], "throttled");
    assert_eq!(message["provider_message_id"], fake.mails()[0].id);
    assert_eq!(
        fake.mails()[0].json["Destination"]["ToAddresses"],
        serde_json::json!(["ada@rcpt.example"])
    );
}
