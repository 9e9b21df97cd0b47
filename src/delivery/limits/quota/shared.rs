//! Quotas that several instances keep together: the store counts for all of them, and what is known here follows.

use std::time::Duration;

use super::{Quota, Quotas};
use crate::clock::Timestamp;
use crate::delivery::limits::calendar::Span;
use crate::delivery::limits::instant::plus;
use crate::queue;

/// How often what other instances have served is read.
const READ_EVERY: Duration = Duration::from_secs(4);

impl Quota {
    /// What the service has counted beyond what we know of, in the hours that count in this one.
    pub(super) fn beyond(&self, hour: i64) -> u64 {
        let of_span = |(from, _): &(i64, u64)| *from == self.span.hours(hour).start;
        self.beyond.filter(of_span).map_or(0, |(_, beyond)| beyond)
    }
}

impl Quotas {
    /// The service's own count, beside what all instances have counted together.
    pub(super) fn raise_beside(&mut self, today: Option<u64>, this_month: Option<u64>) {
        let hour = self.hour;
        for quota in &mut self.quotas {
            let told = match quota.span {
                Span::Day(_) => today,
                Span::Month => this_month,
            };
            if let Some(told) = told {
                quota.beyond =
                    Some((quota.span.hours(hour).start, told.saturating_sub(quota.used)));
            }
        }
    }

    /// The quotas as they are in this hour: from which hour on what counts.
    pub(in crate::delivery::limits) fn in_hours(&self, hour: i64) -> Vec<queue::Quota> {
        let in_hour = |quota: &Quota| queue::Quota {
            from_hour: quota.span.hours(hour).start,
            limit: quota.limit.saturating_sub(quota.beyond(hour)),
        };
        self.quotas.iter().map(in_hour).collect()
    }

    /// So many more were served in this hour, or fewer, by whomever.
    pub(in crate::delivery::limits) fn note_served(
        &mut self,
        more: u64,
        fewer: u64,
        hour: i64,
        now: Timestamp,
    ) {
        let served = self.served.entry(hour).or_default();
        *served = served.saturating_add(more).saturating_sub(fewer);
        self.hour = i64::MIN;
        self.roll(now);
    }

    /// True now and then: what all have served is to be read again.
    pub(in crate::delivery::limits) fn reads_again(&mut self, now: Timestamp) -> bool {
        let due = self.read_at <= now || self.read_at > plus(now, READ_EVERY);
        let reads = due && self.known && !self.is_empty();
        if reads {
            self.read_at = plus(now, READ_EVERY);
        }
        reads
    }

    /// What all have served in this hour and those behind it, in place of what was thought.
    pub(in crate::delivery::limits) fn relearn(
        &mut self,
        from_hour: i64,
        served: impl Iterator<Item = (i64, u64)>,
        now: Timestamp,
    ) {
        if self.is_empty() {
            return;
        }
        drop(self.served.split_off(&from_hour));
        self.load(served, now);
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::delivery::limits::QuotaSetup;
    use crate::delivery::limits::calendar::hour_of;
    use crate::provider::QuotaDay;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn quotas(daily: u64) -> Quotas {
        let setup = QuotaSetup { daily: NonZeroU64::new(daily), monthly: None };
        let mut quotas = Quotas::new(setup, QuotaDay::Utc);
        quotas.load(std::iter::empty(), at("2026-11-21T10:00:00Z"));
        quotas
    }

    #[test]
    fn what_others_have_served_closes_it_here_too() {
        let mut quotas = quotas(10);
        let now = at("2026-11-21T10:00:00Z");
        let hour = hour_of(now);
        quotas.note_served(4, 0, hour, now);
        assert!(quotas.full(7, now).is_some() && quotas.full(6, now).is_none());
        quotas.relearn(hour - 1, [(hour - 1, 3), (hour, 7)].into_iter(), now);
        assert!(quotas.full(1, now).is_some());
        quotas.note_served(0, 2, hour, now);
        assert!(quotas.full(2, now).is_none());
        quotas.relearn(hour, [(hour, 1)].into_iter(), now);
        assert!(quotas.full(7, now).is_some() && quotas.full(6, now).is_none(), "3 of before stay");
    }

    #[test]
    fn what_the_service_has_counted_beyond_that_counts_until_the_day_ends() {
        let mut quotas = quotas(10);
        let now = at("2026-11-21T10:00:00Z");
        let hour = hour_of(now);
        quotas.note_served(4, 0, hour, now);
        quotas.raise(Some(9), None, true, now);
        assert!(quotas.full(2, now).is_some() && quotas.full(1, now).is_none());
        assert_eq!(quotas.in_hours(hour), [queue::Quota { from_hour: hour - 10, limit: 5 }]);
        // What it had counted was others', which is known here now.
        quotas.relearn(hour, [(hour, 9)].into_iter(), now);
        quotas.raise(Some(9), None, true, now);
        assert_eq!(quotas.in_hours(hour)[0].limit, 10);
        quotas.raise(Some(10), None, true, now);
        assert!(quotas.full(1, now).is_some());
        assert!(quotas.full(10, at("2026-11-22T00:00:00Z")).is_none());
    }

    #[test]
    fn it_is_read_again_every_few_seconds() {
        let mut quotas = quotas(10);
        let now = at("2026-11-21T10:00:00Z");
        assert!(quotas.reads_again(now) && !quotas.reads_again(now));
        assert!(quotas.reads_again(now + READ_EVERY));
        assert!(quotas.reads_again(now - READ_EVERY * 100), "also when the clock is set back");
    }
}
