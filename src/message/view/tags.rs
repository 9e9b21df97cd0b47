//! Tags as they stand in HTML, and what is done with those of each name.

/// What becomes of an element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is shown.
    Kept,
    /// It is shown, and has no content.
    Void,
    /// It is left out with all that is in it.
    Dropped,
    /// Its content is styles.
    Style,
    /// Its content is text, whatever it looks like.
    Text,
    /// Its tags are left out, what is between them is not.
    Unwrapped,
}

/// Elements that are shown. None of them loads, runs or sends anything by itself, but `img`.
pub(super) const KEPT: [&str; 68] = [
    "a",
    "abbr",
    "acronym",
    "address",
    "article",
    "aside",
    "b",
    "bdi",
    "bdo",
    "big",
    "blockquote",
    "caption",
    "center",
    "cite",
    "code",
    "col",
    "colgroup",
    "dd",
    "del",
    "details",
    "dfn",
    "dir",
    "div",
    "dl",
    "dt",
    "em",
    "figcaption",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "i",
    "ins",
    "kbd",
    "li",
    "main",
    "mark",
    "nav",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "samp",
    "section",
    "small",
    "span",
    "strike",
    "strong",
    "sub",
    "summary",
    "sup",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "tt",
    "u",
    "ul",
];

/// Likewise, and they have no content.
pub(super) const VOID: [&str; 4] = ["br", "hr", "img", "wbr"];

/// Elements whose content is a program, a document of its own, or the values of a form.
pub(super) const DROPPED: [&str; 18] = [
    "applet",
    "audio",
    "canvas",
    "datalist",
    "frameset",
    "iframe",
    "math",
    "noembed",
    "noframes",
    "object",
    "portal",
    "script",
    "select",
    "svg",
    "template",
    "title",
    "video",
    "fencedframe",
];

/// Attributes that say how something looks, or whose it is in the style.
pub(super) const ATTRIBUTES: [&str; 48] = [
    "abbr",
    "align",
    "alt",
    "bgcolor",
    "border",
    "bordercolor",
    "cellpadding",
    "cellspacing",
    "class",
    "clear",
    "color",
    "colspan",
    "compact",
    "datetime",
    "dir",
    "face",
    "frame",
    "headers",
    "height",
    "hspace",
    "id",
    "lang",
    "leftmargin",
    "marginheight",
    "marginwidth",
    "name",
    "noshade",
    "nowrap",
    "open",
    "reversed",
    "role",
    "rowspan",
    "rules",
    "scope",
    "size",
    "span",
    "start",
    "style",
    "summary",
    "title",
    "topmargin",
    "type",
    "valign",
    "value",
    "vspace",
    "width",
    "aria-hidden",
    "aria-label",
];

/// Elements that may have a picture behind them, by the attribute `background`.
pub(super) const BACKED: [&str; 6] = ["table", "tbody", "td", "tfoot", "th", "tr"];

/// The most attributes of one tag that are read.
const ATTRIBUTES_MAX: usize = 64;
/// The longest value of an attribute, octets; an image that stands in `src` may be longer.
const VALUE_MAX: usize = 32 * 1024;

/// The most laborious characters in one text or one value of an attribute.
pub(super) const LABOUR_MAX: usize = 1_000;

/// Characters for each of which the sanitiser looks through all the rest of the text that they are in: those that it
/// writes as references, or whose first octet is that of such a one.
pub(super) fn is_laborious(c: char) -> bool {
    matches!(c, '&' | '\u{80}'..='\u{bf}')
}

/// By the name, in lower case.
pub(super) fn kind(name: &str) -> (Kind, &'static str) {
    let among = |list: &'static [&'static str]| list.iter().find(|known| **known == name).copied();
    if let Some(known) = among(&KEPT) {
        let kind = if known == "col" { Kind::Void } else { Kind::Kept };
        return (kind, known);
    }
    if let Some(known) = among(&VOID) {
        return (Kind::Void, known);
    }
    if let Some(known) = among(&DROPPED) {
        return (Kind::Dropped, known);
    }
    match name {
        // There is one body already, ours.
        "body" => (Kind::Kept, "div"),
        "image" => (Kind::Void, "img"),
        "menu" => (Kind::Kept, "ul"),
        "style" => (Kind::Style, "style"),
        "textarea" => (Kind::Text, "textarea"),
        "xmp" => (Kind::Text, "xmp"),
        "listing" => (Kind::Kept, "pre"),
        _ => (Kind::Unwrapped, ""),
    }
}

/// One tag, attributes as they were written.
#[derive(Debug)]
pub(super) struct Tag<'a> {
    pub(super) name: String,
    pub(super) closing: bool,
    pub(super) attributes: Vec<(String, &'a str)>,
}

impl<'a> Tag<'a> {
    /// The tag that `text` begins with, and what follows it; nothing where its end is missing.
    pub(super) fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let rest = text.strip_prefix('<')?;
        let (closing, rest) = rest.strip_prefix('/').map_or((false, rest), |rest| (true, rest));
        let end = rest.find(|c: char| is_blank(c) || matches!(c, '/' | '>'))?;
        let (name, mut rest) = rest.split_at_checked(end)?;
        let mut attributes: Vec<(String, &str)> = Vec::new();
        loop {
            rest = rest.trim_start_matches(|c| is_blank(c) || c == '/');
            if let Some(behind) = rest.strip_prefix('>') {
                let name = name.to_ascii_lowercase();
                return Some((Self { name, closing, attributes }, behind));
            }
            let (name, value, behind) = attribute(rest)?;
            rest = behind;
            let name = name.to_ascii_lowercase();
            let labour = value.chars().filter(|c| is_laborious(*c)).count();
            let long = labour > LABOUR_MAX || (value.len() > VALUE_MAX && name != "src");
            let known = attributes.iter().any(|(known, _)| *known == name);
            if !closing && !long && !known && attributes.len() < ATTRIBUTES_MAX {
                attributes.push((name, value));
            }
        }
    }
}

/// The name and the value of the attribute that `text` begins with, and what follows.
fn attribute(text: &str) -> Option<(&str, &str, &str)> {
    // An equals sign at the beginning is a part of the name.
    let first = text.chars().next()?.len_utf8();
    let ends = |c: char| is_blank(c) || matches!(c, '/' | '>' | '=');
    let end = first + text.get(first..)?.find(ends)?;
    let (name, rest) = text.split_at_checked(end)?;
    let Some(value) = rest.trim_start_matches(is_blank).strip_prefix('=') else {
        return Some((name, "", rest));
    };
    let value = value.trim_start_matches(is_blank);
    for quote in ['"', '\''] {
        if let Some(value) = value.strip_prefix(quote) {
            let (value, rest) = value.split_once(quote)?;
            return Some((name, value, rest));
        }
    }
    let end = value.find(|c: char| is_blank(c) || c == '>')?;
    let (value, rest) = value.split_at_checked(end)?;
    Some((name, value, rest))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\u{c}')
}
