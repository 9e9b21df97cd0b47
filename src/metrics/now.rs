//! What is known only when somebody asks: how the queue, the providers and the connections are at this moment.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::ConstGauge;

use super::process::Process;

/// The state of things at one moment.
#[derive(Clone, Debug, Default)]
pub struct Now {
    /// The configured providers.
    pub providers: Vec<ProviderNow>,
    /// `None`: the store could not be asked.
    pub queue: Option<QueueNow>,
    /// Open SMTP connections.
    pub smtp_connections: u64,
    /// What the process takes; `None`: not asked for.
    pub process: Option<Process>,
}

/// How a provider does.
#[derive(Clone, Debug)]
pub struct ProviderNow {
    /// Its configured name.
    pub name: String,
    /// Whether it takes mail, a short rest included.
    pub up: bool,
    /// The word for its state.
    pub state: &'static str,
}

/// How full the queue is.
#[derive(Clone, Debug)]
pub struct QueueNow {
    /// Messages by state.
    pub messages: Vec<(&'static str, u64)>,
    /// How many there may be that are not over.
    pub messages_max: u64,
    /// The age of the oldest that is not over, in seconds.
    pub oldest_seconds: u64,
}

/// The states of a provider, each of which has a figure of its own.
pub const PROVIDER_STATES: [&str; 5] = ["up", "throttled", "exhausted", "misconfigured", "down"];

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name: &str, text: &str, value: u64| {
            let own = encoder.encode_descriptor(name, text, None, MetricType::Gauge)?;
            ConstGauge::new(whole(value)).encode(own)
        };
        gauge("smtp_connections", "Open SMTP connections.", self.smtp_connections)?;
        if let Some(queue) = &self.queue {
            let text = "The age of the oldest message that is not over, in seconds.";
            gauge("queue_oldest_seconds", text, queue.oldest_seconds)?;
            let text = "How many messages the queue takes that are not over.";
            gauge("queue_messages_max", text, queue.messages_max)?;
            let text = "Messages in the queue, by state.";
            let mut own =
                encoder.encode_descriptor("queue_messages", text, None, MetricType::Gauge)?;
            for (state, count) in &queue.messages {
                let labels = [("state", *state)];
                ConstGauge::new(whole(*count)).encode(own.encode_family(&labels)?)?;
            }
        }
        let text = "1 while the provider takes mail.";
        let mut own = encoder.encode_descriptor("provider_up", text, None, MetricType::Gauge)?;
        for provider in &self.providers {
            let labels = [("provider", provider.name.as_str())];
            ConstGauge::new(i64::from(provider.up)).encode(own.encode_family(&labels)?)?;
        }
        let text = "1 for the state that the provider is in.";
        let mut own = encoder.encode_descriptor("provider_state", text, None, MetricType::Gauge)?;
        for provider in &self.providers {
            for state in PROVIDER_STATES {
                let labels = [("provider", provider.name.as_str()), ("state", state)];
                let is = i64::from(state == provider.state);
                ConstGauge::new(is).encode(own.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
