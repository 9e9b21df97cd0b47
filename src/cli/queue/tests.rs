mod one_message;

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use self::one_message::{AT_RESEND, ID, OTHER, OneMessage, RAW, id, summary};
use super::*;
use crate::cli::{ExportArgs, ListArgs, RetryArgs};
use crate::clock::{SystemClock, Timestamp};
use crate::message::Address;
use crate::queue::{Details, Page, Retried, State, Summary};

async fn ask(store: &OneMessage, action: QueueAction, json: bool) -> Answer {
    act(&QueueArgs { action, json }, store, &SystemClock).await
}

fn list() -> QueueAction {
    QueueAction::List(ListArgs {
        state: Some(State::Failed),
        provider: None,
        search: Some("ada".to_owned()),
        before: None,
        limit: 7,
    })
}

#[tokio::test]
async fn a_list_shows_a_message_on_a_line_and_its_error_below() {
    let store = OneMessage::default();
    let answer = ask(&store, list(), false).await;
    let lines: Vec<&str> = answer.text.lines().collect();
    assert_eq!(
        lines,
        [
            &format!(
                "{ID}  failed     2026-11-21T10:00:00Z  app@example.org -> ada@example.com (+1)  \
                 Verify [2J  your mail"
            ),
            "    resend: 422: no such user",
            &format!("not all messages have been looked at yet; search further: --before {ID}"),
        ]
    );
    assert_eq!(store.asked(), ["list Some(Failed) Some(\"ada\") 7"]);
}

#[test]
fn a_list_says_whether_all_has_been_looked_at() {
    let next = Some(ID.parse().unwrap());
    let page = |next| table::page(&Page { messages: Vec::new(), next }, 7);
    assert_eq!(page(None), "no messages\n");
    let unfinished = "not all messages have been looked at yet; search further: --before";
    assert_eq!(page(next), format!("no messages so far\n{unfinished} {ID}\n"));
    let full = Page { messages: vec![summary()], next };
    let text = table::page(&full, 1);
    assert!(text.ends_with(&format!("\nthere are more: --before {ID}\n")), "{text}");
}

#[tokio::test]
async fn json_has_the_form_of_the_api() {
    let store = OneMessage::default();
    let page: Value = serde_json::from_str(&ask(&store, list(), true).await.text).unwrap();
    assert_eq!(page["next"], ID);
    let message = &page["messages"][0];
    assert_eq!(message["from"], "app@example.org");
    assert_eq!(message["state"], "failed");
    assert_eq!(message["received_at"], "2026-11-21T10:00:00.000Z");
    assert_eq!(message["recipients"][0]["reason"], "no such user");
    assert!(message.get("attempts").is_none());

    let shown = ask(&store, QueueAction::Show { id: ID.to_owned() }, true).await.text;
    let shown: Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["attempts"][0]["outcome"], "rejected");
    assert_eq!(shown["attempts"][0]["latency_ms"], 87);
}

#[tokio::test]
async fn one_message_is_shown_with_recipients_attempts_and_losses() {
    let answer = ask(&OneMessage::default(), QueueAction::Show { id: ID.to_owned() }, false).await;
    for line in [
        "state         failed",
        "  failed      ada@example.com  no such user",
        "  queued      bob@example.com",
        "  2026-11-21T10:00:01Z  resend  rejected  87 ms  422: no such user",
        "    not carried: header X (reserved)",
        "wishes about notifications (none are sent yet): RET=HDRS ENVID=QQ314159",
        "  bob@example.com  NOTIFY=FAILURE,DELAY ORCPT=rfc822;all@example.com",
        "  ada@example.com  NOTIFY=NEVER",
    ] {
        assert!(answer.text.lines().any(|shown| shown == line), "{line:?}\n{}", answer.text);
    }
    let other = QueueAction::Show { id: OTHER.to_owned() };
    let none = ask(&OneMessage::default(), other, false).await;
    assert_eq!(none.errors, [format!("there is no message {OTHER}")]);

    let named = QueueAction::Show { id: "<1@example.org>".to_owned() };
    let named = ask(&OneMessage::default(), named, false).await;
    assert!(named.text.contains(ID), "{}", named.text);
}

#[tokio::test]
async fn a_providers_id_that_looks_like_ours_is_found_as_well() {
    let named = QueueAction::Show { id: AT_RESEND.to_owned() };
    let named = ask(&OneMessage::default(), named, false).await;
    assert!(named.text.contains(ID), "{:?}", named.errors);
}

fn retry_of(ids: &[&str]) -> RetryArgs {
    let id = ids.iter().map(|id| (*id).to_owned()).collect();
    RetryArgs { id, failed: false, provider: None, to: Vec::new() }
}

fn all_failed(provider: Option<&str>) -> QueueAction {
    let provider = provider.map(str::to_owned);
    QueueAction::Retry(RetryArgs { failed: true, provider, ..retry_of(&[]) })
}

/// The documents of an answer, one per line.
fn documents(answer: &Answer) -> Vec<Value> {
    answer.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn each_message_is_acted_on_even_when_one_fails() {
    let store = OneMessage::default();
    let args = RetryArgs { provider: Some("ses".to_owned()), ..retry_of(&["stranger", ID]) };
    let answer = ask(&store, QueueAction::Retry(args), false).await;
    assert_eq!(answer.text, format!("{ID} is due now\n"));
    assert_eq!(answer.errors, ["there is no message stranger"]);
    assert_eq!(store.asked()[2], format!("retry {ID} Some(\"ses\") []"));

    let cancel = QueueAction::Cancel { id: vec![OTHER.to_owned(), ID.to_owned()] };
    let answer = ask(&store, cancel, true).await;
    let acted = documents(&answer);
    assert_eq!(
        acted[0],
        json!({ "id": OTHER, "ok": false, "error": format!("there is no message {OTHER}") })
    );
    assert_eq!((&acted[1]["id"], &acted[1]["ok"]), (&json!(ID), &json!(false)));
    assert!(answer.errors[1].contains("only queued messages"), "{:?}", answer.errors);
}

#[tokio::test]
async fn a_message_is_retried_by_any_of_its_names_and_to_others() {
    let store = OneMessage::default();
    let to = ["bob@right.example", "eve@x.kr", "bob@RIGHT.example"];
    let to: Vec<Address> = to.iter().map(|address| address.parse().unwrap()).collect();
    let args = RetryArgs { to, ..retry_of(&["<1@example.org>"]) };
    let answer = ask(&store, QueueAction::Retry(args), true).await;
    assert_eq!(documents(&answer), [json!({ "id": ID, "ok": true })]);
    let asked = store.asked();
    assert_eq!(
        asked.last().unwrap(),
        &format!("retry {ID} None [\"bob@right.example\", \"eve@x.kr\"]")
    );
}

#[tokio::test]
async fn a_name_that_several_messages_have_is_not_acted_on() {
    let store = OneMessage { namesakes: 1, ..OneMessage::default() };
    for action in [
        QueueAction::Retry(retry_of(&["<1@example.org>"])),
        QueueAction::Cancel { id: vec!["<1@example.org>".to_owned()] },
    ] {
        let answer = ask(&store, action, false).await;
        let error = &answer.errors[0];
        assert!(error.starts_with("2 messages are called <1@example.org>"), "{error}");
        assert!(error.contains(ID), "{error}");
    }
    assert!(store.asked().iter().all(|asked| asked.starts_with("list")), "{:?}", store.asked());
    let blank = ask(&store, QueueAction::Cancel { id: vec![" ".to_owned()] }, false).await;
    assert_eq!(blank.errors.len(), 1, "a blank name is nobody's");
}

#[tokio::test]
async fn all_failed_messages_are_retried_slice_by_slice() {
    let last = Retried { retried: 1, without_content: 2, ..Retried::default() };
    let first = Retried { retried: 2, in_doubt: 1, next: Some(id()), ..Retried::default() };
    let slices = || Mutex::new(vec![last, first]);

    let store = OneMessage { slices: slices(), ..OneMessage::default() };
    let answer = ask(&store, all_failed(None), false).await;
    assert_eq!(answer.text, "3 failed messages are due now\n");
    assert!(
        answer.errors[0].starts_with("1 failed message may have arrived and was left alone"),
        "{:?}",
        answer.errors
    );
    let gone = "2 failed messages were left alone: the content is not kept any more";
    assert_eq!(answer.errors[1..], [gone]);
    let asked = ["None".to_owned(), format!("Some({:?})", id())];
    assert_eq!(store.asked(), asked.map(|before| format!("retry failed before {before}")));

    let store = OneMessage { slices: slices(), ..OneMessage::default() };
    let answer = ask(&store, all_failed(None), true).await;
    let expected = json!({
        "ok": false, "retried": 3, "in_doubt": 1, "without_content": 2, "refused": 0
    });
    assert_eq!(documents(&answer), [expected]);

    let nothing = ask(&OneMessage::default(), all_failed(None), false).await;
    assert_eq!((nothing.text.as_str(), nothing.errors.len()), ("no message has failed\n", 0));
}

#[tokio::test]
async fn all_failed_messages_can_go_by_one_provider_except_those_in_doubt() {
    let store = OneMessage::default();
    let answer = ask(&store, all_failed(Some("ses")), false).await;
    assert_eq!((answer.text.as_str(), answer.errors.len()), ("2 failed messages are due now\n", 0));
    let page = "list Some(Failed) None 500".to_owned();
    let again = format!("retry {ID} Some(\"ses\") []");
    assert_eq!(store.asked(), [page.clone(), again.clone(), page, again]);

    let store = OneMessage { maybe_at: Some("resend"), ..OneMessage::default() };
    let answer = ask(&store, all_failed(Some("ses")), true).await;
    assert_eq!(documents(&answer)[0]["in_doubt"], 2);
    assert!(store.asked().iter().all(|asked| asked.starts_with("list")), "{:?}", store.asked());
}

#[tokio::test]
async fn a_message_in_doubt_is_shown_with_who_may_have_it_and_what_to_do() {
    let store = OneMessage { maybe_at: Some("resend"), ..OneMessage::default() };
    let shown = ask(&store, QueueAction::Show { id: ID.to_owned() }, false).await.text;
    for line in [
        "doubt         it may have arrived at resend: nobody knows how the last call ended",
        &format!(
            "next          nothing by itself: look at resend whether it arrived; if not, \
             `mailferry queue retry {ID}`"
        ),
        "route         bulk",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line:?}\n{shown}");
    }
    let listed = ask(&store, list(), false).await.text;
    assert!(listed.contains("\n    it may have arrived at resend: "), "{listed}");
    let json = ask(&store, QueueAction::Show { id: ID.to_owned() }, true).await;
    let document = &documents(&json)[0];
    assert_eq!((&document["in_doubt"], &document["route"]), (&json!(true), &json!("bulk")));
}

#[test]
fn what_comes_next_is_said_for_every_state() {
    let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let later = Some(now + Duration::from_secs(90));
    let queued = Summary { state: State::Queued, next_attempt_at: later, ..summary() };
    let doubted = Summary { in_doubt: true, maybe_at: Some("ses".to_owned()), ..queued.clone() };
    let due = Summary { next_attempt_at: Some(now), ..queued.clone() };
    for (summary, words) in [
        (queued, "tried at 2026-11-21T10:01:30Z"),
        (doubted, "tried at 2026-11-21T10:01:30Z, first by ses again"),
        (due, "tried as soon as a provider takes it"),
        (Summary { state: State::Sending, ..summary() }, "on its way to a provider"),
        (summary(), "nothing by itself; `mailferry queue retry"),
        (
            Summary { state: State::Cancelled, ..summary() },
            "nothing by itself; `mailferry queue retry",
        ),
    ] {
        let state = summary.state;
        let text = table::details(&untried(summary), now);
        assert!(text.contains(&format!("next          {words}")), "{state} {text}");
    }
    let delivered = Summary { state: State::Delivered, ..summary() };
    let text = table::details(&untried(delivered), now);
    assert!(!text.contains("\nnext "), "{text}");
}

fn untried(summary: Summary) -> Details {
    Details { summary, attempts: Vec::new(), dsn: None, smtp_utf8: false, may_steer: true }
}

fn export_of(ids: &[&str]) -> ExportArgs {
    let id = ids.iter().map(|id| (*id).to_owned()).collect();
    ExportArgs { id, all: false, state: None, output: None, directory: None }
}

#[tokio::test]
async fn one_message_is_exported_octet_by_octet() {
    let store = OneMessage::default();
    let answer = ask(&store, QueueAction::Export(export_of(&["<1@example.org>"])), false).await;
    assert_eq!(answer, Answer { raw: Some(Bytes::from_static(RAW)), ..Answer::default() });

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("one.eml");
    let args = ExportArgs { output: Some(file.clone()), ..export_of(&[ID]) };
    let answer = ask(&store, QueueAction::Export(args), true).await;
    let expected = json!({ "id": ID, "ok": true, "file": file, "size": RAW.len() });
    assert_eq!(documents(&answer), [expected]);
    assert_eq!(std::fs::read(&file).unwrap(), RAW);

    let nowhere = folder.path().join("none").join("one.eml");
    let args = ExportArgs { output: Some(nowhere), ..export_of(&[ID]) };
    let answer = ask(&store, QueueAction::Export(args), false).await;
    assert!(answer.errors[0].contains("one.eml cannot be written"), "{:?}", answer.errors);
    let gone = OneMessage { content_gone: true, ..OneMessage::default() };
    let answer = ask(&gone, QueueAction::Export(export_of(&[ID])), false).await;
    assert_eq!(answer.raw, None);
    assert!(answer.errors[0].contains("not kept any more (queue.keep_bodies)"));
}

#[tokio::test]
async fn many_messages_are_exported_into_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("made").join("here");
    let file = directory.join(format!("{ID}.eml"));
    let several = ExportArgs { directory: Some(directory.clone()), ..export_of(&[ID, OTHER]) };
    let answer = ask(&OneMessage::default(), QueueAction::Export(several), false).await;
    assert_eq!(answer.text, format!("{ID} is in {} ({} bytes)\n", file.display(), RAW.len()));
    assert_eq!(answer.errors, [format!("there is no message {OTHER}")]);
    assert_eq!(std::fs::read(&file).unwrap(), RAW);

    let all = || ExportArgs {
        all: true,
        state: Some(State::Failed),
        directory: Some(directory.clone()),
        ..export_of(&[])
    };
    let answer = ask(&OneMessage::default(), QueueAction::Export(all()), true).await;
    let expected =
        json!({ "ok": true, "exported": 2, "without_content": 0, "directory": directory });
    assert_eq!(documents(&answer), [expected]);
    let gone = OneMessage { content_gone: true, ..OneMessage::default() };
    let answer = ask(&gone, QueueAction::Export(all()), false).await;
    assert!(answer.errors.is_empty(), "that contents go is how it should be");
    assert!(answer.text.contains("of 2 the content is not kept"), "{}", answer.text);
}

#[test]
fn an_export_that_cannot_be_meant_is_usage() {
    let fault = |args: &ExportArgs, json| export::usage(args, json);
    assert!(fault(&export_of(&[ID, OTHER]), false).unwrap().contains("--directory"));
    assert!(fault(&export_of(&[ID]), true).unwrap().contains("--json needs"));
    let dash = ExportArgs { output: Some("-".into()), ..export_of(&[ID]) };
    assert!(fault(&dash, true).unwrap().contains("--json needs"));
    assert_eq!(fault(&dash, false), None);
    let folder = ExportArgs { directory: Some("x".into()), ..export_of(&[ID, OTHER]) };
    assert_eq!(fault(&folder, true), None);
}
