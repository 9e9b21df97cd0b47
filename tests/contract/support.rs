//! What the tests share: the configured accounts, and the things from outside that may be absent.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use mailferry::clock::SystemClock;
use mailferry::config::{ProviderConfig, ProviderKind, Quota, SmarthostConfig};
use mailferry::provider::{Call, HttpClient, IdempotencyKey, Provider, build};
use mailferry::secret::Secret;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::letters::Sample;
use crate::skip::skip;

/// What posts to a webhook are signed with.
pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

pub(crate) const REGION: &str = "eu-west-1";

/// An account of this kind, reached at `base_url`.
pub(crate) fn config(kind: ProviderKind, base_url: &str) -> ProviderConfig {
    ProviderConfig {
        name: kind.name().to_owned(),
        kind,
        api_key: Secret::new("key-of-the-test"),
        base_url: (kind != ProviderKind::Webhook).then(|| base_url.parse().unwrap()),
        rate: None,
        daily_quota: Quota::default(),
        monthly_quota: Quota::default(),
        concurrency: NonZeroUsize::MIN,
        timeout: Duration::from_secs(60),
        region: (kind != ProviderKind::Mailgun).then(|| REGION.to_owned()),
        access_key_id: Some("AKIAIOSFODNN7EXAMPLE".to_owned()),
        secret_access_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        session_token: Secret::default(),
        domain: Some("mg.example.org".to_owned()),
        smarthost: SmarthostConfig {
            host: Some("127.0.0.1".to_owned()),
            ..SmarthostConfig::default()
        },
        url: Some(format!("{base_url}/mail").parse().unwrap()),
        secret: Secret::new(SECRET),
    }
}

/// One for all, because every new one reads the root certificates of the system.
static CLIENT: LazyLock<HttpClient> = LazyLock::new(|| HttpClient::new().unwrap());

pub(crate) fn provider(config: &ProviderConfig) -> Arc<dyn Provider> {
    build(config, &CLIENT, Arc::new(SystemClock)).unwrap()
}

/// The account of this kind that is never reached.
pub(crate) fn nowhere(kind: ProviderKind) -> Arc<dyn Provider> {
    provider(&config(kind, "http://127.0.0.1:9"))
}

pub(crate) fn key(sample: &Sample, call: &Call) -> IdempotencyKey {
    IdempotencyKey::new(sample.id, &call.body)
}

/// The Python of the test environment, or `None` with a word about it.
pub(crate) fn python() -> Option<PathBuf> {
    let path = std::env::var_os("MAILFERRY_TEST_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python"),
        PathBuf::from,
    );
    if path.exists() {
        return Some(path);
    }
    let test = std::thread::current().name().unwrap_or("a test of tests/contract").to_owned();
    let what = format!("{} with tests/oracle/requirements.txt", path.display());
    skip(&test, &format!("not installed: {what} (scripts/test does it)"));
    None
}

/// The Node packages of the test environment, or `None` with a word about it.
pub(crate) fn node_modules() -> Option<PathBuf> {
    let path = std::env::var_os("MAILFERRY_TEST_ORACLE_MODULES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-oracle-node/node_modules"),
        PathBuf::from,
    );
    let node = std::env::var_os("PATH").is_some_and(|folders| {
        std::env::split_paths(&folders).any(|folder| folder.join("node").is_file())
    });
    if node && path.exists() {
        return Some(path);
    }
    let test = std::thread::current().name().unwrap_or("a test of tests/contract").to_owned();
    let what = format!("node, or {} with tests/oracle/node/package.json", path.display());
    skip(&test, &format!("not installed: {what} (scripts/test does it)"));
    None
}

/// A script of tests/oracle, ready to be run.
pub(crate) fn oracle(python: &Path, script: &str) -> Command {
    let mut command = Command::new(python);
    command
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle").join(script))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "127.0.0.1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Runs a script of tests/oracle with this on its standard input, and returns what it printed.
pub(crate) async fn ask(python: &Path, script: &str, argument: &str, input: &Value) -> String {
    finished(oracle(python, script).arg(argument), script, &input.to_string()).await
}

/// Runs a script of tests/oracle/node, likewise.
pub(crate) async fn ask_node(modules: &Path, script: &str, argument: &str, input: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle/node");
    let mut command = Command::new("node");
    command
        .arg(folder.join(script))
        .arg(argument)
        .env("NODE_PATH", modules)
        // The AWS SDK announces which Node it will need next year.
        .env("NODE_NO_WARNINGS", "1")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    finished(&mut command, script, input).await
}

async fn finished(command: &mut Command, script: &str, input: &str) -> String {
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).await.unwrap();
    drop(stdin);
    let ended = tokio::time::timeout(Duration::from_mins(2), child.wait_with_output());
    let ended = ended.await.expect("the script ends").unwrap();
    assert!(ended.status.success(), "{script} failed, see above");
    String::from_utf8(ended.stdout).unwrap()
}
