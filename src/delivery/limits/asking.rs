//! Asks for places in the row of calls that several instances share.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::delivery::engine::Engine;
use crate::delivery::lane::LaneId;
use crate::queue::{CallPlaces, CallsWanted};

/// Somebody who looks for a place beside the messages that wait in the lane, for as long as this lives.
#[derive(Debug)]
pub(in crate::delivery) struct Seeking<'a> {
    engine: &'a Engine,
    lane: LaneId,
}

/// A request for places. Dropped without an answer, others may ask.
#[derive(Debug)]
struct Asked<'a> {
    engine: &'a Engine,
    lane: LaneId,
    wanted: CallsWanted,
    since: Instant,
    answered: bool,
}

impl Engine {
    /// Asks for places where messages wait for them.
    pub(in crate::delivery) fn ask_for_places(self: &Arc<Self>) {
        if self.common_store().is_none() {
            return;
        }
        let asked = self.board().ask_for_places(self.now());
        for (lane, wanted) in asked {
            let engine = Arc::clone(self);
            self.tasks.spawn(async move {
                engine.fetch_places(lane, wanted).await;
                engine.start_ready();
                engine.pump.notify_one();
            });
        }
    }

    /// From now on a place is looked for at this lane, where others use its account as well.
    pub(in crate::delivery) fn seek(&self, lane: LaneId) -> Option<Seeking<'_>> {
        self.common_store()?;
        self.board().change_limits_of(lane, |limits| limits.seek(true))?;
        Some(Seeking { engine: self, lane })
    }

    /// Waits for so long; or until there are other places, which are asked for where there are none.
    pub(in crate::delivery) async fn wait_for_place(&self, lane: LaneId, wait: Duration) {
        if self.common_store().is_none() {
            return tokio::time::sleep(wait).await;
        }
        let mut arrived = std::pin::pin!(self.places.notified());
        // Before the look: what comes between the two is heard.
        arrived.as_mut().enable();
        let wanted = {
            let (mut board, now) = (self.board(), self.now());
            let Some(name) = board.name_of(lane) else { return };
            let free = board.change_limits_of(lane, |limits| limits.paced(now) <= now);
            if free == Some(true) && !board.limits(lane).rests(now) {
                return;
            }
            board.change_limits_of(lane, |limits| limits.ask(&name, 0, now)).flatten()
        };
        match wanted {
            Some(wanted) => self.fetch_places(lane, wanted).await,
            None => {
                // Whether it arrives or not, the caller looks again.
                let _ = tokio::time::timeout(wait, arrived).await;
            }
        }
    }

    async fn fetch_places(&self, lane: LaneId, wanted: CallsWanted) {
        let Some(shared) = self.common_store().and_then(|store| store.shared()) else { return };
        let since = Instant::now();
        let mut asked = Asked { engine: self, lane, wanted, since, answered: false };
        match shared.reserve_calls(asked.wanted.clone()).await {
            Ok(places) => asked.answer(Some(places)),
            Err(error) => {
                tracing::warn!(provider = asked.wanted.account, error = %error, "calls wait, because no places can be reserved for them");
                asked.answer(None);
            }
        }
        self.places.notify_waiters();
    }
}

impl Asked<'_> {
    fn answer(&mut self, places: Option<CallPlaces>) {
        self.answered = true;
        let (now, took) = (self.engine.now(), self.since.elapsed());
        let wanted = &self.wanted;
        let mut board = self.engine.board();
        board.change_limits_of(self.lane, |limits| limits.answered(wanted, places, took, now));
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.answer(None);
        }
    }
}

impl Drop for Seeking<'_> {
    fn drop(&mut self) {
        self.engine.board().change_limits_of(self.lane, |limits| limits.seek(false));
    }
}
