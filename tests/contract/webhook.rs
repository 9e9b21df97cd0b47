//! Signatures of posts, verified by the libraries that receivers use.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mailferry::clock::SystemClock;
use mailferry::config::{HookConfig, ProviderKind};
use mailferry::provider::{Hook, HttpClient};
use mailferry::secret::Secret;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::letters::faithful;
use crate::recorder::{Recorded, Recorder};
use crate::skip::skip;
use crate::support::{SECRET, config, key, oracle, provider, python};

/// Every faithful letter and a ping, as they were posted now.
async fn posts() -> Vec<Recorded> {
    let recorder = Recorder::start().await;
    let provider = provider(&config(ProviderKind::Webhook, &recorder.url));
    for sample in faithful() {
        let call = sample.call(&*provider);
        provider.send(&call, &key(&sample, &call)).await.unwrap();
    }
    provider.probe().await.unwrap();
    // Events are signed likewise.
    let hook = HookConfig { url: recorder.url.parse().unwrap(), secret: Secret::new(SECRET) };
    let hook = Hook::new(&hook, HttpClient::new().unwrap(), Arc::new(SystemClock)).unwrap();
    let event = r#"{"type":"provider.recovered","data":{"provider":"resend"}}"#;
    hook.post("mailferry-event-1", event.into()).await.unwrap();
    recorder.take()
}

/// What a library is asked about a post.
fn question(post: &Recorded, secret: &str) -> Value {
    let headers = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers: serde_json::Map<_, _> =
        headers.into_iter().map(|name| (name.to_owned(), json!(post.header(name)))).collect();
    json!({"secret": secret, "headers": headers, "body": STANDARD.encode(&post.body)})
}

/// What a library says, by a script that reads the question.
async fn verdict(mut command: Command, question: &Value) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(question.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let patience = std::time::Duration::from_mins(2);
    let ended = tokio::time::timeout(patience, child.wait_with_output()).await;
    let ended = ended.expect("the script ends").unwrap();
    assert!(ended.status.success(), "{command:?} failed, see above");
    String::from_utf8(ended.stdout).unwrap().trim().to_owned()
}

/// What is verified, and what is not: another secret, another id, another time, another body.
async fn assert_verifies(library: impl Fn() -> Command) {
    let posts = posts().await;
    assert_eq!(posts.len(), faithful().len() + 2);
    for post in &posts {
        assert_eq!(verdict(library(), &question(post, SECRET)).await, "verified");
    }
    let good = question(&posts[0], SECRET);
    let mut others = vec![question(&posts[0], "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")];
    for (name, value) in [("webhook-id", "msg_1"), ("webhook-timestamp", "1614265330")] {
        let mut other = good.clone();
        other["headers"][name] = json!(value);
        others.push(other);
    }
    let mut other = good.clone();
    other["body"] = question(&posts[1], SECRET)["body"].clone();
    others.push(other);
    for other in others {
        assert_ne!(verdict(library(), &other).await, "verified", "{other}");
    }
}

#[tokio::test]
async fn posts_are_verified_by_the_library_for_python() {
    let Some(python) = python() else { return };
    assert_verifies(|| oracle(&python, "verify_webhook.py")).await;
}

#[tokio::test]
async fn posts_are_verified_by_the_library_for_node() {
    let Some(modules) = node_modules() else { return };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/verify_webhook.js");
    assert_verifies(|| {
        let mut command = Command::new("node");
        command.arg(&script).env("NODE_PATH", &modules);
        command
    })
    .await;
}

/// Where the Node packages of the tests are, or `None` with a word about it.
fn node_modules() -> Option<PathBuf> {
    let folder = std::env::var_os("MAILFERRY_TEST_NODE_MODULES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-node/node_modules"),
        PathBuf::from,
    );
    if folder.join("standardwebhooks").is_dir() {
        return Some(folder);
    }
    let what = format!("standardwebhooks in {} (scripts/test does it)", folder.display());
    skip("posts verified by the library for Node", &format!("not installed: {what}"));
    None
}
