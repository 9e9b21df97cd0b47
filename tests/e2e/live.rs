//! What the page hears while mail goes through.

use std::collections::VecDeque;

use serde_json::Value;

use crate::support::fake::FakeProvider;
use crate::support::relay::{RESEND_KEY, Relay, Setup};
use crate::support::smtp::{self, Mail};
use crate::support::wait::PATIENCE;

/// What the data of an event of this name must show.
type Wanted<'a> = (&'a str, &'a dyn Fn(&Value) -> bool);

/// An open stream of events.
struct Events {
    answer: reqwest::Response,
    text: String,
    events: VecDeque<(String, Value)>,
}

impl Events {
    async fn open(relay: &Relay) -> Self {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let answer = client.get(relay.http.url("/api/v1/events")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        Self { answer, text: String::new(), events: VecDeque::new() }
    }

    /// The next event; `None` at the end of the stream.
    async fn next(&mut self) -> Option<(String, Value)> {
        while self.events.is_empty() {
            let chunk = tokio::time::timeout(PATIENCE, self.answer.chunk()).await.unwrap();
            self.text.push_str(std::str::from_utf8(&chunk.unwrap()?).unwrap());
            while let Some((event, rest)) = self.text.split_once("\n\n") {
                if let Some((name, data)) = event.split_once("\ndata: ") {
                    let name = name.strip_prefix("event: ").unwrap().to_owned();
                    self.events.push_back((name, serde_json::from_str(data).unwrap()));
                }
                self.text = rest.to_owned();
            }
        }
        self.events.pop_front()
    }

    /// Reads until an event of this name has what is wanted.
    async fn until(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) {
        self.until_all(&[(name, &wanted)]).await;
    }

    /// Reads until each of these has been told, in whatever order.
    async fn until_all(&mut self, wanted: &[Wanted<'_>]) {
        let reading = async {
            let mut missing = wanted.to_vec();
            while !missing.is_empty() {
                let (found, data) = self.next().await.expect("the stream goes on");
                missing.retain(|(name, wanted)| found != *name || !wanted(&data));
            }
        };
        // There are signs of life all the time.
        tokio::time::timeout(PATIENCE, reading).await.expect("it is told");
    }
}

#[tokio::test]
async fn a_message_is_followed_from_the_queue_to_its_end() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let mut events = Events::open(&relay).await;
    events.until("queue", |counts| counts["queued"] == 0).await;
    events.until("providers", |all| all["resend"]["state"] == "up").await;
    let id = smtp::submit(relay.smtp, &Mail::about("watched")).await;
    events.until("message", |told| told["id"] == *id && told["state"] == "delivered").await;

    relay.sigterm().await;
    while events.next().await.is_some() {}
}

#[tokio::test]
async fn a_provider_that_fails_is_told() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let mut events = Events::open(&relay).await;
    events.until("providers", |all| all["resend"]["state"] == "up").await;
    fake.revoke(RESEND_KEY);
    smtp::submit(relay.smtp, &Mail::about("refused")).await;
    events
        .until_all(&[
            ("providers", &|all| all["resend"]["state"] == "misconfigured"),
            ("queue", &|counts| counts["queued"] == 1),
        ])
        .await;
}
