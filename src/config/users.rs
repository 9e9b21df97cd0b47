//! `[[smtp.users]]`: who may send after authentication, and as whom.

use crate::message::Address;
use crate::secret::Secret;

/// One user of the SMTP server.
#[derive(Clone, Debug)]
pub struct UserConfig {
    /// The name that AUTH gives, compared octet by octet.
    pub username: String,
    /// The password itself, or a hash of it that says so itself: argon2 in PHC form (`$argon2id$…`), bcrypt (`$2b$…`).
    pub password: Secret,
    /// The From addresses that this user may send with; empty: all.
    pub senders: Vec<SenderPattern>,
    /// The name of the route that this user's mail takes instead of `delivery.providers`.
    pub route: Option<String>,
}

impl UserConfig {
    /// Whether the user may send as this address.
    pub fn may_send_as(&self, address: &Address) -> bool {
        self.senders.is_empty() || self.senders.iter().any(|pattern| pattern.matches(address))
    }
}

/// A sender address, or every address of a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderPattern {
    /// `ada@example.org`.
    Address(Address),
    /// `*@example.org`: all mailboxes of this very domain, not of its subdomains.
    Domain(String),
}

impl SenderPattern {
    /// Whether the address is meant.
    pub fn matches(&self, address: &Address) -> bool {
        match self {
            Self::Address(own) => own.same_mailbox(address.as_str()),
            Self::Domain(domain) => address.is_of_domain(domain),
        }
    }
}
