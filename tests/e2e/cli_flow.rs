//! The commands as a person types them.

use std::process::Output;

use serde_json::Value;

use crate::support::fake::{Behaviour, FakeProvider};
use crate::support::relay::{RESEND_KEY, Setup};
use crate::support::smtp::{self, Mail};

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or(-1)
}

#[tokio::test]
async fn dev_catches_mail_with_nothing_configured() {
    let relay = Setup::bare().command(&["dev"]).start().await;
    let id = smtp::submit(relay.smtp, &Mail::about("caught")).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "capture");
    assert_eq!(message["subject"], "caught");
    assert!(relay.http.get("/").await.text().contains("caught"));
    assert_eq!(relay.http.get("/ready").await.status, 200);
    relay.stop().await;
}

#[tokio::test]
async fn dev_delivers_nothing_even_with_a_key_at_hand() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).command(&["dev"]).start().await;
    let id = smtp::submit(relay.smtp, &Mail::about("caught")).await;
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(message["provider"], "capture");
    assert_eq!(fake.calls().len(), 0);
}

#[tokio::test]
async fn serve_without_a_provider_says_three_ways_out() {
    for words in [&["serve"][..], &[]] {
        let output = Setup::bare().run(words).await;
        assert_eq!(code(&output), 78, "{}", stderr(&output));
        let said = stderr(&output);
        for way in ["RESEND_API_KEY", "mailferry.toml", "mailferry dev"] {
            assert!(said.contains(way), "{way} is not named: {said}");
        }
    }
}

#[tokio::test]
async fn a_wrong_key_in_the_file_is_named_with_its_neighbour() {
    let setup = Setup::bare().env("RESEND_API_KEY", RESEND_KEY);
    std::fs::write(setup.home().join("mailferry.toml"), "[smtp]\nlissen = \"127.0.0.1:0\"\n")
        .unwrap();
    let output = setup.run(&["serve"]).await;
    assert_eq!(code(&output), 78, "{}", stderr(&output));
    for word in ["lissen", "listen", "mailferry.toml"] {
        assert!(stderr(&output).contains(word), "{word} is not named: {}", stderr(&output));
    }
}

#[tokio::test]
async fn the_configuration_is_printed_without_its_secrets() {
    let output = Setup::bare().env("RESEND_API_KEY", RESEND_KEY).run(&["config"]).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("***") && said.contains("RESEND_API_KEY"), "{said}");
    assert!(said.contains("MAILFERRY__SMTP__LISTEN"), "where a value came from is missing: {said}");
    assert!(!said.contains(RESEND_KEY), "the key can be seen");
}

#[tokio::test]
async fn check_offline_judges_the_configuration() {
    let good = Setup::bare().env("RESEND_API_KEY", RESEND_KEY);
    let output = good.set("sender.address", "a@sender.example").run(&["check", "--offline"]).await;
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let bad = Setup::bare().set("delivery.retry_min", "soon").env("RESEND_API_KEY", RESEND_KEY);
    let output = bad.run(&["check", "--offline"]).await;
    assert_ne!(code(&output), 0);
    let said = stdout(&output) + &stderr(&output);
    assert!(said.contains("MAILFERRY__DELIVERY__RETRY_MIN"), "{said}");
}

#[tokio::test]
async fn usage_errors_and_help() {
    let setup = Setup::bare();
    assert_eq!(code(&setup.run(&["--version"]).await), 0);
    let help = setup.run(&["--help"]).await;
    assert_eq!(code(&help), 0);
    for command in ["serve", "dev", "check", "send", "queue", "health", "config"] {
        assert!(stdout(&help).contains(command), "{command} is not in the help");
    }
    for wrong in [&["fly"][..], &["queue"], &["queue", "show"], &["send"], &["--nonsense"]] {
        assert_eq!(code(&setup.run(wrong).await), 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn health_exits_0_or_1() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let url = relay.http.url("/health");
    let setup = relay.setup().clone();
    let up = setup.run(&["health", "--url", &url]).await;
    assert_eq!(code(&up), 0, "{}", stderr(&up));
    relay.stop().await;
    let down = setup.run(&["health", "--url", &url]).await;
    assert_eq!(code(&down), 1, "{}", stderr(&down));
}

#[tokio::test]
async fn the_queue_is_looked_at_and_acted_on() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::resend_error(422, "invalid_parameter", "no such thing"));
    let relay = Setup::resend(&fake).start().await;
    let failed = smtp::submit(relay.smtp, &Mail::about("to-be-retried")).await;
    relay.http.until_message_is(&failed, "failed").await;
    fake.behave_in_everything(&Behaviour::resend_error(
        401,
        "validation_error",
        "API key is invalid",
    ));
    let waiting = smtp::submit(relay.smtp, &Mail::about("to-be-cancelled")).await;
    relay.http.until_provider_is("resend", "misconfigured").await;
    relay.http.until_message_is(&waiting, "queued").await;
    let setup = relay.setup().clone();

    let list = setup.run(&["queue", "list"]).await;
    assert_eq!(code(&list), 0, "{}", stderr(&list));
    for word in [&failed, &waiting, "to-be-retried", "to-be-cancelled", "failed", "queued"] {
        assert!(stdout(&list).contains(word), "{word} is not listed: {}", stdout(&list));
    }
    let show = setup.run(&["queue", "show", &failed]).await;
    assert_eq!(code(&show), 0, "{}", stderr(&show));
    assert!(stdout(&show).contains("no such thing"), "{}", stdout(&show));
    let json = setup.run(&["queue", "show", &failed, "--json"]).await;
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!(json["id"], failed);
    assert_eq!(json["attempts"][0]["outcome"], "rejected");

    let message_id = json["message_id"].as_str().unwrap();
    for name in [message_id.to_owned(), format!("<{message_id}>")] {
        let named = setup.run(&["queue", "show", &name]).await;
        assert!(stdout(&named).contains(&failed), "{name}: {}", stderr(&named));
    }

    let cancel = setup.run(&["queue", "cancel", &waiting]).await;
    assert_eq!(code(&cancel), 0, "{}", stderr(&cancel));
    relay.http.until_message_is(&waiting, "cancelled").await;
    let again = setup.run(&["queue", "cancel", &waiting]).await;
    assert_eq!(code(&again), 1, "{}", stdout(&again));
    let unknown = "0193a5f0-0000-7000-8000-000000000000";
    assert_eq!(code(&setup.run(&["queue", "show", unknown]).await), 1);

    fake.behave_in_everything(&Behaviour::Normal);
    let retry = setup.run(&["queue", "retry", &failed]).await;
    assert_eq!(code(&retry), 0, "{}", stderr(&retry));
    let setup = relay.stop().await;
    let relay = setup.start().await;
    relay.http.until_message_is(&failed, "delivered").await;
    assert_eq!(fake.mail_count(), 1, "a cancelled message left");
}

#[tokio::test]
async fn all_failed_messages_are_retried_at_once() {
    let fake = FakeProvider::resend().await;
    fake.behave(Behaviour::resend_error(422, "invalid_parameter", "no such thing"));
    let relay = Setup::resend(&fake).start().await;
    let mut ids = Vec::new();
    for number in 0..3 {
        let id = smtp::submit(relay.smtp, &Mail::about(&format!("failed-{number}"))).await;
        relay.http.until_message_is(&id, "failed").await;
        ids.push(id);
    }
    fake.behave(Behaviour::Normal);
    let retry = relay.setup().run(&["queue", "retry", "--failed"]).await;
    assert_eq!(code(&retry), 0, "{}", stderr(&retry));
    for id in &ids {
        relay.http.until_message_is(id, "delivered").await;
    }
    assert_eq!(fake.mail_count(), 3);
}

#[tokio::test]
async fn send_prints_the_provider_and_its_id() {
    let fake = FakeProvider::resend().await;
    let setup = Setup::resend(&fake).set("sender.address", "relay@sender.example");
    std::fs::write(setup.home().join("보고서.txt"), "내용").unwrap();
    let words = [
        "send",
        "--to",
        "ada@rcpt.example",
        "--to",
        "bob@rcpt.example",
        "--subject",
        "안녕",
        "--text",
        "본문",
        "--attach",
        "보고서.txt",
    ];
    let output = setup.run(&words).await;
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let mails = fake.mails();
    assert_eq!(mails.len(), 1);
    assert!(stdout(&output).contains("resend"), "{}", stdout(&output));
    assert!(stdout(&output).contains(&mails[0].id), "{}", stdout(&output));
    assert_eq!(mails[0].json["to"].as_array().unwrap().len(), 2);
    assert_eq!(mails[0].json["attachments"][0]["filename"], "보고서.txt");

    fake.behave(Behaviour::resend_error(422, "invalid_parameter", "no such thing"));
    let output = setup.run(&["send", "--to", "ada@rcpt.example", "--text", "x"]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("no such thing"), "{}", stderr(&output));
}
