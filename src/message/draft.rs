//! Messages made here: test mails, the command line, the API.

use mail_builder::MessageBuilder;
use mail_builder::headers::HeaderType;
use mail_builder::headers::address::Address as HeaderAddress;
use mail_builder::headers::content_type::ContentType;
use mail_builder::headers::raw::Raw;
use mail_builder::headers::text::Text;
use mail_builder::mime::MimePart;

use super::address::canonical_domain;
use super::mime::params::Parameterised;
use super::mime::transfer;
use super::mime::write::{self, header_address};
use super::{Address, Attachment, Envelope, Mailbox, QueueId, Submission};
use crate::clock::Timestamp;

/// A message to be composed.
#[derive(Clone, Debug, Default)]
pub struct Draft {
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    /// Shown to everybody, as those of `to` are.
    pub cc: Vec<Mailbox>,
    /// In the envelope only: nobody else sees them.
    pub bcc: Vec<Mailbox>,
    /// Where answers go; nobody: to `from`.
    pub reply_to: Vec<Mailbox>,
    pub subject: String,
    /// Further header fields, name and value. Those that are written here, or on the way, are refused.
    pub headers: Vec<(String, String)>,
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
}

/// What is wrong with a draft.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidDraft(pub String);

impl Draft {
    /// Writes the message as MIME with Date and Message-ID, addressed to everybody in `to`, `cc` and `bcc`.
    pub fn compose(self, now: Timestamp) -> Result<Submission, InvalidDraft> {
        let sender = address("from", &self.from)?;
        let mut recipients = Vec::new();
        for (field, mailboxes) in [("to", &self.to), ("cc", &self.cc), ("bcc", &self.bcc)] {
            for mailbox in mailboxes {
                recipients.push(address(field, mailbox)?);
            }
        }
        let recipients = Address::distinct(recipients);
        if recipients.is_empty() {
            return Err(InvalidDraft("to: at least one recipient is needed".to_owned()));
        }
        for mailbox in &self.reply_to {
            address("reply_to", mailbox)?;
        }
        one_line("subject", &self.subject)?;
        for (name, value) in &self.headers {
            check_header(name, value)?;
        }
        for attachment in &self.attachments {
            check(attachment)?;
        }

        // One id names the message and keeps its boundaries apart from any text.
        let id = QueueId::new(now);
        let mut headers = MessageBuilder::new().from(header_address(&self.from));
        // A field without an address would be none.
        for (name, mailboxes) in [("To", &self.to), ("Cc", &self.cc), ("Reply-To", &self.reply_to)]
        {
            if !mailboxes.is_empty() {
                let list = HeaderAddress::new_list(mailboxes.iter().map(header_address).collect());
                headers = headers.header(name, list);
            }
        }
        headers = headers
            .subject(self.subject.as_str())
            .date(now.as_second())
            .message_id(format!("{id}@{}", canonical_domain(sender.domain())));
        for (name, value) in &self.headers {
            // What is ASCII stays as it is: encoded words would break addresses and links in it.
            let value: HeaderType<'_> = if value.is_ascii() {
                Raw::new(value.as_str()).into()
            } else {
                Text::new(value.as_str()).into()
            };
            headers = headers.header(name.as_str(), value);
        }
        let body = body(self.text.as_deref(), self.html.as_deref(), &self.attachments, id);
        let raw = headers.body(body).write_to_vec();
        let raw = raw.map_err(|error| InvalidDraft(format!("cannot be written: {error}")))?;

        let smtp_utf8 = recipients.iter().chain([&sender]).any(|it| !it.as_str().is_ascii());
        Ok(Submission {
            envelope: Envelope { sender: Some(sender), recipients, smtp_utf8, dsn: None },
            raw: raw.into(),
            user: None,
            peer: None,
            account: None,
            may_steer: true,
        })
    }
}

fn address(field: &str, mailbox: &Mailbox) -> Result<Address, InvalidDraft> {
    one_line(field, &mailbox.name)?;
    mailbox.address.parse().map_err(|error| InvalidDraft(format!("{field}: {error}")))
}

/// Refuses what would begin a header line of its own.
fn one_line(field: &str, text: &str) -> Result<(), InvalidDraft> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        return Err(InvalidDraft(format!(
            "{field}: line breaks and control characters are not allowed"
        )));
    }
    Ok(())
}

/// Fields that are written here, from what else the draft says.
const OWN_FIELDS: [&str; 9] =
    ["from", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "mime-version"];

/// Fields that only those on the way may write.
const FIELDS_OF_THE_WAY: [&str; 5] =
    ["received", "return-path", "sender", "dkim-signature", "authentication-results"];

/// The longest name and value of a further field, octets, and the longest word in one: lines end at 998.
const FIELD_NAME_MAX: usize = 76;
const FIELD_MAX: usize = 8 * 1024;
const WORD_MAX: usize = 900;

/// Refuses a further field that would be read as something else, or that is not the draft's to write.
fn check_header(name: &str, value: &str) -> Result<(), InvalidDraft> {
    let is_name = |name: &str| {
        name.len() <= FIELD_NAME_MAX && name.bytes().all(|it| it.is_ascii_graphic() && it != b':')
    };
    if name.is_empty() || !is_name(name) {
        let shown: String = name.chars().take(FIELD_NAME_MAX).collect();
        return Err(InvalidDraft(format!("headers: {shown:?} is not the name of a header field")));
    }
    let lower = name.to_ascii_lowercase();
    if OWN_FIELDS.contains(&lower.as_str()) || lower.starts_with("content-") {
        return Err(InvalidDraft(format!(
            "headers: {name} is written by mailferry, from the other fields of the message"
        )));
    }
    let of_the_way = |it: &str| {
        FIELDS_OF_THE_WAY.contains(&it) || it.starts_with("resent-") || it.starts_with("arc-")
    };
    if of_the_way(&lower) {
        return Err(InvalidDraft(format!(
            "headers: {name} is written by the servers on the way, not by who sends"
        )));
    }
    one_line(&format!("headers: {name}"), value)?;
    if value.len() > FIELD_MAX {
        return Err(InvalidDraft(format!("headers: {name} is longer than {FIELD_MAX} octets")));
    }
    let longest = value.split([' ', '\t']).map(str::len).max().unwrap_or_default();
    if value.is_ascii() && longest > WORD_MAX {
        return Err(InvalidDraft(format!(
            "headers: {name} has a word of more than {WORD_MAX} octets"
        )));
    }
    Ok(())
}

fn check(attachment: &Attachment) -> Result<(), InvalidDraft> {
    one_line("attachment name", &attachment.filename)?;
    one_line("attachment content type", &attachment.content_type)?;
    if let Some(id) = &attachment.content_id {
        one_line("attachment content id", id)?;
        if id.contains(['<', '>', ' ']) {
            return Err(InvalidDraft(format!("attachment content id: {id:?} is not an id")));
        }
    }
    let media_type = Parameterised::read(&attachment.content_type).value;
    let token = |half: &str| {
        !half.is_empty()
            && half.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let valid = media_type.split_once('/').is_some_and(|(kind, sub)| token(kind) && token(sub));
    if !valid || media_type.starts_with("multipart/") {
        let given = &attachment.content_type;
        return Err(InvalidDraft(format!(
            "attachment content type: {given:?} is not a media type"
        )));
    }
    Ok(())
}

/// Text and HTML as alternatives, inline files beside the HTML, the other files beside all.
fn body<'a>(
    text: Option<&'a str>,
    html: Option<&'a str>,
    attachments: &'a [Attachment],
    id: QueueId,
) -> MimePart<'a> {
    let inline = |it: &&Attachment| it.inline && it.content_id.is_some() && html.is_some();
    let related: Vec<_> = attachments.iter().filter(inline).map(file).collect();
    let files: Vec<_> = attachments.iter().filter(|it| !inline(it)).map(file).collect();

    let html = html.map(|html| {
        let part = MimePart::new("text/html", lines_ended_by_crlf(html));
        multipart("related", id, part, related)
    });
    let text = text.map(|text| MimePart::new("text/plain", lines_ended_by_crlf(text)));
    let shown = match (text, html) {
        (Some(text), Some(html)) => multipart("alternative", id, text, vec![html]),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => MimePart::new("text/plain", ""),
    };
    multipart("mixed", id, shown, files)
}

/// `first` alone, or with `others` in a multipart. The boundary is set, because one made up would be random.
fn multipart<'a>(
    kind: &str,
    id: QueueId,
    first: MimePart<'a>,
    others: Vec<MimePart<'a>>,
) -> MimePart<'a> {
    if others.is_empty() {
        return first;
    }
    let content_type = ContentType::new(format!("multipart/{kind}"))
        .attribute("boundary", format!("={kind}-{id}"));
    let mut parts = vec![first];
    parts.extend(others);
    MimePart::new(content_type, parts)
}

fn file(attachment: &Attachment) -> MimePart<'_> {
    let content_type = write::content_type(Parameterised::read(&attachment.content_type));
    // Encoded here, so that a text file keeps its line ends.
    let encoded = transfer::to_base64(&attachment.bytes, "\r\n");
    let kind = if attachment.inline { "inline" } else { "attachment" };
    let disposition = ContentType::new(kind).attribute("filename", attachment.filename.as_str());
    let part = MimePart::new(content_type, encoded)
        .transfer_encoding("base64")
        .header("Content-Disposition", disposition);
    match &attachment.content_id {
        Some(id) => part.cid(id.as_str()),
        None => part,
    }
}

fn lines_ended_by_crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}
