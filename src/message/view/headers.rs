//! The header as people read it: all fields in their order, decoded.

use crate::message::mime::fields::{Field, Fields};

/// How many fields are shown.
const FIELDS_MAX: usize = 500;
/// How many fields are counted.
const COUNTED_MAX: usize = 20_000;
/// How much of a value is decoded, octets.
const VALUE_MAX: usize = 64 * 1024;
/// How much of a value is shown, characters.
const SHOWN_MAX: usize = 4000;
/// How much of all values is shown, characters.
const ALL_MAX: usize = 256 * 1024;

/// One field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderField {
    /// The name as it was written.
    pub name: String,
    /// The value, unfolded and decoded, without control characters.
    pub value: String,
    /// The value is longer.
    pub cut: bool,
}

/// The fields of a header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// In the order of the message.
    pub fields: Vec<HeaderField>,
    /// How many more there are.
    pub left_out: usize,
}

/// Reads the header of a message. `hint` is the charset that its parts are in.
pub(super) fn read(raw: &[u8], hint: Option<&str>) -> Headers {
    let mut headers = Headers::default();
    let mut room = ALL_MAX;
    for field in Fields::of_message(raw).take(COUNTED_MAX) {
        if headers.fields.len() == FIELDS_MAX || room == 0 {
            headers.left_out += 1;
            continue;
        }
        let shown = shown(&field, hint, SHOWN_MAX.min(room));
        room -= shown.value.chars().count();
        headers.fields.push(shown);
    }
    headers
}

fn shown(field: &Field<'_>, hint: Option<&str>, max: usize) -> HeaderField {
    let value = field.value.get(..VALUE_MAX);
    let long = value.is_some();
    let field = Field { value: value.unwrap_or(field.value), ..field.clone() };
    let mut value = field.decoded(hint);
    let end = value.char_indices().nth(max).map(|(end, _)| end);
    if let Some(end) = end {
        value.truncate(end);
    }
    HeaderField { name: field.name.to_owned(), value, cut: long || end.is_some() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_decoded_and_keep_their_order() {
        let raw = b"Received: from a\r\n by b\r\nX-A: 1\r\nSubject: =?utf-8?Q?=EA=B0=80=0D=0ABcc:_x@y?=\r\nX-A: 2\r\n\r\nX-B: 3";
        let headers = read(raw, None);
        let fields: Vec<_> =
            headers.fields.iter().map(|it| (it.name.as_str(), it.value.as_str())).collect();
        let expected =
            [("Received", "from a by b"), ("X-A", "1"), ("Subject", "가  Bcc: x@y"), ("X-A", "2")];
        assert_eq!(fields, expected);
        assert_eq!(headers.left_out, 0);
    }

    #[test]
    fn a_header_without_end_is_cut() {
        let raw = format!("X-A: {}\r\n{}\r\n", "a".repeat(100_000), "X: y\r\n".repeat(1000));
        let headers = read(raw.as_bytes(), None);
        assert_eq!((headers.fields.len(), headers.left_out), (FIELDS_MAX, 501));
        assert!(headers.fields[0].cut && headers.fields[0].value.len() == SHOWN_MAX);
        let long = format!("X: {}\r\n", "가".repeat(3000)).repeat(400);
        let headers = read(long.as_bytes(), None);
        let shown: usize = headers.fields.iter().map(|it| it.value.chars().count()).sum();
        assert_eq!(shown, ALL_MAX);
        assert!(headers.left_out > 300);
    }
}
