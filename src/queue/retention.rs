//! Forgetting what is past its time.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Store;
use crate::clock::SharedClock;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(30);
/// Between two slices, so that acceptance and delivery get in between.
const BREATH: Duration = Duration::from_millis(20);

/// How long records and contents stay after a message is finished.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// The record, and the content of a failed message.
    pub records: Duration,
    /// The content of a delivered message.
    pub bodies: Duration,
}

impl Retention {
    /// Sweeps `store` until `shutdown`. A failure is logged and tried again at the next look.
    pub async fn keep(
        self,
        store: Arc<dyn Store>,
        clock: SharedClock,
        shutdown: CancellationToken,
    ) {
        let mut pause = INTERVAL.min(self.bodies.max(Duration::from_secs(1)));
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = match store.sweep(self.records, self.bodies, clock.now()).await {
                Ok(0) => INTERVAL.min(self.bodies.max(Duration::from_secs(1))),
                Ok(_) => BREATH,
                Err(error) => {
                    tracing::warn!(error = %error, "old messages could not be removed");
                    INTERVAL
                }
            };
        }
    }
}
