//! Names and addresses as Brevo takes them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::message::{Loss, Mailbox};

/// Characters of a name.
const NAME_MAX: usize = 70;

/// An address with its name.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Person {
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    email: String,
}

/// Somebody who writes or gets mail.
pub(super) fn person(mailbox: &Mailbox, losses: &mut Vec<Loss>) -> Person {
    let name = shortened(&mailbox.name, losses);
    let email = mailbox.address.clone();
    if name.is_ascii() || !has_specials(&name) {
        return Person { name, email };
    }
    // Sent as it is, the name would not arrive at all (field reports); as an encoded word it does.
    let word = format!("=?utf-8?B?{}?=", STANDARD.encode(&name));
    if word.len() <= NAME_MAX {
        return Person { name: word, email };
    }
    Person { name: without_specials(&name, losses), email }
}

/// The reply address. An encoded word would be shown to the reader as it is here, so the punctuation has to go.
pub(super) fn reply_to(mailbox: &Mailbox, losses: &mut Vec<Loss>) -> Person {
    let mut name = shortened(&mailbox.name, losses);
    if !name.is_ascii() && has_specials(&name) {
        name = without_specials(&name, losses);
    }
    Person { name, email: mailbox.address.clone() }
}

fn shortened(name: &str, losses: &mut Vec<Loss>) -> String {
    if name.chars().count() <= NAME_MAX {
        return name.to_owned();
    }
    losses.push(Loss::slight(
        format!("the end of the name {name:?}"),
        format!("the API takes names of {NAME_MAX} characters"),
    ));
    let cut: String = name.chars().take(NAME_MAX).collect();
    cut.trim_end().to_owned()
}

/// RFC 5322 §3.2.3: what makes a name need quotes.
fn is_special(c: char) -> bool {
    "()<>[]:;@\\,.\"".contains(c)
}

fn has_specials(name: &str) -> bool {
    name.contains(is_special)
}

fn without_specials(name: &str, losses: &mut Vec<Loss>) -> String {
    losses.push(Loss::slight(
        format!("the punctuation in the name {name:?}"),
        "Brevo loses or garbles names that have it beside letters outside ASCII",
    ));
    let spaced: String = name.chars().map(|c| if is_special(c) { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::samples::mailbox;

    #[test]
    fn a_name_outside_ascii_is_encoded_only_where_it_would_be_lost() {
        let mut losses = Vec::new();
        for (name, sent) in [
            ("", ""),
            ("Doe, Jane", "Doe, Jane"),
            ("김철수", "김철수"),
            ("김, 철수", "=?utf-8?B?6rmALCDssqDsiJg=?="),
        ] {
            let person = person(&mailbox(name, "a@x.org"), &mut losses);
            assert_eq!((person.name.as_str(), person.email.as_str()), (sent, "a@x.org"));
        }
        assert_eq!(losses, []);
    }

    #[test]
    fn a_name_too_long_to_be_encoded_goes_without_its_punctuation() {
        let mut losses = Vec::new();
        let name = format!("({}, 주식회사.)", "가".repeat(20));
        let person = person(&mailbox(&name, "a@x.org"), &mut losses);
        assert_eq!(person.name, format!("{} 주식회사", "가".repeat(20)));
        assert!(losses.len() == 1 && !losses[0].grave, "{losses:?}");
    }

    #[test]
    fn a_reply_address_is_never_encoded() {
        let mut losses = Vec::new();
        let person = reply_to(&mailbox("김, 철수", "a@x.org"), &mut losses);
        assert_eq!((person.name.as_str(), losses.len()), ("김 철수", 1));
        assert_eq!(reply_to(&mailbox("A, B", "a@x.org"), &mut losses).name, "A, B");
    }

    #[test]
    fn a_long_name_is_cut_and_named() {
        let mut losses = Vec::new();
        let person = person(&mailbox(&"x".repeat(71), "a@x.org"), &mut losses);
        assert_eq!((person.name.len(), losses.len()), (70, 1));
    }
}
