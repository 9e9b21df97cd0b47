//! The store in a PostgreSQL database, which several instances share.
//!
//! What changes with every message goes through three [`writer`]s, each with a [`line`] and a connection of its own:
//! [`insert`], [`work`] (what is begun and settled) and [`claim`]. Everything else is done on connections of a pool.

mod begin;
mod change;
mod claim;
mod clock;
mod connect;
mod counted;
mod due;
mod fault;
mod insert;
mod inspect;
mod line;
mod list;
mod migrate;
mod moving;
mod notify;
mod once;
mod operator;
mod paces;
mod presence;
mod read;
mod rows;
mod search;
mod served;
mod settings;
mod settle;
mod shared;
mod shelf;
mod standings;
mod suppressed;
mod survey;
mod sweep;
mod tally;
#[cfg(test)]
mod tests;
mod tls;
mod walk;
mod words;
mod work;
mod writer;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::claim::{Claims, Wanted};
use self::connect::{Connections, Role};
use self::counted::Counters;
use self::insert::{Insert, Inserts};
pub use self::moving::PostgresMover;
pub use self::settings::PostgresSettings;
use self::shared::Common;
use self::suppressed::List;
use self::sweep::Sweeper;
use self::work::{Note, Notes};
use self::writer::{Desk, Purpose};
use super::{
    Claim, Counts, Details, Entry, Filter, Finding, Lease, Page, Portion, Retried, Retry,
    Settlement, Shared, Start, Statistics, Store, StoreError, Suppressions, Usage,
};
use crate::clock::{SharedClock, Timestamp};
use crate::message::QueueId;

/// A queue in a PostgreSQL database.
///
/// Dropping it finishes what waits, as long as the runtime lives.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    inserts: Desk<Insert>,
    notes: Desk<Note>,
    claims: Desk<Wanted>,
    common: Common,
    list: List,
    counters: Counters,
    sweeper: Sweeper,
}

impl PostgresStore {
    /// Connects, brings the schema up to date, and begins to live among the other instances.
    pub async fn open(settings: PostgresSettings) -> Result<Self, StoreError> {
        let connections = Connections::new(&settings);
        connections.start().await?;
        // Where the database is away, it says itself what may not be changed when it is back.
        if let Ok(client) = connections.get().await {
            moving::not_moved(&client).await?;
        }
        let store = Self::start(connections, settings, Purpose::Daemon);
        // Where the database is still away, there may be something on it until it was looked at.
        if let Err(error) = store.list.look().await {
            tracing::debug!(%error, "the list of suppressed addresses could not be looked at yet");
        }
        store.list.follow(store.common.listen());
        store.common.start().await;
        Ok(store)
    }

    /// For a command that stands beside the daemons: it takes no part in what they share.
    pub async fn attach(settings: PostgresSettings) -> Result<Self, StoreError> {
        let connections = Connections::new(&settings);
        connections.attach().await?;
        let settings = PostgresSettings { messages_max: u64::MAX, ..settings };
        Ok(Self::start(connections, settings, Purpose::Visitor))
    }

    /// Finishes what waits and takes nothing more. Reading still works.
    pub async fn close(&self) {
        tokio::join!(self.inserts.close(), self.notes.close(), self.claims.close());
    }

    fn start(connections: Connections, settings: PostgresSettings, purpose: Purpose) -> Self {
        let PostgresSettings { messages_max, instance, takeover_after, .. } = settings;
        let common = Common::new(connections.clone(), instance, takeover_after);
        let told = common.clone();
        let inserts = Inserts::new(messages_max, move || told.due());
        let to = &connections;
        Self {
            inserts: Desk::start(to.clone(), Role::Inserts, inserts, purpose),
            notes: Desk::start(to.clone(), Role::Settlements, Notes, purpose),
            claims: Desk::start(to.clone(), Role::Claims, Claims::default(), purpose),
            list: List::new(connections.clone()),
            counters: Counters::new(connections.clone()),
            sweeper: Sweeper::default(),
            connections,
            common,
        }
    }

    /// What an operator should know of the database before mail depends on it. Changes nothing.
    pub async fn inspect(settings: PostgresSettings) -> Vec<Finding> {
        inspect::inspect(settings).await
    }

    /// The database's time.
    pub fn clock(&self) -> SharedClock {
        self.connections.clock()
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn suppressions(&self) -> &dyn Suppressions {
        &self.list
    }

    fn statistics(&self) -> &dyn Statistics {
        &self.counters
    }

    fn shared(&self) -> Option<&dyn Shared> {
        Some(&self.common)
    }

    async fn insert(&self, entry: Entry) -> Result<(), StoreError> {
        self.inserts.ask(|answer| Insert { entry, answer }).await
    }

    async fn claim(
        &self,
        portion: Portion,
        now: Timestamp,
        lease: Lease,
    ) -> Result<Vec<Claim>, StoreError> {
        self.claims.ask(|answer| Wanted::Claim { portion, now, lease, answer }).await
    }

    async fn begin(&self, start: Start) -> Result<(), StoreError> {
        self.notes.ask(|answer| Note::Begin { start, answer }).await
    }

    async fn settle_all(
        &self,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.notes.ask(|answer| Note::Settle { settlements, answer }).await
    }

    async fn next_due(&self, portion: &Portion) -> Result<Option<Timestamp>, StoreError> {
        let portion = portion.clone();
        self.claims.ask(|answer| Wanted::NextDue { portion, answer }).await
    }

    async fn usage(&self, from_hour: i64) -> Result<Vec<Usage>, StoreError> {
        served::since(&self.connections, from_hour).await
    }

    async fn list(&self, filter: Filter) -> Result<Page, StoreError> {
        list::list(&self.connections, &filter).await
    }

    async fn show(&self, id: QueueId) -> Result<Option<Details>, StoreError> {
        read::show(&self.connections, id).await
    }

    async fn content(&self, id: QueueId) -> Result<Option<Bytes>, StoreError> {
        read::content(&self.connections, id).await
    }

    async fn retry(&self, id: QueueId, retry: Retry, now: Timestamp) -> Result<(), StoreError> {
        operator::retry(&self.connections, id, &retry, now).await?;
        self.common.due();
        Ok(())
    }

    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        now: Timestamp,
    ) -> Result<Retried, StoreError> {
        let retried = operator::retry_failed(&self.connections, before, now).await?;
        if retried.retried > 0 {
            self.common.due();
        }
        Ok(retried)
    }

    async fn cancel(&self, id: QueueId, now: Timestamp) -> Result<(), StoreError> {
        operator::cancel(&self.connections, id, now).await
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        tally::counts(&self.connections).await
    }

    async fn sweep(
        &self,
        keep_records: Duration,
        keep_bodies: Duration,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.sweeper.sweep(&self.connections, keep_records, keep_bodies, now).await
    }
}
