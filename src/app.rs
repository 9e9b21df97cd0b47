//! Puts the stations together. Only `main` and the command line import this.

mod accounts;

use std::sync::Arc;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use crate::clock::{SharedClock, SystemClock};
use crate::config::{Config, Mode, ProviderConfig, QueueUrl};
use crate::delivery::{
    AccountSettings, Backoff, Cause, Delivery, NotSent, RetryRules, Sent, Settings,
};
use crate::http::{self, SmtpStatus};
use crate::message::Draft;
use crate::provider::{self, BuildError, Hook, HttpClient, InvalidHook, NamedProvider, Provider};
use crate::queue::{MemoryStore, Retention, SqliteStore, Store, StoreError};
use crate::seal::SealError;
use crate::shutdown::{self, Signals};
use crate::smtp::tls::{Keeping, Reload, Tls, TlsError, Watch};
use crate::smtp::{BindError, Inherited, Listener, MemoryBudget};
use crate::systemd::{self, SocketError};

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

/// Runs the daemon until SIGTERM or SIGINT. Sockets that were handed over come in place of the configured addresses.
pub async fn serve(config: Config, handed: Handed) -> Result<(), AppError> {
    run(config, handed, Signals::install().map_err(AppError::Signals)?).await
}

/// Runs the daemon that catches all mail; what makes it so is in the configuration that `dev` loads.
///
/// It ends with its terminal: forgotten in the background it would hold the ports and what it has caught.
pub async fn dev(config: Config, handed: Handed) -> Result<(), AppError> {
    let signals = Signals::install().map_err(AppError::Signals)?.ending_with_the_terminal();
    run(config, handed, signals).await
}

async fn run(config: Config, handed: Handed, mut signals: Signals) -> Result<(), AppError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let started = clock.now();

    let direct = config.delivery.mode == Mode::Direct;
    let (store, backend) = open_store(&config, direct)?;
    let recorded = (!direct).then(|| Arc::clone(&store));
    let client = HttpClient::new().map_err(BuildError::from)?;
    let brought = accounts::settings(&config, &client, &clock)?;
    let delivery = build_delivery(&config, &client, recorded, Some(brought), &clock)?;

    let (acceptor, certificate) = match set_up_tls(&config, &clock)? {
        Some(Tls { acceptor, watch }) => (Some(acceptor), watch),
        None => (None, None),
    };
    let handed = handed.sort(&config.smtp.listen_tls, config.http.listen)?;
    let inherited = Inherited { plain: handed.smtp, tls: handed.smtps };
    let listener = Listener::open(&config.smtp, hostname(&config), acceptor, inherited)?;
    let server = http::bind(&config.http, handed.http)
        .await
        .map_err(|source| AppError::Listen { key: "http.listen", source })?;
    for (protocol, address) in listener.protocols() {
        tracing::info!(protocol, %address, "listening");
    }
    tracing::info!(protocol = "http", address = %server.address(), "listening");

    let state = http::Side {
        store: Arc::clone(&store),
        delivery: Arc::new(delivery.clone()),
        sender: config.sender.clone(),
        smtp: SmtpStatus { listening: listener.addresses(), connections: listener.connections() },
        queue_backend: backend,
        queue_messages_max: config.queue.max_messages,
        recipients_max: config.smtp.max_recipients.get(),
        clock: Arc::clone(&clock),
        started,
    };
    let intake = if direct { delivery.direct() } else { delivery.queue_first() };
    let memory = Arc::new(MemoryBudget::new(session_memory(&config)));
    let retention =
        Retention { records: config.queue.keep_delivered, bodies: config.queue.keep_bodies };

    // Each station has its own token: they stop one after the other, the way a message goes.
    let (stop_smtp, stop_delivery, stop_http) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let mut smtp =
        tokio::spawn(listener.run(intake, delivery.accounts(), memory, stop_smtp.clone()));
    let mut http = tokio::spawn(server.run(state, stop_http.clone()));
    let reload = certificate.as_ref().map(Watch::reload);
    let mut watching = tokio::spawn({
        let stop = stop_smtp.clone();
        async move {
            match certificate {
                Some(watch) => watch.run(stop).await,
                None => stop.cancelled().await,
            }
        }
    });
    let mut keeper = tokio::spawn(retention.keep(store, clock, stop_delivery.clone()));
    let mut sending = tokio::spawn({
        let (delivery, stop) = (delivery.clone(), stop_delivery.clone());
        async move { delivery.run(stop, shutdown::GRACE).await }
    });

    systemd::ready();
    let result = tokio::select! {
        signal = signals.end(|| reload.as_ref().map(Reload::ask).is_some()) => {
            tracing::info!(signal, "stopping: finishing what is under way, keeping the rest");
            Ok(())
        }
        _ = &mut smtp => Err(AppError::Stopped("the SMTP listener")),
        _ = &mut http => Err(AppError::Stopped("the HTTP server")),
        // These end by themselves only by a panic. To accept mail that nobody delivers would be worse than to end.
        _ = &mut sending => Err(AppError::Stopped("the delivery")),
        _ = &mut keeper => Err(AppError::Stopped("the retention of the queue")),
        _ = &mut watching => Err(AppError::Stopped("the watch over the TLS certificate")),
    };

    systemd::stopping();
    stop_smtp.cancel();
    if !smtp.is_finished() && tokio::time::timeout(shutdown::GRACE, smtp).await.is_err() {
        tracing::warn!("some SMTP sessions did not end in time; what had no 250 was not accepted");
    }
    stop_delivery.cancel();
    for station in [sending, keeper] {
        if !station.is_finished() {
            let _ = station.await;
        }
    }
    stop_http.cancel();
    if !http.is_finished() {
        let _ = tokio::time::timeout(shutdown::GRACE, http).await;
    }
    tracing::info!("stopped");
    result
}

/// Sends one message through the configured route, or by one provider of it, without a queue.
pub async fn send(config: Config, draft: Draft, provider: Option<&str>) -> Result<Sent, NotSent> {
    let failed =
        |error: String| NotSent { id: None, provider: None, error, cause: Cause::NoProvider };
    let clock: SharedClock = Arc::new(SystemClock);
    let submission = draft.compose(clock.now()).map_err(|error| failed(error.to_string()))?;
    let delivery = HttpClient::new()
        .map_err(|error| BuildError::from(error).into())
        .and_then(|client| build_delivery(&config, &client, None, None, &clock))
        .map_err(|error: AppError| failed(error.to_string()))?;
    delivery.send_now(submission, provider).await
}

/// Opens the queue for a command that stands beside the daemon.
pub fn store(config: &Config) -> Result<Arc<dyn Store>, StoreError> {
    match &config.queue.url {
        QueueUrl::Sqlite(path) => Ok(Arc::new(SqliteStore::attach(path)?)),
    }
}

/// The configured providers by name, in the order of preference.
pub fn providers(config: &Config) -> Result<Vec<NamedProvider>, AppError> {
    let clock: SharedClock = Arc::new(SystemClock);
    let client = HttpClient::new().map_err(BuildError::from)?;
    let built = build_providers(config, &client, &clock)?;
    Ok(built.into_iter().map(|(own, provider)| (own.name, provider)).collect())
}

/// A provider and its settings.
type Built = (ProviderConfig, Arc<dyn Provider>);

/// Builds every configured provider, in the order of the route, then those outside it.
fn build_providers(
    config: &Config,
    client: &HttpClient,
    clock: &SharedClock,
) -> Result<Vec<Built>, AppError> {
    let position = |name: &str| {
        config.delivery.providers.iter().position(|own| own == name).unwrap_or(usize::MAX)
    };
    let mut ordered: Vec<&ProviderConfig> = config.providers.iter().collect();
    ordered.sort_by_key(|provider| position(&provider.name));
    let build = |own: &ProviderConfig| -> Result<_, AppError> {
        Ok((own.clone(), provider::build(own, client, Arc::clone(clock))?))
    };
    ordered.into_iter().map(build).collect()
}

fn build_delivery(
    config: &Config,
    client: &HttpClient,
    store: Option<Arc<dyn Store>>,
    brought: Option<AccountSettings>,
    clock: &SharedClock,
) -> Result<Delivery, AppError> {
    let lanes = build_providers(config, client, clock)?.into_iter().map(|(own, provider)| {
        let in_route = config.delivery.providers.contains(&own.name);
        accounts::lane(own, provider, in_route)
    });
    let settings = Settings {
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
        hook: hook(config, client, clock)?,
        instance: instance_name().into(),
    };
    Ok(Delivery::new(settings, store, Arc::clone(clock), entropy()))
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

fn open_store(config: &Config, direct: bool) -> Result<(Arc<dyn Store>, &'static str), AppError> {
    if direct {
        // Nothing is stored; the API finds an empty queue.
        return Ok((Arc::new(MemoryStore::new(config.queue.max_messages)), "none"));
    }
    match &config.queue.url {
        QueueUrl::Sqlite(path) => {
            let store =
                SqliteStore::open(path, config.queue.max_messages).map_err(AppError::Queue)?;
            Ok((Arc::new(store), "sqlite"))
        }
    }
}

/// The certificate of the SMTP side, if it has one. One of our own making stays beside the queue's file, in direct mode
/// as well: there is no other folder that is ours.
fn set_up_tls(config: &Config, clock: &SharedClock) -> Result<Option<Tls>, TlsError> {
    let QueueUrl::Sqlite(store) = &config.queue.url;
    let keeping = Keeping::beside(store, hostname(config));
    let keeping = if config.smtp.hostname.is_empty() { keeping } else { keeping.chosen() };
    Tls::set_up(&config.smtp.tls, &keeping, clock)
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

#[expect(clippy::disallowed_methods, reason = "the one place where chance comes in")]
fn entropy() -> Rng {
    Rng::new()
}
