//! The store that the configuration names, and the clock that everybody goes by who uses it.

use std::pin::Pin;
use std::sync::Arc;

use crate::clock::{SharedClock, SystemClock};
#[cfg(feature = "postgres")]
use crate::config::DatabaseUrl;
use crate::config::{QueueConfig, QueueUrl};
use crate::queue::moving::Movable;
use crate::queue::{Finding, MemoryStore, SqliteMover, SqliteStore, Store, StoreError};
#[cfg(feature = "postgres")]
use crate::queue::{PostgresMover, PostgresSettings, PostgresStore};

/// What a daemon works on.
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    /// Instances on one database go by its time.
    pub(super) clock: SharedClock,
    /// As it is called in `/health`.
    pub(super) backend: &'static str,
    /// Finishes what the store still has to write; to be awaited when nobody uses it any more.
    pub(super) closing: Closing,
}

/// The end of a store.
pub(super) type Closing = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Of one that ends by being dropped.
fn dropped() -> Closing {
    Box::pin(std::future::ready(()))
}

/// Opens it for a daemon.
pub(super) async fn open(config: &QueueConfig, direct: bool) -> Result<Opened, StoreError> {
    let machine: SharedClock = Arc::new(SystemClock);
    if direct {
        // Nothing is stored; the API finds an empty queue.
        let store = Arc::new(MemoryStore::new(config.max_messages));
        return Ok(Opened { store, clock: machine, backend: "none", closing: dropped() });
    }
    match &config.url {
        QueueUrl::Sqlite(path) => {
            let store = Arc::new(SqliteStore::open(path, config.max_messages)?);
            Ok(Opened { store, clock: machine, backend: "sqlite", closing: dropped() })
        }
        #[cfg(feature = "postgres")]
        QueueUrl::Postgres(url) => {
            let store = Arc::new(PostgresStore::open(settings(config, url)).await?);
            let clock = store.clock();
            let last = Arc::clone(&store);
            let closing = Box::pin(async move { last.close().await });
            Ok(Opened { store, clock, backend: "postgres", closing })
        }
        #[cfg(not(feature = "postgres"))]
        QueueUrl::Postgres(_) => Err(not_built()),
    }
}

/// A store and its clock.
type Parts = (Arc<dyn Store>, SharedClock);

/// Opens it for a command.
pub(super) async fn attach(config: &QueueConfig) -> Result<Parts, StoreError> {
    match &config.url {
        QueueUrl::Sqlite(path) => Ok((Arc::new(SqliteStore::attach(path)?), Arc::new(SystemClock))),
        #[cfg(feature = "postgres")]
        QueueUrl::Postgres(url) => {
            let store = PostgresStore::attach(settings(config, url)).await?;
            let clock = store.clock();
            Ok((Arc::new(store), clock))
        }
        #[cfg(not(feature = "postgres"))]
        QueueUrl::Postgres(_) => Err(not_built()),
    }
}

/// What is to be said of a store that is not on this machine.
pub(super) async fn inspect(config: &QueueConfig) -> Vec<Finding> {
    match &config.url {
        QueueUrl::Sqlite(_) => Vec::new(),
        #[cfg(feature = "postgres")]
        QueueUrl::Postgres(url) => PostgresStore::inspect(settings(config, url)).await,
        #[cfg(not(feature = "postgres"))]
        QueueUrl::Postgres(_) => vec![Finding::Wrong(not_built().to_string())],
    }
}

/// Opens any store to be moved from or to.
pub(super) async fn movable(
    config: &QueueConfig,
    url: &QueueUrl,
    make: bool,
) -> Result<Box<dyn Movable>, StoreError> {
    match url {
        QueueUrl::Sqlite(path) => Ok(Box::new(SqliteMover::open(path, make)?)),
        #[cfg(feature = "postgres")]
        QueueUrl::Postgres(url) => {
            let mut settings = settings(config, url);
            if settings.url.password.is_empty() {
                settings.url.password = config.password.clone();
            }
            Ok(Box::new(PostgresMover::open(settings).await?))
        }
        #[cfg(not(feature = "postgres"))]
        QueueUrl::Postgres(_) => Err(not_built()),
    }
}

#[cfg(feature = "postgres")]
fn settings(config: &QueueConfig, url: &DatabaseUrl) -> PostgresSettings {
    PostgresSettings {
        url: url.clone(),
        messages_max: config.max_messages,
        takeover_after: config.takeover_after,
        instance: super::instance_name().into(),
    }
}

/// The configuration does not get by with such a URL.
#[cfg(not(feature = "postgres"))]
fn not_built() -> StoreError {
    StoreError::Unavailable("PostgreSQL is not in this build".to_owned())
}
