//! Dialogues with the running server, over a real socket.

mod client;
mod dialogues;
mod limits;
pub(super) mod sample;
mod store;

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::client::{Answer, ask};
use self::store::FakeStore;
use super::{Side, SmtpStatus, bind};
use crate::clock::TimerClock;
use crate::config::{self, HttpConfig, SenderConfig};
use crate::delivery::Delivery;
use crate::secret::Secret;

/// A server on a free port of this machine. It ends with the test.
struct Running {
    address: SocketAddr,
    shutdown: CancellationToken,
    task: JoinHandle<()>,
}

/// What a test wants to be different.
struct Setup {
    token: &'static str,
    trusted: bool,
    store: FakeStore,
    listening: Vec<SocketAddr>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            token: "",
            trusted: true,
            store: FakeStore::default(),
            listening: vec![SocketAddr::from(([127, 0, 0, 1], 1025))],
        }
    }
}

/// A delivery without providers.
fn delivery() -> Arc<Delivery> {
    Arc::new(Delivery {})
}

impl Setup {
    async fn start(self) -> Running {
        let config = HttpConfig {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            token: Secret::new(self.token),
            trusted_networks: if self.trusted { config::trusted_networks() } else { Vec::new() },
        };
        let side = Side {
            store: Arc::new(self.store),
            delivery: delivery(),
            sender: SenderConfig {
                address: Some("app@example.org".parse().unwrap()),
                ..SenderConfig::default()
            },
            smtp: SmtpStatus { listening: self.listening, ..SmtpStatus::default() },
            queue_backend: "memory",
            queue_messages_max: 1000,
            clock: Arc::new(TimerClock::starting_at(sample::now())),
            started: sample::now(),
        };
        let server = bind(&config).await.unwrap();
        let address = server.address();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(server.run(side, shutdown.clone()));
        Running { address, shutdown, task }
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

    async fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.address, "POST", path, headers, body).await
    }
}
