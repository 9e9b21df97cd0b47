//! The description of the API, judged by programs of others: it is well formed, and the relay keeps to it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;

use crate::support::relay::{Relay, Setup};
use crate::support::smtp::{self, Mail};
use crate::support::tool;

/// It takes a minute where nothing else runs.
const PATIENCE: Duration = Duration::from_mins(10);

const TOKEN: &str = "open-sesame";

/// The Python of the test environment with these modules, or `None` with a word about it.
async fn python(test: &str, modules: &str) -> Option<PathBuf> {
    let path = std::env::var_os("MAILFERRY_TEST_PYTHON").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/test-venv/bin/python"),
        PathBuf::from,
    );
    let import = format!("import {modules}");
    let found = path.exists()
        && tool::run(Command::new(&path).args(["-c", &import]), b"").await.status.success();
    if !found {
        tool::skip(test, "not installed: tests/oracle/requirements.txt (scripts/test does it)");
    }
    found.then_some(path)
}

/// A relay that keeps all mail to itself, and refuses nobody for the number of his questions.
async fn relay() -> Relay {
    Setup::bare()
        .set("delivery.providers", "capture")
        .set("sender.address", "relay@sender.example")
        .set("http.token", TOKEN)
        .set("http.send_rate", "1000000/s")
        .set("http.submit_rate", "1000000/s")
        .start()
        .await
}

#[tokio::test]
async fn the_description_is_well_formed() {
    let name = "the_description_is_well_formed";
    let Some(python) = python(name, "openapi_spec_validator").await else { return };
    let relay = relay().await;
    let document = relay.http.with_token(TOKEN).get("/api/openapi.json").await;
    assert_eq!(document.status, 200, "{}", document.text());
    assert!(document.content_type.starts_with("application/json"), "{}", document.content_type);
    let file = relay.setup().home().join("openapi.json");
    std::fs::write(&file, &document.body).unwrap();
    let mut judge = Command::new(python);
    judge.args(["-m", "openapi_spec_validator", "--schema", "3.1", "--validation-errors", "all"]);
    tool::succeed(judge.arg(file), b"").await;
}

#[tokio::test]
async fn the_relay_keeps_to_the_description() {
    let name = "the_relay_keeps_to_the_description";
    let Some(python) = python(name, "schemathesis").await else { return };
    let relay = relay().await;
    let api = relay.http.with_token(TOKEN);
    for number in 0..3 {
        let id = smtp::submit(relay.smtp, &Mail::about(&format!("there-{number}"))).await;
        api.until_message_is(&id, "delivered").await;
    }
    let entry = json!({"address": "nobody@rcpt.example"});
    assert_eq!(api.post("/api/v1/suppressions", &entry).await.status, 201);

    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    let mut asking = Command::new(python);
    asking
        .args(["-c", "from schemathesis.cli import schemathesis; schemathesis()", "--no-color"])
        .arg("--config-file")
        .arg(oracle.join("schemathesis.toml"))
        .args(["run", &relay.http.url("/api/openapi.json"), "--checks", "all"])
        .args(["--continue-on-failure", "--header", &format!("Authorization: Bearer {TOKEN}")])
        // What it remembers of a run goes with the relay.
        .current_dir(relay.setup().home())
        .env("PYTHONPATH", oracle)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("NO_PROXY", "127.0.0.1")
        .kill_on_drop(true);
    let output = tokio::time::timeout(PATIENCE, asking.output()).await;
    let output = output.expect("schemathesis ends").unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{complaint}");
    // Neither the stream nor, since it has been read already, the description.
    let document = api.get("/api/openapi.json").await.json();
    let paths = document["paths"].as_object().unwrap().values();
    let operations: usize = paths.map(|path| path.as_object().unwrap().len()).sum();
    let tested = format!("Tested: {}\n", operations - 2);
    assert!(said.contains(&tested), "not {tested}{said}\n{complaint}");

    // Nothing that came of it is a fault, and mail goes through.
    let id = smtp::submit(relay.smtp, &Mail::about("afterwards")).await;
    api.until_message_is(&id, "delivered").await;
    let log = relay.log();
    let fault = log.lines().find(|it| it.contains("panicked") || it.contains("by a fault of ours"));
    assert_eq!(fault, None);
}
