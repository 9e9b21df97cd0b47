//! Connections to the database.

use std::future::poll_fn;
use std::str::FromStr as _;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use tokio::sync::mpsc;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

use super::PostgresSettings;
use super::fault::unavailable;
use crate::queue::StoreError;

/// Connections for reading, and for short changes.
const POOL_MAX: usize = 6;
/// What was told and has not been looked at.
const HEARD_MAX: usize = 4_096;

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
        let mut config = Config::from_str(settings.url.expose())
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        config.application_name("mailferry").connect_timeout(Duration::from_secs(5));
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
    pub(super) async fn alone(&self) -> Result<Client, StoreError> {
        let (client, connection) =
            self.config.connect(NoTls).await.map_err(|error| unavailable(&error))?;
        tokio::spawn(connection);
        Ok(client)
    }

    /// One of its own that hears what is told by NOTIFY, until it ends.
    pub(super) async fn listening(&self) -> Result<(Client, mpsc::Receiver<String>), StoreError> {
        let (client, mut connection) =
            self.config.connect(NoTls).await.map_err(|error| unavailable(&error))?;
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
}
