//! The certificate of the SMTP side over changes of the configuration.

use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{away, hostname};
use crate::clock::SharedClock;
use crate::config::{Config, QueueUrl, TlsConfig};
use crate::smtp::tls::{Acceptor, Keeping, Reload, Tls, TlsError, Watch};

/// What decides which certificate is shown: where its files are, or for which name one is made.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    config: TlsConfig,
    /// Of a certificate of our own making.
    name: Option<String>,
}

impl Source {
    fn of(config: &Config) -> Self {
        // Whether it must be used makes it no other certificate.
        let tls = TlsConfig { required: false, ..config.smtp.tls.clone() };
        let name = tls.self_signed.then(|| hostname(config));
        Self { config: tls, name }
    }
}

/// A certificate in use, if there is one, and the task that renews it.
#[derive(Debug)]
pub(super) struct Certificate {
    source: Source,
    acceptor: Option<Acceptor>,
    /// Asks the watch to look at the files.
    reload: Option<Reload>,
    watch: Option<Watch>,
    watching: Option<(JoinHandle<()>, DropGuard)>,
}

impl Certificate {
    /// Loads or makes it, away from the async threads.
    pub(super) async fn set_up(config: &Config, clock: &SharedClock) -> Result<Self, TlsError> {
        let source = Source::of(config);
        let (own, clock) = (config.clone(), Arc::clone(clock));
        let (acceptor, watch) = match away(move || obtain(&own, &clock)).await? {
            Some(Tls { acceptor, watch }) => (Some(acceptor), watch),
            None => (None, None),
        };
        let reload = watch.as_ref().map(Watch::reload);
        Ok(Self { source, acceptor, reload, watch, watching: None })
    }

    /// That of another configuration; `None` when it is this one.
    pub(super) async fn for_change(
        &self,
        config: &Config,
        clock: &SharedClock,
    ) -> Result<Option<Self>, TlsError> {
        if self.source == Source::of(config) {
            return Ok(None);
        }
        Self::set_up(config, clock).await.map(Some)
    }

    /// What shakes hands by it.
    pub(super) fn acceptor(&self) -> Option<Acceptor> {
        self.acceptor.clone()
    }

    /// Begins to look after its files.
    pub(super) fn watch(&mut self) {
        if let Some(watch) = self.watch.take() {
            let stop = CancellationToken::new();
            let task = tokio::spawn(watch.run(stop.clone()));
            self.watching = Some((task, stop.drop_guard()));
        }
    }

    /// Has the files looked at now; what comes of it is in the log.
    pub(super) fn look(&self) {
        if let Some(reload) = &self.reload {
            reload.ask();
        }
    }

    /// Waits until nobody looks after the files any more although somebody should: by a fault of the program only.
    pub(super) async fn abandoned(&mut self) {
        match &mut self.watching {
            Some((task, _)) => {
                let _ = task.await;
                self.watching = None;
            }
            None => std::future::pending().await,
        }
    }
}

/// One of our own making stays beside the queue's file, in direct mode as well: there is no other folder that is ours.
/// Where the queue is no file, it stays in the working directory.
fn obtain(config: &Config, clock: &SharedClock) -> Result<Option<Tls>, TlsError> {
    let store = match &config.queue.url {
        QueueUrl::Sqlite(store) => store,
        QueueUrl::Postgres(_) => Path::new("mailferry.db"),
    };
    let keeping = Keeping::beside(store, hostname(config));
    let keeping = if config.smtp.hostname.is_empty() { keeping } else { keeping.chosen() };
    Tls::set_up(&config.smtp.tls, &keeping, clock)
}
