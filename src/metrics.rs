//! What Prometheus is shown (SPEC 8): a handle that whoever has something to count holds.
//!
//! Counting costs an atomic addition, and no memory. The values of labels are bounded: providers go by their configured
//! names, and all accounts that clients brought together by one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// The media type of [`Metrics::render`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The label of every account that a client brought.
pub const BROUGHT: &str = "brought";

/// Upper bounds in seconds: of one call to a provider, and from the 250 to the provider's yes.
const CALL_SECONDS: [f64; 13] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
const DELIVERY_SECONDS: [f64; 15] = [
    0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1_800.0, 14_400.0,
    86_400.0,
];

/// Outcomes of attempts that are there from the beginning, so that a rate over them begins at zero.
const OUTCOMES: [&str; 9] = [
    "delivered",
    "throttled",
    "exhausted",
    "temporary",
    "misconfigured",
    "rejected",
    "unknown",
    "bug",
    "unfit",
];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByProvider {
    provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    provider: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByEnd {
    provider: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByState {
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Move {
    from: String,
    to: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// No label.
type Plain = [(&'static str, &'static str); 0];

/// What is known only when somebody asks.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// The configured providers, and whether each takes mail, a short rest included.
    pub providers: Vec<(String, bool)>,
    /// Messages by state, and the age of the oldest that is not over, in seconds; `None`: the store could not be asked.
    pub queue: Option<(Vec<(&'static str, u64)>, u64)>,
}

/// The counters. Cloning shares them.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Registry,
    /// What is counted for each configured provider, found without a lock.
    meters: ArcSwap<HashMap<String, Arc<Meter>>>,
    brought: Arc<Meter>,
    families: Families,
    delivery_seconds: Histogram,
    /// One answer at a time: some values are written for it.
    rendering: Mutex<()>,
}

#[derive(Clone)]
struct Families {
    attempts: Family<ByOutcome, Counter>,
    attempt_seconds: Family<ByProvider, Histogram, fn() -> Histogram>,
    finished: Family<ByEnd, Counter>,
    failovers: Family<Move, Counter>,
    provider_up: Family<ByProvider, Gauge>,
    queue: Family<ByState, Gauge>,
    oldest: Family<Plain, Gauge>,
}

/// The counters of one provider.
struct Meter {
    label: String,
    attempts: [Counter; OUTCOMES.len()],
    seconds: Histogram,
    delivered: Counter,
    failed: Counter,
    cancelled: Counter,
}

impl Families {
    fn new() -> Self {
        let call_seconds: fn() -> Histogram = || Histogram::new(CALL_SECONDS);
        Self {
            attempts: Family::default(),
            attempt_seconds: Family::new_with_constructor(call_seconds),
            finished: Family::default(),
            failovers: Family::default(),
            provider_up: Family::default(),
            queue: Family::default(),
            oldest: Family::default(),
        }
    }

    fn meter(&self, name: &str) -> Meter {
        let provider = || name.to_owned();
        let attempts = |outcome| {
            let label = ByOutcome { provider: provider(), outcome };
            self.attempts.get_or_create_owned(&label)
        };
        let finished =
            |state| self.finished.get_or_create_owned(&ByEnd { provider: provider(), state });
        Meter {
            label: provider(),
            attempts: OUTCOMES.map(attempts),
            seconds: self.attempt_seconds.get_or_create_owned(&ByProvider { provider: provider() }),
            delivered: finished("delivered"),
            failed: finished("failed"),
            cancelled: finished("cancelled"),
        }
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let families = Families::new();
        let delivery_seconds = Histogram::new(DELIVERY_SECONDS);
        let mut registry = Registry::with_prefix("mailferry");
        // The library adds `_total` and `_info` where they belong, and a full stop to each text.
        let all = families.clone();
        registry.register("attempts", "Calls to providers, by how they ended", all.attempts);
        registry.register("attempt_seconds", "How long calls took", all.attempt_seconds);
        registry.register("messages_finished", "Messages that are over", all.finished);
        registry.register(
            "delivery_seconds",
            "From the acceptance of a message to its delivery",
            delivery_seconds.clone(),
        );
        registry.register(
            "failovers",
            "How often mail of a route moved to another provider",
            all.failovers,
        );
        registry.register("provider_up", "1 while the provider takes mail", all.provider_up);
        registry.register("queue_messages", "Messages in the queue", all.queue);
        registry.register("queue_oldest_seconds", "The age of the oldest that waits", all.oldest);
        let build = Info::new(Build { version: env!("CARGO_PKG_VERSION") });
        registry.register("build", "The program", build);
        Self(Arc::new(Inner {
            registry,
            meters: ArcSwap::default(),
            brought: Arc::new(families.meter(BROUGHT)),
            families,
            delivery_seconds,
            rendering: Mutex::new(()),
        }))
    }

    /// Says which providers are configured. What is counted under any other name counts for [`BROUGHT`].
    pub fn set_providers<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let meter = |name: &str| (name.to_owned(), Arc::new(self.0.families.meter(name)));
        self.0.meters.store(Arc::new(names.into_iter().map(meter).collect()));
    }

    /// A call to a provider has ended so; `None`: it was not made.
    pub fn attempt(&self, provider: &str, outcome: &'static str, took: Option<Duration>) {
        self.with(provider, |meter| {
            let place = OUTCOMES.iter().position(|known| *known == outcome);
            if let Some(counter) = place.and_then(|at| meter.attempts.get(at)) {
                counter.inc();
            } else {
                let label = ByOutcome { provider: meter.label.clone(), outcome };
                self.0.families.attempts.get_or_create(&label).inc();
            }
            if let Some(took) = took {
                meter.seconds.observe(took.as_secs_f64());
            }
        });
    }

    /// A message was delivered, so long after its acceptance.
    pub fn delivered(&self, provider: &str, after: Duration) {
        self.with(provider, |meter| meter.delivered.inc());
        self.0.delivery_seconds.observe(after.as_secs_f64());
    }

    /// A message has failed; the provider that was asked last, if any was.
    pub fn failed(&self, provider: Option<&str>) {
        self.unserved(provider, "failed", |meter| &meter.failed);
    }

    /// An operator has cancelled a message; the provider that was asked last, if any was.
    pub fn cancelled(&self, provider: Option<&str>) {
        self.unserved(provider, "cancelled", |meter| &meter.cancelled);
    }

    fn unserved(
        &self,
        provider: Option<&str>,
        state: &'static str,
        counter: impl FnOnce(&Meter) -> &Counter,
    ) {
        match provider {
            Some(name) => self.with(name, |meter| counter(meter).inc()),
            None => {
                let label = ByEnd { provider: String::new(), state };
                self.0.families.finished.get_or_create(&label).inc()
            }
        };
    }

    /// Mail of a route has moved from one provider to another.
    pub fn failover(&self, from: &str, to: &str) {
        let label = Move { from: from.to_owned(), to: to.to_owned() };
        self.0.families.failovers.get_or_create(&label).inc();
    }

    /// All of it as OpenMetrics text ([`MEDIA_TYPE`]).
    pub fn render(&self, now: &Now) -> String {
        let _turn = self.0.rendering.lock().unwrap_or_else(PoisonError::into_inner);
        let families = &self.0.families;
        families.provider_up.clear();
        for (name, up) in &now.providers {
            let label = ByProvider { provider: name.clone() };
            families.provider_up.get_or_create(&label).set(i64::from(*up));
        }
        families.queue.clear();
        families.oldest.clear();
        if let Some((states, oldest)) = &now.queue {
            for (state, count) in states {
                families.queue.get_or_create(&ByState { state }).set(whole(*count));
            }
            families.oldest.get_or_create(&[]).set(whole(*oldest));
        }
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = text::encode(&mut text, &self.0.registry);
        text
    }

    fn with<T>(&self, provider: &str, count: impl FnOnce(&Meter) -> T) -> T {
        count(self.0.meters.load().get(provider).unwrap_or(&self.0.brought))
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> Metrics {
        let metrics = Metrics::new();
        metrics.set_providers(["resend", "ses"]);
        metrics
    }

    /// Panics unless the text has each of these lines.
    fn assert_says(text: &str, lines: &[&str]) {
        for line in lines {
            assert!(text.lines().any(|own| own == *line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn what_is_counted_is_shown_under_the_names_of_the_contract() {
        let metrics = metrics();
        metrics.attempt("resend", "temporary", Some(Duration::from_millis(200)));
        metrics.attempt("ses", "unfit", None);
        metrics.attempt("ses", "delivered", Some(Duration::from_secs(2)));
        metrics.delivered("ses", Duration::from_secs(3));
        metrics.failed(Some("resend"));
        metrics.failed(None);
        metrics.cancelled(Some("ses"));
        metrics.cancelled(None);
        metrics.failover("resend", "ses");
        let now = Now {
            providers: vec![("resend".to_owned(), false), ("ses".to_owned(), true)],
            queue: Some((vec![("queued", 3), ("sending", 0)], 60)),
        };
        let text = metrics.render(&now);
        assert_says(
            &text,
            &[
                "# TYPE mailferry_attempts counter",
                r#"mailferry_attempts_total{provider="resend",outcome="temporary"} 1"#,
                r#"mailferry_attempts_total{provider="resend",outcome="delivered"} 0"#,
                r#"mailferry_attempts_total{provider="ses",outcome="unfit"} 1"#,
                r#"mailferry_attempt_seconds_count{provider="ses"} 1"#,
                r#"mailferry_attempt_seconds_bucket{le="0.25",provider="resend"} 1"#,
                r#"mailferry_messages_finished_total{provider="ses",state="delivered"} 1"#,
                r#"mailferry_messages_finished_total{provider="resend",state="failed"} 1"#,
                r#"mailferry_messages_finished_total{provider="",state="failed"} 1"#,
                r#"mailferry_messages_finished_total{provider="ses",state="cancelled"} 1"#,
                r#"mailferry_messages_finished_total{provider="",state="cancelled"} 1"#,
                "mailferry_delivery_seconds_sum 3.0",
                r#"mailferry_failovers_total{from="resend",to="ses"} 1"#,
                r#"mailferry_provider_up{provider="resend"} 0"#,
                r#"mailferry_provider_up{provider="ses"} 1"#,
                r#"mailferry_queue_messages{state="queued"} 3"#,
                "mailferry_queue_oldest_seconds{} 60",
                concat!("mailferry_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
                "# EOF",
            ],
        );
    }

    #[test]
    fn strangers_have_one_label_together() {
        let metrics = metrics();
        for number in 0..1_000 {
            let name = format!("resend:{number:08x}");
            metrics.attempt(&name, "delivered", Some(Duration::from_millis(1)));
            metrics.delivered(&name, Duration::ZERO);
        }
        let text = metrics.render(&Now::default());
        assert_says(
            &text,
            &[r#"mailferry_attempts_total{provider="brought",outcome="delivered"} 1000"#],
        );
        assert!(text.lines().count() < 150, "{text}");
    }

    #[test]
    fn counts_go_on_when_the_providers_change() {
        let metrics = metrics();
        metrics.attempt("resend", "delivered", None);
        metrics.set_providers(["resend", "postmark"]);
        metrics.attempt("resend", "delivered", None);
        let text = metrics.render(&Now::default());
        assert_says(
            &text,
            &[r#"mailferry_attempts_total{provider="resend",outcome="delivered"} 2"#],
        );
    }

    #[test]
    fn what_cannot_be_known_is_not_shown() {
        let metrics = metrics();
        let queue = Some((vec![("queued", 3)], 60));
        metrics.render(&Now { providers: vec![("gone".to_owned(), true)], queue });
        let text = metrics.render(&Now::default());
        assert!(!text.contains("mailferry_queue_messages{"), "{text}");
        assert!(!text.contains("mailferry_queue_oldest_seconds{"), "{text}");
        assert!(!text.contains("gone"), "{text}");
    }
}
