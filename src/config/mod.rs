//! Configuration, parsed once into the types the code uses. One section per file.

mod access;
mod accounts;
mod changes;
mod conditions;
mod database;
mod delivery;
mod destinations;
mod environment;
mod error;
mod file;
mod http;
mod layer;
mod load;
mod log;
mod names;
mod password;
mod providers;
mod queue;
mod reader;
mod routes;
mod schema;
mod sender;
mod smarthost;
mod smtp;
mod units;
mod users;
mod value;

pub use changes::{Changes, Names, restart_needed};
pub use conditions::{DomainPattern, HeaderCondition, RouteConditions, RouteSender, TextPattern};
pub use database::{
    ChannelBinding, DatabaseHost, DatabasePlace, DatabaseTls, DatabaseUrl, Keepalive,
    SessionTarget, SslMode, SslRoots,
};
pub use delivery::{DeliveryConfig, HookConfig, Mode, OnLoss, OnUnclear};
pub use destinations::{is_private, is_this_machine, sending_domain, webhook_problem};
pub use error::{ConfigError, ConfigErrors};
pub use file::DEFAULT_FILES;
pub use http::HttpConfig;
pub use layer::Layer;
pub use load::{LoadOptions, Loaded, Purpose};
pub use log::{LogConfig, LogFormat};
pub use names::unknown_name;
pub use password::{PasswordFault, PasswordForm};
pub use providers::{ProviderConfig, ProviderKind, Quota};
pub use queue::{QueueConfig, QueueUrl, SealSecret};
pub use reader::{Effective, render};
pub use routes::RouteConfig;
pub use schema::{KEYS, Key};
pub use sender::{Rewrite, SenderConfig};
pub use smarthost::{Place, Preset, SmarthostConfig, SmtpTls, is_near};
pub use smtp::{AuthMode, CertificateFiles, SmtpConfig, TlsConfig};
pub use units::{RateLimit, Size};
pub use users::{SenderPattern, UserConfig};

use crate::secret::Secret;

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
    /// With `smtp.auth = "provider"`: tables without a key, the settings for accounts that clients bring along. At most
    /// one for each kind; see [`Config::template_for`].
    pub templates: Vec<ProviderConfig>,
    /// Named orders of providers.
    pub routes: Vec<RouteConfig>,
    pub log: LogConfig,
}

impl Config {
    /// How an account that a client brings along is used: as its template says, else as the provider that has the name
    /// of the service, else by the defaults. It has no key.
    ///
    /// Its name is that of the table, or of the service; a configured provider may have the same.
    pub fn template_for(&self, kind: ProviderKind) -> ProviderConfig {
        let namesake =
            || self.providers.iter().find(|own| own.kind == kind && own.name == kind.name());
        let template = self.templates.iter().find(|template| template.kind == kind);
        let Some(own) = template.or_else(namesake) else { return ProviderConfig::bare(kind) };
        ProviderConfig {
            api_key: Secret::default(),
            access_key_id: None,
            secret_access_key: Secret::default(),
            session_token: Secret::default(),
            ..own.clone()
        }
    }
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
