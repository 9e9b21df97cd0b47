//! Calls per time, evenly spaced.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::provider::Rate;

/// How far a late call may catch up. Timers wake late by about a millisecond; without catching up a high rate would
/// never be reached.
const CATCH_UP: Duration = Duration::from_millis(20);

/// How many calls ahead the next one can be at the most: calls that somebody waits for do not keep to the rate. What is
/// further away comes from a clock that has been set back.
const AHEAD_MAX: u32 = 20;

/// Spaces calls so that no window of the rate's length holds more than the rate allows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    interval: Duration,
    next: Timestamp,
}

impl Pace {
    /// The first call may go at once.
    pub(super) fn new(rate: Rate) -> Self {
        Self { interval: rate.per / rate.calls.max(1), next: Timestamp::MIN }
    }

    /// When the next call may be made, seen from `now`.
    pub(super) fn next(&self, now: Timestamp) -> Timestamp {
        if self.next > now + self.interval * AHEAD_MAX { now } else { self.next }
    }

    /// Counts a call made at `now`, which is not before [`Pace::next`] unless somebody waits for it.
    pub(super) fn count(&mut self, now: Timestamp) {
        let slack = CATCH_UP.min(self.interval.max(Duration::from_millis(1)) * 20);
        let earliest = now.checked_sub(slack).unwrap_or(now);
        let next = self.next(now);
        let from = if next > earliest { next } else { now };
        self.next = from + self.interval;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_spaced_evenly() {
        let mut pace = Pace::new(Rate { calls: 10, per: Duration::from_secs(1) });
        let start: Timestamp = "2026-11-21T00:00:00Z".parse().unwrap();
        assert!(pace.next(start) <= start);
        pace.count(start);
        assert_eq!(pace.next(start), start + Duration::from_millis(100));
        let late = start + Duration::from_millis(101);
        pace.count(late);
        assert_eq!(
            pace.next(late),
            start + Duration::from_millis(200),
            "a late timer does not slow the rate"
        );
        let idle = start + Duration::from_secs(60);
        pace.count(idle);
        assert_eq!(pace.next(idle), idle + Duration::from_millis(100), "idle time is not saved up");
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_stop_the_calls() {
        let mut pace = Pace::new(Rate { calls: 10, per: Duration::from_secs(1) });
        let start: Timestamp = "2026-11-21T01:00:00Z".parse().unwrap();
        pace.count(start);
        let back = start - Duration::from_hours(1);
        assert!(pace.next(back) <= back);
        pace.count(back);
        assert_eq!(pace.next(back), back + Duration::from_millis(100));
    }
}
