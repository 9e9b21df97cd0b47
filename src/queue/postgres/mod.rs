//! The store in a PostgreSQL database, which several instances share.

mod connect;
mod fault;
mod migrate;
mod paces;
mod shared;
mod standings;
#[cfg(test)]
mod tests;

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use self::connect::Connections;
use self::shared::Common;
use super::{
    Claim, Counts, Details, Entry, Filter, Lease, Page, Portion, Retried, Retry, Settlement,
    Shared, Start, Statistics, Store, StoreError, Suppressions, Usage,
};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::secret::Secret;

/// Which database, and how it is used.
#[derive(Clone, Debug)]
pub struct PostgresSettings {
    /// `postgres://...`; it may hold a password.
    pub url: Secret,
    /// At most so many messages may be open at a time.
    pub messages_max: u64,
}

/// A queue in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresStore {
    connections: Connections,
    messages_max: u64,
    common: Common,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date.
    pub async fn open(settings: PostgresSettings) -> Result<Self, StoreError> {
        let connections = Connections::new(&settings)?;
        migrate::migrate(&mut connections.alone().await?).await?;
        let common = Common::new(connections.clone());
        Ok(Self { connections, messages_max: settings.messages_max, common })
    }
}

fn not_yet<T>() -> Result<T, StoreError> {
    Err(StoreError::Unavailable("not written yet".to_owned()))
}

#[async_trait]
impl Store for PostgresStore {
    fn suppressions(&self) -> &dyn Suppressions {
        unreachable!()
    }

    fn statistics(&self) -> &dyn Statistics {
        unreachable!()
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

    async fn list(&self, _filter: Filter) -> Result<Page, StoreError> {
        not_yet()
    }

    async fn show(&self, _id: QueueId) -> Result<Option<Details>, StoreError> {
        not_yet()
    }

    async fn content(&self, _id: QueueId) -> Result<Option<Bytes>, StoreError> {
        not_yet()
    }

    async fn retry(&self, _id: QueueId, _retry: Retry, _now: Timestamp) -> Result<(), StoreError> {
        not_yet()
    }

    async fn retry_failed(
        &self,
        _before: Option<QueueId>,
        _now: Timestamp,
    ) -> Result<Retried, StoreError> {
        not_yet()
    }

    async fn cancel(&self, _id: QueueId, _now: Timestamp) -> Result<(), StoreError> {
        not_yet()
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        not_yet()
    }

    async fn sweep(
        &self,
        _keep_records: Duration,
        _keep_bodies: Duration,
        _now: Timestamp,
    ) -> Result<usize, StoreError> {
        not_yet()
    }
}
