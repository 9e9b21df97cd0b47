//! How much content all sessions together may hold.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError};

/// The unit in which memory is counted, octets.
const UNIT: usize = 1024;

/// A number of octets that all sessions share.
#[derive(Debug)]
pub struct MemoryBudget {
    units: Arc<Semaphore>,
    total: usize,
}

impl MemoryBudget {
    /// A budget of this many octets. One message must fit, or none will ever be taken.
    pub fn new(octets: usize) -> Self {
        let total = (octets / UNIT).min(Semaphore::MAX_PERMITS);
        Self { units: Arc::new(Semaphore::new(total)), total }
    }

    /// Octets that nobody holds.
    pub fn available(&self) -> usize {
        self.units.available_permits() * UNIT
    }

    /// A share that is empty as yet.
    pub fn reservation(&self) -> Reservation {
        Reservation { units: Arc::clone(&self.units), total: self.total, held: None }
    }
}

/// A share of the budget, given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    units: Arc<Semaphore>,
    total: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl Reservation {
    /// Grows to at least `octets` in all, waiting for others to give back, but not longer than `patience`.
    /// False when they did not; what was held is held still.
    pub async fn cover(&mut self, octets: usize, patience: Duration) -> bool {
        let held = self.held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = octets.div_ceil(UNIT);
        let Some(missing) = wanted.checked_sub(held).filter(|missing| *missing > 0) else {
            return true;
        };
        let Ok(missing) = u32::try_from(missing) else { return false };
        if wanted > self.total {
            return false;
        }
        let permit = match Arc::clone(&self.units).try_acquire_many_owned(missing) {
            Ok(permit) => permit,
            Err(TryAcquireError::Closed) => return false,
            Err(TryAcquireError::NoPermits) => {
                let acquiring = Arc::clone(&self.units).acquire_many_owned(missing);
                match tokio::time::timeout(patience, acquiring).await {
                    Ok(Ok(permit)) => permit,
                    Ok(Err(_)) | Err(_) => return false,
                }
            }
        };
        match &mut self.held {
            Some(held) => held.merge(permit),
            None => self.held = Some(permit),
        }
        true
    }

    /// Gives everything back.
    pub fn release(&mut self) {
        self.held = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test]
    async fn what_is_held_is_counted_once_and_given_back() {
        let budget = MemoryBudget::new(10 * UNIT);
        let mut share = budget.reservation();
        assert!(share.cover(1, PATIENCE).await);
        assert!(share.cover(3 * UNIT, PATIENCE).await);
        assert!(share.cover(2 * UNIT, PATIENCE).await, "less than held needs nothing");
        assert_eq!(budget.available(), 7 * UNIT);
        drop(share);
        assert_eq!(budget.available(), 10 * UNIT);
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_budget_is_waited_for_but_not_for_ever() {
        let budget = MemoryBudget::new(4 * UNIT);
        let mut first = budget.reservation();
        assert!(first.cover(4 * UNIT, PATIENCE).await);
        let mut second = budget.reservation();
        let begun = tokio::time::Instant::now();
        assert!(!second.cover(UNIT, PATIENCE).await);
        assert_eq!(begun.elapsed(), PATIENCE);
        let waiting = tokio::spawn(async move { second.cover(UNIT, PATIENCE).await });
        tokio::task::yield_now().await;
        first.release();
        assert!(waiting.await.unwrap());
    }

    #[tokio::test(start_paused = true)]
    async fn what_can_never_fit_is_refused_at_once() {
        let budget = MemoryBudget::new(4 * UNIT);
        let begun = tokio::time::Instant::now();
        assert!(!budget.reservation().cover(5 * UNIT, PATIENCE).await);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }
}
