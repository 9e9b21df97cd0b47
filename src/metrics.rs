//! What Prometheus is shown (SPEC 8): a handle that whoever has something to count holds.
//!
//! Counting costs atomic additions, no lock and no memory. The values of labels are bounded: providers go by their
//! configured names, and all accounts that clients brought together by one.

mod arrivals;
mod format;
mod histogram;
mod now;
mod process;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

pub use arrivals::{Arrivals, Received};
pub use format::Format;
use histogram::Histogram;
pub use now::{Now, PROVIDER_STATES, ProviderNow, QueueNow};
pub use process::Process;

/// What the names of all figures of our own begin with.
const PREFIX: &str = "mailferry";

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
struct Move {
    from: String,
    to: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Build {
    version: &'static str,
}

/// The most providers for which every possible failover is shown at zero: the pairs grow with the square.
const PAIRS_SHOWN_MAX: usize = 8;

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
    arrivals: Arrivals,
}

#[derive(Clone)]
struct Families {
    attempts: Family<ByOutcome, Counter>,
    attempt_seconds: Family<ByProvider, Histogram, fn() -> Histogram>,
    finished: Family<ByEnd, Counter>,
    failovers: Family<Move, Counter>,
}

/// The counters of one provider.
struct Meter {
    label: String,
    attempts: [Counter; OUTCOMES.len()],
    seconds: Histogram,
    delivered: Counter,
    failed: Counter,
    cancelled: Counter,
    suppressed: Counter,
}

impl Families {
    fn new() -> Self {
        let call_seconds: fn() -> Histogram = || Histogram::new(&CALL_SECONDS);
        Self {
            attempts: Family::default(),
            attempt_seconds: Family::new_with_constructor(call_seconds),
            finished: Family::default(),
            failovers: Family::default(),
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
            suppressed: finished("suppressed"),
        }
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let families = Families::new();
        let delivery_seconds = Histogram::new(&DELIVERY_SECONDS);
        let mut registry = Registry::with_prefix(PREFIX);
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
        let build = Info::new(Build { version: env!("CARGO_PKG_VERSION") });
        registry.register("build", "The program", build);
        let arrivals = Arrivals::default();
        registry.register_collector(Box::new(arrivals.clone()));
        // A message may end before any provider was asked.
        for state in ["failed", "cancelled", "suppressed"] {
            families.finished.get_or_create_owned(&ByEnd { provider: String::new(), state });
        }
        Self(Arc::new(Inner {
            registry,
            meters: ArcSwap::default(),
            brought: Arc::new(families.meter(BROUGHT)),
            families,
            delivery_seconds,
            arrivals,
        }))
    }

    /// Says which providers are configured. What is counted under any other name counts for [`BROUGHT`].
    pub fn set_providers<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let meter = |name: &str| (name.to_owned(), Arc::new(self.0.families.meter(name)));
        let meters: HashMap<_, _> = names.into_iter().map(meter).collect();
        if meters.len() <= PAIRS_SHOWN_MAX {
            for from in meters.keys() {
                for to in meters.keys().filter(|to| *to != from) {
                    self.0
                        .families
                        .failovers
                        .get_or_create_owned(&Move { from: from.clone(), to: to.clone() });
                }
            }
        }
        self.0.meters.store(Arc::new(meters));
    }

    /// The counters of what comes in.
    pub fn arrivals(&self) -> &Arrivals {
        &self.0.arrivals
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
                meter.seconds.observe(took);
            }
        });
    }

    /// A message was delivered, so long after its acceptance.
    pub fn delivered(&self, provider: &str, after: Duration) {
        self.with(provider, |meter| meter.delivered.inc());
        self.0.delivery_seconds.observe(after);
    }

    /// A message has failed; the provider that was asked last, if any was.
    pub fn failed(&self, provider: Option<&str>) {
        self.unserved(provider, "failed", |meter| &meter.failed);
    }

    /// An operator has cancelled a message; the provider that was asked last, if any was.
    pub fn cancelled(&self, provider: Option<&str>) {
        self.unserved(provider, "cancelled", |meter| &meter.cancelled);
    }

    /// A message was not sent, because everybody who was left is on the suppression list; the provider that was asked
    /// last, if any was.
    pub fn suppressed(&self, provider: Option<&str>) {
        self.unserved(provider, "suppressed", |meter| &meter.suppressed);
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

    /// Mail of a route has moved from one provider to another. It is rare, and may take a lock.
    pub fn failover(&self, from: &str, to: &str) {
        let label = |name| self.with(name, |meter| meter.label.clone());
        let label = Move { from: label(from), to: label(to) };
        self.0.families.failovers.get_or_create(&label).inc();
    }

    /// All of it in this format, together with what is so now.
    pub fn render(&self, mut now: Now, format: Format) -> String {
        let mut process = Registry::default();
        if let Some(figures) = now.process.take() {
            process.register_collector(Box::new(figures));
        }
        let mut moment = Registry::with_prefix(PREFIX);
        moment.register_collector(Box::new(now));
        let mut text = String::new();
        for registry in [&self.0.registry, &moment, &process] {
            // Writing to a String does not fail.
            let _ = text::encode_registry(&mut text, registry);
        }
        format.finish(text)
    }

    fn with<T>(&self, provider: &str, count: impl FnOnce(&Meter) -> T) -> T {
        count(self.0.meters.load().get(provider).unwrap_or(&self.0.brought))
    }
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
mod tests;
