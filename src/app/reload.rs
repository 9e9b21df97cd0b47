//! SIGHUP: the configuration is read again and takes the place of the one that holds, as a whole or not at all.
//!
//! Everything that can fail comes first (`prepare`); what follows (`apply`) only puts in place what has been made.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::certificate::Certificate;
use super::serve::{catches_only, retention};
use super::{
    AppError, Built, accounts, away, build_providers, hook, hostname, session_memory, settings,
};
use crate::clock::SharedClock;
use crate::config::{Changes, Config, LoadOptions, Loaded, Names, restart_needed};
use crate::delivery::{Delivery, Settings};
use crate::http;
use crate::provider::HttpClient;
use crate::queue::Retention;
use crate::seal::SealKey;
use crate::smtp::{self, MemoryBudget};
use crate::systemd;
use crate::telemetry::LogControl;

/// The parts of a running daemon that follow the configuration.
#[derive(Debug)]
pub(super) struct Reloader {
    /// Where the configuration is from.
    pub(super) options: LoadOptions,
    /// What was read at the start: a part of it holds to the end.
    pub(super) started: Loaded,
    /// What holds now.
    pub(super) running: Loaded,
    pub(super) providers: Vec<Built>,
    pub(super) certificate: Certificate,
    pub(super) client: HttpClient,
    pub(super) seal: Arc<SealKey>,
    pub(super) clock: SharedClock,
    pub(super) delivery: Delivery,
    pub(super) smtp: smtp::Control,
    pub(super) http: http::Control,
    pub(super) retain: watch::Sender<Retention>,
    pub(super) log: LogControl,
}

/// A configuration that can be put in place without anything that could fail.
struct Prepared {
    loaded: Loaded,
    providers: Vec<Built>,
    settings: Settings,
    rules: smtp::Rules,
    /// Where it is another one.
    certificate: Option<Certificate>,
    /// Keys that have changed, and cannot change while this runs.
    put_off: Vec<&'static str>,
}

/// Why the configuration stays as it is: a line for each fault.
struct Refused {
    faults: Vec<String>,
    warnings: Vec<String>,
}

impl From<AppError> for Refused {
    fn from(error: AppError) -> Self {
        Self { faults: vec![error.to_string()], warnings: Vec::new() }
    }
}

impl Reloader {
    /// Reads the configuration again whenever somebody asks, and has the certificate looked after, until `stop`. Returns
    /// earlier only by a fault of the program.
    pub(super) async fn run(mut self, asked: Arc<Notify>, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = asked.notified() => self.reload().await,
                () = self.certificate.abandoned() => return,
            }
        }
    }

    async fn reload(&mut self) {
        systemd::reloading();
        match self.prepare().await {
            Ok(prepared) => self.apply(prepared),
            Err(Refused { faults, warnings }) => {
                warnings.iter().for_each(|warning| tracing::warn!("configuration: {warning}"));
                for fault in &faults {
                    let fault = fault.split_whitespace().collect::<Vec<_>>().join(" ");
                    tracing::error!("configuration: {fault}");
                }
                tracing::error!(
                    faults = faults.len(),
                    "the configuration was not reloaded: mend it and send SIGHUP again; the one before stays in force"
                );
            }
        }
        systemd::ready();
    }

    async fn prepare(&self) -> Result<Prepared, Refused> {
        let options = self.options.clone();
        let read = away(move || Config::load(&options)).await;
        let mut loaded = read.map_err(|errors| Refused {
            faults: errors.errors.iter().map(ToString::to_string).collect(),
            warnings: errors.warnings,
        })?;
        // What is asked for must be possible, also where it is put off until the next start.
        let implicit = !loaded.config.smtp.listen_tls.is_empty();
        let started = (&self.started.config, self.started.effective.as_slice());
        let put_off = restart_needed(started, (&loaded.config, &loaded.effective));
        loaded.config = loaded.config.on_top_of(&self.started.config);
        let config = &loaded.config;

        let brought =
            accounts::settings(config, Arc::clone(&self.seal), &self.client, &self.clock)?;
        let providers = build_providers(config, &self.client, &self.clock, &self.providers)?;
        let hook = hook(config, &self.client, &self.clock).map_err(AppError::from)?;
        let settings = Settings { hook, ..settings(config, &providers, Some(brought))? };
        let certificate =
            self.certificate.for_change(config, &self.clock).await.map_err(AppError::from)?;
        let acceptor = certificate.as_ref().unwrap_or(&self.certificate).acceptor();
        let rules = smtp::Rules::new(&config.smtp, hostname(config), acceptor, implicit)
            .map_err(AppError::from)?;
        Ok(Prepared { providers, settings, rules, certificate, put_off, loaded })
    }

    fn apply(&mut self, prepared: Prepared) {
        let Prepared { loaded, providers, settings, rules, certificate, put_off } = prepared;
        let config = &loaded.config;
        if let Err(error) = self.log.set_level(&config.log.level) {
            // It was read as a filter when the configuration was loaded.
            tracing::warn!(%error, "log.level stays as it was");
        }
        // Delivery first: a message of a new user must find the user's route.
        self.delivery.reload(settings);
        let memory = session_memory(config);
        let more = (memory != session_memory(&self.running.config))
            .then(|| Arc::new(MemoryBudget::new(memory)));
        self.smtp.change(rules, self.delivery.accounts(), more);
        let recipients_max = config.smtp.max_recipients.get();
        let bytes_max = config.smtp.max_message_size.0;
        let (http, sender, catching) = (&config.http, config.sender.clone(), catches_only(config));
        self.http.change(http, sender, recipients_max, bytes_max, catching);
        self.retain.send_replace(retention(config));
        self.providers = providers;
        match certificate {
            Some(mut certificate) => {
                certificate.watch();
                self.certificate = certificate;
            }
            None => self.certificate.look(),
        }
        self.tell(&loaded, &put_off);
        self.running = loaded;
    }

    /// Logs what has changed, and what has not although it should.
    fn tell(&self, loaded: &Loaded, put_off: &[&'static str]) {
        for warning in &loaded.warnings {
            tracing::warn!("configuration: {warning}");
        }
        for key in put_off {
            tracing::warn!(
                key,
                "the configuration has another {key}, which takes effect after a restart"
            );
        }
        let before = (&self.running.config, self.running.effective.as_slice());
        let changes = Changes::between(before, (&loaded.config, &loaded.effective));
        let file = loaded.file.as_ref().map(|file| file.display().to_string());
        let file = file.as_deref();
        if changes.is_empty() {
            tracing::info!(file, "configuration reloaded: nothing has changed");
            return;
        }
        let Changes { providers, routes, users, settings } = &changes;
        let words = |names: &Names| Some(names.to_string()).filter(|words| !words.is_empty());
        let settings = Some(settings.join(", ")).filter(|keys| !keys.is_empty());
        tracing::info!(
            file,
            providers = words(providers).as_deref(),
            routes = words(routes).as_deref(),
            users = words(users).as_deref(),
            settings = settings.as_deref(),
            "configuration reloaded"
        );
    }
}
