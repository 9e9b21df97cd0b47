//! Figures over time, drawn here: bars and lines without a script.
//!
//! Texts stand beside the drawing, not in it: so a drawing may be stretched to any width.

use std::fmt::Write as _;

use super::super::stats::{self, Series, Stats};
use super::words::{Words, fill, grouped, span};
use crate::clock::Timestamp;
use crate::queue::{Sample, Spread};

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
    pub(super) fn of_stats(self) -> stats::Window {
        // Each of the tags is a window.
        stats::Window::parse(self.tag()).unwrap_or(stats::Window::DEFAULT)
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
    /// What the top of the field stands for, and how it is divided where not evenly.
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
    pub(super) p95: String,
}

/// A bar with its gap is ten wide.
const BAR: usize = 10;
const HEIGHT: u64 = 100;

impl Charts {
    /// Draws what was counted.
    pub(super) fn new(window: Window, stats: &Stats, t: &'static Words) -> Self {
        let Series { total: all, steps } = &stats.relay;
        let step = u64::try_from(stats.step_seconds).unwrap_or(0);
        Self {
            window,
            received: grouped(all.received),
            delivered: grouped(all.delivered),
            failed: grouped(all.failed),
            any_failed: all.failed > 0,
            median: quantile(&all.latency, 50),
            p95: quantile(&all.latency, 95),
            step: fill(t.per_step, &[&span(step, t)]),
            drawings: [bars(steps, all, t), lines(steps, all, t)],
            table: steps.iter().rev().filter(|s| happened(s)).map(StepRow::new).collect(),
            calls: stats.providers.iter().map(|(name, it)| Calls::new(name, &it.total)).collect(),
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
    fn new(provider: &str, sample: &Sample) -> Self {
        use crate::queue::Outcome::Delivered;

        let count = |well: bool| {
            let of = |(outcome, _): &&(_, u64)| (*outcome == Delivered) == well;
            sample.attempts.iter().filter(of).fold(0_u64, |sum, (_, n)| sum.saturating_add(*n))
        };
        Self {
            provider: provider.to_owned(),
            well: count(true),
            badly: count(false),
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
fn bars(steps: &[Sample], all: &Sample, t: &'static Words) -> Drawing {
    let highest = steps.iter().map(|it| it.delivered.saturating_add(it.failed)).max().unwrap_or(0);
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
fn lines(steps: &[Sample], all: &Sample, t: &'static Words) -> Drawing {
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
        highest: highest
            .map(|ms| format!("{} · {}", fill(t.highest, &[&milliseconds(ms)]), t.logarithmic)),
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

    const STEPS: usize = 60;

    fn counted(delivered: u64, failed: u64) -> Sample {
        let mut latency = Spread::default();
        for _ in 0..delivered.min(1_000) {
            latency.add(40);
        }
        Sample { received: delivered + failed, delivered, failed, latency, ..Sample::default() }
    }

    /// These at the end of an hour, and nothing before.
    fn stats(last: &[Sample]) -> Stats {
        let start = sample::now().as_second() - 3_540;
        let mut steps = vec![Sample::default(); STEPS - last.len()];
        steps.extend_from_slice(last);
        let mut total = Sample::default();
        for (step, at) in steps.iter_mut().zip((start..).step_by(60)) {
            total.merge(step);
            step.at = at;
        }
        Stats {
            from: sample::now(),
            to: sample::now(),
            step_seconds: 60,
            relay: Series { total, steps },
            providers: Vec::new(),
        }
    }

    fn charts(stats: &Stats) -> Charts {
        Charts::new(Window::Hour, stats, Lang::English.words())
    }

    #[test]
    fn figures_of_a_period_add_up_and_the_newest_is_the_first_row() {
        let mut stats = stats(&[counted(4, 1), counted(0, 0), counted(1_000, 0)]);
        let calls = Sample {
            attempts: vec![(Outcome::Delivered, 5), (Outcome::Throttled, 2), (Outcome::Bug, 1)],
            ..Sample::default()
        };
        stats.providers.push(("ses".to_owned(), Series { total: calls, steps: Vec::new() }));
        let charts = charts(&stats);
        assert_eq!((charts.received.as_str(), charts.delivered.as_str()), ("1,005", "1,004"));
        assert_eq!((charts.failed.as_str(), charts.any_failed), ("1", true));
        assert_eq!(charts.median, "46 ms");
        let rows: Vec<_> = charts.table.iter().map(|row| (row.delivered, row.failed)).collect();
        assert_eq!(rows, [(1_000, 0), (4, 1)]);
        assert_eq!(charts.table[0].at, "11-21 10:00");
        assert_eq!((charts.calls[0].well, charts.calls[0].badly), (5, 3));
    }

    #[test]
    fn the_smallest_failure_is_still_seen() {
        let charts = charts(&stats(&[counted(1_000_000, 1), counted(0, 2)]));
        let (class, path) = &charts.drawings[0].paths[1];
        assert_eq!((*class, path.matches('M').count()), ("bar-bad", 2), "{path}");
        assert!(charts.drawings[0].summary.contains("3 failed"), "{}", charts.drawings[0].summary);
    }

    #[test]
    fn no_line_is_drawn_over_time_in_which_nothing_was_delivered() {
        let charts = charts(&stats(&[counted(1, 0), counted(0, 1), counted(2, 0), counted(3, 0)]));
        let (_, path) = &charts.drawings[1].paths[1];
        assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 1), "{path}");
    }

    #[test]
    fn nothing_counted_draws_nothing() {
        let charts = charts(&stats(&[]));
        assert!(charts.table.is_empty() && charts.drawings.iter().all(|it| it.highest.is_none()));
        let mut paths = charts.drawings.iter().flat_map(|it| &it.paths);
        assert!(paths.all(|(_, path)| path.is_empty()));
        assert_eq!(charts.median, "–");
    }

    #[test]
    fn every_period_is_one_of_the_statistics() {
        for window in Window::ALL {
            assert!(stats::Window::parse(window.tag()).is_ok(), "{window:?}");
        }
    }

    #[test]
    fn latencies_are_read_at_a_glance() {
        for (ms, text) in [(7, "7 ms"), (1_448, "1.4 s"), (60_000, "1 min"), (90_001, "2 min")] {
            assert_eq!(milliseconds(ms), text);
        }
    }
}
