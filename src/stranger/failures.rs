//! Wrong guesses of one client: counted, answered later each time, and forgotten one by one.

use std::time::Duration;

use tokio::time::Instant;

/// Failures after which a client must wait. An app with a wrong password that sends a burst of mail gets there, and so
/// does whoever guesses.
pub(crate) const FAILURES_MAX: u32 = 20;

/// How long it takes until one failure is forgotten.
pub(crate) const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// How long the answer to the first failure is held back. It doubles with each.
const DELAY_MIN: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(15);

/// How long the answer to the last of so many failures is held back.
pub(crate) fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (DELAY_MIN * (1 << doublings)).min(DELAY_MAX)
}

/// The failures of one client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Failures {
    count: u32,
    /// Since when `count` is right: one less for each `forgotten_after` since then.
    since: Instant,
    forgotten_after: Duration,
}

impl Failures {
    /// None so far. Each will be forgotten after so long a time, of one second at least.
    pub(crate) fn none(now: Instant, forgotten_after: Duration) -> Self {
        Self { count: 0, since: now, forgotten_after: forgotten_after.max(Duration::from_secs(1)) }
    }

    /// Those that are not forgotten yet.
    pub(crate) fn count(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.since).as_secs();
        let forgotten = passed / self.forgotten_after.as_secs();
        self.count.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    /// One more, but never more than `most`.
    pub(crate) fn add(&mut self, now: Instant, most: u32) {
        let left = self.count(now);
        if left == 0 {
            self.since = now;
        } else {
            // What has passed of the time of the next stays passed.
            self.since += self.forgotten_after * (self.count - left);
        }
        self.count = left.saturating_add(1).min(most);
    }

    /// Seconds until there are fewer than `max`; nothing when there are.
    pub(crate) fn wait(&self, now: Instant, max: u32) -> Option<u64> {
        if self.count(now) < max {
            return None;
        }
        let passed = now.saturating_duration_since(self.since).as_secs();
        // As many steps as failures are too many, less what has passed of them.
        let surplus = u64::from(self.count.saturating_sub(max)) + 1;
        Some((surplus * self.forgotten_after.as_secs()).saturating_sub(passed).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_doubles_up_to_a_limit() {
        let delays: Vec<u128> = (1..=8).map(|failures| delay(failures).as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        assert_eq!(delay(u32::MAX), DELAY_MAX);
        assert_eq!(delay(0), DELAY_MIN);
    }

    #[test]
    fn failures_are_forgotten_one_by_one() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut failures = Failures::none(start, Duration::from_secs(10));
        (0..5).for_each(|_| failures.add(start, 4));
        assert_eq!(failures.count(after(9)), 4, "not more than the most");
        assert_eq!((failures.count(after(10)), failures.count(after(39))), (3, 1));
        assert_eq!(failures.count(after(40)), 0);

        failures.add(after(19), 4);
        assert_eq!(failures.count(after(19)), 4, "three were left");
        assert_eq!(failures.count(after(20)), 3, "nine seconds of the next had passed");
    }

    #[test]
    fn who_waits_as_told_has_one_less_than_too_many() {
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut failures = Failures::none(start, Duration::from_secs(10));
        (0..4).for_each(|_| failures.add(start, 4));
        assert_eq!(failures.wait(start, 5), None);
        for (max, seconds) in [(4, 10), (3, 20), (1, 40)] {
            assert_eq!(failures.wait(start, max), Some(seconds));
            assert_eq!(failures.wait(after(3), max), Some(seconds - 3));
            assert_eq!(failures.wait(after(seconds), max), None);
        }
    }
}
