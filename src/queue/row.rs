//! The row of calls that all instances make to one account: which moments are given out.
//!
//! Places follow each other by an interval that is a little longer than the rate asks for: late calls do not bring more
//! into a window of the service than it allows, whatever its phase is. Idle time is not saved up, but for a small part of
//! a long window. Pure; the database counts in the same way (`postgres/paces.rs`).

use std::time::Duration;

use super::shared::{CallPlaces, CallsWanted};
use crate::clock::Timestamp;

/// No place is given out that lies further ahead than this, microseconds: whoever holds it may end, or the rate change.
pub(super) const AHEAD_MAX: i64 = 1_000_000;
/// A place that was given out, and lies further ahead than this, was given out by a clock that has been set back since.
pub(super) const TRUSTED: i64 = 5 * AHEAD_MAX;
/// A window of this length or longer lets a 25th of its calls go at once after a quiet time.
const LONG_WINDOW: Duration = Duration::from_secs(10);
const SAVED_UP: u32 = 25;

/// How the places of an account lie, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Spacing {
    /// Between two of them.
    pub(super) interval: i64,
    /// How much idle time is saved up.
    pub(super) saved: i64,
}

impl CallsWanted {
    /// The time between two places: in no window of the rate's length can there be more calls than the rate allows, each
    /// of which is late by the tolerance at the most.
    pub fn interval(&self) -> Duration {
        let whole = self.per.saturating_add(self.saved()).saturating_add(self.tolerance);
        let nanos = whole.as_nanos().div_ceil(u128::from(self.calls.max(1)));
        // Rounded up to whole microseconds: never faster.
        Duration::from_micros(u64::try_from(nanos.div_ceil(1_000)).unwrap_or(u64::MAX))
    }

    fn saved(&self) -> Duration {
        if self.per >= LONG_WINDOW { self.per / SAVED_UP } else { Duration::ZERO }
    }

    pub(super) fn spacing(&self) -> Spacing {
        let micros = |time: Duration| i64::try_from(time.as_micros()).unwrap_or(i64::MAX / 4);
        Spacing { interval: micros(self.interval()).max(1), saved: micros(self.saved()) }
    }
}

/// What the row gives: `first` is when the first place is due by even spacing, and `given` how many there are.
pub(super) fn places(wanted: &CallsWanted, first: i64, given: i64) -> CallPlaces {
    let (now, interval) = (wanted.now.as_microsecond(), wanted.spacing().interval);
    let place = |number: i64| {
        let at = first.saturating_add(interval.saturating_mul(number)).max(now);
        Timestamp::from_microsecond(at).unwrap_or(Timestamp::MAX)
    };
    CallPlaces { taken: (0..given).map(place).collect(), next: place(given) }
}

/// Takes places out of the row, of which `last` was given out last. Returns the first by even spacing and their number;
/// the row goes on behind them.
pub(super) fn take(last: &mut Option<i64>, wanted: &CallsWanted) -> (i64, i64) {
    let (now, Spacing { interval, saved }) = (wanted.now.as_microsecond(), wanted.spacing());
    let first = match *last {
        None => now.saturating_sub(saved),
        Some(last) if last > now.saturating_add(TRUSTED) => now.saturating_add(interval),
        Some(last) => last.saturating_add(interval).max(now.saturating_sub(saved)),
    };
    let room = now.saturating_add(AHEAD_MAX).saturating_sub(first);
    let fit = if room < 0 { 0 } else { room / interval + 1 };
    let given = fit.min(i64::from(wanted.places));
    if given > 0 {
        *last = Some(first.saturating_add(interval.saturating_mul(given - 1)));
    }
    (first, given)
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in crate::queue) fn start() -> Timestamp {
        "2026-11-22T06:00:00Z".parse().unwrap()
    }

    pub(in crate::queue) fn wanted(calls: u32, per: Duration, places: u32) -> CallsWanted {
        CallsWanted {
            account: "resend".to_owned(),
            calls,
            per,
            tolerance: Duration::from_millis(20).min(per / 40),
            places,
            now: start(),
        }
    }

    fn taken(last: &mut Option<i64>, wanted: &CallsWanted) -> Vec<Timestamp> {
        let (first, given) = take(last, wanted);
        places(wanted, first, given).taken
    }

    #[test]
    fn places_lie_evenly_and_go_on_where_they_ended() {
        let mut last = None;
        let wanted = wanted(10, Duration::from_secs(1), 3);
        let at = |ms| start() + Duration::from_millis(ms);
        assert_eq!(taken(&mut last, &wanted), [at(0), at(102), at(204)]);
        let later = CallsWanted { now: at(150), ..wanted.clone() };
        let (first, given) = take(&mut last, &later);
        let more = places(&later, first, given);
        assert_eq!(more.taken, [at(306), at(408), at(510)]);
        assert_eq!(more.next, at(612));
        let idle = CallsWanted { now: at(9_000), places: 1, ..wanted };
        assert_eq!(taken(&mut last, &idle), [at(9_000)], "idle time is not saved up");
    }

    #[test]
    fn what_is_far_ahead_stays_in_the_row() {
        let mut last = None;
        let wanted = wanted(1, Duration::from_mins(1), 5);
        assert_eq!(taken(&mut last, &wanted), [start()]);
        let (first, given) = take(&mut last, &wanted);
        let none = places(&wanted, first, given);
        assert_eq!((none.taken.len(), none.next > start() + Duration::from_secs(60)), (0, true));
        let faster = CallsWanted { calls: 600, ..wanted };
        assert!(taken(&mut last, &faster).len() > 1, "a faster rate goes on at once");
    }

    #[test]
    fn of_a_long_window_a_part_goes_at_once_after_a_quiet_time() {
        let mut last = None;
        let wanted = wanted(1_000, Duration::from_hours(1), 100);
        let at_once = taken(&mut last, &wanted).iter().filter(|it| **it == start()).count();
        assert!((38..=42).contains(&at_once), "{at_once}");
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_stop_the_row() {
        let mut last = None;
        let wanted = wanted(2, Duration::from_secs(1), 1);
        taken(&mut last, &wanted);
        let back = CallsWanted { now: start() - Duration::from_hours(1), ..wanted };
        assert_eq!(taken(&mut last, &back), [back.now + Duration::from_millis(510)]);
    }

    proptest! {
        /// Whoever asks for how many, and however late each call is within the tolerance; the rate changes now and then.
        #[test]
        fn no_window_holds_more_than_the_rate_whoever_asks(
            per in prop::sample::select(vec![100_u64, 1_000, 10_000, 60_000]),
            asked in prop::collection::vec(
                (0_u64..400, 1_u32..40, prop::sample::select(vec![3_u32, 3, 3, 17, 300]), 0_u64..21),
                1..200,
            ),
        ) {
            let per = Duration::from_millis(per);
            let (mut last, mut now) = (None, start());
            // Each with the limit under which it was reserved.
            let mut made: Vec<(Timestamp, u32)> = Vec::new();
            for (wait, number, calls, late) in asked {
                now += Duration::from_millis(wait);
                let wanted = CallsWanted { now, ..wanted(calls, per, number) };
                let late = Duration::from_millis(late).min(wanted.tolerance);
                for (nth, place) in taken(&mut last, &wanted).into_iter().enumerate() {
                    prop_assert!(place >= now);
                    made.push((if nth % 2 == 0 { place + late } else { place }, calls));
                }
            }
            made.sort();
            for (at, (from, _)) in made.iter().enumerate() {
                let within: Vec<u32> =
                    made[at..].iter().take_while(|it| it.0 < *from + per).map(|it| it.1).collect();
                let most = within.iter().copied().max().unwrap_or(0);
                prop_assert!(within.len() <= most as usize, "{} of {most}", within.len());
            }
        }

        #[test]
        fn the_rate_is_reached_within_a_twentieth(
            calls in 1_u32..400,
            per in prop::sample::select(vec![400_u64, 1_000, 10_000, 60_000]),
        ) {
            let per = Duration::from_millis(per);
            let wanted = wanted(calls, per, 1);
            let reached = per.as_secs_f64() / wanted.interval().as_secs_f64();
            prop_assert!(reached > f64::from(calls) * 0.95 && reached < f64::from(calls));
        }
    }
}
