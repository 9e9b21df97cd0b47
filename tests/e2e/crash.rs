//! A 250 is a promise: what was acknowledged is delivered, whenever the process dies. With a provider that knows
//! repeated keys, exactly once.
//!
//! The moments are drawn from a seed, which every failure names; `MAILFERRY_TEST_SEED` repeats it.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use tokio::task::JoinSet;

use crate::support::fake::{Behaviour, FakeProvider};
use crate::support::relay::Setup;
use crate::support::smtp::{Mail, Session};
use crate::support::wait;

/// Enough to hit every part of the way, in well under a minute.
const ROUNDS: usize = 15;

/// Sessions that send at the same time.
const SESSIONS: usize = 4;

fn seed() -> u64 {
    let given = std::env::var("MAILFERRY_TEST_SEED").ok();
    given.map_or_else(|| fastrand::u64(..), |text| text.parse().unwrap())
}

/// Subjects that had their 250.
type Acknowledged = Arc<Mutex<BTreeSet<String>>>;

/// Sends mail after mail until the connection breaks, and notes each that had its 250.
async fn load(address: SocketAddr, name: String, acknowledged: Acknowledged) {
    let Ok(mut session) = Session::open(address).await else { return };
    for number in 0.. {
        let subject = format!("{name}-{number}");
        // Bodies of different lengths, so that the end of the data falls differently into the reads.
        let text = "x".repeat(1 + number * 997 % 20_000);
        match session.send(&Mail::with_text(&subject, &text)).await {
            Ok(reply) if reply.code == 250 => acknowledged.lock().unwrap().insert(subject),
            Ok(reply) => {
                assert!((400..500).contains(&reply.code), "{subject}: {reply:?}");
                return;
            }
            Err(_) => return,
        };
    }
}

/// Some load in the background, ended by the end of the relay.
fn begin_load(address: SocketAddr, round: usize, acknowledged: &Acknowledged) -> JoinSet<()> {
    let mut sessions = JoinSet::new();
    for session in 0..SESSIONS {
        let name = format!("round-{round}-{session}");
        sessions.spawn(load(address, name, Arc::clone(acknowledged)));
    }
    sessions
}

/// Faults that a crash meets: none, slowness with calls in flight, answers that are lost.
fn behaviour(rng: &mut Rng) -> Behaviour {
    match rng.u8(0..4) {
        0 => Behaviour::Slow(Duration::from_millis(rng.u64(1..80))),
        1 => Behaviour::LoseAnswer,
        2 => Behaviour::answer(500, "{}"),
        _ => Behaviour::Normal,
    }
}

/// Waits until everything acknowledged has left, and checks that nothing left twice.
async fn assert_exactly_once(fake: &FakeProvider, acknowledged: &Acknowledged, context: &str) {
    let promised = acknowledged.lock().unwrap().clone();
    assert!(!promised.is_empty(), "{context}: no mail was acknowledged");
    let left =
        || fake.mails().iter().map(|mail| mail.subject().to_owned()).collect::<BTreeSet<_>>();
    let arrives = format!("{context}: all of {} mails leave", promised.len());
    wait::until_within(wait::PATIENCE * 4, &arrives, async || {
        promised.is_subset(&left()).then_some(())
    })
    .await;
    let mut copies = HashMap::<String, usize>::new();
    for mail in fake.mails() {
        *copies.entry(mail.subject().to_owned()).or_default() += 1;
    }
    let doubled: Vec<_> = copies.iter().filter(|(_, count)| **count > 1).collect();
    assert!(doubled.is_empty(), "{context}: left more than once: {doubled:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_any_moment_loses_nothing_and_doubles_nothing() {
    let seed = seed();
    let context = format!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let fake = FakeProvider::resend().await;
    let acknowledged = Acknowledged::default();
    let mut setup = Setup::resend(&fake);
    for round in 0..ROUNDS {
        fake.behave(behaviour(&mut rng));
        let relay = setup.start().await;
        let mut sessions = begin_load(relay.smtp, round, &acknowledged);
        tokio::time::sleep(Duration::from_millis(rng.u64(5..250))).await;
        setup = relay.kill_9().await;
        while let Some(session) = sessions.join_next().await {
            session.unwrap_or_else(|error| panic!("{context}, round {round}: {error}"));
        }
    }
    fake.behave(Behaviour::Normal);
    let relay = setup.start().await;
    assert_exactly_once(&fake, &acknowledged, &context).await;

    // The relay knows it as well.
    let settled = format!("{context}: nothing waits any more");
    wait::until(&settled, async || {
        let queue = &relay.http.health().await["queue"];
        (queue["queued"] == 0 && queue["sending"] == 0).then_some(())
    })
    .await;
    assert_eq!(relay.http.health().await["queue"]["failed"], 0, "{context}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_in_the_middle_loses_nothing() {
    let seed = seed();
    let context = format!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let fake = FakeProvider::resend().await;
    let acknowledged = Acknowledged::default();
    let mut setup = Setup::resend(&fake);
    for round in 0..4 {
        fake.behave(Behaviour::Slow(Duration::from_millis(rng.u64(1..100))));
        let relay = setup.start().await;
        let mut sessions = begin_load(relay.smtp, round, &acknowledged);
        tokio::time::sleep(Duration::from_millis(rng.u64(50..300))).await;
        setup = relay.stop().await;
        while let Some(session) = sessions.join_next().await {
            session.unwrap_or_else(|error| panic!("{context}, round {round}: {error}"));
        }
    }
    fake.behave(Behaviour::Normal);
    let _relay = setup.start().await;
    assert_exactly_once(&fake, &acknowledged, &context).await;
}

#[tokio::test]
async fn sigterm_lets_a_running_call_finish() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::Slow(Duration::from_millis(700)));
    let relay = Setup::resend(&fake).start().await;
    let mut session = Session::open(relay.smtp).await.unwrap();
    let id = session.send(&Mail::about("in-flight")).await.unwrap().queue_id();
    wait::until_true("the call is running", || !fake.calls().is_empty()).await;
    let setup = relay.stop().await;

    let relay = setup.start().await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["attempts"].as_array().unwrap().len(), 1, "{message}");
    assert_eq!((fake.calls().len(), fake.mail_count()), (1, 1));
}

#[tokio::test]
async fn mail_that_waits_survives_many_restarts_and_keeps_its_request() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::LoseAnswer);
    let mut setup = Setup::resend(&fake);
    let relay = setup.start().await;
    let mut session = Session::open(relay.smtp).await.unwrap();
    session.send(&Mail::about("patient")).await.unwrap().queue_id();
    let mut seen = 0;
    let mut running = relay;
    for _ in 0..3 {
        wait::until_true("it is tried again", || fake.calls().len() > seen).await;
        setup = running.kill_9().await;
        seen = fake.calls().len();
        running = setup.start().await;
    }
    fake.behave(Behaviour::Normal);
    let queue_is_empty = async || {
        let health = running.http.health().await;
        (health["queue"]["queued"] == 0 && health["queue"]["sending"] == 0).then_some(())
    };
    wait::until("the mail is settled", queue_is_empty).await;
    assert_eq!(fake.mail_count(), 1);
    let calls = fake.calls();
    assert!(calls.iter().all(|call| call.body == calls[0].body));
}
