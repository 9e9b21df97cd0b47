//! The edits that every raw-capable provider needs.

use std::borrow::Cow;
use std::ops::Range;

use mail_builder::headers::date::Date;

use super::edits::Edits;
use crate::clock::Timestamp;
use crate::message::address::canonical_domain;
use crate::message::mime::fields::{Field, Fields};
use crate::message::mime::mailboxes::Mailboxes;
use crate::message::mime::write;
use crate::message::parse::headers::is_provider_option;
use crate::message::{Address, Email, Envelope, QueueId};

/// Fields that a provider must not see: hidden recipients, and the trace that the final delivery adds.
const REMOVED: [&str; 3] = ["Bcc", "Resent-Bcc", "Return-Path"];

/// Fields that stand once (RFC 5322 §3.6, RFC 2045). Of more, the first stays; SES refuses such a message.
pub(super) const SINGLE: [&str; 14] = [
    "From",
    "Sender",
    "Reply-To",
    "Date",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Subject",
    "MIME-Version",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "Content-ID",
    "Content-Description",
];

/// The longest Reply-To that is looked into, octets.
const ADDRESSES_MAX: usize = 1024 * 1024;

/// What the edits are made from.
#[derive(Clone, Copy, Debug)]
pub struct RawEdits<'a> {
    /// Names the message: the Message-ID of one that has none.
    pub id: QueueId,
    /// When it was accepted: the Date of one that has none.
    pub received_at: Timestamp,
    /// Whose domain a new Message-ID takes, when there is no From.
    pub envelope: &'a Envelope,
    /// The parsed message, From rules applied.
    pub email: &'a Email,
}

/// Removes Bcc, Return-Path and provider options, keeps the first of fields that may stand once (To and Cc are joined,
/// so that nobody who was shown disappears), adds a missing Date or Message-ID, and writes From and Reply-To anew where
/// `sender.rewrite` has changed them. Every other byte stays as it was.
///
/// Fields that a DKIM signature covers are not joined, thinned out or added. Those that must not travel go nevertheless:
/// what that does to the signature, [`losses_of_raw`](super::losses_of_raw) says.
pub fn prepare_raw<'a>(raw: &'a [u8], edits: &RawEdits<'_>) -> Cow<'a, [u8]> {
    let mut header = Header { edits: Edits::of(raw), seen: Vec::new(), to: None, cc: None };
    let mut fields = Fields::of_message(raw);
    if fields.position() > 0 {
        // An mbox line.
        header.edits.remove(0..fields.position());
    }
    for field in fields.by_ref() {
        header.field(&field, edits.email);
    }

    let end = fields.position();
    let mut added = header.missing(edits);
    let open = fields.body() == end;
    if open && end < raw.len() {
        // The body began without an empty line. With one, no reader can take its first lines for fields.
        added.extend_from_slice(b"\r\n");
    }
    let unended = end == raw.len() && !raw.is_empty() && !raw.ends_with(b"\n");
    if unended && !added.is_empty() && !header.edits.reaches(end) {
        added.splice(0..0, *b"\r\n");
    }
    if !added.is_empty() {
        header.edits.replace_lines(end..end, &added);
    }
    header.edits.apply()
}

struct Header<'a> {
    edits: Edits<'a>,
    /// The names of [`SINGLE`] that have stood, as written there.
    seen: Vec<&'static str>,
    to: Option<Joined>,
    cc: Option<Joined>,
}

/// The first of several To or Cc fields.
struct Joined {
    /// Where its value ends.
    end: usize,
    /// It holds an address.
    filled: bool,
}

impl Header<'_> {
    fn field(&mut self, field: &Field<'_>, email: &Email) {
        let range = field.range.clone();
        if must_go(field.name) {
            self.edits.remove(range);
        } else if covered(email, field.name) && !email.from_rewritten {
            // A second one is the app's affair.
            self.seen.extend(SINGLE.iter().find(|name| field.is(name)));
        } else if field.is("To") {
            let first = self.to.take();
            self.to = Some(self.join(first, field));
        } else if field.is("Cc") {
            let first = self.cc.take();
            self.cc = Some(self.join(first, field));
        } else if let Some(name) = SINGLE.iter().find(|name| field.is(name)) {
            if self.seen.contains(name) {
                self.edits.remove(range);
                return;
            }
            self.seen.push(name);
            if email.from_rewritten {
                self.rewrite(name, field, range, email);
            }
        }
    }

    /// What `sender.rewrite` has changed about this field.
    fn rewrite(&mut self, name: &str, field: &Field<'_>, range: Range<usize>, email: &Email) {
        match name {
            "From" => self.edits.replace_lines(range, &write::address_field(name, &email.from)),
            // One that holds an address was the app's, and has stayed.
            "Reply-To"
                if field.value.len() <= ADDRESSES_MAX
                    && Mailboxes::read(&field.text(None)).list.is_empty() =>
            {
                self.edits.replace_lines(range, &write::address_field(name, &email.reply_to));
            }
            "Sender" if email.sender.is_none() => self.edits.remove(range),
            _ => {}
        }
    }

    /// Moves the addresses of a further field behind those of the first.
    fn join(&mut self, first: Option<Joined>, field: &Field<'_>) -> Joined {
        let value = field.value.trim_ascii();
        let end = field.range.end - trailing_line_end(self.edits.raw(), field.range.end);
        let Some(first) = first else { return Joined { end, filled: !value.is_empty() } };
        if !value.is_empty() {
            let mut more = Vec::with_capacity(value.len() + 4);
            if first.filled {
                more.push(b',');
            }
            more.extend_from_slice(self.edits.line_end.as_bytes());
            more.push(b' ');
            more.extend_from_slice(value);
            self.edits.replace(first.end..first.end, more);
        }
        self.edits.remove(field.range.clone());
        Joined { end: first.end, filled: first.filled || !value.is_empty() }
    }

    /// The fields that have to be there and are not.
    fn missing(&self, edits: &RawEdits<'_>) -> Vec<u8> {
        let email = edits.email;
        let mut added = Vec::new();
        if email.from_rewritten && !self.seen.contains(&"From") {
            added.extend_from_slice(&write::address_field("From", &email.from));
        }
        if email.from_rewritten && !email.reply_to.is_empty() && !self.seen.contains(&"Reply-To") {
            added.extend_from_slice(&write::address_field("Reply-To", &email.reply_to));
        }
        if !self.seen.contains(&"Date") && !covered(email, "Date") {
            let date = Date::new(edits.received_at.as_second()).to_rfc822();
            added.extend_from_slice(format!("Date: {date}\r\n").as_bytes());
        }
        if !self.seen.contains(&"Message-ID") && !covered(email, "Message-ID") {
            let id = format!("Message-ID: <{}@{}>\r\n", edits.id, domain(edits));
            added.extend_from_slice(id.as_bytes());
        }
        added
    }
}

/// True for a field that a DKIM signature covers: present or absent, it has to stay so.
fn covered(email: &Email, name: &str) -> bool {
    email.dkim.as_ref().is_some_and(|signature| signature.covers(name))
}

/// True for a field that no provider may see.
pub(super) fn must_go(name: &str) -> bool {
    REMOVED.iter().any(|known| name.eq_ignore_ascii_case(known)) || is_provider_option(name)
}

/// The domain of the author, else of the envelope sender.
fn domain<'a>(edits: &RawEdits<'a>) -> Cow<'a, str> {
    let author = edits.email.from.first().and_then(|author| author.address.rsplit_once('@'));
    let sender = edits.envelope.sender.as_ref().map(Address::domain);
    let domain = author.map(|(_, domain)| domain).or(sender).map(canonical_domain);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    domain.filter(|domain| domain.bytes().all(plain)).unwrap_or("localhost".into())
}

/// The length of the line end before `end`.
pub(super) fn trailing_line_end(raw: &[u8], end: usize) -> usize {
    match raw.get(..end) {
        Some([.., b'\r', b'\n']) => 2,
        Some([.., b'\n']) => 1,
        Some(_) | None => 0,
    }
}
