//! An instance that is stopped for so long that the others take its mail, and then goes on as if nothing had been.

use std::time::Duration;

use super::fleet::{self, Fleet, TAKEOVER};
use super::ledger;
use super::support::fake::{Behaviour, FakeProvider};
use super::support::relay::Setup;
use super::support::smtp::{self, Mail};
use super::support::wait;

const MAILS: usize = 24;
const CONCURRENCY: usize = 2;

/// Stops an instance that has calls under way and much in its memory, has another take over, and lets it go on. All that
/// the provider was called for, and what both say of the messages.
async fn stop_and_go(fake: &FakeProvider, setup: impl Fn() -> Setup) {
    let mut fleet = Fleet::of(1, &setup).await;
    fake.behave(Behaviour::Slow(Duration::from_millis(400)));
    let ids = fleet::submit_some(fleet.at(0).smtp, "held", MAILS).await;
    wait::until_true("calls are under way", || fake.calls().len() >= CONCURRENCY).await;
    fleet.at(0).signal("STOP").await;
    let under_way = fake.calls().len();
    fake.behave(Behaviour::Normal);

    let heir = fleet.join(fleet::on(setup(), &fleet.url())).await;
    let mut last = Vec::new();
    for id in &ids {
        last.push(fleet.api(heir).until_message_is(id, "delivered").await);
    }
    tokio::time::sleep(TAKEOVER).await;
    let calls = fake.calls().len();

    fleet.at(0).signal("CONT").await;
    // Once a mail has gone by it, it has had all occasion to do the wrong thing.
    for number in 0..3 {
        let mail = Mail::about(&format!("after-{number}"));
        let id = smtp::submit(fleet.at(0).smtp, &mail).await;
        fleet.api(0).until_message_is(&id, "delivered").await;
    }
    fleet.settle("both").await;
    let later = fake.calls().split_off(calls);
    let wrong: Vec<String> =
        later.iter().flat_map(ledger::subjects).filter(|it| it.starts_with("held")).collect();
    assert!(wrong.is_empty(), "calls for what another owns: {wrong:?}\n{}", fleet.logs());
    for (id, before) in ids.iter().zip(last) {
        for number in [0, heir] {
            let now = fleet.api(number).message(id).await;
            assert_eq!(now, before, "the zombie has settled what another owned");
        }
    }
    let repeated = calls.saturating_sub(MAILS);
    assert!(repeated <= CONCURRENCY, "{repeated} calls were repeated, {under_way} were under way");
    let said = "goes on under another name";
    assert!(fleet.at(0).log().contains(said), "it does not know: {}", fleet.at(0).log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_calls_for_nothing_that_another_owns_without_keys() {
    let name = "a_zombie_calls_for_nothing_that_another_owns_without_keys";
    if !fleet::has_postgres(name) {
        return;
    }
    let fake = fleet::forgetful().await;
    stop_and_go(&fake, || fleet::by_forgetful(&fake, CONCURRENCY)).await;
    let copies = ledger::copies(&fake);
    let doubled = copies.values().filter(|count| **count > 1).count();
    assert!(doubled <= CONCURRENCY, "{doubled} left twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zombie_calls_for_nothing_that_another_owns_with_keys() {
    let name = "a_zombie_calls_for_nothing_that_another_owns_with_keys";
    if !fleet::has_postgres(name) {
        return;
    }
    let fake = FakeProvider::resend().await;
    let concurrency = CONCURRENCY.to_string();
    let setup = || {
        let setup = Setup::resend(&fake).set("delivery.batch_max", "1");
        setup.set("providers.resend.concurrency", &concurrency)
    };
    stop_and_go(&fake, setup).await;
    assert!(ledger::copies(&fake).values().all(|count| *count == 1), "left twice");
}
