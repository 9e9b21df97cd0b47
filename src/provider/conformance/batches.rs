//! What every provider promises that takes several calls in one request.

use super::{Act, Fake, KINDS, Sample, call, dead_key, made, made_at};
use crate::config::ProviderKind;
use crate::provider::samples::{config, mailbox};
use crate::provider::{Call, IdempotencyKey, Receipt, SendError, Verdict};

fn with_batches() -> impl Iterator<Item = ProviderKind> {
    KINDS.into_iter().filter(|kind| made(&config(*kind)).capabilities().batch.is_some())
}

/// Three calls to different people.
fn calls(kind: ProviderKind) -> [Call; 3] {
    ["one@example.org", "two@example.org", "three@example.org"].map(|address| {
        let mut sample = Sample::plain();
        sample.addressing.to = vec![mailbox("", address)];
        call(&*made(&config(kind)), &sample).0
    })
}

/// The answer that names the messages `first`, `first + 1` … of a batch.
fn named(kind: ProviderKind, count: usize) -> String {
    let ids = (1..=count).map(|n| format!("id-{n}"));
    match kind {
        ProviderKind::Resend => {
            let items: Vec<_> = ids.map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
            format!(r#"{{"data":[{}]}}"#, items.join(","))
        }
        ProviderKind::Postmark => {
            let item = |id| format!(r#"{{"MessageID":"{id}","ErrorCode":0,"Message":"OK"}}"#);
            let items: Vec<_> = ids.map(item).collect();
            format!("[{}]", items.join(","))
        }
        ProviderKind::SendGrid
        | ProviderKind::Ses
        | ProviderKind::Mailgun
        | ProviderKind::Brevo
        | ProviderKind::Smtp
        | ProviderKind::Webhook
        | ProviderKind::Capture => unreachable!("it has no batch"),
    }
}

async fn sent(
    kind: ProviderKind,
    act: Act,
) -> (Result<Vec<Result<Receipt, SendError>>, SendError>, crate::provider::fake::Seen) {
    let mut fake = Fake::start([act]).await;
    let provider = made_at(kind, &fake);
    let joined = provider.join(&calls(kind)).unwrap();
    let key = IdempotencyKey::of(Sample::plain().id, &joined);
    let outcome = provider.send_joined(&joined, 3, &key).await;
    (outcome, fake.seen().await)
}

#[tokio::test]
async fn joined_calls_are_one_request_with_all_of_them_in_their_order() {
    for kind in with_batches() {
        let (outcome, seen) = sent(kind, Act::Answer(200, "", named(kind, 3))).await;
        let ids: Vec<_> = outcome.unwrap().into_iter().map(|it| it.unwrap()).collect();
        assert_eq!(ids, ["id-1", "id-2", "id-3"].map(Receipt::named), "{kind}");
        assert!(seen.head.starts_with("POST ") && seen.head.contains("/batch "), "{}", seen.head);
        let listed: Vec<serde_json::Value> = serde_json::from_slice(&seen.body).unwrap();
        let alone =
            calls(kind).map(|it| serde_json::from_slice::<serde_json::Value>(&it.body).unwrap());
        assert_eq!(listed, alone, "{kind}");
    }
}

#[tokio::test]
async fn a_repeat_of_a_batch_is_the_same_request() {
    for kind in with_batches() {
        let (_, first) = sent(kind, Act::Hangup).await;
        let (_, second) = sent(kind, Act::Hangup).await;
        assert_eq!(first.body, second.body, "{kind}");
        assert_eq!(first.header("idempotency-key"), second.header("idempotency-key"));
        assert_eq!(first.header("idempotency-key").is_some(), kind == ProviderKind::Resend);
    }
}

#[tokio::test]
async fn a_member_without_an_answer_may_have_been_taken() {
    for kind in with_batches() {
        let (outcome, _) = sent(kind, Act::Answer(200, "", named(kind, 2))).await;
        let [first, second, third] = outcome.unwrap().try_into().unwrap();
        assert!(first.is_ok() && second.is_ok(), "{kind}");
        let error = third.unwrap_err();
        assert_eq!(error.verdict, Verdict::Temporary { retry_after: None });
        assert!(error.unclear, "{kind}");

        let (outcome, _) = sent(kind, Act::Answer(200, "", named(kind, 5))).await;
        assert_eq!(outcome.unwrap().len(), 3, "{kind}: what nobody asked for means nothing");
    }
}

#[tokio::test]
async fn an_answer_that_is_none_to_a_batch_takes_nothing() {
    for kind in with_batches() {
        for body in ["<html>log in</html>", "", "[]", "{}", "null", r#"{"data":[]}"#, "7"] {
            let (outcome, _) = sent(kind, Act::Answer(200, "", body.to_owned())).await;
            assert_eq!(outcome.unwrap_err().verdict, Verdict::Misconfigured, "{kind}: {body}");
        }
        for body in [r#"[null,7,{}]"#, r#"{"data":[null,7,{}]}"#] {
            let (outcome, _) = sent(kind, Act::Answer(200, "", body.to_owned())).await;
            let all = outcome.unwrap_or_else(|error| vec![Err(error)]);
            assert!(all.iter().all(Result::is_err), "{kind}: {body}");
        }
    }
}

#[tokio::test]
async fn an_unclear_end_is_that_of_the_whole_batch() {
    for kind in with_batches() {
        for act in [Act::Hangup, Act::Garbage, Act::Cut(200, "", "[")] {
            let error = sent(kind, act).await.0.unwrap_err();
            assert_eq!(error.verdict, Verdict::Temporary { retry_after: None }, "{kind}");
            assert!(error.unclear, "{kind}");
        }
        let error = sent(kind, Act::Flood(200)).await.0.unwrap_err();
        assert!(error.unclear, "{kind}: too long to be read, and perhaps taken");
    }
}

#[tokio::test]
async fn a_refused_batch_is_one_error() {
    for kind in with_batches() {
        let error = sent(kind, dead_key(kind)).await.0.unwrap_err();
        assert_eq!(error.verdict, Verdict::Misconfigured, "{kind}");
        assert!(!error.reason.contains("topsecret"));
        for (status, verdict) in [
            (413, Verdict::Rejected),
            (429, Verdict::Throttled { retry_after: None }),
            (500, Verdict::Temporary { retry_after: None }),
        ] {
            let act = Act::Answer(status, "", "no".to_owned());
            let error = sent(kind, act).await.0.unwrap_err();
            assert_eq!((error.verdict, error.unclear), (verdict, false), "{kind} {status}");
        }
    }
}

#[test]
fn what_may_be_joined_can_be_told_from_a_single_call() {
    for kind in with_batches() {
        let provider = made(&config(kind));
        let calls = calls(kind);
        assert!(calls.iter().all(|call| provider.can_join(call)), "{kind}");
        let own_key = Call { key: Some("mine".to_owned()), ..calls[0].clone() };
        let beside = Call { envelope: Some(Sample::plain().envelope), ..calls[0].clone() };
        let rich = call(&*provider, &Sample::rich()).0;
        let batch = provider.capabilities().batch.unwrap();
        let large = Call::new(vec![b' '; batch.request_bytes_max], "application/json");
        for other in [own_key, beside, rich, large] {
            let joined = provider.join(&[calls[1].clone(), other.clone()]);
            assert_eq!(provider.can_join(&other), joined.is_some(), "{kind}");
        }
    }
    for kind in KINDS.into_iter().filter(|kind| !with_batches().any(|it| it == *kind)) {
        let provider = made(&config(kind));
        assert!(!provider.can_join(&call(&*provider, &Sample::plain()).0), "{kind}");
    }
}

#[test]
fn what_is_too_much_for_one_request_is_not_joined() {
    for kind in with_batches() {
        let provider = made(&config(kind));
        let batch = provider.capabilities().batch.unwrap();
        let [call, ..] = calls(kind);
        assert!(provider.join(&vec![call.clone(); batch.calls_max]).is_some(), "{kind}");
        assert_eq!(provider.join(&vec![call; batch.calls_max + 1]), None, "{kind}");
        assert_eq!(provider.join(&[]), None, "{kind}");

        let large = Call::new(vec![b' '; batch.request_bytes_max / 2], "application/json");
        assert_eq!(provider.join(&[large.clone(), large]), None, "{kind}");
    }
}
