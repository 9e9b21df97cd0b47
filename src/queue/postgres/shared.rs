//! What the instances on one database have in common.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use super::connect::Connections;
use super::fault::unavailable;
use super::notify::Line;
use super::{paces, standings};
use crate::queue::{
    AccountStanding, CallPlaces, CallsWanted, Change, News, Presence, RecipientsWanted, Reserved,
    Shared, StoreError,
};

/// The ground that this instance shares with others. Clones are one.
#[derive(Clone, Debug)]
pub(super) struct Common {
    line: Arc<Line>,
    /// Ends the line with the last clone that others hold.
    _end: Arc<End>,
}

#[derive(Debug)]
struct End(Arc<Line>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Common {
    /// Takes no part before it is [started](Common::start). The name is this instance's; its lives are numbered.
    pub(super) fn new(connections: Connections, name: Arc<str>, takeover_after: Duration) -> Self {
        let line = Arc::new(Line::new(connections, name, takeover_after));
        Self { _end: Arc::new(End(Arc::clone(&line))), line }
    }

    /// Begins to live among the others. Returns when the first try to connect has ended, well or not.
    pub(super) async fn start(&self) {
        self.line.start().await;
    }
}

#[async_trait]
impl Shared for Common {
    fn presence(&self) -> &Presence {
        &self.line.presence
    }

    async fn reserve_calls(&self, wanted: CallsWanted) -> Result<CallPlaces, StoreError> {
        paces::reserve_calls(&self.line.connections, &wanted).await
    }

    async fn reserve_recipients(&self, wanted: RecipientsWanted) -> Result<Reserved, StoreError> {
        paces::reserve_recipients(&self.line.connections, &wanted).await
    }

    async fn return_recipients(
        &self,
        provider: &str,
        hour: i64,
        recipients: u64,
    ) -> Result<(), StoreError> {
        paces::return_recipients(&self.line.connections, provider, hour, recipients).await
    }

    async fn tell(&self, standing: AccountStanding) -> Result<bool, StoreError> {
        standings::keep(&self.line.connections, &standing).await
    }

    async fn standings(&self) -> Result<Vec<AccountStanding>, StoreError> {
        let client = self.line.connections.get().await?;
        let told = standings::since(&client, 0).await.map_err(|error| unavailable(&error))?;
        Ok(told.standings)
    }

    fn listen(&self) -> broadcast::Receiver<News> {
        self.line.news.subscribe()
    }

    fn due(&self) {
        self.line.due();
    }

    fn changed(&self, change: Change) {
        self.line.changed(change);
    }

    fn is_watched(&self) -> bool {
        self.line.is_watched()
    }

    fn watch(&self, watching: bool) {
        self.line.watch(watching);
    }

    async fn leave(&self) {
        self.line.leave().await;
    }
}
