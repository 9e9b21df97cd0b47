//! Drop-in for the provider's own SMTP server (SPEC 4.3): apps bring their keys, and the relay has none of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mailferry::clock::{Clock as _, SystemClock};
use mailferry::config::ProviderKind;
use mailferry::message::{Account, Envelope, IndexFields, Message, QueueId};
use mailferry::queue::{Entry, SqliteStore, Store as _};
use mailferry::seal::SealKey;
use mailferry::secret::Secret;

use crate::support::fake::FakeProvider;
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{Mail, Session};
use crate::support::wait;

const ONE: &str = "re_one_Secret111";
const TWO: &str = "re_two_Secret222";

/// A relay without a provider of its own; brought accounts are used as its table says.
fn setup(fake: &FakeProvider) -> Setup {
    Setup::bare()
        .set("smtp.auth", "provider")
        .set("log.level", "trace")
        .set("providers.resend.base_url", &fake.url())
        .set("providers.resend.rate", "10000/s")
        .set("delivery.retry_min", "100ms")
        .set("delivery.retry_max", "400ms")
}

/// Logs in as an app does whose settings were for smtp.resend.com.
async fn log_in(relay: &Relay, key: &str) -> Session {
    let mut session = Session::open(relay.smtp).await.unwrap();
    let credentials = STANDARD.encode(format!("\0resend\0{key}"));
    let reply = session.command(&format!("AUTH PLAIN {credentials}")).await.unwrap();
    assert_eq!(reply.code, 235, "{reply:?}");
    session
}

/// Hands one mail in; its queue id.
async fn hand_in(relay: &Relay, key: &str, subject: &str) -> String {
    log_in(relay, key).await.send(&Mail::about(subject)).await.unwrap().queue_id()
}

fn store_of(setup: &Setup) -> PathBuf {
    setup.home().join("mailferry.db")
}

/// Puts one mail into the queue of a relay beside it, sealed by `seal`; its queue id.
async fn put_in(store: &Path, seal: &SealKey, key: &str, subject: &str) -> String {
    let Mail { from, to, data } = Mail::about(subject);
    let now = SystemClock.now();
    let id = QueueId::new(now);
    let account = Account { kind: ProviderKind::Resend, key: Secret::new(key) };
    let raw = Bytes::from(data);
    let message = Message {
        id,
        received_at: now,
        envelope: Envelope {
            sender: Some(from.parse().unwrap()),
            recipients: to.iter().map(|address| address.parse().unwrap()).collect(),
            ..Envelope::default()
        },
        index: IndexFields::read(&raw),
        raw,
        user: None,
        account: Some(seal.seal(id, &account).unwrap()),
        may_steer: true,
    };
    let store = SqliteStore::attach(store).unwrap();
    store.insert(Entry::waiting(Arc::new(message))).await.unwrap();
    store.close().await;
    id.to_string()
}

/// The keys under which the mails with these subjects left, as the service saw them.
fn keys(fake: &FakeProvider) -> BTreeMap<String, String> {
    let mails = fake.mails().into_iter();
    let calls = fake.calls();
    mails
        .map(|mail| {
            // The last call with the key of this mail is the one that was taken.
            let same = |header: Option<&str>| header == mail.key.as_deref();
            let call = calls.iter().rfind(|call| same(call.header("idempotency-key"))).unwrap();
            let key = call.header("authorization").unwrap().trim_start_matches("Bearer ");
            (mail.subject().to_owned(), key.to_owned())
        })
        .collect()
}

/// The one brought account in `/health` that is not up: its name and state.
async fn account_in_trouble(relay: &Relay) -> (String, String) {
    wait::until("an account is in trouble", async || {
        let health = relay.http.health().await;
        let providers = health["providers"].as_object()?;
        let (name, provider) = providers.iter().find(|(_, provider)| provider["state"] != "up")?;
        Some((name.clone(), provider["state"].as_str()?.to_owned()))
    })
    .await
}

/// Looks for the keys in everything that the relay has written.
fn assert_no_key_shows(setup: &Setup) {
    let mut looked_at = Vec::new();
    for entry in std::fs::read_dir(setup.home()).unwrap() {
        let path = entry.unwrap().path();
        let content = std::fs::read(&path).unwrap();
        for key in [ONE, TWO] {
            let base64 = STANDARD.encode(key);
            for text in [key, &base64, "Secret"] {
                let shows = content.windows(text.len()).any(|part| part == text.as_bytes());
                assert!(!shows, "{text} in {}", path.display());
            }
        }
        looked_at.push(path.file_name().unwrap().to_string_lossy().into_owned());
    }
    for file in ["mailferry.db", "relay.log", "mailferry.db.key"] {
        assert!(looked_at.iter().any(|name| name == file), "{file} is not in {looked_at:?}");
    }
}

#[tokio::test]
async fn a_relay_without_providers_is_ready() {
    let fake = FakeProvider::resend().await;
    let relay = setup(&fake).start().await;
    assert_eq!(relay.http.get("/ready").await.status, 200);
    assert_eq!(relay.http.health().await["status"], "ok");
}

#[tokio::test]
async fn each_apps_mail_leaves_under_its_own_key() {
    let fake = FakeProvider::resend().await;
    let relay = setup(&fake).start().await;
    let mut sessions = [(log_in(&relay, ONE).await, ONE), (log_in(&relay, TWO).await, TWO)];
    let mut expected = BTreeMap::new();
    for number in 0..10 {
        for (session, key) in &mut sessions {
            let subject = format!("mail-{number}-of-{}", if *key == ONE { "one" } else { "two" });
            let id = session.send(&Mail::about(&subject)).await.unwrap().queue_id();
            expected.insert(subject, (*key).to_owned());
            let message = relay.http.until_message_is(&id, "delivered").await;
            let provider = message["provider"].as_str().unwrap();
            assert!(provider.starts_with("resend/"), "{provider}");
        }
    }
    assert_eq!(keys(&fake), expected);
    let shown = relay.http.get("/api/v1/messages?limit=100").await.text();
    assert!(!shown.contains("Secret"));
    let setup = relay.stop().await;
    assert_no_key_shows(&setup);
}

#[tokio::test]
async fn a_revoked_key_holds_its_own_mail_only_until_it_is_good_again() {
    let fake = FakeProvider::resend().await;
    let relay = setup(&fake).start().await;
    fake.revoke(ONE);
    let waits = hand_in(&relay, ONE, "waits").await;
    let attempt = relay.http.until_attempt_is(&waits, "misconfigured").await;
    let goes = hand_in(&relay, TWO, "goes").await;
    relay.http.until_message_is(&goes, "delivered").await;
    let (name, state) = account_in_trouble(&relay).await;
    assert_eq!((attempt["provider"].as_str(), &*state), (Some(&*name), "misconfigured"));
    assert_eq!(relay.http.health().await["status"], "degraded");
    assert!(relay.log().contains(&name));
    let shown = relay.setup().run(&["queue", "list"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("API key is invalid"), "{shown}");

    // It outlives a crash, and the end of its key file's reader.
    let relay = relay.kill_9().await.start().await;
    let again = hand_in(&relay, TWO, "again").await;
    relay.http.until_message_is(&again, "delivered").await;
    assert_eq!(relay.http.message(&waits).await["state"], "queued");
    fake.restore(ONE);
    relay.http.until_message_is(&waits, "delivered").await;
    assert_eq!(keys(&fake)["waits"], ONE);
    let setup = relay.stop().await;
    assert_no_key_shows(&setup);
}

#[tokio::test]
async fn what_waits_in_the_queue_goes_by_its_sealed_account() {
    let fake = FakeProvider::resend().await;
    let relay = setup(&fake).start().await;
    let store = store_of(relay.setup());
    let seal = SealKey::beside(&store);
    fake.revoke(ONE);
    let one = put_in(&store, &seal, ONE, "of-one").await;
    let two = put_in(&store, &seal, TWO, "of-two").await;
    relay.http.until_message_is(&two, "delivered").await;
    relay.http.until_attempt_is(&one, "misconfigured").await;

    let relay = relay.kill_9().await.start().await;
    fake.restore(ONE);
    relay.http.until_message_is(&one, "delivered").await;
    let expected = [("of-one", ONE), ("of-two", TWO)].map(|(a, b)| (a.to_owned(), b.to_owned()));
    assert_eq!(keys(&fake), BTreeMap::from(expected));
    let setup = relay.stop().await;
    assert_no_key_shows(&setup);
}

#[tokio::test]
async fn mail_whose_key_file_was_lost_waits_and_says_so() {
    let fake = FakeProvider::resend().await;
    let relay = setup(&fake).start().await;
    let store = store_of(relay.setup());
    let elsewhere = tempfile::tempdir().unwrap();
    let lost = SealKey::beside(&elsewhere.path().join("mailferry.db"));
    let id = put_in(&store, &lost, ONE, "locked").await;
    let says_so = "the message says that its key was lost";
    wait::until(says_so, async || {
        let message = relay.http.message(&id).await;
        let error = message["error"].as_str()?;
        error.contains("put the old key back").then_some(())
    })
    .await;
    assert_eq!(relay.http.message(&id).await["state"], "queued");
    let setup = relay.stop().await;

    // As the text says: the old file comes back.
    let file = |folder: &Path| folder.join("mailferry.db.key");
    std::fs::copy(file(elsewhere.path()), file(setup.home())).unwrap();
    let relay = setup.start().await;
    relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(keys(&fake)["locked"], ONE);
}

#[tokio::test]
async fn a_key_file_that_cannot_be_used_stops_the_start() {
    let fake = FakeProvider::resend().await;
    let setup = setup(&fake);
    std::fs::write(setup.home().join("mailferry.db.key"), "short").unwrap();
    let ended = setup.run_to_end().await;
    assert!(!ended.status.success());
    let said = String::from_utf8_lossy(&ended.stderr).into_owned()
        + &String::from_utf8_lossy(&ended.stdout);
    assert!(said.contains("mailferry.db.key") && said.contains("32 octets"), "{said}");
}
