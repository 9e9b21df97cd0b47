//! Messages made here: test mails, the command line, the API.

use mail_builder::MessageBuilder;
use mail_builder::headers::content_type::ContentType;
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
    pub subject: String,
    pub text: Option<String>,
    pub html: Option<String>,
    pub attachments: Vec<Attachment>,
}

/// What is wrong with a draft.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidDraft(pub String);

impl Draft {
    /// Writes the message as MIME with Date and Message-ID, addressed to everybody in `to`.
    pub fn compose(self, now: Timestamp) -> Result<Submission, InvalidDraft> {
        let sender = address("from", &self.from)?;
        let recipients =
            self.to.iter().map(|it| address("to", it)).collect::<Result<Vec<_>, _>>()?;
        if recipients.is_empty() {
            return Err(InvalidDraft("to: at least one recipient is needed".to_owned()));
        }
        one_line("subject", &self.subject)?;
        for attachment in &self.attachments {
            check(attachment)?;
        }

        // One id names the message and keeps its boundaries apart from any text.
        let id = QueueId::new(now);
        let headers = MessageBuilder::new()
            .from(header_address(&self.from))
            .to(self.to.iter().map(header_address).collect::<Vec<_>>())
            .subject(self.subject.as_str())
            .date(now.as_second())
            .message_id(format!("{id}@{}", canonical_domain(sender.domain())));
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
