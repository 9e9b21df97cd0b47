//! For transports that carry only 7-bit bytes in short lines.

use std::borrow::Cow;
use std::ops::Range;

use super::edits::Edits;
use crate::message::mime::fields::{Field, Fields, line_end};
use crate::message::mime::mailboxes::Mailboxes;
use crate::message::mime::params::Parameterised;
use crate::message::mime::structure::{Nested, Part, Structure};
use crate::message::mime::transfer::{self, Encoding};
use crate::message::mime::write;
use crate::message::parse::headers::LOOKED_AT_MAX;

/// The longest line, without its end (RFC 5322 §2.1.1).
const LINE_MAX: usize = 998;

/// The longest field that is written anew, octets.
const FIELD_MAX: usize = 1024 * 1024;

/// Address fields, in which only names may be encoded.
const ADDRESS_FIELDS: [&str; 11] = [
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Resent-From",
    "Resent-Sender",
    "Resent-To",
    "Resent-Cc",
    "Disposition-Notification-To",
    "Return-Receipt-To",
];

/// The message would have to be changed where it must not be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Untouchable {
    /// What and why, for an operator.
    pub reason: String,
}

impl Untouchable {
    fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}

/// Makes a message fit for a 7-bit way: parts with 8-bit bytes, with lines of more than 998 octets, or with a CR or LF
/// that is not a line end (binary ones, RFC 3030) are written as quoted-printable or base64, fields likewise as encoded
/// words. Decoded, everything is as it was; a message that fits already comes back as it is, and so does every byte of
/// the parts that do.
///
/// Signed and encrypted parts are not touched: one that would have to be is the error.
pub fn to_seven_bit(raw: &[u8]) -> Result<Cow<'_, [u8]>, Untouchable> {
    let edits = Edits::of(raw);
    let line_end = edits.line_end;
    if fits(raw, line_end) {
        return Ok(raw.into());
    }
    if Fields::of_message(raw).nth(LOOKED_AT_MAX).is_some() {
        return Err(Untouchable::new("its header has too many fields"));
    }
    let structure = Structure::read(raw, Nested::Opened);
    if let Some(loss) = structure.losses.first() {
        return Err(Untouchable::new(format!("{}: {}", loss.what, loss.why)));
    }
    let mut work = Work { raw, structure: &structure, edits };
    work.part(0)?;
    let out = work.edits.apply();
    if !fits(&out, line_end) {
        return Err(Untouchable::new("its parts do not let it be written in 7-bit lines"));
    }
    Ok(out)
}

/// True for 7-bit bytes in short lines, without NUL. A CR or LF of its own would be something else at the other end.
fn fits(bytes: &[u8], line_end: &str) -> bool {
    if !bytes.is_ascii() || memchr::memchr(0, bytes).is_some() {
        return false;
    }
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let (line, next) = match memchr::memchr2(b'\r', b'\n', rest) {
            None => (rest.len(), rest.len()),
            Some(at) if rest[at..].starts_with(line_end.as_bytes()) => (at, at + line_end.len()),
            Some(_) => return false,
        };
        if line > LINE_MAX {
            return false;
        }
        start += next;
    }
    true
}

struct Work<'a, 's> {
    raw: &'a [u8],
    structure: &'s Structure,
    edits: Edits<'a>,
}

impl<'a> Work<'a, '_> {
    fn part(&mut self, index: usize) -> Result<(), Untouchable> {
        let structure = self.structure;
        let Some(part) = structure.parts.get(index) else { return Ok(()) };
        self.fields(part)?;
        if self.fits(&part.body) {
            // Only fields of parts within could need work, and they stand in it.
            return Ok(());
        }
        if is_protected(part) {
            let label = part.label();
            return Err(Untouchable::new(format!("{label} is signed or encrypted and not 7-bit")));
        }
        if part.multipart {
            self.between(part)?;
        }
        if !part.children.is_empty() {
            self.relabel(part);
        }
        for &child in &part.children {
            self.part(child)?;
        }
        if part.children.is_empty() { self.leaf(part) } else { Ok(()) }
    }

    fn slice(&self, range: &Range<usize>) -> &'a [u8] {
        self.raw.get(range.clone()).unwrap_or_default()
    }

    fn fits(&self, range: &Range<usize>) -> bool {
        fits(self.slice(range), self.edits.line_end)
    }

    /// Takes `8bit` and `binary` from what holds other parts: after this, none of them is that.
    fn relabel(&mut self, part: &Part) {
        let section = self.slice(&part.header);
        for field in Fields::of_part(section) {
            let value = field.value.trim_ascii();
            let wide = value.eq_ignore_ascii_case(b"8bit") || value.eq_ignore_ascii_case(b"binary");
            if wide && field.is("Content-Transfer-Encoding") {
                let start = part.header.start;
                let range = start + field.range.start..start + field.range.end;
                self.edits.replace_lines(range, format!("{}: 7bit\r\n", field.name).as_bytes());
            }
        }
    }

    /// Encodes the fields that do not fit.
    fn fields(&mut self, part: &Part) -> Result<(), Untouchable> {
        if self.fits(&part.header) {
            return Ok(());
        }
        let section = self.slice(&part.header);
        for field in Fields::of_part(section) {
            let range = part.header.start + field.range.start..part.header.start + field.range.end;
            // The transfer encoding is `describe`'s.
            if !self.fits(&range) && !field.is("Content-Transfer-Encoding") {
                if field.value.len() > FIELD_MAX {
                    return Err(Untouchable::new(format!("header {} is too long", field.name)));
                }
                let written = encoded(&field, self.structure.hint.as_deref())?;
                self.edits.replace_lines(range, &written);
            }
        }
        Ok(())
    }

    /// Removes what stands before the first boundary and after the last, where it does not fit: nobody is shown it.
    fn between(&mut self, part: &Part) -> Result<(), Untouchable> {
        let parts = &self.structure.parts;
        let ends = (part.children.first(), part.children.last());
        let (Some(first), Some(last)) = ends else { return Ok(()) };
        let (Some(first), Some(last)) = (parts.get(*first), parts.get(*last)) else {
            return Ok(());
        };
        let mark = format!("--{}", part.media.param("boundary").unwrap_or_default().trim_end());
        if !mark.is_ascii() {
            return Err(Untouchable::new(format!("the boundary of {} is not ASCII", part.label())));
        }

        let before = part.body.start..first.header.start;
        if !self.fits(&before)
            && let Some(at) = memchr::memmem::rfind(self.slice(&before), mark.as_bytes())
        {
            self.edits.remove(before.start..before.start + at);
        }
        let after = last.body.end..part.body.end;
        if !self.fits(&after)
            && let Some(at) = memchr::memmem::find(self.slice(&after), mark.as_bytes())
        {
            let end = after.start + line_end(self.slice(&after), at);
            self.edits.remove(end..after.end);
        }
        Ok(())
    }

    /// Writes the content of a leaf in another transfer encoding.
    fn leaf(&mut self, part: &Part) -> Result<(), Untouchable> {
        if matches!(part.encoding, Encoding::Opaque | Encoding::Uuencode) {
            let reason =
                format!("{} is not 7-bit, and its encoding is not known here", part.label());
            return Err(Untouchable::new(reason));
        }
        let (bytes, _) = part.encoding.undo(self.slice(&part.body));
        let line_end = self.edits.line_end;
        let printable = match part.encoding {
            Encoding::QuotedPrintable => true,
            Encoding::Base64 | Encoding::Uuencode | Encoding::Opaque => false,
            Encoding::Identity => part.media.main_type() == "text" && is_mostly_printable(&bytes),
        };
        let (name, mut body) = if printable {
            ("quoted-printable", transfer::to_quoted_printable(&bytes, line_end))
        } else {
            ("base64", transfer::to_base64(&bytes, line_end))
        };
        if !printable && part.parent.is_some() && body.ends_with(line_end.as_bytes()) {
            // The line end before a boundary belongs to the boundary.
            body.truncate(body.len() - line_end.len());
        }
        self.edits.replace(part.body.clone(), body);
        self.describe(part, name, &bytes);
        Ok(())
    }

    /// Says in the fields of the part how it is encoded now.
    fn describe(&mut self, part: &Part, encoding: &str, bytes: &[u8]) {
        let section = self.slice(&part.header);
        let start = part.header.start;
        let mut added = Vec::new();
        let mut stated = false;
        let mut mime_version = false;
        for field in Fields::of_part(section) {
            if field.is("Content-Transfer-Encoding") {
                let range = start + field.range.start..start + field.range.end;
                if stated {
                    self.edits.remove(range);
                } else if part.encoding == Encoding::Identity {
                    let name = field.name;
                    self.edits.replace_lines(range, format!("{name}: {encoding}\r\n").as_bytes());
                }
                stated = true;
            }
            mime_version |= field.is("MIME-Version");
        }

        // Parts of a multipart need no MIME-Version; messages do, or nobody looks at the other fields.
        let parent = part.parent.and_then(|parent| self.structure.parts.get(parent));
        if !mime_version && parent.is_none_or(|parent| !parent.multipart) {
            added.extend_from_slice(b"MIME-Version: 1.0\r\n");
        }
        if !part.media_stated && part.is("text/plain") && str::from_utf8(bytes).is_ok() {
            added.extend_from_slice(b"Content-Type: text/plain; charset=utf-8\r\n");
        }
        if !stated {
            added
                .extend_from_slice(format!("Content-Transfer-Encoding: {encoding}\r\n").as_bytes());
        }
        if part.header.end == part.body.start {
            // The body began without an empty line.
            added.extend_from_slice(b"\r\n");
        }
        if !added.is_empty() {
            self.edits.replace_lines(part.header.end..part.header.end, &added);
        }
    }
}

/// True for a part whose bytes a signature covers, or that only its reader can open.
fn is_protected(part: &Part) -> bool {
    matches!(
        part.media.value.as_str(),
        "multipart/signed"
            | "multipart/encrypted"
            | "application/pkcs7-mime"
            | "application/x-pkcs7-mime"
    )
}

/// True when quoted-printable, three octets for each that is not printable, is readable and not much the longer form.
fn is_mostly_printable(bytes: &[u8]) -> bool {
    let plain =
        |byte: &&u8| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let others = bytes.len() - bytes.iter().filter(plain).count();
    others * 3 < bytes.len()
}

/// The field in 7-bit lines.
fn encoded(field: &Field<'_>, hint: Option<&str>) -> Result<Vec<u8>, Untouchable> {
    let name = field.name;
    let text = field.text(hint);
    if ADDRESS_FIELDS.iter().any(|known| field.is(known)) {
        let read = Mailboxes::read(&text);
        for mailbox in &read.list {
            let local = mailbox.address.rsplit_once('@').map_or("", |(local, _)| local);
            if !local.is_ascii() {
                let reason = format!("{} in {name} needs a way that takes UTF-8", mailbox.address);
                return Err(Untouchable::new(reason));
            }
        }
        if read.unreadable.is_empty() && !read.list.is_empty() {
            return checked(name, write::address_field(name, &read.list));
        }
    }
    if field.is("Content-Type") || field.is("Content-Disposition") {
        return checked(name, write::parameter_field(name, Parameterised::read(&text)));
    }
    // Only long lines are the trouble, and what reads the field may know nothing of encoded words.
    let as_it_is = text.is_ascii() && !field.is("Subject");
    if as_it_is {
        return checked(name, write::folded_field(name, &text));
    }
    checked(name, write::text_field(name, &field.decoded(hint)))
}

fn checked(name: &str, written: Vec<u8>) -> Result<Vec<u8>, Untouchable> {
    if fits(&written, "\r\n") {
        Ok(written)
    } else {
        Err(Untouchable::new(format!("header {name} has a line of more than {LINE_MAX} octets")))
    }
}
