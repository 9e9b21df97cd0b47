//! What a client asked for about delivery status notifications (RFC 3461). Parsed, kept and shown; none is generated
//! from it yet.

use serde::{Deserialize, Serialize};

use super::Address;

/// The DSN parameters of one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dsn {
    /// RET=: how much of the message a notification returns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ret: Option<Ret>,
    /// ENVID=: the sender's own name for the transaction, decoded; printable ASCII, at most 100 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub envelope_id: Option<String>,
    /// The recipients for which something was said, in the order of the envelope.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub recipients: Vec<RecipientDsn>,
}

impl From<Address> for RecipientDsn {
    /// Nothing is wished.
    fn from(address: Address) -> Self {
        Self { address, notify: None, original: None }
    }
}

impl Dsn {
    /// Whether nothing was asked for.
    pub fn is_empty(&self) -> bool {
        self.ret.is_none() && self.envelope_id.is_none() && self.recipients.is_empty()
    }
}

/// RET= (RFC 3461 §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ret {
    /// FULL: the whole message.
    Full,
    /// HDRS: its header only.
    Hdrs,
}

/// The DSN parameters of one recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientDsn {
    /// The envelope address.
    pub address: Address,
    /// NOTIFY=: when to tell; `Some` with an empty list is NEVER.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notify: Option<Vec<Notify>>,
    /// ORCPT=: the address type and the decoded original address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<OriginalRecipient>,
}

/// One condition of NOTIFY= (RFC 3461 §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Notify {
    Success,
    Failure,
    Delay,
}

/// ORCPT= (RFC 3461 §4.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalRecipient {
    /// `rfc822` or `utf-8`, as a rule.
    pub address_type: String,
    /// What was before forwarding; not checked.
    pub address: String,
}
