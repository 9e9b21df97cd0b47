//! What calls and checks tell about a provider.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::board::Board;
use super::calls::Lane;
use super::caught::caught;
use super::course;
use super::engine::Engine;
use super::job::Job;
use super::lane::LaneId;
use super::limits::Hold;
use super::others::Found;
use super::standing::Change;
use crate::clock::Timestamp;
use crate::provider::{SendError, Verdict};

/// A check that has not answered by then has failed.
const CHECK_TIMEOUT: Duration = Duration::from_secs(10);

/// What the operator should do about a provider that is set aside.
fn advice(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Misconfigured => {
            "Mend the key, the domain or the account; after a change of mailferry's configuration send it SIGHUP"
        }
        Verdict::Throttled { .. }
        | Verdict::Exhausted { .. }
        | Verdict::Temporary { .. }
        | Verdict::Rejected
        | Verdict::Unknown
        | Verdict::Bug => "",
    }
}

/// Logs that a lane takes mail again; what the operator's address is told of it.
fn recovered_of(board: &Board, lane: LaneId) -> Option<Found> {
    tracing::info!(provider = board.name(lane), "the provider takes mail again");
    (!board.is_brought(lane)).then_some(Found::Recovered)
}

/// Logs that a lane is set aside; what the operator's address is told of it.
fn set_aside_of(board: &Board, lane: LaneId, error: &SendError, now: Timestamp) -> Option<Found> {
    let (provider, outcome) = (board.name(lane), course::outcome(error).name());
    if board.is_brought(lane) {
        // It stops nobody else's mail.
        tracing::warn!(provider, outcome, error = %error, "a provider account that a client brought is set aside; its mail waits");
        return None;
    }
    let advice = advice(error.verdict);
    let punctuated = if advice.is_empty() { "" } else { ". " };
    tracing::error!(
        provider,
        outcome,
        error = %error,
        "the provider is set aside; its mail waits or goes to the next provider{punctuated}{advice}"
    );
    let state = board.state(lane, now).name();
    Some(Found::SetAside { state, error: error.to_string(), advice })
}

/// How long after it was counted a call may be made.
const LATE_MAX: Duration = Duration::from_millis(50);

/// How often somebody who waits for the rate looks whether delivery ends.
const CLOSING_LOOK: Duration = Duration::from_secs(1);

impl Engine {
    /// Waits until the lane's rate allows the next call, and counts it. Returns when it was counted; `None` when it must
    /// not be made, because that would be after `until`, or the shutdown comes first.
    pub(super) async fn wait_for_pace(&self, lane: LaneId, until: Timestamp) -> Option<Timestamp> {
        let mut seeking = None;
        loop {
            let now = self.now();
            let paced = self.board().pace(lane, now);
            let next = match paced {
                Ok(counted) => return Some(counted),
                Err(next) => next,
            };
            if next > until || self.closing.load(Ordering::Relaxed) {
                return None;
            }
            seeking = seeking.or_else(|| self.seek(lane));
            let wait = next.duration_since(now).unsigned_abs();
            self.wait_for_place(lane, wait.min(CLOSING_LOOK)).await;
        }
    }

    /// To be asked right before a call that was counted then: one that is late takes its permit along, or, where others
    /// have been counted since, is counted anew. The store may have been away meanwhile, and all calls of the lane would
    /// be made at once. The answer is as that of [`Engine::wait_for_pace`].
    ///
    /// Where other instances use the account as well, the call waits for its place, and one that has missed it takes
    /// another.
    pub(super) async fn keep_pace(
        &self,
        lane: LaneId,
        counted: Timestamp,
        until: Timestamp,
    ) -> Option<Timestamp> {
        if self.common_store().is_some() {
            return self.keep_place(lane, counted, until).await;
        }
        let now = self.now();
        if now.duration_since(counted).unsigned_abs() <= LATE_MAX {
            return Some(counted);
        }
        let postponed = self.board().change_limits(lane, |limits| limits.postpone(counted, now));
        if postponed { Some(now) } else { self.wait_for_pace(lane, until).await }
    }

    async fn keep_place(
        &self,
        lane: LaneId,
        mut counted: Timestamp,
        until: Timestamp,
    ) -> Option<Timestamp> {
        loop {
            let now = self.now();
            let hold = self.board().limits(lane).hold(counted, now);
            match hold {
                Hold::Now => return Some(counted),
                Hold::At(place) => {
                    tokio::time::sleep(place.duration_since(now).unsigned_abs()).await;
                }
                Hold::Lost => counted = self.wait_for_pace(lane, until).await?,
            }
        }
    }

    pub(super) fn note_success(&self, Lane { lane, edition, .. }: Lane<'_>) {
        let (mut board, now) = (self.board(), self.now());
        let recovered = board.succeeded(lane, edition, now);
        let found = if recovered { recovered_of(&board, lane) } else { None };
        self.tell_others(&mut board, lane, found, false, now);
        if recovered {
            drop(board);
            self.pump.notify_one();
        }
    }

    pub(super) fn note_failure(&self, Lane { lane, edition, .. }: Lane<'_>, error: &SendError) {
        let (mut board, now) = (self.board(), self.now());
        let change = board.failed(lane, edition, error, now);
        let found = match change {
            Change::Same => None,
            Change::SetAside => set_aside_of(&board, lane, error, now),
            Change::Recovered => recovered_of(&board, lane),
        };
        self.tell_others(&mut board, lane, found, false, now);
        if change == Change::Same {
            return;
        }
        drop(board);
        self.pump.notify_one();
    }

    /// A message has been delivered by this lane: whether the mail of its route goes by another way than before.
    pub(super) fn note_carried(&self, board: &mut Board, job: &Job, lane: LaneId, now: Timestamp) {
        // Where everybody was on the list of addresses that get no mail there was no call.
        if !job.attempts.iter().any(|attempt| attempt.provider == board.name(lane)) {
            return;
        }
        if let Some(moved) = board.carried(job, lane, now) {
            self.log().moved(&moved, now);
        }
    }

    /// Asks a closed provider, without mail, whether it works again.
    pub(super) async fn check(self: Arc<Self>, lane: LaneId) {
        // To a service that counts calls it is one. Without leave nobody needs it any more.
        let until = Timestamp::MAX;
        let Some(counted) = self.wait_for_pace(lane, until).await else { return };
        if self.keep_pace(lane, counted, until).await.is_none() {
            return;
        }
        let (provider, edition) = {
            let (mut board, now) = (self.board(), self.now());
            if board.puts_off_check(lane, now) {
                return;
            }
            let (provider, _, edition) = board.account(lane);
            (provider, edition)
        };
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
            let (mut board, now) = (self.board(), self.now());
            let change = board.checked(lane, edition, result.as_ref().map(drop), now);
            let found = match (change, &result) {
                (Change::SetAside, Err(error)) => set_aside_of(&board, lane, error, now),
                (Change::SetAside | Change::Same | Change::Recovered, _) => None,
            };
            // That it is still closed spares the others their checks.
            self.tell_others(&mut board, lane, found, result.is_err(), now);
            tracing::debug!(provider = board.name(lane), alive = result.is_ok(), "checked");
        }
        if result.is_ok() {
            // Its mail may be read now. Otherwise nothing has changed for what waits in the queue.
            self.backlog.store(true, Ordering::Relaxed);
        } else {
            self.give_up_waiting().await;
        }
        self.pump.notify_one();
    }
}
