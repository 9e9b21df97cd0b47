//! Charsets in which an octet below 128 need not be ASCII: those with escape sequences and shifts, and the wide ones.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// ISO-2022-KR (RFC 1557) as EUC-KR: between SO and SI every octet is half of a Korean character.
pub(super) fn iso_2022_kr(bytes: &[u8]) -> Vec<u8> {
    const DESIGNATION: &[u8] = b"\x1b$)C";
    let mut out = Vec::with_capacity(bytes.len());
    let mut korean = false;
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        if let Some(tail) = rest.strip_prefix(DESIGNATION) {
            rest = tail;
            continue;
        }
        match byte {
            0x0e => korean = true,
            0x0f => korean = false,
            b'\n' => {
                korean = false;
                out.push(byte);
            }
            0x21..=0x7e if korean => out.push(byte | 0x80),
            other => out.push(other),
        }
        rest = tail;
    }
    out
}

/// HZ (RFC 1843) as GB 2312: between `~{` and `~}` every octet is half of a Chinese character.
pub(super) fn hz(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut chinese = false;
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match rest {
            [b'~', b'{', after @ ..] => {
                chinese = true;
                after
            }
            [b'~', b'}', after @ ..] => {
                chinese = false;
                after
            }
            [b'~', b'~', after @ ..] if !chinese => {
                out.push(b'~');
                after
            }
            // A line that goes on.
            [b'~', b'\r', b'\n', after @ ..] | [b'~', b'\n', after @ ..] if !chinese => after,
            _ => {
                chinese = chinese && byte != b'\n';
                let half = chinese && (0x21..=0x7e).contains(&byte);
                out.push(if half { byte | 0x80 } else { byte });
                tail
            }
        };
    }
    out
}

/// ISO-2022-JP with what its successors added, by a decoder of plain ISO-2022-JP.
///
/// Escape sequences that the next one undoes at once stand where encoded words or lines meet; the decoder of the web
/// takes them for an attack. JIS X 0212, Korean and Chinese (ISO-2022-JP-1, -2) are written as EUC.
pub(super) fn iso_2022_jp<'a>(
    bytes: &[u8],
    plain: impl Fn(&[u8]) -> Option<Cow<'a, str>>,
) -> Option<Cow<'a, str>> {
    let mut out = String::with_capacity(bytes.len());
    let mut run = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        let foreign = match rest {
            [0x1b, b'$', b'(', b'D', text @ ..] => Some(("euc-jp", &[0x8f][..], text)),
            [0x1b, b'$', b'(', b'C', text @ ..] => Some(("euc-kr", &[][..], text)),
            [0x1b, b'$', b'A', text @ ..] => Some(("gb18030", &[][..], text)),
            _ => None,
        };
        if let Some((name, lead, text)) = foreign {
            let length = memchr::memchr2(0x1b, b'\n', text).unwrap_or(text.len());
            let (pairs, after) = text.split_at(length);
            let mut wide = Vec::with_capacity(length * 2);
            for pair in pairs.chunks(2) {
                wide.extend_from_slice(lead);
                wide.extend(pair.iter().map(|byte| byte | 0x80));
            }
            if !run.is_empty() {
                out.push_str(&plain(&run)?);
                run.clear();
            }
            let decoder = mail_parser::decoders::charsets::map::charset_decoder(name.as_bytes())?;
            out.push_str(&decoder(&wide));
            rest = after;
            continue;
        }
        rest = match rest {
            [0x1b, b'$', b'(', _, next @ ..] if next.starts_with(b"\x1b") => next,
            [0x1b, b'$' | b'(', _, next @ ..] if next.starts_with(b"\x1b") => next,
            // The old way to say what `ESC $ B` says.
            [0x1b, b'$', b'(', b'@' | b'B', next @ ..] => {
                run.extend_from_slice(b"\x1b$B");
                next
            }
            // The decoder forgets its set at no line end; mail begins each line in ASCII (RFC 1468).
            _ => {
                run.push(byte);
                tail
            }
        };
    }
    out.push_str(&plain(&run)?);
    Some(out.into())
}

/// UTF-7 (RFC 2152). What is no base64 between `+` and `-` stays as it is.
pub(super) fn utf_7(bytes: &[u8]) -> String {
    const LENIENT: GeneralPurpose = GeneralPurpose::new(
        &STANDARD,
        GeneralPurposeConfig::new()
            .with_decode_padding_mode(DecodePaddingMode::Indifferent)
            .with_decode_allow_trailing_bits(true),
    );
    let mut out = String::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'+', rest) {
        let (before, shifted) = rest.split_at(at);
        out.push_str(&String::from_utf8_lossy(before));
        let shifted = shifted.get(1..).unwrap_or_default();
        let in_alphabet = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
        let length = shifted.iter().take_while(|byte| in_alphabet(byte)).count();
        let (code, tail) = shifted.split_at(length);
        // `+-` is a plus.
        let closed = tail.first() == Some(&b'-');
        rest = if closed { tail.get(1..).unwrap_or_default() } else { tail };
        if code.is_empty() {
            out.push('+');
            if !closed {
                continue;
            }
            continue;
        }
        // A lone last character holds no whole octet.
        let whole = if code.len() % 4 == 1 { code.len() - 1 } else { code.len() };
        match LENIENT.decode(code.get(..whole).unwrap_or_default()) {
            Ok(wide) if wide.len() >= 2 => out.push_str(&utf_16(&wide, false, true)),
            Ok(_) | Err(_) => {
                out.push('+');
                out.push_str(&String::from_utf8_lossy(code));
            }
        }
    }
    out.push_str(&String::from_utf8_lossy(rest));
    out
}

/// UTF-16 with a mark of its byte order, or in the stated order. Without either it is big-endian (RFC 2781 §4.3), unless
/// it looks like ASCII the other way round, as Windows writes it.
pub(super) fn utf_16<'a>(bytes: &[u8], little: bool, big: bool) -> Cow<'a, str> {
    let (bytes, little) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, true),
        [0xfe, 0xff, rest @ ..] => (rest, false),
        _ if little || big => (bytes, little),
        _ => {
            let zeros = |odd: usize| {
                bytes.iter().skip(odd).step_by(2).take(1000).filter(|byte| **byte == 0).count()
            };
            (bytes, zeros(1) > zeros(0))
        }
    };
    let mut pairs = bytes.chunks_exact(2);
    let units = pairs.by_ref().map(|pair| match pair {
        [a, b] if little => u16::from_le_bytes([*a, *b]),
        [a, b] => u16::from_be_bytes([*a, *b]),
        _ => 0,
    });
    let mut text: String =
        char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
    if bytes.len() % 2 == 1 {
        text.push(char::REPLACEMENT_CHARACTER);
    }
    text.into()
}

/// UTF-32, in the order of its mark, else as stated, else as the first character shows.
pub(super) fn utf_32(bytes: &[u8], big: bool) -> String {
    let (bytes, big) = match bytes {
        [0xff, 0xfe, 0, 0, rest @ ..] => (rest, false),
        [0, 0, 0xfe, 0xff, rest @ ..] => (rest, true),
        [0, ..] => (bytes, true),
        _ => (bytes, big),
    };
    bytes
        .chunks(4)
        .map(|unit| {
            let code = match unit {
                [a, b, c, d] if big => u32::from_be_bytes([*a, *b, *c, *d]),
                [a, b, c, d] => u32::from_le_bytes([*a, *b, *c, *d]),
                _ => u32::MAX,
            };
            char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
        })
        .collect()
}
