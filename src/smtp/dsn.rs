//! The values of the parameters RET, ENVID, NOTIFY and ORCPT (RFC 3461 §4).
//!
//! What an escape stands for must be as harmless as what may stand there without one: no decoded text has a control
//! character or a line break, so that it cannot make lines of its own wherever it is shown.

use crate::message::{Notify, OriginalRecipient, Ret};

/// The longest envelope id, decoded, in characters (RFC 3461 §4.4).
const ENVELOPE_ID_MAX: usize = 100;

/// The longest value of ORCPT=, in octets as written (RFC 3461 §4.2).
const ORIGINAL_RECIPIENT_MAX: usize = 500;

/// RET=: FULL or HDRS.
pub(super) fn ret(value: &str) -> Option<Ret> {
    [("FULL", Ret::Full), ("HDRS", Ret::Hdrs)]
        .into_iter()
        .find_map(|(name, ret)| name.eq_ignore_ascii_case(value).then_some(ret))
}

/// ENVID=: printable ASCII in xtext.
pub(super) fn envelope_id(value: &str) -> Option<String> {
    let id = xtext(value)?;
    let printable = id.bytes().all(|octet| octet.is_ascii_graphic() || octet == b' ');
    (printable && (1..=ENVELOPE_ID_MAX).contains(&id.len())).then_some(id)
}

/// NOTIFY=: NEVER, which is the empty list, or conditions, each kept once.
pub(super) fn notify(value: &str) -> Option<Vec<Notify>> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Vec::new());
    }
    let known =
        [("SUCCESS", Notify::Success), ("FAILURE", Notify::Failure), ("DELAY", Notify::Delay)];
    let mut list = Vec::new();
    for word in value.split(',') {
        let (_, condition) = known.iter().find(|(name, _)| name.eq_ignore_ascii_case(word))?;
        if !list.contains(condition) {
            list.push(*condition);
        }
    }
    Some(list)
}

/// ORCPT=: a type and an address. The address is kept as it is, also where it is none.
pub(super) fn original_recipient(value: &str) -> Option<OriginalRecipient> {
    let (address_type, address) = value.split_once(';')?;
    let is_atom_octet = |c: u8| c.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&c);
    let type_reads = !address_type.is_empty() && address_type.bytes().all(is_atom_octet);
    if !type_reads || value.len() > ORIGINAL_RECIPIENT_MAX {
        return None;
    }
    let address = if address_type.eq_ignore_ascii_case("utf-8") {
        unicode_xtext(address)?
    } else {
        xtext(address)?
    };
    let harmless = !address.chars().any(breaks_lines);
    let address_type = address_type.to_ascii_lowercase();
    (harmless && !address.is_empty()).then_some(OriginalRecipient { address_type, address })
}

/// Control characters, and the two separators of Unicode that are none and break lines all the same.
fn breaks_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

/// Decodes xtext (RFC 3461 §4): `+` and two upper-case hexadecimal digits stand for an octet. UTF-8 that was not
/// escaped is let through, as SMTPUTF8 clients send it.
fn xtext(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((octet, tail)) = rest.split_first() {
        rest = match (octet, tail) {
            (b'+', [high, low, tail @ ..]) => {
                octets.push(hex_digit(*high)? << 4 | hex_digit(*low)?);
                tail
            }
            (b'+' | b'=', _) => return None,
            (octet, tail) => {
                octets.push(*octet);
                tail
            }
        };
    }
    String::from_utf8(octets).ok()
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Decodes utf-8-addr-xtext (RFC 6533 §3): `\x{XX}` stands for a character. What is no such escape stays as it is.
fn unicode_xtext(text: &str) -> Option<String> {
    let mut decoded = String::with_capacity(text.len());
    let mut pieces = text.split("\\x{");
    decoded.push_str(pieces.next()?);
    for piece in pieces {
        let (digits, literal) = piece.split_once('}')?;
        let reads =
            (1..=6).contains(&digits.len()) && digits.bytes().all(|c| c.is_ascii_hexdigit());
        let number = reads.then(|| u32::from_str_radix(digits, 16).ok()).flatten()?;
        decoded.push(char::from_u32(number)?);
        decoded.push_str(literal);
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn original(value: &str) -> Option<(String, String)> {
        original_recipient(value).map(|it| (it.address_type, it.address))
    }

    fn pair(address_type: &str, address: &str) -> Option<(String, String)> {
        Some((address_type.to_owned(), address.to_owned()))
    }

    #[test]
    fn an_envelope_id_is_printable_ascii_of_at_most_a_hundred_characters() {
        assert_eq!(envelope_id("QQ314159").as_deref(), Some("QQ314159"));
        assert_eq!(envelope_id("a+2Bb+3Dc+20d").as_deref(), Some("a+b=c d"));
        assert_eq!(envelope_id(&"+41".repeat(100)), Some("A".repeat(100)));
        assert_eq!(envelope_id(&"A".repeat(101)), None);
        for bad in
            ["", "a+0D+0Ab", "+00", "+7F", "a+", "a+2", "a+2b", "a+ZZ", "a=b", "한", "+ED+95+9C"]
        {
            assert_eq!(envelope_id(bad), None, "{bad}");
        }
    }

    #[test]
    fn never_stands_alone() {
        assert_eq!(notify("NEVER"), Some(vec![]));
        assert_eq!(
            notify("success,FAILURE,Delay"),
            Some(vec![Notify::Success, Notify::Failure, Notify::Delay])
        );
        assert_eq!(notify("DELAY,DELAY"), Some(vec![Notify::Delay]));
        for bad in ["NEVER,SUCCESS", "SUCCESS,NEVER", "", "SUCCESS,", ",", "SUCCESS FAILURE", "YES"]
        {
            assert_eq!(notify(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_original_recipient_has_a_type_and_an_address() {
        assert_eq!(original("rfc822;ada@example.org"), pair("rfc822", "ada@example.org"));
        assert_eq!(original("RFC822;a+2Bb@example.org"), pair("rfc822", "a+b@example.org"));
        assert_eq!(original("x400;not an address+3B"), pair("x400", "not an address;"));
        assert_eq!(original("utf-8;\\x{D55C}@example.org"), pair("utf-8", "한@example.org"));
        assert_eq!(original("utf-8;한@example.org"), pair("utf-8", "한@example.org"));
        assert_eq!(original("utf-8;a\\b+c@x"), pair("utf-8", "a\\b+c@x"));
        for bad in [
            "ada@example.org",
            "rfc822;",
            ";ada@example.org",
            "rf c;a@b",
            "rfc822;a+0D+0Ab",
            "rfc822;a+00",
            "rfc822;a+FF",
            "rfc822;a+C2+85",
            "utf-8;\\x{A}",
            "utf-8;\\x{2028}",
            "utf-8;\\x{D800}",
            "utf-8;\\x{}",
            "utf-8;\\x{41",
            "utf-8;\\x{0000041}",
            "utf-8;\\x{+41}",
        ] {
            assert_eq!(original(bad), None, "{bad}");
        }
        assert_eq!(original(&format!("rfc822;{}", "a".repeat(494))), None);
        assert!(original(&format!("rfc822;{}", "a".repeat(493))).is_some());
    }

    proptest! {
        #[test]
        fn whatever_is_written_nothing_decoded_breaks_a_line(
            value in r"(rfc822;|utf-8;)?([ -~]|\PC|\+[0-9A-F]{2}|\\x\{[0-9a-fA-F]{1,6}\}){0,20}",
        ) {
            let id = envelope_id(&value);
            prop_assert!(id.is_none_or(|id| id.bytes().all(|octet| (b' '..=b'~').contains(&octet))));
            let address = original_recipient(&value).map(|it| it.address);
            let line_break = address.and_then(|it| it.chars().find(|c| c.is_control() || "\u{2028}\u{2029}".contains(*c)));
            prop_assert_eq!(line_break, None);
        }

        #[test]
        fn what_a_client_writes_in_xtext_is_read_back(id in "[ -~]{1,100}") {
            let mut written = String::new();
            for octet in id.bytes() {
                if octet.is_ascii_graphic() && !b"+=".contains(&octet) {
                    written.push(char::from(octet));
                } else {
                    written.push_str(&format!("+{octet:02X}"));
                }
            }
            prop_assert_eq!(envelope_id(&written), Some(id));
        }
    }
}
