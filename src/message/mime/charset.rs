//! Text in any charset to UTF-8.

use std::borrow::Cow;

use mail_parser::decoders::charsets::map::charset_decoder;

use super::stateful;

/// Something in a text that could not be read as it is labelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What was wrong, and what was made of it.
    pub(crate) why: &'static str,
    /// So much of it is replacement characters that a reader cannot make it out.
    pub(crate) grave: bool,
}

impl Fault {
    const fn slight(why: &'static str) -> Self {
        Self { why, grave: false }
    }

    /// A text with replacement characters. Mail programs show the same ones, so a few are no loss on the way; when every
    /// tenth character is one, the label is wrong, and a reader whose program guesses better would have read it.
    fn of_damage(text: &str, why: &'static str) -> Self {
        let lost = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
        let all = text.chars().filter(|c| !c.is_whitespace()).count();
        Self { why, grave: lost * 10 > all }
    }
}

/// How a label is to be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// ASCII, or nothing at all.
    Unlabelled,
    Utf8,
    /// What is put on anything: Latin-1 and windows-1252, which browsers and mail programs take for one.
    Western,
    /// A text in these is ASCII where its octets are.
    AsciiBased(&'static str),
    /// ISO-2022-JP and its kin: ASCII octets between escape sequences.
    Iso2022Jp,
    Iso2022Kr,
    Hz,
    Utf7,
    Utf16,
    Utf32,
    /// One that only the table of mail-parser may know.
    Other,
}

/// Labels without punctuation, in lower case. Besides the registered names those that programs write.
const LABELS: [(&str, Kind); 67] = {
    use Kind::{AsciiBased, Hz, Unlabelled, Utf7, Utf8, Utf16, Utf32, Western};
    const KOREAN: Kind = AsciiBased("euc-kr");
    const JAPANESE: Kind = AsciiBased("shift_jis");
    const CHINESE: Kind = AsciiBased("gb18030");
    const TAIWAN: Kind = AsciiBased("big5");
    [
        ("", Unlabelled),
        ("usascii", Unlabelled),
        ("ascii", Unlabelled),
        ("ansix341968", Unlabelled),
        ("ansix341986", Unlabelled),
        ("iso646us", Unlabelled),
        ("7bit", Unlabelled),
        ("8bit", Unlabelled),
        ("unknown", Unlabelled),
        ("unknown8bit", Unlabelled),
        ("xunknown", Unlabelled),
        ("default", Unlabelled),
        ("none", Unlabelled),
        ("utf8", Utf8),
        ("uft8", Utf8),
        ("utf", Utf8),
        ("utf08", Utf8),
        ("utf8mb3", Utf8),
        ("utf8mb4", Utf8),
        ("utf8bom", Utf8),
        ("csutf8", Utf8),
        ("cp65001", Utf8),
        ("unicode11utf8", Utf8),
        ("unicode20utf8", Utf8),
        ("xunicode20utf8", Utf8),
        ("iso88591", Western),
        ("88591", Western),
        ("latin1", Western),
        ("l1", Western),
        ("csisolatin1", Western),
        ("iso885911987", Western),
        ("windows1252", Western),
        ("cp1252", Western),
        ("win1252", Western),
        ("ansi", Western),
        // KS X 1001 under all its names is read as the Windows code page, which holds it.
        ("euckr", KOREAN),
        ("xeuckr", KOREAN),
        ("cp949", KOREAN),
        ("ms949", KOREAN),
        ("xcp949", KOREAN),
        ("xwindows949", KOREAN),
        ("windows949", KOREAN),
        ("uhc", KOREAN),
        ("ksc5601", KOREAN),
        ("ksc56011987", KOREAN),
        ("ksc56011992", KOREAN),
        ("ksx1001", KOREAN),
        ("cp932", JAPANESE),
        ("windows932", JAPANESE),
        ("xmscp932", JAPANESE),
        ("shiftjis", JAPANESE),
        ("shiftjisms", JAPANESE),
        ("xshiftjis", JAPANESE),
        ("eucgb", CHINESE),
        ("euccn", CHINESE),
        ("gb180302000", CHINESE),
        ("gb180302005", CHINESE),
        ("cp950", TAIWAN),
        ("windows950", TAIWAN),
        ("big5hkscs2004", TAIWAN),
        ("hzgb2312", Hz),
        ("hz", Hz),
        ("utf7", Utf7),
        ("unicode11utf7", Utf7),
        ("csunicode11utf7", Utf7),
        ("utf16", Utf16),
        ("utf32", Utf32),
    ]
};

impl Kind {
    /// Of a label in lower case.
    fn of(label: &str) -> Self {
        let bare: String = label.chars().filter(char::is_ascii_alphanumeric).collect();
        if let Some((_, kind)) = LABELS.iter().find(|(known, _)| *known == bare) {
            return *kind;
        }
        for (start, kind) in [
            ("iso2022jp", Self::Iso2022Jp),
            ("csiso2022jp", Self::Iso2022Jp),
            ("cp50220", Self::Iso2022Jp),
            ("cp50221", Self::Iso2022Jp),
            ("cp50222", Self::Iso2022Jp),
            ("iso2022kr", Self::Iso2022Kr),
            ("csiso2022kr", Self::Iso2022Kr),
            ("utf16", Self::Utf16),
            ("csutf16", Self::Utf16),
            ("iso10646ucs2", Self::Utf16),
            ("ucs2", Self::Utf16),
            ("utf32", Self::Utf32),
            ("ucs4", Self::Utf32),
            ("iso10646ucs4", Self::Utf32),
        ] {
            if bare.starts_with(start) {
                return kind;
            }
        }
        Self::Other
    }
}

/// A label as it is looked up.
fn normal(label: Option<&str>) -> String {
    let junk = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ';' | ',' | '.');
    label.unwrap_or_default().trim_matches(junk).to_ascii_lowercase()
}

/// True for a label that says more than ASCII or UTF-8.
pub(crate) fn is_legacy(label: &str) -> bool {
    !matches!(Kind::of(&normal(Some(label))), Kind::Unlabelled | Kind::Utf8)
}

/// Decodes `bytes`, and says what was wrong if anything was.
///
/// Without a label, or with one that cannot be right, UTF-8 is tried first and windows-1252 is the last resort: what
/// mail readers do. Octets above 127 that are UTF-8 by chance are so rare that text labelled as Latin-1, or as something
/// that it is not, is taken for UTF-8 where it reads as that.
pub(crate) fn decode<'a>(bytes: &'a [u8], label: Option<&str>) -> (Cow<'a, str>, Option<Fault>) {
    let label = normal(label);
    let kind = Kind::of(&label);
    match kind {
        Kind::Utf8 => return utf_8(bytes),
        Kind::Unlabelled => {
            return match str::from_utf8(bytes) {
                Ok(text) => (without_mark(text), None),
                Err(_) => (
                    western(bytes),
                    Some(Fault::slight(
                        "no charset is stated and it is not UTF-8: read as windows-1252",
                    )),
                ),
            };
        }
        Kind::Western | Kind::AsciiBased(_) | Kind::Other => {
            let stateful = ["iso-2022", "iso2022"].iter().any(|start| label.starts_with(start));
            if !stateful
                && bytes.is_ascii()
                && let Ok(text) = str::from_utf8(bytes)
            {
                return (text.into(), None);
            }
            if kind == Kind::Western
                && let Ok(text) = str::from_utf8(bytes)
            {
                let why = "it is UTF-8, whatever charset is stated: read as that";
                return (without_mark(text), Some(Fault::slight(why)));
            }
        }
        Kind::Iso2022Jp | Kind::Iso2022Kr | Kind::Hz | Kind::Utf7 | Kind::Utf16 | Kind::Utf32 => {}
    }

    let decoded = match kind {
        Kind::AsciiBased(name) => with(name, bytes),
        Kind::Western => Some(western(bytes)),
        Kind::Iso2022Jp => stateful::iso_2022_jp(bytes, |bytes| with("iso-2022-jp", bytes)),
        Kind::Iso2022Kr => with("euc-kr", &stateful::iso_2022_kr(bytes)),
        Kind::Hz => with("gb18030", &stateful::hz(bytes)),
        Kind::Utf7 => Some(stateful::utf_7(bytes).into()),
        Kind::Utf16 => Some(stateful::utf_16(bytes, label.ends_with("le"), label.ends_with("be"))),
        Kind::Utf32 => Some(stateful::utf_32(bytes, label.ends_with("be")).into()),
        Kind::Unlabelled | Kind::Utf8 | Kind::Other => with(&label, bytes),
    };
    let valid = || str::from_utf8(bytes).ok().filter(|text| !text.is_ascii());
    match decoded {
        Some(text) if text.contains(char::REPLACEMENT_CHARACTER) => match valid() {
            Some(utf_8) => {
                let why = "it is not in the charset that is stated, but UTF-8: read as that";
                (without_mark(utf_8), Some(Fault::slight(why)))
            }
            None => {
                let why = "some bytes are not valid in the charset that is stated";
                let fault = Fault::of_damage(&text, why);
                (Cow::Owned(text.into_owned()), Some(fault))
            }
        },
        Some(text) => (Cow::Owned(text.into_owned()), None),
        None => match str::from_utf8(bytes) {
            Ok(text) => {
                let why = "the charset that is stated is unknown: read as UTF-8";
                (without_mark(text), Some(Fault::slight(why)))
            }
            Err(_) => {
                let text = String::from_utf8_lossy(bytes);
                let why = "the charset that is stated is unknown: read as UTF-8";
                let fault = Fault::of_damage(&text, why);
                (text, Some(fault))
            }
        },
    }
}

/// Text that is labelled as UTF-8. Where not one character of it is, it is most likely windows-1252: an apostrophe that
/// a word processor made, an accent of an old program.
fn utf_8(bytes: &[u8]) -> (Cow<'_, str>, Option<Fault>) {
    if let Ok(text) = str::from_utf8(bytes) {
        return (without_mark(text), None);
    }
    let text = String::from_utf8_lossy(bytes);
    let high = bytes.iter().filter(|byte| !byte.is_ascii()).count();
    let no_character = text.chars().all(|c| c.is_ascii() || c == char::REPLACEMENT_CHARACTER);
    if no_character && high * 4 <= bytes.len() {
        let why = "it is stated to be UTF-8 and is not: read as windows-1252";
        return (western(bytes), Some(Fault::slight(why)));
    }
    let fault = Fault::of_damage(&text, "some bytes are not UTF-8");
    (text, Some(fault))
}

/// A byte order mark is no part of the text.
fn without_mark(text: &str) -> Cow<'_, str> {
    text.strip_prefix('\u{feff}').unwrap_or(text).into()
}

fn western(bytes: &[u8]) -> Cow<'_, str> {
    with("windows-1252", bytes).unwrap_or_else(|| String::from_utf8_lossy(bytes))
}

/// Decodes with mail-parser's table; `None` when it has no such charset. Of labels with other punctuation than the
/// registered ones (`windows1251`, `cp-1251`, `koi8r`), the usual spellings are tried.
fn with<'a>(label: &str, bytes: &[u8]) -> Option<Cow<'a, str>> {
    let bare: String = label.chars().filter(char::is_ascii_alphanumeric).collect();
    let digits = bare.find(|c: char| c.is_ascii_digit()).unwrap_or(bare.len());
    let (letters, number) = bare.split_at_checked(digits).unwrap_or((&bare, ""));
    let respelt = match letters {
        "windows" | "win" | "cp" | "xcp" | "ibm" if number.starts_with("125") => {
            format!("windows-{number}")
        }
        "windows" | "win" | "cp" | "xcp" | "ibm" => format!("cp{number}"),
        "iso" | "" if number.starts_with("8859") => {
            format!("iso-8859-{}", number.get(4..).unwrap_or_default())
        }
        "koi" => format!("koi8-{}", number.get(1..).unwrap_or_default()),
        _ => bare.clone(),
    };
    let decoder =
        [label, respelt.as_str()].into_iter().find_map(|it| charset_decoder(it.as_bytes()));
    decoder.map(|decoder| Cow::Owned(decoder(bytes)))
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
        assert_eq!(
            decode(b"\x1b$B%O\x1b(B\x1b$B%m\x1b(B", Some("iso-2022-jp")),
            ("ハロ".into(), None)
        );
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
        assert!(fault.unwrap().why.contains("unknown"));
        assert_eq!(decode(b"plain", Some("x-klingon")), ("plain".into(), None));
    }

    #[test]
    fn every_charset_of_mail_is_read_under_its_names() {
        for (label, bytes, text) in [
            ("EUC-KR", &b"\xc7\xd1\xb1\xdb\x20\xbd\xc3\xc7\xe8"[..], "한글 시험"),
            ("KS_C_5601-1987", &b"\xc7\xd1\xb1\xdb\x20\xbd\xc3\xc7\xe8"[..], "한글 시험"),
            ("ks_c_5601", &b"\xc7\xd1\xb1\xdb\x20\xbd\xc3\xc7\xe8"[..], "한글 시험"),
            ("korean", &b"\xc7\xd1\xb1\xdb\x20\xbd\xc3\xc7\xe8"[..], "한글 시험"),
            ("x-euc-kr", &b"\xc7\xd1\xb1\xdb\x20\xbd\xc3\xc7\xe8"[..], "한글 시험"),
            ("ksc5601", &b"\xc7\xd1\xb1\xdb\x20\xbd\xc3\xc7\xe8"[..], "한글 시험"),
            ("CP949", &b"\x8c\x63\xb9\xe6\xb0\xa2\xc7\xcf"[..], "똠방각하"),
            ("UHC", &b"\x8c\x63\xb9\xe6\xb0\xa2\xc7\xcf"[..], "똠방각하"),
            ("x-windows-949", &b"\x8c\x63\xb9\xe6\xb0\xa2\xc7\xcf"[..], "똠방각하"),
            ("MS949", &b"\x8c\x63\xb9\xe6\xb0\xa2\xc7\xcf"[..], "똠방각하"),
            ("ISO-2022-KR", &b"\x1b\x24\x29\x43\x0e\x3e\x48\x33\x67\x0f\x20\x68\x69"[..], "안녕 hi"),
            ("ISO-2022-JP", &b"\x1b\x24\x42\x46\x7c\x4b\x5c\x38\x6c\x1b\x28\x42\x20\x6f\x6b"[..], "日本語 ok"),
            ("csISO2022JP", &b"\x1b\x24\x42\x46\x7c\x4b\x5c\x38\x6c\x1b\x28\x42\x20\x6f\x6b"[..], "日本語 ok"),
            ("iso-2022-jp-ms", &b"\x1b\x24\x42\x46\x7c\x4b\x5c\x38\x6c\x1b\x28\x42\x20\x6f\x6b"[..], "日本語 ok"),
            ("CP50220", &b"\x1b\x24\x42\x46\x7c\x4b\x5c\x38\x6c\x1b\x28\x42\x20\x6f\x6b"[..], "日本語 ok"),
            ("ISO-2022-JP-1", &b"\x1b\x24\x42\x46\x7c\x4b\x5c\x1b\x28\x42\x20\x1b\x24\x28\x44\x30\x21\x1b\x28\x42\x20\x78"[..], "日本 丂 x"),
            ("ISO-2022-JP-2", &b"\x1b\x24\x42\x46\x7c\x4b\x5c\x1b\x28\x42\x20\x1b\x24\x28\x43\x47\x51\x1b\x28\x42\x20\x1b\x24\x42\x43\x66\x1b\x28\x42"[..], "日本 한 中"),
            ("Shift_JIS", &b"\x87\x40\x93\xfa\x96\x7b\x8c\xea\x81\x5b"[..], "①日本語ー"),
            ("SJIS", &b"\x87\x40\x93\xfa\x96\x7b\x8c\xea\x81\x5b"[..], "①日本語ー"),
            ("shift-jis", &b"\x87\x40\x93\xfa\x96\x7b\x8c\xea\x81\x5b"[..], "①日本語ー"),
            ("CP932", &b"\x87\x40\x93\xfa\x96\x7b\x8c\xea\x81\x5b"[..], "①日本語ー"),
            ("windows-31j", &b"\x87\x40\x93\xfa\x96\x7b\x8c\xea\x81\x5b"[..], "①日本語ー"),
            ("x-ms-cp932", &b"\x87\x40\x93\xfa\x96\x7b\x8c\xea\x81\x5b"[..], "①日本語ー"),
            ("MS_Kanji", &b"\x87\x40\x93\xfa\x96\x7b\x8c\xea\x81\x5b"[..], "①日本語ー"),
            ("EUC-JP", &b"\xc6\xfc\xcb\xdc\xb8\xec"[..], "日本語"),
            ("x-euc-jp", &b"\xc6\xfc\xcb\xdc\xb8\xec"[..], "日本語"),
            ("GB2312", &b"\xc4\xe3\xba\xc3\xca\xc0\xbd\xe7"[..], "你好世界"),
            ("GBK", &b"\xc4\xe3\xba\xc3\xca\xc0\xbd\xe7"[..], "你好世界"),
            ("CP936", &b"\xc4\xe3\xba\xc3\xca\xc0\xbd\xe7"[..], "你好世界"),
            ("gb18030", &b"\xc4\xe3\xba\xc3\xca\xc0\xbd\xe7"[..], "你好世界"),
            ("EUC-CN", &b"\xc4\xe3\xba\xc3\xca\xc0\xbd\xe7"[..], "你好世界"),
            ("x-gbk", &b"\xc4\xe3\xba\xc3\xca\xc0\xbd\xe7"[..], "你好世界"),
            ("HZ-GB-2312", &b"\x7e\x7b\x44\x63\x3a\x43\x23\x2c\x7e\x7d\x6f\x6b"[..], "你好，ok"),
            ("hz", &b"\x7e\x7b\x44\x63\x3a\x43\x7e\x7d"[..], "你好"),
            ("Big5", &b"\xa7\x41\xa6\x6e\xa5\x40\xac\xc9"[..], "你好世界"),
            ("CP950", &b"\xa7\x41\xa6\x6e\xa5\x40\xac\xc9"[..], "你好世界"),
            ("x-x-big5", &b"\xa7\x41\xa6\x6e\xa5\x40\xac\xc9"[..], "你好世界"),
            ("big5-hkscs", &b"\xa7\x41\xa6\x6e\xa5\x40\xac\xc9"[..], "你好世界"),
            ("windows-950", &b"\xa7\x41\xa6\x6e\xa5\x40\xac\xc9"[..], "你好世界"),
            ("KOI8-R", &b"\xf0\xd2\xc9\xd7\xc5\xd4"[..], "Привет"),
            ("koi8r", &b"\xf0\xd2\xc9\xd7\xc5\xd4"[..], "Привет"),
            ("KOI8-U", &b"\xf0\xd2\xc9\xd7\xa6\xd4"[..], "Привіт"),
            ("windows-1251", &b"\xcf\xf0\xe8\xe2\xe5\xf2"[..], "Привет"),
            ("cp1251", &b"\xcf\xf0\xe8\xe2\xe5\xf2"[..], "Привет"),
            ("win-1251", &b"\xcf\xf0\xe8\xe2\xe5\xf2"[..], "Привет"),
            ("windows1251", &b"\xcf\xf0\xe8\xe2\xe5\xf2"[..], "Привет"),
            ("cp-1251", &b"\xcf\xf0\xe8\xe2\xe5\xf2"[..], "Привет"),
            ("windows-1250", &b"\x50\xf8\xed\x6c\x69\x9a"[..], "Příliš"),
            ("windows-1253", &b"\xca\xe1\xeb\xe7\xec\xdd\xf1\xe1"[..], "Καλημέρα"),
            ("windows-1254", &b"\xfe\xfd\x6b"[..], "şık"),
            ("windows-1255", &b"\xf9\xec\xe5\xed"[..], "שלום"),
            ("windows-1256", &b"\xd3\xe1\xc7\xe3"[..], "سلام"),
            ("windows-1257", &b"\x56\xe7\x6c"[..], "Vēl"),
            ("windows-1258", &b"\xd0\x65\x70"[..], "Đep"),
            ("ISO-8859-2", &b"\x50\xf8\xed\x6c\x69\xb9"[..], "Příliš"),
            ("latin2", &b"\x50\xf8\xed\x6c\x69\xb9"[..], "Příliš"),
            ("iso-8859-5", &b"\xbf\xe0\xd8\xd2\xd5\xe2"[..], "Привет"),
            ("ISO_8859-7:1987", &b"\xca\xe1\xeb\xe7\xec\xdd\xf1\xe1"[..], "Καλημέρα"),
            ("ISO-8859-8-I", &b"\xf9\xec\xe5\xed"[..], "שלום"),
            ("iso8859-9", &b"\xfe\xfd\x6b"[..], "şık"),
            ("ISO-8859-15", &b"\xa4\x75\x72\x6f\x20\xbd"[..], "€uro œ"),
            ("latin-9", &b"\xa4\x75\x72\x6f\x20\xbd"[..], "€uro œ"),
            ("TIS-620", &b"\xca\xc7\xd1\xca\xb4\xd5"[..], "สวัสดี"),
            ("ibm866", &b"\x8f\xe0\xa8\xa2\xa5\xe2"[..], "Привет"),
            ("cp850", &b"\x6e\x82"[..], "né"),
            ("macintosh", &b"\x63\x61\x66\x8e"[..], "café"),
            ("x-mac-roman", &b"\x63\x61\x66\x8e"[..], "café"),
            ("UTF-16", &b"\xff\xfe\x5c\xd5\x20\x00\x3d\xd8\x00\xde"[..], "한 😀"),
            ("UTF-16LE", &b"\x5c\xd5\x20\x00\x3d\xd8\x00\xde"[..], "한 😀"),
            ("utf-16be", &b"\xd5\x5c\x00\x20\xd8\x3d\xde\x00"[..], "한 😀"),
            ("utf16", &b"\x68\x00\x69\x00"[..], "hi"),
            ("UTF-32", &b"\xff\xfe\x00\x00\x5c\xd5\x00\x00\x20\x00\x00\x00\x00\xf6\x01\x00"[..], "한 😀"),
            ("utf-32be", &b"\x00\x00\xd5\x5c\x00\x01\xf6\x00"[..], "한😀"),
            ("utf-32le", &b"\x5c\xd5\x00\x00\x00\xf6\x01\x00"[..], "한😀"),
            ("UTF-7", &b"\x2b\x31\x56\x79\x75\x41\x41\x20\x2b\x2d\x20\x2b\x32\x44\x33\x65\x41\x41\x2d"[..], "한글 + 😀"),
            ("unicode-1-1-utf-7", &b"\x2b\x31\x56\x79\x75\x41\x41\x2d"[..], "한글"),
            ("utf7", &b"\x31\x2b\x2d\x31\x20\x2b\x31\x56\x77\x2d"[..], "1+1 한"),
            ("UTF-7", &b"\x2b\x5a\x65\x56\x6e\x4c\x49\x71\x65"[..], "日本語"),
            ("utf8", &b"\xed\x95\x9c\xea\xb8\x80"[..], "한글"),
            ("UTF8", &b"\xed\x95\x9c\xea\xb8\x80"[..], "한글"),
            ("uft-8", &b"\xed\x95\x9c\xea\xb8\x80"[..], "한글"),
            ("utf-8;", &b"\xed\x95\x9c\xea\xb8\x80"[..], "한글"),
            ("'utf-8'", &b"\xed\x95\x9c\xea\xb8\x80"[..], "한글"),
            ("utf-8-bom", &b"\xed\x95\x9c\xea\xb8\x80"[..], "한글"),
            ("CP65001", &b"\xed\x95\x9c\xea\xb8\x80"[..], "한글"),
            ("utf-8", &b"\xef\xbb\xbf\xed\x95\x9c\xea\xb8\x80"[..], "한글"),
        ] {
            assert_eq!(decode(bytes, Some(label)), (text.into(), None), "{label}");
        }
    }

    #[test]
    fn a_wrong_label_gives_way_to_utf_8_and_is_told() {
        for label in ["iso-8859-1", "windows-1252", "Shift_JIS", "gbk", "x-klingon"] {
            let (text, fault) = decode("한국어 café".as_bytes(), Some(label));
            assert_eq!(text, "한국어 café", "{label}");
            assert!(!fault.unwrap().grave, "{label}");
        }
        // An apostrophe of a word processor, in what says that it is UTF-8.
        let (text, fault) = decode(b"it\x92s fine", Some("utf-8"));
        assert_eq!(text, "it’s fine");
        assert!(!fault.unwrap().grave);
        // A character that was cut is shown as every program shows it.
        let (text, fault) = decode(
            "한국어로 쓴 글이 잘렸\u{d55c}".as_bytes().split_last().unwrap().1,
            Some("utf-8"),
        );
        assert!(text.ends_with('\u{fffd}') && !fault.unwrap().grave, "{text}");
    }

    #[test]
    fn a_text_that_nobody_could_read_is_a_grave_loss() {
        let euc_kr = b"\xbe\xc8\xb3\xe7\xc7\xcf\xbc\xbc\xbf\xe4 \xb9\xdd\xb0\xa9";
        assert!(decode(euc_kr, Some("utf-8")).1.unwrap().grave);
        assert!(decode(euc_kr, Some("x-klingon")).1.unwrap().grave);
        assert!(decode(b"\xff\xff\xff", Some("euc-kr")).1.unwrap().grave);
    }
}
