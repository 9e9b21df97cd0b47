//! The one view of a parsed message that structured providers use.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::{Address, DkimSignature};

/// A header address: display name (decoded, maybe empty) and addr-spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name, decoded to UTF-8; empty when there is none.
    pub name: String,
    /// `local@domain` as written in the header.
    pub address: String,
}

/// Who signed or encrypted the content, which decides whether an API may rebuild it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// Ordinary content.
    #[default]
    None,
    /// `multipart/signed` or S/MIME signed data: any change breaks the signature.
    Signed,
    /// `multipart/encrypted` or S/MIME enveloped data.
    Encrypted,
}

/// A part that is neither the text nor the HTML body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attachment {
    /// The file name, decoded (RFC 2231, RFC 2047); never empty: one is made up where the mail has none.
    pub filename: String,
    /// The media type with its parameters, except name and boundary: `text/calendar; method=REQUEST`.
    pub content_type: String,
    /// The Content-ID without angle brackets.
    pub content_id: Option<String>,
    /// Shown within the HTML body, which refers to it. Others are files whatever their disposition says: as inline
    /// parts that nothing shows, mail programs would hide them.
    pub inline: bool,
    /// No file, but a further form of the text: a calendar or AMP part of a `multipart/alternative`, in UTF-8.
    pub alternative: bool,
    /// The decoded bytes.
    pub bytes: Bytes,
}

/// Something of the message that a provider cannot carry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// The header field or the part: `header Received`, `part 2.1 (text/x-amp-html)`.
    pub what: String,
    /// Why it is not carried, for an operator.
    pub why: String,
    /// A reader would miss it, or see something else than was composed: `delivery.on_loss` says what happens then.
    #[serde(default)]
    pub grave: bool,
}

impl Loss {
    /// One that no reader misses: the message is sent, and the record says what was left behind.
    pub fn slight(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), grave: false }
    }

    /// One that changes what the reader gets.
    pub fn grave(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into(), grave: true }
    }
}

/// A parsed message. All text is UTF-8; nothing is left encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Email {
    /// The From field; several authors are possible, none is a fault that `sender.rewrite` mends.
    pub from: Vec<Mailbox>,
    /// The Sender field.
    pub sender: Option<Mailbox>,
    /// All addresses of Reply-To.
    pub reply_to: Vec<Mailbox>,
    /// The To field with groups flattened.
    pub to: Vec<Mailbox>,
    /// The Cc field with groups flattened.
    pub cc: Vec<Mailbox>,
    /// The Subject; empty when absent.
    pub subject: String,
    /// The plain text body, lines ended by LF.
    pub text: Option<String>,
    /// The HTML body, lines ended by LF.
    pub html: Option<String>,
    /// Everything else, in the order of the message: alternatives such as calendars, inline images, files.
    pub attachments: Vec<Attachment>,
    /// The other header fields in their order, decoded and unfolded: Message-ID, In-Reply-To, References,
    /// Date, List-*, Auto-Submitted, Precedence, Importance, X-* and whatever else may travel. Fields that
    /// never travel (Received, DKIM-Signature, Return-Path, Bcc, Content-*, MIME-Version) are not here.
    pub headers: Vec<(String, String)>,
    /// The header fields that give a provider orders (SPEC 4.3: `X-PM-Tag`, `X-SMTPAPI` …), decoded and unfolded, in
    /// their order. They never travel as fields: the provider that they are for makes them parts of its request. Empty
    /// when the client may not give orders.
    pub options: Vec<(String, String)>,
    /// Whether the content is signed or encrypted.
    pub protection: Protection,
    /// The DKIM signatures that the message came with. It can be both, signed as a message and in its content.
    pub dkim: Option<DkimSignature>,
    /// From is not what the app wrote: `sender.rewrite` has replaced it.
    pub from_rewritten: bool,
    /// What the view itself could not represent, whatever the provider.
    pub losses: Vec<Loss>,
}

impl Attachment {
    /// True for an invitation beside the text. As a file with its method it is one as well to most mail programs.
    pub fn is_invitation(&self) -> bool {
        let media_type = self.content_type.split(';').next();
        self.alternative && media_type.is_some_and(|it| it.trim() == "text/calendar")
    }

    /// True for the AMP alternative of a message. It is no file: an API that has no place for it must leave it out and
    /// say so, rather than attach it.
    pub fn is_amp(&self) -> bool {
        self.content_type.split(';').next().is_some_and(|it| it.trim() == "text/x-amp-html")
    }
}

/// The recipients of one provider call, sorted as SPEC 5 demands: visible where the message shows them,
/// hidden otherwise. Together they are exactly the recipients of the call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Addressing {
    /// In the To field and in the envelope.
    pub to: Vec<Mailbox>,
    /// In the Cc field and in the envelope.
    pub cc: Vec<Mailbox>,
    /// In the envelope only.
    pub bcc: Vec<Address>,
}
