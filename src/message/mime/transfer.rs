//! Content-Transfer-Encoding (RFC 2045 §6): undone when a message is read, made when a transport is 7-bit.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mail_parser::decoders::base64::base64_decode;

use super::charset::Fault;

/// How the bytes of a part are written in the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// 7bit, 8bit, binary; also names that nobody knows, which apps use for it (`utf-8`, `none`).
    #[default]
    Identity,
    Base64,
    QuotedPrintable,
    /// What was there before MIME, and some old programs still name.
    Uuencode,
    /// One that is not undone here: BinHex, yEnc.
    Opaque,
}

impl Encoding {
    /// The encoding with this name.
    pub(crate) fn named(name: &str) -> Self {
        let name = name.trim().to_ascii_lowercase();
        match name.as_str() {
            "base64" => Self::Base64,
            "quoted-printable" => Self::QuotedPrintable,
            "x-uuencode" | "uuencode" | "x-uue" | "uue" => Self::Uuencode,
            "mac-binhex40" | "x-yenc" => Self::Opaque,
            _ => Self::Identity,
        }
    }

    /// The bytes behind `body`, and what was wrong with it if anything was.
    pub(crate) fn undo(self, body: &[u8]) -> (Cow<'_, [u8]>, Option<Fault>) {
        match self {
            Self::Identity => (body.into(), None),
            Self::Base64 => {
                // What a list writes behind an encoded part was never in it.
                if let Some((encoded, _)) = text_behind_base64(body)
                    && !encoded.is_empty()
                {
                    let why = "text behind the base64 is no part of it, and was left out";
                    return (base64(encoded).0.into(), Some(Fault { why, grave: false }));
                }
                let (bytes, clean) = base64(body);
                let grave = bytes.is_empty() && !body.trim_ascii().is_empty();
                let why = "characters outside base64 were left out";
                (bytes.into(), (!clean || grave).then_some(Fault { why, grave }))
            }
            Self::QuotedPrintable => (quoted_printable(body).into(), None),
            Self::Uuencode => match uudecoded(body) {
                Some(bytes) => (bytes.into(), None),
                None => (body.into(), Some(AS_WRITTEN)),
            },
            Self::Opaque => (body.into(), Some(AS_WRITTEN)),
        }
    }
}

const AS_WRITTEN: Fault =
    Fault { why: "its transfer encoding cannot be undone here: carried as written", grave: true };

/// The file between the lines `begin 644 name` and `end`; `None` when they are not there, or something else is between.
fn uudecoded(body: &[u8]) -> Option<Vec<u8>> {
    let mut lines = body.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii_end);
    lines.find(|line| line.starts_with(b"begin "))?;
    let mut out = Vec::with_capacity(body.len() / 4 * 3);
    for line in lines {
        if line == b"end" {
            return Some(out);
        }
        let six_bits = |byte: &u8| matches!(byte, b' '..=b'`').then(|| (byte - b' ') & 63);
        let Some((length, line)) = line.split_first() else { continue };
        let end = out.len() + usize::from(six_bits(length)?);
        for group in line.chunks(4) {
            // Blanks at the end of a line may have been lost.
            let mut bits = [0_u8; 4];
            for (bit, byte) in bits.iter_mut().zip(group) {
                *bit = six_bits(byte)?;
            }
            let [a, b, c, d] = bits;
            out.extend([a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d]);
        }
        out.resize(end, 0);
        // The code is longer than the file; lines that only announce octets would make much of little.
        if out.len() > body.len() {
            return None;
        }
    }
    None
}

/// Splits base64 from the text that stands behind it: a footer that a mailing list added, or everything where the label
/// lies. `None` where there is no such text.
///
/// Text is told by blanks within its lines, which base64 has not. Whole groups of four must stand before it.
pub(crate) fn text_behind_base64(body: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut start = 0;
    let mut count = 0;
    let mut padded = false;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let content = line.trim_ascii();
        let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let bare = content.strip_suffix(b"==").or_else(|| content.strip_suffix(b"="));
        let encoded = bare.unwrap_or(content).iter().all(inner) && (content.is_empty() || !padded);
        if !encoded {
            break;
        }
        padded |= bare.is_some();
        count += content.len();
        start += line.len();
    }
    let (encoded, text) = body.split_at_checked(start)?;
    let written = |line: &[u8]| line.trim_ascii().contains(&b' ');
    let is_text = text.split(|byte| *byte == b'\n').take(TEXT_LINES).any(written);
    match (is_text && str::from_utf8(text).is_ok(), count % 4) {
        (true, 0) => Some((encoded, text)),
        // What was taken for base64 are words of the text.
        (true, _) => Some((&[], body)),
        (false, _) => None,
    }
}

/// How many lines are looked at to know a text.
const TEXT_LINES: usize = 20;

/// Decodes base64. Characters outside the alphabet are left out (RFC 2045 §6.8); false says that there were some.
pub(crate) fn base64(body: &[u8]) -> (Vec<u8>, bool) {
    if let Some(bytes) = base64_decode(body) {
        return (bytes, true);
    }
    let kept: Vec<u8> = body
        .iter()
        .copied()
        .filter(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
        .collect();
    (base64_decode(&kept).unwrap_or_default(), false)
}

/// Decodes quoted-printable. What is no escape stays as it is (RFC 2045 §6.7).
pub(crate) fn quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, tail) = rest.split_at(end);
        rest = tail;
        let content = line.strip_suffix(b"\n").unwrap_or(line);
        let content = content.strip_suffix(b"\r").unwrap_or(content);
        let ending = &line[content.len()..];
        // Blanks at the end of a line were added on the way.
        let content = if ending.is_empty() { content } else { content.trim_ascii_end() };
        match content.strip_suffix(b"=") {
            Some(content) => push_hex_escapes(content, b'=', &mut out),
            None => {
                push_hex_escapes(content, b'=', &mut out);
                out.extend_from_slice(ending);
            }
        }
    }
    out
}

/// Replaces `=XX` (or `%XX`) by its byte; what is no escape stays.
pub(crate) fn hex_escapes(text: &[u8], mark: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    push_hex_escapes(text, mark, &mut out);
    out
}

fn push_hex_escapes(text: &[u8], mark: u8, out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(mark, rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        match rest {
            [_, high, low, tail @ ..] if let (Some(high), Some(low)) = (hex(*high), hex(*low)) => {
                out.push(high << 4 | low);
                rest = tail;
            }
            [mark, tail @ ..] => {
                out.push(*mark);
                rest = tail;
            }
            [] => {}
        }
    }
    out.extend_from_slice(rest);
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The longest line of an encoded body (RFC 2045 §6.7 and §6.8).
const ENCODED_LINE_MAX: usize = 76;

/// Writes base64 in lines that end with `line_end`, the last one included.
pub(crate) fn to_base64(bytes: &[u8], line_end: &str) -> Vec<u8> {
    // 57 bytes fill a line of 76 characters.
    const LINE_BYTES: usize = ENCODED_LINE_MAX / 4 * 3;
    let mut out = String::with_capacity(bytes.len().div_ceil(LINE_BYTES) * (ENCODED_LINE_MAX + 2));
    for line in bytes.chunks(LINE_BYTES) {
        STANDARD.encode_string(line, &mut out);
        out.push_str(line_end);
    }
    out.into_bytes()
}

/// Writes quoted-printable. Line ends of the text (`line_end`) stay line ends; any other CR or LF is encoded, so that
/// decoding gives exactly `bytes`.
pub(crate) fn to_quoted_printable(bytes: &[u8], line_end: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 4);
    let mut lines = memchr::memmem::find_iter(bytes, line_end.as_bytes());
    let mut start = 0;
    loop {
        let end = lines.next();
        push_printable_line(&bytes[start..end.unwrap_or(bytes.len())], line_end, &mut out);
        let Some(end) = end else { return out };
        out.extend_from_slice(line_end.as_bytes());
        start = end + line_end.len();
    }
}

fn push_printable_line(line: &[u8], line_end: &str, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut width = 0;
    for (at, &byte) in line.iter().enumerate() {
        let last = at + 1 == line.len();
        let literal = match byte {
            b' ' | b'\t' => !last,
            b'=' => false,
            // A dot alone on a line ends the message on some ways; `From ` is changed on others.
            b'.' | b'F' if width == 0 => false,
            byte => byte.is_ascii_graphic(),
        };
        let needed = if literal { 1 } else { 3 };
        // Room for the `=` of a soft line end.
        if width + needed > ENCODED_LINE_MAX - 1 {
            out.push(b'=');
            out.extend_from_slice(line_end.as_bytes());
            width = 0;
        }
        if literal {
            out.push(byte);
        } else {
            out.push(b'=');
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
        }
        width += needed;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quoted_printable_is_undone() {
        assert_eq!(quoted_printable(b"a=3Db =\r\nc  \r\nd"), b"a=b c\r\nd");
        assert_eq!(quoted_printable(b"soft=  \r\nend="), b"softend");
        assert_eq!(quoted_printable(b"50% = half =zz =4"), b"50% = half =zz =4");
        assert_eq!(quoted_printable(b"=ed=95=9c"), "한".as_bytes());
    }

    #[test]
    fn base64_skips_what_is_not_in_its_alphabet() {
        assert_eq!(base64(b"aGVs\r\nbG8="), (b"hello".to_vec(), true));
        assert_eq!(base64(b"aGVs-*bG8=!"), (b"hello".to_vec(), false));
        assert_eq!(base64(b""), (vec![], true));
    }

    #[test]
    fn text_behind_base64_is_told_from_faults_in_it() {
        let body = b"aGVsbG8h\r\naGk=\r\n\r\n_____\r\nSome list mailing list\r\n";
        let (encoded, text) = text_behind_base64(body).unwrap();
        assert_eq!(encoded, b"aGVsbG8h\r\naGk=\r\n\r\n");
        assert!(text.starts_with(b"_____"));
        let (bytes, fault) = Encoding::Base64.undo(body);
        assert_eq!((&*bytes, fault.unwrap().grave), (&b"hello!hi"[..], false));
        let plain = b"Hello\r\nthis is no base64 at all\r\n";
        assert_eq!(text_behind_base64(plain), Some((&b""[..], &plain[..])));
        for faulty in
            [&b"aGVs-*bG8=!"[..], b"aGVs\r\nbG8=", b"", b"aGVs\r\n\r\n", b"aGVsbG8=\r\n-- \r\n"]
        {
            assert_eq!(text_behind_base64(faulty), None, "{faulty:?}");
        }
    }

    #[test]
    fn sloppy_names_are_the_identity() {
        assert_eq!(Encoding::named(" BASE64 "), Encoding::Base64);
        assert_eq!(Encoding::named("utf-8"), Encoding::Identity);
        assert_eq!(Encoding::named("x-uuencode"), Encoding::Uuencode);
        assert_eq!(Encoding::named("mac-binhex40"), Encoding::Opaque);
    }

    #[test]
    fn uuencode_is_undone_or_carried_as_written() {
        let body = b"a note\r\nbegin 644 a.txt\r\n+:&5L;&\\@=V]R;&0\r\n`\r\nend\r\n";
        assert_eq!(&*Encoding::Uuencode.undo(body).0, b"hello world");
        let (bytes, fault) = Encoding::Uuencode.undo(b"no file");
        assert_eq!(&*bytes, b"no file");
        assert!(fault.unwrap().grave);
    }

    proptest! {
        #[test]
        fn encoding_then_decoding_gives_the_same_bytes(bytes: Vec<u8>) {
            prop_assert_eq!(&quoted_printable(&to_quoted_printable(&bytes, "\r\n")), &bytes);
            prop_assert_eq!(&base64(&to_base64(&bytes, "\r\n")).0, &bytes);
        }

        #[test]
        fn encoded_bodies_are_seven_bit_with_short_lines(text in "(\\PC{0,200}\r\n){0,4}[.F a]{0,90}") {
            for encoded in [to_quoted_printable(text.as_bytes(), "\r\n"), to_base64(text.as_bytes(), "\r\n")] {
                prop_assert!(encoded.is_ascii());
                let text = String::from_utf8(encoded).unwrap();
                prop_assert!(text.split("\r\n").all(|line| line.len() <= 76));
            }
            prop_assert_eq!(quoted_printable(&to_quoted_printable(text.as_bytes(), "\r\n")), text.into_bytes());
        }
    }
}
