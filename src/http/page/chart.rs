//! Figures over time, drawn here: bars and lines without a script.
//!
//! Texts stand beside the drawing, not in it: so a drawing may be stretched to any width.

use std::fmt::Write as _;

use super::words::{Words, fill, grouped, span};
use crate::clock::Timestamp;
use crate::queue::{Grain, Sample, Spread};

/// A period that can be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    Hour,
    Day,
    Week,
    Month,
}

impl Window {
    /// All of them.
    pub(super) const ALL: [Self; 4] = [Self::Hour, Self::Day, Self::Week, Self::Month];

    /// The value in the query.
    pub(super) fn tag(self) -> &'static str {
        match self {
            Self::Hour => "1h",
            Self::Day => "24h",
            Self::Week => "7d",
            Self::Month => "30d",
        }
    }

    /// Its name.
    pub(super) fn name(self, t: &Words) -> &'static str {
        match self {
            Self::Hour => t.last_1h,
            Self::Day => t.last_24h,
            Self::Week => t.last_7d,
            Self::Month => t.last_30d,
        }
    }

    /// What is read for it.
    pub(super) fn grain(self) -> Grain {
        match self {
            Self::Hour | Self::Day => Grain::Minute,
            Self::Week | Self::Month => Grain::Hour,
        }
    }

    /// How many bars, and how long one is in seconds.
    fn steps(self) -> (usize, i64) {
        match self {
            Self::Hour => (60, 60),
            Self::Day => (48, 1_800),
            Self::Week => (56, 3 * 3_600),
            Self::Month => (60, 12 * 3_600),
        }
    }

    /// From when to when, in seconds since 1970: whole steps, the running one included.
    pub(super) fn range(self, now: Timestamp) -> (i64, i64) {
        let (count, step) = self.steps();
        let end = (now.as_second().div_euclid(step) + 1) * step;
        let length = i64::try_from(count).unwrap_or(0) * step;
        (end - length, end)
    }
}

/// What the overview shows of a period.
#[derive(Debug)]
pub(super) struct Charts {
    pub(super) window: Window,
    pub(super) received: String,
    pub(super) delivered: String,
    pub(super) failed: String,
    pub(super) any_failed: bool,
    pub(super) median: String,
    pub(super) p95: String,
    pub(super) step: String,
    /// How much, and how fast.
    pub(super) drawings: [Drawing; 2],
    /// Steps in which something happened, the newest first.
    pub(super) table: Vec<StepRow>,
    /// Calls in this period, by provider.
    pub(super) calls: Vec<Calls>,
}

/// One drawing: shapes in a field of `width` by [`HEIGHT`].
#[derive(Debug)]
pub(super) struct Drawing {
    pub(super) name: &'static str,
    pub(super) width: usize,
    /// Paths by the class of the style.
    pub(super) paths: Vec<(&'static str, String)>,
    /// What the top of the field stands for.
    pub(super) highest: Option<String>,
    /// All of it in a sentence.
    pub(super) summary: String,
}

/// A step of time as a row of a table.
#[derive(Debug)]
pub(super) struct StepRow {
    pub(super) machine: String,
    pub(super) at: String,
    pub(super) received: u64,
    pub(super) delivered: u64,
    pub(super) failed: u64,
    pub(super) median: String,
}

/// What a provider was asked.
#[derive(Clone, Debug, Default)]
pub(super) struct Calls {
    pub(super) provider: String,
    pub(super) well: u64,
    pub(super) badly: u64,
    pub(super) median: String,
    pub(super) p95: String,
}

/// A bar with its gap is ten wide.
const BAR: usize = 10;
const HEIGHT: u64 = 100;

impl Charts {
    /// Draws what was counted.
    pub(super) fn new(window: Window, samples: &[Sample], now: Timestamp, t: &Words) -> Self {
        let (count, step) = window.steps();
        let (from, _) = window.range(now);
        let mut steps = vec![Sample::default(); count];
        let mut providers: Vec<Sample> = Vec::new();
        for sample in samples {
            if sample.provider.is_empty() {
                let at = usize::try_from((sample.at - from).div_euclid(step)).ok();
                if let Some(own) = at.and_then(|at| steps.get_mut(at)) {
                    own.merge(sample);
                }
            } else if let Some(own) = providers.iter_mut().find(|p| p.provider == sample.provider) {
                own.merge(sample);
            } else {
                providers.push(sample.clone());
            }
        }
        let mut all = Sample::default();
        for (step_at, own) in (from..).step_by(usize::try_from(step).unwrap_or(1)).zip(&mut steps) {
            own.at = step_at;
            all.merge(own);
        }
        let highest = steps.iter().map(|s| s.delivered.saturating_add(s.failed)).max();
        Self {
            window,
            received: grouped(all.received),
            delivered: grouped(all.delivered),
            failed: grouped(all.failed),
            any_failed: all.failed > 0,
            median: quantile(&all.latency, 50),
            p95: quantile(&all.latency, 95),
            step: fill(t.per_step, &[&span(u64::try_from(step).unwrap_or(0), t)]),
            drawings: [bars(&steps, highest.unwrap_or(0), &all, t), lines(&steps, &all, t)],
            table: steps.iter().rev().filter(|s| happened(s)).map(StepRow::new).collect(),
            calls: providers.iter().map(Calls::new).collect(),
        }
    }
}

impl StepRow {
    fn new(step: &Sample) -> Self {
        let at = Timestamp::from_second(step.at).unwrap_or_default();
        Self {
            machine: at.to_string(),
            at: at.strftime("%m-%d %H:%M").to_string(),
            received: step.received,
            delivered: step.delivered,
            failed: step.failed,
            median: quantile(&step.latency, 50),
        }
    }
}

impl Calls {
    fn new(sample: &Sample) -> Self {
        use crate::queue::Outcome::Delivered;

        let count = |well: bool| {
            let of = |(outcome, _): &&(_, u64)| (*outcome == Delivered) == well;
            sample.attempts.iter().filter(of).fold(0_u64, |sum, (_, n)| sum.saturating_add(*n))
        };
        Self {
            provider: sample.provider.clone(),
            well: count(true),
            badly: count(false),
            median: quantile(&sample.latency, 50),
            p95: quantile(&sample.latency, 95),
        }
    }
}

fn happened(step: &Sample) -> bool {
    step.received > 0 || step.delivered > 0 || step.failed > 0
}

/// A latency as text; a dash where there is none.
fn quantile(latency: &Spread, percent: u64) -> String {
    latency.quantile(percent).map_or_else(|| "–".to_owned(), milliseconds)
}

fn milliseconds(ms: u64) -> String {
    match ms {
        0..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{} min", ms.div_ceil(60_000)),
    }
}

/// Delivered from the ground up, failed on top of it.
fn bars(steps: &[Sample], highest: u64, all: &Sample, t: &Words) -> Drawing {
    let (mut well, mut badly) = (String::new(), String::new());
    for (n, step) in steps.iter().enumerate() {
        let x = n * BAR + 1;
        let scaled = |n: u64| n.saturating_mul(HEIGHT).div_ceil(highest.max(1)).min(HEIGHT);
        let delivered = scaled(step.delivered);
        let failed = scaled(step.failed).min(HEIGHT - delivered.min(HEIGHT - 1));
        let bar = |path: &mut String, from: u64, height: u64| {
            if height > 0 {
                let _ = write!(path, "M{x} {from}h8v-{height}h-8z");
            }
        };
        bar(&mut well, HEIGHT, delivered);
        bar(&mut badly, HEIGHT - delivered, if step.failed > 0 { failed } else { 0 });
    }
    let counts = [t.received_n.of(all.received), t.delivered_n.of(all.delivered)].join(", ");
    Drawing {
        name: t.throughput,
        width: steps.len() * BAR,
        paths: vec![("bar-good", well), ("bar-bad", badly)],
        highest: (highest > 0).then(|| fill(t.highest, &[&grouped(highest)])),
        summary: format!("{}: {counts}, {}", t.throughput, t.failed_n.of(all.failed)),
    }
}

/// The median, and above it the line that 95 of 100 stay under. Higher by a tenth of the field is longer by half.
fn lines(steps: &[Sample], all: &Sample, t: &Words) -> Drawing {
    let highest = steps.iter().filter_map(|step| step.latency.quantile(95)).max();
    let path = |percent| {
        let top = highest.unwrap_or(1);
        let mut path = String::new();
        let mut drawing = false;
        for (n, step) in steps.iter().enumerate() {
            let Some(ms) = step.latency.quantile(percent) else {
                drawing = false;
                continue;
            };
            let y = HEIGHT - logarithm(ms) * (HEIGHT - 4) / logarithm(top).max(1);
            let x = n * BAR;
            // A level for the length of the step: one step alone is a visible line.
            let _ = write!(path, "{}{x} {y}h{BAR}", if drawing { 'L' } else { 'M' });
            drawing = true;
        }
        path
    };
    let told = [(t.median, 50), (t.p95, 95)]
        .map(|(name, percent)| format!("{name} {}", quantile(&all.latency, percent)));
    Drawing {
        name: t.latency,
        width: steps.len() * BAR,
        paths: vec![("line-soft", path(95)), ("line-strong", path(50))],
        highest: highest.map(|ms| fill(t.highest, &[&milliseconds(ms)])),
        summary: format!("{}: {}", t.latency, told.join(", ")),
    }
}

/// Sixteenths of a power of two; 0 for 0 and 1.
fn logarithm(n: u64) -> u64 {
    let n = n.max(1);
    let power = n.ilog2();
    let rest = ((n - (1 << power)) << 4) >> power;
    u64::from(power) * 16 + rest
}

#[cfg(test)]
mod tests {
    use super::super::words::Lang;
    use super::*;
    use crate::http::tests::sample;
    use crate::queue::Outcome;

    fn counted(minutes_ago: i64, delivered: u64, failed: u64) -> Sample {
        let at = sample::now().as_second() - minutes_ago * 60;
        let mut latency = Spread::default();
        for _ in 0..delivered {
            latency.add(40);
        }
        Sample { at, received: delivered + failed, delivered, failed, latency, ..Sample::default() }
    }

    #[test]
    fn figures_of_a_period_add_up_and_the_newest_is_the_first_row() {
        let resend = Sample {
            provider: "resend".to_owned(),
            attempts: vec![(Outcome::Delivered, 5), (Outcome::Throttled, 2), (Outcome::Bug, 1)],
            ..counted(3, 0, 0)
        };
        let samples = [counted(3, 4, 1), counted(0, 1_000, 0), counted(600, 9, 9), resend];
        let charts = Charts::new(Window::Hour, &samples, sample::now(), Lang::English.words());
        assert_eq!((charts.received.as_str(), charts.delivered.as_str()), ("1,005", "1,004"));
        assert_eq!((charts.failed.as_str(), charts.any_failed), ("1", true));
        assert_eq!(charts.median, "45 ms");
        let rows: Vec<_> = charts.table.iter().map(|row| (row.delivered, row.failed)).collect();
        assert_eq!(rows, [(1_000, 0), (4, 1)]);
        assert_eq!(charts.table[0].at, "11-21 10:00");
        assert_eq!((charts.calls[0].well, charts.calls[0].badly), (5, 3));
    }

    #[test]
    fn the_smallest_failure_is_still_seen_and_nothing_leaves_the_field() {
        let samples = [counted(1, 1_000_000, 1), counted(0, 0, 2)];
        let charts = Charts::new(Window::Day, &samples, sample::now(), Lang::English.words());
        let bad = &charts.drawings[0].paths[1].1;
        assert_eq!(bad.matches('M').count(), 1, "both are of one step: {bad}");
        let flat = Charts::new(Window::Hour, &samples, sample::now(), Lang::English.words());
        let bad = &flat.drawings[0].paths[1].1;
        assert_eq!(bad.matches('M').count(), 2, "{bad}");
    }

    #[test]
    fn nothing_counted_draws_nothing() {
        for window in Window::ALL {
            let charts = Charts::new(window, &[], sample::now(), Lang::Korean.words());
            assert!(charts.table.is_empty() && charts.drawings[0].highest.is_none());
            assert!(charts.drawings[0].paths.iter().all(|(_, path)| path.is_empty()));
            assert_eq!(
                (charts.median.as_str(), charts.drawings[1].highest.as_deref()),
                ("–", None)
            );
        }
    }

    #[test]
    fn a_range_ends_with_the_running_step() {
        let now = sample::now();
        for window in Window::ALL {
            let (from, to) = window.range(now);
            assert!(from < now.as_second() && now.as_second() < to, "{window:?}");
            assert!(now.as_second() - from <= window.grain().kept(), "{window:?}");
        }
    }

    #[test]
    fn latencies_are_read_at_a_glance() {
        for (ms, text) in [(7, "7 ms"), (1_448, "1.4 s"), (60_000, "1 min"), (90_001, "2 min")] {
            assert_eq!(milliseconds(ms), text);
        }
    }
}
