//! From a letter to the body of a post.

use serde::Serialize;

use crate::clock::Timestamp;
use crate::message::raw::{RawEdits, prepare_raw};
use crate::message::{Address, Attachment, Email, IndexFields, Mailbox, Protection, QueueId};
use crate::provider::encoded::{self, InBase64};
use crate::provider::{Call, Letter, Unfit};

/// A post: the structure that the Standard Webhooks specification recommends.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: Timestamp,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    id: QueueId,
    received_at: Timestamp,
    envelope: Envelope<'a>,
    from: Vec<Person<'a>>,
    sender: Option<Person<'a>>,
    reply_to: Vec<Person<'a>>,
    to: Vec<Person<'a>>,
    cc: Vec<Person<'a>>,
    subject: &'a str,
    message_id: String,
    text: Option<&'a str>,
    html: Option<&'a str>,
    headers: Vec<Header<'a>>,
    attachments: Vec<File<'a>>,
    protection: &'static str,
    raw: InBase64<'a>,
}

/// Who sends, and who gets this post's copy. It decides, whatever the header says.
#[derive(Serialize)]
struct Envelope<'a> {
    sender: Option<&'a str>,
    recipients: Vec<&'a str>,
}

#[derive(Serialize)]
struct Person<'a> {
    name: &'a str,
    address: &'a str,
}

#[derive(Serialize)]
struct Header<'a> {
    name: &'a str,
    value: &'a str,
}

/// What is known about a part. Its content is in `raw`.
#[derive(Serialize)]
struct File<'a> {
    filename: &'a str,
    content_type: &'a str,
    size: usize,
    content_id: Option<&'a str>,
    inline: bool,
}

/// The largest post, octets. It is ours: a text of 25 MiB has this room, although it is there twice. A receiver that takes
/// less says so (413).
pub(super) const POST_MAX: usize = 100_000_000;

/// Builds the body. The same letter gives the same bytes. Nothing is lost: what the fields do not show is in `raw`.
pub(super) fn build(letter: &Letter<'_>) -> Result<Call, Unfit> {
    let email = letter.email;
    let edits = RawEdits {
        id: letter.id,
        received_at: letter.received_at,
        envelope: letter.envelope,
        email,
    };
    let mime = prepare_raw(letter.raw, &edits);
    if mime.len() / 3 * 4 > POST_MAX {
        // Refused before it is encoded, which would take the memory several times.
        let (has, takes) = (mime.len().div_ceil(750_000), POST_MAX / 1_000_000);
        return Err(Unfit {
            reason: format!("the post would have {has} MB, the limit is {takes} MB"),
        });
    }
    let received_at = to_the_second(letter.received_at);
    let body = Body {
        r#type: "message.submitted",
        timestamp: received_at,
        data: Data {
            id: letter.id,
            received_at,
            envelope: Envelope {
                sender: letter.envelope.sender.as_ref().map(Address::as_str),
                recipients: letter.addressing.recipients().collect(),
            },
            from: people(&email.from),
            sender: email.sender.as_ref().map(person),
            reply_to: people(&email.reply_to),
            to: people(&email.to),
            cc: people(&email.cc),
            subject: &email.subject,
            // One that was missing has been added to the raw message.
            message_id: IndexFields::read(&mime).message_id,
            text: email.text.as_deref(),
            html: email.html.as_deref(),
            headers: headers(email),
            attachments: email.attachments.iter().map(file).collect(),
            protection: match email.protection {
                Protection::None => "none",
                Protection::Signed => "signed",
                Protection::Encrypted => "encrypted",
            },
            raw: InBase64(&mime),
        },
    };
    let shown = [&email.text, &email.html].into_iter().flatten().map(String::len).sum::<usize>();
    Call::json(&body, encoded::length(mime.len()) + shown + shown / 8 + 4096, Vec::new())
}

/// The queue keeps time less finely than the clock shows it, and a repeat from there must be the same post.
fn to_the_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn person(mailbox: &Mailbox) -> Person<'_> {
    Person { name: &mailbox.name, address: &mailbox.address }
}

fn people(mailboxes: &[Mailbox]) -> Vec<Person<'_>> {
    mailboxes.iter().map(person).collect()
}

fn headers(email: &Email) -> Vec<Header<'_>> {
    email.headers.iter().map(|(name, value)| Header { name, value }).collect()
}

fn file(part: &Attachment) -> File<'_> {
    File {
        filename: &part.filename,
        content_type: &part.content_type,
        size: part.bytes.len(),
        content_id: part.content_id.as_deref(),
        inline: part.inline,
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::samples::Sample;

    fn built(sample: &Sample) -> Value {
        let call = build(&sample.letter()).unwrap();
        assert_eq!(call.losses, []);
        serde_json::from_slice(&call.body).unwrap()
    }

    fn raw(body: &Value) -> Vec<u8> {
        STANDARD.decode(body["data"]["raw"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn a_post_says_what_it_is_and_holds_the_whole_message() {
        let sample = Sample::plain();
        let body = built(&sample);
        assert_eq!(raw(&body), sample.raw);
        assert_eq!(
            body,
            json!({
                "type": "message.submitted",
                "timestamp": "2026-11-21T10:00:00Z",
                "data": {
                    "id": "0198c0de-0000-7000-8000-000000000001",
                    "received_at": "2026-11-21T10:00:00Z",
                    "envelope": {"sender": "ada@example.org", "recipients": ["bob@example.net"]},
                    "from": [{"name": "Ada", "address": "ada@example.org"}],
                    "sender": null,
                    "reply_to": [],
                    "to": [{"name": "Bob", "address": "bob@example.net"}],
                    "cc": [],
                    "subject": "Tea",
                    "message_id": "1@example.org",
                    "text": "Five o'clock?\r\n",
                    "html": null,
                    "headers": [{"name": "Message-ID", "value": "<1@example.org>"}],
                    "attachments": [],
                    "protection": "none",
                    "raw": STANDARD.encode(&sample.raw)
                }
            })
        );
    }

    #[test]
    fn a_message_that_comes_from_the_queue_again_makes_the_same_post() {
        let mut sample = Sample::plain();
        let first = build(&sample.letter()).unwrap();
        sample.received_at += std::time::Duration::from_nanos(123_456_789);
        assert_eq!(build(&sample.letter()).unwrap(), first);
    }

    #[test]
    fn files_are_described_and_the_envelope_is_that_of_the_call() {
        let body = built(&Sample::rich());
        assert_eq!(
            body["data"]["attachments"],
            json!([
                {"filename": "logo.png", "content_type": "image/png", "size": 8,
                 "content_id": "logo@oratio", "inline": true},
                {"filename": "보고서.pdf", "content_type": "application/pdf", "size": 8,
                 "content_id": null, "inline": false}
            ])
        );
        let recipients = json!(["kim@예시.한국", "jane@example.com", "hidden@example.net"]);
        assert_eq!(body["data"]["envelope"]["recipients"], recipients);
        assert_eq!(
            body["data"]["cc"],
            json!([{"name": "Doe; Jane", "address": "jane@example.com"}])
        );
    }

    #[test]
    fn hidden_recipients_and_orders_stand_in_the_envelope_or_nowhere() {
        let mut sample = Sample::plain();
        let header = b"Bcc: eve@example.org\r\nX-Mailgun-Tag: t\r\n";
        let whole = [header, sample.raw.as_slice()].concat();
        let kept = std::mem::replace(&mut sample.raw, whole);
        sample.email.options = vec![("X-Mailgun-Tag".to_owned(), "t".to_owned())];
        let body = built(&sample);
        assert_eq!(raw(&body), kept);
        assert!(!body.to_string().contains("eve@example.org"));
    }

    #[test]
    fn a_message_with_nothing_in_it_is_posted_too() {
        let mut sample = Sample::plain();
        sample.raw = b"\r\n".to_vec();
        sample.email = Email::parse(&sample.raw);
        sample.envelope.sender = None;
        let body = built(&sample);
        assert_eq!(body["data"]["envelope"]["sender"], Value::Null);
        assert_eq!(body["data"]["from"], json!([]));
        let id = body["data"]["message_id"].as_str().unwrap();
        assert!(id.starts_with("0198c0de-"), "{id}");
        assert!(String::from_utf8(raw(&body)).unwrap().contains(id));
    }
}
