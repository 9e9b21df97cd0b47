//! The page in a real browser: Debian's `chromium`, driven by its `chromium-driver`.
//!
//! axe-core is where `MAILFERRY_TEST_BROWSER_MODULES` says (`scripts/test` installs it), by default in
//! `target/test-browser/node_modules`. What is absent is skipped by name, and fails in CI.

#![cfg(test)]

#[expect(dead_code, unused_imports, reason = "shared with the suite e2e, which uses the rest")]
#[path = "../support/mod.rs"]
mod support;

mod chromium;
mod marks;
mod outside;
mod past;
mod scene;
mod walk;
mod watch;

mod accessible;
mod forgery;
mod harness;
mod hostile;
mod inbox;
mod keyboard;
mod language;
mod live;
mod login;
mod phone;
mod pictures;
mod plain;
mod resend;
