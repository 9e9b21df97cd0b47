//! Dialogues with the running server, over a real socket.

mod acts;
mod client;
mod content;
mod dialogues;
mod doors;
mod forms;
mod limits;
mod lists;
mod live;
mod login;
mod openapi;
mod pages;
mod provider;
mod request;
pub(super) mod sample;
mod store;
mod submit;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderName, Uri};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::client::{Answer, ask};
use self::provider::Willing;
use self::store::FakeStore;
use super::access::{Access, Asking, Memory};
use super::side::Context;
use super::{Control, Side, SmtpStatus, bind};
use crate::clock::{SharedClock, TimerClock};
use crate::config::{self, HttpConfig, OnLoss, OnUnclear, RateLimit, SenderConfig};
use crate::delivery::{Backoff, Delivery, LaneSetup, QuotaSetup, RetryRules, Settings, SetupMark};
use crate::queue::{Feed, Store};
use crate::secret::Secret;

/// A server on a free port of this machine. It ends with the test.
struct Running {
    address: SocketAddr,
    control: Control,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// What a test wants to be different.
pub(super) struct Setup {
    token: &'static str,
    trusted: bool,
    store: FakeStore,
    providers: &'static [&'static str],
    listening: Vec<SocketAddr>,
    catching: bool,
    /// A queue in which delivery keeps messages, in place of `store`.
    queue: Option<Arc<dyn Store>>,
    feed: Feed,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            token: "",
            trusted: true,
            store: FakeStore::default(),
            providers: &["resend", "ses"],
            listening: vec![SocketAddr::from(([127, 0, 0, 1], 1025))],
            catching: false,
            queue: None,
            feed: Feed::default(),
        }
    }
}

/// The defaults, on a free port of this machine.
fn config() -> HttpConfig {
    HttpConfig {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        token: Secret::default(),
        trusted_networks: config::trusted_networks(),
        hosts: Vec::new(),
        send_rate: RateLimit { calls: 30, per: Duration::from_mins(1) },
        submit_rate: RateLimit { calls: 6000, per: Duration::from_mins(1) },
    }
}

/// A delivery with the providers that are named; without a queue it records nothing.
fn delivery(
    providers: &[&str],
    queue: Option<Arc<dyn Store>>,
    clock: &SharedClock,
) -> Arc<Delivery> {
    let lane = |name: &&str| LaneSetup {
        name: (*name).to_owned(),
        provider: Arc::new(Willing::default()),
        concurrency: NonZeroUsize::MIN,
        rate: None,
        quotas: QuotaSetup::default(),
        in_route: true,
        mark: SetupMark::default(),
        account: SetupMark::default(),
    };
    let settings = Settings {
        lanes: providers.iter().map(lane).collect(),
        routes: Vec::new(),
        user_routes: HashMap::new(),
        accounts: None,
        rules: RetryRules {
            backoff: Backoff::new(Duration::from_secs(2), Duration::from_mins(15)),
            give_up_after: Duration::from_hours(24),
        },
        sender: SenderConfig::default(),
        on_loss: OnLoss::default(),
        on_unclear: OnUnclear::default(),
        batch_max: NonZeroUsize::MIN,
        batch_linger: Duration::ZERO,
        log_subject: false,
        hook: None,
        instance: Arc::from("test"),
    };
    Arc::new(Delivery::new(settings, queue, Arc::clone(clock), fastrand::Rng::with_seed(1)))
}

impl Setup {
    fn config(&self) -> HttpConfig {
        let mut config = HttpConfig { token: Secret::new(self.token), ..config() };
        if !self.trusted {
            config.trusted_networks.clear();
        }
        config
    }

    fn side(self) -> Side {
        let clock: SharedClock = Arc::new(TimerClock::starting_at(sample::now()));
        let delivery = delivery(self.providers, self.queue.clone(), &clock);
        Side {
            store: self.queue.unwrap_or_else(|| Arc::new(self.store)),
            feed: self.feed,
            delivery,
            sender: SenderConfig {
                address: Some("app@example.org".parse().unwrap()),
                ..SenderConfig::default()
            },
            smtp: SmtpStatus { listening: self.listening, ..SmtpStatus::default() },
            queue_backend: "memory",
            catching: self.catching,
            queue_messages_max: 1000,
            recipients_max: 3,
            message_bytes_max: 1 << 20,
            clock,
            started: sample::now(),
        }
    }

    /// What handlers hold, without a server.
    pub(super) fn context(self) -> Arc<Context> {
        let access = Access::new(&self.config());
        Context::new(self.side(), access, Memory::new().unwrap(), CancellationToken::new())
    }

    async fn start(self) -> Running {
        let server = bind(&self.config(), None).await.unwrap();
        let address = server.address();
        let shutdown = CancellationToken::new();
        let (control, answering) = server.start(self.side(), shutdown.clone());
        Running { address, control, shutdown, task: tokio::spawn(answering) }
    }
}

impl Running {
    /// `GET path`, as curl would ask.
    async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        ask(self.address, "GET", path, headers, b"").await
    }

    /// Has another token hold from now on.
    fn change_token(&self, token: &str) {
        let config = HttpConfig { token: Secret::new(token), ..config() };
        self.control.change(&config, SenderConfig::default(), 3, 1 << 20, false);
    }

    /// What forms must bring back that are shown to whoever asks with `headers`.
    fn csrf(&self, headers: &[(&str, &str)]) -> String {
        let name = |name: &str| name.parse::<HeaderName>().unwrap();
        let pairs = headers.iter().map(|(n, value)| (name(n), value.parse().unwrap()));
        let (context, headers) = (self.control.context(), pairs.collect());
        let (peer, uri) = (self.address.ip(), Uri::from_static("/"));
        let asking = Asking { peer, uri: &uri, headers: &headers, now: Instant::now() };
        context.rules.load().access.caller(&context.memory, &asking).csrf().to_owned()
    }

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.address, "POST", path, headers, body).await
    }
}

#[tokio::test]
async fn another_token_holds_from_the_next_request_on() {
    let running = Setup { token: "first", ..Setup::default() }.start().await;
    let status = async |token: &str| {
        let bearer = format!("Bearer {token}");
        running.get_with("/api/v1/messages", &[("authorization", bearer.as_str())]).await.status
    };
    assert_eq!((status("first").await, status("second").await), (200, 401));
    let config =
        HttpConfig { token: Secret::new("second"), trusted_networks: Vec::new(), ..config() };
    running.control.change(&config, SenderConfig::default(), 3, 1 << 20, false);
    assert_eq!((status("first").await, status("second").await), (401, 200));
    let open = HttpConfig { token: Secret::default(), ..config };
    running.control.change(&open, SenderConfig::default(), 3, 1 << 20, false);
    assert_eq!(running.get("/api/v1/messages").await.status, 403, "nobody is trusted now");
}
