//! How much content all sessions together may hold.
//!
//! Who waits for memory holds some already, so if everybody grew in steps, a few large messages could hold all of it and
//! wait for each other. Hence two parts: in the smaller one contents grow in steps up to a part of it; what grows beyond
//! that takes all that it may come to need from the larger part, in one piece, and never waits again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The unit in which memory is counted, octets.
const UNIT: usize = 1024;

/// The part of the budget in which contents grow in steps.
const SMALL_PART: usize = 4;

/// What is larger is large, units.
const SMALL_MAX: usize = 1024;

/// A number of octets that all sessions share.
#[derive(Clone, Debug)]
pub struct MemoryBudget {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    /// All of `large`, units.
    large_total: usize,
    /// What a small content may have at the most, units.
    small_max: usize,
}

impl MemoryBudget {
    /// A budget of this many octets. The largest message must fit into three quarters of it, or it will never be taken.
    pub fn new(octets: usize) -> Self {
        let total = (octets / UNIT).min(Semaphore::MAX_PERMITS);
        let small = total / SMALL_PART;
        // One that has no room for some small contents beside large ones is not divided.
        let (small, small_max) =
            if small >= 4 * SMALL_MAX { (small, SMALL_MAX) } else { (total, total) };
        Self {
            small: Arc::new(Semaphore::new(small)),
            large: Arc::new(Semaphore::new(total - small)),
            large_total: total - small,
            small_max,
        }
    }

    /// Octets that nobody holds.
    pub fn available(&self) -> usize {
        (self.small.available_permits() + self.large.available_permits()) * UNIT
    }

    /// A share that is empty as yet. `expected_max` is how many octets it may come to need, as far as is known.
    pub fn reservation(&self, expected_max: usize) -> Reservation {
        let expected_max = expected_max.div_ceil(UNIT);
        Reservation { budget: self.clone(), expected_max, held: None, is_large: false }
    }
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: MemoryBudget,
    /// Units.
    expected_max: usize,
    held: Option<OwnedSemaphorePermit>,
    /// `held` is of the larger part.
    is_large: bool,
}

impl Reservation {
    /// Grows to at least `octets` in all, waiting for others to give back, but not longer than `patience`.
    /// False when they did not; what was held is held still.
    pub async fn cover(&mut self, octets: usize, patience: Duration) -> bool {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = octets.div_ceil(UNIT);
        if wanted <= held {
            return true;
        }
        if !self.is_large && wanted <= self.budget.small_max {
            let Some(more) = acquire(&self.budget.small, wanted - held, patience).await else {
                return false;
            };
            self.keep(more);
            return true;
        }
        if wanted > self.budget.large_total {
            return false;
        }
        let all = wanted.max(self.expected_max.min(self.budget.large_total));
        let missing = if self.is_large { all - held } else { all };
        let Some(more) = acquire(&self.budget.large, missing, patience).await else { return false };
        if !self.is_large {
            self.is_large = true;
            self.held = None;
        }
        self.keep(more);
        true
    }

    fn keep(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.held {
            Some(held) => held.merge(more),
            None => self.held = Some(more),
        }
    }

    /// Gives everything back.
    pub fn release(&mut self) {
        self.held = None;
        self.is_large = false;
    }
}

async fn acquire(
    part: &Arc<Semaphore>,
    units: usize,
    patience: Duration,
) -> Option<OwnedSemaphorePermit> {
    let units = u32::try_from(units).ok()?;
    match Arc::clone(part).try_acquire_many_owned(units) {
        Ok(permit) => Some(permit),
        Err(TryAcquireError::Closed) => None,
        Err(TryAcquireError::NoPermits) => {
            let acquiring = Arc::clone(part).acquire_many_owned(units);
            tokio::time::timeout(patience, acquiring).await.ok()?.ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Large from more than this on.
    const SMALL: usize = SMALL_MAX * UNIT;

    fn budget() -> MemoryBudget {
        MemoryBudget::new(SMALL_PART * 16 * SMALL)
    }

    #[tokio::test]
    async fn what_is_held_is_counted_once_and_given_back() {
        let budget = budget();
        let before = budget.available();
        let mut share = budget.reservation(0);
        assert!(share.cover(1, PATIENCE).await);
        assert!(share.cover(3 * UNIT, PATIENCE).await);
        assert!(share.cover(2 * UNIT, PATIENCE).await, "less than held needs nothing");
        assert_eq!(budget.available(), before - 3 * UNIT);
        assert!(share.cover(SMALL + 1, PATIENCE).await);
        assert_eq!(budget.available(), before - SMALL - UNIT, "of the one part or the other");
        drop(share);
        assert_eq!(budget.available(), before);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_budget_is_waited_for_but_not_for_ever() {
        let budget = budget();
        let mut first = budget.reservation(0);
        assert!(first.cover(budget.large_total * UNIT, PATIENCE).await);
        let mut second = budget.reservation(0);
        assert!(second.cover(SMALL, PATIENCE).await, "small contents have a part of their own");
        let begun = tokio::time::Instant::now();
        assert!(!second.cover(SMALL + 1, PATIENCE).await);
        assert_eq!(begun.elapsed(), PATIENCE);
        let waiting = tokio::spawn(async move { second.cover(SMALL + 1, PATIENCE).await });
        tokio::task::yield_now().await;
        first.release();
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn large_contents_that_grow_at_the_same_time_do_not_wait_for_each_other_for_ever() {
        let budget = budget();
        let largest = budget.large_total * UNIT / 2;
        let begun = tokio::time::Instant::now();
        let growing = (0..16).map(|_| {
            let mut share = budget.reservation(largest);
            tokio::spawn(async move {
                let mut octets = UNIT;
                while octets < largest {
                    octets = largest.min(octets * 2);
                    assert!(share.cover(octets, PATIENCE).await, "at {octets}");
                    // The next octets come a moment later.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            })
        });
        let growing: Vec<_> = growing.collect();
        for task in growing {
            task.await.unwrap();
        }
        assert!(begun.elapsed() < PATIENCE, "two at a time: {:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_never_fit_is_refused_at_once() {
        let budget = budget();
        let begun = tokio::time::Instant::now();
        let never = budget.large_total * UNIT + 1;
        assert!(!budget.reservation(never).cover(never, PATIENCE).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(budget.reservation(never).cover(SMALL + 1, PATIENCE).await, "an estimate is none");
    }
}
