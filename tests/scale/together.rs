//! What one instance learns, all know; and each shows and does everything.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::fleet::{self, Fleet};
use super::ledger::Ledger;
use super::load::{Load, Plan};
use super::support::fake::{Behaviour, FakeProvider};
use super::support::relay::{RESEND_KEY, Setup};
use super::support::smtp::{self, Mail};
use super::support::wait;

const BOB: &str = "bob@rcpt.example";

/// Between the first refusal and the last call of anybody: a second, and a loaded machine.
const NEWS_MAX: Duration = Duration::from_millis(1_500);

/// An instance whose key is in a file, which is read again at SIGHUP.
fn with_key_file(fake: &FakeProvider, key: &str) -> Setup {
    let setup = Setup::bare();
    let file = setup.home().join("resend.key");
    std::fs::write(&file, key).unwrap();
    setup
        .env("RESEND_API_KEY_FILE", &file.display().to_string())
        .set("providers.resend.base_url", &fake.url())
        .set("providers.resend.rate", "10000/s")
        .set("delivery.retry_min", "100ms")
        .set("delivery.retry_max", "400ms")
}

async fn mend(fleet: &Fleet, number: usize, key: &str) {
    let relay = fleet.at(number);
    std::fs::write(relay.setup().home().join("resend.key"), key).unwrap();
    let said = relay.reload().await;
    assert!(said.contains("changed resend"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_one_sees_refused_is_used_by_nobody() {
    let name = "a_key_that_one_sees_refused_is_used_by_nobody";
    if !fleet::has_postgres(name) {
        return;
    }
    let fake = FakeProvider::resend().await;
    let fleet = Fleet::of(3, || with_key_file(&fake, RESEND_KEY)).await;
    let ledger = Ledger::default();
    let load = Load::begin(&fleet.addresses, &ledger, &Plan::new("key", fleet::seed()));
    wait::until_true("mail goes", || fake.mail_count() > 20).await;
    fake.revoke(RESEND_KEY);
    let revoked = fake.calls().len();
    // By which of them does not matter; the others have mail all the time.
    let first =
        wait::until("a call is refused", async || fake.calls().get(revoked).map(|call| call.at))
            .await;
    for number in 0..3 {
        fleet.api(number).until_provider_is("resend", "misconfigured").await;
    }
    let begun = Instant::now();
    wait::until_true("time passes", || begun.elapsed() > NEWS_MAX * 2).await;
    load.end().await;
    let late: Vec<Duration> = fake.calls().iter().map(|call| call.at - first).collect();
    let late: Vec<_> = late.iter().filter(|after| **after > NEWS_MAX).collect();
    assert!(late.is_empty(), "calls with a refused key: {late:?}");

    // One gets another key: it sends again, also what the others have taken, and is not misled by them.
    let before = fake.calls().len();
    mend(&fleet, 0, "re_mended").await;
    fleet.api(0).until_provider_is("resend", "up").await;
    let id = smtp::submit(fleet.at(0).smtp, &Mail::about("mended")).await;
    fleet.api(1).until_message_is(&id, "delivered").await;
    let keys = fake.calls().split_off(before);
    let old = keys.iter().filter(|call| {
        call.header("authorization") == Some(format!("Bearer {RESEND_KEY}").as_str())
    });
    assert_eq!(old.count(), 0, "the refused key was used again");
    for number in 1..3 {
        mend(&fleet, number, "re_mended").await;
        fleet.api(number).until_provider_is("resend", "up").await;
    }
    fleet.settle("all mended").await;
    super::ledger::exactly_once(&ledger, &fake, "a mended key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instance_shows_and_does_everything() {
    let name = "each_instance_shows_and_does_everything";
    if !fleet::has_postgres(name) {
        return;
    }
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::answer(503, "{}"));
    let fleet = Fleet::of(2, || Setup::resend(&fake)).await;
    let (one, other) = (fleet.api(0), fleet.api(1));
    let mut ids = Vec::new();
    for number in 0..6 {
        ids.push(smtp::submit(fleet.at(0).smtp, &Mail::about(&format!("shown-{number}"))).await);
    }
    assert_eq!(other.messages().await.len(), 6);
    for (number, id) in ids.iter().enumerate() {
        let found = other.get(&format!("/api/v1/messages?q=shown-{number}")).await.json();
        assert_eq!(found["messages"][0]["id"], json!(id), "{found}");
        assert_eq!(other.get(&format!("/messages/{id}")).await.status, 200);
        let raw = other.get(&format!("/api/v1/messages/{id}/raw")).await;
        assert!(raw.text().contains(&format!("Subject: shown-{number}\r\n")), "{}", raw.text());
    }

    // What one has in its memory the other stops.
    one.until_provider_is("resend", "down").await;
    other.until_provider_is("resend", "down").await;
    let act = async |id: &str, what: &str| {
        let path = format!("/api/v1/messages/{id}/{what}");
        let answered = format!("{what} of {id} by another instance");
        wait::until(&answered, async || {
            let answer = other.post(&path, &json!({})).await;
            // While a call is under way it cannot be stopped.
            (answer.status == 200).then_some(())
        })
        .await;
    };
    act(&ids[0], "cancel").await;
    act(&ids[1], "cancel").await;
    assert_eq!(one.message(&ids[0]).await["state"], "cancelled");

    // An address that the other puts on the list is served by nobody.
    let entry = json!({"address": BOB, "note": "asked by telephone"});
    assert_eq!(other.post("/api/v1/suppressions", &entry).await.status, 201);
    tokio::time::sleep(NEWS_MAX).await;
    let unwanted = Mail { to: vec![BOB.to_owned()], ..Mail::about("unwanted") };
    let unwanted = smtp::submit(fleet.at(0).smtp, &unwanted).await;
    let message = one.until_message_is(&unwanted, "failed").await;
    assert!(message["error"].as_str().unwrap().contains("suppression list"), "{message}");
    assert_eq!(one.delete(&format!("/api/v1/suppressions?address={BOB}")).await.status, 204);
    tokio::time::sleep(NEWS_MAX).await;

    fake.behave(Behaviour::Normal);
    act(&unwanted, "retry").await;
    for id in ids[2..].iter().chain([&unwanted]) {
        other.until_message_is(id, "delivered").await;
    }
    assert_eq!(other.message(&ids[1]).await["state"], "cancelled");
    assert_eq!(fake.mail_count(), 5);
}
