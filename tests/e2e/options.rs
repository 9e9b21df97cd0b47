//! Header fields that give a provider orders: they become parts of the request for whoever may give them, and nothing of
//! them leaves for anybody else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::fake::{FakeProvider, Service};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{Mail, Session};
use crate::support::wait;

const USERS: &str = r#"
[smtp]
auth = "required"

[[smtp.users]]
username = "shop"
password = "shop-Secret9"

[[smtp.users]]
username = "tenant"
password = "tenant-Secret9"
provider_options = false
"#;

/// In every order; nothing else of the mail has it.
const MARK: &str = "zqxmark";

const ORDERS: &str = "Resend-Idempotency-Key: zqxmark-1\r\n\
    x-smtpapi: {\"category\": [\"zqxmark\"],\r\n \"unique_args\": {\"order\": \"zqxmark\"},\r\n\
    \t\"filters\": {\"clicktrack\": {\"settings\": {\"enable\": 0}}}}\r\n\
    X-PM-Tag: zqxmark\r\n\
    X-SES-CONFIGURATION-SET: zqxmark\r\n\
    X-SES-MESSAGE-TAGS: order=zqxmark, kind=a\r\n\
    X-Mailgun-Tag: zqxmark\r\n\
    X-Mailin-custom: zqxmark\r\n";

fn mail() -> Mail {
    let mail = Mail::about("orders");
    Mail { data: format!("{ORDERS}{}", mail.data), ..mail }
}

async fn start(setup: Setup, configuration: &str) -> Relay {
    std::fs::write(setup.home().join("mailferry.toml"), configuration).unwrap();
    setup.start().await
}

async fn send_as(relay: &Relay, user: &str, count: usize, fake: &FakeProvider) -> Value {
    let mut session = Session::open(relay.smtp).await.unwrap();
    let response = STANDARD.encode(format!("\0{user}\0{user}-Secret9"));
    assert_eq!(session.command(&format!("AUTH PLAIN {response}")).await.unwrap().code, 235);
    session.send(&mail()).await.unwrap().queue_id();
    wait::until_true("the mail is delivered", || fake.mail_count() == count).await;
    fake.mails()[count - 1].json.clone()
}

/// Everything of a request: its head, its body, and what is encoded in it.
fn whole_request(fake: &FakeProvider, number: usize) -> String {
    let call = &fake.calls()[number];
    let body = call.json();
    let raw = body["Content"]["Raw"]["Data"].as_str().unwrap_or_default();
    let raw = STANDARD.decode(raw).unwrap();
    let raw = String::from_utf8(raw).unwrap();
    format!("{:?} {body} {raw}", call.head).to_lowercase()
}

fn assert_nothing_arrived(fake: &FakeProvider, number: usize) {
    let request = whole_request(fake, number);
    for gone in [MARK, "smtpapi", "x-pm-tag", "x-ses-", "x-mailgun", "x-mailin", "resend-idem"] {
        assert!(!request.contains(gone), "{gone} in {request}");
    }
    assert!(request.contains("orders"), "the mail itself has arrived: {request}");
}

#[tokio::test]
async fn sendgrid_obeys_the_user_who_may_steer() {
    let fake = FakeProvider::start(Service::SendGrid).await;
    let setup = Setup::bare()
        .env("SENDGRID_API_KEY", "SG.test")
        .set("providers.sendgrid.base_url", &fake.url());
    let relay = start(setup, USERS).await;
    let mail = send_as(&relay, "shop", 1, &fake).await;
    assert_eq!(mail["categories"], json!([MARK]));
    assert_eq!(mail["personalizations"][0]["custom_args"]["order"], MARK);
    assert_eq!(mail["tracking_settings"], json!({"click_tracking": {"enable": false}}));
    assert!(!whole_request(&fake, 0).contains("smtpapi"));

    send_as(&relay, "tenant", 2, &fake).await;
    assert_nothing_arrived(&fake, 1);
    relay.stop().await;
}

#[tokio::test]
async fn ses_obeys_the_user_who_may_steer() {
    let fake = FakeProvider::start(Service::Ses).await;
    let relay = start(Setup::ses(&fake), USERS).await;
    let mail = send_as(&relay, "shop", 1, &fake).await;
    assert_eq!(mail["ConfigurationSetName"], MARK);
    let tags = json!([{"Name": "order", "Value": MARK}, {"Name": "kind", "Value": "a"}]);
    assert_eq!(mail["EmailTags"], tags);
    assert!(!whole_request(&fake, 0).contains("x-ses-"));

    send_as(&relay, "tenant", 2, &fake).await;
    assert_nothing_arrived(&fake, 1);
    relay.stop().await;
}

#[tokio::test]
async fn resend_gets_one_mail_under_one_key_of_the_app() {
    let fake = FakeProvider::resend().await;
    let relay = start(Setup::resend(&fake), USERS).await;
    send_as(&relay, "shop", 1, &fake).await;
    assert_eq!(fake.mails()[0].key.as_deref(), Some("zqxmark-1"));

    // Once more, as an app does that had no answer: it is the same mail and no second copy.
    let mut session = Session::open(relay.smtp).await.unwrap();
    let response = STANDARD.encode("\0shop\0shop-Secret9");
    assert_eq!(session.command(&format!("AUTH PLAIN {response}")).await.unwrap().code, 235);
    let again = session.send(&mail()).await.unwrap().queue_id();
    relay.http.until_message_is(&again, "delivered").await;
    assert_eq!(fake.mail_count(), 1);

    // Another mail under the same key is refused, and nobody is told that mailferry is at fault.
    let other = Mail { data: mail().data.replace("\r\n\r\n", "\r\n\r\nanother "), ..mail() };
    let other = session.send(&other).await.unwrap().queue_id();
    let record = relay.http.until_message_is(&other, "failed").await;
    assert!(record["error"].to_string().contains("Resend-Idempotency-Key"), "{record}");
    assert!(!relay.log().contains("fault of mailferry"));
    assert_eq!(fake.mail_count(), 1);

    send_as(&relay, "tenant", 2, &fake).await;
    let calls = fake.calls().len();
    assert_nothing_arrived(&fake, calls - 1);
    assert!(fake.mails()[1].key.as_deref().unwrap().starts_with("mailferry-"));
    relay.stop().await;
}

#[tokio::test]
async fn a_brought_account_may_be_steered_by_whoever_brought_it() {
    let fake = FakeProvider::resend().await;
    let setup = Setup::bare()
        .set("smtp.auth", "provider")
        .set("providers.resend.base_url", &fake.url())
        .set("providers.resend.rate", "10000/s");
    let relay = setup.start().await;
    let mut session = Session::open(relay.smtp).await.unwrap();
    let response = STANDARD.encode("\0resend\0re_one_Secret111");
    assert_eq!(session.command(&format!("AUTH PLAIN {response}")).await.unwrap().code, 235);
    session.send(&mail()).await.unwrap().queue_id();
    wait::until_true("the mail is delivered", || fake.mail_count() == 1).await;
    assert_eq!(fake.mails()[0].key.as_deref(), Some("zqxmark-1"));
    relay.stop().await;
}
