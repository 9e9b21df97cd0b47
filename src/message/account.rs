//! A provider account that a client brought along (SPEC 4.3).

use bytes::Bytes;

use crate::config::ProviderKind;
use crate::secret::Secret;

/// The credentials with which a message is to be sent, instead of those configured.
#[derive(Clone, Debug)]
pub struct Account {
    /// The service.
    pub kind: ProviderKind,
    /// Its API key or token.
    pub key: Secret,
}

/// An [`Account`] under lock: what the queue keeps, useless without the seal's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedAccount(pub Bytes);
