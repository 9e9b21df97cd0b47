//! Provider accounts that clients bring along (SPEC 4.3), and by which way a message goes.

use std::fmt;
use std::sync::Arc;

use super::engine::Engine;
use super::lane::LaneSetup;
use crate::message::{Account, Message};
use crate::seal::{Fingerprint, SealError, SealKey};

/// Sets up the account under a name: its provider, its rate, its calls in flight. Nothing is asked of the service. The
/// error says what is wrong with the account, without its key.
#[derive(Clone)]
pub struct LaneMaker(Arc<Make>);

type Make = dyn Fn(String, &Account) -> Result<LaneSetup, String> + Send + Sync;

impl LaneMaker {
    /// What sets accounts up.
    pub fn new(
        make: impl Fn(String, &Account) -> Result<LaneSetup, String> + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(make))
    }

    pub(super) fn make(&self, name: String, account: &Account) -> Result<LaneSetup, String> {
        (self.0)(name, account)
    }
}

impl fmt::Debug for LaneMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LaneMaker")
    }
}

/// How mail is sent whose account came with it.
#[derive(Clone, Debug)]
pub struct AccountSettings {
    /// What locks the accounts up while their mail waits.
    pub seal: Arc<SealKey>,
    /// What makes lanes for them.
    pub lanes: LaneMaker,
    /// Clients bring accounts (`smtp.auth = "provider"`). Otherwise there is only what is left in the queue from before.
    pub expected: bool,
}

/// By which way a message goes.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// By the route of its user, or the default one.
    Route,
    /// By the account that its client brought, and by nothing else.
    Account(Brought),
    /// By the account that its client brought, which cannot be used, and why.
    Locked(String),
}

/// An account that a client brought.
#[derive(Clone, Debug)]
pub(super) struct Brought {
    pub(super) fingerprint: Fingerprint,
    pub(super) account: Account,
}

impl Brought {
    pub(super) fn new(seal: &SealKey, account: Account) -> Result<Self, SealError> {
        Ok(Self { fingerprint: seal.fingerprint(&account)?, account })
    }

    /// The name in attempts, log and `/health`.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.account.kind, self.fingerprint)
    }
}

impl Engine {
    /// By which way a message from the queue goes.
    pub(super) fn way(&self, message: &Message) -> Way {
        let Some(sealed) = &message.account else { return Way::Route };
        let policy = self.policy();
        let Some(accounts) = &policy.accounts else { return Way::Locked(NO_ACCOUNTS.to_owned()) };
        let opened = accounts.seal.open(message.id, sealed);
        let brought = opened.and_then(|account| Brought::new(&accounts.seal, account));
        brought.map_or_else(|error| Way::Locked(error.to_string()), Way::Account)
    }

    /// By which way a message goes whose account is at hand.
    pub(super) fn fresh_way(&self, account: Option<Account>) -> Result<Way, String> {
        let Some(account) = account else { return Ok(Way::Route) };
        let policy = self.policy();
        let accounts = policy.accounts.as_ref().ok_or(NO_ACCOUNTS)?;
        let brought = Brought::new(&accounts.seal, account);
        brought.map(Way::Account).map_err(|error| error.to_string())
    }
}

/// What is said where nobody has handed in how to do it.
pub(super) const NO_ACCOUNTS: &str =
    "it is to be sent by an account of its own, which is not done here";
