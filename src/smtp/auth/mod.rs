//! AUTH (RFC 4954): what a client says to prove who it is, and whether it is true.
//!
//! `exchange` is pure and reads the mechanisms; [`Authenticator`] compares with `password`, counts failures by
//! `throttle`, reads in `brought` what a provider's credentials are, and may take its time. What is said is in `replies`.

mod authenticator;
mod brought;
mod exchange;
mod password;
mod replies;
mod throttle;

pub use authenticator::{Authentication, Authenticator};
pub use exchange::{Exchange, Mechanism, Progress};
pub use password::Password;
pub(super) use throttle::Guesser;

use std::fmt;
use std::sync::Arc;

use crate::config::UserConfig;
use crate::message::Account;
use crate::secret::Secret;

/// What a client presents.
#[derive(Clone)]
pub struct Credentials {
    pub username: String,
    pub password: Secret,
}

/// A user name may be the token of a provider, so it is as secret as the password.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(***)")
    }
}

/// Who a client has proved to be. Empty where any credentials are taken.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// One of `smtp.users`.
    pub user: Option<Arc<UserConfig>>,
    /// The provider account whose key it presented (`smtp.auth = "provider"`).
    pub account: Option<Account>,
}
