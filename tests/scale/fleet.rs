//! Instances on one database.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;

use super::cut::Cut;
use super::load::Addresses;
use super::postgres::{self, Server};
use super::support::fake::{FakeProvider, Service};
use super::support::http::Api;
use super::support::relay::{Relay, Setup};
use super::support::smtp::{Mail, Session};
use super::support::{skip, wait};

/// After this an instance that says nothing has lost its claims.
pub(crate) const TAKEOVER: Duration = Duration::from_secs(2);

/// True where PostgreSQL is installed; otherwise the test is noted as skipped.
pub(crate) fn has_postgres(test: &str) -> bool {
    let installed = postgres::is_installed();
    if !installed {
        skip::skip(test, "not installed: postgresql");
    }
    installed
}

pub(crate) fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What everything by chance is drawn from.
pub(crate) fn seed() -> u64 {
    from_environment("MAILFERRY_TEST_SEED").unwrap_or_else(|| fastrand::u64(..))
}

/// How an instance on this database is started.
pub(crate) fn on(setup: Setup, url: &str) -> Setup {
    let takeover = format!("{}s", TAKEOVER.as_secs());
    setup.set("queue.url", url).set("queue.takeover_after", &takeover)
}

/// A provider that knows no repeats: what is sent twice leaves twice.
pub(crate) async fn forgetful() -> FakeProvider {
    FakeProvider::start(Service::SendGrid).await
}

/// Delivers by a provider that knows no repeats, with few calls at a time.
pub(crate) fn by_forgetful(fake: &FakeProvider, concurrency: usize) -> Setup {
    Setup::bare()
        .env("SENDGRID_API_KEY", "SG.test")
        .set("providers.sendgrid.base_url", &fake.url())
        .set("providers.sendgrid.rate", "10000/s")
        .set("providers.sendgrid.concurrency", &concurrency.to_string())
        .set("delivery.retry_min", "100ms")
        .set("delivery.retry_max", "400ms")
}

/// A server of the test's own, and instances on a database of it.
#[derive(Debug)]
pub(crate) struct Fleet {
    // First: they end before their server does.
    running: Vec<Option<Relay>>,
    setups: Vec<Setup>,
    pub(crate) addresses: Addresses,
    pub(crate) server: Server,
    pub(crate) database: String,
}

impl Fleet {
    /// A database with nobody on it.
    pub(crate) fn nobody() -> Self {
        let server = Server::start(&[]);
        let database = server.database();
        Self {
            running: Vec::new(),
            setups: Vec::new(),
            addresses: Addresses::default(),
            server,
            database,
        }
    }

    /// So many instances, all alike.
    pub(crate) async fn of(count: usize, setup: impl Fn() -> Setup) -> Self {
        let mut fleet = Self::nobody();
        for _ in 0..count {
            fleet.join(on(setup(), &fleet.url())).await;
        }
        fleet
    }

    pub(crate) fn url(&self) -> String {
        self.server.url(&self.database)
    }

    /// A wire to the database, and the URL by it.
    pub(crate) async fn wire(&self) -> (Cut, String) {
        let cut = Cut::before(SocketAddr::from(([127, 0, 0, 1], self.server.port))).await;
        let url = self
            .url()
            .replace(&format!(":{}/", self.server.port), &format!(":{}/", cut.address.port()));
        (cut, url)
    }

    /// Starts one more; its number.
    pub(crate) async fn join(&mut self, setup: Setup) -> usize {
        let number = self.running.len();
        self.setups.push(setup);
        self.running.push(None);
        self.addresses.lock().unwrap().push(None);
        self.start(number).await;
        number
    }

    /// Starts one that is down.
    pub(crate) async fn start(&mut self, number: usize) {
        let relay = self.setups[number].start().await;
        self.addresses.lock().unwrap()[number] = Some(relay.smtp);
        self.running[number] = Some(relay);
    }

    /// No client comes to this one any more.
    pub(crate) fn hide(&self, number: usize) {
        self.addresses.lock().unwrap()[number] = None;
    }

    pub(crate) async fn kill_9(&mut self, number: usize) {
        let relay = self.running[number].take().expect("it runs");
        relay.kill_9().await;
        self.hide(number);
    }

    /// SIGTERM, and its end.
    pub(crate) async fn stop(&mut self, number: usize) {
        let relay = self.running[number].take().expect("it runs");
        relay.stop().await;
        self.hide(number);
    }

    /// An instance that runs.
    pub(crate) fn at(&self, number: usize) -> &Relay {
        self.running[number].as_ref().expect("it runs")
    }

    pub(crate) fn api(&self, number: usize) -> &Api {
        &self.at(number).http
    }

    /// The numbers of those that run.
    pub(crate) fn alive(&self) -> Vec<usize> {
        (0..self.running.len()).filter(|it| self.running[*it].is_some()).collect()
    }

    /// Waits until nothing waits any more, by what each that runs says; nothing has failed.
    pub(crate) async fn settle(&self, context: &str) {
        for number in self.alive() {
            let settled = format!("{context}: nothing waits any more, by instance {number}");
            let mut last = Value::Null;
            let empty = async || {
                last = self.api(number).health().await["queue"].clone();
                (last["queued"] == 0 && last["sending"] == 0).then(|| last.clone())
            };
            let queue = wait::until_within(wait::PATIENCE * 2, &settled, empty).await;
            assert_eq!(queue["failed"], 0, "{context}: {queue}");
        }
    }

    /// What the instances have logged, for a failure.
    pub(crate) fn logs(&self) -> String {
        let alive = self.alive().into_iter();
        alive.map(|it| format!("-- {it}\n{}", self.at(it).log())).collect()
    }
}

/// A port that is free now.
pub(crate) fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Mails that are to be sent by somebody one after the other; their ids.
pub(crate) async fn submit_some(address: SocketAddr, name: &str, count: usize) -> Vec<String> {
    let mut session = Session::open(address).await.unwrap();
    let mut ids = Vec::new();
    for number in 0..count {
        let mail = Mail::about(&format!("{name}-{number}"));
        ids.push(session.send(&mail).await.unwrap().queue_id());
    }
    ids
}
