//! From a letter to the body of `POST /v3/smtp/email`.

use aws_lc_rs::digest;
use serde::Serialize;
use uuid::{Builder, Uuid, Variant, Version};

use super::files::{File, files};
use super::options::{Options, arrives};
use super::page;
use super::people::{Person, person, reply_to};
use crate::message::{Email, Loss, Mailbox, QueueId};
use crate::provider::fields::{self, Field, Fields, Rules};
use crate::provider::{Call, Letter, MessageIdFate, Unfit, people};

/// Custom fields only, says the reference. Message-ID and Date are written anew. The others would give Brevo orders.
pub(super) const FIELDS: Rules = Rules {
    forbidden: &[
        "Date",
        "Sender",
        "Message-ID",
        "sender.ip",
        "idempotencyKey",
        "Idempotency-Key",
        "X-Sib-Sandbox",
    ],
    message_id: MessageIdFate::Replaced,
};

/// The field with the request's key. Newer pages show another spelling beside it; the guide on repeats has this one.
const KEY: &str = "idempotencyKey";
/// Where the app's Message-ID surely arrives.
const ORIGINAL_ID: &str = "X-Original-Message-ID";

/// The body of a message that has none, which the API refuses: a page without a word.
const NO_BODY: &str = "<html><body></body></html>";

/// `sendSmtpEmail` of the published description, as far as a message has a use for it. The header fields stand last, and
/// the key at their end.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Body<'a> {
    sender: Person,
    to: Vec<Person>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc: Vec<Person>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<Person>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Person>,
    subject: String,
    html_content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_content: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachment: Vec<File>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tags: Vec<String>,
    headers: Fields,
}

/// Builds the body. The same letter gives the same bytes.
pub(super) fn build(letter: &Letter<'_>) -> Result<Call, Unfit> {
    let email = letter.email;
    let mut losses = email.losses.clone();
    let sender = people::author(letter, &mut losses)?;
    let recipients = people::recipients(letter, &mut losses)?;
    let replies = people::reply_to(letter, &mut losses)?;
    let Options { tags, fields: orders } = Options::read(&email.options, &mut losses);
    let (html_content, text_content) = bodies(email, &mut losses);
    let mut persons = |mailboxes: &[Mailbox]| -> Vec<Person> {
        mailboxes.iter().map(|mailbox| person(mailbox, &mut losses)).collect()
    };
    let (to, cc, bcc) =
        (persons(&recipients.to), persons(&recipients.cc), persons(&recipients.bcc));

    let body = Body {
        sender: person(&sender, &mut losses),
        to,
        cc,
        bcc,
        reply_to: one_reply(&replies, &mut losses),
        subject: people::subject(letter, &mut losses),
        html_content,
        text_content,
        attachment: files(email, &mut losses),
        tags,
        headers: headers(letter, orders, &mut losses),
    };
    let call = Call::json(&body, letter.json_size(), losses)?;
    Ok(keyed(call, letter.id))
}

/// The page and the text. The API demands a page; of a text alone it would make one and drop the text.
fn bodies<'a>(email: &'a Email, losses: &mut Vec<Loss>) -> (String, Option<&'a str>) {
    let filled = |body: &'a Option<String>| body.as_deref().filter(|it| !it.trim().is_empty());
    match (filled(&email.html), filled(&email.text)) {
        (Some(html), text) => (html.to_owned(), text),
        (None, Some(text)) => {
            losses.push(Loss::slight(
                "a message of text alone",
                "Brevo sends none; the same text goes as a page beside it",
            ));
            (page::of_text(text), Some(text))
        }
        (None, None) => {
            losses
                .push(Loss::slight("the empty body", "the API demands one; sent as an empty page"));
            (NO_BODY.to_owned(), None)
        }
    }
}

fn one_reply(replies: &[Mailbox], losses: &mut Vec<Loss>) -> Option<Person> {
    let (first, others) = replies.split_first()?;
    if !others.is_empty() {
        losses.push(Loss::grave(
            format!("header Reply-To: {} of {} addresses", others.len(), replies.len()),
            "the API takes one, and replies would go there alone",
        ));
    }
    Some(reply_to(first, losses))
}

/// The fields that may travel.
///
/// The Message-ID that arrives is Brevo's, and the app's stands in References. The reference promises custom fields only,
/// so it goes into one of those as well.
fn headers(
    letter: &Letter<'_>,
    orders: Vec<(&'static str, String)>,
    losses: &mut Vec<Loss>,
) -> Fields {
    let mut list = fields::listed(letter, &FIELDS, losses);
    list.retain(|field| {
        let kept = arrives(&field.value);
        if !kept {
            let why = "Brevo garbles values outside ASCII";
            losses.push(Loss::slight(format!("header {}", field.name), why));
        }
        kept
    });
    for Field { name, .. } in &list {
        if ["In-Reply-To", "References"].iter().any(|it| name.eq_ignore_ascii_case(it)) {
            let why = "it is sent, but Brevo promises to carry custom fields only";
            losses.push(Loss::slight(format!("header {name}"), why));
        }
    }
    let mut fields = fields::joined(list, losses);
    if let Some(id) = own_id(letter.email) {
        fields.set(ORIGINAL_ID, id.to_owned());
    }
    for (name, value) in orders {
        fields.set(name, value);
    }
    fields.set(KEY, Uuid::nil().to_string());
    fields
}

fn own_id(email: &Email) -> Option<&str> {
    let mut headers = email.headers.iter();
    let (_, id) = headers.find(|(name, _)| name.eq_ignore_ascii_case("Message-ID"))?;
    let id = id.trim();
    (!id.is_empty() && arrives(id) && !id.contains(char::is_whitespace)).then_some(id)
}

/// Puts the key at the end of the body, in the place that was kept for it: a UUID made of the message's name in the queue
/// and of all that is in the request, so that a repeat has the same and nothing else does.
fn keyed(call: Call, id: QueueId) -> Call {
    const LENGTH: usize = uuid::fmt::Hyphenated::LENGTH;
    const BEHIND: &[u8] = b"\"}}";
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(id.to_string().as_bytes());
    context.update(&call.body);
    let hash = context.finish();
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(hash.as_ref()).for_each(|(byte, hashed)| *byte = *hashed);
    let mut key = Builder::from_bytes(bytes);
    key.set_variant(Variant::RFC4122).set_version(Version::Sha1);

    let mut body = Vec::from(call.body);
    body.truncate(body.len().saturating_sub(LENGTH + BEHIND.len()));
    body.extend_from_slice(key.into_uuid().to_string().as_bytes());
    body.extend_from_slice(BEHIND);
    Call { body: body.into(), ..call }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::samples::{Sample, mailbox};

    fn built(sample: &Sample) -> (Value, Vec<Loss>) {
        let call = build(&sample.letter()).unwrap();
        (serde_json::from_slice(&call.body).unwrap(), call.losses)
    }

    fn whats(losses: &[Loss]) -> Vec<&str> {
        losses.iter().map(|loss| loss.what.as_str()).collect()
    }

    #[test]
    fn a_plain_message_is_carried_with_a_page_beside_its_text() {
        let call = build(&Sample::plain().letter()).unwrap();
        let text = std::str::from_utf8(&call.body).unwrap();
        let (before, key) = text.split_once(r#""idempotencyKey":""#).unwrap();
        assert_eq!(
            before,
            r#"{"sender":{"name":"Ada","email":"ada@example.org"},"#.to_owned()
                + r#""to":[{"name":"Bob","email":"bob@example.net"}],"subject":"Tea","#
                + r#""htmlContent":"<!DOCTYPE html>\n<html><body>\nFive o'clock?<br>\n</body></html>\n","#
                + r#""textContent":"Five o'clock?\r\n","headers":{"References":"<1@example.org>","#
                + r#""X-Original-Message-ID":"<1@example.org>","#
        );
        let key: Uuid = key.strip_suffix("\"}}").unwrap().parse().unwrap();
        assert_eq!((key.get_version_num(), key.get_variant()), (5, Variant::RFC4122));
        assert_eq!(
            whats(&call.losses),
            ["a message of text alone", "header Message-ID", "header References"]
        );
        assert!(call.losses.iter().all(|loss| !loss.grave));
    }

    #[test]
    fn a_rich_message_says_what_it_loses() {
        let mut sample = Sample::rich();
        sample.email.headers.clear();
        let (body, losses) = built(&sample);
        let key = &body["headers"]["idempotencyKey"];
        assert_eq!(
            body,
            json!({
                "sender": {
                    "name": "=?utf-8?B?7Jik65287Yuw7JikLCDslYzrprw=?=", "email": "notice@oratio.example"
                },
                "to": [{"name": "김철수", "email": "kim@xn--vv4b11d.xn--3e0b707e"}],
                "cc": [{"name": "Doe; Jane", "email": "jane@example.com"}],
                "bcc": [{"email": "hidden@example.net"}],
                "replyTo": {"email": "help@oratio.example"},
                "subject": "안녕하세요 ☕",
                "htmlContent": "<p>그림 <img src=\"cid:logo@oratio\"></p>",
                "textContent": "텍스트\r\n",
                "attachment": [
                    {"name": "logo.png", "content": "iVBORw0KGgo="},
                    {"name": "attachment-2.pdf", "content": "JVBERi0xLjc="}
                ],
                "headers": {"idempotencyKey": key}
            })
        );
        let grave: Vec<_> = losses.iter().filter(|loss| loss.grave).cloned().collect();
        let expected = ["header Reply-To: 1 of 2 addresses", "the inline image \"logo.png\""];
        assert_eq!(whats(&grave), expected);
    }

    #[test]
    fn the_key_is_that_of_the_message_and_of_its_bytes() {
        let sample = Sample::plain();
        let key = |sample: &Sample| built(sample).0["headers"]["idempotencyKey"].clone();
        assert_eq!(key(&sample), key(&sample.clone()));
        let mut other = sample.clone();
        other.id = "0198c0de-0000-7000-8000-000000000002".parse().unwrap();
        assert_ne!(key(&sample), key(&other));
        let mut other = sample.clone();
        other.addressing.to = vec![mailbox("", "eve@example.org")];
        assert_ne!(key(&sample), key(&other));
    }

    #[test]
    fn fields_that_are_orders_to_brevo_never_travel_as_such() {
        let mut sample = Sample::plain();
        let names = ["X-SIB-Sandbox", "sender.ip", "IdempotencyKey", "idempotency-key", "Date"];
        sample.email.headers =
            names.iter().map(|name| ((*name).to_owned(), "drop".to_owned())).collect();
        sample.email.headers.push(("X-Own".to_owned(), "kept".to_owned()));
        let (body, losses) = built(&sample);
        let headers = body["headers"].as_object().unwrap();
        assert_eq!(headers.len(), 2, "{headers:?}");
        assert_eq!(headers["X-Own"], "kept");
        assert_eq!(losses.len(), 1 + names.len());
    }

    #[test]
    fn values_outside_ascii_stay_behind_and_are_named() {
        let mut sample = Sample::plain();
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        sample.email.headers = vec![field("X-Note", "한국"), field("X-Word", "=?utf-8?B?7ZWc?=")];
        let (body, losses) = built(&sample);
        assert_eq!(body["headers"].as_object().unwrap().len(), 1);
        assert_eq!(whats(&losses[1..]), ["header X-Note", "header X-Word"]);
    }

    #[test]
    fn a_reply_keeps_its_thread_with_its_own_id_at_the_end() {
        let mut sample = Sample::plain();
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        sample.email.headers = vec![
            field("Message-Id", "<3@x>"),
            field("In-Reply-To", "<2@x>"),
            field("references", "<1@x> <2@x>"),
        ];
        let (body, losses) = built(&sample);
        assert_eq!(body["headers"]["references"], "<1@x> <2@x> <3@x>");
        assert_eq!(body["headers"]["In-Reply-To"], "<2@x>");
        assert_eq!(
            whats(&losses[1..]),
            ["header Message-Id", "header In-Reply-To", "header references"]
        );
    }

    #[test]
    fn tags_and_orders_become_what_the_api_has_for_them() {
        let mut sample = Sample::plain();
        let order = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        sample.email.options = vec![
            order("X-Mailin-Tag", "a,b"),
            order("X-Mailin-custom", "id:7"),
            order("X-PM-Tag", "x"),
        ];
        let (body, _) = built(&sample);
        assert_eq!(body["tags"], json!(["a", "b"]));
        assert_eq!(body["headers"]["X-Mailin-custom"], "id:7");
    }

    #[test]
    fn a_message_without_a_word_gets_the_least_that_the_api_takes() {
        let mut sample = Sample::plain();
        sample.email.text = Some(" \r\n".to_owned());
        let (body, losses) = built(&sample);
        assert_eq!((body["htmlContent"].as_str(), body.get("textContent")), (Some(NO_BODY), None));
        assert_eq!(losses[0].what, "the empty body");
    }
}
