//! Calls per time, for an instance that is alone with its accounts or for one of several.

use std::time::Duration;

use super::pace::Pace;
use super::places::Places;
use crate::clock::Timestamp;
use crate::provider::Rate;

/// Which calls may go when.
#[derive(Clone, Debug)]
pub(super) enum Pacing {
    /// This instance alone knows what was called.
    Own(Pace),
    /// What others call counts as well.
    Shared(Places),
}

impl Pacing {
    /// Nothing has been called.
    pub(super) fn new(rate: Rate, shares: bool) -> Self {
        if shares { Self::Shared(Places::new(rate)) } else { Self::Own(Pace::new(rate)) }
    }

    /// From now on others use the account as well.
    pub(super) fn share(&mut self) {
        if let Self::Own(pace) = self {
            *self = Self::Shared(Places::new(pace.rate()));
        }
    }

    /// As it was given.
    pub(super) fn rate(&self) -> Rate {
        match self {
            Self::Own(pace) => pace.rate(),
            Self::Shared(places) => places.rate(),
        }
    }

    /// From now on by this rate; what was made counts.
    pub(super) fn set_rate(&mut self, rate: Rate) {
        match self {
            Self::Own(pace) => pace.set_rate(rate),
            Self::Shared(places) => places.set_rate(rate),
        }
    }

    /// The time between two calls.
    pub(super) fn interval(&self) -> Duration {
        match self {
            Self::Own(pace) => pace.interval(),
            Self::Shared(places) => places.interval(),
        }
    }

    /// When the next call may set off, seen from `now`.
    pub(super) fn next(&self, now: Timestamp) -> Timestamp {
        match self {
            Self::Own(pace) => pace.next(now),
            Self::Shared(places) => places.next(now),
        }
    }

    /// Counts a call that sets off at `now`. Returns for when.
    pub(super) fn count(&mut self, now: Timestamp) -> Timestamp {
        match self {
            Self::Own(pace) => {
                pace.count(now);
                now
            }
            Self::Shared(places) => places.take(now),
        }
    }

    /// The call that was counted at `counted` is made at `now`. False where that cannot be said any more.
    pub(super) fn postpone(&mut self, counted: Timestamp, now: Timestamp) -> bool {
        match self {
            Self::Own(pace) => pace.postpone(counted, now),
            Self::Shared(_) => false,
        }
    }

    /// The places, where others use the account as well.
    pub(super) fn places(&self) -> Option<&Places> {
        match self {
            Self::Own(_) => None,
            Self::Shared(places) => Some(places),
        }
    }

    /// The same, to be changed.
    pub(super) fn places_mut(&mut self) -> Option<&mut Places> {
        match self {
            Self::Own(_) => None,
            Self::Shared(places) => Some(places),
        }
    }
}
