//! AUTH (RFC 4954): what a client says to prove who it is, and whether it is true.
//!
//! `exchange` is pure and reads the mechanisms; [`Authenticator`] compares, and may take its time.

mod authenticator;
mod exchange;

pub use authenticator::{Authentication, Authenticator};
pub use exchange::{Exchange, Mechanism, Progress};

use std::sync::Arc;

use crate::config::UserConfig;
use crate::message::Account;
use crate::secret::Secret;

/// What a client presents.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

/// Who a client has proved to be. Empty where any credentials are taken.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// One of `smtp.users`.
    pub user: Option<Arc<UserConfig>>,
    /// The provider account whose key it presented (`smtp.auth = "provider"`).
    pub account: Option<Account>,
}
