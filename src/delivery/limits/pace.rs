//! Calls per time: evenly spaced, and in no window of the rate's length more than the rate allows.
//!
//! Even spacing keeps a service's own fixed windows (Resend counts by the second) whatever their phase is, and the record
//! of the last calls makes the limit hold also where spacing catches up with a late timer.

use std::collections::VecDeque;
use std::time::Duration;

use super::instant::{back_by, minus, plus};
use crate::clock::Timestamp;
use crate::provider::Rate;

/// How far a late call may catch up. Timers wake late by about a millisecond; without catching up a high rate would
/// never be reached.
const CATCH_UP: Duration = Duration::from_millis(20);
/// A window of this length or longer lets a tenth of its calls go in one go after a quiet time: of "1000/h" nobody
/// should wait for seconds.
const LONG_WINDOW: Duration = Duration::from_secs(10);
/// Calls that are remembered at the most. A window that holds more is cut into equal parts.
const REMEMBERED_MAX: u32 = 256;

/// Spaces calls.
#[derive(Clone, Debug)]
pub(super) struct Pace {
    /// As it was given.
    rate: Rate,
    /// As it is kept: a window of at most [`REMEMBERED_MAX`] calls.
    window: Rate,
    /// From when on the next call is due by even spacing; `None` before the first.
    next: Option<Timestamp>,
    /// The last calls, as many as the window holds, the newest behind.
    made: VecDeque<Timestamp>,
}

impl Pace {
    /// The first call may go at once.
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, window: in_parts(rate), next: None, made: VecDeque::new() }
    }

    /// As it was given.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// From now on by this rate; what was made counts.
    pub(super) fn set_rate(&mut self, rate: Rate) {
        if rate == self.rate {
            return;
        }
        (self.rate, self.window) = (rate, in_parts(rate));
        // The next call follows the last by the new interval, not by the old one.
        self.next = self.made.back().map(|last| plus(*last, self.interval()));
        self.forget();
    }

    /// The time between two calls.
    pub(super) fn interval(&self) -> Duration {
        self.window.per / self.window.calls
    }

    /// When the next call may be made, seen from `now`; the past where it may be made at once.
    pub(super) fn next(&self, now: Timestamp) -> Timestamp {
        let Some(next) = self.next else { return now };
        let next = self.window_opens().map_or(next, |opens| opens.max(next));
        minus(next, self.set_back(now))
    }

    /// Counts a call made at `now`, which is not before [`Pace::next`].
    pub(super) fn count(&mut self, now: Timestamp) {
        let back = self.set_back(now);
        if back > Duration::ZERO {
            // No time has passed since the last call, as far as we can know.
            self.made.iter_mut().for_each(|made| *made = minus(*made, back));
            self.next = self.next.map(|next| minus(next, back));
        }
        let earliest = minus(now, self.slack());
        let from = self.next.filter(|next| *next > earliest).unwrap_or(now);
        let next = plus(from, self.interval());
        self.next = Some(next.min(plus(now, self.window.per)));
        self.made.push_back(now);
        self.forget();
    }

    /// The call that was counted at `counted` is made at `now`. False where that cannot be said any more, because others
    /// have been counted since, or the clock was set back: it has to be counted anew.
    pub(super) fn postpone(&mut self, counted: Timestamp, now: Timestamp) -> bool {
        match self.made.back_mut() {
            Some(last) if *last == counted && counted <= now => {
                *last = now;
                true
            }
            Some(_) | None => false,
        }
    }

    /// When the window that ends with the next call has room for it; `None` while it is not full.
    fn window_opens(&self) -> Option<Timestamp> {
        let full = u32::try_from(self.made.len()).is_ok_and(|made| made >= self.window.calls);
        self.made.front().filter(|_| full).map(|oldest| plus(*oldest, self.window.per))
    }

    /// How far the clock has been set back since the last call.
    fn set_back(&self, now: Timestamp) -> Duration {
        self.made.back().map_or(Duration::ZERO, |last| back_by(*last, now))
    }

    /// How much idle time is saved up.
    fn slack(&self) -> Duration {
        if self.window.per >= LONG_WINDOW {
            self.window.per / 10
        } else {
            CATCH_UP.min(self.interval().max(Duration::from_millis(1)) * 20)
        }
    }

    fn forget(&mut self) {
        while u32::try_from(self.made.len()).unwrap_or(u32::MAX) > self.window.calls {
            self.made.pop_front();
        }
    }
}

/// The same rate, or one that is lower by less than a hundredth, in windows of at most [`REMEMBERED_MAX`] calls: what
/// holds in every part of a window holds in the whole.
fn in_parts(rate: Rate) -> Rate {
    let calls = rate.calls.max(1);
    let parts = calls.div_ceil(REMEMBERED_MAX);
    // Rounded up: never faster.
    let per = Duration::from_nanos(
        u64::try_from(rate.per.as_nanos().div_ceil(u128::from(parts))).unwrap_or(u64::MAX),
    );
    Rate { calls: calls / parts, per }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> Timestamp {
        "2026-11-21T01:00:00Z".parse().unwrap()
    }

    fn rate(calls: u32, per: Duration) -> Rate {
        Rate { calls, per }
    }

    fn most_in_a_window(made: &[Timestamp], per: Duration) -> usize {
        let from = |at: usize| made[at..].iter().take_while(|it| **it < made[at] + per).count();
        (0..made.len()).map(from).max().unwrap_or(0)
    }

    #[test]
    fn calls_are_spaced_evenly() {
        let mut pace = Pace::new(rate(10, Duration::from_secs(1)));
        assert!(pace.next(start()) <= start());
        pace.count(start());
        assert_eq!(pace.next(start()), start() + Duration::from_millis(100));
        let late = start() + Duration::from_millis(101);
        pace.count(late);
        assert_eq!(
            pace.next(late),
            start() + Duration::from_millis(200),
            "a late timer does not slow the rate"
        );
        let idle = start() + Duration::from_secs(60);
        pace.count(idle);
        assert_eq!(pace.next(idle), idle + Duration::from_millis(100), "idle time is not saved up");
    }

    #[test]
    fn after_a_quiet_time_a_long_window_lets_some_go_at_once() {
        let mut pace = Pace::new(rate(100, Duration::from_mins(1)));
        pace.count(start());
        let later = start() + Duration::from_mins(5);
        let mut at_once = 0;
        while pace.next(later) <= later {
            pace.count(later);
            at_once += 1;
        }
        assert!((1..=11).contains(&at_once), "{at_once}");
    }

    #[test]
    fn a_late_call_takes_its_permit_along() {
        let mut pace = Pace::new(rate(2, Duration::from_secs(1)));
        let at = |ms| start() + Duration::from_millis(ms);
        pace.count(at(0));
        assert!(pace.postpone(at(0), at(200)));
        assert_eq!(pace.next(at(200)), at(500), "the next one is not late");
        pace.count(at(500));
        assert_eq!(pace.next(at(500)), at(1_200), "and no second holds three");
        assert!(!pace.postpone(at(200), at(600)), "another has been counted since");
        assert!(!pace.postpone(at(500), at(400)), "the clock was set back");
    }

    #[test]
    fn late_calls_do_not_halve_the_rate() {
        let mut pace = Pace::new(rate(2, Duration::from_secs(1)));
        let mut now = start();
        for _ in 0..10 {
            now = now.max(pace.next(now));
            pace.count(now);
            let late = now + Duration::from_millis(90);
            assert!(pace.postpone(now, late));
            now = late;
        }
        assert!(now <= start() + Duration::from_secs(5), "{now}");
    }

    #[test]
    fn a_clock_that_is_set_back_neither_stops_the_calls_nor_lets_more_go() {
        let mut pace = Pace::new(rate(2, Duration::from_secs(1)));
        pace.count(start());
        pace.count(start() + Duration::from_millis(500));
        let back = start() - Duration::from_hours(1);
        assert_eq!(pace.next(back), back + Duration::from_millis(500));
        pace.count(back + Duration::from_millis(500));
        let next = pace.next(back + Duration::from_millis(500));
        assert_eq!(next, back + Duration::from_millis(1_500), "as if no time had passed meanwhile");
    }

    #[test]
    fn a_lower_rate_counts_what_was_made_and_a_higher_one_goes_on_at_once() {
        let mut pace = Pace::new(rate(10, Duration::from_secs(1)));
        for call in 0..5 {
            pace.count(start() + Duration::from_millis(100) * call);
        }
        let last = start() + Duration::from_millis(400);
        pace.set_rate(rate(2, Duration::from_secs(1)));
        assert_eq!(pace.next(last), start() + Duration::from_millis(1_300));
        pace.set_rate(rate(20, Duration::from_secs(1)));
        assert_eq!(pace.next(last), last + Duration::from_millis(50));
    }

    #[test]
    fn a_high_rate_is_kept_within_a_hundredth() {
        for calls in [256, 257, 999, 1_000, 1_009, 100_000] {
            let window = in_parts(rate(calls, Duration::from_secs(1)));
            let by_second = f64::from(window.calls) / window.per.as_secs_f64();
            assert!(by_second <= f64::from(calls) && by_second > f64::from(calls) * 0.99);
            assert!(window.calls <= REMEMBERED_MAX);
        }
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_the_rate(
            calls in 1_u32..600,
            per in prop::sample::select(vec![100_u64, 1_000, 60_000]),
            waits in prop::collection::vec((0_u64..40, 0_u64..3_000), 1..800),
        ) {
            let per = Duration::from_millis(per);
            let mut pace = Pace::new(rate(calls, per));
            let (mut now, mut made) = (start(), Vec::new());
            for (often, micros) in waits {
                // Mostly as soon as it may be, by a timer that is late; now and then after a pause.
                let idle = if often == 0 { per / 3 } else { Duration::ZERO };
                now = now.max(pace.next(now)) + Duration::from_micros(micros) + idle;
                pace.count(now);
                made.push(now);
            }
            prop_assert!(most_in_a_window(&made, per) <= calls as usize);
        }

        #[test]
        fn no_window_holds_more_where_calls_are_late(
            calls in 1_u32..600,
            per in prop::sample::select(vec![100_u64, 1_000, 60_000]),
            delays in prop::collection::vec((0_u64..6, 0_u64..200), 1..800),
        ) {
            let per = Duration::from_millis(per);
            let mut pace = Pace::new(rate(calls, per));
            let (mut now, mut made) = (start(), Vec::new());
            for (late, millis) in delays {
                now = now.max(pace.next(now));
                pace.count(now);
                if late == 0 {
                    let counted = now;
                    now += Duration::from_millis(millis);
                    prop_assert!(pace.postpone(counted, now));
                }
                made.push(now);
            }
            prop_assert!(most_in_a_window(&made, per) <= calls as usize);
        }

        #[test]
        fn a_clock_that_jumps_lets_no_more_go_in_real_time(
            calls in 1_u32..20,
            jumps in prop::collection::vec((0_u64..300, -5_000_i64..1), 1..300),
        ) {
            let per = Duration::from_secs(1);
            let mut pace = Pace::new(rate(calls, per));
            // What the machine shows is the true time and all jumps back.
            let (mut real, mut off, mut made) = (start(), 0_i64, Vec::new());
            for (wait, jump) in jumps {
                real += Duration::from_millis(wait);
                if wait % 7 == 0 {
                    off += jump;
                }
                let shown = real + jiff::SignedDuration::from_millis(off);
                if pace.next(shown) <= shown {
                    pace.count(shown);
                    made.push(real);
                }
            }
            prop_assert!(most_in_a_window(&made, per) <= calls as usize);
        }
    }
}
