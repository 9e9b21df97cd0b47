//! Connections to the database.
//!
//! An instance uses [`CONNECTIONS_MAX`] at the most: [`POOL_MAX`] that go from hand to hand, and one for each [`Role`].

mod dial;
mod gate;
mod keeper;
mod line;
mod pool;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use jiff::SignedDuration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_postgres::Client;

use self::dial::{Dialer, Manner};
use self::gate::Gate;
use self::keeper::Heard;
pub(super) use self::pool::Pooled;
use self::pool::{Held, Pool};
use super::clock::{DatabaseClock, Reading};
use super::fault::Fault;
use super::{PostgresSettings, migrate, survey};
use crate::clock::{SharedClock, SystemClock, Timestamp};
use crate::queue::StoreError;

/// Connections for reading, and for short changes.
const POOL_MAX: usize = 6;
/// What a statement on one of them may take.
const POOLED: Manner = Manner { name: "pool", statement: Some(Duration::from_secs(20)) };
/// How long somebody may have one.
const LENT_MAX: Duration = Duration::from_secs(60);
/// How often the database's clock is looked at, and how often each time.
const CLOCK_EVERY: Duration = Duration::from_secs(2);
const CLOCK_SAMPLES: usize = 3;
const CLOCK_TIME: Duration = Duration::from_secs(6);
/// News that nobody has fetched yet.
const HEARD_MAX: usize = 4_096;

/// What a connection of its own is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Makes or changes the schema, at the start.
    Schema,
    /// Keeps what was accepted.
    Inserts,
    /// Notes what is begun, and what came of it.
    Settlements,
    /// Hands out what is due.
    Claims,
    /// Hears what the others tell, and says that this instance lives.
    Listener,
}

/// All roles but that of the start: that one has ended when the others begin.
const LASTING: [Role; 4] = [Role::Inserts, Role::Settlements, Role::Claims, Role::Listener];

/// So many connections at the most has an instance.
pub(super) const CONNECTIONS_MAX: usize = POOL_MAX + LASTING.len();

impl Role {
    pub(super) fn name(self) -> &'static str {
        self.manner().name
    }

    /// Statements are short; what takes longer than this is lost, and done again.
    fn manner(self) -> Manner {
        let (name, seconds) = match self {
            Self::Schema => ("schema", None),
            Self::Inserts => ("inserts", Some(10)),
            Self::Settlements => ("settlements", Some(10)),
            Self::Claims => ("claims", Some(10)),
            Self::Listener => ("listener", Some(5)),
        };
        Manner { name, statement: seconds.map(Duration::from_secs) }
    }
}

/// Makes connections.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dialer: Dialer,
    pool: Arc<Pool>,
    gate: Gate,
    clock: Arc<DatabaseClock>,
    /// Counts how often all connections were given up.
    give_up: watch::Sender<u64>,
    /// Whether the schema is as it must be.
    is_ready: AtomicBool,
}

impl Connections {
    /// Connects to nothing yet.
    pub(super) fn new(settings: &PostgresSettings) -> Self {
        let (give_up, given_up) = watch::channel(0);
        Self(Arc::new(Inner {
            dialer: Dialer::new(settings.url.clone(), given_up),
            pool: Arc::new(Pool::new(POOL_MAX, LENT_MAX)),
            gate: Gate::default(),
            clock: Arc::new(DatabaseClock::new(Arc::new(SystemClock))),
            give_up,
            is_ready: AtomicBool::new(false),
        }))
    }

    /// For a daemon: brings the schema up to date. Where the database cannot be reached, this goes on in the background,
    /// and until then nobody else is let in.
    pub(super) async fn start(&self) -> Result<(), StoreError> {
        match self.set_up().await {
            Ok(()) => {}
            Err(fault) if fault.is_refusal() => return Err(fault.into()),
            Err(fault) => {
                tracing::warn!(
                    reason = fault.text(),
                    "the database cannot be used yet: until it can, clients are told to come again"
                );
                tokio::spawn(come_back(Arc::downgrade(&self.0)));
            }
        }
        tokio::spawn(keep_time(Arc::downgrade(&self.0)));
        Ok(())
    }

    /// For a command: brings the schema up to date, or fails.
    pub(super) async fn attach(&self) -> Result<(), StoreError> {
        self.set_up().await.map_err(StoreError::from)
    }

    /// One of the pool, for a query or a transaction. Fails at once while the database is known to be away.
    pub(super) async fn get(&self) -> Result<Pooled, StoreError> {
        self.pooled().await.map_err(StoreError::from)
    }

    /// One of its own, for somebody who keeps it. Tries once.
    pub(super) async fn alone(&self, role: Role) -> Result<Client, StoreError> {
        Ok(self.lone(role, None).await?)
    }

    /// One of its own that hears what is told by NOTIFY, until it ends.
    pub(super) async fn listening(
        &self,
        role: Role,
    ) -> Result<(Client, mpsc::Receiver<String>), StoreError> {
        let (hands_on, heard) = mpsc::channel(HEARD_MAX);
        Ok((self.lone(role, Some(hands_on)).await?, heard))
    }

    /// The database's time.
    pub(super) fn clock(&self) -> SharedClock {
        Arc::<DatabaseClock>::clone(&self.0.clock)
    }

    /// One of its own for somebody who only looks, whatever the schema is.
    pub(super) async fn visit(&self) -> Result<Client, Fault> {
        self.0.dial(Role::Schema.manner(), None).await
    }

    /// How far the machine's clock is ahead, where the database's was looked at.
    pub(super) fn machine_ahead(&self) -> Option<SignedDuration> {
        self.0.clock.machine_ahead()
    }

    async fn pooled(&self) -> Result<Pooled, Fault> {
        let inner = &self.0;
        if !inner.is_ready.load(Ordering::Acquire) {
            return Err(inner.not_ready());
        }
        // What is there still works, or does not; only a new try would be too early.
        let (place, held) = inner.pool.place().await?;
        let held = match held {
            Some(held) => held,
            None => match inner.gate.closed() {
                Some(fault) => return Err(fault),
                None => inner.held().await?,
            },
        };
        Ok(inner.pool.lend(place, held))
    }

    async fn lone(&self, role: Role, heard: Option<Heard>) -> Result<Client, Fault> {
        if !self.0.is_ready.load(Ordering::Acquire) {
            return Err(self.0.not_ready());
        }
        self.0.dial(role.manner(), heard).await
    }

    async fn set_up(&self) -> Result<(), Fault> {
        self.0.set_up().await?;
        self.measure().await
    }

    /// Looks at the database's clock, and whether it still takes changes.
    async fn measure(&self) -> Result<(), Fault> {
        let client = self.pooled().await?;
        self.look_at_clock(&client).await
    }

    /// The same by this connection.
    pub(super) async fn look_at_clock(&self, client: &Client) -> Result<(), Fault> {
        let sql = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, \
                   current_setting('transaction_read_only') = 'on'";
        let statement = client.prepare(sql).await.map_err(|it| Fault::of(&it))?;
        for _ in 0..CLOCK_SAMPLES {
            let asked = Instant::now();
            let row = client.query_one(&statement, &[]).await.map_err(|it| Fault::of(&it))?;
            let answered = Instant::now();
            if let Ok(shows) = Timestamp::from_microsecond(row.get(0)) {
                self.0.clock.measured(Reading::new(asked, answered, shows));
            }
            if row.get(1) && self.0.dialer.wants_changes() {
                tracing::warn!(
                    "the database takes no changes any more: looking for the one that does"
                );
                self.0.give_up.send_modify(|times| *times += 1);
                return Err(Fault::away("the database takes no changes"));
            }
        }
        Ok(())
    }
}

impl Inner {
    /// A connection, and what came of the try for those who come later.
    async fn dialled(&self, manner: Manner, heard: Option<Heard>) -> Result<dial::Dialled, Fault> {
        match self.dialer.dial(manner, heard).await {
            Ok(dialled) => {
                if self.gate.opened() {
                    tracing::info!("the database can be used again");
                }
                Ok(dialled)
            }
            Err(fault) => {
                if self.gate.failed(&fault, fastrand::f64()) {
                    tracing::warn!(reason = fault.text(), "the database cannot be used");
                }
                Err(fault)
            }
        }
    }

    async fn dial(&self, manner: Manner, heard: Option<Heard>) -> Result<Client, Fault> {
        let dialled = self.dialled(manner, heard).await?;
        tokio::spawn(dialled.running);
        Ok(dialled.client)
    }

    async fn held(&self) -> Result<Held, Fault> {
        let dial::Dialled { client, beat, running } = self.dialled(POOLED, None).await?;
        Ok(Held { client: ClientWrapper::new(client, tokio::spawn(running)), beat })
    }

    fn not_ready(&self) -> Fault {
        self.gate.outage().unwrap_or_else(|| Fault::away("the database is not set up yet"))
    }

    /// Brings the schema up to date; then everybody is let in.
    async fn set_up(&self) -> Result<(), Fault> {
        let mut client = self.dial(Role::Schema.manner(), None).await?;
        if let Err(error) = migrate::migrate(&mut client).await {
            let StoreError::Unavailable(text) = error else {
                return Err(Fault::refused(error.to_string()));
            };
            // Was it the schema, or has the server gone away meanwhile?
            let lives = client.simple_query("").await.is_ok();
            let fault = if lives { Fault::refused(text) } else { Fault::away(text) };
            self.gate.failed(&fault, fastrand::f64());
            return Err(fault);
        }
        survey::warn(&client).await;
        self.is_ready.store(true, Ordering::Release);
        Ok(())
    }
}

/// Tries again until the database is there.
async fn come_back(inner: Weak<Inner>) {
    loop {
        sleep(Duration::from_millis(250)).await;
        let Some(inner) = inner.upgrade() else { return };
        if inner.gate.closed().is_some() {
            continue;
        }
        match inner.set_up().await {
            Ok(()) => return,
            Err(fault) if fault.is_refusal() => {
                tracing::error!(reason = fault.text(), "the database cannot be used");
            }
            Err(_) => {}
        }
    }
}

/// Looks at the database's clock again and again.
async fn keep_time(inner: Weak<Inner>) {
    loop {
        sleep(CLOCK_EVERY).await;
        let Some(inner) = inner.upgrade() else { return };
        let connections = Connections(inner);
        match timeout(CLOCK_TIME, connections.measure()).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                tracing::debug!(reason = fault.text(), "the database's clock cannot be read");
            }
            Err(_) => tracing::debug!("the database's clock does not answer"),
        }
    }
}
