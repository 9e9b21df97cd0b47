//! How long to wait before the next try.

use std::time::Duration;

use fastrand::Rng;

/// Exponential back-off between two bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// Ceilings from `min`, doubled with every failure, up to `max`.
    pub fn new(min: Duration, max: Duration) -> Self {
        Self { min, max: max.max(min) }
    }

    /// The same with no ceiling below this.
    pub(super) fn at_least(self, least: Duration) -> Self {
        Self { min: self.min.max(least), max: self.max.max(least) }
    }

    /// The largest ceiling.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// The longest wait after `failures` earlier failures.
    pub fn ceiling(&self, failures: u32) -> Duration {
        let factor = 1_u32.checked_shl(failures).unwrap_or(u32::MAX);
        self.min.saturating_mul(factor).min(self.max)
    }

    /// Full jitter: anything up to the ceiling, so that messages that failed together do not come back together.
    pub fn full_jitter(&self, failures: u32, rng: &mut Rng) -> Duration {
        self.ceiling(failures).mul_f64(rng.f64())
    }

    /// Half of the ceiling and a jitter over the other half, for what must not come back at once.
    pub fn equal_jitter(&self, failures: u32, rng: &mut Rng) -> Duration {
        let ceiling = self.ceiling(failures);
        ceiling.mul_f64(0.5 + rng.f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff { min: Duration::from_secs(2), max: Duration::from_mins(15) };

    #[test]
    fn the_ceiling_doubles_up_to_the_maximum() {
        assert_eq!(BACKOFF.ceiling(0), Duration::from_secs(2));
        assert_eq!(BACKOFF.ceiling(3), Duration::from_secs(16));
        assert_eq!(BACKOFF.ceiling(20), Duration::from_mins(15));
        assert_eq!(BACKOFF.ceiling(4_000_000), Duration::from_mins(15));
    }

    #[test]
    fn a_larger_least_wait_holds_for_every_step() {
        let slow = BACKOFF.at_least(Duration::from_mins(20));
        assert_eq!((slow.ceiling(0), slow.ceiling(20)), (slow.max(), Duration::from_mins(20)));
        assert_eq!(BACKOFF.at_least(Duration::ZERO), BACKOFF);
    }

    #[test]
    fn jitter_stays_below_the_ceiling_and_uses_all_of_it() {
        let mut rng = Rng::with_seed(7);
        let waits: Vec<_> = (0..1_000).map(|_| BACKOFF.full_jitter(4, &mut rng)).collect();
        assert!(waits.iter().all(|wait| *wait <= Duration::from_secs(32)));
        assert!(waits.iter().any(|wait| *wait < Duration::from_secs(3)));
        assert!(waits.iter().any(|wait| *wait > Duration::from_secs(29)));
    }

    #[test]
    fn equal_jitter_keeps_its_distance() {
        let mut rng = Rng::with_seed(7);
        assert!((0..1_000).all(|_| BACKOFF.equal_jitter(4, &mut rng) >= Duration::from_secs(16)));
    }
}
