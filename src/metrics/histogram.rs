//! A histogram without a lock: the library's has one, and every session would wait for it.

use std::fmt;
use std::iter::once;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::{EncodeMetric, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::{MetricType, TypedMetric};

/// How many durations fell where, and their sum. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Histogram(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Upper bounds in seconds, in their order; behind them one more counter, without a bound.
    bounds: &'static [f64],
    counts: Box<[AtomicU64]>,
    /// In microseconds: a sum of days for each of a thousand million messages fits.
    sum: AtomicU64,
}

impl Histogram {
    /// With nothing in it.
    pub(super) fn new(bounds: &'static [f64]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner { bounds, counts, sum: AtomicU64::new(0) }))
    }

    /// Counts one: two atomic additions.
    pub(super) fn observe(&self, took: Duration) {
        let seconds = took.as_secs_f64();
        let bucket = self.0.bounds.partition_point(|bound| *bound < seconds);
        if let Some(count) = self.0.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.sum.fetch_add(micros, Ordering::Relaxed);
    }

    /// Bounds and counts as the formats want them, and the sum in seconds.
    fn read(&self) -> (Vec<(f64, u64)>, f64) {
        let bounds = self.0.bounds.iter().copied().chain(once(f64::INFINITY));
        let counts = self.0.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let sum = Duration::from_micros(self.0.sum.load(Ordering::Relaxed));
        (bounds.zip(counts).collect(), sum.as_secs_f64())
    }
}

impl EncodeMetric for Histogram {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> Result<(), fmt::Error> {
        let (buckets, sum) = self.read();
        // From the buckets, so that the two agree whatever is counted meanwhile.
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

impl TypedMetric for Histogram {
    const TYPE: MetricType = MetricType::Histogram;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_falls_into_the_first_bucket_that_is_large_enough() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        for milliseconds in [0, 100, 101, 1_000, 1_001, 86_400_000] {
            histogram.observe(Duration::from_millis(milliseconds));
        }
        let (buckets, sum) = histogram.read();
        assert_eq!(buckets, [(0.1, 2), (1.0, 2), (f64::INFINITY, 2)]);
        assert!((sum - 86_402.202).abs() < 1e-6, "{sum}");
    }

    #[test]
    fn nothing_is_lost_when_many_count_at_once() {
        let histogram = Histogram::new(&[0.1]);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10_000 {
                        histogram.observe(Duration::from_millis(1));
                    }
                });
            }
        });
        assert_eq!(histogram.read().0, [(0.1, 40_000), (f64::INFINITY, 0)]);
    }
}
