//! What calls and checks tell about a provider.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::caught::caught;
use super::course;
use super::engine::Engine;
use super::lane::LaneId;
use crate::provider::{SendError, Verdict};

/// A check that has not answered by then has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// What the operator should do about a provider that is set aside.
fn advice(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Misconfigured => {
            ". Mend the key, the domain or the account; after a change of mailferry's configuration send it SIGHUP"
        }
        Verdict::Throttled { .. }
        | Verdict::Exhausted { .. }
        | Verdict::Temporary { .. }
        | Verdict::Rejected
        | Verdict::Unknown
        | Verdict::Bug => "",
    }
}

impl Engine {
    /// Waits until the lane's rate allows the next call, and counts it.
    pub(super) async fn wait_for_pace(&self, lane: LaneId) {
        loop {
            let now = self.now();
            let paced = self.board().pace(lane, now);
            let Err(next) = paced else { return };
            tokio::time::sleep(next.duration_since(now).unsigned_abs()).await;
        }
    }

    pub(super) fn note_success(&self, lane: LaneId) {
        let mut board = self.board();
        if board.succeeded(lane, self.now()) {
            tracing::info!(provider = board.name(lane), "the provider takes mail again");
            drop(board);
            self.pump.notify_one();
        }
    }

    pub(super) fn note_failure(&self, lane: LaneId, error: &SendError) {
        let mut board = self.board();
        if !board.failed(lane, error, self.now()) {
            return;
        }
        let (provider, outcome) = (board.name(lane), course::outcome(error).name());
        if board.is_brought(lane) {
            // It stops nobody else's mail.
            tracing::warn!(provider, outcome, error = %error, "a provider account that a client brought is set aside; its mail waits");
        } else {
            tracing::error!(
                provider,
                outcome,
                error = %error,
                "the provider is set aside; its mail waits or goes to the next provider{}",
                advice(error.verdict)
            );
        }
        drop(board);
        self.pump.notify_one();
    }

    /// Asks a closed provider, without mail, whether it works again.
    pub(super) async fn check(self: Arc<Self>, lane: LaneId) {
        let provider = self.board().provider(lane);
        let probing = tokio::time::timeout(CHECK_TIMEOUT, provider.probe());
        let result = caught(probing).await.and_then(Result::ok);
        let result = result.unwrap_or_else(|| {
            Err(SendError {
                verdict: Verdict::Temporary { retry_after: None },
                status: None,
                reason: format!("no answer within {} s", CHECK_TIMEOUT.as_secs()),
                unclear: false,
            })
        });
        {
            let mut board = self.board();
            board.checked(lane, result.as_ref().map(drop), self.now());
            tracing::debug!(provider = board.name(lane), alive = result.is_ok(), "checked");
        }
        if result.is_err() {
            self.give_up_waiting().await;
        }
        self.backlog.store(true, Ordering::Relaxed);
        self.pump.notify_one();
    }
}
