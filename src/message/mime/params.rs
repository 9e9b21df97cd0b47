//! Content-Type and Content-Disposition: a value with parameters (RFC 2045 §5.1, RFC 2183, RFC 2231).

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use super::fields::clean;
use super::{charset, transfer, words};

/// A value such as `text/plain` or `attachment`, and its parameters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Parameterised {
    /// In lower case, without blanks or comments.
    pub(crate) value: String,
    /// Names in lower case, values decoded. Each name once: the first of several counts.
    params: Vec<(String, String)>,
}

impl Parameterised {
    /// A value without parameters.
    pub(crate) fn plain(value: &str) -> Self {
        Self { value: value.to_owned(), params: Vec::new() }
    }

    /// Reads an unfolded field value. Anything can be read; what makes no sense is left out.
    pub(crate) fn read(text: &str) -> Self {
        // Old programs encode the whole field, when a name in it is not ASCII.
        let decoded =
            if text.trim_start().starts_with("=?") { words::decode(text) } else { text.into() };
        let (value, rest) = decoded.split_once(';').unwrap_or((&decoded, ""));
        let value = without_comment(value).split_ascii_whitespace().collect::<String>();
        Self { value: value.to_ascii_lowercase(), params: joined(sections(rest)) }
    }

    /// The parameter with this name (lower case).
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The value and all parameters in their order.
    pub(crate) fn into_parts(self) -> (String, Vec<(String, String)>) {
        (self.value, self.params)
    }

    /// The part before the slash.
    pub(crate) fn main_type(&self) -> &str {
        self.value.split('/').next().unwrap_or_default()
    }

    /// The value with those of its parameters whose names pass, as one line.
    pub(crate) fn with_params(&self, keep: impl Fn(&str) -> bool) -> String {
        let mut out = self.value.clone();
        for (name, value) in self.params.iter().filter(|(name, _)| keep(name)) {
            // Writing to a String does not fail.
            let _ = write!(out, "; {}", Param(name, value));
        }
        out
    }
}

/// Writes a parameter: as a token, quoted, or as RFC 2231 says when it is not ASCII.
struct Param<'a>(&'a str, &'a str);

impl fmt::Display for Param<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(name, value) = self;
        let token = |byte: u8| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&byte);
        if !value.is_empty() && value.bytes().all(token) {
            return write!(f, "{name}={value}");
        }
        if value.is_ascii() {
            return write!(f, "{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
        }
        write!(f, "{name}*=utf-8''")?;
        for byte in value.bytes() {
            match byte {
                b'-' | b'.' | b'_' => f.write_char(char::from(byte))?,
                byte if byte.is_ascii_alphanumeric() => f.write_char(char::from(byte))?,
                byte => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

/// One `name*0*=value` as written.
struct Section<'a> {
    name: String,
    /// The number after the star.
    number: Option<u32>,
    /// Ends in a star: percent-encoded, the first with charset and language.
    extended: bool,
    value: Cow<'a, str>,
}

/// The most parameters, or sections of them, that are read: a field with more is an attack on whoever reads it.
const SECTIONS_MAX: usize = 200;

/// Cuts the parameters apart.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut list = Vec::new();
    let mut rest = text;
    while !rest.is_empty() && list.len() < SECTIONS_MAX {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ';');
        let Some(end) = rest.find(['=', ';']) else { break };
        let (name, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
        let Some(tail) = tail.strip_prefix('=') else {
            rest = tail;
            continue;
        };
        let name = without_comment(name).trim().to_ascii_lowercase();
        let (value, tail) = parameter_value(tail.trim_start(), &name);
        rest = tail;
        if let Some(section) = Section::new(&name, value) {
            list.push(section);
        }
    }
    list
}

/// Takes a quoted string or a token, and what follows the next semicolon.
fn parameter_value<'a>(text: &'a str, name: &str) -> (Cow<'a, str>, &'a str) {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, tail) = quoted_string(quoted);
        return (value, tail.split_once(';').map_or("", |(_, tail)| tail));
    }
    let (value, tail) = text.split_once(';').unwrap_or((text, ""));
    // Names are often left unquoted though they hold blanks or brackets.
    let value = if name.starts_with("filename") || name.starts_with("name") {
        value
    } else {
        without_comment(value)
    };
    (value.trim().into(), tail)
}

/// Reads up to the closing quote, and returns what follows it. Only `\"` and `\\` are escapes: old Windows programs put
/// whole paths here.
pub(crate) fn quoted_string(text: &str) -> (Cow<'_, str>, &str) {
    let end = text.find(['"', '\\']);
    if let Some(end) = end
        && text.as_bytes().get(end) == Some(&b'"')
        && let Some((value, tail)) = text.split_at_checked(end)
    {
        return (value.into(), tail.strip_prefix('"').unwrap_or(tail));
    }
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return (value.into(), chars.as_str()),
            '\\' if matches!(chars.as_str().bytes().next(), Some(b'"' | b'\\')) => {
                value.extend(chars.next());
            }
            c => value.push(c),
        }
    }
    (value.into(), "")
}

fn without_comment(text: &str) -> &str {
    text.split_once('(').map_or(text, |(before, _)| before)
}

impl<'a> Section<'a> {
    fn new(name: &str, value: Cow<'a, str>) -> Option<Self> {
        let (base, extended) = match name.strip_suffix('*') {
            Some(base) => (base, true),
            None => (name, false),
        };
        let (base, number) = match base.split_once('*') {
            Some((base, number)) => (base, Some(number.parse().ok()?)),
            None => (base, None),
        };
        let token = base.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"');
        (!base.is_empty() && token).then(|| Self { name: base.to_owned(), number, extended, value })
    }
}

/// Joins continued sections and decodes. An extended parameter wins over a plain one of the same name, which is there
/// for old readers.
fn joined(mut sections: Vec<Section<'_>>) -> Vec<(String, String)> {
    let mut names: Vec<String> = Vec::new();
    for section in &sections {
        if !names.contains(&section.name) {
            names.push(section.name.clone());
        }
    }
    // Stable, so that of two equal ones the first counts; plain ones last.
    sections.sort_by_key(|section| {
        (!section.extended && section.number.is_none(), section.number.unwrap_or_default())
    });
    let value = |name: &str| {
        let mut own = sections.iter().filter(|section| section.name == name).peekable();
        let value = match own.peek() {
            Some(first) if !first.extended && first.number.is_none() => {
                words::decode(&first.value).into_owned()
            }
            Some(_) | None => continued(own),
        };
        clean(value.into()).into_owned()
    };
    names
        .into_iter()
        .map(|name| {
            let value = value(&name);
            (name, value)
        })
        .collect()
}

/// RFC 2231 §3 and §4: the sections in order, up to the first gap, decoded as one text.
fn continued<'s, 'a: 's>(own: impl Iterator<Item = &'s Section<'a>>) -> String {
    let mut charset = None;
    let mut bytes = Vec::new();
    let mut expected = 0;
    let mut encoded = false;
    for section in own {
        match section.number {
            Some(number) if number == expected => expected += 1,
            Some(_) => continue,
            None if section.extended && expected == 0 => expected = u32::MAX,
            None => continue,
        }
        if !section.extended {
            bytes.extend_from_slice(section.value.as_bytes());
            continue;
        }
        encoded = true;
        let mut value = section.value.as_ref();
        if charset.is_none()
            && let Some((label, rest)) = value.split_once('\'')
            && let Some((_, rest)) = rest.split_once('\'')
        {
            charset = Some(label);
            value = rest;
        }
        bytes.extend_from_slice(&transfer::hex_escapes(value.as_bytes(), b'%'));
    }
    let text = charset::decode(&bytes, charset).0;
    // Some programs cut encoded words into numbered sections.
    if encoded { text.into_owned() } else { words::decode(&text).into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filename(text: &str) -> String {
        let read = Parameterised::read(&format!("attachment; {text}"));
        assert_eq!(read.value, "attachment");
        read.param("filename").unwrap_or_default().to_owned()
    }

    #[test]
    fn parameters_are_read_however_they_are_written() {
        let read = Parameterised::read(
            "Text/Plain (a comment); CHARSET=\"utf-8\"; format = flowed ; x=a b(c); ; odd; y=\"p;q\"",
        );
        assert_eq!(read.value, "text/plain");
        assert_eq!(read.main_type(), "text");
        assert_eq!(read.param("charset"), Some("utf-8"));
        assert_eq!(read.param("format"), Some("flowed"));
        assert_eq!(read.param("x"), Some("a b"));
        assert_eq!(read.param("y"), Some("p;q"));
        assert_eq!(read.param("odd"), None);
    }

    #[test]
    fn file_names_are_decoded() {
        for (text, name) in [
            ("filename=\"a b.pdf\"", "a b.pdf"),
            ("filename=a b (1).pdf; size=3", "a b (1).pdf"),
            (r#"filename="say \"hi\".txt""#, "say \"hi\".txt"),
            (r#"filename="C:\tmp\x.txt""#, r"C:\tmp\x.txt"),
            ("filename*=utf-8''%EB%B3%B4%EA%B3%A0%EC%84%9C.pdf", "보고서.pdf"),
            ("filename*=EUC-KR'ko'%BA%B8%B0%ED%BC%AD.pdf", "보고서.pdf"),
            ("filename=\"=?euc-kr?B?urCw7bytLnBkZg==?=\"", "별고서.pdf"),
            ("filename=\"old.pdf\"; filename*=utf-8''%EB%B3%B4.pdf", "보.pdf"),
            // A character cut over two sections, charset only in the first, sections out of order.
            (
                "filename*1*=%84%9C; filename*2=\".pdf\"; filename*0*=utf-8''%EB%B3%B4%EC",
                "보서.pdf",
            ),
            ("filename*0*=euc-kr''%BA; filename*1*=%B8.pdf", "보.pdf"),
            ("filename*0=\"=?utf-8?B?67O0\"; filename*1=\"?=.pdf\"", "보.pdf"),
            ("filename*0=\"a\"; filename*2=\"c\"", "a"),
            ("filename=\"unclosed", "unclosed"),
            ("filename=\"보고서.pdf\"", "보고서.pdf"),
            ("filename=\"=?utf-8?Q?a=0D=0Ab?=\"", "a  b"),
        ] {
            assert_eq!(filename(text), name, "{text}");
        }
        let encoded = "=?utf-8?Q?attachment=3B_filename=3D=22=EB=B3=B4_a=2Epdf=22?=";
        let read = Parameterised::read(encoded);
        assert_eq!((read.value.as_str(), read.param("filename")), ("attachment", Some("보 a.pdf")));
    }

    #[test]
    fn kept_parameters_are_written_so_that_they_read_the_same() {
        let text = "text/calendar; method=REQUEST; name=\"x.ics\"; charset=utf-8; t=\"a \\\"b\\\"\"; u*=utf-8''%ED%95%9C";
        let read = Parameterised::read(text);
        let written = read.with_params(|name| name != "name");
        assert_eq!(
            written,
            "text/calendar; method=REQUEST; charset=utf-8; t=\"a \\\"b\\\"\"; u*=utf-8''%ED%95%9C"
        );
        let again = Parameterised::read(&written);
        assert_eq!(again.param("t"), Some("a \"b\""));
        assert_eq!(again.param("u"), Some("한"));
    }
}
