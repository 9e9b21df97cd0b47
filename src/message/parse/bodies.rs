//! Which parts are the text and the HTML body.
//!
//! A message is shown twice: to readers of plain text, and to readers of HTML. Each view is a list of parts. In a
//! `multipart/alternative` each view picks its alternative; elsewhere what stands one after the other is shown one
//! after the other, in both views, so that a list footer or the text between two images is lost in neither.

use std::borrow::Cow;

use mail_parser::decoders::html::html_to_text;

use super::flowed;
use crate::message::Email;
use crate::message::mime::charset;
use crate::message::mime::structure::{Part, Structure};
use crate::message::mime::transfer::{self, Encoding};

/// Reads the bodies into `email`. Returns for each part whether it is in one of them.
pub(super) fn read(raw: &[u8], structure: &Structure, email: &mut Email) -> Vec<bool> {
    let views = Views::of(structure, 0);
    let html = |index: usize| structure.parts.get(index).is_some_and(|part| part.is("text/html"));
    let has_text = views.text.iter().any(|index| !html(*index));
    let has_html = views.html.iter().any(|index| html(*index));

    let mut content: Vec<Option<String>> = vec![None; structure.parts.len()];
    let used = views.text.iter().filter(|_| has_text);
    for &index in used.chain(views.html.iter().filter(|_| has_html)) {
        if let (Some(part), Some(place @ None)) =
            (structure.parts.get(index), content.get_mut(index))
        {
            *place = Some(text_of(raw, part, structure.hint.as_deref(), email));
        }
    }
    let shown = content.iter().map(Option::is_some).collect();

    // Copied only where the other view needs it too.
    let mut piece = |index: usize, again: bool| {
        let place = content.get_mut(index);
        let content = place.and_then(|it| if again { it.clone() } else { it.take() });
        Piece { html: html(index), content: content.unwrap_or_default() }
    };
    if has_text {
        let again = |index: &usize| has_html && views.html.contains(index);
        let pieces = views.text.iter().map(|index| piece(*index, again(index))).collect();
        email.text = Some(joined_text(pieces));
    }
    if has_html {
        let pieces = views.html.iter().map(|index| piece(*index, false)).collect();
        email.html = Some(joined_html(pieces));
    }
    // A message without content has no body, rather than an empty one.
    if structure.parts.len() == 1 && email.text.as_deref() == Some("") {
        email.text = None;
    }
    shown
}

/// The parts that each kind of reader sees.
#[derive(Clone, Debug, Default)]
struct Views {
    text: Vec<usize>,
    html: Vec<usize>,
}

impl Views {
    fn of(structure: &Structure, index: usize) -> Self {
        let Some(part) = structure.parts.get(index) else { return Self::default() };
        if !part.multipart {
            let list = if is_body(structure, part) { vec![index] } else { Vec::new() };
            return Self { text: list.clone(), html: list };
        }
        let mut children = part.children.iter().map(|child| Self::of(structure, *child));
        match part.media.value.as_str() {
            "multipart/alternative" => Self::best(structure, &children.collect::<Vec<_>>()),
            "multipart/related" => {
                // The others are what the root refers to, whatever their type.
                let root = related_root(structure, part);
                children.nth(root).unwrap_or_default()
            }
            _ => children.fold(Self::default(), |mut all, child| {
                all.text.extend(child.text);
                all.html.extend(child.html);
                all
            }),
        }
    }

    /// The plainest alternative for readers of text, the last with HTML for the others.
    fn best(structure: &Structure, children: &[Self]) -> Self {
        let html = |index: &usize| structure.parts.get(*index).is_some_and(|it| it.is("text/html"));
        let plain = children.iter().find(|it| !it.text.is_empty() && !it.text.iter().any(html));
        let rich = children.iter().rfind(|it| it.html.iter().any(html));
        Self {
            text: plain.or(rich).map(|it| it.text.clone()).unwrap_or_default(),
            html: rich.or(plain).map(|it| it.html.clone()).unwrap_or_default(),
        }
    }
}

/// True for a leaf that is shown and not handed over as a file.
fn is_body(structure: &Structure, part: &Part) -> bool {
    let text = part.is("text/plain") || part.is("text/html");
    if !text || part.is_attachment() || part.encoding == Encoding::Opaque {
        return false;
    }
    let parent = part.parent.and_then(|parent| structure.parts.get(parent));
    // Beside others, a name makes it a file; an alternative, or the only part, is the body all the same.
    let alone = parent
        .is_none_or(|parent| parent.is("multipart/alternative") || parent.is("multipart/related"));
    alone || part.filename().is_none()
}

/// The position of the child that a `multipart/related` shows: the one that `start` names, else the first.
fn related_root(structure: &Structure, part: &Part) -> usize {
    let start = part.media.param("start").map(|id| id.trim_matches(['<', '>', ' ']));
    let named = |child: &usize| {
        let id = structure.parts.get(*child).and_then(|part| part.content_id.as_deref());
        id.is_some() && id == start
    };
    part.children.iter().position(named).unwrap_or_default()
}

/// A full line of base64, octets.
const ENCODED_LINE: usize = 76;

/// The content of a text part in UTF-8, lines ended by LF. `hint` is a charset that another part states.
fn text_of(raw: &[u8], part: &Part, hint: Option<&str>, email: &mut Email) -> String {
    let body = raw.get(part.body.clone()).unwrap_or_default();
    let behind = match part.encoding {
        Encoding::Base64 => transfer::text_behind_base64(body),
        Encoding::Identity | Encoding::QuotedPrintable | Encoding::Uuencode | Encoding::Opaque => {
            None
        }
    };
    if let Some((encoded, text)) = behind {
        let why = "text behind the base64 is shown as it is written";
        let bytes = transfer::base64(encoded).0;
        let (shown, fault) = charset::decode(&bytes, part.media.param("charset"));
        // Words that only look like it give no text.
        let words = fault.is_some_and(|fault| fault.grave)
            || (encoded.len() < ENCODED_LINE && str::from_utf8(&bytes).is_err());
        let (shown, written) = if words { ("".into(), body) } else { (shown, text) };
        email.lose(part.label(), why);
        let (written, _) = charset::decode(written, None);
        let gap = if shown.is_empty() || shown.ends_with('\n') { "" } else { "\n" };
        return with_line_feeds(format!("{shown}{gap}{written}").into());
    }
    let (bytes, fault) = part.encoding.undo(body);
    let stated = part.media.param("charset");
    let guessed = match stated {
        None if str::from_utf8(&bytes).is_err() => {
            meta_charset(part, &bytes).or_else(|| hint.map(str::to_owned))
        }
        Some(_) | None => None,
    };
    let (text, charset_fault) = charset::decode(&bytes, stated.or(guessed.as_deref()));
    for fault in fault.into_iter().chain(charset_fault) {
        email.lose_by(part.label(), fault);
    }
    let text = with_line_feeds(text);
    let flowed = part.media.param("format").is_some_and(|it| it.eq_ignore_ascii_case("flowed"));
    if flowed && part.is("text/plain") {
        let delete = part.media.param("delsp").is_some_and(|it| it.eq_ignore_ascii_case("yes"));
        return flowed::joined(&text, delete);
    }
    text
}

/// The text with lines ended by LF; a CR that stands alone stays.
fn with_line_feeds(text: Cow<'_, str>) -> String {
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return text.into_owned();
    }
    let mut lines = String::with_capacity(text.len());
    for piece in text.split_inclusive('\n') {
        match piece.strip_suffix("\r\n") {
            Some(line) => {
                lines.push_str(line);
                lines.push('\n');
            }
            None => lines.push_str(piece),
        }
    }
    lines
}

/// The charset that an HTML document states about itself, for mail that does not.
fn meta_charset(part: &Part, bytes: &[u8]) -> Option<String> {
    const LOOKED_AT: usize = 1024;
    if !part.is("text/html") {
        return None;
    }
    let head = bytes.get(..LOOKED_AT).unwrap_or(bytes).to_ascii_lowercase();
    let head = String::from_utf8_lossy(&head);
    let (_, after) = head.split_once("charset=")?;
    let label = after.trim_start_matches(['"', '\'']);
    let end = label.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.:".contains(c));
    end.and_then(|end| label.get(..end)).filter(|label| !label.is_empty()).map(str::to_owned)
}

/// A part of a view.
struct Piece {
    html: bool,
    content: String,
}

/// One after the other, each on lines of its own.
fn joined_text(pieces: Vec<Piece>) -> String {
    let mut out = String::new();
    for piece in pieces {
        let content = if piece.html { html_to_text(&piece.content) } else { piece.content };
        if out.is_empty() {
            out = content;
            continue;
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
        out.push_str(&content);
    }
    out
}

/// The first HTML document, with what stands before and after it inside its body.
fn joined_html(pieces: Vec<Piece>) -> String {
    let Some(first) = pieces.iter().position(|piece| piece.html) else { return String::new() };
    let mut before = String::new();
    let mut document = String::new();
    let mut after = String::new();
    for (at, piece) in pieces.into_iter().enumerate() {
        let Piece { html, content } = piece;
        match at.cmp(&first) {
            std::cmp::Ordering::Less => before.push_str(&text_as_html(&content)),
            std::cmp::Ordering::Equal => document = content,
            std::cmp::Ordering::Greater if html => after.push_str(&content),
            std::cmp::Ordering::Greater => after.push_str(&text_as_html(&content)),
        }
    }
    if before.is_empty() && after.is_empty() {
        return document;
    }

    // Lower case changes no offset in ASCII.
    let lower = document.to_ascii_lowercase();
    let end = lower.rfind("</body").unwrap_or(document.len());
    let start = lower
        .find("<body")
        .and_then(|tag| lower.get(tag..)?.find('>').map(|close| tag + close + 1))
        .filter(|start| *start <= end)
        .unwrap_or(0);
    let (head, rest) = document.split_at_checked(start).unwrap_or(("", &document));
    let (body, tail) = rest.split_at_checked(end - start).unwrap_or((rest, ""));
    [head, &before, body, &after, tail].concat()
}

/// Plain text inside HTML.
fn text_as_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 32);
    out.push_str("<div>");
    for c in text.trim_end_matches('\n').chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' => out.push_str("<br>\n"),
            c => out.push(c),
        }
    }
    out.push_str("</div>\n");
    out
}
