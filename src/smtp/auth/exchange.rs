//! The mechanisms PLAIN (RFC 4616) and LOGIN, step by step.

use super::Credentials;
use crate::smtp::Reply;

/// A mechanism that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    Login,
}

impl Mechanism {
    /// Finds it by its SASL name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [("PLAIN", Self::Plain), ("LOGIN", Self::Login)]
            .into_iter()
            .find_map(|(own, mechanism)| own.eq_ignore_ascii_case(name).then_some(mechanism))
    }
}

/// An AUTH command that waits for the client's next line.
#[derive(Debug)]
pub enum Exchange {
    /// PLAIN without an initial response.
    Plain,
    /// LOGIN, before the user name.
    LoginUsername,
    /// LOGIN, with the user name.
    LoginPassword { username: String },
}

/// What follows a line of the exchange.
#[derive(Debug)]
pub enum Progress {
    /// 334, and the exchange goes on.
    Challenge(Reply, Exchange),
    /// All is said.
    Complete(Credentials),
    /// It has failed or was cancelled: the reply says why.
    Ended(Reply),
}
