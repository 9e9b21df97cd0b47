//! What of a message a person is shown.
//!
//! Everything here is a stranger's. What comes out is text to be escaped by whoever shows it, or HTML that was made safe
//! here: [`ShownText::html`] and [`Frame::document`]. All of it is bounded. Reading takes time by the size of the message,
//! so it is no work for a thread that others wait for.

mod css;
mod file;
mod frame;
mod headers;
mod images;
mod tags;
#[cfg(test)]
mod tests;
mod text;
mod tidy;

pub use frame::Frame;
pub use headers::{HeaderField, Headers};
pub use images::Remote;
pub use text::ShownText;

use bytes::Bytes;

use super::mime::structure::{Nested, Structure};
use super::{Attachment, Email, Loss, Mailbox, Protection};

/// The content of a message, as the page shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// The From field.
    pub from: Vec<Mailbox>,
    /// The Reply-To field.
    pub reply_to: Vec<Mailbox>,
    /// The To field.
    pub to: Vec<Mailbox>,
    /// The Cc field.
    pub cc: Vec<Mailbox>,
    /// The subject; empty when absent.
    pub subject: String,
    /// All header fields in their order.
    pub headers: Headers,
    /// The plain text, if there is one.
    pub text: Option<ShownText>,
    /// There is HTML, which the frame shows.
    pub has_html: bool,
    /// How many references to images of other hosts the HTML has.
    pub remote_images: usize,
    /// How many images of the message itself the frame does not show: no raster images, or too large together.
    pub images_left_out: usize,
    /// The HTML is longer, or has more elements, than the frame shows.
    pub html_cut: bool,
    /// What is neither the text nor the HTML, in the order of the message.
    pub parts: Vec<PartView>,
    /// Whether the content is signed or encrypted.
    pub protection: Protection,
    /// What of the message could not be read.
    pub losses: Vec<Loss>,
}

/// A part that can be downloaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartView {
    /// Its number, counted from 1.
    pub number: usize,
    /// The name that a download gets: safe, never empty.
    pub filename: String,
    /// The media type that the message states, without parameters.
    pub media_type: String,
    /// Its size when decoded, octets.
    pub size: usize,
    /// The HTML shows it.
    pub inline: bool,
    /// A further form of the text (a calendar, AMP).
    pub alternative: bool,
}

/// A part on its way to the reader's disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// `Content-Type`: harmless whatever the message says.
    pub media_type: &'static str,
    /// `Content-Disposition`: ASCII, a single line.
    pub disposition: String,
    /// The decoded content.
    pub bytes: Bytes,
}

impl View {
    /// Reads any bytes. Costs as much as [`Email::parse`] and [`frame`] together.
    pub fn read(raw: &[u8]) -> Self {
        let email = Email::parse(raw);
        let frame =
            email.html.as_ref().map(|_| Frame::of(&email, Remote::Blocked)).unwrap_or_default();
        let parts = email.attachments.iter().enumerate();
        Self {
            headers: headers(raw),
            text: email.text.as_deref().map(text::shown),
            has_html: email.html.is_some(),
            remote_images: frame.remote_images,
            images_left_out: frame.left_out,
            html_cut: frame.cut,
            parts: parts.map(|(index, part)| PartView::new(part, index + 1)).collect(),
            from: email.from,
            reply_to: email.reply_to,
            to: email.to,
            cc: email.cc,
            subject: email.subject,
            protection: email.protection,
            losses: email.losses,
        }
    }
}

/// The HTML of a message as a document for a frame, or its text where it has none.
pub fn frame(raw: &[u8], remote: Remote) -> Frame {
    Frame::of(&Email::parse(raw), remote)
}

/// The header fields of a message, in their order.
pub fn headers(raw: &[u8]) -> Headers {
    headers::read(raw, Structure::read(raw, Nested::Closed).hint.as_deref())
}

/// The plain text of a message, whole; nothing if it has none.
pub fn text(raw: &[u8]) -> Option<String> {
    Email::parse(raw).text
}

/// The part of this [number](PartView::number).
pub fn part(raw: &[u8], number: usize) -> Option<Download> {
    let index = number.checked_sub(1)?;
    let attachment = Email::parse(raw).attachments.into_iter().nth(index)?;
    Some(Download {
        media_type: file::media_type(&attachment.content_type),
        disposition: file::disposition(&file::name(&attachment.filename, number)),
        bytes: attachment.bytes,
    })
}

impl PartView {
    fn new(attachment: &Attachment, number: usize) -> Self {
        let media_type = attachment.content_type.split(';').next().unwrap_or_default().trim();
        Self {
            number,
            filename: file::name(&attachment.filename, number),
            media_type: media_type.chars().filter(char::is_ascii_graphic).take(100).collect(),
            size: attachment.bytes.len(),
            inline: attachment.inline,
            alternative: attachment.alternative,
        }
    }
}
