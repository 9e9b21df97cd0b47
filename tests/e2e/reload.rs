//! SIGHUP: what an operator has changed in the configuration file holds, and nobody who sends mail notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::certificates::Certificates;
use crate::support::fake::{Behaviour, FakeProvider, Service};
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail, Session};
use crate::support::wait;

/// How fast the relays of these tests try again.
const HURRY: &str = "[delivery]\nretry_min = \"100ms\"\nretry_max = \"400ms\"\n";

fn write(setup: &Setup, configuration: &str) {
    std::fs::write(setup.home().join("mailferry.toml"), configuration).unwrap();
}

fn resend(fake: &FakeProvider, key: &str) -> String {
    let url = fake.url();
    format!("[providers.resend]\napi_key = \"{key}\"\nbase_url = \"{url}\"\nrate = \"10000/s\"\n")
}

fn sendgrid(fake: &FakeProvider) -> String {
    let url = fake.url();
    format!("[providers.sendgrid]\napi_key = \"SG.test\"\nbase_url = \"{url}\"\n")
}

/// A relay with this configuration file.
async fn start(configuration: &str) -> Relay {
    let setup = Setup::bare();
    write(&setup, configuration);
    setup.start().await
}

async fn log_in(relay: &Relay, username: &str, password: &str) -> u16 {
    let mut session = Session::open(relay.smtp).await.unwrap();
    let response = STANDARD.encode(format!("\0{username}\0{password}"));
    session.command(&format!("AUTH PLAIN {response}")).await.unwrap().code
}

#[tokio::test]
async fn a_key_that_was_mended_sends_the_mail_that_waits() {
    let fake = FakeProvider::resend().await;
    fake.revoke("re_Wrong77");
    let relay = start(&format!("{HURRY}{}", resend(&fake, "re_Wrong77"))).await;
    let id = smtp::submit(relay.smtp, &Mail::about("patient")).await;
    relay.http.until_provider_is("resend", "misconfigured").await;
    assert!(relay.log().contains("send it SIGHUP"), "{}", relay.log());

    write(relay.setup(), &format!("{HURRY}{}", resend(&fake, "re_Right88")));
    let said = relay.reload().await;
    assert!(said.contains("configuration reloaded") && said.contains("changed resend"), "{said}");
    relay.http.until_provider_is("resend", "up").await;
    relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(fake.mail_count(), 1);
    let log = relay.log();
    assert!(!log.contains("Wrong77") && !log.contains("Right88"), "{log}");
    relay.stop().await;
}

#[tokio::test]
async fn a_relay_that_caught_mail_says_so_until_a_provider_sends() {
    let fake = FakeProvider::resend().await;
    let relay = start("[providers.inbox]\ntype = \"capture\"\n").await;
    let caught = "Mail is caught here.";
    let page = relay.http.get("/overview").await.text();
    assert!(page.contains(caught), "{page}");
    write(relay.setup(), &resend(&fake, "re_one"));
    relay.reload().await;
    let page = relay.http.get("/overview").await;
    assert!(page.status == 200 && !page.text().contains(caught), "{}", page.text());
    relay.stop().await;
}

#[tokio::test]
async fn a_secret_in_a_file_of_its_own_is_read_again() {
    let fake = FakeProvider::resend().await;
    fake.revoke("re_old");
    let setup = Setup::bare();
    let key = setup.home().join("resend.key");
    std::fs::write(&key, "re_old\n").unwrap();
    let provider = resend(&fake, "").replace("api_key = \"\"", "api_key_file = \"resend.key\"");
    write(&setup, &format!("{HURRY}{provider}"));
    let relay = setup.start().await;
    let id = smtp::submit(relay.smtp, &Mail::about("patient")).await;
    relay.http.until_provider_is("resend", "misconfigured").await;
    std::fs::write(&key, "re_new\n").unwrap();
    assert!(relay.reload().await.contains("changed resend"));
    relay.http.until_message_is(&id, "delivered").await;
    relay.stop().await;
}

#[tokio::test]
async fn a_connection_outlasts_the_change_and_finishes_its_message() {
    let fake = FakeProvider::resend().await;
    let relay = start(&format!("{HURRY}{}", resend(&fake, "re_one"))).await;
    let mut early = Session::open(relay.smtp).await.unwrap();
    for (line, code) in [
        ("MAIL FROM:<app@sender.example>", 250),
        ("RCPT TO:<ada@rcpt.example>", 250),
        ("DATA", 354),
    ] {
        assert_eq!(early.command(line).await.unwrap().code, code, "{line}");
    }
    let smaller = format!("smtp.max_message_size = \"1 KiB\"\n{HURRY}{}", resend(&fake, "re_two"));
    write(relay.setup(), &smaller);
    let said = relay.reload().await;
    assert!(said.contains("smtp.max_message_size"), "{said}");

    let large = Mail::with_text("finished", &"0123456789".repeat(90)).data;
    let data = format!("{}{}.", large, "more of it\r\n".repeat(90));
    let done = early.command(&data).await.unwrap();
    assert_eq!(done.code, 250, "{done:?}");
    let id = done.queue_id();
    let late = smtp::send(relay.smtp, &Mail::with_text("late", &"0123456789".repeat(900))).await;
    assert_eq!(late.code, 552, "{late:?}");
    smtp::submit(relay.smtp, &Mail::about("small")).await;
    // The old connection goes on by what it was told.
    early.send(&Mail::with_text("again", &"0123456789".repeat(90))).await.unwrap().queue_id();
    relay.http.until_message_is(&id, "delivered").await;
    wait::until_true("all are out", || fake.mail_count() == 3).await;
    relay.stop().await;
}

#[tokio::test]
async fn users_come_and_go() {
    let fake = FakeProvider::resend().await;
    let users = |names: &[&str]| {
        let mut text = format!("smtp.auth = \"required\"\n{HURRY}{}", resend(&fake, "re_one"));
        for name in names {
            text +=
                &format!("[[smtp.users]]\nusername = \"{name}\"\npassword = \"{name}-Secret12\"\n");
        }
        text
    };
    let relay = start(&users(&["ada", "bob"])).await;
    assert_eq!(log_in(&relay, "ada", "ada-Secret12").await, 235);
    assert_eq!(log_in(&relay, "eve", "eve-Secret12").await, 535);
    write(relay.setup(), &users(&["bob", "eve"]));
    let said = relay.reload().await;
    assert!(said.contains("added eve; removed ada"), "{said}");
    assert_eq!(log_in(&relay, "ada", "ada-Secret12").await, 535);
    assert_eq!(log_in(&relay, "eve", "eve-Secret12").await, 235);
    assert_eq!(log_in(&relay, "bob", "bob-Secret12").await, 235);
    assert!(!relay.log().contains("Secret12"));
    relay.stop().await;
}

#[tokio::test]
async fn a_faulty_file_changes_nothing_and_every_fault_is_named() {
    let fake = FakeProvider::resend().await;
    let relay = start(&format!("{HURRY}{}", resend(&fake, "re_one"))).await;
    let before = relay.http.health().await;
    write(
        relay.setup(),
        "smtp.max_message_size = \"many\"\nsmtp.lisen = \"127.0.0.1:1\"\n\
         [providers.postmark]\napi_key = \"token\"\n",
    );
    let said = relay.reload().await;
    for part in [
        "smtp.max_message_size (mailferry.toml line 1)",
        "smtp.lisen (mailferry.toml line 2)",
        "did you mean smtp.listen?",
        "\"faults\":2",
    ] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let after = relay.http.health().await;
    assert_eq!(after["providers"], before["providers"]);
    assert_eq!(after["status"], before["status"]);

    // A certificate that there is not is a fault as well, and then nothing else is taken either.
    let missing = format!(
        "smtp.max_message_size = \"1 KiB\"\nsmtp.tls = {{ certificate = \"none.pem\", key = \"none.key\" }}\n\
         {HURRY}{}",
        resend(&fake, "re_two")
    );
    write(relay.setup(), &missing);
    let said = relay.reload().await;
    assert!(said.contains("was not reloaded") && said.contains("none.pem"), "{said}");
    let large = Mail::with_text("large", &"0123456789".repeat(200));
    let id = smtp::submit(relay.smtp, &large).await;
    relay.http.until_message_is(&id, "delivered").await;
    let call = fake.calls().pop().unwrap();
    assert_eq!(call.header("authorization"), Some("Bearer re_one"));
    relay.stop().await;
}

#[tokio::test]
async fn mail_of_a_provider_that_is_gone_takes_the_new_way() {
    let old = FakeProvider::resend().await;
    let new = FakeProvider::start(Service::SendGrid).await;
    old.behave_in_everything(&Behaviour::answer(500, "{}"));
    let relay = start(&format!("{HURRY}{}", resend(&old, "re_one"))).await;
    let mut ids = Vec::new();
    for number in 0..12 {
        ids.push(smtp::submit(relay.smtp, &Mail::about(&format!("moved-{number}"))).await);
    }
    relay.http.until_provider_is("resend", "down").await;
    write(relay.setup(), &format!("{HURRY}{}", sendgrid(&new)));
    let said = relay.reload().await;
    assert!(said.contains("added sendgrid; removed resend"), "{said}");
    for id in &ids {
        let message = relay.http.until_message_is(id, "delivered").await;
        assert_eq!(message["provider"], "sendgrid");
    }
    assert_eq!((old.mail_count(), new.mail_count()), (0, ids.len()));
    assert!(relay.http.health().await["providers"]["resend"].is_null());
    relay.stop().await;
}

#[tokio::test]
async fn what_needs_a_restart_is_said_and_the_rest_is_taken() {
    let fake = FakeProvider::resend().await;
    // The ports of a test are in its environment, which wins; the rest is not.
    let relay = start(&format!("{HURRY}{}", resend(&fake, "re_one"))).await;
    let changed = format!(
        "log.subject = false\nqueue.url = \"sqlite:elsewhere.db\"\nqueue.max_messages = 9\n\
         http.token = \"token-Secret5\"\n{HURRY}mode = \"direct\"\n{}",
        resend(&fake, "re_one")
    );
    write(relay.setup(), &changed);
    let said = relay.reload().await;
    for key in ["delivery.mode", "queue.url", "queue.max_messages"] {
        let warning =
            format!("the configuration has another {key}, which takes effect after a restart");
        assert!(said.contains(&warning), "{key}: {said}");
    }
    assert!(said.contains("http.token, log.subject"), "{said}");
    assert_eq!(relay.http.get("/api/v1/messages").await.status, 401);
    let with_token = relay.http.with_token("token-Secret5");
    let id = smtp::submit(relay.smtp, &Mail::about("hidden-subject")).await;
    with_token.until_message_is(&id, "delivered").await;
    let log = relay.log();
    assert!(log.contains(&id) && !log.contains("\"subject\"") && !log.contains("Secret5"), "{log}");
    assert!(!relay.setup().home().join("elsewhere.db").exists());
    relay.stop().await;
}

#[tokio::test]
async fn a_certificate_comes_by_the_configuration() {
    let fake = FakeProvider::resend().await;
    let provider = format!("{HURRY}{}", resend(&fake, "re_one"));
    let relay = start(&provider).await;
    let mut plain = Session::open(relay.smtp).await.unwrap();
    assert_eq!(plain.command("STARTTLS").await.unwrap().code, 502);
    let own = Certificates::write(relay.setup().home());
    let tls = format!(
        "smtp.tls = {{ certificate = {:?}, key = {:?} }}\n{provider}",
        own.certificate, own.key
    );
    write(relay.setup(), &tls);
    let said = relay.reload().await;
    assert!(said.contains("smtp.tls.certificate, smtp.tls.key"), "{said}");
    assert!(said.contains(&own.fingerprint), "{said}");
    let mut late = Session::open(relay.smtp).await.unwrap();
    assert_eq!(late.command("STARTTLS").await.unwrap().code, 220);

    // Damaged where it was: the other changes are taken, and the certificate before stays.
    std::fs::write(&own.certificate, "no certificate").unwrap();
    write(relay.setup(), &format!("smtp.max_recipients = 7\n{tls}"));
    let said = relay.reload().await;
    assert!(said.contains("smtp.max_recipients"), "{said}");
    wait::until_true("it is told", || {
        relay.log().contains("the TLS certificate cannot be renewed; the one before stays in use")
    })
    .await;
    let mut again = Session::open(relay.smtp).await.unwrap();
    assert_eq!(again.command("STARTTLS").await.unwrap().code, 220);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_changes_under_load_lose_and_double_nothing() {
    const SESSIONS: usize = 6;
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::Slow(std::time::Duration::from_millis(5)));
    let configuration = |round: usize| {
        // Each round makes another lane, and every other one another limit and another user.
        let limit = 1 + round % 2;
        format!(
            "smtp.max_message_size = \"{limit} MiB\"\n{HURRY}{}concurrency = {}\n\
             [[smtp.users]]\nusername = \"user-{limit}\"\npassword = \"secret-{round}\"\n",
            resend(&fake, &format!("re_{round}")),
            2 + round
        )
    };
    let relay = start(&configuration(0)).await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut sessions = tokio::task::JoinSet::new();
    for number in 0..SESSIONS {
        let (address, stop) = (relay.smtp, Arc::clone(&stop));
        sessions.spawn(async move {
            // One connection from the first change to the last.
            let mut session = Session::open(address).await.unwrap();
            let mut sent = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let subject = format!("load-{number}-{}", sent.len());
                session.send(&Mail::about(&subject)).await.unwrap().queue_id();
                sent.push(subject);
            }
            sent
        });
    }
    for round in 1..=20 {
        write(relay.setup(), &configuration(round));
        let said = relay.reload().await;
        assert!(said.contains("configuration reloaded"), "{said}");
    }
    stop.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    while let Some(session) = sessions.join_next().await {
        sent.extend(session.unwrap());
    }
    assert!(sent.len() >= SESSIONS, "nothing was sent meanwhile");
    wait::until("all is out", async || {
        let queue = &relay.http.health().await["queue"];
        (queue["queued"] == 0 && queue["sending"] == 0).then_some(())
    })
    .await;
    let mut arrived: Vec<String> =
        fake.mails().iter().map(|mail| mail.subject().to_owned()).collect();
    arrived.sort();
    sent.sort();
    assert_eq!(arrived, sent);
    relay.stop().await;
}

#[tokio::test]
async fn signals_that_come_together_are_one_and_none_is_lost() {
    let fake = FakeProvider::resend().await;
    let relay = start(&format!("{HURRY}{}", resend(&fake, "re_0"))).await;
    for round in 1..=5 {
        write(relay.setup(), &format!("{HURRY}{}", resend(&fake, &format!("re_{round}"))));
        relay.sighup().await;
    }
    // Whatever was joined: what was written last holds in the end.
    wait::until("the last one holds", async || {
        smtp::submit(relay.smtp, &Mail::about("which")).await;
        let last = fake.calls().pop()?;
        (last.header("authorization") == Some("Bearer re_5")).then_some(())
    })
    .await;
    relay.stop().await;
}

#[tokio::test]
async fn the_catcher_of_mail_reloads_and_catches_on() {
    let setup = Setup::bare().command(&["dev"]);
    write(&setup, "smtp.max_recipients = 5\n");
    let relay = setup.start().await;
    let id = smtp::submit(relay.smtp, &Mail::about("caught")).await;
    relay.http.until_message_is(&id, "delivered").await;
    write(relay.setup(), "smtp.max_recipients = 6\n[providers.resend]\napi_key = \"re_x\"\n");
    let said = relay.reload().await;
    assert!(said.contains("smtp.max_recipients"), "{said}");
    let id = smtp::submit(relay.smtp, &Mail::about("caught too")).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "capture");
    assert_eq!(relay.http.messages().await.len(), 2);
    relay.stop().await;
}
