//! Recipients that are counted for all instances together: in the store, right before the call.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::calendar::hour_of;
use super::gate::refusal;
use super::quota::Full;
use super::{Limits, Stop};
use crate::clock::Timestamp;
use crate::delivery::course::Obstacle;
use crate::delivery::engine::{Engine, StoreHandle};
use crate::delivery::lane::LaneId;
use crate::queue::{RecipientsWanted, Reserved, Store, StoreError};

/// Between two tries while the store is away, or says otherwise than it did a moment ago.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// How often it is tried to give back what was not used. Given up, it counts as served.
const TRIES: u32 = 20;
/// What other instances do to the count is done to its last hours.
const HOURS_READ: i64 = 2;

/// Recipients that have been counted for a call. Dropped, they were not served.
#[derive(Debug)]
pub(super) struct Common<'a> {
    engine: &'a Engine,
    lane: LaneId,
    provider: String,
    hour: i64,
    recipients: u64,
}

impl Engine {
    /// The store, where several instances share it.
    pub(in crate::delivery) fn common_store(&self) -> Option<&Arc<dyn Store>> {
        // In direct mode there is only that of the addresses that get no mail.
        let StoreHandle(store) = self.store.as_ref().or_else(|| self.suppressions.get())?;
        store.shared().is_some().then_some(store)
    }

    /// Counts these recipients in the store, where all instances keep the lane's quotas together. While the store is away
    /// this waits, until `until` at the latest.
    pub(super) async fn reserve_together(
        &self,
        lane: LaneId,
        recipients: u64,
        until: Timestamp,
    ) -> Result<Option<Common<'_>>, Obstacle> {
        let Some(shared) = self.common_store().and_then(|store| store.shared()) else {
            return Ok(None);
        };
        loop {
            let now = self.now();
            let wanted = {
                let board = self.board();
                let limits = board.limits(lane);
                let Some((quotas, hour)) = limits.shared_quotas(now) else { return Ok(None) };
                if let Some(full) = limits.lacking(recipients, now) {
                    return Err(Obstacle::Stopped(refusal(Stop::Full(full), now)));
                }
                let provider = board.name(lane).to_owned();
                RecipientsWanted { provider, quotas, recipients, hour }
            };
            match shared.reserve_recipients(wanted.clone()).await {
                Ok(Reserved::Yes) => {
                    let RecipientsWanted { provider, hour, .. } = wanted;
                    let counts = |limits: &mut Limits| limits.note_served(recipients, 0, hour, now);
                    // Whether that was the last is said when the call has ended.
                    let _ = self.board().change_limits(lane, counts);
                    return Ok(Some(Common { engine: self, lane, provider, hour, recipients }));
                }
                // The others have used it up.
                Ok(Reserved::Full) => {
                    let name = wanted.provider;
                    self.read_usage(vec![(lane, name)]).await;
                    if self.board().limits(lane).lacking(recipients, self.now()).is_some() {
                        continue;
                    }
                }
                Err(error) => {
                    tracing::warn!(provider = wanted.provider, error = %error, "a delivery waits, because what counts for the quota cannot be written");
                }
            }
            if self.now() > until || self.closing.load(Ordering::Relaxed) {
                return Err(Obstacle::Interrupted);
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Reads again what all instances have had served by these accounts of late.
    pub(super) async fn read_usage(&self, lanes: Vec<(LaneId, String)>) {
        let Some(store) = self.common_store() else { return };
        let from_hour = hour_of(self.now()) - HOURS_READ;
        let usage = match store.usage(from_hour).await {
            Ok(usage) => usage,
            Err(error) => {
                tracing::debug!(error = %error, "what counts for the quotas cannot be read");
                return;
            }
        };
        let now = self.now();
        let mut board = self.board();
        for (lane, name) in lanes {
            let of_lane = usage.iter().filter(|usage| usage.provider == name);
            let by_hour = of_lane.map(|usage| (usage.hour, usage.recipients));
            board.change_limits_of(lane, |limits| limits.relearn(from_hour, by_hour, now));
        }
    }
}

impl Common<'_> {
    /// So many of them have been served. Returns the quota that is full now, once for each time that it is.
    pub(super) fn used(mut self, served: u64) -> Option<Full> {
        self.end(served)
    }

    fn end(&mut self, served: u64) -> Option<Full> {
        let reserved = std::mem::take(&mut self.recipients);
        let served = served.min(reserved);
        let now = self.engine.now();
        let (hour, hour_now) = (self.hour, hour_of(now));
        // A call that took until the next hour counts there: a day may have ended in between.
        let moved = if hour == hour_now { 0 } else { served };
        let unused = reserved - served + moved;
        let full = self.engine.board().change_limits_of(self.lane, |limits| {
            let _ = limits.note_served(0, unused, hour, now);
            limits.note_served(moved, 0, hour_now, now)
        });
        if unused > 0 {
            self.give_back(unused, moved, hour_now);
        }
        full.flatten()
    }

    fn give_back(&mut self, unused: u64, moved: u64, hour_now: i64) {
        let (Some(store), Ok(runtime)) =
            (self.engine.common_store().cloned(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let (provider, hour) = (std::mem::take(&mut self.provider), self.hour);
        self.engine.tasks.spawn_on(
            async move {
                for _ in 0..TRIES {
                    match give_back(&*store, &provider, (hour, unused), (hour_now, moved)).await {
                        Ok(()) => return,
                        Err(_) => tokio::time::sleep(TRY_AGAIN).await,
                    }
                }
                tracing::warn!(provider, "what was not served counts for the quota");
            },
            &runtime,
        );
    }
}

/// First what is more, so that a failure in between leaves too much.
async fn give_back(
    store: &dyn Store,
    provider: &str,
    (hour, unused): (i64, u64),
    (hour_now, moved): (i64, u64),
) -> Result<(), StoreError> {
    let Some(shared) = store.shared() else { return Ok(()) };
    if moved > 0 {
        let provider = provider.to_owned();
        let quotas = Vec::new();
        let wanted = RecipientsWanted { provider, quotas, recipients: moved, hour: hour_now };
        shared.reserve_recipients(wanted).await?;
    }
    shared.return_recipients(provider, hour, unused).await
}

impl Drop for Common<'_> {
    fn drop(&mut self) {
        if self.recipients > 0 {
            self.end(0);
        }
    }
}
