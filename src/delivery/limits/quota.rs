//! How many recipients a provider serves in a day and in a month.
//!
//! What has been served is kept by the hour. What is on its way is reserved, so that calls at the same time cannot exceed
//! a quota together.

mod shared;

use std::collections::BTreeMap;
use std::fmt;
use std::num::NonZeroU64;

use super::calendar::{Span, begin_of, hour_of};
use crate::clock::Timestamp;
use crate::provider::QuotaDay;

/// Hours in the future that a store may bring, from a clock that was ahead. What is further away was counted by a clock
/// that told nothing.
const AHEAD_MAX: i64 = 48;

/// Recipients that a provider may serve, as it is configured; `None`: as many as it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QuotaSetup {
    /// In a day, which ends when the provider's does.
    pub daily: Option<NonZeroU64>,
    /// In a calendar month, UTC.
    pub monthly: Option<NonZeroU64>,
}

/// A quota that has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) struct Full {
    span: Span,
    used: u64,
    limit: u64,
    /// When there will be room.
    pub(super) renews: Timestamp,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { span, used, limit, renews } = self;
        let name = span.name();
        if used >= limit {
            write!(f, "the {name} quota is used up, {used} of {limit}; it renews at {renews}")
        } else {
            let left = limit - used;
            write!(
                f,
                "{left} of the {name} quota of {limit} are left, which is too few; more at {renews}"
            )
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Quota {
    span: Span,
    limit: u64,
    /// Served in the hours that count in [`Quotas::hour`].
    used: u64,
    /// What the service has counted beyond that, and the first of the hours for which it said so. Where others use the
    /// account as well: what it has counted may be known here only later.
    beyond: Option<(i64, u64)>,
}

#[derive(Clone, Debug)]
pub(super) struct Quotas {
    quotas: Vec<Quota>,
    /// Served by the hour.
    served: BTreeMap<i64, u64>,
    /// On its way.
    reserved: u64,
    /// The hour for which the sums hold.
    hour: i64,
    /// What was served before the start is known.
    known: bool,
    /// When what all instances have served is to be read again.
    read_at: Timestamp,
}

impl Quotas {
    /// Nothing served. Where a quota is set, the past has to be told by [`Quotas::load`].
    pub(super) fn new(setup: QuotaSetup, day: QuotaDay) -> Self {
        let quota = |span, limit: Option<NonZeroU64>| {
            limit.map(|limit| Quota { span, limit: limit.get(), used: 0, beyond: None })
        };
        let quotas: Vec<Quota> =
            [quota(Span::Day(day), setup.daily), quota(Span::Month, setup.monthly)]
                .into_iter()
                .flatten()
                .collect();
        let known = quotas.is_empty();
        Self {
            quotas,
            served: BTreeMap::new(),
            reserved: 0,
            hour: i64::MIN,
            known,
            read_at: Timestamp::MIN,
        }
    }

    /// Takes over what has been counted under other quotas.
    pub(super) fn go_on_from(&mut self, before: &Self) {
        // Without quotas nothing was counted.
        if self.is_empty() || before.is_empty() {
            return;
        }
        self.served.clone_from(&before.served);
        (self.reserved, self.known, self.hour) = (before.reserved, before.known, before.hour);
        self.sum_up();
    }

    /// True where nothing has to be counted.
    pub(super) fn is_empty(&self) -> bool {
        self.quotas.is_empty()
    }

    pub(super) fn is_known(&self) -> bool {
        self.known
    }

    /// The first hour of which the past must be known.
    pub(super) fn first_hour(now: Timestamp) -> i64 {
        let hour = hour_of(now);
        Span::Month.hours(hour).start.min(Span::Day(QuotaDay::Rolling).hours(hour).start)
    }

    /// What was served before the start, by the hour.
    pub(super) fn load(&mut self, served: impl Iterator<Item = (i64, u64)>, now: Timestamp) {
        self.known = true;
        let hour = hour_of(now);
        for (at, recipients) in served.filter(|(at, _)| *at <= hour + AHEAD_MAX) {
            *self.served.entry(at.min(hour)).or_default() += recipients;
        }
        self.hour = i64::MIN;
        self.roll(now);
    }

    /// Reserves room for so many recipients. What was reserved must be given back by [`Quotas::settle`].
    pub(super) fn reserve(&mut self, recipients: u64, now: Timestamp) -> Result<(), Full> {
        self.roll(now);
        match self.lacking(recipients, self.hour) {
            Some(full) => Err(full),
            None => {
                self.reserved += recipients;
                Ok(())
            }
        }
    }

    /// Of what was reserved so many recipients were served. Returns the hour in which that counts.
    pub(super) fn settle(&mut self, reserved: u64, served: u64, now: Timestamp) -> i64 {
        self.roll(now);
        self.reserved = self.reserved.saturating_sub(reserved);
        self.add(served);
        self.hour
    }

    /// The service says how much of a quota is used up. It never makes less of what we have counted ourselves.
    /// Where others use the account as well, it is remembered beside the count, which is all instances' own.
    pub(super) fn raise(
        &mut self,
        today: Option<u64>,
        this_month: Option<u64>,
        shared: bool,
        now: Timestamp,
    ) {
        self.roll(now);
        if shared {
            return self.raise_beside(today, this_month);
        }
        // What is on its way may be in the service's count already.
        let counted = |used: u64| used + self.reserved;
        let missing = self.quotas.iter().filter_map(|quota| {
            let told = match quota.span {
                Span::Day(_) => today,
                Span::Month => this_month,
            };
            told?.checked_sub(counted(quota.used)).filter(|missing| *missing > 0)
        });
        // A mail of today is one of this month as well.
        if let Some(missing) = missing.max() {
            self.add(missing);
        }
    }

    /// The quota that has no room for so many recipients, the one that keeps them waiting longest.
    pub(super) fn full(&self, recipients: u64, now: Timestamp) -> Option<Full> {
        if self.quotas.is_empty() { None } else { self.lacking(recipients, hour_of(now)) }
    }

    /// When a full quota gets room, as far as it was known at the last change.
    pub(super) fn renews(&self) -> Option<Timestamp> {
        // Without a look at a clock nothing is known.
        (self.hour != i64::MIN).then(|| self.lacking(1, self.hour))?.map(|full| full.renews)
    }

    /// The most recipients that can ever be served at once.
    pub(super) fn whole(&self) -> Option<u64> {
        self.quotas.iter().map(|quota| quota.limit).min()
    }

    fn lacking(&self, recipients: u64, hour: i64) -> Option<Full> {
        let lacking = self.quotas.iter().filter_map(|quota| {
            let used = match hour == self.hour {
                true => quota.used,
                // The hour has changed since the last call.
                false => self.served_in(quota.span, hour),
            };
            let used = used.saturating_add(self.reserved).saturating_add(quota.beyond(hour));
            let missing = used.saturating_add(recipients).saturating_sub(quota.limit);
            (missing > 0).then(|| Full {
                span: quota.span,
                used,
                limit: quota.limit,
                renews: self.room_for(quota.span, missing, hour),
            })
        });
        lacking.max_by_key(|full| full.renews)
    }

    /// When so many that count now will count no longer.
    fn room_for(&self, span: Span, missing: u64, hour: i64) -> Timestamp {
        let mut leaving = 0_u64;
        for (at, recipients) in self.served.range(span.hours(hour)) {
            leaving = leaving.saturating_add(*recipients);
            if leaving >= missing {
                return begin_of(span.renews(*at));
            }
        }
        // What is on its way is missing; when it is served it counts in this hour.
        begin_of(span.renews(hour))
    }

    fn served_in(&self, span: Span, hour: i64) -> u64 {
        self.served.range(span.hours(hour)).map(|(_, recipients)| recipients).sum()
    }

    fn add(&mut self, recipients: u64) {
        if recipients == 0 || self.quotas.is_empty() {
            return;
        }
        *self.served.entry(self.hour).or_default() += recipients;
        for quota in &mut self.quotas {
            quota.used = quota.used.saturating_add(recipients);
        }
    }

    /// Makes the sums those of the present hour.
    fn roll(&mut self, now: Timestamp) {
        let hour = hour_of(now);
        if hour == self.hour || self.quotas.is_empty() {
            self.hour = hour;
            return;
        }
        // Counted by a clock that has been set back: it was served a moment ago.
        let ahead: u64 = self.served.split_off(&(hour + 1)).values().sum();
        if ahead > 0 {
            *self.served.entry(hour).or_default() += ahead;
        }
        self.served = self.served.split_off(&Self::first_hour(now));
        self.hour = hour;
        self.sum_up();
    }

    /// Counts what was served in the hours that count now; before the first look at a clock that is nothing.
    fn sum_up(&mut self) {
        if self.hour == i64::MIN {
            return;
        }
        let mut quotas = std::mem::take(&mut self.quotas);
        for quota in &mut quotas {
            quota.used = self.served_in(quota.span, self.hour);
        }
        self.quotas = quotas;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn quotas(daily: u64, monthly: u64, day: QuotaDay) -> Quotas {
        let setup = QuotaSetup { daily: NonZeroU64::new(daily), monthly: NonZeroU64::new(monthly) };
        let mut quotas = Quotas::new(setup, day);
        quotas.load(std::iter::empty(), at("2026-11-21T10:00:00Z"));
        quotas
    }

    fn serve(quotas: &mut Quotas, recipients: u64, now: Timestamp) -> Result<(), Full> {
        quotas.reserve(recipients, now)?;
        quotas.settle(recipients, recipients, now);
        Ok(())
    }

    #[test]
    fn a_full_day_says_so_and_ends_at_midnight() {
        let mut quotas = quotas(100, 0, QuotaDay::Utc);
        let now = at("2026-11-21T10:59:00Z");
        serve(&mut quotas, 97, now).unwrap();
        let few = quotas.full(5, now).unwrap();
        assert_eq!(
            few.to_string(),
            "3 of the daily quota of 100 are left, which is too few; more at 2026-11-22T00:00:00Z"
        );
        assert_eq!(quotas.full(3, now), None, "smaller ones go on");
        serve(&mut quotas, 3, now).unwrap();
        let full = quotas.reserve(1, now).unwrap_err();
        assert_eq!(
            full.to_string(),
            "the daily quota is used up, 100 of 100; it renews at 2026-11-22T00:00:00Z"
        );
        assert_eq!(quotas.renews(), Some(at("2026-11-22T00:00:00Z")));
        assert!(quotas.full(1, at("2026-11-21T23:59:59Z")).is_some());
        assert_eq!(quotas.full(100, at("2026-11-22T00:00:00Z")), None);
    }

    #[test]
    fn rolling_hours_leave_one_by_one() {
        let mut quotas = quotas(10, 0, QuotaDay::Rolling);
        serve(&mut quotas, 4, at("2026-11-21T10:30:00Z")).unwrap();
        serve(&mut quotas, 6, at("2026-11-21T12:10:00Z")).unwrap();
        let now = at("2026-11-21T20:00:00Z");
        assert_eq!(quotas.full(1, now).unwrap().renews, at("2026-11-22T11:00:00Z"));
        assert_eq!(quotas.full(5, now).unwrap().renews, at("2026-11-22T13:00:00Z"));
        assert_eq!(quotas.full(4, at("2026-11-22T11:00:00Z")), None);
        assert!(quotas.full(5, at("2026-11-22T11:00:00Z")).is_some());
    }

    #[test]
    fn the_quota_that_renews_last_is_named() {
        let mut quotas = quotas(10, 10, QuotaDay::Utc);
        let now = at("2026-11-21T10:00:00Z");
        serve(&mut quotas, 10, now).unwrap();
        let full = quotas.full(1, now).unwrap();
        assert!(full.to_string().starts_with("the monthly quota is used up, 10 of 10"), "{full}");
        assert_eq!(full.renews, at("2026-12-01T00:00:00Z"));
    }

    #[test]
    fn what_is_on_its_way_counts_until_it_comes_to_nothing() {
        let mut quotas = quotas(10, 0, QuotaDay::Utc);
        let now = at("2026-11-21T10:00:00Z");
        quotas.reserve(8, now).unwrap();
        assert!(quotas.reserve(3, now).is_err());
        quotas.settle(8, 5, now);
        assert!(quotas.reserve(6, now).is_err());
        quotas.reserve(5, now).unwrap();
    }

    #[test]
    fn the_services_count_raises_ours_and_never_lowers_it() {
        let mut quotas = quotas(100, 1_000, QuotaDay::Utc);
        let now = at("2026-11-21T10:00:00Z");
        serve(&mut quotas, 20, now).unwrap();
        quotas.raise(Some(5), Some(20), false, now);
        assert!(quotas.reserve(80, now).is_ok(), "not lowered, and not raised");
        quotas.settle(80, 0, now);
        quotas.raise(Some(98), None, false, now);
        assert!(quotas.full(3, now).is_some() && quotas.full(2, now).is_none());
        quotas.raise(None, Some(1_000), false, now);
        assert_eq!(quotas.full(1, now).unwrap().renews, at("2026-12-01T00:00:00Z"));
    }

    #[test]
    fn what_is_on_its_way_is_not_counted_twice() {
        let mut quotas = quotas(100, 0, QuotaDay::Utc);
        let now = at("2026-11-21T10:00:00Z");
        serve(&mut quotas, 98, now).unwrap();
        quotas.reserve(1, now).unwrap();
        quotas.raise(Some(99), None, false, now);
        quotas.settle(1, 1, now);
        assert!(quotas.full(1, now).is_none());
    }

    #[test]
    fn a_clock_that_was_ahead_loses_nothing_of_the_count() {
        let mut quotas = quotas(10, 0, QuotaDay::Utc);
        let now = at("2026-11-21T10:00:00Z");
        serve(&mut quotas, 4, now).unwrap();
        serve(&mut quotas, 6, at("2027-11-21T10:00:00Z")).unwrap();
        serve(&mut quotas, 4, now).unwrap();
        assert!(quotas.full(1, now).is_some());
        assert!(quotas.full(1, at("2026-11-22T00:00:00Z")).is_none(), "and not for ever");
    }

    #[test]
    fn the_past_is_known_after_a_restart() {
        let now = at("2026-11-21T10:00:00Z");
        let hour = hour_of(now);
        let setup = QuotaSetup { daily: NonZeroU64::new(100), monthly: NonZeroU64::new(500) };
        let mut quotas = Quotas::new(setup, QuotaDay::Utc);
        assert!(!quotas.is_known());
        let past =
            [(hour - 200, 300), (hour - 9, 60), (hour, 30), (hour + 2, 9), (hour + 9_000, 7)];
        quotas.load(past.into_iter(), now);
        assert!(quotas.full(1, now).is_none() && quotas.full(2, now).is_some());
        assert!(
            Quotas::first_hour(at("2026-11-01T00:30:00Z")) < hour_of(at("2026-11-01T00:00:00Z"))
        );
    }

    proptest! {
        #[test]
        fn no_day_and_no_month_has_more_than_its_quota(
            daily in 1_u64..60,
            monthly in 1_u64..600,
            rolling in any::<bool>(),
            steps in prop::collection::vec((0_u64..5, 0_i64..400, 1_u64..9, any::<bool>()), 1..400),
        ) {
            let day = if rolling { QuotaDay::Rolling } else { QuotaDay::Utc };
            let mut quotas = quotas(daily, monthly, day);
            let mut now = at("2026-11-21T10:00:00Z");
            let (mut served, mut open): (Vec<(Timestamp, u64)>, Vec<u64>) = (Vec::new(), Vec::new());
            for (pause, minutes, recipients, taken) in steps {
                if pause == 0 {
                    now += Duration::from_secs(60 * u64::try_from(minutes).unwrap());
                }
                if quotas.reserve(recipients, now).is_ok() {
                    open.push(recipients);
                }
                let ends = open.len() > 2 || !taken;
                if let Some(recipients) = if ends { open.pop() } else { None } {
                    let count = if taken { recipients } else { recipients / 2 };
                    quotas.settle(recipients, count, now);
                    served.push((now, count));
                }
            }
            let sum = |from: Timestamp, to: Timestamp| -> u64 {
                served.iter().filter(|(at, _)| *at >= from && *at < to).map(|(_, n)| n).sum()
            };
            for (at, _) in &served {
                let hour = hour_of(*at);
                let month = Span::Month.hours(hour);
                prop_assert!(sum(begin_of(month.start), begin_of(month.end)) <= monthly);
                let (from, to) = match day {
                    QuotaDay::Rolling => (*at, *at + Duration::from_hours(24)),
                    QuotaDay::Utc => {
                        let hours = Span::Day(day).hours(hour);
                        (begin_of(hours.start), begin_of(hours.end))
                    }
                };
                prop_assert!(sum(from, to) <= daily);
            }
        }
    }
}
