//! What every provider that is reached by HTTP promises, whatever its API.

mod batches;
mod network;
mod octets;
mod options;
mod shown;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use super::fake::{Act, Fake, Seen};
use super::samples::{Sample, attachment, config, config_at, mailbox};
use super::{Call, Form, HttpClient, IdempotencyKey, Provider, Receipt, SendError, Verdict, build};
use crate::clock::{SystemClock, Timestamp};
use crate::config::{ProviderConfig, ProviderKind};
use crate::message::{Address, Protection};

const KINDS: [ProviderKind; 7] = [
    ProviderKind::Resend,
    ProviderKind::SendGrid,
    ProviderKind::Ses,
    ProviderKind::Mailgun,
    ProviderKind::Postmark,
    ProviderKind::Brevo,
    ProviderKind::Webhook,
];

/// One for all, because every new one reads the root certificates of the system. No two servers of these tests share a
/// port, so none meets a connection of another test.
static CLIENT: LazyLock<HttpClient> = LazyLock::new(|| HttpClient::new().unwrap());

fn made(config: &ProviderConfig) -> Arc<dyn Provider> {
    build(config, &CLIENT, Arc::new(SystemClock)).unwrap()
}

fn made_at(kind: ProviderKind, fake: &Fake) -> Arc<dyn Provider> {
    made(&config_at(kind, &fake.url))
}

fn call(provider: &dyn Provider, sample: &Sample) -> (Call, IdempotencyKey) {
    let call = provider.prepare(&sample.letter()).unwrap();
    let key = IdempotencyKey::new(sample.id, &call.body);
    (call, key)
}

/// One attempt, and what the server saw of it.
async fn attempt(kind: ProviderKind, act: Act) -> (Result<Receipt, SendError>, Seen) {
    let mut fake = Fake::start([act]).await;
    let provider = made_at(kind, &fake);
    let (call, key) = call(&*provider, &Sample::rich());
    let outcome = provider.send(&call, &key).await;
    (outcome, fake.seen().await)
}

async fn refused(kind: ProviderKind, act: Act) -> SendError {
    attempt(kind, act).await.0.unwrap_err()
}

fn success(kind: ProviderKind) -> Act {
    match kind {
        ProviderKind::Resend => Act::Answer(200, "", r#"{"id":"id-1"}"#.to_owned()),
        ProviderKind::SendGrid => Act::Answer(202, "X-Message-Id: id-1\r\n", String::new()),
        ProviderKind::Ses => Act::Answer(200, "", r#"{"MessageId":"id-1"}"#.to_owned()),
        ProviderKind::Postmark => {
            let body = r#"{"MessageID":"id-1","ErrorCode":0,"Message":"OK"}"#;
            Act::Answer(200, "", body.to_owned())
        }
        ProviderKind::Mailgun => {
            Act::Answer(200, "", r#"{"id":"<id-1>","message":"Queued. Thank you."}"#.to_owned())
        }
        ProviderKind::Webhook => Act::Answer(201, "", r#"{"id":"id-1"}"#.to_owned()),
        ProviderKind::Brevo => Act::Answer(201, "", r#"{"messageId":"id-1"}"#.to_owned()),
        ProviderKind::Smtp | ProviderKind::Capture => unreachable!("not in this suite"),
    }
}

/// The answer to a key that is dead.
fn dead_key(kind: ProviderKind) -> Act {
    let (status, body) = match kind {
        ProviderKind::Resend => {
            (401, r#"{"name":"validation_error","message":"API key is invalid"}"#)
        }
        ProviderKind::SendGrid => (401, r#"{"errors":[{"message":"authorization required"}]}"#),
        ProviderKind::Ses => (403, r#"{"__type":"SignatureDoesNotMatch","message":"no"}"#),
        ProviderKind::Postmark => (401, r#"{"ErrorCode":10,"Message":"Bad token"}"#),
        ProviderKind::Mailgun => (401, "Forbidden"),
        ProviderKind::Webhook => (401, r#"{"error":"bad signature"}"#),
        ProviderKind::Brevo => (401, r#"{"code":"unauthorized","message":"Key not found"}"#),
        ProviderKind::Smtp | ProviderKind::Capture => unreachable!("not in this suite"),
    };
    Act::Answer(status, "", body.to_owned())
}

#[test]
fn the_same_letter_gives_the_same_bytes() {
    for kind in KINDS {
        let bytes = |sample: &Sample| call(&*made(&config(kind)), sample).0.body;
        assert_eq!(bytes(&Sample::rich()), bytes(&Sample::rich().clone()), "{kind}");
        assert_ne!(bytes(&Sample::rich()), bytes(&Sample::plain()), "{kind}");
    }
}

#[tokio::test]
async fn an_accepted_call_gives_the_id_of_the_provider() {
    for kind in KINDS {
        let (outcome, seen) = attempt(kind, success(kind)).await;
        assert_eq!(outcome.unwrap().provider_message_id.as_deref(), Some("id-1"), "{kind}");

        let (call, key) = call(&*made(&config(kind)), &Sample::rich());
        assert_eq!(seen.body, call.body, "{kind}");
        assert!(seen.head.starts_with("POST "), "{kind}");
        assert_eq!(seen.header("content-type"), Some(&*call.content_type));
        assert!(seen.header("user-agent").unwrap().starts_with("mailferry/"));
        assert_eq!(seen.header("accept-encoding"), None, "answers are small and read as they come");
        let expected = (kind == ProviderKind::Resend).then_some(key.as_str());
        assert_eq!(seen.header("idempotency-key"), expected, "{kind}");
    }
}

#[tokio::test]
async fn an_attempt_is_one_request_whatever_the_answer() {
    for kind in KINDS {
        for act in [
            Act::Answer(302, "Location: /elsewhere\r\n", String::new()),
            Act::Answer(308, "Location: /elsewhere\r\n", String::new()),
            Act::Answer(503, "Retry-After: 0\r\n", String::new()),
            Act::Hangup,
        ] {
            let mut fake = Fake::start([act, success(kind), success(kind)]).await;
            let provider = made_at(kind, &fake);
            let (call, key) = call(&*provider, &Sample::plain());
            provider.send(&call, &key).await.unwrap_err();
            fake.seen().await;
            assert!(fake.is_quiet(), "{kind}");
        }
    }
}

#[tokio::test]
async fn statuses_mean_the_same_everywhere_where_no_table_knows_better() {
    let five = Some(Duration::from_secs(5));
    for kind in KINDS {
        for (status, verdict) in [
            (302, Verdict::Misconfigured),
            (401, Verdict::Misconfigured),
            (403, Verdict::Misconfigured),
            (404, Verdict::Misconfigured),
            (408, Verdict::Temporary { retry_after: five }),
            (409, Verdict::Bug),
            (413, Verdict::Rejected),
            (415, Verdict::Bug),
            (418, Verdict::Unknown),
            (422, Verdict::Unknown),
            (425, Verdict::Temporary { retry_after: five }),
            (429, Verdict::Throttled { retry_after: five }),
            (500, Verdict::Temporary { retry_after: five }),
            (503, Verdict::Temporary { retry_after: five }),
        ] {
            let verdict = match (kind, status) {
                // Whatever its author says about a message is about the message.
                (ProviderKind::Webhook, 422) => Verdict::Rejected,
                _ => verdict,
            };
            let act = Act::Answer(status, "Retry-After: 5\r\n", "something".to_owned());
            let error = refused(kind, act).await;
            assert_eq!((error.verdict, error.unclear), (verdict, false), "{kind} {status}");
            assert!(error.to_string().starts_with(&format!("{status}: something")), "{error}");
        }
    }
}

#[tokio::test]
async fn a_success_of_something_else_does_not_lose_the_mail() {
    for kind in KINDS {
        let page = Act::Answer(200, "", "<html>Please log in</html>".to_owned());
        assert_eq!(refused(kind, page).await.verdict, Verdict::Misconfigured, "{kind}");
    }
}

#[tokio::test]
async fn a_call_that_may_have_arrived_is_unclear() {
    for kind in KINDS {
        for act in [Act::Hangup, Act::Garbage] {
            let error = refused(kind, act).await;
            assert_eq!(error.verdict, Verdict::Temporary { retry_after: None }, "{kind}");
            assert!(error.unclear && error.status.is_none(), "{kind}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_found_nobody_is_clear() {
    for kind in KINDS {
        let url = Fake::start([]).await.url.clone();
        // Nobody listens there any more.
        let provider = made(&config_at(kind, &url));
        let (call, key) = call(&*provider, &Sample::plain());
        let error = provider.send(&call, &key).await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
        assert!(!error.unclear && error.reason.starts_with("cannot connect"), "{error:?}");

        let error = provider.probe().await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
    }
}

#[tokio::test]
async fn a_provider_that_says_nothing_is_waited_for_as_long_as_configured() {
    for kind in KINDS {
        let mut fake = Fake::start([Act::Silence]).await;
        let provider = made_at(kind, &fake);
        let (call, key) = call(&*provider, &Sample::plain());
        let sending = tokio::spawn(async move { provider.send(&call, &key).await });
        fake.seen().await;
        tokio::time::pause();
        tokio::time::advance(config(kind).timeout + Duration::from_secs(1)).await;
        let error = sending.await.unwrap().unwrap_err();
        tokio::time::resume();
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
        assert!(error.unclear && error.reason.contains("no answer within 30s"), "{error:?}");
    }
}

#[tokio::test]
async fn a_refusal_that_is_cut_off_is_still_one() {
    for kind in KINDS {
        let error = refused(kind, Act::Cut(503, "", "sorr")).await;
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
        assert_eq!((error.status, error.unclear), (Some(503), false));
        // Its reason is not known, so the message is not given up for it.
        let error = refused(kind, Act::Cut(400, "", "{")).await;
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None }, "{kind}");
    }
}

#[tokio::test]
async fn an_endless_answer_is_read_to_a_limit() {
    for kind in KINDS {
        let error = refused(kind, Act::Flood(500)).await;
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
        assert!(error.reason.chars().count() <= 300 && error.reason.starts_with("~~"));
    }
}

#[tokio::test]
async fn no_key_shows_in_errors_or_debug_output() {
    for kind in KINDS {
        let config = config(kind);
        let shown = format!("{:?}", made(&config));
        assert!(!shown.contains("topsecret"), "{shown}");

        let (outcome, seen) = attempt(kind, Act::Echo(400)).await;
        let error = outcome.unwrap_err();
        let shown = format!("{error} {error:?}");
        let (field, is_shown) = credentials(kind);
        assert!(shown.contains(field), "the server repeats it: {shown}");
        let sent = seen.header(field).unwrap();
        assert_eq!(sent.contains("topsecret"), is_shown, "{kind}");
        assert!(!shown.contains("topsecret"), "{shown}");
        if let Some(encoded) = sent.strip_prefix("Basic ") {
            assert!(!shown.contains(encoded), "{shown}");
        }
    }
}

/// The header field that proves who asks, and whether the key stands in it. A signature is made with the key and does
/// not contain it.
fn credentials(kind: ProviderKind) -> (&'static str, bool) {
    match kind {
        ProviderKind::Resend | ProviderKind::SendGrid => ("authorization", true),
        ProviderKind::Postmark => ("x-postmark-server-token", true),
        ProviderKind::Ses => ("authorization", false),
        // In Base64.
        ProviderKind::Mailgun => ("authorization", false),
        ProviderKind::Webhook => ("webhook-signature", false),
        ProviderKind::Brevo => ("api-key", true),
        ProviderKind::Smtp | ProviderKind::Capture => unreachable!("not in this suite"),
    }
}

#[test]
fn what_is_too_large_or_for_too_many_goes_elsewhere() {
    for kind in KINDS {
        let provider = made(&config(kind));
        let limits = provider.capabilities().clone();

        let mut sample = Sample::plain();
        sample.raw.resize(limits.request_bytes_max, b'x');
        sample.email.attachments = vec![attachment("a.pdf", "application/pdf", &sample.raw)];
        let unfit = provider.prepare(&sample.letter()).unwrap_err();
        assert!(unfit.reason.contains("MB"), "{kind}: {unfit}");

        let mut sample = Sample::plain();
        let hidden = |n: usize| format!("r{n}@example.org").parse::<Address>().unwrap();
        sample.addressing.bcc = (1..limits.recipients_per_call).map(hidden).collect();
        assert!(provider.prepare(&sample.letter()).is_ok(), "{kind}");
        sample.addressing.bcc.push(hidden(0));
        let unfit = provider.prepare(&sample.letter()).unwrap_err();
        assert!(unfit.reason.contains("recipients"), "{kind}: {unfit}");
    }
}

#[test]
fn an_address_outside_ascii_is_carried_or_named() {
    for kind in KINDS {
        let provider = made(&config(kind));
        let mut sample = Sample::plain();
        sample.addressing.to = vec![mailbox("", "한글@example.org")];
        let call = provider.prepare(&sample.letter());
        if provider.capabilities().non_ascii_local_parts {
            let body = call.unwrap().body;
            assert!(String::from_utf8_lossy(&body).contains("한글@example.org"), "{kind}");
            continue;
        }
        let unfit = call.unwrap_err();
        assert!(unfit.reason.contains("한글@example.org"), "{kind}: {unfit}");
    }
}

#[test]
fn a_structured_api_breaks_what_is_signed_or_encrypted_and_says_so() {
    for kind in KINDS {
        let provider = made(&config(kind));
        let structured = provider.capabilities().form == Form::Structured;
        for (protection, word) in
            [(Protection::Signed, "signature"), (Protection::Encrypted, "encrypted")]
        {
            let mut sample = Sample::plain();
            sample.email.protection = protection;
            let losses = provider.prepare(&sample.letter()).unwrap().losses;
            let said = losses.iter().any(|loss| loss.grave && loss.what.contains(word));
            assert_eq!(said, structured, "{kind}: {losses:?}");
        }
    }
}

#[test]
fn the_published_rate_is_that_of_the_service_itself() {
    for kind in KINDS {
        let mut config = config(kind);
        let own = made(&config).capabilities().rate.is_some();
        assert_eq!(own, kind == ProviderKind::Resend);
        config.base_url = Some("http://127.0.0.1:9".parse().unwrap());
        assert_eq!(made(&config).capabilities().rate, None);
    }
}

#[tokio::test]
async fn a_probe_fails_only_when_the_key_is_clearly_dead() {
    for kind in KINDS {
        let mut fake = Fake::start([dead_key(kind)]).await;
        let error = made_at(kind, &fake).probe().await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Misconfigured, "{kind}");
        // A receiver is asked as it is given mail, so what its address says to that counts.
        let asks_by_post = kind == ProviderKind::Webhook;
        let method = if asks_by_post { "POST " } else { "GET " };
        assert!(fake.seen().await.head.starts_with(method));

        for (status, body) in [(200, "{}"), (404, "{}"), (405, ""), (429, ""), (500, ""), (302, "")]
        {
            if asks_by_post && matches!(status, 302 | 404 | 405) {
                continue;
            }
            let fake = Fake::start([Act::Answer(status, "", body.to_owned())]).await;
            assert_eq!(made_at(kind, &fake).probe().await, Ok(()), "{kind} {status}");
        }
    }
}

#[tokio::test]
async fn an_account_is_vouched_for_by_a_clear_answer_only() {
    let living = [
        (ProviderKind::Resend, 200, r#"{"object":"list","data":[]}"#),
        (ProviderKind::Resend, 401, r#"{"name":"restricted_api_key","message":"only send"}"#),
        (ProviderKind::SendGrid, 200, r#"{"scopes":["mail.send"]}"#),
        (ProviderKind::SendGrid, 403, r#"{"errors":[{"message":"access forbidden"}]}"#),
        (ProviderKind::Postmark, 200, r#"{"ID":1,"Name":"Production"}"#),
        (ProviderKind::Mailgun, 200, r#"{"domain":{"state":"active"}}"#),
        (ProviderKind::Brevo, 200, r#"{"email":"ada@example.org"}"#),
    ];
    for (kind, status, body) in living {
        let fake = Fake::start([Act::Answer(status, "", body.to_owned())]).await;
        assert_eq!(made_at(kind, &fake).vouch().await, Ok(()), "{kind} {status}");
    }
    for kind in [
        ProviderKind::Resend,
        ProviderKind::SendGrid,
        ProviderKind::Mailgun,
        ProviderKind::Postmark,
        ProviderKind::Brevo,
    ] {
        let fake = Fake::start([dead_key(kind)]).await;
        let error = made_at(kind, &fake).vouch().await.unwrap_err();
        assert_eq!(error.verdict, Verdict::Misconfigured, "{kind}");
        for (status, body) in
            [(200, ""), (401, ""), (403, "{}"), (404, "{}"), (429, "{}"), (500, "{}"), (302, "")]
        {
            let fake = Fake::start([Act::Answer(status, "", body.to_owned())]).await;
            let error = made_at(kind, &fake).vouch().await.unwrap_err();
            assert_ne!(error.verdict, Verdict::Misconfigured, "{kind} {status}: it cannot be told");
        }
    }
}

/// Mailgun's keys that may only send, and the question that they may be asked.
#[tokio::test]
async fn a_key_with_few_rights_is_asked_for_what_it_may_do() {
    let missing = r#"{"message":"from parameter is missing. please check documentation"}"#;
    for (second, alive) in [
        (Act::Answer(400, "", missing.to_owned()), true),
        (Act::Answer(401, "", "Forbidden".to_owned()), false),
        (Act::Hangup, false),
    ] {
        let mut fake = Fake::start([dead_key(ProviderKind::Mailgun), second]).await;
        let probed = made_at(ProviderKind::Mailgun, &fake).probe().await;
        assert_eq!(probed.is_ok(), alive);
        assert!(fake.seen().await.head.starts_with("GET /v4/domains/mg.example.org "));
        let further = fake.seen().await;
        assert!(further.head.starts_with("POST /v3/mg.example.org/messages "));
        assert!(further.body.is_empty(), "nothing that could be sent");
    }
}

/// A receiver need not call the message anything.
#[tokio::test]
async fn a_post_that_gets_no_name_goes_by_its_own() {
    let (outcome, seen) = attempt(ProviderKind::Webhook, Act::Answer(204, "", String::new())).await;
    let id = outcome.unwrap().provider_message_id.unwrap();
    assert_eq!(Some(id.as_str()), seen.header("webhook-id"));
}

#[test]
fn keys_name_the_message_and_its_bytes() {
    let now: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
    let id = crate::message::QueueId::new(now);
    let mut keys = HashMap::new();
    for body in ["a", "b", "a"] {
        let key = IdempotencyKey::new(id, body.as_bytes());
        assert_eq!(key.message(), id);
        assert!(key.as_str().is_ascii() && key.as_str().len() <= 256);
        *keys.entry(key).or_insert(0) += 1;
    }
    assert_eq!(keys.len(), 2);
}
