//! The network between an instance and the database: silent, reset, slow, heard only one way, and whole again.

use std::time::Duration;

use super::cut::Wire;
use super::fleet::{self, Fleet, TAKEOVER};
use super::ledger::{self, Ledger};
use super::load::{Load, Plan};
use super::support::fake::{Behaviour, FakeProvider};
use super::support::relay::Setup;
use super::support::smtp::{self, Mail};
use super::support::wait;

/// Mail goes by this instance.
async fn assert_delivers(fleet: &Fleet, number: usize, subject: &str) {
    let reply = wait::until(&format!("instance {number} takes mail again"), async || {
        let reply = smtp::send(fleet.at(number).smtp, &Mail::about(subject)).await;
        (reply.code == 250).then_some(reply)
    })
    .await;
    fleet.api(number).until_message_is(&reply.queue_id(), "delivered").await;
}

/// One of three is cut off for longer than its claims hold: the others deliver what it had claimed, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_is_cut_off_loses_its_claims_and_comes_back() {
    let name = "an_instance_that_is_cut_off_loses_its_claims_and_comes_back";
    if !fleet::has_postgres(name) {
        return;
    }
    let seed = fleet::seed();
    let fake = FakeProvider::resend().await;
    let mut fleet = Fleet::nobody();
    let (cut, url) = fleet.wire().await;
    let setup = || Setup::resend(&fake);
    fleet.join(fleet::on(setup().set("providers.resend.concurrency", "2"), &url)).await;
    for _ in 0..2 {
        fleet.join(fleet::on(setup(), &fleet.url())).await;
    }
    let ledger = Ledger::default();
    // A mail whose 452 hides that it was kept may be delivered by the others: another one comes in its place.
    let plan = Plan { again: false, ..Plan::new("cut", seed) };
    let load = Load::begin(&fleet.addresses, &ledger, &plan);
    for wire in [Wire::Silent, Wire::Unanswered, Wire::Reset] {
        // Its mail waits in its memory while its calls take their time.
        fake.behave(Behaviour::Slow(Duration::from_millis(500)));
        let held = fleet::submit_some(fleet.at(0).smtp, &format!("held-{wire:?}"), 16).await;
        cut.becomes(wire);
        fake.behave(Behaviour::Normal);
        for id in &held {
            fleet.api(1).until_message_is(id, "delivered").await;
        }
        tokio::time::sleep(TAKEOVER / 2).await;
        cut.becomes(Wire::Whole);
        assert_delivers(&fleet, 0, &format!("healed-{wire:?}")).await;
    }
    cut.becomes(Wire::Slow(Duration::from_millis(40)));
    assert_delivers(&fleet, 0, "slow").await;
    tokio::time::sleep(TAKEOVER).await;
    load.end().await;
    let context = format!("seed {seed}");
    fleet.settle(&context).await;
    ledger::exactly_once(&ledger, &fake, &context);
    let longest = ledger.longest_wait();
    assert!(longest < Duration::from_secs(9), "{context}: a client waited {longest:?}");
}

/// A short cut of the only instance: who was told 452 comes again, and the mail leaves once all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_during_a_cut_leaves_once_when_it_comes_again() {
    let name = "what_was_refused_during_a_cut_leaves_once_when_it_comes_again";
    if !fleet::has_postgres(name) {
        return;
    }
    let seed = fleet::seed();
    let fake = FakeProvider::resend().await;
    let mut fleet = Fleet::nobody();
    let (cut, url) = fleet.wire().await;
    let setup = fleet::on(Setup::resend(&fake), &url).set("queue.takeover_after", "30s");
    fleet.join(setup).await;
    let ledger = Ledger::default();
    let load = Load::begin(&fleet.addresses, &ledger, &Plan::new("short", seed));
    for wire in [Wire::Silent, Wire::Unanswered, Wire::Reset, Wire::Unanswered] {
        let context = format!("seed {seed}, {wire:?}");
        tokio::time::sleep(Duration::from_millis(700)).await;
        let before = ledger.deferred().len();
        cut.becomes(wire);
        let refused = format!("{context}: mail is refused");
        wait::until(&refused, async || (ledger.deferred().len() > before + 4).then_some(())).await;
        cut.becomes(Wire::Whole);
        let taken = ledger.count();
        let again = format!("{context}: mail is taken again");
        wait::until(&again, async || (ledger.count() > taken + 10).then_some(())).await;
    }
    load.end().await;
    let context = format!("seed {seed}");
    fleet.settle(&context).await;
    ledger::exactly_once(&ledger, &fake, &context);
}
