//! Instances that are killed at any moment, one of three again and again.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use tokio::time::Instant;

use super::fleet::{self, Fleet, TAKEOVER};
use super::ledger::{self, Ledger};
use super::load::{Load, Plan};
use super::support::fake::{Behaviour, FakeProvider, Reply};
use super::support::relay::Setup;
use super::support::wait;

const ROUNDS: u64 = 6;

/// Faults that a kill meets: none, slowness with calls in flight, answers that are lost.
fn behaviour(rng: &mut Rng) -> Behaviour {
    match rng.u8(0..6) {
        0 | 1 => Behaviour::Slow(Duration::from_millis(rng.u64(1..150))),
        2 => Behaviour::LoseAnswer,
        3 => Behaviour::answer(500, "{}"),
        4 => Behaviour::Answer(Reply::new(429, "{}").header("retry-after", "1")),
        _ => Behaviour::Normal,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_any_instance_loses_nothing_and_doubles_nothing() {
    let name = "kill_9_of_any_instance_loses_nothing_and_doubles_nothing";
    if !fleet::has_postgres(name) {
        return;
    }
    let seed = fleet::seed();
    let context = format!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let fake = FakeProvider::resend().await;
    let mut fleet = Fleet::of(3, || Setup::resend(&fake)).await;
    let ledger = Ledger::default();
    let load = Load::begin(&fleet.addresses, &ledger, &Plan::new("kill", seed));
    for _ in 0..fleet::from_environment("MAILFERRY_SCALE_ROUNDS").unwrap_or(ROUNDS) {
        fake.behave(behaviour(&mut rng));
        tokio::time::sleep(Duration::from_millis(rng.u64(50..900))).await;
        let victim = rng.usize(..3);
        fleet.kill_9(victim).await;
        // Sometimes it is back before anybody has noticed, sometimes its mail goes to the others.
        let away = if rng.bool() { TAKEOVER.as_millis() * 2 } else { 100 };
        tokio::time::sleep(Duration::from_millis(rng.u64(..u64::try_from(away).unwrap()))).await;
        fleet.start(victim).await;
    }
    fake.behave(Behaviour::Normal);
    load.end().await;
    fleet.settle(&context).await;
    ledger::exactly_once(&ledger, &fake, &context);
}

/// A call of which nobody knows what became may bring a mail a second time. No other does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_keys_only_what_was_in_flight_at_a_kill_leaves_twice() {
    const CONCURRENCY: usize = 3;
    const SLOW: Duration = Duration::from_millis(120);
    let name = "without_keys_only_what_was_in_flight_at_a_kill_leaves_twice";
    if !fleet::has_postgres(name) {
        return;
    }
    let seed = fleet::seed();
    let context = format!("seed {seed}");
    let mut rng = Rng::with_seed(seed);
    let fake = fleet::forgetful().await;
    fake.behave(Behaviour::Slow(SLOW));
    let mut fleet = Fleet::of(3, || fleet::by_forgetful(&fake, CONCURRENCY)).await;
    let ledger = Ledger::default();
    let load = Load::begin(&fleet.addresses, &ledger, &Plan::new("forgetful", seed));
    let mut kills = Vec::new();
    for _ in 0..fleet::from_environment("MAILFERRY_SCALE_ROUNDS").unwrap_or(ROUNDS) {
        tokio::time::sleep(Duration::from_millis(rng.u64(300..1_000))).await;
        let victim = rng.usize(..3);
        kills.push(Instant::now());
        fleet.kill_9(victim).await;
        tokio::time::sleep(Duration::from_millis(rng.u64(..3_000))).await;
        fleet.start(victim).await;
    }
    load.end().await;
    fleet.settle(&context).await;
    let doubled = ledger::none_lost(&ledger, &fake, &context);
    assert!(doubled.len() <= CONCURRENCY * kills.len(), "{context}: {doubled:?}");
    assert_repeats_follow_kills(&fake, &kills, SLOW, &context);
}

/// Every call that has a successor with the same mail was under way when somebody was killed.
fn assert_repeats_follow_kills(
    fake: &FakeProvider,
    kills: &[Instant],
    slow: Duration,
    context: &str,
) {
    /// From the answer at the provider to the record in the database, on a loaded machine.
    const SETTLING: Duration = Duration::from_millis(1_500);
    let mut calls = BTreeMap::<String, Vec<Instant>>::new();
    for call in fake.calls() {
        for subject in ledger::subjects(&call) {
            calls.entry(subject).or_default().push(call.at);
        }
    }
    for (subject, calls) in calls {
        let (_last, earlier) = calls.split_last().unwrap();
        for call in earlier {
            let in_flight = kills
                .iter()
                .any(|kill| *call <= *kill + SETTLING && *kill <= *call + slow + SETTLING);
            assert!(in_flight, "{context}: {subject} was called for twice without a kill");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_stays_one_unit_when_its_instance_dies() {
    const MAILS: usize = 12;
    let name = "a_batch_stays_one_unit_when_its_instance_dies";
    if !fleet::has_postgres(name) {
        return;
    }
    let fake = FakeProvider::resend().await;
    // What comes in meanwhile waits for company.
    fake.behave(Behaviour::answer(503, "{}"));
    let hurry = || Setup::resend(&fake).set("providers.resend.concurrency", "1");
    let mut fleet = Fleet::of(1, hurry).await;
    let ids = fleet::submit_some(fleet.at(0).smtp, "unit", MAILS).await;
    fake.behave(Behaviour::Slow(Duration::from_secs(1)));
    let before = fake.calls().len();
    let batch = wait::until("a batch is under way", async || {
        let calls = fake.calls().split_off(before);
        calls.into_iter().find(|call| call.head.path.ends_with("/batch"))
    })
    .await;
    fleet.kill_9(0).await;
    fake.behave(Behaviour::Normal);
    let heir = fleet.join(fleet::on(hurry(), &fleet.url())).await;
    fleet.settle("the heir").await;

    let key = batch.header("idempotency-key").unwrap();
    let again = fake.calls().split_off(before);
    let again: Vec<_> =
        again.iter().filter(|call| call.header("idempotency-key") == Some(key)).collect();
    assert!(again.len() >= 2, "the batch was not repeated");
    assert!(again.iter().all(|call| call.body == batch.body), "the batch was not the same");
    let members = ledger::subjects(&batch);
    let others: Vec<_> = fake.calls().split_off(before);
    let others = others.iter().filter(|call| call.header("idempotency-key") != Some(key));
    for subject in others.flat_map(ledger::subjects) {
        assert!(!members.contains(&subject), "{subject} left its batch");
    }
    assert!(ledger::copies(&fake).values().all(|count| *count == 1));
    assert_eq!(fake.mail_count(), MAILS);
    for id in ids {
        assert_eq!(fleet.api(heir).message(&id).await["state"], "delivered");
    }
}
