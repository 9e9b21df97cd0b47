//! The body of a request as a person reads it. Pure; the length of what comes out is limited, whatever goes in.

/// The longest text of one body, octets.
const TEXT_MAX: usize = 128 * 1024;

/// A value of JSON that is longer, and nothing but base64, is shown by its beginning and its size.
const BASE64_MAX: usize = 160;

/// What is shown of it.
const BASE64_SHOWN: usize = 48;

/// So many lines of base64 in a row are shown, of a file within a message; then their number.
const LINES_SHOWN: usize = 2;

/// Shorter lines are words.
const BASE64_LINE_MIN: usize = 60;

/// JSON line by line, everything else as text; files in base64 shortened. What is no UTF-8 is shown as U+FFFD.
pub(super) fn of(body: &[u8], content_type: &str) -> String {
    let is_json = content_type.split(';').next().unwrap_or("").trim().ends_with("json");
    let text = String::from_utf8_lossy(body);
    let mut out = Out { text: String::new(), left_out: false };
    if is_json {
        indented(&text, &mut out);
    } else {
        with_short_files(&text, &mut out);
    }
    if out.left_out {
        let kib = body.len().div_ceil(1024);
        out.text.push_str(&format!("\n… (the whole has {kib} KiB)"));
    }
    out.text
}

/// A text that grows up to its limit.
struct Out {
    text: String,
    left_out: bool,
}

impl Out {
    fn push(&mut self, piece: &str) {
        if self.left_out {
            return;
        }
        let room = TEXT_MAX - self.text.len();
        if piece.len() <= room {
            self.text.push_str(piece);
        } else {
            self.text.push_str(piece.get(..piece.floor_char_boundary(room)).unwrap_or_default());
            self.left_out = true;
        }
    }

    fn line(&mut self, depth: usize) {
        self.push("\n");
        for _ in 0..depth.min(32) {
            self.push("  ");
        }
    }
}

/// JSON with line ends, its fields in their order and its values as they are written.
fn indented(json: &str, out: &mut Out) {
    let mut depth = 0_usize;
    let mut rest = json;
    while let Some(c) = rest.chars().next() {
        if out.left_out {
            return;
        }
        let (piece, after) =
            if c == '"' { rest.split_at(end_of_string(rest)) } else { rest.split_at(c.len_utf8()) };
        rest = after;
        match c {
            '"' => string(piece, out),
            '{' | '[' => {
                out.push(piece);
                let close = if c == '{' { '}' } else { ']' };
                if let Some(after) = rest.trim_start().strip_prefix(close) {
                    out.push(if c == '{' { "}" } else { "]" });
                    rest = after;
                } else {
                    depth += 1;
                    out.line(depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                out.line(depth);
                out.push(piece);
            }
            ',' => {
                out.push(piece);
                out.line(depth);
            }
            ':' => out.push(": "),
            ' ' | '\n' | '\r' | '\t' => {}
            _ => out.push(piece),
        }
    }
}

/// Behind the closing quote of the string that this begins with.
fn end_of_string(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A string with its quotes.
fn string(quoted: &str, out: &mut Out) {
    let inner = quoted.trim_matches('"');
    match inner.get(..BASE64_SHOWN) {
        Some(shown) if inner.len() > BASE64_MAX && is_base64(inner) => {
            out.push(&format!("\"{shown}… ({} octets in base64)\"", octets(inner)));
        }
        Some(_) | None => out.push(quoted),
    }
}

/// Text with the files in it cut short.
fn with_short_files(text: &str, out: &mut Out) {
    let mut lines = text.split_inclusive('\n').peekable();
    while let Some(line) = lines.next() {
        if out.left_out {
            return;
        }
        out.push(line);
        if !is_file_line(line) {
            continue;
        }
        let mut number = 1;
        let (mut left_out, mut bytes) = (0, 0);
        while let Some(next) = lines.next_if(|next| is_file_line(next)) {
            number += 1;
            if number <= LINES_SHOWN {
                out.push(next);
            } else {
                left_out += 1;
                bytes += octets(next.trim_end());
            }
        }
        if left_out > 0 {
            out.push(&format!("… ({left_out} more lines, {bytes} octets in base64)\r\n"));
        }
    }
}

fn is_file_line(line: &str) -> bool {
    let line = line.trim_end();
    line.len() >= BASE64_LINE_MIN && is_base64(line)
}

fn is_base64(text: &str) -> bool {
    let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    text.bytes().all(sign)
}

/// How many octets stand in so much base64.
fn octets(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_in_its_own_order() {
        let json =
            br#"{"to":["ada@x.org"],"b":{"n":1.50,"t":true},"a":"x: {\"y\"}, [z]","e":[],"o":{ }}"#;
        let expected = "{\n  \"to\": [\n    \"ada@x.org\"\n  ],\n  \"b\": {\n    \"n\": 1.50,\n    \"t\": true\n  },\n  \
                        \"a\": \"x: {\\\"y\\\"}, [z]\",\n  \"e\": [],\n  \"o\": {}\n}";
        assert_eq!(of(json, "application/json"), expected);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(expected).unwrap(),
            serde_json::from_slice::<serde_json::Value>(json).unwrap()
        );
    }

    #[test]
    fn a_file_in_json_is_shown_by_its_size() {
        let file = "QUJD".repeat(1000);
        let json = format!("{{\"content\":\"{file}\",\"text\":\"{}\"}}", "word ".repeat(100));
        let text = of(json.as_bytes(), "application/json; charset=utf-8");
        assert!(
            text.contains("\"QUJDQUJD") && text.contains("… (3000 octets in base64)\""),
            "{text}"
        );
        assert!(text.contains(&"word ".repeat(100)) && text.len() < 800, "{text}");
    }

    #[test]
    fn a_file_in_a_message_is_shown_by_its_beginning() {
        let file = format!("{}\r\n", "QUJD".repeat(19)).repeat(500);
        let mail = format!("Subject: 안녕\r\n\r\nlook:\r\n\r\n{file}QUJD\r\n--b--\r\n");
        let text = of(mail.as_bytes(), "message/rfc822");
        assert!(text.starts_with("Subject: 안녕\r\n\r\nlook:\r\n"), "{text}");
        assert!(
            text.contains("… (498 more lines, 28386 octets in base64)\r\nQUJD\r\n--b--"),
            "{text}"
        );
        assert!(text.len() < 400, "{text}");
    }

    #[test]
    fn what_comes_out_is_limited_and_says_so() {
        let json = format!("\"{}\"", "한 글".repeat(1 << 20));
        for (body, kind) in [
            (json.as_str(), "application/json"),
            (json.as_str(), "text/plain"),
            (&"[".repeat(1 << 20), "application/json"),
        ] {
            let text = of(body.as_bytes(), kind);
            assert!(text.len() < TEXT_MAX + 64, "{kind}: {}", text.len());
            assert!(text.contains("… (the whole has "), "{kind}");
        }
    }

    #[test]
    fn what_is_no_json_or_no_text_is_shown_all_the_same() {
        assert_eq!(of(b"\"open \xFF", "application/json"), "\"open \u{FFFD}");
        assert_eq!(of(b"]}", "application/json"), "\n]\n}");
        assert_eq!(of(b"", "application/json"), "");
    }
}
