//! Email services: how each is asked, and what its answers mean.
//!
//! A provider makes one attempt and judges the answer. Waiting, trying again, failing over and pausing are
//! `delivery`'s alone.

mod answer;
mod api;
mod batch;
mod brevo;
mod capabilities;
mod capture;
mod contract;
mod encoded;
mod endpoint;
mod exchange;
mod fields;
mod filename;
mod files;
mod form;
mod heard;
mod hook;
mod key;
mod mailgun;
mod multipart;
mod people;
mod postmark;
mod refusal;
mod resend;
mod resolve;
mod sendgrid;
mod ses;
mod shown;
mod smarthost;
mod webhook;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod fake;
#[cfg(test)]
mod samples;

pub use answer::{LeftOut, Receipt, SendError, Verdict};
pub use capabilities::{Batch, Capabilities, Form, Idempotency, MessageIdFate, QuotaDay, Rate};
pub use contract::{Call, IdempotencyKey, Letter, Provider, Unfit};
pub use endpoint::BuildError;
pub use exchange::{ClientError, HttpClient};
pub use heard::Heard;
pub use hook::{Hook, InvalidHook, NotPosted};
pub use shown::{Shown, Varies};

use std::sync::{Arc, Mutex};

use self::api::{Api, HttpProvider};
use self::brevo::Brevo;
use self::capture::Capture;
use self::mailgun::Mailgun;
use self::postmark::Postmark;
use self::resend::Resend;
use self::sendgrid::SendGrid;
use self::ses::Ses;
use self::smarthost::Smarthost;
use self::webhook::Webhook;
use crate::clock::SharedClock;
use crate::config::{ProviderConfig, ProviderKind};

/// A provider under its configured name.
pub type NamedProvider = (String, Arc<dyn Provider>);

/// Sets up a configured account. Nothing is asked of the service yet.
pub fn build(
    config: &ProviderConfig,
    client: &HttpClient,
    clock: SharedClock,
) -> Result<Arc<dyn Provider>, BuildError> {
    Ok(match config.kind {
        ProviderKind::Resend => over_http(Resend::new(config)?, config, client, clock),
        ProviderKind::SendGrid => over_http(SendGrid::new(config)?, config, client, clock),
        ProviderKind::Ses => over_http(Ses::new(config)?, config, client, clock),
        ProviderKind::Postmark => over_http(Postmark::new(config)?, config, client, clock),
        ProviderKind::Mailgun => over_http(Mailgun::new(config)?, config, client, clock),
        ProviderKind::Brevo => over_http(Brevo::new(config)?, config, client, clock),
        ProviderKind::Webhook => {
            over_http(Webhook::new(config, Arc::clone(&clock))?, config, client, clock)
        }
        ProviderKind::Smtp => Arc::new(Smarthost::new(config)?),
        ProviderKind::Capture => Arc::new(Capture::new()),
    })
}

fn over_http(
    api: impl Api,
    config: &ProviderConfig,
    client: &HttpClient,
    clock: SharedClock,
) -> Arc<dyn Provider> {
    Arc::new(HttpProvider {
        api,
        client: client.clone(),
        clock,
        timeout: config.timeout,
        heard: Mutex::default(),
    })
}
