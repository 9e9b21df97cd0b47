//! Forgetting what is past its time.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::Store;
use crate::clock::SharedClock;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(30);
/// After a look that found nothing: this many times as long as it took, at the least.
const IDLE_PART: u32 = 50;
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
    /// Sweeps `store` until `shutdown`, by what `current` says at each look. A failure is logged and tried again at the next.
    pub async fn keep(
        current: watch::Receiver<Self>,
        store: Arc<dyn Store>,
        clock: SharedClock,
        shutdown: CancellationToken,
    ) {
        let idle = |retention: Self| INTERVAL.min(retention.bodies.max(Duration::from_secs(1)));
        let mut pause = idle(*current.borrow());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            let own = *current.borrow();
            let begun = Instant::now();
            pause = match store.sweep(own.records, own.bodies, clock.now()).await {
                // A look over many messages that wait takes its time: it must stay a small part of it.
                Ok(0) => idle(own).max(begun.elapsed() * IDLE_PART),
                Ok(_) => BREATH,
                Err(error) => {
                    tracing::warn!(error = %error, "old messages could not be removed");
                    INTERVAL
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::TimerClock;
    use crate::queue::conformance::{HOUR, at, in_state};
    use crate::queue::{MemoryStore, State};

    #[tokio::test(start_paused = true)]
    async fn other_times_hold_from_the_next_look_on() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(10));
        let id = in_state(&*store, 0, State::Delivered).await;
        let clock: SharedClock = Arc::new(TimerClock::starting_at(at(0)));
        let (change, current) = watch::channel(Retention { records: HOUR, bodies: HOUR });
        let shutdown = CancellationToken::new();
        let keeping =
            tokio::spawn(Retention::keep(current, Arc::clone(&store), clock, shutdown.clone()));
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert!(store.content(id).await.unwrap().is_some());
        change.send_replace(Retention { records: HOUR, bodies: Duration::from_mins(5) });
        tokio::time::sleep(Duration::from_mins(1)).await;
        assert_eq!(store.content(id).await.unwrap(), None);
        assert!(store.show(id).await.unwrap().is_some());
        shutdown.cancel();
        keeping.await.unwrap();
    }
}
