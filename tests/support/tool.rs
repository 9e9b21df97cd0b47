//! Programs of the machine that a test needs, and what happens where one is missing.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::time::timeout;

pub(crate) use super::skip::skip;
use super::wait;

/// Where the program is, if it is.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// True when all programs are there; otherwise the test is noted as skipped.
pub(crate) fn present(test: &str, programs: &[&str]) -> bool {
    let missing: Vec<&str> =
        programs.iter().copied().filter(|program| find(program).is_none()).collect();
    if !missing.is_empty() {
        skip(test, &format!("not installed: {}", missing.join(", ")));
    }
    missing.is_empty()
}

/// Runs a program to its end, with an end of patience.
pub(crate) async fn run(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    // A program that does not read its input closes it; that is not a fault.
    let _ = stdin.write_all(input).await;
    drop(stdin);
    match timeout(wait::PATIENCE, child.wait_with_output()).await {
        Ok(output) => output.unwrap(),
        Err(_) => panic!("{command:?} does not end"),
    }
}

/// Runs a program that must succeed; its standard output.
pub(crate) async fn succeed(command: &mut Command, input: &[u8]) -> String {
    let output = run(command, input).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?} {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}

/// A script or fixture beside the tests.
pub(crate) fn fixture(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(path)
}
