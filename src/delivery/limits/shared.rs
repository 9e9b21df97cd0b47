//! What an account bears that other instances use as well: places for its calls, and what all have served.

use std::time::Duration;

use super::Limits;
use super::calendar::hour_of;
use super::places::Hold;
use super::quota::Full;
use crate::clock::Timestamp;
use crate::queue::{CallPlaces, CallsWanted, Quota};

impl Limits {
    /// From now on others use the account as well.
    pub(in crate::delivery) fn share(&mut self) {
        self.shares = true;
        if let Some(pace) = &mut self.pace {
            pace.share();
        }
    }

    /// One task more waits for a place, or one fewer.
    pub(in crate::delivery) fn seek(&mut self, seeks: bool) {
        self.seekers = if seeks { self.seekers + 1 } else { self.seekers.saturating_sub(1) };
    }

    /// Whether the call that was counted for then may be made now.
    pub(in crate::delivery) fn hold(&self, counted: Timestamp, now: Timestamp) -> Hold {
        let places = self.pace.as_ref().and_then(|pace| pace.places());
        places.map_or(Hold::Now, |places| places.hold(counted, now))
    }

    /// Which places to ask for, when so many messages wait.
    pub(in crate::delivery) fn ask(
        &mut self,
        account: &str,
        waiting: usize,
        now: Timestamp,
    ) -> Option<CallsWanted> {
        let calls = waiting + self.seekers;
        self.pace.as_mut()?.places_mut()?.ask(account, calls, now)
    }

    /// What came of it; `None`: the store is away.
    pub(in crate::delivery) fn answered(
        &mut self,
        wanted: &CallsWanted,
        answer: Option<CallPlaces>,
        took: Duration,
        now: Timestamp,
    ) {
        let Some(places) = self.pace.as_mut().and_then(|pace| pace.places_mut()) else { return };
        match answer {
            Some(answer) => places.receive(wanted, answer, took, now),
            None => places.failed(now),
        }
    }

    /// The quotas that all instances keep together, and the hour in which a call counts that is made now; `None` where
    /// nothing is counted together.
    pub(in crate::delivery) fn shared_quotas(&self, now: Timestamp) -> Option<(Vec<Quota>, i64)> {
        if !self.shares || self.quotas.is_empty() {
            return None;
        }
        let hour = hour_of(now);
        Some((self.quotas.in_hours(hour), hour))
    }

    /// The quota that has no room for so many, as far as it is known here.
    pub(super) fn lacking(&self, recipients: u64, now: Timestamp) -> Option<Full> {
        self.quotas.full(recipients, now)
    }

    /// So many of what all have served in this hour more, or fewer. Returns the quota that is full now, once for each
    /// time that it is.
    pub(super) fn note_served(
        &mut self,
        more: u64,
        fewer: u64,
        hour: i64,
        now: Timestamp,
    ) -> Option<Full> {
        self.quotas.note_served(more, fewer, hour, now);
        self.newly_full(now)
    }

    /// True when it was long ago that what all have served was last read; the next time is a while from now.
    pub(in crate::delivery) fn reads_usage(&mut self, now: Timestamp) -> bool {
        self.shares && self.quotas.reads_again(now)
    }

    /// What all have served in this hour and those behind it.
    pub(super) fn relearn(
        &mut self,
        from_hour: i64,
        served: impl Iterator<Item = (i64, u64)>,
        now: Timestamp,
    ) {
        self.quotas.relearn(from_hour, served, now);
    }
}
