//! The daemon: opens what it needs, runs the stations, and stops them one after the other.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::certificate::Certificate;
use super::reload::Reloader;
use super::{
    AppError, Handed, accounts, build_providers, hook, hostname, new_delivery, session_memory,
    settings, store,
};
use crate::config::{Config, LoadOptions, Loaded, Mode, ProviderConfig, ProviderKind};
use crate::delivery::Settings;
use crate::http::{self, SmtpStatus};
use crate::provider::{BuildError, HttpClient};
use crate::queue::{Feed, Retention, Store, Watched};
use crate::shutdown::{self, Event, Signals};
use crate::smtp::{Inherited, Listener, MemoryBudget};
use crate::systemd;
use crate::telemetry::LogControl;

/// What a daemon starts with.
#[derive(Debug)]
pub struct Start {
    /// The configuration.
    pub loaded: Loaded,
    /// Where it is from: SIGHUP has it read again.
    pub options: LoadOptions,
    /// Sockets that were handed over; they come in place of the configured addresses.
    pub handed: Handed,
    /// The running log.
    pub log: LogControl,
}

/// Runs the daemon until SIGTERM or SIGINT.
pub async fn serve(start: Start) -> Result<(), AppError> {
    run(start, Signals::install().map_err(AppError::Signals)?).await
}

/// Runs the daemon that catches all mail; what makes it so is in the configuration that `dev` loads.
///
/// It ends with its terminal: forgotten in the background it would hold the ports and what it has caught.
pub async fn dev(start: Start) -> Result<(), AppError> {
    let signals = Signals::install().map_err(AppError::Signals)?.ending_with_the_terminal();
    run(start, signals).await
}

/// How long messages stay after their end.
pub(super) fn retention(config: &Config) -> Retention {
    Retention { records: config.queue.keep_delivered, bodies: config.queue.keep_bodies }
}

/// Whether all providers only keep the mail here.
pub(super) fn catches_only(config: &Config) -> bool {
    let catches = |it: &ProviderConfig| it.kind == ProviderKind::Capture;
    !config.providers.is_empty() && config.providers.iter().all(catches)
}

async fn run(start: Start, mut signals: Signals) -> Result<(), AppError> {
    let Start { loaded, options, handed, log } = start;
    let config = &loaded.config;
    let direct = config.delivery.mode == Mode::Direct;
    let store::Opened { store, clock, backend, closing } =
        store::open(&config.queue, direct).await.map_err(AppError::Queue)?;
    let started = clock.now();
    let feed = Feed::default();
    let store: Arc<dyn Store> = Arc::new(Watched::new(store, feed.clone()));
    let recorded = (!direct).then(|| Arc::clone(&store));
    let client = HttpClient::new().map_err(BuildError::from)?;
    let seal = accounts::seal(config);
    let brought = accounts::settings(config, Arc::clone(&seal), &client, &clock)?;
    let providers = build_providers(config, &client, &clock, &[])?;
    let hook = hook(config, &client, &clock)?;
    let settings = Settings { hook, ..settings(config, &providers, Some(brought))? };
    let delivery = new_delivery(settings, recorded, &clock);
    if direct {
        delivery.suppress_by(Arc::clone(&store));
    }

    let mut certificate = Certificate::set_up(config, &clock).await?;
    let handed = handed.sort(&config.smtp.listen_tls, config.http.listen)?;
    let inherited = Inherited { plain: handed.smtp, tls: handed.smtps };
    let acceptor = certificate.acceptor();
    let listener = Listener::open(&config.smtp, hostname(config), acceptor, inherited)?
        .counting(delivery.metrics().arrivals());
    let server = http::bind(&config.http, handed.http)
        .await
        .map_err(|source| AppError::Listen { key: "http.listen", source })?;
    for (protocol, address) in listener.protocols() {
        tracing::info!(protocol, %address, "listening");
    }
    tracing::info!(protocol = "http", address = %server.address(), "listening");

    let (feed_of_others, followed) = (feed.clone(), Arc::clone(&store));
    let side = http::Side {
        store: Arc::clone(&store),
        feed,
        delivery: Arc::new(delivery.clone()),
        sender: config.sender.clone(),
        smtp: SmtpStatus { listening: listener.addresses(), connections: listener.connections() },
        queue_backend: backend,
        catching: catches_only(config),
        queue_messages_max: config.queue.max_messages,
        recipients_max: config.smtp.max_recipients.get(),
        message_bytes_max: config.smtp.max_message_size.0,
        clock: Arc::clone(&clock),
        started,
    };
    let intake = if direct { delivery.direct() } else { delivery.queue_first() };
    let memory = Arc::new(MemoryBudget::new(session_memory(config)));
    let (retain, retained) = watch::channel(retention(config));

    // Each station has its own token: they stop one after the other, the way a message goes.
    let (stop_smtp, stop_delivery, stop_http) =
        (CancellationToken::new(), CancellationToken::new(), CancellationToken::new());
    let stop_counting = CancellationToken::new();
    let (smtp_control, smtp) =
        listener.start(intake, delivery.accounts(), memory, stop_smtp.clone());
    let mut smtp = tokio::spawn(smtp);
    let (http_control, http) = server.start(side, stop_http.clone());
    let mut http = tokio::spawn(http);
    let counting = tokio::spawn({
        let (delivery, store, stop) = (delivery.clone(), Arc::clone(&store), stop_counting.clone());
        async move { delivery.keep_statistics(store, stop).await }
    });
    let keeping = Retention::keep(retained, store, Arc::clone(&clock), stop_delivery.clone());
    let mut keeper = tokio::spawn(keeping);
    // A panic in it costs the live page what the other instances do, and no mail.
    tokio::spawn(feed_of_others.follow(followed, stop_http.clone()));
    let mut sending = tokio::spawn({
        let (delivery, stop) = (delivery.clone(), stop_delivery.clone());
        async move { delivery.run(stop, shutdown::GRACE).await }
    });
    certificate.watch();
    let reloader = Reloader {
        started: loaded.clone(),
        running: loaded,
        options,
        providers,
        certificate,
        client,
        seal,
        clock,
        delivery,
        smtp: smtp_control,
        http: http_control,
        retain,
        log,
    };
    // A signal that comes while a change is under way is kept; several are one.
    let asked = Arc::new(Notify::new());
    let mut reloading = tokio::spawn(reloader.run(Arc::clone(&asked), stop_smtp.clone()));

    systemd::ready();
    let result = loop {
        tokio::select! {
            event = signals.next() => match event {
                Event::Reload => asked.notify_one(),
                Event::End(signal) => {
                    tracing::info!(signal, "stopping: finishing what is under way, keeping the rest");
                    break Ok(());
                }
            },
            _ = &mut smtp => break Err(AppError::Stopped("the SMTP listener")),
            _ = &mut http => break Err(AppError::Stopped("the HTTP server")),
            // These end by themselves only by a panic. To accept mail that nobody delivers would be worse than to end.
            _ = &mut sending => break Err(AppError::Stopped("the delivery")),
            _ = &mut keeper => break Err(AppError::Stopped("the retention of the queue")),
            _ = &mut reloading => {
                break Err(AppError::Stopped("the watch over configuration and TLS certificate"));
            }
        }
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
    // After the last delivery, which counts as well. A panic in it costs counters, and no mail.
    stop_counting.cancel();
    let _ = counting.await;
    stop_http.cancel();
    if !http.is_finished() {
        let _ = tokio::time::timeout(shutdown::GRACE, http).await;
    }
    closing.await;
    tracing::info!("stopped");
    result
}
