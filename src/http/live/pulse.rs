//! Counts of the queue for all streams together, so that many lookers cost the store no more than one.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::queue::{Counts, Store};

/// How old counts may be.
const AGE_MAX: Duration = Duration::from_millis(900);

/// How long the store may take; whoever waits for the same counts waits along.
const TIMEOUT: Duration = Duration::from_secs(2);

/// The newest counts and when they were asked for.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    last: Mutex<Option<(Instant, Option<Counts>)>>,
}

impl Pulse {
    /// The counts of this second; `None` when the store did not tell.
    pub(super) async fn counts(&self, store: &dyn Store) -> Option<Counts> {
        let mut last = self.last.lock().await;
        let now = Instant::now();
        if let Some((at, counts)) = *last
            && now < at + AGE_MAX
        {
            return counts;
        }
        let counts = tokio::time::timeout(TIMEOUT, store.counts()).await.ok().and_then(Result::ok);
        *last = Some((now, counts));
        counts
    }
}
