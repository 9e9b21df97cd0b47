//! `[delivery]`: how messages leave.

use std::num::NonZeroUsize;
use std::time::Duration;

use url::Url;

use super::destinations::webhook_problem;
use super::reader::Reader;
use super::value::choice;
use crate::secret::Secret;
use crate::signature::Signer;

/// How messages are delivered.
#[derive(Clone, Debug)]
pub struct DeliveryConfig {
    /// Queue first, or wait for the provider.
    pub mode: Mode,
    /// Provider names in order of preference. Every one is in [`super::Config::providers`]. Never empty where the
    /// configuration was loaded to deliver, unless clients bring their accounts (`smtp.auth = "provider"`).
    pub providers: Vec<String>,
    /// The first back-off ceiling.
    pub retry_min: Duration,
    /// The largest back-off ceiling.
    pub retry_max: Duration,
    /// How long a message is tried, from acceptance or from an operator's retry.
    pub give_up_after: Duration,
    /// Most messages in one batch call.
    pub batch_max: NonZeroUsize,
    /// How long a lone message may wait for company.
    pub batch_linger: Duration,
    /// What happens to a message of which a provider could carry a part only.
    pub on_loss: OnLoss,
    /// What happens to a message when nobody knows whether its provider has it.
    pub on_unclear: OnUnclear,
    /// Who is told of failed messages, of providers that are set aside, and of failover.
    pub on_failure_webhook: Option<HookConfig>,
}

/// Where events are posted to.
#[derive(Clone, Debug)]
pub struct HookConfig {
    /// `https://`, or `http://` within a private network.
    pub url: Url,
    /// What posts are signed with.
    pub secret: Secret,
}

/// What happens to a message when the provider whose turn it is would have to leave out or break something that its
/// reader would miss: a grave [`crate::message::Loss`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnLoss {
    /// The next provider of the route gets it; when none can carry it whole, it fails.
    #[default]
    Next,
    /// It fails.
    Refuse,
    /// It is sent as far as it can be carried.
    Send,
}

choice!(OnLoss, "one of next, refuse, send", "next" => Self::Next, "refuse" => Self::Refuse, "send" => Self::Send);

/// What happens to a message after a call whose outcome is not known: the connection was lost before the answer, or the
/// program ended within the call. A provider that recognises a repeat is asked again in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnclear {
    /// It is sent again, if need be by another provider: it may arrive twice, but it arrives.
    #[default]
    Retry,
    /// It is never sent where it could be a second copy: it waits for a provider that recognises the repeat, and else it
    /// fails for an operator to look after.
    Hold,
}

choice!(OnUnclear, "one of retry, hold", "retry" => Self::Retry, "hold" => Self::Hold);

/// When the 250 is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// When the message is on stable storage.
    #[default]
    Queue,
    /// When the provider has said yes; nothing is stored.
    Direct,
}

choice!(Mode, "one of queue, direct", "queue" => Self::Queue, "direct" => Self::Direct);

/// Beyond this a lone message would wait longer than its reader.
const BATCH_LINGER_MAX: Duration = Duration::from_secs(60);
const BATCH_MAX: usize = 1_000;

impl DeliveryConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let config = Self {
            mode: reader.get("delivery.mode"),
            providers: reader.get("delivery.providers"),
            retry_min: reader.get("delivery.retry_min"),
            retry_max: reader.get("delivery.retry_max"),
            give_up_after: reader.get("delivery.give_up_after"),
            batch_max: reader.get("delivery.batch_max"),
            batch_linger: reader.get("delivery.batch_linger"),
            on_loss: reader.get("delivery.on_loss"),
            on_unclear: reader.get("delivery.on_unclear"),
            on_failure_webhook: read_hook(reader),
        };
        if config.mode == Mode::Direct && config.on_unclear == OnUnclear::Hold {
            reader.warn(
                "delivery.on_unclear = \"hold\" has no effect on mail by SMTP in direct mode: after an unclear end the \
                 app is told to try again, and where a repeat is not recognised the message may arrive twice",
            );
        }
        if config.retry_min < Duration::from_millis(100) {
            reader.fault("delivery.retry_min", "must be at least 100ms");
        }
        if config.retry_min > config.retry_max {
            reader.fault("delivery.retry_min", "must not be longer than delivery.retry_max");
        }
        if config.give_up_after < config.retry_min {
            reader.fault("delivery.give_up_after", "must not be shorter than delivery.retry_min");
        }
        if config.batch_max.get() > BATCH_MAX {
            reader.fault("delivery.batch_max", format!("must not be above {BATCH_MAX}"));
        }
        if config.batch_linger > BATCH_LINGER_MAX {
            reader.fault("delivery.batch_linger", "must not be longer than 1m");
        }
        config
    }
}

/// Address and secret, which only make sense together: what is posted is signed.
fn read_hook(reader: &mut Reader) -> Option<HookConfig> {
    const URL: &str = "delivery.on_failure_webhook";
    const SECRET: &str = "delivery.on_failure_webhook_secret";

    let url = reader.get::<Option<Url>>(URL);
    let secret = reader.get::<Secret>(SECRET);
    let Some(url) = url else {
        if !secret.is_empty() && !reader.has_fault(URL) {
            reader.fault(SECRET, format!("is of no use without {URL}"));
        }
        return None;
    };
    if let Some(problem) = webhook_problem(&url) {
        reader.fault(URL, problem);
    }
    if secret.is_empty() {
        reader.fault_in(
            URL,
            SECRET,
            "is not set, and posts are signed, so that the receiver knows who sends them: \
             `openssl rand -base64 32` makes one, which the receiver needs as well",
        );
    } else if let Err(problem) = Signer::new(&secret) {
        reader.fault(SECRET, problem.to_string());
    }
    Some(HookConfig { url, secret })
}
