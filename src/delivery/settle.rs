//! Writing down what became of a message.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calls::Lane;
use super::doubt;
use super::engine::{Engine, StoreHandle};
use super::job::Job;
use crate::message::QueueId;
use crate::queue::{BatchId, Next, Settlement, Start, StoreError};

/// Between two tries to record an outcome while the store is unavailable.
const SETTLE_RETRY: Duration = Duration::from_millis(500);

impl Engine {
    /// Writes what happened to the queue. An outcome must not be lost: while the store is unavailable this tries again,
    /// until the shutdown takes the task away; the lease then brings the message back under the same key. False when
    /// the message is not ours any more: nothing may be sent for it.
    pub(super) async fn settle(&self, job: &mut Job, next: Next) -> bool {
        let (settlement, more) = self.settlement(job, next);
        let id = settlement.id;
        let Some(StoreHandle(store)) = &self.store else { return true };
        let held = loop {
            match store.settle(settlement.clone()).await {
                Ok(()) => break true,
                Err(StoreError::Unavailable(reason)) => self.wait_for_store(id, &reason).await,
                Err(error) => {
                    not_recorded(&settlement, &error);
                    break false;
                }
            }
        };
        self.written(more);
        held
    }

    /// [`Engine::settle`] for several, in one write.
    pub(super) async fn settle_all(&self, jobs: Vec<(Box<Job>, Next)>) {
        if jobs.is_empty() {
            return;
        }
        let mut more = false;
        let mut settlements = Vec::with_capacity(jobs.len());
        for (mut job, next) in jobs {
            let (settlement, waits) = self.settlement(&mut job, next);
            more |= waits;
            settlements.push(settlement);
        }
        let Some(StoreHandle(store)) = &self.store else { return };
        let results = loop {
            match store.settle_all(settlements.clone()).await {
                Ok(results) => break results,
                Err(StoreError::Unavailable(reason)) => {
                    let id = settlements.first().map(|settlement| settlement.id);
                    self.wait_for_store(
                        id.unwrap_or_else(|| QueueId::from_bytes([0; 16])),
                        &reason,
                    )
                    .await;
                }
                Err(error) => {
                    for settlement in &settlements {
                        not_recorded(settlement, &error);
                    }
                    break Vec::new();
                }
            }
        };
        for (settlement, result) in settlements.iter().zip(results) {
            if let Err(error) = result {
                not_recorded(settlement, &error);
            }
        }
        self.written(more);
    }

    /// What is written of a message, and whether it waits in the queue then. Of one that does not go on, the job is done
    /// with after that.
    fn settlement(&self, job: &mut Job, next: Next) -> (Settlement, bool) {
        let now = self.now();
        let next = self.final_word(job, next);
        let more = matches!(next, Next::Queue { .. });
        let way = more.then(|| self.board().way_of(job));
        let suspect = job.doubtful_end(&next).map(str::to_owned);
        let goes_on = next == Next::Continue;
        let attempts = std::mem::take(&mut job.attempts);
        let recipients = if goes_on {
            let tried = attempts.iter().map(|it| (it.provider.clone(), it.outcome));
            job.claim.history.extend(tried);
            job.claim.recipients.clone()
        } else {
            std::mem::take(&mut job.claim.recipients)
        };
        let settlement = Settlement {
            suspect,
            id: job.claim.message.id,
            lease: job.claim.lease,
            attempts,
            recipients,
            unclear: job.doubt.is_some() && next != Next::Delivered,
            next,
            at: now,
            way,
            usage: std::mem::take(&mut job.usage),
        };
        (settlement, more)
    }

    async fn wait_for_store(&self, id: QueueId, reason: &str) {
        tracing::error!(queue_id = %id, error = reason, "an outcome cannot be recorded yet");
        tokio::time::sleep(SETTLE_RETRY).await;
    }

    fn written(&self, more: bool) {
        if more {
            if self.closing.load(Ordering::Relaxed)
                && let Some(shared) = self.shared()
            {
                // This instance stops: others take it at once.
                shared.due();
            }
            self.backlog.store(true, Ordering::Relaxed);
            self.pump.notify_one();
        }
    }

    /// The end of a message that may have arrived and must not be sent again; of one that goes in parts, of the part whose
    /// turn it is.
    pub(super) async fn hold(self: &Arc<Self>, job: Job, error: Option<String>) {
        let provider = job.doubt.as_ref().map_or("a provider", |doubt| &doubt.provider);
        let error = doubt::held(provider, error.as_deref());
        self.conclude(job, Next::Failed { error }).await;
    }

    /// Writes down that these messages are about to be tried by this provider, one by one or as a batch. The error names
    /// one whose lease is not held any more, or says that the shutdown came first.
    pub(super) async fn begin(
        &self,
        jobs: &mut [&mut Job],
        provider: &str,
        batch: Option<BatchId>,
    ) -> Result<(), StoreError> {
        if let Some(StoreHandle(store)) = &self.store {
            let claims = jobs.iter().map(|job| (job.claim.message.id, job.claim.lease)).collect();
            let provider = provider.to_owned();
            let start = Start { claims, provider, batch, at: self.now() };
            while let Err(error) = store.begin(start.clone()).await {
                let passes = matches!(error, StoreError::Unavailable(_));
                let late = jobs.iter().any(|job| job.lease_ends(self.now()));
                tracing::warn!(provider = start.provider, error = %error, "a delivery cannot begin");
                if !passes || late || self.closing.load(Ordering::Relaxed) {
                    return Err(error);
                }
                tokio::time::sleep(SETTLE_RETRY).await;
            }
        }
        for job in jobs {
            job.begun = Some(provider.to_owned());
            if let (None, Some(doubt)) = (batch, &mut job.doubt) {
                doubt.place = None;
            }
        }
        Ok(())
    }

    /// Sees to it that the record says by whom the message is tried, where that matters. False when the call must not be
    /// made.
    pub(super) async fn note_start(&self, job: &mut Job, lane: &Lane<'_>) -> bool {
        let idempotency = lane.provider.capabilities().idempotency;
        if job.begun.as_deref() == Some(lane.name)
            || !doubt::must_note(idempotency, self.policy().on_unclear)
        {
            return true;
        }
        if self.begin(&mut [job], lane.name, None).await.is_err() {
            return false;
        }
        // The note that there was says nothing any more.
        job.doubt.take_if(|doubt| doubt.provider != lane.name);
        true
    }

    /// Completes the recipients for the state that follows, and logs a message that is over.
    fn final_word(&self, job: &mut Job, next: Next) -> Next {
        let error = match (next, job.failure()) {
            (Next::Delivered, None) => match job.suppression() {
                Some(error) => {
                    self.log().ended_suppressed(job, &error);
                    return Next::Failed { error };
                }
                None => {
                    self.log().finished(job, self.now());
                    return Next::Delivered;
                }
            },
            (Next::Delivered, Some(reason)) => reason.to_owned(),
            (Next::Failed { error }, _) => error,
            (next @ (Next::Continue | Next::Queue { .. }), _) => return next,
        };
        job.fail_pending(&error);
        self.log().failed(job, &error, self.now());
        Next::Failed { error }
    }
}

fn not_recorded(settlement: &Settlement, error: &StoreError) {
    let id = settlement.id;
    let is_lost = matches!(error, StoreError::LeaseLost(_));
    if is_lost && settlement.attempts.is_empty() {
        // Nothing was done for it here, and somebody else has it.
        tracing::debug!(queue_id = %id, "left to another instance");
        return;
    }
    tracing::warn!(queue_id = %id, error = %error, "an outcome was not recorded");
}
