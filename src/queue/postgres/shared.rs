//! What the instances on one database have in common.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::connect::Connections;
use super::{paces, standings};
use crate::clock::Timestamp;
use crate::queue::{
    AccountStanding, CallPlaces, CallsWanted, Change, News, Presence, RecipientsWanted, Reserved,
    Shared, StoreError,
};

/// How much news a slow listener may be behind; then it is told that it has missed some.
const BEHIND_MAX: usize = 1_024;

/// The ground that this instance shares with others.
#[derive(Debug)]
pub(super) struct Common {
    connections: Connections,
    presence: Presence,
    news: broadcast::Sender<News>,
}

impl Common {
    pub(super) fn new(connections: Connections) -> Self {
        Self {
            connections,
            presence: Presence::new(Arc::from(""), Timestamp::MIN),
            news: broadcast::Sender::new(BEHIND_MAX),
        }
    }

    /// Something has become due in the queue that nobody has in memory: tells all instances, soon, many times at once.
    /// To be called after the commit.
    pub(super) fn due(&self) {}
}

#[async_trait]
impl Shared for Common {
    fn presence(&self) -> &Presence {
        &self.presence
    }

    async fn reserve_calls(&self, wanted: CallsWanted) -> Result<CallPlaces, StoreError> {
        paces::reserve_calls(&self.connections, &wanted).await
    }

    async fn reserve_recipients(&self, wanted: RecipientsWanted) -> Result<Reserved, StoreError> {
        paces::reserve_recipients(&self.connections, &wanted).await
    }

    async fn return_recipients(
        &self,
        provider: &str,
        hour: i64,
        recipients: u64,
    ) -> Result<(), StoreError> {
        paces::return_recipients(&self.connections, provider, hour, recipients).await
    }

    async fn tell(&self, standing: AccountStanding) -> Result<(), StoreError> {
        standings::keep(&self.connections, &standing).await
    }

    async fn standings(&self) -> Result<Vec<AccountStanding>, StoreError> {
        Ok(standings::since(&self.connections, 0).await?.standings)
    }

    fn listen(&self) -> broadcast::Receiver<News> {
        self.news.subscribe()
    }

    fn changed(&self, _change: Change) {}

    fn watch(&self, _watching: bool) {}

    async fn leave(&self) {}
}
