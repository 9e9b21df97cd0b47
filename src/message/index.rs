//! The few header fields that are read at acceptance.

use super::mime::fields::{Field, Fields, clean};
use super::mime::mailboxes::Mailboxes;
use super::{IndexFields, Mailbox};

/// How much of a message is looked at.
const SECTION_MAX: usize = 64 * 1024;
/// How much of a field is decoded: enough for what is kept, however it is encoded.
const VALUE_MAX: usize = 8 * 1024;
/// How much of a field is kept, characters.
const KEPT_MAX: usize = 500;

impl IndexFields {
    /// Reads them from a raw message. Never fails: what cannot be read stays empty.
    ///
    /// Every accepted message pays for this: it never reaches the body.
    pub fn read(raw: &[u8]) -> Self {
        let section = raw.get(..SECTION_MAX).unwrap_or(raw);
        let (mut from, mut subject, mut message_id) = (None, None, None);
        let mut bulk = false;
        for field in Fields::of_message(section) {
            if from.is_none() && field.is("From") {
                from = Some(authors(&field));
            } else if subject.is_none() && field.is("Subject") {
                subject = Some(cut(short(&field).decoded(None)));
            } else if message_id.is_none() && field.is("Message-ID") {
                let id = short(&field).decoded(None);
                let id = id.trim().trim_start_matches('<').trim_end_matches('>').trim();
                message_id = Some(cut(id.to_owned()));
            } else if !bulk {
                bulk = is_of_many(&field);
            }
        }
        Self {
            header_from: from.unwrap_or_default(),
            subject: subject.unwrap_or_default(),
            message_id: message_id.unwrap_or_default(),
            bulk,
        }
    }
}

/// The values of a header field, as people read them. As at acceptance, only so much is looked at of the message and of a
/// value.
pub(crate) fn header_values<'a>(raw: &'a [u8], name: &'a str) -> impl Iterator<Item = String> + 'a {
    let section = raw.get(..SECTION_MAX).unwrap_or(raw);
    let fields = Fields::of_message(section).filter(move |field| field.is(name));
    fields.map(|field| cut(short(&field).decoded(None).trim().to_owned()))
}

/// Whether the field says that the message is one of many: those of RFC 2369 and RFC 2919, and the Precedence that mail
/// programs have used since before them.
fn is_of_many(field: &Field<'_>) -> bool {
    let is_list = field.name.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("List-"));
    is_list
        || (field.is("Precedence") && {
            let value = short(field).decoded(None);
            ["bulk", "list", "junk"].iter().any(|many| value.trim().eq_ignore_ascii_case(many))
        })
}

/// The beginning of a field, not cut within a character of UTF-8.
fn short<'a>(field: &Field<'a>) -> Field<'a> {
    let Some(mut value) = field.value.get(..VALUE_MAX) else { return field.clone() };
    while let Some((last, shorter)) = value.split_last()
        && !last.is_ascii()
    {
        value = shorter;
        if *last >= 0xc0 {
            break;
        }
    }
    Field { value, ..field.clone() }
}

fn authors(field: &Field<'_>) -> String {
    let field = short(field);
    let read = Mailboxes::read(&field.text(None));
    if read.list.is_empty() {
        return cut(field.decoded(None));
    }
    let shown: Vec<String> = read.list.iter().map(shown).collect();
    cut(shown.join(", "))
}

fn shown(mailbox: &Mailbox) -> String {
    match mailbox.name.as_str() {
        "" => mailbox.address.clone(),
        name => format!("{name} <{}>", mailbox.address),
    }
}

/// Cuts at a character, not within one.
fn cut(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(KEPT_MAX) {
        text.truncate(end);
    }
    match clean(text.as_str().into()) {
        std::borrow::Cow::Borrowed(cleaned) if cleaned.len() == text.len() => text,
        cleaned => cleaned.into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_fields_are_decoded() {
        let index = IndexFields::read(
            b"Received: x\r\nMessage-ID: <1@x.org>\r\nFrom: =?euc-kr?B?yKux5rW/?= <h@x.kr>,\r\n b@x.kr\r\n\
              Subject: =?utf-8?B?7J247KadIOuplOydvA==?=\r\n\r\nSubject: body\r\n",
        );
        assert_eq!(
            index,
            IndexFields {
                header_from: "홍길동 <h@x.kr>, b@x.kr".to_owned(),
                subject: "인증 메일".to_owned(),
                message_id: "1@x.org".to_owned(),
                bulk: false,
            }
        );
    }

    #[test]
    fn what_is_absent_or_unreadable_stays_harmless() {
        assert_eq!(IndexFields::read(b""), IndexFields::default());
        assert_eq!(IndexFields::read(b"hello\r\nSubject: in the body\r\n"), IndexFields::default());
        let index = IndexFields::read(b"From: root\r\nSubject: a\xff\r\n\r\n");
        assert_eq!((index.header_from.as_str(), index.subject.as_str()), ("root", "aÿ"));
    }

    #[test]
    fn list_fields_and_precedence_tell_of_many() {
        let is_bulk = |header: &str| IndexFields::read(format!("{header}\r\n\r\n").as_bytes()).bulk;
        for header in
            ["list-id: <a.b>", "List-Unsubscribe: <x>", "Precedence: Bulk", "PRECEDENCE: list "]
        {
            assert!(is_bulk(header), "{header}");
        }
        for header in
            ["Listen: x", "Precedence: first-class", "Subject: List-Id: x", "X-List-Id: x"]
        {
            assert!(!is_bulk(header), "{header}");
        }
    }

    #[test]
    fn long_fields_are_cut_between_characters() {
        let raw = format!("Subject: {}\r\n\r\n", "한".repeat(20_000));
        assert_eq!(IndexFields::read(raw.as_bytes()).subject, "한".repeat(KEPT_MAX));
    }

    #[test]
    fn the_values_of_a_field_are_decoded_and_cut_short() {
        let long = "x".repeat(10_000);
        let raw = format!(
            "X-Kind:  bulk \r\nx-kind: =?utf-8?B?7J247KadIOuplOydvA==?=\r\nX-Kind: a\r\n b\r\nX-Kind: {long}\r\n\r\nX-Kind: body\r\n"
        );
        let values: Vec<String> = header_values(raw.as_bytes(), "X-KIND").collect();
        assert_eq!(values[..3], ["bulk", "인증 메일", "a b"]);
        assert_eq!((values.len(), values[3].len()), (4, KEPT_MAX));
        assert_eq!(header_values(raw.as_bytes(), "X-Other").count(), 0);
    }

    #[test]
    fn only_the_beginning_of_a_message_is_looked_at() {
        let raw = format!("X: {}\r\nSubject: late\r\n\r\n", "x".repeat(SECTION_MAX));
        assert_eq!(IndexFields::read(raw.as_bytes()).subject, "");
    }
}
