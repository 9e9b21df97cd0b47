//! Text in any charset to UTF-8.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

/// The names of UTF-8 that are seen in mail.
const UTF_8: [&str; 5] = ["utf-8", "utf8", "utf8mb4", "csutf8", "unicode-1-1-utf-8"];
/// Labels that promise ASCII, or nothing.
const ASCII: [&str; 4] = ["", "us-ascii", "ascii", "ansi_x3.4-1968"];
/// Further names of Korean's Windows code page, a superset of EUC-KR.
const WINDOWS_949: [&str; 7] =
    ["cp949", "ms949", "uhc", "windows-949", "x-windows-949", "ks_c_5601", "euckr"];
/// Charsets in which a byte below 0x80 need not be ASCII.
const NOT_ASCII_BASED: [&str; 7] =
    ["utf-16", "utf16", "utf-7", "iso-2022", "hz-", "iso-10646", "csiso2022"];

/// True for a label that says more than ASCII or UTF-8.
pub(crate) fn is_legacy(label: &str) -> bool {
    let label = label.trim().to_ascii_lowercase();
    !UTF_8.contains(&label.as_str()) && !ASCII.contains(&label.as_str())
}

/// Decodes `bytes`, and says what was wrong if anything was.
///
/// Without a label, or with one that cannot be right, UTF-8 is tried first and windows-1252 is the last resort: what
/// mail readers do.
pub(crate) fn decode<'a>(
    bytes: &'a [u8],
    label: Option<&str>,
) -> (Cow<'a, str>, Option<&'static str>) {
    let label = label
        .unwrap_or_default()
        .trim_matches(|c: char| c.is_whitespace() || c == '"' || c == '\'')
        .to_ascii_lowercase();
    let label = label.as_str();

    if UTF_8.contains(&label) {
        return match str::from_utf8(bytes) {
            Ok(text) => (text.into(), None),
            Err(_) => (String::from_utf8_lossy(bytes), Some("some bytes are not UTF-8")),
        };
    }
    if ASCII.contains(&label) {
        return match str::from_utf8(bytes) {
            Ok(text) => (text.into(), None),
            Err(_) => (
                with("windows-1252", bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes)),
                Some("no charset is stated and it is not UTF-8: read as windows-1252"),
            ),
        };
    }
    let ascii_based = !NOT_ASCII_BASED.iter().any(|prefix| label.starts_with(prefix));
    if ascii_based
        && bytes.is_ascii()
        && let Ok(text) = str::from_utf8(bytes)
    {
        return (text.into(), None);
    }

    let decoded = match label {
        "iso-2022-kr" | "csiso2022kr" => {
            with("euc-kr", &shifted_to_eight_bit(bytes)).map(|text| Cow::Owned(text.into_owned()))
        }
        label if WINDOWS_949.contains(&label) => with("euc-kr", bytes),
        label => with(label, bytes),
    };
    match decoded {
        Some(text) if text.contains(char::REPLACEMENT_CHARACTER) => {
            (text, Some("some bytes are not valid in the charset that is stated"))
        }
        Some(text) => (text, None),
        None => (
            String::from_utf8_lossy(bytes),
            Some("the charset that is stated is unknown: read as UTF-8"),
        ),
    }
}

/// Decodes with mail-parser's table; `None` when it has no such charset.
fn with<'a>(label: &str, bytes: &[u8]) -> Option<Cow<'a, str>> {
    charset_decoder(label.as_bytes()).map(|decoder| Cow::Owned(decoder(bytes)))
}

/// ISO-2022-KR (RFC 1557) as EUC-KR: between SO and SI every byte is half of a Korean character.
fn shifted_to_eight_bit(bytes: &[u8]) -> Vec<u8> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn korean_is_read_under_all_its_names() {
        let bytes = b"\xbe\xc8\xb3\xe7";
        for label in ["EUC-KR", "ks_c_5601-1987", "cp949", "UHC", "windows-949", "\"euc-kr\""] {
            assert_eq!(decode(bytes, Some(label)), ("안녕".into(), None), "{label}");
        }
        assert_eq!(decode(b"\x1b$)C\x0e>H3g\x0f!", Some("ISO-2022-KR")), ("안녕!".into(), None));
        // Outside KS X 1001, so only in the Windows superset.
        assert_eq!(decode(b"\x8cc\xb9\xe6", Some("euc-kr")).0, "똠방");
    }

    #[test]
    fn other_charsets_become_utf_8() {
        assert_eq!(decode(b"\x1b$B%O%m!<\x1b(B", Some("ISO-2022-JP")).0, "ハロー");
        assert_eq!(decode(b"\xc4\xe3\xba\xc3", Some("gb18030")).0, "你好");
        assert_eq!(decode(b"\x93hi\x94 \x80", Some("windows-1252")).0, "“hi” €");
        assert_eq!(decode(b"\xcf\xf0\xe8", Some("windows-1251")).0, "При");
    }

    #[test]
    fn unlabelled_text_is_utf_8_or_else_western() {
        assert_eq!(decode("é".as_bytes(), None), ("é".into(), None));
        let (text, fault) = decode(b"caf\xe9", Some("us-ascii"));
        assert_eq!(text, "café");
        assert!(fault.is_some());
    }

    #[test]
    fn an_unknown_charset_is_reported() {
        let (text, fault) = decode(b"a\xff", Some("x-klingon"));
        assert_eq!(text, "a\u{fffd}");
        assert!(fault.unwrap().contains("unknown"));
        assert_eq!(decode(b"plain", Some("x-klingon")), ("plain".into(), None));
    }
}
