//! Header fields as APIs take them: an object with one value per name, or a list.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::people::{mailbox_text, one_line, wire_address};
use super::{Letter, MessageIdFate};
use crate::message::{Loss, Mailbox};

/// Header fields in the order of the message; each name occurs once, whatever its case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fields(Vec<(String, String)>);

impl Fields {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts a field at the end, instead of one of this name that is there.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.0.retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.0.push((name.to_owned(), value));
    }

    fn index_of(&self, name: &str) -> Option<usize> {
        self.0.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))
    }
}

/// One field of an API that takes a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) value: String,
}

impl Serialize for Fields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

/// What an API does with the header fields that it is given.
#[derive(Debug)]
pub(super) struct Rules {
    /// Names that it does not take, besides those of [`WRITTEN_BY_THE_API`].
    pub(super) forbidden: &'static [&'static str],
    /// Where it writes its own Message-ID, the app's goes to the end of References.
    pub(super) message_id: MessageIdFate,
}

/// Fields that the API writes itself from other parts of the request.
const WRITTEN_BY_THE_API: [&str; 13] = [
    "From",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Reply-To",
    "Content-Type",
    "Content-Transfer-Encoding",
    "Content-Disposition",
    "MIME-Version",
    "Received",
    "DKIM-Signature",
    "Return-Path",
];

/// The fields of the message that may travel, Sender among them, as an object. Orders to providers are no fields of the
/// message: the parser has put them into [`Email::options`](crate::message::Email).
pub(super) fn travelling(letter: &Letter<'_>, rules: &Rules, losses: &mut Vec<Loss>) -> Fields {
    let list = listed(letter, rules, losses);
    joined(list, losses)
}

/// A list as an object.
pub(super) fn joined(list: Vec<Field>, losses: &mut Vec<Loss>) -> Fields {
    let mut fields = Fields::default();
    for Field { name, value } in list {
        add(&mut fields, name, value, losses);
    }
    fields
}

/// The same as a list: a name may occur as often as it does in the message.
pub(super) fn listed(letter: &Letter<'_>, rules: &Rules, losses: &mut Vec<Loss>) -> Vec<Field> {
    let hindrance = |name: &str| {
        let is_one_of = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is_one_of(rules.forbidden) || is_one_of(&WRITTEN_BY_THE_API) {
            Some("the API does not take it")
        } else if !name_is_valid(name) {
            Some("its name is not a valid one")
        } else {
            None
        }
    };

    let mut references = match rules.message_id {
        MessageIdFate::Replaced => letter.email.references_with_own_id(),
        MessageIdFate::Kept => None,
    };
    // Sender and References may be more than the message has here.
    let mut fields = Vec::with_capacity(letter.email.headers.len() + 2);
    if let Some(mailbox) = &letter.email.sender {
        match hindrance("Sender") {
            Some(why) => losses.push(loss("Sender", why)),
            None => fields.extend(sender(mailbox, losses)),
        }
    }
    for (name, value) in &letter.email.headers {
        match hindrance(name) {
            Some(why) => losses.push(loss(name, why)),
            None => {
                let references = references.take_if(|_| name.eq_ignore_ascii_case("References"));
                let value = references.unwrap_or_else(|| one_line(value));
                fields.push(Field { name: name.clone(), value });
            }
        }
    }
    fields.extend(references.map(|value| Field { name: "References".to_owned(), value }));
    fields
}

/// A name that has come before is joined to the first where the field is a list, and lost where it can mean one thing
/// only.
fn add(fields: &mut Fields, name: String, value: String, losses: &mut Vec<Loss>) {
    let Some(first) = fields.index_of(&name).and_then(|index| fields.0.get_mut(index)) else {
        fields.0.push((name, value));
        return;
    };
    let is = |known: &str| name.eq_ignore_ascii_case(known);
    if is("Message-ID") || is("Date") || is("Sender") {
        losses.push(loss(&name, "it stands more than once; the first is sent"));
        return;
    }
    let separator = if is("References") || is("In-Reply-To") { " " } else { ", " };
    first.1.push_str(separator);
    first.1.push_str(&value);
    let joined = loss(&name, "it stands more than once; the values are joined into one");
    if !losses.contains(&joined) {
        losses.push(joined);
    }
}

/// The API encodes a value as a whole, which would encode the address too. So a name outside ASCII stays behind.
fn sender(sender: &Mailbox, losses: &mut Vec<Loss>) -> Option<Field> {
    match wire_address(&sender.address) {
        Ok(address) => {
            let name = one_line(&sender.name);
            let ascii = name.is_ascii();
            if !ascii {
                losses.push(loss("Sender", "its name is not ASCII; the address is sent alone"));
            }
            let mailbox = Mailbox { name: if ascii { name } else { String::new() }, address };
            Some(Field { name: "Sender".to_owned(), value: mailbox_text(&mailbox) })
        }
        Err(reason) => {
            losses.push(loss("Sender", &format!("the address {reason}")));
            None
        }
    }
}

/// RFC 5322 §2.2: printable ASCII without colon.
fn name_is_valid(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':')
}

fn loss(name: &str, why: &str) -> Loss {
    Loss::slight(format!("header {name}"), why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::samples::{Sample, mailbox};

    const RULES: Rules = Rules { forbidden: &["X-SG-ID"], message_id: MessageIdFate::Kept };

    fn with_headers(headers: &[(&str, &str)]) -> Sample {
        let mut sample = Sample::plain();
        sample.email.headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        sample
    }

    fn carried(headers: &[(&str, &str)]) -> (String, Vec<String>) {
        let sample = with_headers(headers);
        let mut losses = Vec::new();
        let fields = travelling(&sample.letter(), &RULES, &mut losses);
        (
            serde_json::to_string(&fields).unwrap(),
            losses.into_iter().map(|loss| loss.what).collect(),
        )
    }

    #[test]
    fn fields_keep_their_order_and_their_letters() {
        let (json, losses) = carried(&[("X-Z", "1"), ("X-A", "한국"), ("List-ID", "<l.example>")]);
        assert_eq!(json, r#"{"X-Z":"1","X-A":"한국","List-ID":"<l.example>"}"#);
        assert!(losses.is_empty());
    }

    #[test]
    fn what_the_api_forbids_stays_behind_and_is_named() {
        let (json, losses) = carried(&[
            ("x-sg-id", "1"),
            ("Received", "by me"),
            ("X ok", "no"),
            ("", "no"),
            ("X-Ok", "yes"),
        ]);
        assert_eq!(json, r#"{"X-Ok":"yes"}"#);
        assert_eq!(losses, ["header x-sg-id", "header Received", "header X ok", "header "]);
    }

    #[test]
    fn repeated_fields_are_joined_or_lost_but_never_silently() {
        let (json, losses) = carried(&[
            ("X-Tag", "a"),
            ("x-tag", "b"),
            ("References", "<1@x>"),
            ("References", "<2@x>"),
            ("Message-ID", "<m@x>"),
            ("Message-Id", "<n@x>"),
        ]);
        assert_eq!(json, r#"{"X-Tag":"a, b","References":"<1@x> <2@x>","Message-ID":"<m@x>"}"#);
        assert_eq!(losses.len(), 3);
    }

    #[test]
    fn a_list_carries_a_name_as_often_as_it_stands() {
        let sample = with_headers(&[("X-Tag", "a"), ("x-sg-id", "1"), ("x-tag", "b\r\nBcc: c")]);
        let mut losses = Vec::new();
        let fields = listed(&sample.letter(), &RULES, &mut losses);
        let json = serde_json::to_string(&fields).unwrap();
        assert_eq!(json, r#"[{"Name":"X-Tag","Value":"a"},{"Name":"x-tag","Value":"b Bcc: c"}]"#);
        assert_eq!(losses, [loss("x-sg-id", "the API does not take it")]);
    }

    #[test]
    fn a_sender_that_the_api_does_not_take_is_a_loss() {
        let mut sample = with_headers(&[]);
        sample.email.sender = Some(mailbox("Bot", "b@x.org"));
        let mut losses = Vec::new();
        let rules = Rules { forbidden: &["Sender"], ..RULES };
        assert_eq!(listed(&sample.letter(), &rules, &mut losses), []);
        assert_eq!(losses[0].what, "header Sender");
    }

    #[test]
    fn a_message_id_that_the_service_replaces_goes_into_references() {
        let replaces = Rules { message_id: MessageIdFate::Replaced, ..RULES };
        let id = ("Message-ID", "<1@x>");
        for (headers, list) in [
            (&[id][..], vec![("Message-ID", "<1@x>"), ("References", "<1@x>")]),
            (
                &[("references", "<0@x>"), id],
                vec![("references", "<0@x> <1@x>"), ("Message-ID", "<1@x>")],
            ),
        ] {
            let sample = with_headers(headers);
            let list = list.into_iter();
            let list: Vec<_> = list
                .map(|(name, value)| Field { name: name.to_owned(), value: value.to_owned() })
                .collect();
            assert_eq!(listed(&sample.letter(), &replaces, &mut Vec::new()), list);
            assert_ne!(listed(&sample.letter(), &RULES, &mut Vec::new()), list);
        }
    }

    #[test]
    fn a_value_cannot_smuggle_a_line() {
        let (json, _) = carried(&[("X-A", "a\r\nBcc: eve@example.org")]);
        assert_eq!(json, r#"{"X-A":"a Bcc: eve@example.org"}"#);
    }

    #[test]
    fn the_sender_field_travels_with_an_ascii_name_only() {
        let mut sample = Sample::plain();
        for (name, text) in [
            ("Bot, the", r#"{"Sender":"\"Bot, the\" <b@x.org>"}"#),
            ("봇", r#"{"Sender":"b@x.org"}"#),
        ] {
            sample.email.sender = Some(mailbox(name, "b@x.org"));
            sample.email.headers.clear();
            let fields = travelling(&sample.letter(), &RULES, &mut Vec::new());
            assert_eq!(serde_json::to_string(&fields).unwrap(), text);
        }
    }
}
