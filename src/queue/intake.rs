//! The door through which a listener hands messages in.

use async_trait::async_trait;

use crate::message::{Account, QueueId, Submission};

/// Takes responsibility for a submitted message, or says why not.
///
/// Two things stand behind it: the queue (safe on disk, delivered later) and, in direct mode, delivery
/// itself (the provider has said yes).
#[async_trait]
pub trait Intake: Send + Sync {
    /// Returns `Ok` only when the message is safe: on stable storage, or with the provider.
    async fn accept(&self, submission: Submission) -> Result<QueueId, Refusal>;
}

/// Why a message was not taken. Nothing of it is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The queue is at its limit, the disk full, the store unreachable: `452 4.3.1`.
    #[error("{0}")]
    NoRoom(String),
    /// Direct mode: the provider cannot take it now: `451 4.x.x`.
    #[error("{0}")]
    TryAgain(String),
    /// Direct mode: the provider refuses it for good: `554 5.x.x`.
    #[error("{0}")]
    Rejected(String),
}

/// Knows whether a provider takes the credentials that a client brought.
///
/// Asked for strangers only, before they may hand in anything: who presents a key that its provider takes is no stranger.
#[async_trait]
pub trait Accounts: Send + Sync {
    /// Asks the provider, or remembers a recent answer. Sends no mail.
    async fn check(&self, account: &Account) -> AccountCheck;
}

/// What is known about an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AccountCheck {
    /// The provider takes the key.
    Good,
    /// The provider refuses it, with its words.
    Refused(String),
    /// The provider cannot be asked now, and why.
    Unknown(String),
}
