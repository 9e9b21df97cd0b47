//! What a provider bears: calls per time, calls at the same time, recipients per day and month.
//!
//! Pure: what happened and the time go in. The rate is the configured one, else what the service says in its answers, else
//! the published one. Whatever the rate, nothing goes before the time that the service has named.

mod asking;
mod calendar;
mod gate;
mod instant;
mod pace;
mod pacing;
mod places;
mod quota;
mod shared;
mod together;
mod width;

pub(super) use gate::{Permit, recipients_of_all, served, served_of_joined};
pub(super) use places::Hold;
pub use quota::QuotaSetup;

use std::num::NonZeroUsize;
use std::time::Duration;

use self::instant::{Pause, plus};
use self::pacing::Pacing;
use self::quota::{Full, Quotas};
use self::width::Width;
use super::standing::Admission;
use crate::clock::Timestamp;
use crate::provider::{Capabilities, Heard, Rate, SendError, Verdict};

/// A rest up to this long is waited for; during a longer one other providers take over.
const PATIENCE: Duration = Duration::from_secs(10);
/// How soon to look again when the past is not known yet.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// The limits of one provider account.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    /// The rate was configured: no header changes it.
    configured: bool,
    pace: Option<Pacing>,
    /// Other instances use the account as well.
    shares: bool,
    /// Tasks that wait for a place, beside the messages of the lane.
    seekers: usize,
    width: Width,
    /// The service has named a time before which it wants no call.
    pause: Pause,
    /// What the headers last said of the service's own window: how many calls were left, and when the first answer of
    /// this window came.
    window: Option<(u32, Timestamp)>,
    quotas: Quotas,
    /// The renewal of the quota that was last reported as full.
    reported: Option<Timestamp>,
}

/// Why a call must not be made now.
#[derive(Clone, Copy, Debug)]
enum Stop {
    Rests(Timestamp),
    Full(Full),
}

impl Limits {
    /// Those of an account that may be used so.
    pub(super) fn new(
        rate: Option<Rate>,
        concurrency: NonZeroUsize,
        quotas: QuotaSetup,
        capabilities: &Capabilities,
    ) -> Self {
        Self {
            configured: rate.is_some(),
            pace: rate.or(capabilities.rate).map(|rate| Pacing::new(rate, false)),
            shares: false,
            seekers: 0,
            width: Width::new(concurrency),
            pause: Pause::default(),
            window: None,
            quotas: Quotas::new(quotas, capabilities.quota_day),
            reported: None,
        }
    }

    /// Those of settings that have been changed: what was served counts on, and of the same account, what was called and what
    /// the service has asked for.
    pub(super) fn going_on_from(mut self, before: &Self, same_account: bool) -> Self {
        if before.shares {
            self.share();
        }
        self.seekers = before.seekers;
        self.quotas.go_on_from(&before.quotas);
        if same_account {
            self.pause = before.pause;
            self.window = before.window;
            self.width = self.width.going_on_from(before.width);
            if !self.configured && !before.configured {
                // What the service has said of its rate, which it says again only with its next answer.
                self.pace.clone_from(&before.pace);
            } else if let (Some(pace), Some(before)) = (&mut self.pace, &before.pace) {
                let rate = pace.rate();
                *pace = before.clone();
                pace.set_rate(rate);
            }
        }
        self
    }

    /// Whether a message may go to this account whose next call has at most so many recipients.
    pub(super) fn admission(
        &self,
        recipients: impl FnOnce() -> usize,
        now: Timestamp,
    ) -> Admission {
        if !self.quotas.is_empty()
            && let Some(full) = self.quotas.full(self.within_whole(recipients()), now)
        {
            return Admission::Closed(Some(full.renews));
        }
        match self.pause.ends(now) {
            None => Admission::Open,
            Some(at) if at <= plus(now, PATIENCE) => Admission::Soon(at),
            Some(at) => Admission::Closed(Some(at)),
        }
    }

    /// When the next call may be made, seen from `now`, as far as rate and rests go.
    pub(super) fn free_at(&self, now: Timestamp) -> Timestamp {
        if !self.quotas.is_known() {
            return plus(now, LOOK_AGAIN);
        }
        self.pause.ends(now).unwrap_or(now).max(self.paced(now))
    }

    /// True while the service wants no call.
    pub(super) fn rests(&self, now: Timestamp) -> bool {
        self.pause.ends(now).is_some()
    }

    /// Until when the service wants no call.
    pub(super) fn rests_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.pause.ends(now)
    }

    /// When the next call may be made by the rate alone.
    pub(super) fn paced(&self, now: Timestamp) -> Timestamp {
        self.pace.as_ref().map_or(now, |pace| pace.next(now))
    }

    /// How many calls may be in flight.
    pub(super) fn calls_max(&self) -> usize {
        self.width.calls()
    }

    /// The time between two calls, where there is a rate.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.pace.as_ref().map(Pacing::interval)
    }

    /// How many recipients a call may have, of those that the service takes.
    pub(super) fn recipients_per_call(&self, service: usize) -> usize {
        let whole = self
            .quotas
            .whole()
            .map_or(usize::MAX, |whole| usize::try_from(whole).unwrap_or(usize::MAX));
        service.min(whole).max(1)
    }

    /// How many recipients the calls of one message may have that go in one request. Where they are counted, not more
    /// than one call may: by that it was decided that the message may go. What goes together depends on nothing that
    /// changes by itself, so that a repeat is the same request.
    pub(super) fn recipients_per_request(&self, per_call: usize) -> usize {
        if self.quotas.is_empty() { usize::MAX } else { per_call }
    }

    /// True when a quota has no room for so many, even when nothing of it is used.
    pub(super) fn never_fit(&self, recipients: u64) -> bool {
        self.quotas.whole().is_some_and(|whole| recipients > whole)
    }

    /// A call begins. Returns when it is counted: now, or, where others use the account as well, at its place a moment
    /// ahead.
    pub(super) fn began(&mut self, now: Timestamp) -> Timestamp {
        self.pace.as_mut().map_or(now, |pace| pace.count(now))
    }

    /// The call that began at `counted` is made only now. False when it has to wait for the rate once more.
    pub(super) fn postpone(&mut self, counted: Timestamp, now: Timestamp) -> bool {
        self.pace.as_mut().is_none_or(|pace| pace.postpone(counted, now))
    }

    /// A call ended well.
    pub(super) fn succeeded(&mut self) {
        self.width.grow();
    }

    /// A call ended badly, one of `in_flight`.
    pub(super) fn failed(&mut self, error: &SendError, in_flight: usize, now: Timestamp) {
        match error.verdict {
            Verdict::Throttled { retry_after } => {
                self.width.shrink(in_flight);
                self.rest(retry_after, now);
            }
            Verdict::Temporary { retry_after } => {
                // No answer at all.
                if error.status.is_none() {
                    self.width.shrink(in_flight);
                }
                self.rest(retry_after, now);
            }
            // The service works, or its trouble has nothing to do with how many calls there are.
            Verdict::Exhausted { .. }
            | Verdict::Misconfigured
            | Verdict::Rejected
            | Verdict::Unknown
            | Verdict::Bug => {}
        }
    }

    /// No call for so long.
    pub(super) fn rest(&mut self, wait: Option<Duration>, now: Timestamp) {
        if let Some(wait) = wait {
            self.pause.lengthen(wait, now);
        }
    }

    /// What the service said of its limits.
    pub(super) fn hear(&mut self, heard: &Heard, now: Timestamp) {
        if let Some(limit) = heard.limit.filter(|_| !self.configured) {
            match &mut self.pace {
                Some(pace) => pace.set_rate(limit),
                None => self.pace = Some(Pacing::new(limit, self.shares)),
            }
        }
        if let Some(remaining) = heard.remaining {
            let since = match self.window {
                Some((left, since)) if remaining <= left && since <= now => since,
                // More are left than before: another window has begun.
                Some(_) | None => now,
            };
            self.window = Some((remaining, since));
            if remaining == 0 {
                // Services tell whole seconds, rounded up. A window that had begun at `since` ends a window later, where the
                // two do not contradict each other.
                let per = heard.limit.map(|limit| limit.per);
                let window_ends = per
                    .filter(|per| heard.reset.is_none_or(|reset| reset <= *per))
                    .map(|per| plus(since, per))
                    .filter(|ends| *ends > now);
                let reset = heard.reset.map(|wait| plus(now, wait));
                let until = match (reset, window_ends) {
                    (Some(reset), Some(ends)) => Some(reset.min(ends)),
                    (reset, ends) => reset.or(ends),
                };
                let wait = until.map(|until| until.duration_since(now));
                self.rest(wait.and_then(|wait| Duration::try_from(wait).ok()), now);
            }
        }
        if !self.quotas.is_empty() {
            self.quotas.raise(heard.used_today, heard.used_this_month, self.shares, now);
        }
    }

    /// True while it is not known what was served before the start.
    pub(super) fn is_unknown(&self) -> bool {
        !self.quotas.is_known()
    }

    /// What was served before the start, by the hour.
    pub(super) fn load(&mut self, served: impl Iterator<Item = (i64, u64)>, now: Timestamp) {
        if self.is_unknown() {
            self.quotas.load(served, now);
        }
    }

    /// The quota that is full, if one is.
    pub(super) fn full(&self, now: Timestamp) -> Option<Full> {
        self.quotas.full(1, now)
    }

    /// When something changes by itself: a rest ends, a quota renews.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        let renews = if self.quotas.is_empty() { None } else { self.quotas.renews() };
        match (renews, self.pause.until()) {
            (Some(renews), Some(until)) => Some(renews.min(until)),
            (renews, until) => renews.or(until),
        }
    }

    /// Right before a call: whether it may be made for so many recipients. True when they have been reserved and what
    /// becomes of them has to be told by [`Limits::settle`].
    /// `common`: they have been counted for all instances together.
    fn reserve(&mut self, recipients: u64, common: bool, now: Timestamp) -> Result<bool, Stop> {
        if let Some(at) = self.pause.ends(now) {
            return Err(Stop::Rests(at));
        }
        if common || self.quotas.is_empty() {
            return Ok(false);
        }
        self.quotas.reserve(recipients, now).map(|()| true).map_err(Stop::Full)
    }

    /// So many of those that were reserved have been served. Returns the hour in which that counts, and the quota that is
    /// full now, once for each time that it is.
    fn settle(&mut self, reserved: u64, served: u64, now: Timestamp) -> (i64, Option<Full>) {
        let hour = self.quotas.settle(reserved, served, now);
        (hour, self.newly_full(now))
    }

    fn newly_full(&mut self, now: Timestamp) -> Option<Full> {
        let full = self.quotas.full(1, now).filter(|full| Some(full.renews) != self.reported);
        if let Some(full) = &full {
            self.reported = Some(full.renews);
        }
        full
    }

    /// No call has more recipients than the whole quota.
    fn within_whole(&self, recipients: usize) -> u64 {
        u64::try_from(self.recipients_per_call(recipients)).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests;
