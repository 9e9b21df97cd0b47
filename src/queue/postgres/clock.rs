//! The database's time, by which all instances go whatever their machines' clocks say.
//!
//! It is measured on a connection: the server's answer stands for the middle of the time that question and answer took.
//! Between two measurements the machine's monotonic clock carries it on, also while the database is away.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use jiff::SignedDuration;
use tokio::time::Instant;

use crate::clock::{Clock, SharedClock, Timestamp};

/// How fast two clocks may part: a bad crystal, 200 millionths.
const DRIFT: f64 = 0.0002;
/// What looks like a step back and is smaller is waited out.
const STEP_MIN: SignedDuration = SignedDuration::from_secs(2);

/// Shows the database's time; until it was measured, that of the machine.
#[derive(Debug)]
pub(super) struct DatabaseClock {
    machine: SharedClock,
    reading: ArcSwapOption<Reading>,
    /// What was shown last, in microseconds since 1970.
    shown: AtomicI64,
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    /// When it was so, by the monotonic clock.
    pub(super) at: Instant,
    /// What the database's clock showed.
    pub(super) shows: Timestamp,
    /// By how much that may be wrong, at the time.
    pub(super) doubt: Duration,
}

impl Reading {
    /// From question and answer.
    pub(super) fn new(asked: Instant, answered: Instant, shows: Timestamp) -> Self {
        let half = answered.saturating_duration_since(asked) / 2;
        Self { at: asked + half, shows, doubt: half }
    }

    /// What the clock shows `now`, and by how much that may be wrong.
    fn carried_to(&self, now: Instant) -> (Timestamp, Duration) {
        let passed = now.saturating_duration_since(self.at);
        let shows = self.shows.saturating_add(passed).unwrap_or(self.shows);
        (shows, self.doubt + passed.mul_f64(DRIFT))
    }

    /// Of two, the one to go by at `now`: the surer one, or the younger where they do not agree, because then the clock
    /// was set.
    fn better(self, younger: Self, now: Instant) -> Self {
        let ((old, old_doubt), (new, new_doubt)) = (self.carried_to(now), younger.carried_to(now));
        let agree = old.duration_since(new).unsigned_abs() <= old_doubt + new_doubt;
        if agree && old_doubt <= new_doubt { self } else { younger }
    }
}

impl DatabaseClock {
    pub(super) fn new(machine: SharedClock) -> Self {
        Self { machine, reading: ArcSwapOption::empty(), shown: AtomicI64::new(i64::MIN) }
    }

    /// Takes a measurement in.
    pub(super) fn measured(&self, younger: Reading) {
        let now = Instant::now();
        let before = self.reading.load();
        let reading = before.as_deref().map_or(younger, |old| old.better(younger, now));
        self.reading.store(Some(Arc::new(reading)));
    }

    /// How far the machine's clock is ahead, where the database's was measured.
    pub(super) fn machine_ahead(&self) -> Option<SignedDuration> {
        let reading = self.reading.load();
        let (shows, _) = reading.as_deref()?.carried_to(Instant::now());
        Some(self.machine.now().duration_since(shows))
    }
}

impl Clock for DatabaseClock {
    fn now(&self) -> Timestamp {
        let reading = self.reading.load();
        let now = match reading.as_deref() {
            Some(reading) => reading.carried_to(Instant::now()).0,
            None => self.machine.now(),
        };
        // A measurement may be some milliseconds less than the one before; nobody is shown that.
        let micros = now.as_microsecond();
        let shown = self.shown.fetch_max(micros, Ordering::Relaxed);
        if shown <= micros {
            return now;
        }
        let Ok(before) = Timestamp::from_microsecond(shown) else { return now };
        if before.duration_since(now) < STEP_MIN {
            return before;
        }
        self.shown.store(micros, Ordering::Relaxed);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TimerClock;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    /// A clock on a machine that is five minutes behind.
    fn behind() -> DatabaseClock {
        DatabaseClock::new(Arc::new(TimerClock::starting_at(time("2026-11-22T09:55:00Z"))))
    }

    fn answer(shows: &str, trip_ms: u64) -> Reading {
        let now = Instant::now();
        Reading::new(now - Duration::from_millis(trip_ms), now, time(shows))
    }

    #[tokio::test(start_paused = true)]
    async fn the_machine_counts_until_the_database_has_been_asked() {
        let clock = behind();
        assert_eq!(clock.now(), time("2026-11-22T09:55:00Z"));
        assert_eq!(clock.machine_ahead(), None);
        clock.measured(answer("2026-11-22T10:00:00Z", 0));
        assert_eq!(clock.now(), time("2026-11-22T10:00:00Z"));
        assert_eq!(clock.machine_ahead(), Some(SignedDuration::from_mins(-5)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_answer_stands_for_the_middle_of_the_way() {
        let clock = behind();
        tokio::time::advance(Duration::from_secs(1)).await;
        clock.measured(answer("2026-11-22T10:00:00Z", 40));
        assert_eq!(clock.now(), time("2026-11-22T10:00:00.020Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_goes_on_while_the_database_is_away() {
        let clock = behind();
        clock.measured(answer("2026-11-22T10:00:00Z", 0));
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(clock.now(), time("2026-11-22T11:00:00Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_does_not_spoil_a_sure_one() {
        let clock = behind();
        tokio::time::advance(Duration::from_secs(1)).await;
        clock.measured(answer("2026-11-22T10:00:00Z", 2));
        let before = clock.now();
        // Taken at the end of the way instead of in its middle.
        let late =
            Reading { doubt: Duration::from_millis(150), ..answer("2026-11-22T10:00:00.100Z", 0) };
        clock.measured(late);
        assert_eq!(clock.now(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn an_old_measurement_makes_room_for_a_younger_one() {
        let clock = behind();
        clock.measured(answer("2026-11-22T10:00:00Z", 0));
        tokio::time::advance(Duration::from_secs(100)).await;
        // The machine's crystal was 10 ms too fast meanwhile.
        clock.measured(answer("2026-11-22T10:01:40.010Z", 4));
        assert_eq!(clock.now(), time("2026-11-22T10:01:40.012Z"));
    }

    #[tokio::test(start_paused = true)]
    async fn it_does_not_go_back_for_a_trifle_and_follows_a_step() {
        let clock = behind();
        clock.measured(answer("2026-11-22T10:00:00Z", 0));
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(clock.now(), time("2026-11-22T10:01:00Z"));
        clock.measured(answer("2026-11-22T10:00:59.500Z", 0));
        assert_eq!(clock.now(), time("2026-11-22T10:01:00Z"), "it stands still");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.now(), time("2026-11-22T10:01:00.500Z"));
        clock.measured(answer("2026-11-22T09:00:00Z", 0));
        assert_eq!(clock.now(), time("2026-11-22T09:00:00Z"), "somebody has set the clock");
        clock.measured(answer("2026-11-23T09:00:00Z", 0));
        assert_eq!(clock.now(), time("2026-11-23T09:00:00Z"));
    }
}
