//! The official SDKs, given the same message, make the same request. They get it as Python's own parser reads it.
//!
//! What may differ is listed in [`meaning`]; everything else is compared field by field.

mod meaning;

use std::path::PathBuf;
use std::sync::Arc;

use mailferry::clock::SystemClock;
use mailferry::config::ProviderKind;
use mailferry::provider::{HttpClient, IdempotencyKey, build};
use serde_json::{Value, json};

use self::meaning::{in_brevos, in_mailguns, in_postmarks, in_resends, in_sendgrids, in_sess};
use crate::letters::{Sample, faithful, whole};
use crate::recorder::{Recorded, Recorder};
use crate::support::{ask, ask_node, config, node_modules, provider, python};

/// An official SDK, by the script that sends a message with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sdk {
    Python(&'static str),
    Node(&'static str),
}

/// What the scripts are run with.
struct Tools {
    python: PathBuf,
    modules: PathBuf,
}

impl Tools {
    /// `None` when something is missing, which has been noted then.
    fn found() -> Option<Self> {
        let (python, modules) = (python(), node_modules());
        Some(Self { python: python?, modules: modules? })
    }

    async fn send(&self, sdk: Sdk, url: &str, letter: &Value) {
        match sdk {
            Sdk::Python(script) => {
                ask(&self.python, script, url, letter).await;
            }
            Sdk::Node(script) => {
                let fields = ask(&self.python, "fields.py", "", letter).await;
                ask_node(&self.modules, script, url, &fields).await;
            }
        }
    }
}

/// A message, and what its orders to the provider mean in the words of the API.
struct Letter {
    sample: Sample,
    options: Value,
}

/// Messages that the provider carries without loss, the last of them with everything and with orders.
fn letters(kind: ProviderKind) -> Vec<Letter> {
    let (orders, options) = orders(kind);
    let plain = faithful().into_iter().map(|sample| Letter { sample, options: json!({}) });
    plain.chain([Letter { sample: whole(orders), options }]).collect()
}

/// Header fields in which an app gives orders to this provider (SPEC 4.3), and the same for its SDKs.
fn orders(kind: ProviderKind) -> (&'static str, Value) {
    match kind {
        ProviderKind::Resend => ("Resend-Idempotency-Key: own-key\n", json!({})),
        ProviderKind::SendGrid => (
            "X-SMTPAPI: {\"category\": [\"welcome\", \"news\"], \"send_at\": 1795300000}\n",
            json!({"categories": ["welcome", "news"], "send_at": 1_795_300_000}),
        ),
        ProviderKind::Ses => (
            "X-SES-CONFIGURATION-SET: main\nX-SES-MESSAGE-TAGS: campaign=spring, kind=news\n",
            json!({
                "ConfigurationSetName": "main",
                "EmailTags": [
                    {"Name": "campaign", "Value": "spring"}, {"Name": "kind", "Value": "news"},
                ],
            }),
        ),
        ProviderKind::Mailgun => (
            "X-Mailgun-Tag: welcome\nX-Mailgun-Tag: news\nX-Mailgun-Track: no\n",
            json!({"o:tag": ["welcome", "news"], "o:tracking": "no"}),
        ),
        ProviderKind::Postmark => (
            "X-PM-Tag: welcome\nX-PM-Metadata-order: 42\nX-PM-Message-Stream: broadcasts\n\
             X-PM-TrackOpens: true\nX-PM-TrackLinks: HtmlOnly\n",
            json!({
                "Tag": "welcome", "Metadata": {"order": "42"}, "MessageStream": "broadcasts",
                "TrackOpens": true, "TrackLinks": "HtmlOnly",
            }),
        ),
        ProviderKind::Brevo => ("X-Mailin-Tag: welcome\n", json!({"tags": ["welcome"]})),
        ProviderKind::Smtp | ProviderKind::Webhook | ProviderKind::Capture => {
            unreachable!("there is no SDK for it")
        }
    }
}

/// Sends each message by ours and by the SDKs, and holds the two requests against each other. `keys` are the fields of
/// the credentials, and what stands in them.
async fn assert_agreement(
    kind: ProviderKind,
    sdks: [Sdk; 2],
    meaning: fn(&Recorded) -> Value,
    credentials: fn(&Recorded) -> bool,
) {
    let recorder = Recorder::start().await;
    let config = config(kind, &recorder.url);
    if build(&config, &HttpClient::new().unwrap(), Arc::new(SystemClock)).is_err() {
        // The configuration refuses a kind that this version does not have.
        return;
    }
    let Some(tools) = Tools::found() else { return };
    let provider = provider(&config);
    for Letter { sample, options } in letters(kind) {
        let call = sample.call(&*provider);
        let key = IdempotencyKey::of(sample.id, &call);
        let receipt = provider.send(&call, &key).await.unwrap();
        let id = receipt.provider_message_id.unwrap();
        assert_eq!(id.trim_matches(['<', '>']), "1");
        let ours = recorder.take().pop().unwrap();
        assert!(credentials(&ours), "{kind}: {ours:?}");
        let mut letter = sample.for_oracle();
        letter["options"] = options;
        for sdk in sdks {
            tools.send(sdk, &recorder.url, &letter).await;
            let theirs = recorder.take().pop().unwrap();
            let what = format!("{sdk:?}: {}", sample.name);
            assert_eq!((&ours.method, &ours.path), (&theirs.method, &theirs.path), "{what}");
            assert_eq!(media_type(&ours), media_type(&theirs), "{what}");
            assert_eq!(meaning(&ours), meaning(&theirs), "{what}");
            assert!(credentials(&theirs), "{what}: {theirs:?}");
        }
    }
}

fn media_type(request: &Recorded) -> String {
    request.header("content-type").split(';').next().unwrap_or_default().trim().to_owned()
}

fn is_one_of(request: &Recorded, field: &str, texts: [&str; 2]) -> bool {
    texts.contains(&request.header(field))
}

#[tokio::test]
async fn requests_to_resend_agree_with_its_sdks() {
    let sdks = [Sdk::Python("sdk_resend.py"), Sdk::Node("resend.cjs")];
    assert_agreement(ProviderKind::Resend, sdks, in_resends, |request| {
        let key = request.header("idempotency-key");
        (key == "own-key" || key == "oracle-key" || key.starts_with("mailferry-"))
            && is_one_of(request, "authorization", ["Bearer key-of-the-test", "Bearer re_oracle"])
    })
    .await;
}

#[tokio::test]
async fn requests_to_sendgrid_agree_with_its_sdks() {
    let sdks = [Sdk::Python("sdk_sendgrid.py"), Sdk::Node("sendgrid.cjs")];
    assert_agreement(ProviderKind::SendGrid, sdks, in_sendgrids, |request| {
        is_one_of(request, "authorization", ["Bearer key-of-the-test", "Bearer SG.oracle"])
    })
    .await;
}

#[tokio::test]
async fn requests_to_postmark_agree_with_its_sdks() {
    let sdks = [Sdk::Python("sdk_postmark.py"), Sdk::Node("postmark.cjs")];
    assert_agreement(ProviderKind::Postmark, sdks, in_postmarks, |request| {
        let tokens = ["key-of-the-test", "token-of-the-oracle"];
        is_one_of(request, "x-postmark-server-token", tokens)
            && request.header("accept") == "application/json"
    })
    .await;
}

#[tokio::test]
async fn requests_to_ses_agree_with_its_sdks() {
    let sdks = [Sdk::Python("sdk_ses.py"), Sdk::Node("ses.cjs")];
    assert_agreement(ProviderKind::Ses, sdks, in_sess, |request| {
        let authorization = request.header("authorization");
        authorization.starts_with("AWS4-HMAC-SHA256 Credential=AKIA")
            && authorization.contains("/eu-west-1/ses/aws4_request, SignedHeaders=")
    })
    .await;
}

#[tokio::test]
async fn requests_to_mailgun_agree_with_its_sdks() {
    let sdks = [Sdk::Python("sdk_mailgun.py"), Sdk::Node("mailgun.cjs")];
    assert_agreement(ProviderKind::Mailgun, sdks, in_mailguns, |request| {
        // Base64 of `api:`.
        request.header("authorization").starts_with("Basic YXBpO")
    })
    .await;
}

#[tokio::test]
async fn requests_to_brevo_agree_with_its_sdks() {
    let sdks = [Sdk::Python("sdk_brevo.py"), Sdk::Node("brevo.cjs")];
    assert_agreement(ProviderKind::Brevo, sdks, in_brevos, |request| {
        is_one_of(request, "api-key", ["key-of-the-test", "xkeysib-oracle"])
    })
    .await;
}
