//! Requests as the services themselves describe and make them.
//!
//! The published descriptions (`MAILFERRY_SPECS`, by default `../shared/specs`) say what a request may be; the official
//! SDKs, botocore's signer and moto (in the Python environment of `MAILFERRY_TEST_PYTHON`, by default
//! `target/test-venv`) say it a second time. What is absent is skipped by name, and fails where `CI` is `true`.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests fail by panicking")]

mod letters;
mod moto;
mod openapi;
mod recorder;
mod sdk;
mod service_model;
mod sigv4;
mod specs;
mod support;
