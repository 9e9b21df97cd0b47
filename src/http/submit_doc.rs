//! What the API's description says of the body of `POST /api/v1/messages`. It is read by [`super::submit_input`].
#![expect(dead_code, reason = "only the document is made from these")]

use std::collections::BTreeMap;

use utoipa::ToSchema;

/// A message to be sent. It needs an address in to, cc or bcc, and text, html or attachments.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MessageInput {
    /// The configured sender (sender.address) unless it is said.
    from: Option<MailboxInput>,
    to: Option<MailboxesInput>,
    cc: Option<MailboxesInput>,
    /// In the envelope only: nobody else sees them.
    bcc: Option<MailboxesInput>,
    reply_to: Option<MailboxesInput>,
    /// One line.
    #[schema(max_length = 500, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    subject: Option<String>,
    text: Option<String>,
    html: Option<String>,
    /// Further header fields, such as List-Unsubscribe or X-Campaign. Those that mailferry or the servers on the way write
    /// are refused.
    headers: Option<BTreeMap<String, HeaderInput>>,
    #[schema(max_items = 500)]
    attachments: Option<Vec<AttachmentInput>>,
}

/// An address, alone or with a name.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
pub(super) enum MailboxInput {
    Address(AddressInput),
    Named(NamedInput),
    Parts(MailboxParts),
}

/// `ada@example.org`
#[derive(Debug, ToSchema)]
#[schema(format = "email", example = "ada@example.org")]
pub(super) struct AddressInput(String);

/// `Ada <ada@example.org>`
#[derive(Debug, ToSchema)]
#[schema(
    max_length = 800,
    pattern = r"^[^<>\u0000-\u001f\u007f-\u009f]{0,500}<[A-Za-z0-9_+-]{1,64}@[A-Za-z0-9]{1,60}\.[A-Za-z]{2,10}>$",
    example = "Ada <ada@example.org>"
)]
pub(super) struct NamedInput(String);

#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct MailboxParts {
    #[schema(max_length = 500, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    name: Option<String>,
    #[schema(format = "email", example = "ada@example.org")]
    address: String,
}

/// One address or several.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
enum MailboxesInput {
    One(MailboxInput),
    Many(Vec<MailboxInput>),
}

/// The value of a header field, or of several of that name.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
enum HeaderInput {
    One(HeaderText),
    Many(Vec<HeaderText>),
}

/// One line.
#[derive(Debug, ToSchema)]
#[schema(pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
struct HeaderText(String);

#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
struct AttachmentInput {
    #[schema(
        max_length = 500,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$",
        example = "report.csv"
    )]
    filename: String,
    #[schema(format = "byte", example = "YSxiCg==")]
    content: String,
    /// `application/octet-stream` unless it is said.
    #[schema(
        max_length = 500,
        pattern = r"^[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+(;[^\u0000-\u001f\u007f-\u009f]*)?$",
        example = "text/csv"
    )]
    content_type: Option<String>,
    /// What the HTML says behind `cid:`.
    #[schema(
        max_length = 500,
        pattern = r"^(<[^<>\s\u0000-\u001f\u007f-\u009f]+>|[^<>\s\u0000-\u001f\u007f-\u009f]+)$"
    )]
    content_id: Option<String>,
    /// Shown within the HTML. True where there is a content_id, unless it is said.
    inline: Option<bool>,
}
