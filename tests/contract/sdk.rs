//! The official SDKs, given the same message, make the same request. They get it as Python's own parser reads it.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::config::ProviderKind;
use serde_json::{Value, json};

use crate::letters::{Sample, faithful};
use crate::recorder::{Recorded, Recorder};
use crate::support::{ask, config, key, provider, python};

/// Our request and that of the SDK for the same message.
async fn pair(
    recorder: &Recorder,
    kind: ProviderKind,
    script: &str,
    sample: &Sample,
) -> Option<(Recorded, Recorded)> {
    let python = python()?;
    let provider = provider(&config(kind, &recorder.url));
    let call = sample.call(&*provider);
    let receipt = provider.send(&call, &key(sample, &call)).await.unwrap();
    assert_eq!(receipt.provider_message_id.as_deref(), Some("1"));
    let ours = recorder.take().pop().unwrap();

    ask(&python, script, &recorder.url, &sample.for_oracle()).await;
    let theirs = recorder.take().pop().unwrap();
    assert_eq!((&ours.method, &ours.path), (&theirs.method, &theirs.path), "{}", sample.name);
    assert_eq!(media_type(&ours), media_type(&theirs), "{}", sample.name);
    Some((ours, theirs))
}

fn media_type(request: &Recorded) -> String {
    request.header("content-type").split(';').next().unwrap_or_default().trim().to_owned()
}

/// Text or list of texts, and content as numbers or Base64, are the same to Resend.
fn in_resends_meaning(mut body: Value) -> Value {
    let members = body.as_object_mut().unwrap();
    for field in ["to", "cc", "bcc", "reply_to"] {
        if let Some(text) = members.get(field).filter(|value| value.is_string()) {
            let list = json!([text]);
            members.insert(field.to_owned(), list);
        }
    }
    for file in members.get_mut("attachments").and_then(Value::as_array_mut).into_iter().flatten() {
        if let Some(numbers) = file["content"].as_array() {
            let bytes: Vec<_> =
                numbers.iter().map(|n| u8::try_from(n.as_u64().unwrap()).unwrap()).collect();
            file["content"] = json!(STANDARD.encode(bytes));
        }
    }
    body
}

/// Headers and arguments stand at the top or in the only personalization. The SDK lists the files backwards.
fn in_sendgrids_meaning(mut body: Value) -> Value {
    let mut common = BTreeMap::new();
    for member in ["headers", "custom_args"] {
        let mut gathered = BTreeMap::new();
        let inner = body["personalizations"][0].as_object_mut().unwrap().remove(member);
        let outer = body.as_object_mut().unwrap().remove(member);
        for found in [inner, outer].into_iter().flatten() {
            let found = found.as_object().unwrap().clone();
            gathered.extend(found);
        }
        common.insert(member, gathered);
    }
    body["common"] = json!(common);
    if let Some(files) = body.get_mut("attachments").and_then(Value::as_array_mut) {
        files.sort_by_key(|file| file["filename"].to_string());
    }
    body
}

#[tokio::test]
async fn requests_to_resend_agree_with_its_sdk() {
    let recorder = Recorder::start().await;
    for sample in faithful() {
        let pair = pair(&recorder, ProviderKind::Resend, "sdk_resend.py", &sample).await;
        let Some((ours, theirs)) = pair else { return };
        let meaning = |request: &Recorded| in_resends_meaning(request.json());
        assert_eq!(meaning(&ours), meaning(&theirs), "{}", sample.name);
        assert_eq!(ours.header("authorization"), "Bearer key-of-the-test");
        assert_eq!(theirs.header("authorization"), "Bearer re_oracle");
        assert_eq!(theirs.header("idempotency-key"), "oracle-key");
        assert!(ours.header("idempotency-key").starts_with("mailferry-"));
    }
}

#[tokio::test]
async fn requests_to_sendgrid_agree_with_its_sdk() {
    let recorder = Recorder::start().await;
    for sample in faithful() {
        let pair = pair(&recorder, ProviderKind::SendGrid, "sdk_sendgrid.py", &sample).await;
        let Some((ours, theirs)) = pair else { return };
        let meaning = |request: &Recorded| in_sendgrids_meaning(request.json());
        assert_eq!(meaning(&ours), meaning(&theirs), "{}", sample.name);
        assert_eq!(ours.header("authorization"), "Bearer key-of-the-test");
        assert_eq!(theirs.header("authorization"), "Bearer SG.oracle");
    }
}

/// Headers that the SDK passes on and the service refuses, and the one with which ours asks it to keep the Message-ID.
fn in_postmarks_meaning(mut body: Value) -> Value {
    let only_one_side = ["Date", "X-PM-KeepID"];
    let headers = body["Headers"].as_array_mut().unwrap();
    headers.retain(|header| !only_one_side.iter().any(|name| header["Name"] == *name));
    body
}

#[tokio::test]
async fn requests_to_postmark_agree_with_its_sdk() {
    let recorder = Recorder::start().await;
    for sample in faithful() {
        let pair = pair(&recorder, ProviderKind::Postmark, "sdk_postmark.py", &sample).await;
        let Some((ours, theirs)) = pair else { return };
        let mut expected = theirs.json();
        // It writes down that there are none.
        let members = expected.as_object_mut().unwrap();
        members.retain(|_, value| *value != json!([]) && *value != json!({}));
        let meaning = in_postmarks_meaning;
        assert_eq!(meaning(ours.json()), meaning(expected), "{}", sample.name);
        assert_eq!(ours.header("x-postmark-server-token"), "key-of-the-test");
        assert_eq!(theirs.header("x-postmark-server-token"), "token-of-the-oracle");
        assert_eq!(ours.header("accept"), theirs.header("accept"));
    }
}

#[tokio::test]
async fn requests_to_ses_agree_with_its_sdk() {
    let recorder = Recorder::start().await;
    for sample in faithful() {
        let pair = pair(&recorder, ProviderKind::Ses, "sdk_ses.py", &sample).await;
        let Some((ours, theirs)) = pair else { return };
        assert_eq!(ours.json(), theirs.json(), "{}", sample.name);
        for request in [&ours, &theirs] {
            let authorization = request.header("authorization");
            assert!(authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIA"));
            assert!(authorization.contains("/eu-west-1/ses/aws4_request, SignedHeaders="));
        }
    }
}
