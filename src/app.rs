//! Puts the stations together. Only `main` and the command line import this.

mod accounts;
mod certificate;
mod reload;
mod serve;
mod store;

use std::sync::Arc;

use fastrand::Rng;

use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, Mode, ProviderConfig, QueueUrl};
use crate::delivery::{
    AccountSettings, Backoff, Cause, Delivery, NotSent, RetryRules, Sent, Settings,
};
use crate::message::Draft;
use crate::provider::{self, BuildError, Hook, HttpClient, InvalidHook, NamedProvider, Provider};
use crate::queue::moving::Movable;
use crate::queue::{Finding, Store, StoreError};
use crate::seal::SealError;
use crate::smtp::BindError;
use crate::smtp::tls::TlsError;
use crate::systemd::SocketError;

pub use self::serve::{Start, dev, serve};
pub use crate::systemd::Handed;

/// Why the daemon did not start, or had to end.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The queue cannot be opened.
    #[error("the queue cannot be opened: {}", bare(.0))]
    Queue(StoreError),
    /// A provider cannot be set up.
    #[error(transparent)]
    Provider(#[from] BuildError),
    /// The address for events cannot be used.
    #[error(transparent)]
    Hook(#[from] InvalidHook),
    /// What locks brought accounts up cannot be used.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// A user's route is none.
    #[error("smtp.users: the route {route:?} of {user:?} is none of [[routes]]")]
    Route { user: String, route: String },
    /// The certificate of the SMTP side cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// A port cannot be opened.
    #[error("{key}: {source}{}", port_advice(source, key))]
    Listen { key: &'static str, source: std::io::Error },
    /// A socket that was handed over cannot be used.
    #[error(transparent)]
    Handed(#[from] SocketError),
    /// The process cannot be set up.
    #[error("cannot take over signals: {0}")]
    Signals(std::io::Error),
    /// A listener, or what works behind it, has ended by itself.
    #[error("{0} has stopped")]
    Stopped(&'static str),
}

impl AppError {
    /// Whether the configuration has to be mended first: the exit code says so, and a supervisor need not try again.
    pub fn is_bad_configuration(&self) -> bool {
        match self {
            Self::Tls(TlsError::Certificate(_)) | Self::Route { .. } | Self::Hook(_) => true,
            Self::Listen { source, .. } => source.kind() == std::io::ErrorKind::InvalidInput,
            Self::Queue(_)
            | Self::Provider(_)
            | Self::Seal(_)
            | Self::Tls(TlsError::SelfSigned(_) | TlsError::Library(_))
            | Self::Handed(_)
            | Self::Signals(_)
            | Self::Stopped(_) => false,
        }
    }
}

impl From<BindError> for AppError {
    fn from(BindError { key, source }: BindError) -> Self {
        Self::Listen { key, source }
    }
}

/// The cause without the words that say once more that the queue cannot be used. It names the file.
fn bare(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(cause) => cause.clone(),
        error => error.to_string(),
    }
}

/// What to do about a port that cannot be opened, where that is known.
fn port_advice(error: &std::io::Error, key: &str) -> String {
    use std::io::ErrorKind;

    match error.kind() {
        ErrorKind::AddrInUse => {
            format!("; stop what listens there (another mailferry?), or set {key} to another port")
        }
        ErrorKind::AddrNotAvailable => {
            format!("; set {key} to an address of this machine, or to 0.0.0.0 for all of them")
        }
        ErrorKind::PermissionDenied => format!(
            "; ports below 1024 need root or the capability CAP_NET_BIND_SERVICE, or set {key} to a higher one"
        ),
        _ => String::new(),
    }
}

/// Content that may be in memory over all SMTP sessions: room for two messages of the largest size at least, in the
/// three quarters of it that are for large ones.
fn session_memory(config: &Config) -> usize {
    const USUAL: u64 = 64 << 20;
    let octets = USUAL.max(config.smtp.max_message_size.0.saturating_mul(3));
    usize::try_from(octets).unwrap_or(usize::MAX)
}

/// Sends one message through the configured route, or by one provider of it, without a queue.
pub async fn send(config: Config, draft: Draft, provider: Option<&str>) -> Result<Sent, NotSent> {
    let failed =
        |error: String| NotSent { id: None, provider: None, error, cause: Cause::NoProvider };
    let clock: SharedClock = Arc::new(SystemClock);
    let submission = draft.compose(clock.now()).map_err(|error| failed(error.to_string()))?;
    let delivery = HttpClient::new()
        .map_err(|error| BuildError::from(error).into())
        .and_then(|client| {
            let built = build_providers(&config, &client, &clock, &[])?;
            Ok(new_delivery(settings(&config, &built, None)?, None, &clock))
        })
        .map_err(|error: AppError| failed(error.to_string()))?;
    delivery.send_now(submission, provider).await
}

/// Opens the queue for a command that stands beside the daemon; with it comes the clock that the queue goes by.
pub async fn store(config: &Config) -> Result<(Arc<dyn Store>, SharedClock), StoreError> {
    store::attach(&config.queue).await
}

/// Asks the queue's database, where there is one, what an operator should know of it.
pub async fn inspect(config: &Config) -> Vec<Finding> {
    match config.delivery.mode {
        Mode::Queue => store::inspect(&config.queue).await,
        Mode::Direct => Vec::new(),
    }
}

/// Opens a queue to be moved. With `make` it may be one that is not there yet.
pub async fn movable(
    config: &Config,
    url: &QueueUrl,
    make: bool,
) -> Result<Box<dyn Movable>, StoreError> {
    store::movable(&config.queue, url, make).await
}

/// The configured providers by name, in the order of preference.
pub fn providers(config: &Config) -> Result<Vec<NamedProvider>, AppError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let client = HttpClient::new().map_err(BuildError::from)?;
    let built = build_providers(config, &client, &clock, &[])?;
    Ok(built.into_iter().map(|(own, provider)| (own.name, provider)).collect())
}

/// A provider and its settings.
type Built = (ProviderConfig, Arc<dyn Provider>);

/// Builds every configured provider, in the order of the route, then those outside it. One of `before` that is still
/// configured as it was is used again, with its connections and what is known of it.
fn build_providers(
    config: &Config,
    client: &HttpClient,
    clock: &SharedClock,
    before: &[Built],
) -> Result<Vec<Built>, AppError> {
    let position = |name: &str| {
        config.delivery.providers.iter().position(|own| own == name).unwrap_or(usize::MAX)
    };
    let mut ordered: Vec<&ProviderConfig> = config.providers.iter().collect();
    ordered.sort_by_key(|provider| position(&provider.name));
    let build = |own: &ProviderConfig| -> Result<_, AppError> {
        let provider = match before.iter().find(|(known, _)| known == own) {
            Some((_, provider)) => Arc::clone(provider),
            None => provider::build(own, client, Arc::clone(clock))?,
        };
        Ok((own.clone(), provider))
    };
    ordered.into_iter().map(build).collect()
}

/// What delivery takes from the configuration.
fn settings(
    config: &Config,
    built: &[Built],
    brought: Option<AccountSettings>,
) -> Result<Settings, AppError> {
    let lanes = built.iter().map(|(own, provider)| {
        let in_route = config.delivery.providers.contains(&own.name);
        accounts::lane(own.clone(), Arc::clone(provider), in_route)
    });
    Ok(Settings {
        lanes: lanes.collect(),
        routes: config.routes.clone(),
        user_routes: accounts::user_routes(config)?,
        accounts: brought,
        rules: RetryRules {
            backoff: Backoff::new(config.delivery.retry_min, config.delivery.retry_max),
            give_up_after: config.delivery.give_up_after,
        },
        sender: config.sender.clone(),
        on_loss: config.delivery.on_loss,
        on_unclear: config.delivery.on_unclear,
        batch_max: config.delivery.batch_max,
        batch_linger: config.delivery.batch_linger,
        log_subject: config.log.subject,
        // Only the daemon lives long enough to tell.
        hook: None,
        instance: instance_name().into(),
    })
}

fn new_delivery(
    settings: Settings,
    store: Option<Arc<dyn Store>>,
    clock: &SharedClock,
) -> Delivery {
    Delivery::new(settings, store, Arc::clone(clock), entropy())
}

/// Where events are posted to.
fn hook(
    config: &Config,
    client: &HttpClient,
    clock: &SharedClock,
) -> Result<Option<Arc<Hook>>, InvalidHook> {
    let hook = config.delivery.on_failure_webhook.as_ref();
    let hook = hook.map(|own| Hook::new(own, client.clone(), Arc::clone(clock))).transpose()?;
    Ok(hook.map(Arc::new))
}

/// The name in the SMTP greeting.
fn hostname(config: &Config) -> String {
    if config.smtp.hostname.is_empty() { machine_name() } else { config.smtp.hostname.clone() }
}

fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "localhost".to_owned(),
        name => name.to_owned(),
    }
}

/// Tells instances apart on their leases, also two on one machine.
fn instance_name() -> String {
    format!("{}/{}", machine_name(), std::process::id())
}

/// Does what blocks (files, key pairs) away from the async threads. A panic in it goes on here.
async fn away<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(gone) => match gone.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and with it whoever waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place where chance comes in")]
fn entropy() -> Rng {
    Rng::new()
}
