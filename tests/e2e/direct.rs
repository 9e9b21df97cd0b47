//! Direct mode: the reply to DATA is the provider's word, and nothing is stored.

use crate::support::fake::{Behaviour, FakeProvider};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail, Reply};

async fn scene() -> (FakeProvider, Relay) {
    let fake = FakeProvider::resend().await;
    let setup =
        Setup::resend(&fake).set("delivery.mode", "direct").set("providers.resend.timeout", "1s");
    let relay = setup.start().await;
    (fake, relay)
}

async fn send(relay: &Relay, subject: &str) -> Reply {
    smtp::send(relay.smtp, &Mail::about(subject)).await
}

#[tokio::test]
async fn a_250_is_the_providers_yes() {
    let (fake, relay) = scene().await;
    assert_eq!(send(&relay, "yes").await.code, 250);
    assert_eq!(fake.mail_count(), 1);
    assert_eq!(relay.http.messages().await.len(), 0, "something was stored");
}

#[tokio::test]
async fn what_may_pass_is_451_with_the_reason() {
    for (behaviour, reason) in [
        (Behaviour::resend_error(500, "application_error", "out of order"), "out of order"),
        (Behaviour::resend_error(429, "rate_limit_exceeded", "too many"), "too many"),
        (Behaviour::resend_error(401, "validation_error", "API key is invalid"), ""),
        (Behaviour::Hang, ""),
        (Behaviour::ResetLate, ""),
    ] {
        let (fake, relay) = scene().await;
        fake.behave(behaviour.clone());
        let reply = send(&relay, "later").await;
        assert_eq!(reply.code, 451, "{behaviour:?}: {reply:?}");
        assert!(reply.text.starts_with("4."), "{reply:?}");
        assert!(reply.text.contains(reason), "{reply:?}");
        assert_eq!(fake.mail_count(), 0);
        assert_eq!(relay.http.messages().await.len(), 0, "something was stored");
    }
}

#[tokio::test]
async fn what_is_refused_for_good_is_554_with_the_reason() {
    let (fake, relay) = scene().await;
    fake.then([Behaviour::resend_error(422, "invalid_parameter", "The `to` field is wrong")]);
    let reply = send(&relay, "never").await;
    assert_eq!(reply.code, 554, "{reply:?}");
    assert!(reply.text.starts_with("5."), "{reply:?}");
    assert!(reply.text.contains("The `to` field is wrong"), "{reply:?}");
    assert_eq!(send(&relay, "next").await.code, 250);
}
