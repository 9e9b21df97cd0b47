//! `[providers.NAME]`: the accounts at email services.

use std::fmt;
use std::num::NonZeroUsize;
use std::time::Duration;

use url::Url;

use super::units::RateLimit;
use crate::secret::Secret;

/// One configured account.
#[derive(Clone, Debug)]
pub struct ProviderConfig {
    /// The table's name; the name in routes, logs, metrics and the API.
    pub name: String,
    /// Which service.
    pub kind: ProviderKind,
    /// The API key; unused by SES and capture.
    pub api_key: Secret,
    /// Instead of the service's own address.
    pub base_url: Option<Url>,
    /// Instead of the service's published limit.
    pub rate: Option<RateLimit>,
    /// Calls in flight.
    pub concurrency: NonZeroUsize,
    /// For one call, from connecting to the last byte of the answer.
    pub timeout: Duration,
    /// SES: region and credentials.
    pub region: Option<String>,
    pub access_key_id: Option<String>,
    pub secret_access_key: Secret,
    pub session_token: Secret,
}

/// The services of SPEC 5, in their order of preference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProviderKind {
    Resend,
    SendGrid,
    Ses,
    Postmark,
    Capture,
}

impl ProviderKind {
    /// All kinds, in the order of preference.
    pub const ALL: [Self; 5] =
        [Self::Resend, Self::SendGrid, Self::Ses, Self::Postmark, Self::Capture];

    /// The name that `type` takes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Resend => "resend",
            Self::SendGrid => "sendgrid",
            Self::Ses => "ses",
            Self::Postmark => "postmark",
            Self::Capture => "capture",
        }
    }

    /// The kind of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// The keys of a provider's table that this kind has no use for.
    pub(super) fn useless_keys(self) -> &'static [&'static str] {
        const SES: [&str; 4] = ["region", "access_key_id", "secret_access_key", "session_token"];
        const OTHERS_OF_CAPTURE: [&str; 7] = [
            "api_key",
            "base_url",
            "rate",
            "region",
            "access_key_id",
            "secret_access_key",
            "session_token",
        ];
        match self {
            Self::Resend | Self::SendGrid | Self::Postmark => &SES,
            Self::Ses => &["api_key"],
            Self::Capture => &OTHERS_OF_CAPTURE,
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
