//! The parts of a message and where they stand (RFC 2046).

use std::ops::Range;

use super::charset;
use super::fields::{Field, Fields, line_end};
use super::params::Parameterised;
use super::transfer::Encoding;
use crate::message::Loss;

/// How deep multiparts may stand in each other. Deeper ones are carried as one file.
const DEPTH_MAX: usize = 32;
/// The longest field about a part that is read, octets.
const FIELD_MAX: usize = 256 * 1024;
/// The longest Content-Location or Content-Base that is read, octets as written.
const ADDRESS_MAX: usize = 4096;
/// How many parts are told apart. What follows them is a loss.
const PARTS_MAX: usize = 1000;

/// One part of a message; the first is the message itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    /// The multipart that holds it.
    pub(crate) parent: Option<usize>,
    /// The parts that it holds, in order. Empty for leaves.
    pub(crate) children: Vec<usize>,
    /// The multipart was read as such; false for leaves.
    pub(crate) multipart: bool,
    /// As in IMAP: `2.1` is the first part of the second, and a message that is no multipart is its own part `1`.
    pub(crate) number: String,
    /// Where its fields stand, without the empty line.
    pub(crate) header: Range<usize>,
    /// Where its content stands, without the line end that belongs to the boundary.
    pub(crate) body: Range<usize>,
    /// Content-Type, with the default of RFC 2045 §5.2 when it is absent.
    pub(crate) media: Parameterised,
    /// Whether a Content-Type was there.
    pub(crate) media_stated: bool,
    /// Content-Disposition.
    pub(crate) disposition: Option<Parameterised>,
    /// Content-Transfer-Encoding.
    pub(crate) encoding: Encoding,
    /// Content-ID without its brackets.
    pub(crate) content_id: Option<String>,
    /// Content-Location.
    pub(crate) location: Option<String>,
    /// Content-Base (RFC 2110): what relative locations are relative to.
    pub(crate) base: Option<String>,
}

impl Part {
    /// True for this type, `text/plain`.
    pub(crate) fn is(&self, media_type: &str) -> bool {
        self.media.value == media_type
    }

    /// The name that the message gives it.
    pub(crate) fn filename(&self) -> Option<&str> {
        let disposition = self.disposition.as_ref().and_then(|it| it.param("filename"));
        let media = || self.media.param("name").or_else(|| self.media.param("filename"));
        disposition.or_else(media).filter(|name| !name.is_empty())
    }

    /// True for `Content-Disposition: attachment`.
    pub(crate) fn is_attachment(&self) -> bool {
        self.disposition.as_ref().is_some_and(|it| it.value == "attachment")
    }

    /// As losses name it: `part 2.1 (text/x-amp-html)`, `message (multipart/report)`.
    pub(crate) fn label(&self) -> String {
        if self.parent.is_none() && self.media.main_type() == "multipart" {
            return format!("message ({})", self.media.value);
        }
        format!("part {} ({})", self.number, self.media.value)
    }
}

/// All parts of a message.
#[derive(Debug, Default)]
pub(crate) struct Structure {
    /// In the order of the message, each before its children.
    pub(crate) parts: Vec<Part>,
    /// The first charset that a part states besides ASCII and UTF-8: what unlabelled 8-bit fields are likely in.
    pub(crate) hint: Option<String>,
    /// What could not be told apart.
    pub(crate) losses: Vec<Loss>,
}

/// Whether messages within the message are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nested {
    /// They are files.
    Closed,
    /// Their parts are parts.
    Opened,
}

impl Structure {
    /// Reads any bytes.
    pub(crate) fn read(raw: &[u8], nested: Nested) -> Self {
        let mut walk = Walk { raw, nested, found: Self::default() };
        walk.part(0..raw.len(), None, 1, 0, "text/plain");
        walk.found
    }
}

struct Walk<'a> {
    raw: &'a [u8],
    nested: Nested,
    found: Structure,
}

impl Walk<'_> {
    /// Reads the part that stands in `section`, and those in it.
    fn part(
        &mut self,
        section: Range<usize>,
        parent: Option<usize>,
        position: usize,
        depth: usize,
        default_type: &str,
    ) {
        let index = self.found.parts.len();
        let mut part = self.header(section, depth == 0, default_type);
        part.parent = parent;
        part.number = self.number(parent, position);
        let body = part.body.clone();

        let multipart = part.media.main_type() == "multipart";
        let message = matches!(part.media.value.as_str(), "message/rfc822" | "message/global")
            && part.encoding == Encoding::Identity
            && self.nested == Nested::Opened;
        if depth >= DEPTH_MAX && (multipart || message) {
            self.lose(part.label(), "it stands too deep in the message: carried as one file");
        } else if multipart {
            let boundary = part.media.param("boundary").unwrap_or_default().trim_end().to_owned();
            let sections = self.sections(body.clone(), &boundary);
            let closed = sections.is_empty() && is_empty_multipart(&self.raw[body], &boundary);
            if closed {
                part.multipart = true;
            } else if sections.is_empty() {
                // Nothing of it can be told apart: show it as it is.
                part.media = Parameterised::plain("text/plain");
            } else {
                part.multipart = true;
                let default =
                    if part.is("multipart/digest") { "message/rfc822" } else { "text/plain" };
                self.found.parts.push(part);
                for (at, section) in sections.into_iter().enumerate() {
                    if self.found.parts.len() >= PARTS_MAX {
                        self.lose(
                            format!("everything after part {PARTS_MAX}"),
                            "a message may have no more parts",
                        );
                        return;
                    }
                    let child = self.found.parts.len();
                    self.part(section, Some(index), at + 1, depth + 1, default);
                    if let Some(part) = self.found.parts.get_mut(index) {
                        part.children.push(child);
                    }
                }
                return;
            }
        } else if message {
            part.children.push(index + 1);
            self.found.parts.push(part);
            self.part(body, Some(index), 1, depth + 1, "text/plain");
            return;
        }
        self.found.parts.push(part);
    }

    /// The sections of a multipart. Where one within has the same boundary, its end is not the end of this one.
    fn sections(&mut self, body: Range<usize>, boundary: &str) -> Vec<Range<usize>> {
        let list = sections(self.raw, body.clone(), boundary, false);
        let all = sections(self.raw, body, boundary, true);
        if all.len() == list.len() {
            return list;
        }
        let hint = self.found.hint.clone();
        let same = list.iter().any(|section| {
            let within = self.header(section.clone(), false, "text/plain").media;
            within.param("boundary").is_some_and(|it| it.trim_end() == boundary)
        });
        self.found.hint = hint;
        if same { all } else { list }
    }

    /// Reads the fields of a part that say what it is. The first of several counts.
    fn header(&mut self, section: Range<usize>, message: bool, default_type: &str) -> Part {
        let bytes = &self.raw[section.clone()];
        let mut fields = if message { Fields::of_message(bytes) } else { Fields::of_part(bytes) };
        let start = section.start + fields.position();
        let mut part = Part::default();
        let mut encoding_stated = false;
        for field in fields.by_ref() {
            // Eight bytes are `Content-`.
            if !field.name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-")) {
                continue;
            }
            if field.value.len() > FIELD_MAX {
                // No program reads that much either.
                continue;
            }
            let mut text = field.text(self.found.hint.as_deref());
            if text.trim_start().starts_with("=?") {
                // Python's old interface encodes the whole field where a name is not ASCII.
                text = field.decoded(self.found.hint.as_deref()).into();
            }
            if field.is("Content-Type") && !part.media_stated {
                part.media = Parameterised::read(&text);
                part.media_stated = true;
            } else if field.is("Content-Transfer-Encoding") && !encoding_stated {
                part.encoding = Encoding::named(&text);
                encoding_stated = true;
            } else if field.is("Content-Disposition") && part.disposition.is_none() {
                part.disposition = Some(Parameterised::read(&text));
            } else if field.is("Content-ID") && part.content_id.is_none() {
                let id = field.decoded(None);
                let id = id.trim().trim_start_matches('<').trim_end_matches('>').trim();
                part.content_id = Some(id.to_owned()).filter(|id| !id.is_empty());
            } else if field.is("Content-Location") && part.location.is_none() {
                part.location = address(&field);
            } else if field.is("Content-Base") && part.base.is_none() {
                part.base = address(&field);
            }
        }
        // `text` alone and other half types are what the default is (RFC 2045 §5.2).
        if part.media.value.split('/').filter(|half| !half.is_empty()).count() != 2 {
            part.media = Parameterised::plain(default_type);
            part.media_stated = false;
        }
        if self.found.hint.is_none()
            && let Some(label) = part.media.param("charset")
            && charset::is_legacy(label)
        {
            self.found.hint = Some(label.to_owned());
        }
        part.header = start..section.start + fields.position();
        part.body = section.start + fields.body()..section.end;
        part
    }

    fn number(&self, parent: Option<usize>, position: usize) -> String {
        let above = parent.and_then(|parent| self.found.parts.get(parent));
        match above {
            Some(above) if above.parent.is_some() => format!("{}.{position}", above.number),
            Some(_) | None => position.to_string(),
        }
    }

    fn lose(&mut self, what: String, why: &str) {
        let loss = Loss::grave(what, why.to_owned());
        if !self.found.losses.contains(&loss) {
            self.found.losses.push(loss);
        }
    }
}

/// True when the multipart is closed before a part has begun.
fn is_empty_multipart(body: &[u8], boundary: &str) -> bool {
    let last = format!("--{boundary}--");
    !boundary.is_empty() && body.trim_ascii_start().starts_with(last.as_bytes())
}

/// The address in a field, which may be quoted and folded anywhere.
fn address(field: &Field<'_>) -> Option<String> {
    if field.value.len() > ADDRESS_MAX {
        return None;
    }
    let text: String = field.decoded(None).split_whitespace().collect();
    let text = text.trim_matches(['"', '<', '>']);
    Some(text.to_owned()).filter(|text| !text.is_empty())
}

/// The sections between the boundary lines of a multipart. A boundary counts only at the start of a line, whole, and
/// followed by nothing but blanks; those of a part within end with it, closed or not.
/// What is opened again behind the end is read only `beyond` it.
pub(crate) fn sections(
    raw: &[u8],
    body: Range<usize>,
    boundary: &str,
    beyond: bool,
) -> Vec<Range<usize>> {
    let mut list = Vec::new();
    if boundary.is_empty() {
        return list;
    }
    let mark = format!("--{boundary}");
    let bytes = &raw[body.clone()];
    let mut open: Option<usize> = None;
    for at in memchr::memmem::find_iter(bytes, mark.as_bytes()) {
        let Some(delimiter) = Delimiter::at(bytes, at, mark.len()) else { continue };
        if let Some(start) = open.take() {
            list.push(body.start + start..body.start + start.max(delimiter.before));
        }
        if (delimiter.last && !beyond) || list.len() > PARTS_MAX {
            return list;
        }
        open = Some(delimiter.after).filter(|_| !delimiter.last);
    }
    if let Some(start) = open {
        list.push(body.start + start..body.end);
    }
    list
}

/// A boundary line.
struct Delimiter {
    /// Where the part before it ends.
    before: usize,
    /// Where the part after it begins.
    after: usize,
    /// It closes the multipart.
    last: bool,
}

impl Delimiter {
    fn at(bytes: &[u8], at: usize, mark_length: usize) -> Option<Self> {
        let before = match bytes[..at] {
            [] => 0,
            [.., b'\r', b'\n'] => at - 2,
            [.., b'\n'] => at - 1,
            [..] => return None,
        };
        let end = line_end(bytes, at);
        let tail = &bytes[(at + mark_length).min(end)..end];
        let (last, tail) = match tail.strip_prefix(b"--") {
            Some(tail) => (true, tail),
            None => (false, tail),
        };
        // Anything else behind it makes it another boundary, which begins alike.
        tail.iter().all(u8::is_ascii_whitespace).then_some(Self { before, after: end, last })
    }
}
