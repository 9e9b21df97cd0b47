//! Times and sizes as people read them. All times are UTC: only the script knows the reader's time zone.

use super::{Words, fill};
use crate::clock::Timestamp;

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A moment: `machine` for `<time datetime>`, `exact` for whoever wants to know it exactly, `short` for the eye.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http::page) struct Moment {
    pub(in crate::http::page) machine: String,
    pub(in crate::http::page) exact: String,
    pub(in crate::http::page) short: String,
}

impl Moment {
    /// A moment in the past: its age within a day, then its date.
    pub(in crate::http::page) fn past(at: Timestamp, now: Timestamp, t: &Words) -> Self {
        let short = match u64::try_from(now.as_second() - at.as_second()).unwrap_or(0) {
            0..10 => t.just_now.to_owned(),
            age if age < DAY => fill(t.ago, &[&span(age, t)]),
            _ if at.strftime("%Y").to_string() == now.strftime("%Y").to_string() => {
                at.strftime(t.date_format).to_string()
            }
            _ => at.strftime(t.date_year_format).to_string(),
        };
        Self::new(at, short)
    }

    /// A moment to come.
    pub(in crate::http::page) fn to_come(at: Timestamp, now: Timestamp, t: &Words) -> Self {
        let short = match u64::try_from(at.as_second() - now.as_second()).unwrap_or(0) {
            // It has its turn; what it waits for is a provider.
            0 => t.as_soon_as_taken.to_owned(),
            wait => fill(t.in_time, &[&span(wait, t)]),
        };
        Self::new(at, short)
    }

    fn new(at: Timestamp, short: String) -> Self {
        let exact = at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
        Self { machine: format!("{at:.3}"), exact, short }
    }
}

/// A length of time, in its largest unit.
pub(in crate::http::page) fn span(seconds: u64, t: &Words) -> String {
    let (text, n) = match seconds {
        0..MINUTE => (t.seconds, seconds),
        MINUTE..HOUR => (t.minutes, seconds / MINUTE),
        HOUR..DAY => (t.hours, seconds / HOUR),
        _ => (t.days, seconds / DAY),
    };
    fill(text, &[&n.to_string()])
}

/// Octets, with one decimal from a KiB on.
pub(in crate::http::page) fn size(octets: u64) -> String {
    const KIB: u64 = 1024;
    const MIB: u64 = KIB * KIB;
    let tenths = |unit: u64| {
        let tenths = octets.saturating_mul(10) / unit;
        format!("{}.{}", tenths / 10, tenths % 10)
    };
    match octets {
        0..KIB => format!("{octets} B"),
        KIB..MIB => format!("{} KiB", tenths(KIB)),
        _ => format!("{} MiB", tenths(MIB)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lang;
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn the_past_is_told_by_age_and_then_by_date() {
        let now = at("2026-11-21T10:00:00Z");
        let [en, ko] = Lang::ALL.map(Lang::words);
        for (then, english, korean) in [
            ("2026-11-21T10:00:05Z", "just now", "방금"),
            ("2026-11-21T09:59:55Z", "just now", "방금"),
            ("2026-11-21T09:59:15Z", "45 s ago", "45초 전"),
            ("2026-11-21T09:57:01Z", "2 min ago", "2분 전"),
            ("2026-11-20T11:00:00Z", "23 h ago", "23시간 전"),
            ("2026-11-20T10:00:00Z", "20 Nov, 10:00", "11월 20일 10:00"),
            ("2025-12-31T23:59:59Z", "31 Dec 2025", "2025년 12월 31일"),
        ] {
            assert_eq!(Moment::past(at(then), now, en).short, english, "{then}");
            assert_eq!(Moment::past(at(then), now, ko).short, korean, "{then}");
        }
    }

    #[test]
    fn what_is_to_come_is_told_by_its_distance() {
        let [en, ko] = Lang::ALL.map(Lang::words);
        let now = at("2026-11-21T10:00:00Z");
        let overdue = Moment::to_come(at("2026-11-21T09:00:00Z"), now, en).short;
        assert_eq!(overdue, "as soon as a provider takes it");
        let soon = Moment::to_come(at("2026-11-21T10:02:30.5Z"), now, en);
        assert_eq!(soon.short, "in 2 min");
        assert_eq!(soon.exact, "2026-11-21 10:02:30 UTC");
        assert_eq!(soon.machine, "2026-11-21T10:02:30.500Z");
        assert_eq!(Moment::to_come(at("2026-11-21T12:00:00Z"), now, ko).short, "2시간 후");
    }

    #[test]
    fn sizes_have_a_unit() {
        assert_eq!(size(999), "999 B");
        assert_eq!(size(1536), "1.5 KiB");
        assert_eq!(size(25 * 1024 * 1024), "25.0 MiB");
    }
}
