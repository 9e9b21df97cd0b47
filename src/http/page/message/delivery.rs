//! What was tried: recipients, attempts, what could not be carried.

use super::super::row;
use super::super::words::{Moment, Words};
use crate::clock::Timestamp;
use crate::queue::{Attempt, Details, Outcome, State};

/// The timeline of a message.
#[derive(Debug)]
pub(in crate::http::page) struct DeliveryView {
    pub(in crate::http::page) recipients: Vec<RecipientView>,
    pub(in crate::http::page) accepted: Moment,
    pub(in crate::http::page) attempts: Vec<AttemptView>,
    pub(in crate::http::page) next: Option<Moment>,
    /// Whether a provider was ever asked.
    pub(in crate::http::page) asked: bool,
    pub(in crate::http::page) request_link: String,
}

#[derive(Debug)]
pub(in crate::http::page) struct RecipientView {
    pub(in crate::http::page) address: String,
    pub(in crate::http::page) state: &'static str,
    pub(in crate::http::page) tone: &'static str,
    pub(in crate::http::page) reason: Option<String>,
}

#[derive(Debug)]
pub(in crate::http::page) struct AttemptView {
    pub(in crate::http::page) at: Moment,
    pub(in crate::http::page) provider: String,
    pub(in crate::http::page) outcome: &'static str,
    pub(in crate::http::page) tone: &'static str,
    pub(in crate::http::page) error: Option<String>,
    pub(in crate::http::page) provider_message_id: Option<String>,
    pub(in crate::http::page) latency: String,
    /// For whom it was; empty: for all.
    pub(in crate::http::page) recipients: Vec<String>,
    pub(in crate::http::page) losses: Vec<LossView>,
}

/// Something that did not travel.
#[derive(Debug)]
pub(in crate::http::page) struct LossView {
    pub(in crate::http::page) text: String,
    pub(in crate::http::page) grave: bool,
}

impl DeliveryView {
    pub(super) fn new(details: &Details, now: Timestamp, t: &'static Words) -> Self {
        let summary = &details.summary;
        let recipients = summary.recipients.iter().map(|it| {
            let (tone, state) = row::recipient(it.state, t);
            let reason = it.reason.clone();
            RecipientView { address: it.address.to_string(), state, tone, reason }
        });
        let due = summary.next_attempt_at.filter(|_| summary.state == State::Queued);
        Self {
            recipients: recipients.collect(),
            accepted: Moment::past(summary.received_at, now, t),
            attempts: details.attempts.iter().map(|it| AttemptView::new(it, now, t)).collect(),
            next: due.map(|at| Moment::to_come(at, now, t)),
            asked: !details.attempts.is_empty(),
            request_link: format!("/messages/{}?tab=request", summary.id),
        }
    }
}

impl AttemptView {
    fn new(attempt: &Attempt, now: Timestamp, t: &'static Words) -> Self {
        let (tone, outcome) = named(attempt.outcome, t);
        let losses = attempt.losses.iter().map(|loss| LossView {
            text: format!("{}: {}", loss.what, loss.why),
            grave: loss.grave,
        });
        Self {
            at: Moment::past(attempt.at, now, t),
            provider: attempt.provider.clone(),
            outcome,
            tone,
            error: attempt.error.clone(),
            provider_message_id: attempt.provider_message_id.clone(),
            latency: super::super::words::fill(t.took, &[&attempt.latency_ms.to_string()]),
            recipients: attempt.recipients.iter().map(ToString::to_string).collect(),
            losses: losses.collect(),
        }
    }
}

/// Class of the style and name of an outcome.
fn named(outcome: Outcome, t: &'static Words) -> (&'static str, &'static str) {
    match outcome {
        Outcome::Delivered => ("good", t.delivered),
        Outcome::Throttled => ("busy", t.outcome_throttled),
        Outcome::Exhausted => ("busy", t.outcome_exhausted),
        Outcome::Temporary => ("busy", t.outcome_temporary),
        Outcome::Unfit => ("busy", t.outcome_unfit),
        Outcome::Misconfigured => ("bad", t.outcome_misconfigured),
        Outcome::Rejected => ("bad", t.outcome_rejected),
        Outcome::Unknown => ("bad", t.outcome_unknown),
        Outcome::Bug => ("bad", t.outcome_bug),
    }
}
