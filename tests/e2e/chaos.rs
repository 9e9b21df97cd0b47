//! Kill -9 under load while mail fails over, waits in batches, and the store is held by somebody else: every message that
//! had its 250 has left afterwards, and only once where the service knows repeats.
//!
//! Everything is drawn from a seed, which every failure names; `MAILFERRY_TEST_SEED` repeats it, and
//! `MAILFERRY_CHAOS_ROUNDS` makes it longer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;

use crate::support::fake::{Behaviour, FakeProvider, Reply, Service};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{Mail, Session};
use crate::support::wait;

/// Enough for each fault to meet a crash now and then, in about twenty seconds.
const ROUNDS: u64 = 8;
/// Clients that send at the same time.
const SESSIONS: usize = 4;
/// What each of them sends in a round at the most: a provider of few calls a second has to work it off.
const MAILS: usize = 60;
/// What Resend bears in the test: single calls would take minutes for what comes in within a round.
const RATE: &str = "6/s";

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap())
}

/// What becomes of the calls of a round.
fn behaviour(rng: &mut Rng) -> Behaviour {
    match rng.u8(..7) {
        0 => Behaviour::answer(500, "{}"),
        1 => Behaviour::ResetLate,
        2 => Behaviour::LoseAnswer,
        3 => Behaviour::Slow(Duration::from_millis(rng.u64(1..150))),
        4 => Behaviour::Answer(Reply::new(429, "{}").header("retry-after", "1")),
        _ => Behaviour::Normal,
    }
}

/// Subjects that had their 250.
type Acknowledged = Arc<Mutex<BTreeSet<String>>>;

/// Sends until the connection breaks or it has sent enough. Who is refused for now tries another.
async fn load(address: SocketAddr, name: String, acknowledged: Acknowledged) {
    let Ok(mut session) = Session::open(address).await else { return };
    for number in 0..MAILS {
        let subject = format!("{name}-{number}");
        let text = "x".repeat(1 + number * 211 % 5_000);
        match session.send(&Mail::with_text(&subject, &text)).await {
            Ok(reply) if reply.code == 250 => {
                acknowledged.lock().unwrap().insert(subject);
            }
            Ok(reply) => assert!((400..500).contains(&reply.code), "{subject}: {reply:?}"),
            Err(_) => return,
        }
    }
}

/// Somebody else writes to the file for a while, as a backup might.
async fn hold_the_store(path: PathBuf, time: Duration) {
    let held = tokio::task::spawn_blocking(move || {
        let file = rusqlite::Connection::open(path).ok()?;
        file.busy_timeout(Duration::from_secs(1)).ok()?;
        file.execute_batch("BEGIN IMMEDIATE").ok().map(|()| file)
    });
    let Some(file) = held.await.unwrap() else { return };
    tokio::time::sleep(time).await;
    // Without a commit nothing has changed.
    drop(file);
}

struct Scene {
    resend: FakeProvider,
    sendgrid: FakeProvider,
    acknowledged: Acknowledged,
    /// What every failure names.
    context: String,
}

impl Scene {
    /// Many rounds, and peace afterwards. With `failover` there is a second provider to go to.
    async fn live(failover: bool) -> Self {
        let seed = from_environment("MAILFERRY_TEST_SEED").unwrap_or_else(|| fastrand::u64(..));
        let mut rng = Rng::with_seed(seed);
        let scene = Self {
            resend: FakeProvider::resend().await,
            sendgrid: FakeProvider::start(Service::SendGrid).await,
            acknowledged: Acknowledged::default(),
            context: format!("seed {seed}"),
        };
        let mut setup = Setup::resend(&scene.resend);
        if failover {
            setup = setup.and_sendgrid(&scene.sendgrid);
        }
        setup = setup.set("providers.resend.rate", RATE);
        for round in 0..from_environment("MAILFERRY_CHAOS_ROUNDS").unwrap_or(ROUNDS) {
            setup = scene.round(setup, round, &mut rng).await;
        }
        scene.resend.behave(Behaviour::Normal);
        scene.sendgrid.behave(Behaviour::Normal);
        scene.settle(&setup.start().await).await;
        scene
    }

    /// One process, from its start to its end without a word.
    async fn round(&self, setup: Setup, round: u64, rng: &mut Rng) -> Setup {
        self.resend.behave(behaviour(rng));
        self.sendgrid.behave(behaviour(rng));
        let relay = setup.start().await;
        let mut sessions = JoinSet::new();
        for session in 0..SESSIONS {
            let name = format!("round-{round}-{session}");
            sessions.spawn(load(relay.smtp, name, Arc::clone(&self.acknowledged)));
        }
        let holding = (rng.u8(..3) == 0).then(|| {
            let time = Duration::from_millis(rng.u64(50..900));
            tokio::spawn(hold_the_store(store(&setup), time))
        });
        // Half-way another fault.
        tokio::time::sleep(Duration::from_millis(rng.u64(20..700))).await;
        self.resend.behave(behaviour(rng));
        tokio::time::sleep(Duration::from_millis(rng.u64(20..900))).await;
        let setup = relay.kill_9().await;
        while let Some(session) = sessions.join_next().await {
            session.unwrap_or_else(|error| panic!("{}, round {round}: {error}", self.context));
        }
        if let Some(holding) = holding {
            holding.await.unwrap();
        }
        setup
    }

    /// How often each subject has left by this service.
    fn copies(fake: &FakeProvider) -> BTreeMap<String, usize> {
        let mut copies = BTreeMap::new();
        for mail in fake.mails() {
            *copies.entry(mail.subject().to_owned()).or_default() += 1;
        }
        copies
    }

    /// Everything has left, not all of it in single calls, and the relay knows it.
    async fn settle(&self, relay: &Relay) {
        let context = &self.context;
        let settled = format!("{context}: nothing waits any more");
        wait::until_within(wait::PATIENCE * 4, &settled, async || {
            let queue = &relay.http.health().await["queue"];
            (queue["queued"] == 0 && queue["sending"] == 0).then_some(())
        })
        .await;
        assert_eq!(relay.http.health().await["queue"]["failed"], 0, "{context}");
        let (resend, sendgrid) = (Self::copies(&self.resend), Self::copies(&self.sendgrid));
        let promised = self.acknowledged.lock().unwrap().clone();
        assert!(!promised.is_empty(), "{context}: no mail was acknowledged");
        let lost: Vec<_> = promised
            .iter()
            .filter(|subject| !resend.contains_key(*subject) && !sendgrid.contains_key(*subject))
            .collect();
        assert!(lost.is_empty(), "{context}: lost {lost:?}");
        let doubled: Vec<_> = resend.iter().filter(|(_, copies)| **copies > 1).collect();
        assert!(doubled.is_empty(), "{context}: twice where repeats are known: {doubled:?}");
        let calls = self.resend.calls();
        let batches = calls.iter().filter(|call| call.head.path.ends_with("/batch")).count();
        assert!(batches > 0, "{context}: no batch was formed");
    }
}

fn store(setup: &Setup) -> PathBuf {
    Path::new(setup.home()).join("mailferry.db")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_with_failover_and_batches_loses_nothing_and_doubles_nothing() {
    Scene::live(true).await;
}

/// A service that works, but takes few calls: what it can replay leaves exactly once, and nothing goes elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_among_batches_sends_every_mail_exactly_once() {
    let scene = Scene::live(false).await;
    assert_eq!(scene.sendgrid.mail_count(), 0, "{}", scene.context);
}
