//! aiosmtpd with STARTTLS and AUTH behind the relay.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use super::{PASSWORD, USER, awkward, certificates, setup, submitted};
use crate::support::certificates::Certificates;
use crate::support::letter;
use crate::support::relay::Setup;
use crate::support::smtp::{self, Mail};
use crate::support::{tool, wait};

/// The running server. It ends with its standard input, at the latest with this process.
struct Sink {
    port: u16,
    lines: Lines<BufReader<ChildStdout>>,
    _process: Child,
}

impl Sink {
    /// `None` when there is no Python for it.
    async fn start(test: &str, certificates: &Certificates) -> Option<Self> {
        let python = std::env::var_os("MAILFERRY_TEST_PYTHON").map_or_else(
            || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python"),
            PathBuf::from,
        );
        if !python.exists() {
            tool::skip(test, "not installed: tests/oracle/requirements.txt (scripts/test does it)");
            return None;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/smtp_sink.py");
        let mut process = Command::new(python)
            .arg(script)
            .args([&certificates.certificate, &certificates.key])
            .args([USER, PASSWORD])
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut sink = Self { port: 0, lines, _process: process };
        sink.port = sink.next().await["port"].as_u64().unwrap().try_into().unwrap();
        Some(sink)
    }

    /// The next line that it prints.
    async fn next(&mut self) -> Value {
        let line = timeout(wait::PATIENCE, self.lines.next_line()).await.unwrap();
        serde_json::from_str(&line.unwrap().expect("the server goes on")).unwrap()
    }
}

fn content(taken: &Value) -> Vec<u8> {
    STANDARD.decode(taken["content"].as_str().unwrap()).unwrap()
}

fn with_login(port: u16, certificates: &Certificates, password: &str) -> Setup {
    setup(port, &certificates.authority).env("SMTP_USER", USER).env("SMTP_PASSWORD", password)
}

#[tokio::test]
async fn every_octet_arrives_by_starttls_and_auth() {
    let (_folder, certificates) = certificates();
    let test = "every_octet_arrives_by_starttls_and_auth";
    let Some(mut sink) = Sink::start(test, &certificates).await else { return };
    let relay = with_login(sink.port, &certificates, PASSWORD).start().await;
    let mail = awkward(&["ada@rcpt.example", "hidden@rcpt.example", "김@예시.한국"]);
    // A local part in Hangul needs SMTPUTF8, which the first mail does without.
    let mut plain = mail.clone();
    plain.to.pop();
    let id = smtp::submit(relay.smtp, &plain).await;
    let taken = sink.next().await;
    assert_eq!(content(&taken), submitted(&plain), "not an octet is changed");
    assert_eq!(taken["from"], "bounce+1@sender.example");
    assert_eq!(taken["to"], serde_json::json!(["ada@rcpt.example", "hidden@rcpt.example"]));
    assert_eq!((&taken["tls"], &taken["authenticated"]), (&true.into(), &true.into()));
    assert!(taken["parameters"].to_string().contains("BODY=8BITMIME"), "{taken}");
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider_message_id"], "SINK1");
    assert_eq!(message["attempts"][0]["losses"], serde_json::json!([]));

    // On the same connection: letters with everything.
    for number in 0..3 {
        let data = letter::eml(&format!("letter-{number}@sender.example"), "");
        let to = letter::RECIPIENTS.iter().map(|it| (*it).to_owned()).collect();
        let mail = Mail {
            from: letter::FROM.to_owned(),
            to,
            data: data.replace('\n', "\r\n").replace("\r\r", "\r"),
        };
        smtp::submit(relay.smtp, &mail).await;
        let taken = sink.next().await;
        assert_eq!(content(&taken), submitted(&mail));
        assert_eq!(taken["to"].as_array().unwrap().len(), letter::RECIPIENTS.len());
    }
    assert!(!relay.log().contains(PASSWORD));
}

#[tokio::test]
async fn each_recipient_has_its_own_end() {
    let (_folder, certificates) = certificates();
    let Some(mut sink) = Sink::start("each_recipient_has_its_own_end", &certificates).await else {
        return;
    };
    let setup = with_login(sink.port, &certificates, PASSWORD);
    let relay = setup.set("delivery.give_up_after", "1s").start().await;
    let mail = awkward(&["ada@rcpt.example", "gone@refused.example", "slow@later.example"]);
    let id = smtp::submit(relay.smtp, &mail).await;
    assert_eq!(sink.next().await["to"], serde_json::json!(["ada@rcpt.example"]));
    let message = relay.http.until_message_is(&id, "failed").await;
    let state = |address: &str| {
        let all = message["recipients"].as_array().unwrap();
        let one = all.iter().find(|it| it["address"] == address).unwrap();
        (one["state"].as_str().unwrap(), one["reason"].as_str().unwrap_or_default())
    };
    assert_eq!(state("ada@rcpt.example").0, "delivered");
    let (gone, reason) = state("gone@refused.example");
    assert!(gone == "failed" && reason.contains("550 5.1.1 no such user here"), "{reason}");
    let (slow, reason) = state("slow@later.example");
    assert!(slow == "failed" && reason.contains("greylisted"), "{slow} {reason}");
    assert!(message["attempts"].as_array().unwrap().len() > 1, "it was tried again: {message}");
}

#[tokio::test]
async fn a_wrong_password_and_a_strange_certificate_keep_the_mail() {
    let (_folder, certificates) = certificates();
    let test = "a_wrong_password_and_a_strange_certificate_keep_the_mail";
    let Some(sink) = Sink::start(test, &certificates).await else { return };
    let wrong = with_login(sink.port, &certificates, "wr0ng-Secret");
    let stranger = with_login(sink.port, &certificates, PASSWORD)
        .env("SSL_CERT_FILE", certificates.stranger.to_str().unwrap());
    for (setup, words) in [(wrong, "535"), (stranger, "certificate")] {
        let checked = setup.run(&["check"]).await;
        let said = String::from_utf8_lossy(&checked.stdout).into_owned();
        assert!(said.contains(words) && said.contains("localhost:"), "{said}");
        let relay = setup.start().await;
        let id = smtp::submit(relay.smtp, &Mail::about("kept")).await;
        let attempt = relay.http.until_attempt_is(&id, "misconfigured").await;
        assert!(attempt["error"].as_str().unwrap().contains(words), "{attempt}");
        relay.http.until_message_is(&id, "queued").await;
        assert!(!relay.log().contains("wr0ng-Secret"));
    }
    let checked = with_login(sink.port, &certificates, PASSWORD).run(&["check"]).await;
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(said.contains("provider smtp: answers, and does not refuse"), "{said}");
    assert!(said.contains(&format!("STARTTLS, as {USER}")), "{said}");
}
