//! A relay that sends through another relay.

use super::{awkward, submitted};
use crate::support::relay::Setup;
use crate::support::smtp;

#[tokio::test]
async fn a_relay_sends_through_another() {
    let last = Setup::bare().env("EMAIL_PROVIDERS", "capture").start().await;
    let first = Setup::bare()
        .env("EMAIL_PROVIDERS", "smtp")
        .env("SMTP_HOST", "127.0.0.1")
        .env("SMTP_PORT", &last.smtp.port().to_string())
        .env("SMTP_USE_TLS", "0")
        .start()
        .await;
    let mail = awkward(&["ada@rcpt.example", "bob@rcpt.example"]);
    let id = smtp::submit(first.smtp, &mail).await;
    let sent = first.http.until_message_is(&id, "delivered").await;
    let arrived = sent["provider_message_id"].as_str().unwrap();
    let arrived = last.http.until_message_is(arrived, "delivered").await;
    assert_eq!(arrived["from"], "bounce+1@sender.example");
    assert_eq!(arrived["recipients"].as_array().unwrap().len(), 2);
    let path = format!("/api/v1/messages/{}/raw", arrived["id"].as_str().unwrap());
    assert_eq!(last.http.get(&path).await.body, submitted(&mail));
}
