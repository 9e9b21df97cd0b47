//! Another configuration while clients are connected.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::config::UserConfig;
use crate::secret::Secret;

impl Running {
    fn change(&self, config: &SmtpConfig) {
        let rules = Rules::new(config, String::from("renamed.example"), None, false).unwrap();
        self.control.change(rules, None, None);
    }
}

impl Client {
    /// The answer to EHLO.
    async fn extensions(&mut self) -> String {
        self.send("EHLO x\r\n").await;
        let mut all = String::new();
        loop {
            let line = self.line().await;
            all += &line;
            if !line.starts_with("250-") {
                return all;
            }
        }
    }

    async fn log_in(&mut self, name: &str, password: &str) -> String {
        let response = STANDARD.encode(format!("\0{name}\0{password}"));
        self.send(&format!("AUTH PLAIN {response}\r\n")).await;
        self.line().await
    }
}

fn user(name: &str, password: &str) -> UserConfig {
    UserConfig {
        username: name.to_owned(),
        password: Secret::new(password),
        senders: Vec::new(),
        route: None,
        provider_options: true,
    }
}

const BEGUN: &str = "MAIL FROM:<>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n";

#[tokio::test]
async fn who_is_connected_keeps_the_limits_and_who_comes_has_the_new_ones() {
    let running = Running::with(&config());
    let mut early = running.connect().await;
    early.expect(&["220 relay.example"]).await;
    assert!(early.extensions().await.contains("SIZE 1048576"));
    early.send(BEGUN).await;
    early.expect(&["250", "250", "354"]).await;

    let mut smaller = config();
    smaller.max_message_size = Size(2_000);
    smaller.max_recipients = NonZeroUsize::MIN;
    running.change(&smaller);
    let mut late = running.connect().await;
    late.expect(&["220 renamed.example"]).await;
    let extensions = late.extensions().await;
    assert!(extensions.contains("SIZE 2000\r\n") && extensions.contains("RCPTMAX=1\r\n"));
    late.send("MAIL FROM:<> SIZE=2001\r\n").await;
    late.expect(&["552"]).await;

    early.send(&format!("{}\r\n.\r\n", "x".repeat(900))).await;
    early.expect(&["250 2.0.0"]).await;
    early.send(BEGUN).await;
    early.expect(&["250", "250", "354"]).await;
    let long = "0123456789\r\n".repeat(300);
    early.send(&format!("{long}.\r\n")).await;
    early.expect(&["250 2.0.0"]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_new_user_logs_in_and_one_who_is_gone_is_sent_away_before_the_next_message() {
    let mut before = config();
    before.auth = AuthMode::Required;
    before.max_connections_per_ip = NonZeroUsize::new(3).unwrap();
    before.users = vec![user("ada", "first"), user("bob", "second")];
    let running = Running::with(&before);
    let (mut ada, mut bob) = (running.connect().await, running.connect().await);
    for (client, name, password) in [(&mut ada, "ada", "first"), (&mut bob, "bob", "second")] {
        client.expect(&["220"]).await;
        client.extensions().await;
        assert!(client.log_in(name, password).await.starts_with("235"));
        client.send(BEGUN).await;
        client.expect(&["250", "250", "354"]).await;
    }
    let mut after = before.clone();
    after.users = vec![user("bob", "second"), user("eve", "third")];
    running.change(&after);

    // What has begun comes to its end, for both.
    for client in [&mut ada, &mut bob] {
        client.send("hello\r\n.\r\n").await;
        client.expect(&["250 2.0.0"]).await;
    }
    ada.send(BEGUN).await;
    ada.expect(&["421 4.7.0"]).await;
    ada.expect_end().await;
    bob.send("MAIL FROM:<>\r\n").await;
    bob.expect(&["250"]).await;

    let mut late = running.connect().await;
    late.expect(&["220"]).await;
    late.extensions().await;
    assert!(late.log_in("ada", "first").await.starts_with("535"));
    assert!(late.log_in("eve", "third").await.starts_with("235"));
    running.stop().await;
}

#[tokio::test]
async fn networks_and_seats_are_those_of_the_moment_of_arrival() {
    let running = Running::with(&config());
    let mut early = running.connect_from(5).await;
    early.expect(&["220"]).await;
    let mut stricter = config();
    stricter.trusted_networks = vec!["127.0.0.9/32".parse().unwrap()];
    stricter.max_connections = NonZeroUsize::new(2).unwrap();
    running.change(&stricter);
    early.send("HELO x\r\nMAIL FROM:<>\r\n").await;
    early.expect(&["250", "250"]).await;
    let mut late = running.connect_from(9).await;
    late.expect(&["220"]).await;
    running.connect_from(9).await.expect(&["421 4.3.2"]).await;
    drop(late);
    drop(early);
    running.until_open(0).await;
    let mut stranger = running.connect_from(5).await;
    stranger.expect(&["220"]).await;
    stranger.send("HELO x\r\nMAIL FROM:<>\r\n").await;
    stranger.expect(&["250", "550"]).await;
    running.stop().await;
}
