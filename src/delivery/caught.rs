//! Keeps a panic from taking more with it than the work in which it happened.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;

/// Does the work at once; `None` when it panicked, as in [`caught`].
pub(super) fn caught_now<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// Does the work; `None` when it panicked. What it has changed is as it was at that moment. The panic's text is
/// left to the process's own hook: it may quote a message.
pub(super) async fn caught<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(|context| {
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        polled.map_or(std::task::Poll::Ready(None), |poll| poll.map(Some))
    })
    .await
}
