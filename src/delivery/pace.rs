//! Calls per time, evenly spaced.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::provider::Rate;

/// How far a late call may catch up. Timers wake late by about a millisecond; without catching up a high rate would
/// never be reached.
const CATCH_UP: Duration = Duration::from_millis(20);

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

    /// When the next call may be made.
    pub(super) fn next(&self) -> Timestamp {
        self.next
    }

    /// Counts a call made at `now`, which is not before [`Pace::next`].
    pub(super) fn count(&mut self, now: Timestamp) {
        let slack = CATCH_UP.min(self.interval.max(Duration::from_millis(1)) * 20);
        let earliest = now.checked_sub(slack).unwrap_or(now);
        let from = if self.next > earliest { self.next } else { now };
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
        assert!(pace.next() <= start);
        pace.count(start);
        assert_eq!(pace.next(), start + Duration::from_millis(100));
        let late = start + Duration::from_millis(101);
        pace.count(late);
        assert_eq!(
            pace.next(),
            start + Duration::from_millis(200),
            "a late timer does not slow the rate"
        );
        let idle = start + Duration::from_secs(60);
        pace.count(idle);
        assert_eq!(pace.next(), idle + Duration::from_millis(100), "idle time is not saved up");
    }
}
