//! Connections that wait for the next message.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::dial::Connection;
use super::offer::Offer;

/// How long a connection is kept without work. Servers close idle ones after one to five minutes, and count them.
const IDLE: Duration = Duration::from_secs(30);
/// Transactions on one connection; servers end it after some hundred or more.
const TRANSACTIONS_MAX: u32 = 100;

/// Idle connections, the one used last on top.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Idle>,
    /// As many as calls can be in flight.
    max: usize,
}

#[derive(Debug, Default)]
struct Idle {
    connections: Vec<Connection>,
    /// A task is there that closes what has waited too long.
    swept: bool,
}

impl Pool {
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), max })
    }

    /// The connection that was used last.
    pub(super) fn take(&self) -> Option<Connection> {
        let mut idle = self.lock();
        let connection = idle.connections.pop()?;
        (connection.idle_since.elapsed() < IDLE).then_some(connection)
    }

    /// What the server offered on the connection that was used last, while it is kept.
    pub(super) fn offer(&self) -> Option<Offer> {
        self.lock().connections.last().map(|connection| connection.offer.clone())
    }

    /// Keeps a connection on which a transaction has ended, whatever its outcome.
    pub(super) fn keep(self: &Arc<Self>, mut connection: Connection) {
        connection.idle_since = Instant::now();
        let mut idle = self.lock();
        if connection.transactions >= TRANSACTIONS_MAX || idle.connections.len() >= self.max {
            drop(idle);
            tokio::spawn(connection.quit());
            return;
        }
        idle.connections.push(connection);
        if !idle.swept {
            idle.swept = true;
            tokio::spawn(sweep(Arc::downgrade(self)));
        }
    }

    /// Takes out what has waited too long; says when to look again.
    fn expired(&self) -> (Vec<Connection>, bool) {
        let mut idle = self.lock();
        let connections = std::mem::take(&mut idle.connections);
        let (old, young) = connections.into_iter().partition(|it| it.idle_since.elapsed() >= IDLE);
        idle.connections = young;
        idle.swept = !idle.connections.is_empty();
        (old, idle.swept)
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes idle connections for as long as there are any.
async fn sweep(pool: Weak<Pool>) {
    loop {
        sleep(IDLE / 2).await;
        let Some(pool) = pool.upgrade() else { return };
        let (old, goes_on) = pool.expired();
        drop(pool);
        for connection in old {
            connection.quit().await;
        }
        if !goes_on {
            return;
        }
    }
}
