//! Quotas and the limits that a provider tells in its answers.

use std::time::Duration;

use crate::support::fake::{Behaviour, FakeProvider, Reply, Service};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};

async fn submit(relay: &Relay, subject: &str) -> String {
    smtp::submit(relay.smtp, &Mail::about(subject)).await
}

/// Resend's yes, with these header fields.
fn taken(fields: &[(&str, &str)]) -> Behaviour {
    let reply = Reply::new(200, r#"{"id":"11111111-2222-3333-4444-555555555555"}"#);
    let headed = fields.iter().fold(reply, |reply, (name, value)| reply.header(name, value));
    Behaviour::Answer(headed)
}

#[tokio::test]
async fn a_full_quota_moves_mail_to_the_next_provider_also_after_a_restart() {
    let resend = FakeProvider::resend().await;
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    let setup = Setup::resend(&resend)
        .and_sendgrid(&sendgrid)
        .set("providers.resend.daily_quota", "1000")
        .set("providers.resend.monthly_quota", "2");
    let relay = setup.start().await;
    for (number, provider) in ["resend", "resend", "sendgrid"].into_iter().enumerate() {
        let id = submit(&relay, &format!("quota-{number}")).await;
        let message = relay.http.until_message_is(&id, "delivered").await;
        assert_eq!(message["provider"], provider, "{message}");
    }
    relay.http.until_provider_is("resend", "exhausted").await;
    let health = relay.http.health().await;
    let why = health["providers"]["resend"]["last_error"].to_string();
    assert!(why.contains("the monthly quota is used up, 2 of 2"), "{health}");

    let relay = relay.stop().await.start().await;
    let id = submit(&relay, "after-the-restart").await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "sendgrid", "{message}");
    assert_eq!((resend.mail_count(), sendgrid.mail_count()), (2, 2));
}

#[tokio::test]
async fn a_used_up_window_is_waited_for_although_a_rate_is_configured() {
    let resend = FakeProvider::resend().await;
    resend.then([taken(&[("ratelimit-remaining", "0"), ("ratelimit-reset", "2")])]);
    let relay = Setup::resend(&resend).start().await;
    let first = submit(&relay, "last-of-the-window").await;
    relay.http.until_message_is(&first, "delivered").await;
    let second = submit(&relay, "first-of-the-next").await;
    relay.http.until_message_is(&second, "delivered").await;
    let calls = resend.calls();
    let rest = calls[1].at - calls[0].at;
    assert!(rest >= Duration::from_millis(1_900), "asked again after {rest:?}");
    assert!(rest < Duration::from_secs(20), "asked again only after {rest:?}");
}

#[tokio::test]
async fn the_quota_that_resend_counts_is_taken_over() {
    let resend = FakeProvider::resend().await;
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    resend.then([taken(&[("x-resend-monthly-quota", "3000")])]);
    let setup = Setup::resend(&resend).and_sendgrid(&sendgrid);
    let relay = setup.set("providers.resend.monthly_quota", "3000").start().await;
    let first = submit(&relay, "the-last-one").await;
    relay.http.until_message_is(&first, "delivered").await;
    let second = submit(&relay, "one-too-many").await;
    let message = relay.http.until_message_is(&second, "delivered").await;
    assert_eq!(message["provider"], "sendgrid", "{message}");
    assert_eq!(resend.calls().len(), 1);
}
