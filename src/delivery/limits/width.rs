//! How many calls are in flight: the configured number, and fewer while the service is in trouble.
//!
//! Halves when the service says that it is too much or does not answer at all, and grows by one when as many calls as may
//! be in flight have ended well.

use std::num::NonZeroUsize;

#[derive(Clone, Copy, Debug)]
pub(super) struct Width {
    max: usize,
    now: usize,
    /// Calls that ended well since it last changed.
    well: usize,
    /// Calls that were under way when it fell: they say the same again.
    under_way: usize,
}

impl Width {
    pub(super) fn new(max: NonZeroUsize) -> Self {
        Self { max: max.get(), now: max.get(), well: 0, under_way: 0 }
    }

    /// As narrow as the other, where that has become narrower than it might be.
    pub(super) fn going_on_from(self, before: Self) -> Self {
        let now = if before.now < before.max { self.now.min(before.now) } else { self.now };
        Self { now, ..self }
    }

    /// How many calls may be in flight now: at least 1, at most the configured number.
    pub(super) fn calls(self) -> usize {
        self.now
    }

    /// A call ended well.
    pub(super) fn grow(&mut self) {
        self.under_way = self.under_way.saturating_sub(1);
        if self.now == self.max {
            return;
        }
        self.well += 1;
        if self.well >= self.now {
            (self.now, self.well) = (self.now + 1, 0);
        }
    }

    /// A call ended in trouble, one of `in_flight`.
    pub(super) fn shrink(&mut self, in_flight: usize) {
        if self.under_way > 0 {
            self.under_way -= 1;
            return;
        }
        (self.now, self.well) = ((self.now / 2).max(1), 0);
        self.under_way = in_flight.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn width(max: usize) -> Width {
        Width::new(NonZeroUsize::new(max).unwrap())
    }

    #[test]
    fn it_halves_once_for_all_that_were_under_way() {
        let mut width = width(8);
        for _ in 0..8 {
            width.shrink(8);
        }
        assert_eq!(width.calls(), 4);
        width.shrink(4);
        assert_eq!(width.calls(), 2);
        for _ in 0..50 {
            width.shrink(1);
        }
        assert_eq!(width.calls(), 1);
    }

    #[test]
    fn it_grows_by_one_for_each_window_of_successes() {
        let mut width = width(4);
        width.shrink(1);
        assert_eq!(width.calls(), 2);
        width.grow();
        assert_eq!(width.calls(), 2);
        width.grow();
        assert_eq!(width.calls(), 3);
        for _ in 0..100 {
            width.grow();
        }
        assert_eq!(width.calls(), 4, "never above what is configured");
    }

    #[test]
    fn it_stays_within_its_bounds_whatever_happens() {
        let mut rng = fastrand::Rng::with_seed(5);
        for max in 1..12 {
            let mut width = width(max);
            for _ in 0..2_000 {
                if rng.bool() {
                    width.grow();
                } else {
                    width.shrink(rng.usize(1..=max));
                }
                assert!((1..=max).contains(&width.calls()));
            }
        }
    }
}
