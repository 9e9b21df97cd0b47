//! Our requests on their way through Prism, which holds them against the published descriptions and hands on only what is
//! valid.
//!
//! For Resend, SendGrid and Brevo. Not for SES, whose description is no OpenAPI document; not for Mailgun, whose
//! multipart form Prism takes as one field and refuses whatever is in it; not for Postmark, which publishes none.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mailferry::config::ProviderKind;
use mailferry::provider::{Call, IdempotencyKey};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

use crate::letters::{Sample, awkward, corpus, faithful, whole};
use crate::recorder::Recorder;
use crate::specs;
use crate::support::{config, node_modules, provider};

/// The running proxy. It ends with this process, or before.
struct Prism {
    url: String,
    _process: Child,
}

impl Prism {
    async fn before(recorder: &Recorder, modules: &Path, description: &Path) -> Self {
        let mut process = Command::new("node")
            .arg(modules.join("@stoplight/prism-cli/dist/index.js"))
            .args(["proxy", "--errors", "--host", "127.0.0.1", "--port", "0"])
            .arg(description)
            .arg(&recorder.url)
            .env("NO_COLOR", "1")
            .env("NODE_NO_WARNINGS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let listening = async {
            loop {
                let line = lines.next_line().await.unwrap().expect("Prism says where it listens");
                if let Some((_, url)) = line.split_once("Prism is listening on ") {
                    return url.trim().to_owned();
                }
            }
        };
        let url = tokio::time::timeout(Duration::from_mins(2), listening).await;
        // What it says of each request must be read, or it stops.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Self { url: url.expect("Prism starts"), _process: process }
    }
}

/// The letters of this suite, and of the corpus those that need no more than a reader.
fn selection() -> Vec<Sample> {
    [faithful(), awkward(), corpus(), vec![whole("")]].concat()
}

/// Sends the selection through the proxy: each call arrives as it was prepared. Prism refuses some although they are valid:
/// its format for addresses knows no quoted local parts and no address literals, which RFC 5321 has.
async fn assert_valid(kind: ProviderKind, description: Option<PathBuf>) {
    let Some(description) = description else { return };
    let recorder = Recorder::start().await;
    let Some(modules) = node_modules() else { return };
    let prism = Prism::before(&recorder, &modules, &description).await;
    let provider = provider(&config(kind, &prism.url));
    let mut sent = 0;
    for sample in selection() {
        let Ok(calls) = sample.calls(&*provider) else { continue };
        // A hundred calls that differ by the recipient alone would say the same as three.
        for call in calls.iter().take(3) {
            let outcome = provider.send(call, &IdempotencyKey::of(sample.id, call)).await;
            if let Err(error) = outcome {
                let body = String::from_utf8_lossy(&call.body);
                let rare = body.contains("\\\"@") || body.contains("@[");
                assert!(rare && error.reason.contains("prism"), "{kind}: {}: {error}", sample.name);
                assert_eq!(recorder.take().len(), 0, "{kind}: {}", sample.name);
                continue;
            }
            let arrived = recorder.take();
            assert_eq!(arrived.len(), 1, "{kind}: {}", sample.name);
            let body: serde_json::Value = serde_json::from_slice(&call.body).unwrap();
            assert_eq!(arrived[0].json(), body, "{kind}: {}", sample.name);
            sent += 1;
        }
    }
    assert!(sent > 30, "{kind}: {sent}");

    // It does look: what is not valid does not come through.
    let wrong = Call::new("{\"subject\":1}", "application/json");
    let key = IdempotencyKey::of(selection()[0].id, &wrong);
    assert!(provider.send(&wrong, &key).await.is_err(), "{kind}");
    assert_eq!(recorder.take().len(), 0, "{kind}");
}

#[tokio::test]
async fn prism_lets_requests_to_resend_pass() {
    assert_valid(ProviderKind::Resend, specs::file("resend/resend.json")).await;
}

#[tokio::test]
async fn prism_lets_requests_to_sendgrid_pass() {
    assert_valid(ProviderKind::SendGrid, specs::file("sendgrid/tsg_mail_v3.json")).await;
}

/// Prism looks for paths without that of the server, and its reader takes no tab.
#[tokio::test]
async fn prism_lets_requests_to_brevo_pass() {
    let Some(published) = specs::file("brevo/swagger_definition_v3.yml") else { return };
    let text = std::fs::read_to_string(published).unwrap();
    let text = text.replace('\t', " ").replace("\n  /", "\n  /v3/");
    let copy = Path::new(env!("CARGO_TARGET_TMPDIR")).join("brevo-for-prism.yml");
    std::fs::write(&copy, text.replace("https://api.brevo.com/v3", "https://api.brevo.com"))
        .unwrap();
    assert_valid(ProviderKind::Brevo, Some(copy)).await;
}
