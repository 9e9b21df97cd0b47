//! Connections to the database.

use std::future::poll_fn;
use std::sync::Arc;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use super::PostgresSettings;
use super::fault::unavailable;
use crate::clock::{SharedClock, SystemClock};
use crate::config::DatabasePlace;
use crate::queue::StoreError;

/// Connections for reading, and for short changes.
const POOL_MAX: usize = 6;
/// What was told and has not been looked at.
const HEARD_MAX: usize = 4_096;

/// What a connection of its own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Makes or changes the schema.
    Schema,
    /// Keeps what was accepted.
    Inserts,
    /// Notes what is begun, and what came of it.
    Settlements,
    /// Hands out what is due.
    Claims,
    /// Says that this instance lives, and hears what the others tell.
    Listener,
}

impl Role {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Inserts => "inserts",
            Self::Settlements => "settlements",
            Self::Claims => "claims",
            Self::Listener => "listener",
        }
    }
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connections {
    config: Config,
    pool: Pool,
}

impl std::fmt::Debug for Connections {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connections").finish_non_exhaustive()
    }
}

impl Connections {
    /// Connects to nothing yet.
    pub(super) fn new(settings: &PostgresSettings) -> Result<Self, StoreError> {
        let url = &settings.url;
        let mut config = Config::new();
        config.application_name(url.application_name.as_str()).connect_timeout(url.connect_timeout);
        for host in &url.hosts {
            match &host.place {
                DatabasePlace::Socket(folder) => config.host_path(folder),
                DatabasePlace::Network { name, .. } => config.host(name.as_str()),
            };
            config.port(host.port);
        }
        if let Some(user) = &url.user {
            config.user(user.as_str());
        }
        if !url.password.is_empty() {
            config.password(url.password.expose());
        }
        if let Some(database) = &url.database {
            config.dbname(database.as_str());
        }
        let manager = Manager::from_config(
            config.clone(),
            NoTls,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let pool = Pool::builder(manager)
            .max_size(POOL_MAX)
            .build()
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Self { config, pool })
    }

    /// One of the pool, for a query or a transaction.
    pub(super) async fn get(&self) -> Result<Object, StoreError> {
        self.pool.get().await.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// One of its own, for somebody who keeps it.
    pub(super) async fn alone(&self, role: Role) -> Result<Client, StoreError> {
        let (client, connection) =
            self.named(role).connect(NoTls).await.map_err(|error| unavailable(&error))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// How it is called in the database's lists.
    fn named(&self, role: Role) -> Config {
        let mut config = self.config.clone();
        let name = format!("{} {}", config.get_application_name().unwrap_or_default(), role.name());
        config.application_name(name);
        config
    }

    /// One of its own that hears what is told by NOTIFY, until it ends.
    pub(super) async fn listening(
        &self,
        role: Role,
    ) -> Result<(Client, mpsc::Receiver<String>), StoreError> {
        let (client, mut connection) =
            self.named(role).connect(NoTls).await.map_err(|error| unavailable(&error))?;
        let (hands_on, heard) = mpsc::channel(HEARD_MAX);
        tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|task| connection.poll_message(task)).await {
                if let AsyncMessage::Notification(notification) = message
                    && hands_on.try_send(notification.payload().to_owned()).is_err()
                {
                    // Nobody hears it: whoever comes back looks at everything again.
                    return;
                }
            }
        });
        Ok((client, heard))
    }

    /// The database's time.
    pub(super) fn clock(&self) -> SharedClock {
        Arc::new(SystemClock)
    }
}
