//! From the bytes of a message to the body of a request, in one thread: MB of raw message per second, for each provider.
//! Prints JSON, and leaves the messages in target/bench for the programs that it is compared with.
//!
//!     bench-convert SCALE      measures for two seconds times SCALE each

#![expect(clippy::print_stdout, reason = "it prints what it measures")]

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailferry::clock::{SystemClock, Timestamp};
use mailferry::config::{Config, Sources};
use mailferry::message::{Addressing, Email, Envelope, QueueId};
use mailferry::provider::{Form, HttpClient, Letter, Provider};
use serde_json::json;
use tokio::time::Instant;
