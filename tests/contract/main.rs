//! Requests as the services themselves describe and make them, from the bytes of a message on.
//!
//! The published descriptions (`MAILFERRY_SPECS`, by default `../shared/specs`) say what a request may be; for Postmark,
//! which publishes none, tests/support/specs/postmark.json does. The official SDKs, Prism, botocore's signer and moto say it a
//! second time: in the Python environment of `MAILFERRY_TEST_PYTHON`, by default `target/test-venv`, and with the Node
//! packages of `MAILFERRY_TEST_ORACLE_MODULES`, by default `target/test-oracle-node/node_modules`. What is absent is skipped
//! by name, and fails in CI.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod arrival;
#[path = "../support/carried.rs"]
mod carried;
mod checkers;
mod described;
mod envelope;
mod letters;
mod losses;
mod moto;
mod orders;
mod prism;
mod recorder;
mod sdk;
mod second_opinion;
mod sent;
mod sigv4;
#[path = "../support/skip.rs"]
mod skip;
#[path = "../support/specs/mod.rs"]
mod specs;
mod support;
mod webhook;
