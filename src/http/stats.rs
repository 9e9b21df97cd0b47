//! `GET /api/v1/stats`: what happened over time, in steps that are the same for whoever asks within one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use serde::Serialize;
use utoipa::ToSchema;

use super::error::{ErrorJson, Problem};
use super::json::Time;
use super::query::{Query, invalid};
use super::side::Context;
use crate::clock::Timestamp;
use crate::queue::{Grain, Sample, Spread};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// The windows that may be asked for, seconds. Hours are kept for the longest one.
const WINDOW_MIN: i64 = 5 * MINUTE;
const WINDOW_MAX: i64 = Grain::Hour.kept();

/// The length of a step, seconds: the shortest that makes no more than [`STEPS_MAX`] of them.
const STEPS: [i64; 14] = [
    MINUTE,
    2 * MINUTE,
    5 * MINUTE,
    10 * MINUTE,
    15 * MINUTE,
    30 * MINUTE,
    HOUR,
    2 * HOUR,
    3 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    5 * DAY,
];
const STEPS_MAX: i64 = 100;

/// How far back to look, and how finely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    seconds: i64,
}

impl Window {
    /// A day, where nothing is said.
    pub(super) const DEFAULT: Self = Self { seconds: DAY };

    /// Reads `90m`, `24h`, `7d`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let units = [("m", MINUTE), ("h", HOUR), ("d", DAY)];
        let seconds = units.iter().find_map(|(unit, seconds)| {
            let number = text.strip_suffix(unit)?;
            let digits = (1..=6).contains(&number.len())
                && !number.starts_with('0')
                && number.bytes().all(|digit| digit.is_ascii_digit());
            digits.then(|| number.parse::<i64>().ok()?.checked_mul(*seconds)).flatten()
        });
        let seconds = seconds.filter(|it| (WINDOW_MIN..=WINDOW_MAX).contains(it));
        seconds.map(|seconds| Self { seconds }).ok_or_else(|| {
            let shown: String = text.chars().take(20).collect();
            format!("{shown:?} is not a time from 5m to 400d, such as 1h, 24h, 7d or 30d")
        })
    }

    /// Seconds of one step. Further back than minutes are kept, steps are whole hours.
    fn step(self) -> i64 {
        let least = if self.seconds > Grain::Minute.kept() { HOUR } else { MINUTE };
        let fits = |step: &i64| *step >= least && self.seconds <= *step * STEPS_MAX;
        STEPS.into_iter().find(fits).unwrap_or(5 * DAY)
    }

    /// Minutes are not kept for ever, and hours are enough for steps of hours.
    fn grain(self) -> Grain {
        if self.step() < HOUR { Grain::Minute } else { Grain::Hour }
    }

    /// From when until when, in seconds since 1970: whole steps, of which the last is not over.
    fn range(self, now: Timestamp) -> (i64, i64) {
        let step = self.step();
        let to = (now.as_second().div_euclid(step) + 1) * step;
        let steps = (self.seconds + step - 1) / step;
        (to - steps * step, to)
    }
}

/// What happened in a window.
#[derive(Debug)]
pub(super) struct Stats {
    pub(super) from: Timestamp,
    /// The end of the last step, which may be yet to come.
    pub(super) to: Timestamp,
    pub(super) step_seconds: i64,
    /// Of the whole relay.
    pub(super) relay: Series,
    /// By provider, in the order of their names.
    pub(super) providers: Vec<(String, Series)>,
}

/// One line of the chart: every step is there, also where nothing happened.
#[derive(Clone, Debug)]
pub(super) struct Series {
    pub(super) total: Sample,
    pub(super) steps: Vec<Sample>,
}

/// Looks at what was counted in this window.
pub(super) async fn read(context: &Context, window: Window) -> Result<Stats, Problem> {
    let (from, to) = window.range(context.now());
    let kept = context.side.store.statistics();
    let samples = context.ask(kept.read(window.grain(), from, to)).await?;
    Ok(arrange(&samples, window.step(), from, to))
}

/// Puts samples into their steps.
fn arrange(samples: &[Sample], step: i64, from: i64, to: i64) -> Stats {
    let empty = || {
        let at = |n| Sample { at: from + n * step, ..Sample::default() };
        let total = Sample { at: from, ..Sample::default() };
        Series { total, steps: (0..(to - from) / step).map(at).collect() }
    };
    let mut relay = empty();
    let mut providers: BTreeMap<&str, Series> = BTreeMap::new();
    for sample in samples {
        let place = usize::try_from((sample.at - from).div_euclid(step)).ok();
        let series = match sample.provider.as_str() {
            "" => &mut relay,
            name => providers.entry(name).or_insert_with(empty),
        };
        if let Some(own) = place.and_then(|place| series.steps.get_mut(place)) {
            own.merge(sample);
            series.total.merge(sample);
        }
    }
    let time = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    Stats {
        from: time(from),
        to: time(to),
        step_seconds: step,
        relay,
        providers: providers.into_iter().map(|(name, it)| (name.to_owned(), it)).collect(),
    }
}

/// What happened over time.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct StatsJson {
    /// When the first step began.
    from: Time,
    /// When the last step ends; it is not over yet.
    to: Time,
    /// The length of a step; steps are aligned to it, counted from 1970 in UTC.
    step_seconds: i64,
    totals: RelayJson,
    /// Every step, also those in which nothing happened.
    steps: Vec<RelayStepJson>,
    /// Everything that was called in this time; all accounts that clients bring are `brought` together.
    providers: Vec<ProviderJson>,
}

/// What happened in the relay as a whole.
#[derive(Debug, Serialize, ToSchema)]
struct RelayJson {
    /// Messages accepted.
    received: u64,
    delivered: u64,
    failed: u64,
    cancelled: u64,
    /// From the acceptance of a message to the provider's yes.
    delivery_ms: QuantilesJson,
}

#[derive(Debug, Serialize, ToSchema)]
struct RelayStepJson {
    at: Time,
    #[serde(flatten)]
    counts: RelayJson,
}

/// What happened at one provider.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ProviderStatsJson)]
struct ProviderJson {
    name: String,
    totals: CallsJson,
    steps: Vec<CallsStepJson>,
}

#[derive(Debug, Serialize, ToSchema)]
struct CallsJson {
    /// Messages that it was the last to have, by how they ended.
    delivered: u64,
    failed: u64,
    cancelled: u64,
    /// Calls by outcome; those that there were none of are left out.
    attempts: BTreeMap<&'static str, u64>,
    /// How long calls took.
    latency_ms: QuantilesJson,
}

#[derive(Debug, Serialize, ToSchema)]
struct CallsStepJson {
    at: Time,
    #[serde(flatten)]
    counts: CallsJson,
}

/// Times that so many of a hundred did not exceed, milliseconds, never too low and up to two fifths too high; null: there was
/// nothing to measure.
#[derive(Debug, Serialize, ToSchema)]
struct QuantilesJson {
    p50: Option<u64>,
    p95: Option<u64>,
}

impl From<&Spread> for QuantilesJson {
    fn from(spread: &Spread) -> Self {
        Self { p50: spread.quantile(50), p95: spread.quantile(95) }
    }
}

impl From<&Sample> for RelayJson {
    fn from(sample: &Sample) -> Self {
        let Sample { received, delivered, failed, cancelled, .. } = *sample;
        Self { received, delivered, failed, cancelled, delivery_ms: (&sample.latency).into() }
    }
}

impl From<&Sample> for CallsJson {
    fn from(sample: &Sample) -> Self {
        let Sample { delivered, failed, cancelled, .. } = *sample;
        let attempts = sample.attempts.iter().map(|(outcome, calls)| (outcome.name(), *calls));
        Self {
            delivered,
            failed,
            cancelled,
            attempts: attempts.collect(),
            latency_ms: (&sample.latency).into(),
        }
    }
}

fn at(sample: &Sample) -> Time {
    Time(Timestamp::from_second(sample.at).unwrap_or(Timestamp::MAX))
}

impl From<&Stats> for StatsJson {
    fn from(stats: &Stats) -> Self {
        let relay = |sample: &Sample| RelayStepJson { at: at(sample), counts: sample.into() };
        let calls = |sample: &Sample| CallsStepJson { at: at(sample), counts: sample.into() };
        let provider = |(name, series): &(String, Series)| ProviderJson {
            name: name.clone(),
            totals: (&series.total).into(),
            steps: series.steps.iter().map(calls).collect(),
        };
        Self {
            from: Time(stats.from),
            to: Time(stats.to),
            step_seconds: stats.step_seconds,
            totals: (&stats.relay.total).into(),
            steps: stats.relay.steps.iter().map(relay).collect(),
            providers: stats.providers.iter().map(provider).collect(),
        }
    }
}

/// Counts and latencies over time, for the relay and for each provider.
///
/// Counters are kept by the minute for two days and by the hour for 400 days. They are written every five seconds: a crash
/// costs the last of them, and the newest step may be behind by so much.
#[utoipa::path(
    get, path = "/api/v1/stats", operation_id = "showStats", tag = "state",
    params(("window" = Option<String>, Query, description = "How far back: 5m to 400d, such as 1h, 24h (the default), 7d, 30d", pattern = "^(([5-9]|[1-9][0-9]{1,4}|[1-4][0-9]{5}|5[0-6][0-9]{4}|57[0-5][0-9]{3}|576000)m|([1-9][0-9]{0,2}|[1-8][0-9]{3}|9[0-5][0-9]{2}|9600)h|([1-9][0-9]?|[1-3][0-9]{2}|400)d)$")),
    responses(
        (status = 200, body = StatsJson, description = "At most 101 steps, the oldest first"),
        (status = 400, body = ErrorJson, description = "`invalid_query`"),
    ),
)]
pub(super) async fn show(
    Shared(context): Shared<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Json<StatsJson>, Problem> {
    let query = Query::read(query.as_deref(), &["window"])?;
    let window = query.get("window").map_or(Ok(Window::DEFAULT), Window::parse);
    let window = window.map_err(|error| invalid(format!("window: {error}")))?;
    Ok(Json(StatsJson::from(&read(&context, window).await?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::queue::Outcome;

    fn now() -> Timestamp {
        "2026-11-21T10:07:31Z".parse().unwrap()
    }

    #[test]
    fn a_window_has_whole_steps_that_are_few_enough() {
        for (text, step, steps, grain) in [
            ("5m", MINUTE, 5, Grain::Minute),
            ("1h", MINUTE, 60, Grain::Minute),
            ("90m", MINUTE, 90, Grain::Minute),
            ("24h", 15 * MINUTE, 96, Grain::Minute),
            ("2d", 30 * MINUTE, 96, Grain::Minute),
            ("49h", HOUR, 49, Grain::Hour),
            ("50h", HOUR, 50, Grain::Hour),
            ("2881m", HOUR, 49, Grain::Hour),
            ("51h", HOUR, 51, Grain::Hour),
            ("7d", 2 * HOUR, 84, Grain::Hour),
            ("30d", 12 * HOUR, 60, Grain::Hour),
            ("400d", 5 * DAY, 80, Grain::Hour),
        ] {
            let window = Window::parse(text).unwrap();
            let (from, to) = window.range(now());
            assert_eq!((window.step(), (to - from) / step), (step, steps), "{text}");
            assert_eq!(window.grain(), grain, "{text}");
            assert_eq!((from % step, to % step), (0, 0), "{text}");
            assert!((to - step..to).contains(&now().as_second()), "{text}");
        }
    }

    #[test]
    fn what_is_no_window_is_refused() {
        for text in
            ["", "h", "4m", "05m", "401d", "1w", "-5h", "+5h", "1.5h", "24", "9999999m", "가h"]
        {
            assert!(Window::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn samples_stand_in_their_steps_and_add_up() {
        let sample = |at: i64, provider: &str| {
            let mut latency = Spread::default();
            latency.add(8);
            let attempts = vec![(Outcome::Delivered, 2), (Outcome::Temporary, 1)];
            let provider = provider.to_owned();
            Sample {
                at,
                provider,
                received: 3,
                delivered: 2,
                attempts,
                latency,
                ..Sample::default()
            }
        };
        let samples = [
            sample(600, ""),
            sample(659, ""),
            sample(660, ""),
            sample(600, "ses"),
            sample(900, ""),
        ];
        let stats = arrange(&samples, MINUTE, 600, 900);
        let json = serde_json::to_value(StatsJson::from(&stats)).unwrap();
        assert_eq!(json["step_seconds"], 60);
        assert_eq!(json["from"], "1970-01-01T00:10:00.000Z");
        let received: Vec<_> =
            json["steps"].as_array().unwrap().iter().map(|it| it["received"].clone()).collect();
        assert_eq!(received, [6, 3, 0, 0, 0]);
        assert_eq!(
            json["totals"],
            json!({ "received": 9, "delivered": 6, "failed": 0, "cancelled": 0,
                "delivery_ms": { "p50": 8, "p95": 8 } })
        );
        assert_eq!(json["providers"][0]["name"], "ses");
        assert_eq!(
            json["providers"][0]["steps"][0],
            json!({ "at": "1970-01-01T00:10:00.000Z", "delivered": 2, "failed": 0, "cancelled": 0,
                "attempts": { "delivered": 2, "temporary": 1 },
                "latency_ms": { "p50": 8, "p95": 8 } })
        );
        assert_eq!(
            json["providers"][0]["steps"][4]["latency_ms"],
            json!({ "p50": null, "p95": null })
        );
    }
}
