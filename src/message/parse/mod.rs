//! From the bytes to the [`Email`] that structured providers use.

mod attachments;
mod bodies;
mod flowed;
pub(super) mod headers;
mod names;
mod references;

use super::mime::charset::Fault;
use super::mime::structure::{Nested, Structure};
use super::{DkimSignature, Email, Loss, Protection};

/// How many losses are told.
const LOSSES_MAX: usize = 100;

impl Email {
    /// Reads any bytes as a message. Never fails: what cannot be read is a loss.
    pub fn parse(raw: &[u8]) -> Self {
        let mut structure = Structure::read(raw, Nested::Closed);
        let mut email = Self {
            protection: protection(&structure),
            dkim: DkimSignature::of_message(raw),
            losses: std::mem::take(&mut structure.losses),
            ..Self::default()
        };
        headers::read(raw, structure.hint.as_deref(), &mut email);
        let shown = bodies::read(raw, &structure, &mut email);
        attachments::read(raw, &structure, &shown, &mut email);
        note_changed_structures(&structure, &mut email);
        email
    }

    fn lose(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.note(Loss::slight(what.into(), why.into()));
    }

    fn lose_by(&mut self, what: impl Into<String>, fault: Fault) {
        self.note(Loss { what: what.into(), why: fault.why.to_owned(), grave: fault.grave });
    }

    /// Each loss once, and no more than a person would read; a grave one is always among them.
    fn note(&mut self, loss: Loss) {
        let first_grave = loss.grave && !self.losses.iter().any(|known| known.grave);
        if (self.losses.len() < LOSSES_MAX || first_grave) && !self.losses.contains(&loss) {
            self.losses.push(loss);
        }
    }
}

/// Structures that mean something, which is lost where an API builds the message anew from text, HTML and files.
///
/// Grave where what reads them is a program, or a mail program that acts on them: it will not know the message for what it
/// is. Slight where people see the same in another arrangement. `multipart/parallel` and unknown kinds are read like
/// mixed ones anyway (RFC 2046 §5.1.3).
fn note_changed_structures(structure: &Structure, email: &mut Email) {
    for part in &structure.parts {
        let (why, grave) = match part.media.value.as_str() {
            "multipart/report" => ("programs that act on reports will not know it for one", true),
            "message/partial" => {
                ("a fragment that mail programs would join arrives as a file", true)
            }
            "message/external-body" => {
                ("mail programs would fetch it, and get a file instead", true)
            }
            "multipart/digest" => ("its messages are attached one by one", false),
            "multipart/appledouble" => {
                ("the two halves of the file are attached as two files", false)
            }
            _ => continue,
        };
        let why = format!("an API builds the message anew: {why}");
        email.note(Loss { what: part.label(), why, grave });
    }
}

/// What an API must not rebuild, wherever in the message it stands. Encryption outweighs a signature.
fn protection(structure: &Structure) -> Protection {
    let mut protection = Protection::None;
    for part in &structure.parts {
        match part.media.value.as_str() {
            "multipart/encrypted" => return Protection::Encrypted,
            "multipart/signed" => protection = Protection::Signed,
            "application/pkcs7-mime" | "application/x-pkcs7-mime" => {
                match part.media.param("smime-type").map(str::to_ascii_lowercase).as_deref() {
                    Some("signed-data" | "certs-only") => protection = Protection::Signed,
                    // Without the parameter it is enveloped data (RFC 2311); compressed data is as opaque.
                    Some(_) | None => return Protection::Encrypted,
                }
            }
            _ => {}
        }
    }
    protection
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A part of a tree; leaves hold a word of their own.
    #[derive(Clone, Debug)]
    enum Node {
        Leaf { media: &'static str, disposition: &'static str, base64: bool },
        Multi { media: &'static str, closed: bool, parts: Vec<Node> },
    }

    fn node() -> impl Strategy<Value = Node> {
        let media = prop::sample::select(vec![
            "text/plain",
            "text/html",
            "text/calendar; method=REQUEST",
            "text/x-amp-html",
            "text/enriched",
            "image/png",
            "application/pdf",
            "message/rfc822",
            "message/partial",
        ]);
        let disposition =
            prop::sample::select(vec!["", "inline", "attachment", "attachment; filename=a.txt"]);
        let leaf = (media, disposition, any::<bool>())
            .prop_map(|(media, disposition, base64)| Node::Leaf { media, disposition, base64 });
        leaf.prop_recursive(5, 24, 5, |inner| {
            let media = prop::sample::select(vec![
                "mixed",
                "alternative",
                "related",
                "report",
                "digest",
                "parallel",
                "signed",
                "appledouble",
                "x-odd",
            ]);
            (media, any::<bool>(), prop::collection::vec(inner, 1..5))
                .prop_map(|(media, closed, parts)| Node::Multi { media, closed, parts })
        })
    }

    /// Writes the part, and collects the words with the numbers that losses name the parts by.
    fn write(node: &Node, number: &str, out: &mut String, words: &mut Vec<(String, String)>) {
        match node {
            Node::Leaf { media, disposition, base64 } => {
                let word = format!("word{}of", words.len());
                let encoded = if *base64 { "Content-Transfer-Encoding: base64\r\n" } else { "" };
                let disposition = match *disposition {
                    "" => String::new(),
                    it => format!("Content-Disposition: {it}\r\n"),
                };
                let content = if *base64 {
                    String::from_utf8(super::super::mime::transfer::to_base64(
                        word.as_bytes(),
                        "\r\n",
                    ))
                    .unwrap()
                } else {
                    format!("{word}\r\n")
                };
                out.push_str(&format!(
                    "Content-Type: {media}\r\n{encoded}{disposition}\r\n{content}"
                ));
                words.push((word, number.to_owned()));
            }
            Node::Multi { media, closed, parts } => {
                let boundary = format!("b{}", out.len());
                out.push_str(&format!(
                    "Content-Type: multipart/{media}; boundary={boundary}\r\n\r\n"
                ));
                for (at, part) in parts.iter().enumerate() {
                    out.push_str(&format!("--{boundary}\r\n"));
                    let position = at + 1;
                    let below = if number.is_empty() {
                        position.to_string()
                    } else {
                        format!("{number}.{position}")
                    };
                    write(part, &below, out, words);
                }
                if *closed {
                    out.push_str(&format!("--{boundary}--\r\n"));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn no_part_disappears_without_a_loss(tree in node()) {
            let mut raw = "From: a@x.org\r\nMIME-Version: 1.0\r\n".to_owned();
            let mut words = Vec::new();
            write(&tree, "", &mut raw, &mut words);
            let email = Email::parse(raw.as_bytes());
            let body = |text: &Option<String>, word: &str| text.as_ref().is_some_and(|it| it.contains(word));
            for (word, number) in words {
                let file = email.attachments.iter().any(|it| memchr::memmem::find(&it.bytes, word.as_bytes()).is_some());
                let number = if number.is_empty() { "1" } else { &number };
                let label = format!("part {number} (");
                let told = email.losses.iter().any(|loss| loss.what.starts_with(&label));
                prop_assert!(
                    file || told || body(&email.text, &word) || body(&email.html, &word),
                    "{word} of part {number}: {email:?}\n{raw}"
                );
            }
        }
    }

    #[test]
    fn a_structure_that_programs_read_is_a_grave_loss_where_it_is_rebuilt() {
        for (media, grave) in [
            ("multipart/report; report-type=delivery-status", Some(true)),
            ("message/partial; id=a; number=2", Some(true)),
            ("message/external-body; access-type=URL", Some(true)),
            ("multipart/digest", Some(false)),
            ("multipart/appledouble", Some(false)),
            ("multipart/parallel", None),
            ("multipart/mixed", None),
        ] {
            let raw = format!("Content-Type: {media}; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n");
            let told = Email::parse(raw.as_bytes()).losses;
            assert_eq!(told.first().map(|loss| loss.grave), grave, "{media}: {told:?}");
        }
    }

    #[test]
    fn a_part_behind_an_inner_end_of_the_same_name_is_read() {
        let raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\
            Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\ntext\r\n--b--\r\n--b\r\n\
            Content-Type: text/csv\r\nContent-Disposition: attachment; filename=a.csv\r\n\r\n1;2\r\n--b--\r\n";
        let email = Email::parse(raw);
        assert_eq!(email.attachments.len(), 1);
        assert_eq!(&*email.attachments[0].bytes, b"1;2");
    }

    #[test]
    fn text_behind_base64_and_text_that_is_none_are_shown() {
        let header =
            "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n\r\n";
        for (body, text) in [
            (
                "7J247KadIOuplOydvA==\r\n\r\n____\r\nThe list is here\r\n",
                "인증 메일\n____\nThe list is here\n",
            ),
            ("Dear Ada,\r\nthis is plain.\r\n", "Dear Ada,\nthis is plain.\n"),
            ("Dear\r\nAda, this is plain.\r\n", "Dear\nAda, this is plain.\n"),
        ] {
            let email = Email::parse(format!("{header}{body}").as_bytes());
            assert_eq!(email.text.as_deref(), Some(text));
            assert!(email.losses.len() == 1 && !email.losses[0].grave, "{:?}", email.losses);
        }
    }
}
