//! Email services: how each is asked, and what its answers mean.
//!
//! A provider makes one attempt and judges the answer. Waiting, trying again, failing over and pausing are
//! `delivery`'s alone.

mod answer;
mod capabilities;
mod contract;

pub use answer::{Receipt, SendError, Verdict};
pub use capabilities::{Capabilities, Form, Idempotency, Rate};
pub use contract::{Call, IdempotencyKey, Letter, Provider, Unfit};
