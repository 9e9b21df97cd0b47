//! A message as the app submitted it, and the views of it that the other stations need.
//!
//! The raw bytes are stored once and never change. Everything else here is read from them: the few
//! [`IndexFields`] at acceptance, the full [`Email`] at delivery.

mod account;
mod address;
mod addressing;
mod dkim;
mod draft;
mod dsn;
mod email;
mod envelope;
mod id;
mod index;
mod mime;
mod parse;
pub mod raw;
mod sender;
mod senders;
mod thread;
pub mod view;

pub use account::{Account, SealedAccount};
pub(crate) use address::canonical_domain;
pub use address::{Address, InvalidAddress};
pub use dkim::DkimSignature;
pub use draft::{Draft, InvalidDraft};
pub use dsn::{Dsn, Notify, OriginalRecipient, RecipientDsn, Ret};
pub use email::{Addressing, Attachment, Email, Loss, Mailbox, Protection};
pub use envelope::Envelope;
pub use id::QueueId;
pub(crate) use index::header_values;
pub use senders::{UnreadableSender, senders_of};

#[cfg(test)]
pub(crate) use parse::headers::{OPTION_PREFIXES, OPTIONS};

use std::net::IpAddr;

use bytes::Bytes;

use crate::clock::Timestamp;

/// What a listener hands over when a transaction is complete.
#[derive(Clone, Debug)]
pub struct Submission {
    /// Who sends, and who is to get it.
    pub envelope: Envelope,
    /// The content after dot-unstuffing, lines ended by CRLF, without the terminator.
    pub raw: Bytes,
    /// The authenticated user, if any.
    pub user: Option<String>,
    /// Where it came from; `None` for messages made here.
    pub peer: Option<IpAddr>,
    /// The provider account to send it with, when the client brought one.
    pub account: Option<Account>,
    /// The client may give the provider orders by header fields such as `X-PM-Tag` (SPEC 4.3).
    pub may_steer: bool,
}

/// One accepted message. It never changes; what changes about it lies beside it in the queue.
#[derive(Clone, Debug)]
pub struct Message {
    /// The name of the message in the queue.
    pub id: QueueId,
    /// When it was accepted.
    pub received_at: Timestamp,
    /// Who sends, and who is to get it.
    pub envelope: Envelope,
    /// The bytes as submitted.
    pub raw: Bytes,
    /// Header fields for lists and searches.
    pub index: IndexFields,
    /// The authenticated user, if any.
    pub user: Option<String>,
    /// The provider account to send it with, when the client brought one; kept until the message is delivered.
    pub account: Option<SealedAccount>,
    /// Header fields that give a provider orders are obeyed.
    pub may_steer: bool,
}

/// The header fields that lists, searches and log lines show, and what of the header decides about its turn. Read once, at
/// acceptance, decoded and cut short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IndexFields {
    /// The From field, as `Name <address>` or the address alone; empty when absent.
    pub header_from: String,
    /// The decoded subject; empty when absent.
    pub subject: String,
    /// The Message-ID without angle brackets; empty when absent.
    pub message_id: String,
    /// A List field or the Precedence says that it is one of many.
    pub bulk: bool,
}
