//! The last look before a call, and what is written down about quotas.

use tokio::time::Instant;

use super::quota::{Full, Quotas};
use super::together::Common;
use super::{Limits, Stop};
use crate::clock::Timestamp;
use crate::delivery::course::Obstacle;
use crate::delivery::engine::{Engine, StoreHandle};
use crate::delivery::job::Job;
use crate::delivery::lane::LaneId;
use crate::message::Addressing;
use crate::provider::{Idempotency, Provider, Receipt, SendError, Verdict};
use crate::queue::Usage;

/// Leave to make one call. Dropped, what was reserved for it is free again.
#[derive(Debug)]
pub(in crate::delivery) struct Leave<'a> {
    engine: &'a Engine,
    lane: LaneId,
    /// Recipients that count; 0 where nothing is counted.
    reserved: u64,
    /// What is counted for all instances together.
    common: Option<Common<'a>>,
}

/// When a call was counted, and until when it may be made.
#[derive(Clone, Copy, Debug)]
pub(in crate::delivery) struct Permit {
    pub(in crate::delivery) counted: Timestamp,
    pub(in crate::delivery) until: Timestamp,
}

impl Engine {
    /// Leave to make a call to these recipients now, to be asked for right before it. Without it the provider is not asked:
    /// it has named a time before which it wants no call, a quota has no room for so many, or it has become too late.
    /// Nothing is recorded then. The call may be counted anew, see [`Engine::keep_pace`].
    pub(in crate::delivery) async fn leave(
        &self,
        lane: LaneId,
        addressings: &[Addressing],
        permit: &mut Permit,
    ) -> Result<Leave<'_>, Obstacle> {
        let recipients = recipients_of_all(addressings);
        // That takes its time where the store is asked.
        let common = self.reserve_together(lane, recipients, permit.until).await?;
        let counted = self.keep_pace(lane, permit.counted, permit.until).await;
        permit.counted = counted.ok_or(Obstacle::Interrupted)?;
        let now = self.now();
        let (board, is_common) = (&mut *self.board(), common.is_some());
        let reserved =
            board.change_limits(lane, |limits| limits.reserve(recipients, is_common, now));
        match reserved {
            Ok(counts) => {
                let reserved = if counts { recipients } else { 0 };
                Ok(Leave { engine: self, lane, reserved, common })
            }
            Err(stop) => Err(Obstacle::Stopped(refusal(stop, now))),
        }
    }

    /// A slot of the lane for somebody who waits for the answer, as soon as its limits allow, and not later than
    /// `deadline`; when its call was counted. `None` when the lane is not there any more.
    pub(in crate::delivery) async fn seat(
        &self,
        lane: LaneId,
        deadline: Instant,
    ) -> Option<Result<Timestamp, SendError>> {
        // Whoever sends a test mail does not stand behind the queue's mail.
        let beyond = self.store.is_some();
        let _seeking = self.seek(lane);
        loop {
            let now = self.now();
            let seat = self.board().seat(lane, beyond, now)?;
            let Err(at) = seat else { return seat.ok().map(Ok) };
            let wait = at.duration_since(now).unsigned_abs();
            if Instant::now() + wait > deadline {
                return Some(Err(refusal(Stop::Rests(at), now)));
            }
            self.learn_usage(Some(lane)).await;
            self.wait_for_place(lane, wait).await;
        }
    }

    /// Reads from the store what the accounts that have quotas have served before the start, unless that is known: of all
    /// that wait for it, and of this one. What other instances have had served is read again every few seconds.
    pub(in crate::delivery) async fn learn_usage(&self, also: Option<LaneId>) {
        let unknown: Vec<(LaneId, String)> = {
            let board = self.board();
            let mut unknown = board.unlearned();
            if let Some(lane) = also.filter(|lane| board.has(*lane))
                && board.limits(lane).is_unknown()
            {
                unknown.push(lane);
            }
            unknown.into_iter().map(|lane| (lane, board.name(lane).to_owned())).collect()
        };
        let now = self.now();
        let again = self.board().usage_due(now);
        if !again.is_empty() {
            self.read_usage(again).await;
        }
        if unknown.is_empty() {
            return;
        }
        let store = self.store.as_ref().map(|StoreHandle(store)| store);
        let usage = match store.or_else(|| self.common_store()) {
            None => Vec::new(),
            Some(store) => match store.usage(Quotas::first_hour(now)).await {
                Ok(usage) => usage,
                Err(error) => {
                    tracing::error!(error = %error, "what counts for the quotas cannot be read yet");
                    return;
                }
            },
        };
        let mut board = self.board();
        for (lane, name) in unknown {
            let of_lane = usage.iter().filter(|usage| usage.provider == name);
            let by_hour = of_lane.map(|usage| (usage.hour, usage.recipients));
            if board.has(lane) {
                board.change_limits(lane, |limits| limits.load(by_hour, now));
            }
        }
    }
}

impl Leave<'_> {
    /// The call has been made, and served so many recipients.
    pub(in crate::delivery) fn used(mut self, job: &mut Job, provider: &str, served: u64) {
        let full = match self.common.take() {
            Some(common) => common.used(served),
            None => self.used_alone(job, provider, served),
        };
        if let Some(full) = full {
            tracing::warn!(provider, "{full}; until then mail goes to the next provider or waits");
        }
    }

    /// Counts for this instance. Returns the quota that is full now.
    fn used_alone(&mut self, job: &mut Job, provider: &str, served: u64) -> Option<Full> {
        let reserved = std::mem::take(&mut self.reserved);
        if reserved == 0 {
            return None;
        }
        let served = served.min(reserved);
        let now = self.engine.now();
        let settle = |limits: &mut Limits| limits.settle(reserved, served, now);
        let (hour, full) = self.engine.board().change_limits(self.lane, settle);
        if served > 0 {
            job.usage.push(Usage { provider: provider.to_owned(), hour, recipients: served });
        }
        full
    }
}

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if self.reserved > 0 {
            let (reserved, now) = (self.reserved, self.engine.now());
            self.engine.board().change_limits(self.lane, |limits| limits.settle(reserved, 0, now));
        }
    }
}

/// How many recipients count at the provider for a call that ended so. What may have arrived counts where each repeat may
/// be a mail more; where repeats are recognised, the one that brings a clear answer counts.
pub(in crate::delivery) fn served(
    provider: &dyn Provider,
    result: &Result<Receipt, SendError>,
    addressing: &Addressing,
) -> u64 {
    let all = recipients_of(addressing);
    match result {
        Ok(receipt) => all.saturating_sub(count(receipt.left_out.len())),
        Err(error) if error.unclear => match provider.capabilities().idempotency {
            Idempotency::None => all,
            Idempotency::Replays { .. } | Idempotency::Refuses { .. } => 0,
        },
        Err(_) => 0,
    }
}

/// The same for calls that went in one request.
pub(in crate::delivery) fn served_of_joined(
    provider: &dyn Provider,
    result: &Result<Vec<Result<Receipt, SendError>>, SendError>,
    addressings: &[Addressing],
) -> u64 {
    match result {
        Ok(results) => {
            let members = results.iter().zip(addressings);
            members.map(|(result, addressing)| served(provider, result, addressing)).sum()
        }
        Err(error) => {
            let failed = Err(error.clone());
            addressings.iter().map(|addressing| served(provider, &failed, addressing)).sum()
        }
    }
}

/// Recipients that count for these calls together.
pub(in crate::delivery) fn recipients_of_all(addressings: &[Addressing]) -> u64 {
    addressings.iter().map(recipients_of).sum()
}

fn recipients_of(addressing: &Addressing) -> u64 {
    count(addressing.recipients().count())
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

pub(super) fn refusal(stop: Stop, now: Timestamp) -> SendError {
    let (verdict, reason) = match stop {
        Stop::Rests(until) => {
            let wait = until.duration_since(now).unsigned_abs();
            let reason = format!("it wants no call before {until}");
            (Verdict::Throttled { retry_after: Some(wait) }, reason)
        }
        Stop::Full(full) => (Verdict::Exhausted { until: Some(full.renews) }, full.to_string()),
    };
    SendError { verdict, status: None, reason, unclear: false }
}
