//! Addresses that get no mail.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::store::StoreError;
use crate::clock::Timestamp;
use crate::message::Address;

/// Why an address gets no mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SuppressionReason {
    /// An operator has put it on the list.
    Manual,
    /// The mailbox does not exist, says a provider.
    Bounced,
    /// Its owner has marked our mail as unwanted.
    Complained,
}

impl SuppressionReason {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Manual, Self::Bounced, Self::Complained];

    /// The name that store and API use.
    pub fn name(self) -> &'static str {
        match self {
            Self::Manual => "manual",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
        }
    }
}

impl fmt::Display for SuppressionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for SuppressionReason {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|reason| reason.name() == text)
            .ok_or_else(|| format!("{text:?} is not a reason: manual, bounced or complained"))
    }
}

/// An entry of the list of addresses that get no mail. Two spellings of one mailbox are one entry, and so are
/// `Ada@example.net` and `ada@example.net`, see [`Address::suppression_key`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// As it was given.
    pub address: Address,
    pub reason: SuppressionReason,
    /// The provider's words, or the operator's.
    pub note: Option<String>,
    /// Since when.
    pub since: Timestamp,
}

/// Which entries to list, the newest first.
#[derive(Clone, Debug, Default)]
pub struct SuppressionFilter {
    /// A part of the address, whatever the case of ASCII letters.
    pub text: Option<String>,
    pub reason: Option<SuppressionReason>,
    /// Where the page before this one ended.
    pub before: Option<SuppressionCursor>,
    /// How many at the most; never more than 500, and 0 means that.
    pub limit: usize,
}

/// A place in the list: behind the entry of this time and this mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppressionCursor {
    pub since: Timestamp,
    pub key: String,
}

/// One page of the list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SuppressionPage {
    pub entries: Vec<Suppression>,
    /// The cursor for the next page, when there is one.
    pub next: Option<SuppressionCursor>,
}

/// Keeps the list of addresses that get no mail.
#[async_trait]
pub trait Suppressions: Send + Sync {
    /// True while the list is empty, so that nobody needs to be looked for. Costs nothing.
    fn is_empty(&self) -> bool;

    /// Puts an address on the list, or changes what is said of it there. True when it was not there before.
    async fn add(&self, entry: Suppression) -> Result<bool, StoreError>;

    /// Takes an address off the list. False when it is not there.
    async fn remove(&self, address: &Address) -> Result<bool, StoreError>;

    /// One page of the list.
    async fn list(&self, filter: SuppressionFilter) -> Result<SuppressionPage, StoreError>;

    /// The entries of those of these addresses that are on the list.
    async fn among(&self, addresses: Vec<Address>) -> Result<Vec<Suppression>, StoreError>;
}
