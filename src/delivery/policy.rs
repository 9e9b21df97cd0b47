//! What the operator has decided about delivery, besides who may use which provider.

use std::num::NonZeroUsize;
use std::time::Duration;

use super::Settings;
use super::brought::AccountSettings;
use super::course::RetryRules;
use super::waiting::Batching;
use crate::config::{OnLoss, OnUnclear, SenderConfig};

/// Holds for whatever is decided while it is in force; a reload puts another one in its place. Who decides several things
/// that must fit asks for it once.
#[derive(Clone, Debug)]
pub(super) struct Policy {
    /// What opens accounts that clients bring; `None`: there are none here.
    pub(super) accounts: Option<AccountSettings>,
    pub(super) rules: RetryRules,
    /// The From rules.
    pub(super) sender: SenderConfig,
    pub(super) on_loss: OnLoss,
    pub(super) on_unclear: OnUnclear,
    /// Most calls in one request; 1: never more than one.
    pub(super) batch_max: NonZeroUsize,
    /// How long a lone message waits for company.
    pub(super) batch_linger: Duration,
    /// Whether log lines and notices carry the subject.
    pub(super) log_subject: bool,
}

impl Policy {
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            accounts: settings.accounts.clone(),
            rules: settings.rules,
            sender: settings.sender.clone(),
            on_loss: settings.on_loss,
            on_unclear: settings.on_unclear,
            batch_max: settings.batch_max,
            batch_linger: settings.batch_linger,
            log_subject: settings.log_subject,
        }
    }

    /// How messages travel together.
    pub(super) fn batching(&self) -> Batching {
        Batching { max: self.batch_max, linger: self.batch_linger }
    }
}
