//! Configuration, parsed once into the types the code uses. One section per file.

mod delivery;
mod http;
mod log;
mod providers;
mod queue;
mod sender;
mod smtp;
mod units;

pub use delivery::{DeliveryConfig, Mode};
pub use http::HttpConfig;
pub use log::{LogConfig, LogFormat};
pub use providers::{ProviderConfig, ProviderKind};
pub use queue::{QueueConfig, QueueUrl};
pub use sender::{Rewrite, SenderConfig};
pub use smtp::SmtpConfig;
pub use units::{RateLimit, Size};

/// The effective configuration.
#[derive(Clone, Debug)]
pub struct Config {
    pub smtp: SmtpConfig,
    pub http: HttpConfig,
    pub sender: SenderConfig,
    pub delivery: DeliveryConfig,
    pub queue: QueueConfig,
    /// Every configured provider, in the order of SPEC 5.
    pub providers: Vec<ProviderConfig>,
    pub log: LogConfig,
}

/// The networks that are trusted unless the configuration says otherwise: loopback, private and link-local.
pub const TRUSTED_NETWORKS: [&str; 7] = [
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
    "fe80::/10",
];

/// [`TRUSTED_NETWORKS`], parsed.
pub fn trusted_networks() -> Vec<ipnet::IpNet> {
    TRUSTED_NETWORKS.iter().filter_map(|network| network.parse().ok()).collect()
}
