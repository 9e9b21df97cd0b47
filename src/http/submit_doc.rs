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
    #[schema(max_length = 500)]
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
enum MailboxInput {
    /// `ada@example.org` or `Ada <ada@example.org>`
    #[schema(example = "Ada <ada@example.org>")]
    Text(String),
    Parts(MailboxParts),
}

#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
struct MailboxParts {
    #[schema(max_length = 500)]
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
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
struct AttachmentInput {
    #[schema(min_length = 1, max_length = 500, example = "report.csv")]
    filename: String,
    #[schema(format = "byte", example = "YSxiCg==")]
    content: String,
    /// `application/octet-stream` unless it is said.
    #[schema(max_length = 500, example = "text/csv")]
    content_type: Option<String>,
    /// What the HTML says behind `cid:`.
    #[schema(max_length = 500)]
    content_id: Option<String>,
    /// Shown within the HTML. True where there is a content_id, unless it is said.
    inline: Option<bool>,
}
