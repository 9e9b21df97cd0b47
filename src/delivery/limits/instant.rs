//! Times that never overflow, and clocks that are set back.

use std::time::Duration;

use crate::clock::Timestamp;

pub(super) fn plus(time: Timestamp, more: Duration) -> Timestamp {
    time.checked_add(more).unwrap_or(Timestamp::MAX)
}

pub(super) fn minus(time: Timestamp, less: Duration) -> Timestamp {
    time.checked_sub(less).unwrap_or(Timestamp::MIN)
}

/// How far a clock that has shown `last` was set back when it shows `now`.
pub(super) fn back_by(last: Timestamp, now: Timestamp) -> Duration {
    if now < last { last.duration_since(now).unsigned_abs() } else { Duration::ZERO }
}

/// A time before which nothing goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pause(Option<(Timestamp, Timestamp)>);

impl Pause {
    /// Not for so long from now on, if that is longer than what is known.
    pub(super) fn lengthen(&mut self, wait: Duration, now: Timestamp) {
        let until = plus(now, wait).max(self.ends(now).unwrap_or(now));
        if until > now {
            self.0 = Some((now, until));
        }
    }

    /// When it ends, seen from `now`: in the future or not at all.
    pub(super) fn ends(self, now: Timestamp) -> Option<Timestamp> {
        let (since, until) = self.0?;
        let ends = minus(until, back_by(since, now));
        (ends > now).then_some(ends)
    }

    /// When it ends by the clock as it was when the pause began; also of one that is over.
    pub(super) fn until(self) -> Option<Timestamp> {
        self.0.map(|(_, until)| until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_on_time_also_where_the_clock_is_set_back() {
        let start: Timestamp = "2026-11-21T10:00:00Z".parse().unwrap();
        let mut pause = Pause::default();
        assert_eq!(pause.ends(start), None);
        pause.lengthen(Duration::from_secs(30), start);
        pause.lengthen(Duration::from_secs(5), start);
        assert_eq!(pause.ends(start), Some(start + Duration::from_secs(30)));
        assert_eq!(pause.ends(start + Duration::from_secs(30)), None);
        let back = start - Duration::from_hours(1);
        assert_eq!(pause.ends(back), Some(back + Duration::from_secs(30)));
    }
}
