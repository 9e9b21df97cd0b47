//! Encoded words (RFC 2047), the way non-ASCII text travels in header fields.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{charset, transfer};

/// The longest charset name that is taken for one.
const CHARSET_NAME_MAX: usize = 40;

/// Decodes every encoded word in `text`.
///
/// Blanks between neighbouring words belong to the encoding. Words of one charset are decoded together: many programs
/// cut a character in two.
pub(crate) fn decode(text: &str) -> Cow<'_, str> {
    // Behind the last closing mark nothing can be a word. Knowing it keeps hostile values from costing the square of
    // their length.
    let Some(last_end) = text.rfind("?=") else { return text.into() };
    let mut out = String::with_capacity(text.len());
    let mut run: Option<(&str, Vec<u8>)> = None;
    let mut rest = text;

    while let Some((plain, after)) = rest.split_once("=?") {
        if text.len() - after.len() > last_end {
            break;
        }
        let word = Word::read(after);
        let blank = plain.bytes().all(|byte| matches!(byte, b' ' | b'\t'));
        let neighbour = run.is_some() && blank && word.is_some();
        if !neighbour {
            finish(&mut run, &mut out);
            out.push_str(plain);
        }
        let Some((word, tail)) = word else {
            out.push_str("=?");
            rest = after;
            continue;
        };
        match &mut run {
            Some((label, bytes)) if label.eq_ignore_ascii_case(word.charset) => {
                bytes.extend_from_slice(&word.bytes);
            }
            Some(_) | None => {
                finish(&mut run, &mut out);
                run = Some((word.charset, word.bytes));
            }
        }
        rest = tail;
    }
    finish(&mut run, &mut out);
    out.push_str(rest);
    out.into()
}

fn finish(run: &mut Option<(&str, Vec<u8>)>, out: &mut String) {
    if let Some((label, bytes)) = run.take() {
        out.push_str(&charset::decode(&bytes, Some(label)).0);
    }
}

/// `text` as encoded words, one to a line, even if it is ASCII.
///
/// For text that mail-builder's writers cannot fold; a word holds at most 42 bytes of it, so that it stays within the
/// 75 characters of RFC 2047.
pub(crate) fn encode(text: &str) -> String {
    const CHUNK: usize = 42;
    let mut out = String::new();
    let mut chunk = String::new();
    let mut flush = |chunk: &mut String| {
        if !out.is_empty() {
            out.push_str("\r\n ");
        }
        out.push_str("=?utf-8?B?");
        STANDARD.encode_string(chunk.as_bytes(), &mut out);
        out.push_str("?=");
        chunk.clear();
    };
    for c in text.chars() {
        if chunk.len() + c.len_utf8() > CHUNK {
            flush(&mut chunk);
        }
        chunk.push(c);
    }
    flush(&mut chunk);
    out
}

/// How long a word may be to be found by [`leading`]. RFC 2047 allows 75 characters; some programs never end one.
const LEADING_MAX: usize = 2000;

/// The length of the encoded word that `text` begins with. Whatever stands in it is no punctuation of an address list,
/// though RFC 2047 would have it encoded.
pub(crate) fn leading(text: &str) -> Option<usize> {
    let after = text.strip_prefix("=?")?;
    let window = after.get(..after.floor_char_boundary(LEADING_MAX))?;
    let (_, tail) = Word::read(window)?;
    Some(2 + window.len() - tail.len())
}

/// One encoded word, its transfer encoding undone.
struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
}

impl<'a> Word<'a> {
    /// Reads what follows `=?`, and returns what follows `?=`.
    fn read(text: &'a str) -> Option<(Self, &'a str)> {
        let (charset, rest) = text.split_once('?')?;
        // RFC 2231 lets a language follow.
        let charset = charset.split('*').next().unwrap_or(charset);
        let named = !charset.is_empty()
            && charset.len() <= CHARSET_NAME_MAX
            && charset.bytes().all(|byte| byte.is_ascii_graphic());
        if !named {
            return None;
        }
        let (encoding, rest) = rest.split_once('?')?;
        let bytes_and_tail = match encoding {
            "B" | "b" => {
                let (data, tail) = rest.split_once("?=")?;
                (transfer::base64(data.as_bytes()).0, tail)
            }
            "Q" | "q" => {
                let (data, tail) = split_q(rest)?;
                (q_decoded(data), tail)
            }
            _ => return None,
        };
        Some((Self { charset, bytes: bytes_and_tail.0 }, bytes_and_tail.1))
    }
}

/// Splits at the `?=` that closes the word. A question mark that the writer forgot to encode, before an encoded
/// character (`what?=20now`), does not.
fn split_q(rest: &str) -> Option<(&str, &str)> {
    let first = rest.split_once("?=")?;
    let mut from = 0;
    while let Some(at) = rest.get(from..)?.find("?=") {
        let end = from + at;
        let tail = rest.get(end + 2..)?;
        let mut next = tail.bytes();
        let hex = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_hexdigit());
        if !(hex(next.next()) && hex(next.next()) && tail.contains("?=")) {
            return Some((rest.get(..end)?, tail));
        }
        // Only within the word: a blank ends it.
        if tail.bytes().next().is_none_or(|byte| byte == b' ') {
            break;
        }
        from = end + 2;
    }
    Some(first)
}

/// Undoes the Q encoding: `_` is a space, `=XX` a byte.
fn q_decoded(data: &str) -> Vec<u8> {
    let spaced: Vec<u8> = data.bytes().map(|byte| if byte == b'_' { b' ' } else { byte }).collect();
    transfer::hex_escapes(&spaced, b'=')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_become_text() {
        for (encoded, text) in [
            ("plain", "plain"),
            ("=?UTF-8?B?7J247KadIOuplOydvA==?=", "인증 메일"),
            ("=?euc-kr?B?vsiz58fPvLy/5A==?=", "안녕하세요"),
            ("Re: =?ks_c_5601-1987?Q?=BE=C8=B3=E7?= !", "Re: 안녕 !"),
            ("=?ISO-2022-JP?B?GyRCJU8lbSE8GyhC?=", "ハロー"),
            ("=?iso-8859-1*de?Q?Gr=FC=DFe_aus?=", "Grüße aus"),
            ("=?utf-8?q?what?=20now?=", "what?\u{20}now"),
            ("=?utf-8?Q?=3F?=", "?"),
            ("(=?utf-8?Q?a?=)", "(a)"),
        ] {
            assert_eq!(decode(encoded), text, "{encoded}");
        }
    }

    #[test]
    fn neighbouring_words_share_characters_and_drop_the_blanks_between() {
        // 안 is EC 95 88, cut after its second byte.
        assert_eq!(decode("=?utf-8?Q?=EC=95?= =?UTF-8?Q?=88?="), "안");
        assert_eq!(decode("=?utf-8?B?7JU=?=\t =?utf-8?B?iOuFlQ==?= x"), "안녕 x");
        assert_eq!(decode("=?utf-8?Q?a?= =?euc-kr?B?vsg=?="), "a안");
        assert_eq!(decode("=?utf-8?Q?a?= b =?utf-8?Q?c?="), "a b c");
    }

    #[test]
    fn what_is_no_word_stays_as_it_is() {
        for text in
            ["=?", "a =? b", "=?utf-8?X?a?=", "=??Q?a?=", "https://x/?a=?b&c?=d", "=?utf-8?B?"]
        {
            assert_eq!(decode(text), text);
        }
    }

    #[test]
    fn encoding_is_undone_by_decoding() {
        for text in
            ["plain", "한글 제목입니다 아주 긴 제목이라서 여러 낱말로 나뉩니다", "é\u{1f600}"]
        {
            let encoded = encode(text);
            assert!(encoded.is_ascii());
            assert!(encoded.lines().all(|line| line.len() <= 76));
            assert_eq!(decode(&encoded.replace("\r\n", "")), text);
        }
    }

    #[test]
    fn hostile_values_cost_no_more_than_their_length() {
        let started = "=?utf-8?B? ".repeat(200_000);
        assert_eq!(decode(&started), started);
        assert!(!decode(&format!("{started}?=")).is_empty());
        assert!(!decode(&"=?utf-8?Q?a?=20".repeat(200_000)).is_empty());
        assert!(!decode(&format!("{}?=", "=?! ".repeat(200_000))).is_empty());
    }
}
