//! When and by whom a message leaves.
//!
//! Each provider has a lane. Delivery takes due messages from the queue, picks the lane, makes the calls and settles
//! what came of them. Waiting, retrying, failing over and pausing happen here and nowhere else.

mod status;

pub use status::{Cause, NotSent, ProviderState, ProviderStatus, Sent};

use crate::message::Submission;

/// The running delivery, as the other parts see it.
#[derive(Debug)]
pub struct Delivery {}

impl Delivery {
    /// How each provider does, in the order of preference.
    pub fn status(&self) -> Vec<ProviderStatus> {
        Vec::new()
    }

    /// True when a new message could be delivered now: at least one provider is up.
    pub fn ready(&self) -> bool {
        false
    }

    /// Delivers a message at once through the route, or through the one provider that is named, and records it in
    /// the queue. There is no later try: a message that no provider takes now is recorded as failed.
    pub async fn send_now(
        &self,
        submission: Submission,
        provider: Option<&str>,
    ) -> Result<Sent, NotSent> {
        let _ = (submission, provider);
        std::future::ready(()).await;
        Err(NotSent { id: None, provider: None, error: String::new(), cause: Cause::NoProvider })
    }

    /// Says that something in the queue may be due now.
    pub fn wake(&self) {}
}
