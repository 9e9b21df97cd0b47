//! An operator goes on with messages: retry by other ways and to others, cancel, export.

use std::process::Output;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::fake::{Behaviour, FakeProvider, Service};
use crate::support::http::Answer;
use crate::support::letter;
use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail, Session};
use crate::support::wait;

const NO_SUCH_USER: &str = "no such user";

fn refusal() -> Behaviour {
    Behaviour::resend_error(422, "invalid_parameter", NO_SUCH_USER)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A command of the queue, which must end with this code.
async fn queue(relay: &Relay, words: &[&str], code: i32) -> Output {
    let words: Vec<&str> = ["queue"].iter().chain(words).copied().collect();
    let output = relay.setup().run(&words).await;
    assert_eq!(output.status.code(), Some(code), "{words:?} {}", stderr(&output));
    output
}

async fn act(relay: &Relay, id: &str, what: &str, body: &Value) -> Answer {
    relay.http.post(&format!("/api/v1/messages/{id}/{what}"), body).await
}

#[track_caller]
fn assert_refused(answer: &Answer, status: u16, code: &str, words: &str) {
    assert_eq!(answer.status, status, "{}", answer.text());
    let error = &answer.json()["error"];
    assert_eq!(error["code"], code, "{error}");
    assert!(error["message"].as_str().is_some_and(|text| text.contains(words)), "{error}");
}

/// The recipients of a message in the API, with their states.
fn recipients(message: &Value) -> Vec<String> {
    let all = message["recipients"].as_array().unwrap().iter();
    all.map(|one| format!("{} {}", one["address"], one["state"]).replace('"', "")).collect()
}

#[tokio::test]
async fn what_the_first_provider_refuses_can_go_by_the_second() {
    let resend = FakeProvider::resend().await;
    let sendgrid = FakeProvider::start(Service::SendGrid).await;
    let relay = Setup::resend(&resend).and_sendgrid(&sendgrid).start().await;
    resend.behave(refusal());
    let by_command = smtp::submit(relay.smtp, &Mail::about("by-command")).await;
    let by_api = smtp::submit(relay.smtp, &Mail::about("by-api")).await;
    for id in [&by_command, &by_api] {
        let failed = relay.http.until_message_is(id, "failed").await;
        assert_eq!(failed["in_doubt"], false);
    }

    let unknown = act(&relay, &by_api, "retry", &json!({ "provider": "sendgird" })).await;
    assert_refused(&unknown, 400, "invalid_field", "did you mean sendgrid?");
    let unknown = queue(&relay, &["retry", &by_api, "--provider", "ses"], 2).await;
    assert!(stderr(&unknown).contains("configured: resend, sendgrid"), "{}", stderr(&unknown));
    assert_eq!(relay.http.message(&by_api).await["state"], "failed");

    let answer = act(&relay, &by_api, "retry", &json!({ "provider": "sendgrid" })).await;
    assert_eq!((answer.status, &answer.json()["id"]), (200, &json!(by_api)), "{}", answer.text());
    let done = queue(&relay, &["retry", &by_command, "--provider", "sendgrid", "--json"], 0).await;
    assert_eq!(stdout(&done), format!("{{\"id\":\"{by_command}\",\"ok\":true}}\n"));
    for id in [&by_command, &by_api] {
        let message = relay.http.until_message_is(id, "delivered").await;
        assert_eq!(message["provider"], "sendgrid");
        assert_eq!(message["attempts"].as_array().unwrap().len(), 2);
    }
    assert_eq!((resend.mail_count(), sendgrid.mail_count()), (0, 2));
    assert_eq!(resend.calls().len(), 2, "the first was asked again");
}

#[tokio::test]
async fn a_corrected_address_gets_the_message_as_it_was_and_the_wrong_one_nothing() {
    let fake = FakeProvider::start(Service::Ses).await;
    let relay = Setup::ses(&fake).start().await;
    let refused = r#"{"__type":"MessageRejected","message":"no such user"}"#;
    fake.then([Behaviour::answer(400, refused)]);
    let mail = Mail::about("corrected");
    let id = smtp::submit(relay.smtp, &mail).await;
    relay.http.until_message_is(&id, "failed").await;

    let wrong = act(&relay, &id, "retry", &json!({ "recipients": ["ada"] })).await;
    assert_refused(&wrong, 400, "invalid_field", "\"ada\" is not an address");
    let to = json!({ "recipients": ["ada@right.example", "ada@RIGHT.example"] });
    assert_eq!(act(&relay, &id, "retry", &to).await.status, 200);
    let message = relay.http.until_message_is(&id, "delivered").await;
    assert_eq!(
        recipients(&message),
        ["ada@rcpt.example cancelled", "ada@right.example delivered"],
        "{message}"
    );

    let mails = fake.mails();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].json["Destination"], json!({ "BccAddresses": ["ada@right.example"] }));
    let raw = mails[0].json["Content"]["Raw"]["Data"].as_str().unwrap();
    let raw = String::from_utf8(STANDARD.decode(raw).unwrap()).unwrap();
    assert!(raw.contains("To: Ada <ada@rcpt.example>\r\n"), "{raw}");
    assert!(!raw.contains("right.example"), "the new recipient is in the envelope only: {raw}");

    // The message is over, and a retry of all that failed does not go to the wrong address again.
    queue(&relay, &["retry", "--failed"], 0).await;
    assert_eq!(relay.http.message(&id).await["state"], "delivered");
}

#[tokio::test]
async fn a_delivered_message_is_sent_again_only_to_those_who_are_named() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let id = smtp::submit(relay.smtp, &Mail::about("again")).await;
    relay.http.until_message_is(&id, "delivered").await;

    let answer = act(&relay, &id, "retry", &json!({})).await;
    assert_refused(&answer, 409, "wrong_state", "name the recipients");
    let refused = queue(&relay, &["retry", &id], 1).await;
    assert!(stderr(&refused).contains("name the recipients"), "{}", stderr(&refused));

    let name = "<again@sender.example>";
    for (number, to) in [(2, "ada@rcpt.example"), (3, "eve@rcpt.example")] {
        queue(&relay, &["retry", name, "--to", to], 0).await;
        wait::until_true("it is sent again", || fake.mail_count() == number).await;
        let message = relay.http.until_message_is(&id, "delivered").await;
        assert!(recipients(&message).contains(&format!("{to} delivered")), "{message}");
        let sent_to = letter::mailboxes(&fake.mails()[number - 1].json["to"]);
        assert_eq!(sent_to.len(), 1, "{sent_to:?}");
        assert_eq!(sent_to[0].1, to);
    }
    let (first, second) = (&fake.mails()[0], &fake.mails()[1]);
    assert_eq!(first.json["subject"], second.json["subject"]);
    assert_ne!(first.key, second.key, "Resend would have taken it for a repeat");
}

#[tokio::test]
async fn a_waiting_message_is_cancelled_and_does_not_leave() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let invalid = Behaviour::resend_error(401, "validation_error", "API key is invalid");
    fake.behave_in_everything(&invalid);
    let first = smtp::submit(relay.smtp, &Mail::about("first")).await;
    let second = smtp::submit(relay.smtp, &Mail::about("second")).await;
    for id in [&first, &second] {
        relay.http.until_message_is(id, "queued").await;
    }
    let shown = stdout(&queue(&relay, &["show", &first], 0).await);
    assert!(shown.contains("\nnext          tried "), "{shown}");

    let answer = act(&relay, &first, "cancel", &json!({})).await;
    assert_eq!((answer.status, &answer.json()["state"]), (200, &json!("cancelled")));
    queue(&relay, &["cancel", "<second@sender.example>"], 0).await;
    let again = act(&relay, &first, "cancel", &json!({})).await;
    assert_refused(&again, 409, "wrong_state", "only a message that waits");
    queue(&relay, &["cancel", &second], 1).await;

    fake.behave_in_everything(&Behaviour::Normal);
    let relay = relay.stop().await.start().await;
    let third = smtp::submit(relay.smtp, &Mail::about("third")).await;
    relay.http.until_message_is(&third, "delivered").await;
    assert_eq!(fake.mail_count(), 1, "a cancelled message left");
}

#[tokio::test]
async fn an_export_is_what_was_sent_octet_by_octet() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let mut content: Vec<u8> = b"From: app@sender.example\r\nSubject: octets\r\n\r\n".to_vec();
    content.extend((0..=255_u8).filter(|octet| !b"\r\n\0".contains(octet)));
    content.extend_from_slice(b"\r\n..\r\n.\r\n\r\n");
    let mut session = Session::open(relay.smtp).await.unwrap();
    let from = "<app@sender.example> BODY=8BITMIME";
    let reply = session.send_chunks(from, "<ada@rcpt.example>", &content, 100).await.unwrap();
    let id = reply.queue_id();

    let exported = queue(&relay, &["export", &id], 0).await;
    assert_eq!(exported.stdout, content);
    let raw = relay.http.get(&format!("/api/v1/messages/{id}/raw")).await;
    assert_eq!((raw.status, raw.content_type.as_str()), (200, "message/rfc822"));
    assert_eq!(raw.body, exported.stdout);

    let saved = queue(&relay, &["export", &id, "--output", "one.eml", "--json"], 0).await;
    let saved: Value = serde_json::from_slice(&saved.stdout).unwrap();
    let size = exported.stdout.len();
    assert_eq!(saved, json!({ "id": id, "ok": true, "file": "one.eml", "size": size }));
    queue(&relay, &["export", "--all", "--directory", "all"], 0).await;
    for file in ["one.eml".to_owned(), format!("all/{id}.eml")] {
        let written = std::fs::read(relay.setup().home().join(&file)).unwrap();
        assert_eq!(written, exported.stdout, "{file}");
    }
    queue(&relay, &["export", "stranger"], 1).await;
}

/// Notes in the queue's file that nobody knows whether the last call has brought this message.
fn put_in_doubt(relay: &Relay, message_id: &str) {
    let file = rusqlite::Connection::open(relay.setup().home().join("mailferry.db")).unwrap();
    file.busy_timeout(wait::PATIENCE).unwrap();
    let changed = file
        .execute(
            "UPDATE messages SET begun_by = 'resend', begun_at = 0 WHERE message_id = ?1",
            [message_id],
        )
        .unwrap();
    assert_eq!(changed, 1);
}

#[tokio::test]
async fn a_retry_of_all_that_failed_leaves_alone_what_may_have_arrived() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    fake.behave(refusal());
    let mut ids = Vec::new();
    for number in 0..4 {
        let id = smtp::submit(relay.smtp, &Mail::about(&format!("number-{number}"))).await;
        relay.http.until_message_is(&id, "failed").await;
        ids.push(id);
    }
    put_in_doubt(&relay, "number-2@sender.example");
    let doubted = ids.remove(2);
    assert_eq!(relay.http.message(&doubted).await["in_doubt"], true);
    let shown = stdout(&queue(&relay, &["show", &doubted], 0).await);
    assert!(shown.contains("it may have arrived at resend"), "{shown}");

    fake.behave(Behaviour::Normal);
    let done = queue(&relay, &["retry", "--failed", "--json"], 1).await;
    let summary: Value = serde_json::from_slice(&done.stdout).unwrap();
    let expected = json!({
        "ok": false, "retried": 3, "in_doubt": 1, "without_content": 0, "refused": 0
    });
    assert_eq!(summary, expected);
    assert!(stderr(&done).contains("1 failed message may have arrived"), "{}", stderr(&done));
    for id in &ids {
        relay.http.until_message_is(id, "delivered").await;
    }
    assert_eq!(relay.http.message(&doubted).await["state"], "failed");
    assert_eq!(fake.mail_count(), 3);

    // Named, it goes.
    queue(&relay, &["retry", &doubted], 0).await;
    let message = relay.http.until_message_is(&doubted, "delivered").await;
    assert_eq!((&message["in_doubt"], fake.mail_count()), (&json!(false), 4));
    let none = queue(&relay, &["retry", "--failed"], 0).await;
    assert_eq!(stdout(&none), "no message has failed\n");
}

#[tokio::test]
async fn what_names_no_message_is_told_and_nothing_is_done() {
    let fake = FakeProvider::resend().await;
    let relay = Setup::resend(&fake).start().await;
    let unknown = "0193a5f0-0000-7000-8000-000000000000";
    for name in [unknown, "17", "<nobody@sender.example>"] {
        for command in ["retry", "cancel", "export", "show"] {
            let output = queue(&relay, &[command, name], 1).await;
            let said = format!("there is no message {name}");
            assert!(stderr(&output).contains(&said), "{command} {}", stderr(&output));
            assert!(output.stdout.is_empty(), "{command} {}", stdout(&output));
        }
    }
    for what in ["retry", "cancel"] {
        for id in [unknown, "17"] {
            let answer = act(&relay, id, what, &json!({})).await;
            assert_refused(&answer, 404, "not_found", "there is no message");
        }
    }
    assert_eq!(fake.calls().len(), 0);
}
