//! Waiting for another process, with an end.

use std::time::Duration;

use tokio::time::Instant;

/// Long enough for a loaded machine; nothing that works comes near it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How often another process is asked.
const STEP: Duration = Duration::from_millis(10);

/// Asks until there is an answer. Panics with `what` when there is none within `limit`.
pub(crate) async fn until_within<T>(
    limit: Duration,
    what: &str,
    mut check: impl AsyncFnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(answer) = check().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {limit:?} in vain: {what}");
        tokio::time::sleep(STEP).await;
    }
}

/// [`until_within`] the usual patience.
pub(crate) async fn until<T>(what: &str, check: impl AsyncFnMut() -> Option<T>) -> T {
    until_within(PATIENCE, what, check).await
}

/// Waits until something is true.
pub(crate) async fn until_true(what: &str, mut check: impl FnMut() -> bool) {
    until(what, async || check().then_some(())).await;
}
