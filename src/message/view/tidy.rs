//! HTML of any shape, made a balanced and bounded one before it is sanitised.
//!
//! A few hundred kilobytes of tags that are never closed cost a parser time, and memory, by the square of their number. So
//! a reader of our own goes over it first: it closes what is open, drops what is not shown anyway, takes the styles out,
//! and counts. It need not agree with browsers about what is an element. What it writes cannot be misread, and whether
//! that may be shown is decided by those who come after it.

use std::collections::HashMap;
use std::ops::Range;

use super::tags::{ATTRIBUTES, BACKED, Kind, LABOUR_MAX, Tag, is_laborious, kind};

/// How deep elements may stand in each other. The tags of deeper ones are left out.
const DEPTH_MAX: usize = 256;
/// How many elements are shown.
const ELEMENTS_MAX: usize = 50_000;
/// How much is written, octets: room for images within the HTML.
const OUT_MAX: usize = 8 * 1024 * 1024;
/// How many elements are opened again after one that was closed out of order.
const REOPENED_MAX: usize = 8;

/// A document that is balanced.
#[derive(Debug, Default)]
pub(super) struct Tidy {
    /// The content of the body.
    pub(super) html: String,
    /// The style sheets, one after the other.
    pub(super) styles: String,
    /// There was more than is shown.
    pub(super) cut: bool,
}

impl Tidy {
    /// Reads any text as HTML.
    pub(super) fn read(html: &str) -> Self {
        let mut reader = Reader {
            rest: html,
            out: Self::default(),
            open: Vec::new(),
            elements: 0,
            labour: 0,
            unclosed: HashMap::new(),
        };
        reader.run();
        reader.out
    }
}

/// An element that is open.
#[derive(Debug)]
struct Open {
    name: &'static str,
    /// Its tag in what was written.
    tag: Range<usize>,
}

struct Reader<'a> {
    rest: &'a str,
    out: Tidy,
    open: Vec<Open>,
    elements: usize,
    /// Laborious characters since texts were last kept apart.
    labour: usize,
    /// Names of elements of which no end follows any more.
    unclosed: HashMap<&'static str, ()>,
}

impl<'a> Reader<'a> {
    fn run(&mut self) {
        while !self.rest.is_empty() {
            if self.out.html.len() > OUT_MAX || self.elements > ELEMENTS_MAX {
                self.out.cut = true;
                break;
            }
            let next = memchr::memchr(b'<', self.rest.as_bytes()).unwrap_or(self.rest.len());
            let (text, rest) = self.rest.split_at_checked(next).unwrap_or((self.rest, ""));
            self.text(text);
            self.rest = rest;
            self.markup();
        }
        self.close_to(0);
    }

    fn text(&mut self, text: &str) {
        let room = (OUT_MAX + 1).saturating_sub(self.out.html.len());
        let text = match text.get(..text.floor_char_boundary(room)) {
            Some(start) if start.len() < text.len() => {
                self.out.cut = true;
                start
            }
            Some(_) | None => text,
        };
        for c in text.chars() {
            match c {
                '<' => self.out.html.push_str("&lt;"),
                '\0' => {}
                c => {
                    if is_laborious(c) {
                        self.keep_apart();
                    }
                    self.out.html.push(c);
                }
            }
        }
    }

    /// Puts an empty element between texts, in front of a character that is laborious. Tags do not count as that: text
    /// between the rows of a table is moved in front of it, and is one.
    fn keep_apart(&mut self) {
        self.labour += 1;
        if self.labour > LABOUR_MAX {
            self.labour = 1;
            self.elements += 1;
            self.out.html.push_str("<span></span>");
        }
    }

    /// What begins with `<` here.
    fn markup(&mut self) {
        let bytes = self.rest.as_bytes();
        match (bytes.get(1), bytes.get(2)) {
            (None, _) => self.rest = "",
            (Some(b'!'), _) if self.rest.starts_with("<!--") => self.comment(),
            (Some(b'!' | b'?'), _) => self.skip_behind(">"),
            (Some(b'/'), Some(letter)) if letter.is_ascii_alphabetic() => self.tag(),
            (Some(b'/'), _) => self.skip_behind(">"),
            (Some(letter), _) if letter.is_ascii_alphabetic() => self.tag(),
            (Some(_), _) => {
                self.out.html.push_str("&lt;");
                self.rest = self.rest.get(1..).unwrap_or_default();
            }
        }
    }

    fn comment(&mut self) {
        let rest = self.rest.get(4..).unwrap_or_default();
        if let Some(rest) = rest.strip_prefix('>').or_else(|| rest.strip_prefix("->")) {
            self.rest = rest;
            return;
        }
        let marks = memchr::memmem::find_iter(rest.as_bytes(), b"--");
        let mut behind = marks.filter_map(|at| rest.get(at + 2..));
        let end = behind.find_map(|it| it.strip_prefix('>').or_else(|| it.strip_prefix("!>")));
        self.rest = end.unwrap_or_default();
    }

    fn skip_behind(&mut self, mark: &str) {
        self.rest = self.rest.split_once(mark).map_or("", |(_, rest)| rest);
    }

    fn tag(&mut self) {
        let Some((tag, rest)) = Tag::read(self.rest) else {
            // A tag that never ends takes the rest with it, in browsers too.
            self.rest = "";
            return;
        };
        self.rest = rest;
        if tag.name == "plaintext" && !tag.closing {
            self.text(rest);
            self.rest = "";
            return;
        }
        let (kind, name) = kind(&tag.name);
        if tag.closing {
            match kind {
                Kind::Kept => self.end(name),
                Kind::Void if name == "br" => self.out.html.push_str("<br>"),
                Kind::Void | Kind::Dropped | Kind::Style | Kind::Text | Kind::Unwrapped => {}
            }
            return;
        }
        match kind {
            Kind::Kept => self.start(name, &tag, false),
            Kind::Void => self.start(name, &tag, true),
            Kind::Dropped => {
                self.content(name);
            }
            Kind::Style => {
                if let Some(css) = self.content(name) {
                    let room = super::css::SHEETS_MAX.saturating_sub(self.out.styles.len());
                    let shown = css.get(..css.floor_char_boundary(room)).unwrap_or_default();
                    self.out.cut |= shown.len() < css.len();
                    self.out.styles.push_str(shown);
                    self.out.styles.push('\n');
                }
            }
            Kind::Text => {
                if let Some(text) = self.content(name) {
                    self.text(text);
                }
            }
            Kind::Unwrapped => {}
        }
    }

    /// What stands before the end of this element, and skips both. Where there is no end, only its tag is skipped.
    fn content(&mut self, name: &'static str) -> Option<&'a str> {
        if self.unclosed.contains_key(name) {
            return None;
        }
        let rest = self.rest;
        let mut from = 0;
        while let Some(at) = rest.get(from..).and_then(|rest| rest.find("</")) {
            let start = from + at;
            from = start + 2;
            let Some(behind) = rest.get(from..) else { break };
            let named = behind.get(..name.len()).is_some_and(|it| it.eq_ignore_ascii_case(name));
            let tail = behind.as_bytes().get(name.len());
            if named && tail.is_none_or(|byte| byte.is_ascii_whitespace() || b"/>".contains(byte)) {
                self.rest = behind.split_once('>').map_or("", |(_, rest)| rest);
                return rest.get(..start);
            }
        }
        self.unclosed.insert(name, ());
        None
    }

    fn start(&mut self, name: &'static str, tag: &Tag<'_>, void: bool) {
        let again = self.close_before(name);
        if self.open.len() < DEPTH_MAX {
            self.elements += 1;
            let start = self.out.html.len();
            self.write(name, tag);
            if !void {
                self.open.push(Open { name, tag: start..self.out.html.len() });
            }
        }
        self.reopen(&again);
    }

    fn write(&mut self, name: &'static str, tag: &Tag<'_>) {
        let out = &mut self.out.html;
        out.push('<');
        out.push_str(name);
        if tag.name == "body" {
            push_attribute("style", &style_of_body(tag), out);
        }
        for (attribute, value) in &tag.attributes {
            let attribute = attribute.as_str();
            match (name, attribute) {
                // Where a link leads is shown, and not what it says of itself.
                ("a", "href") => {
                    push_attribute("href", value, out);
                    push_attribute("title", value, out);
                }
                ("a", "title") => {}
                (_, "style" | "bgcolor") if tag.name == "body" => {}
                ("img", "src") => push_attribute("src", value, out),
                (_, "background") if BACKED.contains(&name) => {
                    push_attribute(attribute, value, out);
                }
                (_, known) if ATTRIBUTES.contains(&known) => push_attribute(known, value, out),
                (_, _) => {}
            }
        }
        out.push('>');
    }

    /// Closes what an element of this name does not stand in. Returns what is to be opened again within it.
    fn close_before(&mut self, name: &str) -> Vec<Range<usize>> {
        let found = match name {
            "li" => self.find(&["li"], &["ul", "ol", "dir"]),
            "dd" | "dt" => self.find(&["dd", "dt"], &["dl"]),
            "td" | "th" => self.find(&["td", "th", "caption"], &["tr", "table"]),
            "tr" => {
                self.find(&["tr", "caption", "colgroup"], &["tbody", "thead", "tfoot", "table"])
            }
            "tbody" | "thead" | "tfoot" | "caption" | "colgroup" => {
                let parts = ["tbody", "thead", "tfoot", "caption", "colgroup"];
                self.find(&parts, &["table"])
            }
            "a" => self.find(&["a"], &["td", "th", "table"]),
            block if BLOCKS.contains(&block) => self.find(&["p"], &["td", "th", "table"]),
            _ => None,
        };
        match found {
            Some(index) => {
                let tables = TABLE.contains(&name);
                let within = self.close_to(index);
                let formatting = within.into_iter().filter(|it| FORMATTING.contains(&it.name));
                formatting.filter(|_| !tables && name != "a").map(|it| it.tag).collect()
            }
            None => Vec::new(),
        }
    }

    fn end(&mut self, name: &'static str) {
        let borders: &[&str] =
            if TABLE.contains(&name) { &["table"] } else { &["td", "th", "table"] };
        // The element itself may be a border.
        let Some(index) = self.find(&[name], borders) else { return };
        let formatting = FORMATTING.contains(&name);
        let mut within = self.close_to(index);
        if TABLE.contains(&name) {
            return;
        }
        within.remove(0);
        within.retain(|it| formatting || FORMATTING.contains(&it.name));
        let tags: Vec<_> = within.into_iter().map(|it| it.tag).collect();
        self.reopen(&tags);
    }

    /// The innermost open element with one of these names, if no border stands before it.
    fn find(&self, names: &[&str], borders: &[&str]) -> Option<usize> {
        for (index, open) in self.open.iter().enumerate().rev() {
            if names.contains(&open.name) {
                return Some(index);
            }
            if borders.contains(&open.name) {
                return None;
            }
        }
        None
    }

    /// Closes the elements from this one on. Returns them, the outermost first.
    fn close_to(&mut self, index: usize) -> Vec<Open> {
        let closed = self.open.split_off(index.min(self.open.len()));
        for open in closed.iter().rev() {
            self.out.html.push_str("</");
            self.out.html.push_str(open.name);
            self.out.html.push('>');
        }
        closed
    }

    /// Opens elements again that were closed before their time.
    fn reopen(&mut self, tags: &[Range<usize>]) {
        for tag in tags.iter().take(REOPENED_MAX) {
            if self.open.len() >= DEPTH_MAX || self.out.html.len() > OUT_MAX {
                return;
            }
            let Some(text) = self.out.html.get(tag.clone()).map(str::to_owned) else { continue };
            let (_, name) = Tag::read(&text).map_or((Kind::Unwrapped, ""), |it| kind(&it.0.name));
            self.elements += 1;
            let start = self.out.html.len();
            self.out.html.push_str(&text);
            self.open.push(Open { name, tag: start..self.out.html.len() });
        }
    }
}

/// Before these, a paragraph ends.
const BLOCKS: [&str; 30] = [
    "address",
    "article",
    "aside",
    "blockquote",
    "center",
    "details",
    "dir",
    "div",
    "dl",
    "figcaption",
    "figure",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "main",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "ul",
    "form",
];

/// What goes on in the next paragraph when it was not closed in this one.
const FORMATTING: [&str; 13] =
    ["a", "b", "big", "code", "em", "font", "i", "s", "small", "strike", "strong", "tt", "u"];

/// What only its own end, or that of its table, closes.
const TABLE: [&str; 9] =
    ["table", "tbody", "thead", "tfoot", "tr", "td", "th", "caption", "colgroup"];

/// The colours that old mail gives its body, as the style of what stands for it.
fn style_of_body(tag: &Tag<'_>) -> String {
    let mut style = String::new();
    for (name, property) in [("bgcolor", "background-color"), ("text", "color")] {
        let value = tag.attributes.iter().find(|(known, _)| known == name).map(|(_, it)| *it);
        let colour = |it: &&str| it.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'#');
        if let Some(colour) = value.filter(colour) {
            style.push_str(&format!("{property}:{colour};"));
        }
    }
    let own = tag.attributes.iter().find(|(name, _)| name == "style");
    style.push_str(own.map_or("", |(_, value)| value));
    style
}

/// The value in double quotes. Character references stay as they are.
fn push_attribute(name: &str, value: &str, out: &mut String) {
    out.push(' ');
    out.push_str(name);
    out.push_str("=\"");
    for c in value.chars() {
        match c {
            '"' => out.push_str("&quot;"),
            '<' => out.push_str("&lt;"),
            '\0' => {}
            c => out.push(c),
        }
    }
    out.push('"');
}
