//! The store in a PostgreSQL database, which several instances share.

mod connect;
mod counted;
mod fault;
mod list;
mod migrate;
mod moving;
mod operator;
mod paces;
mod read;
mod rows;
mod settings;
mod shared;
mod standings;
mod suppressed;
mod sweep;
mod tally;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::connect::{Connections, Role};
use self::counted::Counters;
pub use self::moving::PostgresMover;
pub use self::settings::PostgresSettings;
use self::shared::Common;
use self::suppressed::List;
use super::{
    Claim, Counts, Details, Entry, Filter, Lease, Page, Portion, Retried, Retry, Settlement,
    Shared, Start, Statistics, Store, StoreError, Suppressions, Usage,
};
use crate::clock::{SharedClock, Timestamp};
use crate::message::QueueId;

/// A queue in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    messages_max: u64,
    common: Common,
    list: List,
    counters: Counters,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date.
    pub async fn open(settings: PostgresSettings) -> Result<Self, StoreError> {
        let connections = Connections::new(&settings)?;
        let mut client = connections.alone(Role::Schema).await?;
        migrate::migrate(&mut client).await?;
        moving::not_moved(&client).await?;
        let common = Common::new(connections.clone());
        Ok(Self {
            list: List::new(connections.clone()),
            counters: Counters::new(connections.clone()),
            connections,
            messages_max: settings.messages_max,
            common,
        })
    }
}

impl PostgresStore {
    /// For a command that stands beside the daemons: it takes no part in what they share.
    pub async fn attach(settings: PostgresSettings) -> Result<Self, StoreError> {
        Self::open(settings).await
    }

    /// The database's time.
    pub fn clock(&self) -> SharedClock {
        self.connections.clock()
    }
}

fn not_yet<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
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

    async fn insert(&self, _entry: Entry) -> Result<(), StoreError> {
        let _ = (&self.connections, self.messages_max);
        self.common.due();
        not_yet()
    }

    async fn claim(
        &self,
        _portion: Portion,
        _now: Timestamp,
        _lease: Lease,
    ) -> Result<Vec<Claim>, StoreError> {
        not_yet()
    }

    async fn begin(&self, _start: Start) -> Result<(), StoreError> {
        not_yet()
    }

    async fn settle_all(
        &self,
        _settlements: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        not_yet()
    }

    async fn next_due(&self, _portion: &Portion) -> Result<Option<Timestamp>, StoreError> {
        not_yet()
    }

    async fn usage(&self, _from_hour: i64) -> Result<Vec<Usage>, StoreError> {
        not_yet()
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
        operator::retry(&self.connections, id, &retry, now).await
    }

    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        now: Timestamp,
    ) -> Result<Retried, StoreError> {
        operator::retry_failed(&self.connections, before, now).await
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
        sweep::sweep(&self.connections, keep_records, keep_bodies, now).await
    }
}
