//! From a letter to the body of `POST /emails`.

use serde::Serialize;

use super::key;
use crate::message::{Attachment, Loss};
use crate::provider::encoded::InBase64;
use crate::provider::fields::{self, Fields, Rules};
use crate::provider::filename::{Agreed, agreed};
use crate::provider::files::{inline_id, without_amp};
use crate::provider::people::{self, mailbox_text};
use crate::provider::{Call, Letter, MessageIdFate, Unfit};

/// A Content-ID must be shorter than 128 characters.
const CONTENT_ID_MAX: usize = 127;

/// It belongs into the head of the request. As a field of the message it means nothing, unless to Resend.
/// Resend sends by Amazon SES, which writes Message-ID anew.
pub(super) const FIELDS: Rules =
    Rules { forbidden: &["Idempotency-Key"], message_id: MessageIdFate::Replaced };

/// `SendEmailRequest` of the published description, in this order.
#[derive(Serialize)]
struct Body<'a> {
    from: String,
    to: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply_to: Vec<String>,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    html: Option<&'a str>,
    text: &'a str,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    headers: Fields,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    content: InBase64<'a>,
    filename: String,
    content_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<String>,
}

/// Builds the body. The same letter gives the same bytes.
pub(super) fn build(letter: &Letter<'_>) -> Result<Call, Unfit> {
    let email = letter.email;
    let mut losses = email.losses.clone();
    let from = people::author(letter, &mut losses)?;
    let recipients = people::recipients(letter, &mut losses)?;
    let replies = people::reply_to(letter, &mut losses)?;
    let texts = |mailboxes: &[_]| mailboxes.iter().map(mailbox_text).collect();

    let body = Body {
        from: mailbox_text(&from),
        to: texts(&recipients.to),
        cc: texts(&recipients.cc),
        bcc: texts(&recipients.bcc),
        reply_to: texts(&replies),
        subject: people::subject(letter, &mut losses),
        html: email.html.as_deref(),
        // Left out, it would be made up from the HTML.
        text: email.text.as_deref().unwrap_or_default(),
        headers: fields::travelling(letter, &FIELDS, &mut losses),
        attachments: files(&email.attachments, &mut losses)?,
    };
    let key = key::of(letter, &mut losses);
    Ok(Call { key, ..Call::json(&body, letter.json_size(), losses)? })
}

/// Whether there are files in a body made here. Within a JSON text every quotation mark has a backslash before it, so
/// these octets can only be the member.
pub(super) fn has_attachments(body: &[u8]) -> bool {
    memchr::memmem::find(body, b",\"attachments\":[").is_some()
}

fn files<'a>(
    attachments: &'a [Attachment],
    losses: &mut Vec<Loss>,
) -> Result<Vec<File<'a>>, Unfit> {
    let parts = without_amp(attachments, losses);
    parts.into_iter().map(|part| file(part, losses)).collect()
}

fn file<'a>(attachment: &'a Attachment, losses: &mut Vec<Loss>) -> Result<File<'a>, Unfit> {
    let Agreed { filename, content_type } = agreed(attachment);
    let name = &attachment.filename;
    if filename != *name {
        losses.push(Loss::slight(
            format!("the name of attachment {name:?}"),
            format!(
                "sent as {filename:?}: Resend drops mail whose file names contradict the types"
            ),
        ));
    }
    if content_type != attachment.content_type.trim() {
        losses.push(Loss::slight(
            format!("the type {:?} of attachment {name:?}", attachment.content_type),
            format!(
                "sent as {content_type}: Resend drops mail whose types contradict the file names"
            ),
        ));
    }
    let content_id = inline_id(attachment, losses);
    if let Some(id) = content_id
        && id.len() > CONTENT_ID_MAX
    {
        return Err(Unfit {
            reason: format!(
                "the inline part {name:?} has a Content-ID of {} characters, the API takes {CONTENT_ID_MAX}",
                id.len()
            ),
        });
    }
    let content_id = content_id.map(str::to_owned);
    Ok(File { content: InBase64(&attachment.bytes), filename, content_type, content_id })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::samples::{Sample, attachment};

    fn built(sample: &Sample) -> (Value, Vec<Loss>) {
        let call = build(&sample.letter()).unwrap();
        (serde_json::from_slice(&call.body).unwrap(), call.losses)
    }

    #[test]
    fn files_are_seen_in_a_body_and_nothing_else_is_taken_for_them() {
        assert!(has_attachments(&build(&Sample::rich().letter()).unwrap().body));
        let mut sample = Sample::plain();
        sample.email.text = Some(r#"","attachments":[{"#.to_owned());
        sample.email.headers = vec![("attachments".to_owned(), "[".to_owned())];
        assert!(!has_attachments(&build(&sample.letter()).unwrap().body));
    }

    #[test]
    fn a_plain_message_is_carried_whole() {
        let call = build(&Sample::plain().letter()).unwrap();
        assert_eq!(
            std::str::from_utf8(&call.body).unwrap(),
            r#"{"from":"Ada <ada@example.org>","to":["Bob <bob@example.net>"],"subject":"Tea","#
                .to_owned()
                + r#""text":"Five o'clock?\r\n","headers":{"Message-ID":"<1@example.org>","#
                + r#""References":"<1@example.org>"}}"#
        );
        assert!(call.losses.is_empty());
    }

    #[test]
    fn a_rich_message_is_carried_whole() {
        let (body, losses) = built(&Sample::rich());
        assert_eq!(
            body,
            json!({
                "from": "\"오라티오, 알림\" <notice@oratio.example>",
                "to": ["김철수 <kim@xn--vv4b11d.xn--3e0b707e>"],
                "cc": ["\"Doe; Jane\" <jane@example.com>"],
                "bcc": ["hidden@example.net"],
                "reply_to": ["help@oratio.example", "B <b@oratio.example>"],
                "subject": "안녕하세요 ☕",
                "html": "<p>그림 <img src=\"cid:logo@oratio\"></p>",
                "text": "텍스트\r\n",
                "headers": {
                    "Message-ID": "<1@example.org>",
                    "List-Unsubscribe": "<https://x.example/u>",
                    "References": "<1@example.org>"
                },
                "attachments": [
                    {
                        "content": "iVBORw0KGgo=", "filename": "logo.png",
                        "content_type": "image/png", "content_id": "logo@oratio"
                    },
                    {
                        "content": "JVBERi0xLjc=", "filename": "보고서.pdf",
                        "content_type": "application/pdf"
                    }
                ]
            })
        );
        assert!(losses.is_empty(), "{losses:?}");
    }

    #[test]
    fn no_text_is_invented() {
        let mut sample = Sample::plain();
        sample.email.text = None;
        sample.email.html = Some("<p>x</p>".to_owned());
        assert_eq!(built(&sample).0["text"], "");
        sample.email.html = None;
        let (body, losses) = built(&sample);
        assert_eq!((body["text"].as_str(), body.get("html")), (Some(""), None));
        assert!(losses.is_empty());
    }

    #[test]
    fn a_name_against_its_type_is_mended_and_named() {
        let mut sample = Sample::plain();
        sample.email.attachments = vec![attachment("data.txt", "text/csv", b"a,b")];
        let (body, losses) = built(&sample);
        assert_eq!(body["attachments"][0]["filename"], "data.txt.csv");
        assert!(losses[0].what.contains("data.txt"), "{losses:?}");
    }

    #[test]
    fn only_inline_parts_get_a_content_id_and_it_must_fit() {
        let mut sample = Sample::plain();
        let mut part = attachment("a.png", "image/png", b"x");
        part.content_id = Some("x".repeat(128));
        sample.email.attachments = vec![part.clone()];
        assert_eq!(built(&sample).0["attachments"][0].get("content_id"), None);

        part.inline = true;
        sample.email.attachments = vec![part.clone()];
        assert!(build(&sample.letter()).unwrap_err().reason.contains("128 characters"));

        part.content_id = Some("x".repeat(127));
        sample.email.attachments = vec![part];
        assert_eq!(built(&sample).0["attachments"][0]["content_id"], "x".repeat(127));
    }

    #[test]
    fn losses_of_the_view_are_passed_on() {
        let mut sample = Sample::plain();
        let loss = Loss::slight("part 3", "too deep");
        sample.email.losses.push(loss.clone());
        assert_eq!(built(&sample).1, [loss]);
    }
}
