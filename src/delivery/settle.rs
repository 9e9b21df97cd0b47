//! Writing down what became of a message.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::engine::{Engine, StoreHandle};
use super::events::Event;
use super::job::Job;
use crate::queue::{Next, Settlement, StoreError};

/// Between two tries to record an outcome while the store is unavailable.
const SETTLE_RETRY: Duration = Duration::from_millis(500);

impl Engine {
    /// Writes what happened to the queue. An outcome must not be lost: while the store is unavailable this tries again,
    /// until the shutdown takes the task away; the lease then brings the message back under the same key. False when
    /// the message is not ours any more: nothing may be sent for it.
    pub(super) async fn settle(&self, job: &mut Job, next: Next) -> bool {
        let now = self.now();
        let next = self.final_word(job, next);
        let Some(StoreHandle(store)) = &self.store else { return true };
        let more = matches!(next, Next::Queue { .. });
        let way = more.then(|| self.board().way_of(job));
        let settlement = Settlement {
            id: job.claim.message.id,
            lease: job.claim.lease,
            attempts: std::mem::take(&mut job.attempts),
            recipients: job.claim.recipients.clone(),
            next,
            at: now,
            unclear: false,
            way,
            usage: std::mem::take(&mut job.usage),
        };
        job.claim
            .history
            .extend(settlement.attempts.iter().map(|a| (a.provider.clone(), a.outcome)));
        let held = loop {
            match store.settle(settlement.clone()).await {
                Ok(()) => break true,
                Err(StoreError::Unavailable(reason)) => {
                    tracing::error!(queue_id = %settlement.id, error = reason, "an outcome cannot be recorded yet");
                    tokio::time::sleep(SETTLE_RETRY).await;
                }
                Err(error) => {
                    tracing::warn!(queue_id = %settlement.id, error = %error, "an outcome was not recorded");
                    break false;
                }
            }
        };
        if more {
            self.backlog.store(true, Ordering::Relaxed);
            self.pump.notify_one();
        }
        held
    }

    /// Completes the recipients for the state that follows, and logs a message that is over.
    fn final_word(&self, job: &mut Job, next: Next) -> Next {
        let error = match (next, job.failure()) {
            (Next::Delivered, None) => return Next::Delivered,
            (Next::Delivered, Some(reason)) => reason.to_owned(),
            (Next::Failed { error }, _) => error,
            (next @ (Next::Continue | Next::Queue { .. }), _) => return next,
        };
        job.fail_pending(&error);
        let event = Event { outcome: "failed", error: Some(&error), ..Event::default() };
        self.log().failed(&job.claim.message, event);
        Next::Failed { error }
    }
}
