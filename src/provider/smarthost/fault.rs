//! What can go wrong in a dialogue, before anybody has judged it.

use std::io;
use std::sync::Mutex;

use super::reply::{self, Reply, Step};
use crate::provider::refusal::shorten;
use crate::provider::{SendError, Verdict};

/// Why a dialogue ended early.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// There is no connection any more, or nothing on it that can be read.
    Lost(String),
    /// The server refused.
    Said(Step, Reply),
    /// Found out here; the server has said nothing wrong.
    Own(SendError),
}

impl Fault {
    pub(super) fn lost(error: &io::Error) -> Self {
        Self::Lost(error.to_string())
    }

    /// The server speaks something else.
    pub(super) fn no_reply(line: &str) -> Self {
        let line: String = shorten(line).chars().take(80).collect();
        Self::Lost(format!("the server says {line:?}, which is no reply of SMTP"))
    }

    /// The account, or its settings, must be mended.
    pub(super) fn settings(reason: impl Into<String>) -> Self {
        Self::Own(SendError {
            verdict: Verdict::Misconfigured,
            status: None,
            reason: reason.into(),
            unclear: false,
        })
    }

    /// This message cannot go this way; another provider may take it.
    pub(super) fn not_this_way(reason: impl Into<String>) -> Self {
        Self::Own(SendError {
            verdict: Verdict::Unknown,
            status: None,
            reason: reason.into(),
            unclear: false,
        })
    }

    /// True when the connection has gone, and with it the transaction.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Lost(_) | Self::Said(Step::Reset, _) => true,
            Self::Said(_, reply) => reply.closes(),
            Self::Own(_) => false,
        }
    }

    /// What it means, having come so far.
    pub(super) fn judged(self, step: Step) -> SendError {
        match self {
            Self::Said(step, reply) => reply::refusal(step, &reply),
            Self::Own(error) => error,
            Self::Lost(reason) => no_answer(format!("{reason} (at {step})"), step),
        }
    }
}

/// Without an answer, whether the server has the message is known only until its end was sent.
pub(super) fn no_answer(reason: String, step: Step) -> SendError {
    SendError {
        verdict: Verdict::Temporary { retry_after: None },
        status: None,
        reason,
        unclear: step == Step::Answer,
    }
}

/// How far a call has come; outlives the call when its time runs out.
#[derive(Debug)]
pub(super) struct Progress(Mutex<Step>);

impl Progress {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Step::Connect))
    }

    pub(super) fn at(&self, step: Step) {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = step;
    }

    pub(super) fn step(&self) -> Step {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
