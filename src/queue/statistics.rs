//! Counters over time: what the page draws and `/api/v1/stats` answers.

use async_trait::async_trait;

use super::model::Outcome;
use super::store::StoreError;

/// Keeps counters over time. They are for the eye: a crash may cost the last seconds.
#[async_trait]
pub trait Statistics: Send + Sync {
    /// Adds to what was counted in the same steps; `at` may be any moment of its step.
    async fn add(&self, samples: Vec<Sample>) -> Result<(), StoreError>;

    /// What was counted from `from` on and before `to`, in seconds since 1970; in the order of time.
    async fn read(&self, grain: Grain, from: i64, to: i64) -> Result<Vec<Sample>, StoreError>;
}

/// How finely counters are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Grain {
    /// Kept for two days.
    Minute,
    /// Kept for four hundred days.
    Hour,
}

impl Grain {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Minute, Self::Hour];

    /// Seconds.
    pub const fn seconds(self) -> i64 {
        match self {
            Self::Minute => 60,
            Self::Hour => 3_600,
        }
    }

    /// How long counters of this grain are kept, in seconds.
    pub const fn kept(self) -> i64 {
        match self {
            Self::Minute => 2 * 24 * 3_600,
            Self::Hour => 400 * 24 * 3_600,
        }
    }

    /// When the step began that has this moment in it; both in seconds since 1970.
    pub const fn begin(self, at: i64) -> i64 {
        at.div_euclid(self.seconds()) * self.seconds()
    }

    /// The first moment of which counters are kept at `now`; both in seconds since 1970.
    pub const fn kept_from(self, now: i64) -> i64 {
        now.saturating_sub(self.kept())
    }
}

/// How many latencies fell where. The bounds of the buckets are 1, 2, 3, 4, 6, 8, 12, 16, ... milliseconds, two for each
/// doubling, so that a quantile is never too low and at the most by a half too high; the last bucket has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    counts: [u64; Self::BUCKETS],
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: [0; Self::BUCKETS] }
    }
}

impl Spread {
    /// Up to half an hour and beyond.
    pub const BUCKETS: usize = 44;

    /// Counts one.
    pub fn add(&mut self, milliseconds: u64) {
        self.counts[Self::bucket(milliseconds)] += 1;
    }

    /// The bucket in which so many milliseconds count.
    pub fn bucket(milliseconds: u64) -> usize {
        let found = (0..Self::BUCKETS - 1).find(|n| milliseconds <= Self::bound(*n));
        found.unwrap_or(Self::BUCKETS - 1)
    }

    /// Adds what others have counted.
    pub fn merge(&mut self, other: &Self) {
        for (own, other) in self.counts.iter_mut().zip(other.counts) {
            *own = own.saturating_add(other);
        }
    }

    /// The counts, as the stores keep them.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// From what a store has kept; what is beyond the last bucket counts there.
    pub fn from_counts(kept: impl IntoIterator<Item = u64>) -> Self {
        let mut spread = Self::default();
        for (n, count) in kept.into_iter().enumerate() {
            let own = &mut spread.counts[n.min(Self::BUCKETS - 1)];
            *own = own.saturating_add(count);
        }
        spread
    }

    /// How many were counted.
    pub fn total(&self) -> u64 {
        self.counts.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The latency in milliseconds that `percent` of all do not exceed; `None` when nothing was counted.
    pub fn quantile(&self, percent: u64) -> Option<u64> {
        let total = self.total();
        let rank = total.saturating_mul(percent).div_ceil(100).max(1);
        let mut seen = 0_u64;
        let at = self.counts.iter().position(|count| {
            seen = seen.saturating_add(*count);
            seen >= rank
        });
        at.filter(|_| total > 0).map(Self::bound)
    }

    /// The bound of a bucket: powers of two, and between them their geometric mean.
    fn bound(bucket: usize) -> u64 {
        // The root of two lies between one and two: in whole milliseconds it has no bucket of its own.
        let step = bucket + usize::from(bucket > 0);
        let power = 1_u64 << (step / 2);
        if step.is_multiple_of(2) { power } else { (power * 1_415).div_ceil(1_000) }
    }
}

/// What happened at one provider, or in the relay as a whole, within one step of time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// When the step began, in seconds since 1970.
    pub at: i64,
    /// The configured provider's name; empty for what is counted of the relay as a whole.
    pub provider: String,
    /// Messages accepted (whole relay).
    pub received: u64,
    /// Messages that ended so; at a provider, those that it had last.
    pub delivered: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Calls, by how they ended.
    pub attempts: Vec<(Outcome, u64)>,
    /// How long calls took; of the whole relay: from the acceptance to the delivery.
    pub latency: Spread,
}

impl Sample {
    /// Adds what another has counted of the same.
    pub fn merge(&mut self, other: &Self) {
        self.received = self.received.saturating_add(other.received);
        self.delivered = self.delivered.saturating_add(other.delivered);
        self.failed = self.failed.saturating_add(other.failed);
        self.cancelled = self.cancelled.saturating_add(other.cancelled);
        for (outcome, count) in &other.attempts {
            match self.attempts.iter_mut().find(|(own, _)| own == outcome) {
                Some((_, own)) => *own = own.saturating_add(*count),
                None => self.attempts.push((*outcome, *count)),
            }
        }
        self.latency.merge(&other.latency);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_right_within_a_half() {
        let mut spread = Spread::default();
        assert_eq!(spread.quantile(50), None);
        for milliseconds in 1..=1_000 {
            spread.add(milliseconds);
        }
        for percent in [1, 10, 50, 90, 99] {
            let exact = percent * 10;
            let told = spread.quantile(percent).unwrap();
            assert!((exact..=exact * 3 / 2).contains(&told), "{percent}: {told}");
        }
    }

    #[test]
    fn bounds_grow_and_what_is_beyond_counts_in_the_last() {
        for n in 1..Spread::BUCKETS {
            assert!(Spread::bound(n) > Spread::bound(n - 1), "{n}");
        }
        assert_eq!([0, 1, 2, 3, 4, 5, 6].map(Spread::bound), [1, 2, 3, 4, 6, 8, 12]);
        let mut spread = Spread::default();
        spread.add(u64::MAX);
        spread.add(0);
        assert_eq!((spread.counts[0], spread.counts[Spread::BUCKETS - 1]), (1, 1));
        assert_eq!(Spread::from_counts(spread.counts().iter().copied()), spread);
    }

    #[test]
    fn samples_of_the_same_add_up() {
        let sample = |delivered, outcome| Sample {
            delivered,
            attempts: vec![(outcome, 2)],
            ..Sample::default()
        };
        let mut sum = sample(1, Outcome::Delivered);
        sum.merge(&sample(2, Outcome::Delivered));
        sum.merge(&sample(3, Outcome::Temporary));
        assert_eq!(sum.delivered, 6);
        assert_eq!(sum.attempts, [(Outcome::Delivered, 4), (Outcome::Temporary, 2)]);
    }
}
