//! Instances whose machines disagree about the time by minutes.

use std::path::PathBuf;
use std::time::Duration;

use mailferry::clock::{Clock as _, SystemClock, Timestamp};
use tokio::time::Instant;

use super::fleet::{self, Fleet, TAKEOVER};
use super::ledger;
use super::support::fake::Behaviour;
use super::support::relay::Setup;
use super::support::smtp::{self, Mail};
use super::support::tool;

const CONCURRENCY: usize = 4;

/// Debian's libfaketime, for programs with threads.
fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.filter_map(Result::ok);
    let mut files = folders.map(|it| it.path().join("faketime/libfaketimeMT.so.1"));
    files.find(|file| file.is_file())
}

/// The machine's time is another by so many seconds; how fast it goes stays.
fn off_by(setup: Setup, library: &std::path::Path, seconds: i32) -> Setup {
    setup
        .env("LD_PRELOAD", &library.display().to_string())
        .env("FAKETIME", &format!("{seconds:+}s"))
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("FAKETIME_DONT_RESET", "1")
}

/// Three on one database: the right time, five minutes too late, five too early.
async fn three(setup: impl Fn() -> Setup, library: &std::path::Path) -> Fleet {
    let mut fleet = Fleet::nobody();
    for seconds in [0, 300, -300] {
        let setup = fleet::on(setup(), &fleet.url());
        fleet.join(off_by(setup, library, seconds)).await;
    }
    fleet
}

fn the_library(test: &str) -> Option<PathBuf> {
    let library = library();
    if library.is_none() {
        tool::skip(test, "not installed: libfaketime");
    }
    library.filter(|_| fleet::has_postgres(test))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_minutes_apart_change_neither_order_nor_retries() {
    let name = "clocks_minutes_apart_change_neither_order_nor_retries";
    let Some(library) = the_library(name) else { return };
    let fake = fleet::forgetful().await;
    let fleet = three(|| fleet::by_forgetful(&fake, CONCURRENCY), &library).await;
    // The clock is wrong indeed: the log goes by the machine's.
    let logged = fleet.at(1).log();
    let first: serde_json::Value = serde_json::from_str(logged.lines().next().unwrap()).unwrap();
    let at: Timestamp = first["timestamp"].as_str().unwrap().parse().unwrap();
    let ahead = at.as_second() - SystemClock.now().as_second();
    assert!((200..310).contains(&ahead), "{ahead} s ahead: {first}");

    // In turns, each of which must be tried twice.
    let mut ids = Vec::new();
    for turn in 0..12 {
        fake.then([Behaviour::answer(500, "{}")]);
        let mail = Mail::about(&format!("turn-{turn:02}"));
        let begun = Instant::now();
        ids.push(smtp::submit(fleet.at(turn % 3).smtp, &mail).await);
        let id = ids.last().unwrap();
        let message = fleet.api((turn + 1) % 3).until_message_is(id, "delivered").await;
        let took = begun.elapsed();
        assert!(took < Duration::from_secs(10), "delivered after {took:?}: {message}");
        assert_eq!(message["attempts"].as_array().unwrap().len(), 2, "{message}");
        let received: Timestamp = message["received_at"].as_str().unwrap().parse().unwrap();
        let off = received.as_second() - SystemClock.now().as_second();
        assert!((-15..=2).contains(&off), "received {off} s from now: {message}");
    }
    ids.reverse();
    for number in 0..3 {
        let listed = fleet.api(number).messages().await;
        let listed: Vec<&str> = listed.iter().map(|it| it["id"].as_str().unwrap()).collect();
        assert_eq!(listed, ids, "by instance {number}");
    }
    assert_eq!(fake.mail_count(), ids.len());
}

/// Calls that take longer than claims hold without a sign of life: whose clock is ahead must not take them, and whose
/// clock is behind must not lose them. When an instance dies, whoever lives takes its mail in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_minutes_apart_change_no_lease() {
    const MAILS: usize = 6;
    let name = "clocks_minutes_apart_change_no_lease";
    let Some(library) = the_library(name) else { return };
    let fake = fleet::forgetful().await;
    let mut fleet = three(|| fleet::by_forgetful(&fake, CONCURRENCY), &library).await;
    fake.behave(Behaviour::Slow(TAKEOVER + Duration::from_millis(1_500)));
    let mut ids = Vec::new();
    for number in 0..3 {
        ids.extend(fleet::submit_some(fleet.at(number).smtp, &format!("of-{number}"), MAILS).await);
    }
    for id in &ids {
        let message = fleet.api(0).until_message_is(id, "delivered").await;
        assert_eq!(message["attempts"].as_array().unwrap().len(), 1, "{message}");
    }
    assert!(ledger::copies(&fake).values().all(|count| *count == 1), "{:?}", ledger::copies(&fake));

    fake.behave(Behaviour::Slow(Duration::from_millis(700)));
    for (victim, heir) in [(1, 0), (2, 0)] {
        let name = format!("heritage-{victim}");
        let ids = fleet::submit_some(fleet.at(victim).smtp, &name, 3 * MAILS).await;
        let killed = Instant::now();
        fleet.kill_9(victim).await;
        for id in &ids {
            fleet.api(heir).until_message_is(id, "delivered").await;
        }
        let took = killed.elapsed();
        assert!(took < TAKEOVER * 8, "taken over after {took:?}");
    }
}
