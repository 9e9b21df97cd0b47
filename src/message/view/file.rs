//! What a downloaded part is called, and as what it is sent.

use super::text::turns;

/// The longest name, octets: what file systems take, with room for the browser's ` (1)`.
const NAME_MAX: usize = 200;
/// The longest ending that is kept when a name is cut, octets.
const ENDING_MAX: usize = 20;

/// Names that are devices to Windows, whatever their ending.
const RESERVED: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];

/// Types that no browser runs or renders as a document. Everything else is an octet stream.
const SAFE: [&str; 12] = [
    "application/gzip",
    "application/pdf",
    "application/zip",
    "audio/mpeg",
    "audio/ogg",
    "image/avif",
    "image/bmp",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "video/mp4",
];

/// The type to send a part as.
pub(super) fn media_type(stated: &str) -> &'static str {
    let essence = stated.split(';').next().unwrap_or_default().trim();
    let known = SAFE.into_iter().find(|safe| safe.eq_ignore_ascii_case(essence));
    known.unwrap_or("application/octet-stream")
}

/// A name that is a name everywhere: no path, nothing that is invisible or turns the direction of writing, no device.
pub(super) fn name(stated: &str, number: usize) -> String {
    let last =
        stated.rsplit(['/', '\\']).find(|piece| !piece.trim().is_empty()).unwrap_or_default();
    let kept = last.chars().filter(|c| !turns(*c) && !is_hidden(*c));
    let kept: String = kept.map(|c| if is_special(c) { '_' } else { c }).collect();
    // Dots at the beginning hide a file, at the end they vanish.
    let kept = kept.trim_matches(|c: char| c.is_whitespace() || c == '.');
    let mut name = shortened(kept);
    if name.is_empty() {
        return format!("part-{number}");
    }
    let stem = name.split('.').next().unwrap_or_default().trim_end().to_ascii_lowercase();
    let numbered = ["com", "lpt"].iter().any(|device| {
        let digit = stem.strip_prefix(device).map(|rest| rest.chars().collect::<Vec<_>>());
        digit.is_some_and(|it| matches!(it[..], ['0'..='9' | '¹' | '²' | '³']))
    });
    if numbered || RESERVED.contains(&stem.as_str()) {
        name.insert(0, '_');
    }
    name
}

/// The value of `Content-Disposition` (RFC 6266): a name in ASCII for old programs, and the whole one.
pub(super) fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%') || c == ' ' { c } else { '_' }
        })
        .collect();
    let mut whole = String::with_capacity(name.len() * 3);
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!#$&+^`|".contains(&byte) {
            whole.push(char::from(byte));
        } else {
            whole.push_str(&format!("%{byte:02X}"));
        }
    }
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{whole}")
}

/// Cut before its ending, which says what opens it.
fn shortened(name: &str) -> String {
    if name.len() <= NAME_MAX {
        return name.to_owned();
    }
    let ending = name.rfind('.').and_then(|at| name.get(at..)).filter(|it| it.len() <= ENDING_MAX);
    let ending = ending.unwrap_or_default();
    let stem = name.get(..name.floor_char_boundary(NAME_MAX - ending.len())).unwrap_or_default();
    format!("{}{ending}", stem.trim_end())
}

/// What some system gives a meaning of its own.
fn is_special(c: char) -> bool {
    c.is_control() || matches!(c, '<' | '>' | ':' | '"' | '|' | '?' | '*' | '\u{2028}' | '\u{2029}')
}

/// Characters of no width, and those that only say how others look.
fn is_hidden(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_everywhere() {
        for (stated, shown) in [
            ("보고서 1.pdf", "보고서 1.pdf"),
            ("../../etc/passwd", "passwd"),
            (r"..\..\boot.ini", "boot.ini"),
            ("a/../b.txt/", "b.txt"),
            ("..", "part-3"),
            ("", "part-3"),
            (" . ", "part-3"),
            (".bashrc", "bashrc"),
            ("a.exe. . ", "a.exe"),
            ("invoice\u{202e}fdp.exe", "invoicefdp.exe"),
            ("a\r\nSet-Cookie: x=1", "a__Set-Cookie_ x=1"),
            ("a\"; filename=\"b.exe", "a_; filename=_b.exe"),
            ("nul.txt", "_nul.txt"),
            ("CON", "_CON"),
            ("com1 .txt", "_com1 .txt"),
            ("lpt¹", "_lpt¹"),
            ("com10.txt", "com10.txt"),
            ("a:b|c?.txt", "a_b_c_.txt"),
            ("a\u{200b}b\0.txt", "ab_.txt"),
        ] {
            assert_eq!(name(stated, 3), shown, "{stated:?}");
        }
    }

    #[test]
    fn a_long_name_keeps_its_ending() {
        let long = name(&format!("{}.pdf", "가".repeat(1000)), 1);
        assert!(long.len() <= NAME_MAX && long.ends_with("가.pdf"), "{long}");
        let long = name(&".".repeat(10).replace('.', "a.").repeat(100), 1);
        assert!(long.len() <= NAME_MAX);
    }

    #[test]
    fn the_header_holds_one_name_in_two_forms() {
        assert_eq!(
            disposition("보고서 \"1\"%.pdf"),
            "attachment; filename=\"___ _1__.pdf\"; \
             filename*=UTF-8''%EB%B3%B4%EA%B3%A0%EC%84%9C%20%221%22%25.pdf"
        );
        assert!(disposition("a\r\nb").bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '));
    }

    #[test]
    fn what_a_browser_would_open_is_an_octet_stream() {
        for (stated, sent) in [
            ("Image/PNG; name=a", "image/png"),
            ("text/html", "application/octet-stream"),
            ("image/svg+xml", "application/octet-stream"),
            ("text/plain", "application/octet-stream"),
            ("multipart/x-mixed-replace", "application/octet-stream"),
            ("", "application/octet-stream"),
        ] {
            assert_eq!(media_type(stated), sent, "{stated}");
        }
    }
}
