//! Users of the SMTP server: a configuration file as an operator writes it, and what each of them may do.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::fake::FakeProvider;
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{Mail, Session};
use crate::support::wait;

/// The hash is of `correct horse`.
const USERS: &str = r#"
[smtp]
auth = "required"

[[smtp.users]]
username = "lemmy"
password = "hunter-Secret9"
senders = ["*@sender.example"]

[[smtp.users]]
username = "ghost"
password = "$2y$04$RXdSi6t6rMkNpsZ4CH5REugt9e8XHoYDqX4HHnROLKLaIWtJm.H26"
"#;

async fn scene(configuration: &str) -> (FakeProvider, Relay) {
    let fake = FakeProvider::resend().await;
    let setup = Setup::resend(&fake);
    std::fs::write(setup.home().join("mailferry.toml"), configuration).unwrap();
    let relay = setup.start().await;
    (fake, relay)
}

/// The reply's code to AUTH PLAIN.
async fn log_in(session: &mut Session, username: &str, password: &str) -> u16 {
    let response = STANDARD.encode(format!("\0{username}\0{password}"));
    session.command(&format!("AUTH PLAIN {response}")).await.unwrap().code
}

fn mail_from(address: &str, subject: &str) -> Mail {
    let mail = Mail::about(subject);
    let data = mail.data.replace("app@sender.example", address);
    Mail { from: address.to_owned(), data, ..mail }
}

#[tokio::test]
async fn a_user_sends_after_authentication_as_the_senders_allow() {
    let (fake, relay) = scene(USERS).await;
    let mut session = Session::open(relay.smtp).await.unwrap();
    let refused = session.send(&Mail::about("too early")).await.unwrap();
    assert_eq!(refused.code, 530, "{refused:?}");
    assert_eq!(log_in(&mut session, "lemmy", "wrong").await, 535);
    assert_eq!(log_in(&mut session, "lemmy", "hunter-Secret9").await, 235);

    let foreign = session.send(&mail_from("eve@evil.example", "foreign")).await.unwrap();
    assert_eq!(foreign.code, 550, "{foreign:?}");
    let forged =
        Mail { from: "app@sender.example".into(), ..mail_from("eve@evil.example", "forged") };
    let forged = session.send(&forged).await.unwrap();
    assert_eq!(forged.code, 550, "{forged:?}");
    session.send(&Mail::about("mine")).await.unwrap().queue_id();

    wait::until_true("the mail is delivered", || fake.mail_count() == 1).await;
    assert_eq!(fake.mails()[0].subject(), "mine");
    assert_eq!(relay.http.messages().await.len(), 1, "what was refused is not stored");
    let log = relay.log();
    assert!(log.contains("a login failed"), "{log}");
    for secret in ["hunter-Secret9", "wrong\"", "$2y$"] {
        assert!(!log.contains(secret), "{secret} in {log}");
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_hashed_password_is_checked_and_its_user_sends_as_anybody() {
    let (fake, relay) = scene(USERS).await;
    let mut session = Session::open(relay.smtp).await.unwrap();
    assert_eq!(log_in(&mut session, "ghost", "correct horse").await, 235);
    session.send(&mail_from("anybody@blog.example", "post")).await.unwrap().queue_id();
    wait::until_true("the mail is delivered", || fake.mail_count() == 1).await;
    relay.stop().await;
}

#[tokio::test]
async fn trusted_clients_need_no_authentication_unless_it_is_required() {
    let (fake, relay) = scene(&USERS.replace("required", "auto")).await;
    let mut session = Session::open(relay.smtp).await.unwrap();
    session.send(&Mail::about("free")).await.unwrap().queue_id();
    assert_eq!(log_in(&mut session, "nobody", "hunter-Secret9").await, 535);
    wait::until_true("the mail is delivered", || fake.mail_count() == 1).await;
    relay.stop().await;
}
