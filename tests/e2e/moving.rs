//! A queue goes to another store and comes back, with the real program.

#[expect(dead_code, reason = "other suites use more of it")]
#[path = "../support/postgres.rs"]
mod server;

use std::collections::BTreeMap;
use std::process::Output;

use fastrand::Rng;
use serde_json::Value;

use self::server::Server;
use crate::support::fake::{Behaviour, FakeProvider};
use crate::support::relay::{Relay, Setup};
use crate::support::skip::skip;
use crate::support::smtp::{self, Mail, Session};
use crate::support::wait;

const OLD: &str = "sqlite:mailferry.db";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Moves, which must end with this code; what was printed as JSON, and what was said.
async fn migrate(setup: &Setup, from: &str, to: &str, code: i32) -> (Value, String) {
    let words = ["queue", "migrate", "--json", "--from", from, "--to", to];
    let output = setup.run(&words).await;
    assert_eq!(output.status.code(), Some(code), "{from} {to}: {}", stderr(&output));
    (serde_json::from_slice(&output.stdout).unwrap_or_default(), stderr(&output))
}

/// Takes so many mails that cannot be sent now; their subjects begin with `name`.
async fn take(relay: &Relay, name: &str, count: usize) {
    let mut session = Session::open(relay.smtp).await.unwrap();
    for number in 0..count {
        let text = "x".repeat(1 + number * 997 % 20_000);
        let reply = session.send(&Mail::with_text(&format!("{name}-{number}"), &text)).await;
        assert_eq!(reply.unwrap().code, 250);
    }
}

/// How often each mail has left.
fn copies(fake: &FakeProvider) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for mail in fake.mails() {
        *copies.entry(mail.subject().to_owned()).or_default() += 1;
    }
    copies
}

/// Waits until nothing waits any more, and checks that each of so many mails has left once.
async fn assert_sent_once(fake: &FakeProvider, relay: &Relay, count: usize, context: &str) {
    let empty = format!("{context}: nothing waits any more");
    wait::until_within(wait::PATIENCE * 4, &empty, async || {
        let queue = &relay.http.health().await["queue"];
        (queue["queued"] == 0 && queue["sending"] == 0).then_some(())
    })
    .await;
    let copies = copies(fake);
    assert_eq!(copies.len(), count, "{context}");
    assert!(copies.values().all(|copies| *copies == 1), "{context}: {copies:?}");
}

/// A start that must be refused; what is said.
async fn refusal(setup: &Setup) -> String {
    let output = setup.clone().command(&["serve"]).run_to_end().await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    stderr(&output)
}

#[tokio::test]
async fn waiting_mail_goes_into_a_database_is_sent_once_and_comes_back() {
    if !server::is_installed() {
        return skip("moving: into a database", "PostgreSQL is not installed");
    }
    let server = Server::start(&[]);
    let url = server.url(&server.database());
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::answer(500, "{}"));
    let relay = Setup::resend(&fake).start().await;
    let id = smtp::submit(relay.smtp, &Mail::about("first")).await;
    wait::until_true("it was tried", || !fake.calls().is_empty()).await;
    take(&relay, "waits", 20).await;
    let old = relay.stop().await;

    let (done, _) = migrate(&old, OLD, &url, 0).await;
    assert_eq!(
        (&done["messages"], &done["open"], &done["added"]),
        (&21.into(), &21.into(), &21.into())
    );
    let said = refusal(&old).await;
    assert!(said.contains("was moved to postgres://") && said.contains("set queue.url"), "{said}");

    let relay = old.clone().set("queue.url", &url).start().await;
    let before = relay.http.message(&id).await;
    assert!(!before["attempts"].as_array().unwrap().is_empty(), "{before}");
    fake.behave(Behaviour::Normal);
    assert_sent_once(&fake, &relay, 21, "there").await;
    fake.behave(Behaviour::answer(500, "{}"));
    take(&relay, "later", 10).await;
    let new = relay.stop().await;

    let (done, _) = migrate(&old, &url, OLD, 0).await;
    assert_eq!(
        (&done["messages"], &done["open"], &done["ended"]),
        (&31.into(), &10.into(), &0.into())
    );
    let said = refusal(&new).await;
    assert!(said.contains("was moved to sqlite:"), "{said}");
    fake.behave(Behaviour::Normal);
    let relay = old.start().await;
    assert_sent_once(&fake, &relay, 31, "back").await;
    assert_eq!(relay.http.message(&id).await["state"], "delivered");
}

#[tokio::test]
async fn a_move_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing() {
    let seed = fastrand::u64(..);
    let mut rng = Rng::with_seed(seed);
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::answer(500, "{}"));
    let relay = Setup::resend(&fake).start().await;
    take(&relay, "waits", 300).await;
    let setup = relay.kill_9().await;
    let new = "sqlite:new.db";
    for (from, to) in [(OLD, new), (new, OLD), (OLD, new)] {
        for _ in 0..5 {
            let span = format!("0.{:03}", rng.u32(10..120));
            let killed = setup.clone().through(&["timeout", "-s", "KILL", &span]);
            killed.run(&["queue", "migrate", "--from", from, "--to", to]).await;
        }
        migrate(&setup, from, to, 0).await;
    }
    fake.behave(Behaviour::Normal);
    let relay = setup.set("queue.url", new).start().await;
    assert_sent_once(&fake, &relay, 300, &format!("seed {seed}")).await;
}

#[tokio::test]
async fn a_queue_in_use_stays_and_what_is_wrong_is_said() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let (failed, said) = migrate(relay.setup(), OLD, "sqlite:new.db", 1).await;
    assert_eq!(failed["ok"], false);
    assert!(said.contains("another mailferry has this queue; stop it first"), "{said}");
    let setup = relay.stop().await;
    assert!(!setup.home().join("new.db").exists(), "nothing was made for a move that is none");

    let (_, said) = migrate(&setup, "sqlite:missing.db", "sqlite:new.db", 1).await;
    assert!(said.contains("there is no such file"), "{said}");
    let (_, said) = migrate(&setup, OLD, "mysql://u:hunter2@db/x", 2).await;
    assert!(said.contains("--to:") && !said.contains("hunter2"), "{said}");
    let (_, said) = migrate(&setup, OLD, OLD, 2).await;
    assert!(said.contains("are the same queue"), "{said}");

    migrate(&setup, OLD, "sqlite:new.db", 0).await;
    let (again, _) = migrate(&setup, OLD, "sqlite:new.db", 0).await;
    assert_eq!(again["already_moved"], true);
    let (_, said) = migrate(&setup, OLD, "sqlite:third.db", 1).await;
    assert!(said.contains("was moved to sqlite:") && said.contains("--again"), "{said}");
}
