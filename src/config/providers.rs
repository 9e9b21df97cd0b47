//! `[providers.NAME]`: the accounts at email services.

use std::fmt;
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

use url::Url;

use super::smarthost::SmarthostConfig;
use super::units::RateLimit;
use crate::secret::Secret;

/// One configured account.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The table's name; the name in routes, logs, metrics and the API.
    pub name: String,
    /// Which service.
    pub kind: ProviderKind,
    /// The API key of the services that have one.
    pub api_key: Secret,
    /// Instead of the service's own address.
    pub base_url: Option<Url>,
    /// Instead of the service's published limit.
    pub rate: Option<RateLimit>,
    /// Recipients that it may serve in a day and in a month.
    pub daily_quota: Quota,
    pub monthly_quota: Quota,
    /// Calls in flight.
    pub concurrency: NonZeroUsize,
    /// For one call, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// SES: region and credentials. Mailgun: us or eu. smtp: that of the preset.
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Secret,
    pub session_token: Secret,
    /// Mailgun: the sending domain.
    pub domain: Option<String>,
    /// smtp: where the smarthost is, and who we are there.
    pub smarthost: SmarthostConfig,
    /// webhook: where messages are posted to.
    pub url: Option<Url>,
    /// webhook: what they are signed with.
    pub secret: Secret,
}

/// Recipients that an account may serve; `None`, written as 0: as many as it takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota(pub Option<NonZeroU64>);

/// The services of SPEC 5, in their order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProviderKind {
    Resend,
    SendGrid,
    Ses,
    Mailgun,
    Postmark,
    Brevo,
    Smtp,
    Webhook,
    Capture,
}

/// The keys of a provider's table that not every kind has a use for.
const SPECIFIC: [&str; 16] = [
    "api_key",
    "base_url",
    "rate",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "domain",
    "preset",
    "host",
    "port",
    "username",
    "password",
    "tls",
    "url",
    "secret",
];

impl ProviderKind {
    /// All kinds, in the order of preference.
    pub const ALL: [Self; 9] = [
        Self::Resend,
        Self::SendGrid,
        Self::Ses,
        Self::Mailgun,
        Self::Postmark,
        Self::Brevo,
        Self::Smtp,
        Self::Webhook,
        Self::Capture,
    ];

    /// The name that `type` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::SendGrid => "sendgrid",
            Self::Ses => "ses",
            Self::Mailgun => "mailgun",
            Self::Postmark => "postmark",
            Self::Brevo => "brevo",
            Self::Smtp => "smtp",
            Self::Webhook => "webhook",
            Self::Capture => "capture",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether this kind has a use for a key of a provider's table.
    pub(super) fn uses(self, key: &str) -> bool {
        let own: &[&str] = match self {
            Self::Resend | Self::SendGrid | Self::Postmark | Self::Brevo => {
                &["api_key", "base_url", "rate"]
            }
            Self::Ses => &[
                "base_url",
                "rate",
                "region",
                "access_key_id",
                "secret_access_key",
                "session_token",
            ],
            Self::Mailgun => &["api_key", "base_url", "rate", "region", "domain"],
            Self::Smtp => {
                &["rate", "region", "preset", "host", "port", "username", "password", "tls"]
            }
            Self::Webhook => &["rate", "url", "secret"],
            Self::Capture => &[],
        };
        own.contains(&key) || !SPECIFIC.contains(&key)
    }

    /// The keys of a provider's table that this kind has no use for.
    pub(super) fn useless_keys(self) -> impl Iterator<Item = &'static str> {
        SPECIFIC.into_iter().filter(move |key| !self.uses(key))
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
