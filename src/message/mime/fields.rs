//! The header section: fields, where they stand, and their unfolded text.

use std::borrow::Cow;
use std::ops::Range;

use super::{charset, words};

/// One field of a header section, as it stands there.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    /// The name: printable ASCII, never empty.
    pub(crate) name: &'a str,
    /// What follows the colon, folds included, without the last line end.
    pub(crate) value: &'a [u8],
    /// The whole field with its last line end.
    pub(crate) range: Range<usize>,
}

impl Field<'_> {
    /// True for this field name, in any case.
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The unfolded value in UTF-8, encoded words left as they are. `hint` is the charset of 8-bit values that are not
    /// UTF-8.
    pub(crate) fn text(&self, hint: Option<&str>) -> Cow<'_, str> {
        // Old Japanese programs write escape sequences without saying so; no other text has them.
        let japanese = [&b"\x1b$B"[..], b"\x1b$@"];
        if memchr::memchr(0x1b, self.value).is_some()
            && japanese.iter().any(|it| memchr::memmem::find(self.value, it).is_some())
        {
            let shifted = charset::decode(self.value, Some("iso-2022-jp"));
            if let (text, None) = shifted {
                return unfold(text);
            }
        }
        match charset::decode(self.value, None) {
            (text, None) => unfold(text),
            (text, Some(_)) if hint.is_none() => unfold(text),
            (_, Some(_)) => unfold(charset::decode(self.value, hint).0),
        }
    }

    /// The value as people read it: unfolded and decoded, without control characters.
    pub(crate) fn decoded(&self, hint: Option<&str>) -> String {
        let text = self.text(hint);
        match words::decode(&text) {
            Cow::Borrowed(_) => text.into_owned(),
            Cow::Owned(decoded) => clean(decoded.into()).into_owned(),
        }
    }
}

/// Walks the fields of a header section. It ends at an empty line, or at the first line that cannot be a field: what
/// follows is the body then, as Postfix and sendmail have it.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    section: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields of a message. A leading mbox line (`From ada@example.org Sat Nov 21 …`) is skipped.
    pub(crate) fn of_message(raw: &'a [u8]) -> Self {
        let mut fields = Self { section: raw, at: 0 };
        if raw.starts_with(b"From ") || raw.starts_with(b">From ") {
            let next = line_end(raw, 0);
            // `From : ada@example.org` is a field after all; and without a field after it, it is the text of a message
            // that has no header.
            let field = field_name(&raw[..next]).is_some();
            if !field && field_name(&raw[next..line_end(raw, next)]).is_some() {
                fields.at = next;
            }
        }
        fields
    }

    /// The fields of a part.
    pub(crate) fn of_part(section: &'a [u8]) -> Self {
        Self { section, at: 0 }
    }

    /// Where the next field would begin; after the last, where the fields end.
    pub(crate) fn position(&self) -> usize {
        self.at
    }

    /// Where the body begins, once the fields have been read: behind the empty line, if there is one.
    pub(crate) fn body(&self) -> usize {
        match &self.section[self.at..] {
            [b'\r', b'\n', ..] => self.at + 2,
            [b'\n', ..] => self.at + 1,
            _ => self.at,
        }
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        let start = self.at;
        let mut end = line_end(self.section, start);
        let (name, colon) = field_name(&self.section[start..end])?;
        while matches!(self.section.get(end), Some(b' ' | b'\t')) {
            end = line_end(self.section, end);
        }
        self.at = end;
        Some(Field {
            name,
            value: without_line_end(&self.section[start + colon + 1..end]),
            range: start..end,
        })
    }
}

/// The offset behind the line that begins at `start`.
pub(crate) fn line_end(bytes: &[u8], start: usize) -> usize {
    memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |at| start + at + 1)
}

/// The name that a field's first line begins with, and where its colon stands.
fn field_name(line: &[u8]) -> Option<(&str, usize)> {
    let length = line.iter().position(|byte| !byte.is_ascii_graphic() || *byte == b':')?;
    let blanks = line[length..].iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
    let colon = length + blanks;
    let named = length > 0 && line.get(colon) == Some(&b':');
    named.then(|| str::from_utf8(&line[..length]).ok())?.map(|name| (name, colon))
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Joins folded lines. A line end in a value is always a fold here, so that none can survive into a header.
fn unfold(text: Cow<'_, str>) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte.is_ascii_control()) {
        return trimmed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            // The blank that makes the fold stays, as a space.
            '\r' if chars.peek() == Some(&'\n') => {}
            '\n' if matches!(chars.peek(), Some(' ' | '\t')) => {
                chars.next();
                out.push(' ');
            }
            c if c.is_control() && c != '\t' => out.push(' '),
            c => out.push(c),
        }
    }
    trimmed(out.into())
}

/// Replaces control characters, which an encoded word can smuggle in, by spaces.
pub(crate) fn clean(text: Cow<'_, str>) -> Cow<'_, str> {
    if text.chars().any(|c| c.is_control() && c != '\t') {
        let cleaned: String =
            text.chars().map(|c| if c.is_control() && c != '\t' { ' ' } else { c }).collect();
        trimmed(cleaned.into())
    } else {
        trimmed(text)
    }
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    let inner = text.trim_matches([' ', '\t']);
    if inner.len() == text.len() {
        return text;
    }
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim_matches([' ', '\t'])),
        Cow::Owned(ref text) => Cow::Owned(text.trim_matches([' ', '\t']).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(raw: &[u8]) -> (Vec<(String, String)>, usize) {
        let mut fields = Fields::of_message(raw);
        let list = fields.by_ref().map(|f| (f.name.to_owned(), f.decoded(None))).collect();
        (list, fields.body())
    }

    fn pair(name: &str, value: &str) -> (String, String) {
        (name.to_owned(), value.to_owned())
    }

    #[test]
    fn folded_values_are_joined() {
        let (fields, body) =
            read(b"References: <a@x>\r\n\t<b@x>\r\n  <c@x>\r\nX-Y :  z \r\n\r\nhi");
        assert_eq!(fields, [pair("References", "<a@x> <b@x>  <c@x>"), pair("X-Y", "z")]);
        assert_eq!(body, 49);
    }

    #[test]
    fn a_line_that_is_no_field_begins_the_body() {
        let (fields, body) = read(b"Subject: a\nHello there: friend\n");
        assert_eq!(fields, [pair("Subject", "a")]);
        assert_eq!(body, 11);
        assert_eq!(read(b"Just text.\r\n"), (vec![], 0));
        assert_eq!(read(b"\r\nJust text.\r\n"), (vec![], 2));
        assert_eq!(read(b""), (vec![], 0));
    }

    #[test]
    fn an_mbox_line_is_skipped_only_before_a_field() {
        assert_eq!(read(b"From a@b Sat\nTo: x@y\n\n").0, [pair("To", "x@y")]);
        assert_eq!(read(b"From : a@b\nTo: x@y\n\n").0.len(), 2);
        assert_eq!(read(b"From now on\nall is well\n"), (vec![], 0));
    }

    #[test]
    fn no_line_end_survives_in_a_value() {
        let (fields, _) = read(b"Subject: =?utf-8?Q?a=0D=0ABcc:_x@y?=\r\nX: a\rb\r\n\r\n");
        assert_eq!(fields, [pair("Subject", "a  Bcc: x@y"), pair("X", "a b")]);
    }

    #[test]
    fn escape_sequences_of_old_japanese_programs_are_read() {
        let raw =
            b"Subject: Re: \x1b$B2q0wEPO?\x1b(B\r\n \x1b$B$*CN$i$;\x1b(B ok\r\nX: a\x1bb\r\n\r\n";
        let decoded: Vec<_> = Fields::of_message(raw).map(|f| f.decoded(None)).collect();
        assert_eq!(decoded, ["Re: 会員登録 お知らせ ok", "a b"]);
    }

    #[test]
    fn eight_bit_values_are_utf_8_or_in_the_hinted_charset() {
        let raw = b"Subject: \xbe\xc8\xb3\xe7\r\nX: \xc3\xa9\r\n\r\n";
        let decoded: Vec<_> = Fields::of_message(raw).map(|f| f.decoded(Some("euc-kr"))).collect();
        assert_eq!(decoded, ["안녕", "é"]);
    }
}
