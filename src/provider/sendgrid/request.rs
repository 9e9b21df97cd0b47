//! From a letter to the body of `POST /v3/mail/send`.

use std::borrow::Cow;
use std::collections::HashSet;

use serde::Serialize;
use serde_json::{Map, Value};

use super::personal::{Personalization, personalizations};
use super::smtpapi::{self, Asm};
use crate::message::{Attachment, Email, Loss, Mailbox};
use crate::provider::encoded::InBase64;
use crate::provider::fields::{self, Fields, Rules};
use crate::provider::filename::essence;
use crate::provider::people::{self, one_line};
use crate::provider::{Call, Letter, MessageIdFate, Unfit};

/// Named by the published description as not to be set. The fields that no API takes are in [`fields`].
pub(super) const FIELDS: Rules =
    Rules { forbidden: &["x-sg-id", "x-sg-eid"], message_id: MessageIdFate::Kept };

const AMP: &str = "text/x-amp-html";

/// The body of a message that has none: the API demands one octet.
const NO_BODY: &str = " ";

#[derive(Serialize)]
struct Body<'a> {
    personalizations: Vec<Personalization>,
    from: Person,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<Person>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    reply_to_list: Vec<Person>,
    subject: String,
    content: Vec<Content<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<File<'a>>,
    #[serde(skip_serializing_if = "Fields::is_empty")]
    headers: Fields,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    categories: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    template_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_at: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    batch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asm: Option<Asm>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ip_pool_name: Option<String>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    mail_settings: Map<String, Value>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    tracking_settings: Map<String, Value>,
}

/// The recipients of a call, each once.
#[derive(Debug, Default)]
pub(super) struct Readers {
    pub(super) to: Vec<Person>,
    pub(super) cc: Vec<Person>,
    pub(super) bcc: Vec<Person>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Person {
    pub(super) email: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
}

#[derive(Serialize)]
struct Content<'a> {
    r#type: Cow<'a, str>,
    value: &'a str,
}

#[derive(Serialize)]
struct File<'a> {
    content: InBase64<'a>,
    #[serde(skip_serializing_if = "str::is_empty")]
    r#type: &'a str,
    filename: String,
    disposition: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_id: Option<&'a str>,
}

/// Builds the body. The same letter gives the same bytes.
pub(super) fn build(letter: &Letter<'_>) -> Result<Call, Unfit> {
    let email = letter.email;
    let mut losses = email.losses.clone();
    let from = person(people::author(letter, &mut losses)?);
    let recipients = people::recipients(letter, &mut losses)?;
    let mut replies: Vec<_> =
        people::reply_to(letter, &mut losses)?.into_iter().map(person).collect();
    let reply_to = if replies.len() == 1 { replies.pop() } else { None };
    // An address may occur once in a call. The most visible place wins.
    let mut seen = HashSet::new();
    let readers = Readers {
        to: readers("To", recipients.to, &mut seen, &mut losses),
        cc: readers("Cc", recipients.cc, &mut seen, &mut losses),
        bcc: readers("Bcc", recipients.bcc, &mut seen, &mut losses),
    };
    let orders = smtpapi::read(letter, &mut losses);

    let body = Body {
        personalizations: personalizations(letter, &orders, readers, &mut losses),
        from,
        reply_to,
        reply_to_list: replies,
        subject: people::subject(letter, &mut losses),
        content: contents(email),
        attachments: files(email, &mut losses),
        headers: fields::travelling(letter, &FIELDS, &mut losses),
        categories: orders.categories,
        template_id: orders.settings.template,
        send_at: orders.send_at,
        batch_id: orders.batch_id,
        asm: orders.asm,
        ip_pool_name: orders.ip_pool_name,
        mail_settings: orders.settings.mail,
        tracking_settings: orders.settings.tracking,
    };
    Call::json(&body, letter.json_size(), losses)
}

fn person(mailbox: Mailbox) -> Person {
    Person { email: mailbox.address, name: mailbox.name }
}

/// Recipients whose addresses have not come before, with names that the API takes.
fn readers(
    field: &str,
    mailboxes: Vec<Mailbox>,
    seen: &mut HashSet<String>,
    losses: &mut Vec<Loss>,
) -> Vec<Person> {
    let mut readers = Vec::with_capacity(mailboxes.len());
    for mailbox in mailboxes {
        if !seen.insert(mailbox.address.to_ascii_lowercase()) {
            losses.push(Loss::slight(
                format!("a repeated address in {field}"),
                "the API takes each once; it gets one copy",
            ));
            continue;
        }
        let mut reader = person(mailbox);
        if reader.name.contains([';', ',']) {
            let parts = reader.name.split([';', ',']).map(str::trim);
            reader.name = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
            losses.push(Loss::slight(
                format!("commas and semicolons of a name in {field}"),
                "the API does not take them",
            ));
        }
        readers.push(reader);
    }
    readers
}

/// The alternatives in the order that the API demands, plainest first.
fn contents(email: &Email) -> Vec<Content<'_>> {
    let amp = email.attachments.iter().filter_map(amp_text);
    let mut contents: Vec<_> = content("text/plain", email.text.as_deref())
        .into_iter()
        .chain(amp.filter_map(|text| content(AMP, Some(text))))
        .chain(content("text/html", email.html.as_deref()))
        .chain(invitation(email).and_then(invitation_content))
        .collect();
    if contents.is_empty() {
        contents.push(Content { r#type: "text/plain".into(), value: NO_BODY });
    }
    contents
}

fn content<'a>(r#type: &'static str, value: Option<&'a str>) -> Option<Content<'a>> {
    value.filter(|value| !value.is_empty()).map(|value| Content { r#type: r#type.into(), value })
}

/// The first calendar alternative: a further content, which mail programs show as an invitation.
fn invitation(email: &Email) -> Option<&Attachment> {
    email.attachments.iter().find(|part| part.is_invitation() && !part.bytes.is_empty())
}

/// SendGrid takes the type with its method, and no other parameter (sendgrid-ruby issue 298).
fn invitation_content(part: &Attachment) -> Option<Content<'_>> {
    let method = part.content_type.split(';').map(str::trim).find(|it| it.starts_with("method="));
    let r#type = method.map_or("text/calendar".into(), |it| format!("text/calendar; {it}").into());
    std::str::from_utf8(&part.bytes).ok().map(|value| Content { r#type, value })
}

fn files<'a>(email: &'a Email, losses: &mut Vec<Loss>) -> Vec<File<'a>> {
    let mut files = Vec::with_capacity(email.attachments.len());
    let invitation = invitation(email);
    let is_content = |part: &Attachment| {
        amp_text(part).is_some() || invitation.is_some_and(|it| std::ptr::eq(it, part))
    };
    for attachment in email.attachments.iter().filter(|part| !is_content(part)) {
        if attachment.bytes.is_empty() {
            losses.push(Loss::grave(
                format!("the empty attachment {:?}", attachment.filename),
                "the API does not take empty files",
            ));
            continue;
        }
        if let Some(charset) = unusual_charset(&attachment.content_type) {
            losses.push(Loss::slight(
                format!("the charset {charset} of attachment {:?}", attachment.filename),
                "the API drops it; the octets are unchanged",
            ));
        }
        files.push(File {
            content: InBase64(&attachment.bytes),
            r#type: attachment.content_type.trim(),
            filename: one_line(&attachment.filename),
            disposition: if attachment.inline { "inline" } else { "attachment" },
            content_id: attachment.content_id.as_deref().filter(|_| attachment.inline),
        });
    }
    files
}

/// SendGrid is one of the few that carry AMP as what it is.
fn amp_text(part: &Attachment) -> Option<&str> {
    let is_amp = !part.inline && essence(&part.content_type) == AMP;
    std::str::from_utf8(&part.bytes).ok().filter(|_| is_amp)
}

/// A charset other than the two that need no naming.
fn unusual_charset(content_type: &str) -> Option<&str> {
    let charset = content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    })?;
    let usual = ["utf-8", "us-ascii"].iter().any(|usual| charset.eq_ignore_ascii_case(usual));
    (!usual).then_some(charset)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::provider::samples::{Sample, attachment, mailbox};

    fn built(sample: &Sample) -> (Value, Vec<Loss>) {
        let call = build(&sample.letter()).unwrap();
        (serde_json::from_slice(&call.body).unwrap(), call.losses)
    }

    #[test]
    fn a_plain_message_is_carried_whole() {
        let call = build(&Sample::plain().letter()).unwrap();
        assert_eq!(
            std::str::from_utf8(&call.body).unwrap(),
            r#"{"personalizations":[{"to":[{"email":"bob@example.net","name":"Bob"}],"#.to_owned()
                + r#""custom_args":{"mailferry_id":"0198c0de-0000-7000-8000-000000000001"}}],"#
                + r#""from":{"email":"ada@example.org","name":"Ada"},"subject":"Tea","#
                + r#""content":[{"type":"text/plain","value":"Five o'clock?\r\n"}],"#
                + r#""headers":{"Message-ID":"<1@example.org>"}}"#
        );
        assert!(call.losses.is_empty());
    }

    #[test]
    fn a_rich_message_is_carried_with_its_losses_named() {
        let (body, losses) = built(&Sample::rich());
        assert_eq!(
            body["personalizations"][0],
            json!({
                "to": [{"email": "kim@xn--vv4b11d.xn--3e0b707e", "name": "김철수"}],
                "cc": [{"email": "jane@example.com", "name": "Doe Jane"}],
                "bcc": [{"email": "hidden@example.net"}],
                "custom_args": {"mailferry_id": "0198c0de-0000-7000-8000-000000000001"}
            })
        );
        assert_eq!(body["from"]["name"], "오라티오, 알림");
        assert_eq!(body.get("reply_to"), None);
        assert_eq!(body["reply_to_list"].as_array().unwrap().len(), 2);
        assert_eq!(body["content"][0]["type"], "text/plain");
        assert_eq!(body["content"][1]["type"], "text/html");
        assert_eq!(
            body["attachments"],
            json!([
                {
                    "content": "iVBORw0KGgo=", "type": "image/png", "filename": "logo.png",
                    "disposition": "inline", "content_id": "logo@oratio"
                },
                {
                    "content": "JVBERi0xLjc=", "type": "application/pdf",
                    "filename": "보고서.pdf", "disposition": "attachment"
                }
            ])
        );
        let what: Vec<_> = losses.iter().map(|loss| loss.what.as_str()).collect();
        assert_eq!(what, ["commas and semicolons of a name in Cc"]);
    }

    #[test]
    fn one_reply_address_is_no_list() {
        let mut sample = Sample::plain();
        sample.email.reply_to = vec![mailbox("R", "r@x.org"), mailbox("", "R@x.org")];
        let (body, _) = built(&sample);
        assert_eq!(body["reply_to"], json!({"email": "r@x.org", "name": "R"}));
        assert_eq!(body.get("reply_to_list"), None);
    }

    #[test]
    fn an_address_stands_once_where_it_is_most_visible() {
        let mut sample = Sample::plain();
        sample.addressing.cc = vec![mailbox("", "BOB@example.net"), mailbox("", "c@x.org")];
        sample.addressing.bcc = vec!["c@x.org".parse().unwrap(), "d@x.org".parse().unwrap()];
        let (body, losses) = built(&sample);
        let people = &body["personalizations"][0];
        assert_eq!(people["cc"], json!([{"email": "c@x.org"}]));
        assert_eq!(people["bcc"], json!([{"email": "d@x.org"}]));
        assert_eq!(losses.iter().filter(|loss| loss.what.contains("repeated")).count(), 2);
    }

    #[test]
    fn a_message_without_body_gets_the_least_that_the_api_takes() {
        let mut sample = Sample::plain();
        sample.email.text = Some(String::new());
        let (body, losses) = built(&sample);
        assert_eq!(body["content"], json!([{"type": "text/plain", "value": " "}]));
        assert!(losses.is_empty());
    }

    #[test]
    fn html_alone_gets_no_text() {
        let mut sample = Sample::plain();
        sample.email.text = None;
        sample.email.html = Some("<p>x</p>".to_owned());
        let (body, _) = built(&sample);
        assert_eq!(body["content"], json!([{"type": "text/html", "value": "<p>x</p>"}]));
    }

    #[test]
    fn amp_stands_between_text_and_html() {
        let mut sample = Sample::rich();
        sample.email.attachments =
            vec![attachment("amp", "text/x-amp-html; charset=utf-8", b"<html amp4email>")];
        let (body, _) = built(&sample);
        let types: Vec<_> = (0..3).map(|index| &body["content"][index]["type"]).collect();
        assert_eq!(types, ["text/plain", AMP, "text/html"]);
        assert_eq!(body.get("attachments"), None);
    }

    #[test]
    fn empty_files_and_lost_charsets_are_named() {
        let mut sample = Sample::plain();
        sample.email.attachments = vec![
            attachment("empty.txt", "text/plain", b""),
            attachment("k.txt", "text/plain; charset=\"euc-kr\"", b"\xc7\xd1"),
            attachment("u.txt", "text/plain; charset=UTF-8", b"x"),
        ];
        let (body, losses) = built(&sample);
        assert_eq!(body["attachments"].as_array().unwrap().len(), 2);
        assert_eq!(losses.len(), 2);
        assert!(losses[0].what.contains("empty.txt") && losses[1].what.contains("euc-kr"));
    }
}
