//! Clients of which no more is known than where they come from: who counts as one, and how guessing becomes slow and then
//! stops, on the SMTP side and on the HTTP side alike.

mod failures;
mod network;

pub(crate) use failures::{FAILURES_MAX, FORGOTTEN_AFTER, Failures, delay};
pub(crate) use network::network;
