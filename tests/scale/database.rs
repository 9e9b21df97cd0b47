//! The database goes away under load, and comes back; or another one takes its place.

use std::time::Duration;

use tokio::task::block_in_place;
use tokio::time::Instant;

use super::fleet::{self, Fleet, TAKEOVER};
use super::ledger::{self, Ledger};
use super::load::{Load, Plan};
use super::support::fake::{Behaviour, FakeProvider};
use super::support::relay::Setup;
use super::support::smtp::{self, Mail};
use super::support::wait;

/// A client is answered in this time even when nobody knows yet that the database is gone: 5 s, and a loaded machine.
const ANSWER_MAX: Duration = Duration::from_secs(9);
/// And so soon where it is known.
const REFUSAL_MAX: Duration = Duration::from_secs(2);

/// Waits until an instance says of itself that it takes mail, or takes none.
async fn until_health_is(fleet: &Fleet, number: usize, status: u16) {
    let what = format!("/health of instance {number} is {status}");
    wait::until(&what, async || {
        let asked = Instant::now();
        let answer = fleet.api(number).get("/health").await;
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(5), "/health took {took:?}");
        (answer.status == status).then_some(())
    })
    .await;
}

/// While it is away, every mail is refused at once, and a monitor sees it.
async fn assert_refused(fleet: &Fleet, context: &str) {
    for number in fleet.alive() {
        until_health_is(fleet, number, 503).await;
        for attempt in 0..3 {
            let asked = Instant::now();
            let mail = Mail::about(&format!("refused-{number}-{attempt}"));
            let reply = smtp::send(fleet.at(number).smtp, &mail).await;
            let took = asked.elapsed();
            assert_eq!(reply.code, 452, "{context}: {reply:?}");
            assert!(took < REFUSAL_MAX, "{context}: 452 only after {took:?}");
            let told = ["127.0.0.1", "postgres", &fleet.server.port.to_string()];
            assert!(told.iter().all(|it| !reply.text.contains(it)), "{context}: {reply:?}");
        }
    }
}

/// Who says of itself that it takes mail does so, if not with the first one.
async fn assert_taken(fleet: &Fleet, round: usize) {
    for number in fleet.alive() {
        let what = format!("instance {number} takes mail, as it says");
        wait::until_within(REFUSAL_MAX, &what, async || {
            let mail = Mail::about(&format!("back-{round}-{number}"));
            (smtp::send(fleet.at(number).smtp, &mail).await.code == 250).then_some(())
        })
        .await;
    }
}

fn assert_answered_in_time(ledger: &Ledger, context: &str) {
    let longest = ledger.longest_wait();
    assert!(longest < ANSWER_MAX, "{context}: a client waited {longest:?}");
    let others: Vec<_> = ledger.deferred();
    let others = others.iter().filter(|it| !it.reply.starts_with("452 "));
    let others: Vec<_> = others.collect();
    assert!(others.is_empty(), "{context}: {others:?}");
}

/// The provider knows no repeats, and calls are always under way: each of them is remembered, whatever the moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_database_that_stops_and_starts_costs_nothing() {
    let name = "a_database_that_stops_and_starts_costs_nothing";
    if !fleet::has_postgres(name) {
        return;
    }
    let seed = fleet::seed();
    let context = format!("seed {seed}");
    let fake = fleet::forgetful().await;
    fake.behave(Behaviour::Slow(Duration::from_millis(300)));
    let mut fleet = Fleet::of(2, || fleet::by_forgetful(&fake, 8)).await;
    let ledger = Ledger::default();
    let load = Load::begin(&fleet.addresses, &ledger, &Plan::new("restart", seed));
    // Nobody is taken for dead because the database was, for however long.
    let stops = [("fast", 0), ("immediate", 0), ("immediate", 2), ("fast", 2)];
    for (round, (mode, away)) in stops.into_iter().enumerate() {
        let context = format!("{context}, {mode}");
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let before = ledger.count();
        assert!(before > 0, "{context}: no mail is taken");
        block_in_place(|| fleet.server.stop(mode));
        assert_refused(&fleet, &context).await;
        tokio::time::sleep(TAKEOVER * away).await;
        block_in_place(|| fleet.server.resume());
        for number in fleet.alive() {
            until_health_is(&fleet, number, 200).await;
        }
        assert_taken(&fleet, round).await;
        let taken = format!("{context}: mail is taken again");
        wait::until(&taken, async || (ledger.count() > before + 10).then_some(())).await;
    }
    load.end().await;
    fleet.settle(&context).await;
    assert_answered_in_time(&ledger, &context);
    ledger::exactly_once(&ledger, &fake, &context);
    assert!(ledger.broken() == 0, "{context}: {} connections were broken", ledger.broken());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_starts_before_its_database_waits_for_it() {
    let name = "an_instance_that_starts_before_its_database_waits_for_it";
    if !fleet::has_postgres(name) {
        return;
    }
    let fake = FakeProvider::resend().await;
    let mut fleet = Fleet::nobody();
    block_in_place(|| fleet.server.stop("fast"));
    fleet.join(fleet::on(Setup::resend(&fake), &fleet.url())).await;
    assert_refused(&fleet, "at the start").await;
    block_in_place(|| fleet.server.resume());
    until_health_is(&fleet, 0, 200).await;
    assert_taken(&fleet, 0).await;
    let id = smtp::submit(fleet.at(0).smtp, &Mail::about("at-last")).await;
    fleet.api(0).until_message_is(&id, "delivered").await;
}

/// What had its 250 was with the standby before: nothing is lost with the primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_promoted_standby_takes_over_the_queue() {
    let name = "a_promoted_standby_takes_over_the_queue";
    if !fleet::has_postgres(name) {
        return;
    }
    let seed = fleet::seed();
    let context = format!("seed {seed}");
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::Slow(Duration::from_millis(50)));
    let mut fleet = Fleet::nobody();
    let standby = block_in_place(|| {
        let standby = fleet.server.standby(&[]);
        fleet.server.wait_for_standby();
        standby
    });
    let url = format!(
        "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/{}?target_session_attrs=read-write",
        fleet.server.port, standby.port, fleet.database
    );
    for _ in 0..2 {
        fleet.join(fleet::on(Setup::resend(&fake), &url)).await;
    }
    let ledger = Ledger::default();
    // What was refused comes as another mail: of the refused ones some are with the standby.
    let plan = Plan { again: false, ..Plan::new("failover", seed) };
    let load = Load::begin(&fleet.addresses, &ledger, &plan);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let before = ledger.count();
    assert!(before > 0, "{context}: no mail is taken");
    block_in_place(|| fleet.server.stop("immediate"));
    tokio::time::sleep(Duration::from_millis(500)).await;
    block_in_place(|| standby.promote());
    wait::until(&format!("{context}: mail is taken by the new one"), async || {
        (ledger.count() > before + 20).then_some(())
    })
    .await;
    load.end().await;
    fleet.settle(&context).await;
    assert_answered_in_time(&ledger, &context);
    ledger::exactly_once(&ledger, &fake, &context);
    assert_eq!(standby.sql(&fleet.database, "SELECT pg_is_in_recovery()"), "f");
    drop(fleet);
}
