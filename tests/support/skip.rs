//! What happens where something that a test needs is not there.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// Where skipped tests are noted; `scripts/test` prints it at the end.
fn notes() -> PathBuf {
    std::env::var_os("MAILFERRY_TEST_SKIPS")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).join("skipped.txt"), PathBuf::from)
}

/// Notes that a test does not run, and why. In CI nothing may be skipped: there it panics.
pub(crate) fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("CI").is_none_or(|ci| ci.is_empty()), "{test} cannot run: {why}");
    let mut file = OpenOptions::new().create(true).append(true).open(notes()).unwrap();
    // One write: tests run side by side.
    file.write_all(format!("{test}: {why}\n").as_bytes()).unwrap();
}
