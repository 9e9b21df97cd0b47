//! Logging in over a stream, with the time that it takes.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::config::{ProviderKind, SenderPattern, UserConfig};
use crate::message::Account;
use crate::queue::{AccountCheck, Accounts};
use crate::secret::Secret;

/// Of `correct horse`.
const BCRYPT: &str = "$2b$04$abcdefghijklmnopqrstuujydOTSfIH/d5oUHpsygqV5X9xJLQc6e";

const STRANGER: Peer =
    Peer { address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), trusted: false, secure: true };

fn user(username: &str, password: &str) -> UserConfig {
    UserConfig {
        username: username.to_owned(),
        password: Secret::new(password),
        senders: vec![SenderPattern::Domain(String::from("example.org"))],
        route: None,
        provider_options: true,
    }
}

fn plain(username: &str, password: &str) -> String {
    format!("AUTH PLAIN {}\r\n", STANDARD.encode(format!("\0{username}\0{password}")))
}

/// A provider that thinks for some time, then takes every key.
struct Slow(Duration);

#[async_trait]
impl Accounts for Slow {
    async fn check(&self, _account: &Account) -> AccountCheck {
        tokio::time::sleep(self.0).await;
        AccountCheck::Good
    }
}

impl Bench {
    async fn of(peer: Peer, mode: AuthMode, accounts: Option<Arc<dyn Accounts>>) -> Self {
        let bound = UserConfig { provider_options: false, ..user("bound", "secret") };
        let users = vec![user("ada", "secret"), user("bcrypt", BCRYPT), bound];
        let authenticator = Authenticator::new(mode, users, accounts);
        let mut bench =
            Self::connected_as(Recorder::open(), 64 * 1024, peer, (mode, authenticator));
        assert!(bench.line().await.starts_with("220 "));
        bench.send("EHLO client.example\r\n").await;
        while bench.line().await.starts_with("250-") {}
        bench
    }

    async fn quit(mut self) -> Arc<Recorder> {
        self.send("QUIT\r\n").await;
        self.expect(&["221 "]).await;
        self.expect_end().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_user_is_named_in_what_is_handed_over() {
    let mut bench = Bench::of(STRANGER, AuthMode::Required, None).await;
    bench.send(&plain("bcrypt", "correct horse")).await;
    bench.expect(&["235 2.7.0"]).await;
    bench.send(&format!("{ENVELOPE}From: x@example.org\r\n\r\nhi\r\n.\r\n")).await;
    bench.expect(&["250 ", "250 ", "354 ", "250 2.0.0 Ok: queued as "]).await;
    let taken = bench.quit().await.taken();
    assert_eq!(taken[0].user.as_deref(), Some("bcrypt"));
    assert!(taken[0].account.is_none());
}

/// Whether the orders of one message count, sent after this login.
async fn steers(peer: Peer, mode: AuthMode, login: Option<String>) -> bool {
    let accounts: Arc<dyn Accounts> = Arc::new(Slow(Duration::ZERO));
    let mut bench = Bench::of(peer, mode, Some(accounts)).await;
    if let Some(login) = login {
        bench.send(&login).await;
        bench.expect(&["235 2.7.0"]).await;
    }
    bench.send(&format!("{ENVELOPE}From: x@example.org\r\nX-PM-Tag: a\r\n\r\nhi\r\n.\r\n")).await;
    bench.expect(&["250 ", "250 ", "354 ", "250 2.0.0 Ok: queued as "]).await;
    bench.quit().await.taken()[0].may_steer
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_over_says_whether_its_orders_count() {
    let trusted = Peer { trusted: true, ..STRANGER };
    let login = |name: &str| Some(plain(name, "secret"));
    assert!(steers(STRANGER, AuthMode::Required, login("ada")).await);
    assert!(!steers(STRANGER, AuthMode::Required, login("bound")).await);
    assert!(!steers(trusted, AuthMode::Auto, login("bound")).await, "who logs in is that user");
    assert!(steers(trusted, AuthMode::Auto, None).await);
    assert!(steers(STRANGER, AuthMode::Provider, Some(plain("resend", "re_1"))).await);
}

#[tokio::test(start_paused = true)]
async fn a_message_from_a_foreign_sender_is_not_stored() {
    let mut bench = Bench::of(STRANGER, AuthMode::Required, None).await;
    bench.send(&plain("ada", "secret")).await;
    bench.expect(&["235 2.7.0"]).await;
    bench.send("MAIL FROM:<eve@evil.example>\r\n").await;
    bench.expect(&["550 5.7.1 "]).await;
    bench.send(&format!("{ENVELOPE}From: eve@evil.example\r\n\r\nhi\r\n.\r\n")).await;
    bench.expect(&["250 ", "250 ", "354 ", "550 5.7.1 "]).await;
    assert!(bench.quit().await.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_account_is_handed_over_without_a_user() {
    let slow = Arc::new(Slow(Duration::from_secs(5)));
    let mut bench = Bench::of(STRANGER, AuthMode::Provider, Some(slow)).await;
    bench.send(&plain("resend", "re_1")).await;
    bench.expect(&["235 2.7.0"]).await;
    bench.send(&format!("{ENVELOPE}From: x@anywhere.example\r\n\r\nhi\r\n.\r\n")).await;
    bench.expect(&["250 ", "250 ", "354 ", "250 2.0.0 Ok: queued as "]).await;
    let taken = bench.quit().await.taken();
    let account = taken[0].account.as_ref().unwrap();
    assert_eq!((account.kind, account.key.expose()), (ProviderKind::Resend, "re_1"));
    assert_eq!(taken[0].user, None);
}

#[tokio::test(start_paused = true)]
async fn each_wrong_guess_takes_longer_and_the_third_is_the_last() {
    let mut bench = Bench::of(STRANGER, AuthMode::Required, None).await;
    let mut delays = Vec::new();
    for _ in 0..3 {
        let begun = Instant::now();
        bench.send(&plain("ada", "guess")).await;
        bench.expect(&["535 5.7.8 "]).await;
        delays.push(begun.elapsed().as_millis());
    }
    assert_eq!(delays, [250, 500, 1000]);
    bench.expect(&["421 4.7.0 "]).await;
    drop(bench.client);
    bench.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_right_answer_is_not_held_back() {
    let mut bench = Bench::of(STRANGER, AuthMode::Required, None).await;
    bench.send(&plain("ada", "guess")).await;
    bench.expect(&["535 "]).await;
    let begun = Instant::now();
    bench.send(&plain("ada", "secret")).await;
    bench.expect(&["235 "]).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    bench.quit().await;
}

#[tokio::test(start_paused = true)]
async fn replies_before_the_check_do_not_wait_for_it() {
    let slow = Arc::new(Slow(Duration::from_secs(20)));
    let mut bench = Bench::of(STRANGER, AuthMode::Provider, Some(slow)).await;
    let begun = Instant::now();
    bench.send(&format!("NOOP\r\n{}NOOP\r\n", plain("resend", "re_1"))).await;
    bench.expect(&["250 "]).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    bench.expect(&["235 ", "250 "]).await;
    assert_eq!(begun.elapsed().as_secs(), 20);
    bench.quit().await;
}

#[tokio::test(start_paused = true)]
async fn a_long_check_is_no_silence_of_the_client() {
    let slow = Arc::new(Slow(Duration::from_secs(29)));
    let mut bench = Bench::of(STRANGER, AuthMode::Provider, Some(slow)).await;
    // All of the time for a silent stranger but a second has passed when the check begins.
    tokio::time::sleep(STRANGER_IDLE_MAX - Duration::from_secs(1)).await;
    bench.send(&plain("resend", "re_1")).await;
    bench.expect(&["235 "]).await;
    let begun = Instant::now();
    bench.expect(&["421 4.4.2 "]).await;
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs(), "and then it may be silent like anybody");
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_a_check_and_the_wait_after_it() {
    let slow = Arc::new(Slow(Duration::from_secs(20)));
    let mut checking = Bench::of(STRANGER, AuthMode::Provider, Some(slow)).await;
    checking.send(&plain("resend", "re_1")).await;
    let mut waiting = Bench::of(STRANGER, AuthMode::Required, None).await;
    waiting.send(&plain("ada", "guess")).await;
    for mut bench in [checking, waiting] {
        let begun = Instant::now();
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        bench.shutdown.cancel();
        bench.expect(&["421 4.3.2 "]).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        bench.expect_end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_has_failed_often_is_not_checked() {
    let users = vec![user("ada", "secret")];
    let authenticator = Authenticator::new(AuthMode::Required, users, None);
    let credentials = || crate::smtp::auth::Credentials {
        username: String::from("ada"),
        password: Secret::new("guess"),
    };
    for _ in 0..20 {
        authenticator.verify(credentials(), STRANGER).await;
    }
    let policy = (AuthMode::Required, authenticator);
    let mut bench = Bench::connected_as(Recorder::open(), 64 * 1024, STRANGER, policy);
    let begun = Instant::now();
    bench.send("EHLO client.example\r\n").await;
    for _ in 0..3 {
        bench.send(&plain("ada", "secret")).await;
    }
    loop {
        let line = bench.line().await;
        if line.starts_with("454 ") {
            assert!(line.starts_with("454 4.7.0 Too many failed logins from your address"));
            break;
        }
        assert!(line.starts_with('2'), "{line}");
    }
    bench.expect(&["454 4.7.0 ", "454 4.7.0 ", "421 4.7.0 "]).await;
    assert_eq!(begun.elapsed(), Duration::ZERO);
    drop(bench.client);
    bench.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_room_of_a_long_answer_is_given_back() {
    let mut bench = Bench::of(STRANGER, AuthMode::Required, None).await;
    bench.send("AUTH LOGIN\r\n").await;
    bench.expect(&["334 "]).await;
    bench.send(&format!("{}\r\n", "A".repeat(12_286))).await;
    bench.expect(&["501 5.5.2 "]).await;
    bench.send(&format!("{}\r\n", "A".repeat(2047))).await;
    bench.expect(&["500 5.5.6 A command line"]).await;
    bench.quit().await;
}
