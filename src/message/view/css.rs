//! Styles of a mail, without what they could fetch or cover.
//!
//! Read as tokens and written anew, so that escapes, comments and quotes mean to a browser what they meant here. The wall
//! is the frame's policy; this keeps a style from asking at all, and finds the images that it names.

use super::images::Images;

/// How much of all style sheets is read, octets.
pub(super) const SHEETS_MAX: usize = 512 * 1024;
/// How much of one style attribute is read, octets.
pub(super) const ATTRIBUTE_MAX: usize = 32 * 1024;

/// Rules that only choose among the styles of the mail itself. The others load (`import`, `font-face`), or change what the
/// rest means (`charset`, `namespace`), or concern paper.
const AT_RULES: [&str; 5] = ["media", "supports", "layer", "keyframes", "-webkit-keyframes"];

/// Functions that take an address in a form of their own, or that once ran a script.
const FUNCTIONS: [&str; 12] = [
    "src",
    "image",
    "image-set",
    "-webkit-image-set",
    "cross-fade",
    "-webkit-cross-fade",
    "element",
    "-moz-element",
    "paint",
    "expression",
    "url-prefix",
    "domain",
];

/// What stands in place of something that was dropped: nothing may grow together with what follows.
const GAP: &str = " ";

/// The style sheet, or the declarations of a style attribute, that may be shown.
pub(super) fn filtered(css: &str, images: &Images) -> String {
    let mut filter = Filter {
        rest: css,
        out: String::with_capacity(css.len() + css.len() / 8),
        images,
        at_start: true,
        property: Property::None,
    };
    filter.run();
    filter.out
}

struct Filter<'a> {
    rest: &'a str,
    out: String,
    images: &'a Images,
    /// A declaration or a rule may begin here.
    at_start: bool,
    property: Property,
}

/// How far into a declaration that is looked at closely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Property {
    None,
    /// Its name was read.
    Named,
    /// Its value begins here.
    Position,
}

impl Filter<'_> {
    fn run(&mut self) {
        while let Some(c) = self.rest.chars().next() {
            if self.rest.starts_with("/*") {
                self.skip_comment();
            } else if self.rest.starts_with("<!--") {
                self.skip(4);
            } else if self.rest.starts_with("-->") {
                self.skip(3);
            } else if is_word(c) || self.at_escape() {
                self.word();
            } else {
                self.other(c);
            }
        }
    }

    fn other(&mut self, c: char) {
        match c {
            '"' | '\'' => {
                self.at_start = false;
                match self.string(c) {
                    Some(text) => quote(&text, &mut self.out),
                    None => self.out.push_str(GAP),
                }
            }
            '@' => self.at_rule(),
            // What closes the element of the style begins with it.
            '<' => {
                self.bump();
                self.out.push_str("< ");
            }
            '\\' | '\0' => {
                self.bump();
                self.out.push_str(GAP);
            }
            c => {
                self.bump();
                self.out.push(c);
                match c {
                    '{' | '}' | ';' => {
                        self.at_start = true;
                        self.property = Property::None;
                    }
                    ':' if self.property == Property::Named => self.property = Property::Position,
                    c if c.is_whitespace() => {}
                    _other => {
                        self.at_start = false;
                        if self.property == Property::Named {
                            self.property = Property::None;
                        }
                    }
                }
            }
        }
    }

    /// A name, the beginning of a function, or a number with its unit.
    fn word(&mut self) {
        let (word, escaped) = self.name();
        let lower = word.to_ascii_lowercase();
        let function = self.rest.starts_with('(');
        if function && lower == "url" {
            self.bump();
            self.url();
        } else if function
            && (FUNCTIONS.contains(&lower.as_str()) || self.property == Property::Position)
        {
            self.skip_block();
            self.out.push_str(" none ");
        } else if self.property == Property::Position && COVERING.contains(&lower.as_str()) {
            self.out.push_str("static");
        } else if escaped {
            identifier(&word, &mut self.out);
        } else {
            self.out.push_str(&word);
        }
        if self.at_start && lower == "position" && !function {
            self.property = Property::Named;
        } else if self.property == Property::Named {
            self.property = Property::None;
        }
        self.at_start = false;
    }

    /// Behind `url(`.
    fn url(&mut self) {
        self.skip_blanks();
        let address = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let text = self.string(quote);
                self.skip_to_end_of_block();
                text
            }
            Some(_) | None => self.bare_url(),
        };
        match address.and_then(|address| self.images.shown(&address)) {
            Some(shown) => {
                self.out.push_str(" url(");
                quote(&shown, &mut self.out);
                self.out.push_str(") ");
            }
            None => self.out.push_str(" none "),
        }
    }

    fn bare_url(&mut self) -> Option<String> {
        let mut address = String::new();
        let mut good = true;
        while let Some(c) = self.rest.chars().next() {
            match c {
                ')' => {
                    self.bump();
                    break;
                }
                '\\' if self.at_escape() => address.push(self.escape()),
                '"' | '\'' | '(' | '\\' => {
                    good = false;
                    self.bump();
                }
                c => {
                    address.push(c);
                    self.bump();
                }
            }
        }
        let inner = address.trim();
        (good && !inner.contains(char::is_whitespace)).then(|| inner.to_owned())
    }

    /// A rule beginning with `@`: one that is known goes on, another is skipped whole.
    fn at_rule(&mut self) {
        self.bump();
        let (name, _) = self.name();
        let lower = name.to_ascii_lowercase();
        if AT_RULES.contains(&lower.as_str()) {
            self.out.push('@');
            self.out.push_str(&lower);
            self.at_start = false;
            return;
        }
        self.out.push_str(GAP);
        self.at_start = true;
        while let Some(c) = self.rest.chars().next() {
            match c {
                ';' => {
                    self.bump();
                    return;
                }
                // It ends with the block around it.
                '}' => return,
                '{' => {
                    self.skip_block();
                    return;
                }
                '(' | '[' => self.skip_block(),
                '"' | '\'' => drop(self.string(c)),
                '\\' if self.at_escape() => drop(self.escape()),
                '/' if self.rest.starts_with("/*") => self.skip_comment(),
                _other => self.bump(),
            }
        }
    }

    /// A word with its escapes undone, and whether there were any.
    fn name(&mut self) -> (String, bool) {
        let mut name = String::new();
        let mut escaped = false;
        while let Some(c) = self.rest.chars().next() {
            if is_word(c) {
                name.push(c);
                self.bump();
            } else if self.at_escape() {
                name.push(self.escape());
                escaped = true;
            } else {
                break;
            }
        }
        (name, escaped)
    }

    /// A text in quotes with its escapes undone; nothing if its line ends before it does.
    fn string(&mut self, quote: char) -> Option<String> {
        let mut text = String::new();
        self.bump();
        while let Some(c) = self.rest.chars().next() {
            match c {
                c if c == quote => {
                    self.bump();
                    return Some(text);
                }
                '\n' | '\r' | '\u{c}' => return None,
                '\\' if self.at_escape() => text.push(self.escape()),
                '\\' => {
                    self.bump();
                    // A line end behind it is no part of the text.
                    if self.rest.starts_with("\r\n") {
                        self.bump();
                    }
                    self.bump();
                }
                c => {
                    text.push(c);
                    self.bump();
                }
            }
        }
        Some(text)
    }

    /// A backslash that is followed by no line end.
    fn at_escape(&self) -> bool {
        let mut chars = self.rest.chars();
        chars.next() == Some('\\')
            && chars.next().is_some_and(|c| !matches!(c, '\n' | '\r' | '\u{c}'))
    }

    fn escape(&mut self) -> char {
        self.bump();
        let digits = self.rest.bytes().take(6).take_while(u8::is_ascii_hexdigit).count();
        let Some(hex) = self.rest.get(..digits).filter(|hex| !hex.is_empty()) else {
            let c = self.rest.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
            self.bump();
            return c;
        };
        let code = u32::from_str_radix(hex, 16).unwrap_or_default();
        self.rest = self.rest.get(digits..).unwrap_or_default();
        // One blank belongs to it.
        if self.rest.starts_with("\r\n") {
            self.bump();
        }
        if self.rest.starts_with([' ', '\t', '\n', '\r', '\u{c}']) {
            self.bump();
        }
        char::from_u32(code).filter(|c| *c != '\0').unwrap_or(char::REPLACEMENT_CHARACTER)
    }

    /// Skips what stands between the bracket here and the one that closes it.
    fn skip_block(&mut self) {
        self.bump();
        self.skip_to_end_of_block();
    }

    fn skip_to_end_of_block(&mut self) {
        let mut depth = 1_usize;
        while let Some(c) = self.rest.chars().next() {
            match c {
                '"' | '\'' => {
                    self.string(c);
                    continue;
                }
                '\\' if self.at_escape() => {
                    self.escape();
                    continue;
                }
                '/' if self.rest.starts_with("/*") => {
                    self.skip_comment();
                    continue;
                }
                '(' | '[' | '{' => depth += 1,
                ')' | ']' | '}' => depth -= 1,
                _other => {}
            }
            self.bump();
            if depth == 0 {
                return;
            }
        }
    }

    fn skip_comment(&mut self) {
        let end = self.rest.get(2..).and_then(|rest| rest.find("*/"));
        self.rest = end.and_then(|end| self.rest.get(end + 4..)).unwrap_or_default();
        self.out.push_str(GAP);
    }

    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start();
    }

    fn skip(&mut self, octets: usize) {
        self.rest = self.rest.get(octets..).unwrap_or_default();
        self.out.push_str(GAP);
    }

    fn bump(&mut self) {
        let mut chars = self.rest.chars();
        chars.next();
        self.rest = chars.as_str();
    }
}

/// Values of `position` that stay where they are while the rest moves.
const COVERING: [&str; 3] = ["fixed", "sticky", "-webkit-sticky"];

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_') || !c.is_ascii()
}

/// Writes a text in quotes. Nothing that could end it, or the element around it, is written as it is.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        if c.is_control() || matches!(c, '"' | '\\' | '<' | '>' | '&') {
            out.push_str(&format!("\\{:x} ", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out.push('"');
}

fn identifier(name: &str, out: &mut String) {
    for (at, c) in name.chars().enumerate() {
        if is_word(c) && !(at == 0 && c.is_ascii_digit()) {
            out.push(c);
        } else {
            out.push_str(&format!("\\{:x} ", u32::from(c)));
        }
    }
}
