//! Which hours count for a quota, and when they stop counting.

use std::ops::Range;

use jiff::tz::TimeZone;

use crate::clock::Timestamp;
use crate::provider::QuotaDay;

const HOUR: i64 = 60 * 60;
const DAY: i64 = 24;

/// The hour of a time, counted from 1970.
pub(super) fn hour_of(time: Timestamp) -> i64 {
    time.as_second().div_euclid(HOUR)
}

/// When an hour begins.
pub(super) fn begin_of(hour: i64) -> Timestamp {
    Timestamp::from_second(hour.saturating_mul(HOUR)).unwrap_or(Timestamp::MAX)
}

/// The time over which a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Span {
    Day(QuotaDay),
    /// The calendar month, UTC.
    Month,
}

impl Span {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Day(_) => "daily",
            Self::Month => "monthly",
        }
    }

    /// The hours that count in this hour.
    pub(super) fn hours(self, hour: i64) -> Range<i64> {
        match self {
            Self::Day(QuotaDay::Utc) => {
                let from = hour.div_euclid(DAY) * DAY;
                from..from + DAY
            }
            // What was sent within an hour may have been sent at its end.
            Self::Day(QuotaDay::Rolling) => hour - DAY..hour + 1,
            Self::Month => month_of(hour),
        }
    }

    /// The hour in which what was sent in `sent` counts no longer.
    pub(super) fn renews(self, sent: i64) -> i64 {
        match self {
            Self::Day(QuotaDay::Rolling) => sent + DAY + 1,
            Self::Day(QuotaDay::Utc) | Self::Month => self.hours(sent).end,
        }
    }
}

fn month_of(hour: i64) -> Range<i64> {
    let date = begin_of(hour).to_zoned(TimeZone::UTC).date();
    let begin = |date: jiff::civil::Date| {
        date.to_zoned(TimeZone::UTC).map_or(hour, |time| hour_of(time.timestamp()))
    };
    let first = date.first_of_month();
    let next = date.last_of_month().tomorrow().unwrap_or(date);
    begin(first)..begin(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hour(text: &str) -> i64 {
        hour_of(text.parse().unwrap())
    }

    #[test]
    fn a_day_ends_at_midnight_utc_or_rolls() {
        let at = hour("2026-11-21T15:59:59Z");
        let day = Span::Day(QuotaDay::Utc);
        assert_eq!(day.hours(at), hour("2026-11-21T00:00:00Z")..hour("2026-11-22T00:00:00Z"));
        assert_eq!(day.renews(at), hour("2026-11-22T00:00:00Z"));
        let rolling = Span::Day(QuotaDay::Rolling);
        assert_eq!(rolling.hours(at), hour("2026-11-20T15:00:00Z")..at + 1);
        assert_eq!(rolling.renews(at), hour("2026-11-22T16:00:00Z"), "24 h after its end");
        assert!(!rolling.hours(rolling.renews(at)).contains(&at));
        assert!(rolling.hours(rolling.renews(at) - 1).contains(&at));
    }

    #[test]
    fn a_month_is_that_of_the_calendar() {
        for (at, from, to) in [
            ("2026-11-21T15:00:00Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"),
            ("2026-12-31T23:59:59Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
            ("2028-02-29T00:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
        ] {
            assert_eq!(Span::Month.hours(hour(at)), hour(from)..hour(to));
            assert_eq!(Span::Month.renews(hour(at)), hour(to));
        }
    }
}
