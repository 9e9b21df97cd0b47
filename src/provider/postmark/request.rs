//! From a letter to the body of `POST /email`.
//! <https://postmarkapp.com/developer/user-guide/send-email-with-api>

use serde::Serialize;

use super::options::Options;
use crate::message::{Attachment, Email, Loss, Mailbox};
use crate::provider::encoded::InBase64;
use crate::provider::fields::{self, Field, Rules};
use crate::provider::filename::essence;
use crate::provider::files::{inline_id, without_amp};
use crate::provider::people::{self, mailbox_text, one_line};
use crate::provider::{Call, Letter, MessageIdFate, Unfit};

/// Text and HTML may have as many octets each.
const BODY_BYTES_MAX: usize = 5_000_000;
/// In UTF-16 code units, as Postmark counts (support article "Subject line and From address character limits").
const SUBJECT_UNITS_MAX: usize = 2000;
const FROM_UNITS_MAX: usize = 255;

/// The API answers `Header 'Date' not allowed` and writes its own. Of Sender the official Ruby library says the same.
pub(super) const FIELDS: Rules =
    Rules { forbidden: &["Date", "Sender"], message_id: MessageIdFate::Kept };

/// The body of a message that has none, which the API refuses: a page without a word.
const NO_BODY: &str = "<html><body></body></html>";

/// File types that are refused.
const FORBIDDEN_FILES: [&str; 31] = [
    "vbs", "exe", "bin", "bat", "chm", "com", "cpl", "crt", "hlp", "hta", "inf", "ins", "isp",
    "jse", "lnk", "mdb", "pcd", "pif", "reg", "scr", "sct", "shs", "vbe", "vba", "wsf", "wsh",
    "wsl", "msc", "msi", "msp", "mst",
];

/// The members of the documentation that a message has a use for, in this order.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    from: String,
    to: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    cc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    bcc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    reply_to: String,
    subject: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    text_body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    html_body: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    headers: Vec<Field>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attachments: Vec<File<'a>>,
    #[serde(flatten)]
    options: Options,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct File<'a> {
    name: String,
    content: InBase64<'a>,
    content_type: &'a str,
    #[serde(rename = "ContentID", skip_serializing_if = "Option::is_none")]
    content_id: Option<String>,
}

/// Builds the body. The same letter gives the same bytes.
pub(super) fn build(letter: &Letter<'_>) -> Result<Call, Unfit> {
    let email = letter.email;
    let mut losses = email.losses.clone();
    let from = people::author(letter, &mut losses)?;
    let recipients = people::recipients(letter, &mut losses)?;
    let replies = people::reply_to(letter, &mut losses)?;
    let all = [&recipients.to, &recipients.cc, &recipients.bcc, &replies].into_iter().flatten();
    for mailbox in all.chain([&from]) {
        refuse_address(&mailbox.address)?;
    }
    let (text_body, html_body) = bodies(email, &mut losses)?;
    let mut options = Options::read(&email.options, &mut losses);

    let body = Body {
        from: mailbox_text(&from),
        to: list(&recipients.to),
        cc: list(&recipients.cc),
        bcc: list(&recipients.bcc),
        reply_to: list(&replies),
        subject: people::subject(letter, &mut losses),
        text_body,
        html_body,
        headers: headers(letter, &mut options, &mut losses),
        attachments: files(&email.attachments, &mut losses),
        options,
    };
    refuse_longer(&body.from, FROM_UNITS_MAX, "From")?;
    refuse_longer(&body.subject, SUBJECT_UNITS_MAX, "Subject")?;
    Call::json(&body, letter.json_size(), losses)
}

fn list(mailboxes: &[Mailbox]) -> String {
    mailboxes.iter().map(mailbox_text).collect::<Vec<_>>().join(", ")
}

/// Postmark checks addresses more narrowly than RFC 5321, and refuses a message to everybody for the sake of one
/// (support article "What does Error Code: '300' mean?").
fn refuse_address(address: &str) -> Result<(), Unfit> {
    let (local, domain) = address.rsplit_once('@').unwrap_or((address, ""));
    let local_is_taken = local
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b".!#$%&'`*+-/=^_{|}~".contains(&byte));
    let domain_is_taken =
        domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.' || byte == b'-');
    if local_is_taken && domain_is_taken {
        return Ok(());
    }
    Err(Unfit {
        reason: format!("the address {address:?} has characters that the API does not take"),
    })
}

fn refuse_longer(text: &str, max: usize, field: &str) -> Result<(), Unfit> {
    let units = text.encode_utf16().count();
    if units <= max {
        return Ok(());
    }
    Err(Unfit { reason: format!("{field} has {units} characters, the API takes {max}") })
}

/// Text and HTML. One of the two must have something in it.
fn bodies<'a>(
    email: &'a Email,
    losses: &mut Vec<Loss>,
) -> Result<(Option<&'a str>, Option<&'a str>), Unfit> {
    let body = |body: &'a Option<String>| {
        let body = body.as_deref().filter(|body| !body.trim().is_empty());
        match body.map(str::len) {
            Some(octets) if octets > BODY_BYTES_MAX => Err(Unfit {
                reason: format!("a body has {octets} octets, the API takes {BODY_BYTES_MAX}"),
            }),
            Some(_) | None => Ok(body),
        }
    };
    let (text, html) = (body(&email.text)?, body(&email.html)?);
    if text.is_some() || html.is_some() {
        return Ok((text, html));
    }
    losses.push(Loss::slight("the empty body", "the API demands one; sent as an empty page"));
    Ok((None, Some(NO_BODY)))
}

/// The fields that may travel. With one more, the Message-ID stays what the app made it, so that replies find their
/// thread; it is Postmark's otherwise.
fn headers(letter: &Letter<'_>, options: &mut Options, losses: &mut Vec<Loss>) -> Vec<Field> {
    let mut headers = fields::listed(letter, &FIELDS, losses);
    let is_id = |field: &Field| field.name.eq_ignore_ascii_case("Message-ID");
    if options.new_id {
        headers.retain(|field| !is_id(field));
    } else if headers.iter().any(is_id) {
        headers.push(Field { name: "X-PM-KeepID".to_owned(), value: "true".to_owned() });
    }
    headers.append(&mut options.fields);
    headers
}

fn files<'a>(attachments: &'a [Attachment], losses: &mut Vec<Loss>) -> Vec<File<'a>> {
    let parts = without_amp(attachments, losses);
    parts.into_iter().filter_map(|part| file(part, losses)).collect()
}

/// The part as a file, unless it is of a type that would cost the whole message. An operator may have it sent without
/// (`delivery.on_loss`).
fn file<'a>(part: &'a Attachment, losses: &mut Vec<Loss>) -> Option<File<'a>> {
    let name = one_line(&part.filename);
    let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    if extension.is_some_and(|it| FORBIDDEN_FILES.contains(&it.as_str())) {
        losses.push(Loss::grave(
            format!("attachment {name:?}"),
            "Postmark does not take files of this type",
        ));
        return None;
    }
    let mut content_id = inline_id(part, losses);
    if content_id.is_some_and(|id| !id.bytes().all(|byte| byte.is_ascii_graphic())) {
        losses.push(Loss::grave(
            format!("the inline part {name:?}"),
            "its Content-ID is not plain ASCII without blanks, so the HTML could not show it",
        ));
        content_id = None;
    }
    let mut content_type = part.content_type.trim();
    if !is_media_type(&essence(content_type)) {
        losses.push(Loss::slight(
            format!("the type {content_type:?} of attachment {name:?}"),
            "it is not a media type; sent as application/octet-stream",
        ));
        content_type = "application/octet-stream";
    }
    Some(File {
        name,
        content: InBase64(&part.bytes),
        content_type,
        content_id: content_id.map(|id| format!("cid:{id}")),
    })
}

/// `type/subtype`, two tokens of RFC 2045.
fn is_media_type(essence: &str) -> bool {
    let is_token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?=".contains(&b))
    };
    essence.split_once('/').is_some_and(|(kind, subtype)| is_token(kind) && is_token(subtype))
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

    fn unfit(sample: &Sample) -> String {
        build(&sample.letter()).unwrap_err().reason
    }

    #[test]
    fn a_plain_message_is_carried_whole() {
        let call = build(&Sample::plain().letter()).unwrap();
        assert_eq!(
            std::str::from_utf8(&call.body).unwrap(),
            r#"{"From":"Ada <ada@example.org>","To":"Bob <bob@example.net>","Subject":"Tea","#
                .to_owned()
                + r#""TextBody":"Five o'clock?\r\n","#
                + r#""Headers":[{"Name":"Message-ID","Value":"<1@example.org>"},"#
                + r#"{"Name":"X-PM-KeepID","Value":"true"}]}"#
        );
        assert!(call.losses.is_empty());
    }

    #[test]
    fn a_rich_message_is_carried_whole() {
        let mut sample = Sample::rich();
        sample.addressing.cc.push(mailbox("", "second@example.com"));
        sample.email.cc.clone_from(&sample.addressing.cc);
        let (body, losses) = built(&sample);
        assert_eq!(
            body,
            json!({
                "From": "\"오라티오, 알림\" <notice@oratio.example>",
                "To": "김철수 <kim@xn--vv4b11d.xn--3e0b707e>",
                "Cc": "\"Doe; Jane\" <jane@example.com>, second@example.com",
                "Bcc": "hidden@example.net",
                "ReplyTo": "help@oratio.example, B <b@oratio.example>",
                "Subject": "안녕하세요 ☕",
                "TextBody": "텍스트\r\n",
                "HtmlBody": "<p>그림 <img src=\"cid:logo@oratio\"></p>",
                "Headers": [
                    {"Name": "Message-ID", "Value": "<1@example.org>"},
                    {"Name": "List-Unsubscribe", "Value": "<https://x.example/u>"},
                    {"Name": "X-PM-KeepID", "Value": "true"}
                ],
                "Attachments": [
                    {
                        "Name": "logo.png", "Content": "iVBORw0KGgo=",
                        "ContentType": "image/png", "ContentID": "cid:logo@oratio"
                    },
                    {
                        "Name": "보고서.pdf", "Content": "JVBERi0xLjc=",
                        "ContentType": "application/pdf"
                    }
                ]
            })
        );
        assert!(losses.is_empty(), "{losses:?}");
    }

    #[test]
    fn what_the_api_writes_itself_stays_behind_and_is_named() {
        let mut sample = Sample::plain();
        sample.email.sender = Some(mailbox("", "bot@example.org"));
        let date = "Sat, 21 Nov 2026 10:00:00 +0000";
        sample.email.headers = vec![("date".to_owned(), date.to_owned())];
        let (body, losses) = built(&sample);
        assert_eq!(body.get("Headers"), None, "without a Message-ID there is none to be kept");
        let what: Vec<_> = losses.iter().map(|loss| loss.what.as_str()).collect();
        assert_eq!(what, ["header Sender", "header date"]);
    }

    #[test]
    fn repeated_fields_stay_as_many() {
        let mut sample = Sample::plain();
        let field = |value: &str| ("X-Tag".to_owned(), value.to_owned());
        sample.email.headers = vec![field("a"), field("b")];
        let (body, losses) = built(&sample);
        assert_eq!(body["Headers"].as_array().unwrap().len(), 2);
        assert!(losses.is_empty());
    }

    #[test]
    fn a_message_without_a_word_gets_the_least_that_the_api_takes() {
        let mut sample = Sample::plain();
        for text in [None, Some(String::new()), Some(" \r\n".to_owned())] {
            sample.email.text = text;
            let (body, losses) = built(&sample);
            assert_eq!((body.get("TextBody"), body["HtmlBody"].as_str()), (None, Some(NO_BODY)));
            assert_eq!(losses[0].what, "the empty body");
        }
        sample.email.html = Some("<p>x</p>".to_owned());
        let (body, losses) = built(&sample);
        assert_eq!((body.get("TextBody"), body["HtmlBody"].as_str()), (None, Some("<p>x</p>")));
        assert!(losses.is_empty());
    }

    #[test]
    fn what_is_beyond_the_limits_goes_elsewhere() {
        let mut sample = Sample::plain();
        sample.email.text = Some("x".repeat(BODY_BYTES_MAX + 1));
        assert!(unfit(&sample).contains("5000001 octets"), "{}", unfit(&sample));

        // Each of these counts for two.
        let mut sample = Sample::plain();
        sample.email.subject = "😀".repeat(1000);
        assert!(build(&sample.letter()).is_ok());
        sample.email.subject.push('!');
        assert!(unfit(&sample).contains("Subject has 2001"), "{}", unfit(&sample));

        let mut sample = Sample::plain();
        sample.email.from[0].name = "x".repeat(250);
        assert!(unfit(&sample).contains("From has"), "{}", unfit(&sample));
    }

    #[test]
    fn addresses_that_postmark_refuses_make_the_message_unfit() {
        for bad in ["\"a b\"@example.net", "a@[192.0.2.1]", "a@under_score.example", "a?b@x.org"] {
            let mut sample = Sample::plain();
            sample.addressing.bcc = vec![bad.parse().unwrap()];
            assert!(unfit(&sample).contains("does not take"), "{bad}");
            let mut sample = Sample::plain();
            sample.email.reply_to = vec![mailbox("", bad)];
            assert!(unfit(&sample).contains("does not take"), "{bad}");
        }
        let mut sample = Sample::plain();
        sample.addressing.bcc = vec!["A.b+c'{d}=~`|/*^_@X-1.example.org".parse().unwrap()];
        assert!(build(&sample.letter()).is_ok());
    }

    #[test]
    fn files_of_forbidden_types_are_a_grave_loss() {
        let mut sample = Sample::plain();
        for name in ["setup.EXE", "dump.bin", "a.tar.msi"] {
            sample.email.attachments = vec![attachment(name, "application/octet-stream", b"x")];
            let (body, losses) = built(&sample);
            assert_eq!(body.get("Attachments"), None, "{name}");
            assert!(losses[0].grave && losses[0].what.contains(name), "{losses:?}");
        }
        for name in ["exe", "a.exe.txt", "a."] {
            sample.email.attachments = vec![attachment(name, "application/octet-stream", b"x")];
            assert_eq!(built(&sample).0["Attachments"][0]["Name"], name);
        }
    }

    #[test]
    fn orders_become_members_and_the_id_is_dropped_only_on_demand() {
        let mut sample = Sample::plain();
        let order = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        sample.email.options = vec![
            order("X-PM-Tag", "t"),
            order("X-PM-Bounce-Type", "HardBounce"),
            order("X-PM-?", ""),
        ];
        let (body, losses) = built(&sample);
        assert_eq!(body["Tag"], "t");
        assert_eq!(body["Headers"][1]["Name"], "X-PM-KeepID");
        assert_eq!(body["Headers"][2], json!({"Name": "X-PM-Bounce-Type", "Value": "HardBounce"}));
        assert_eq!(losses[0].what, "header X-PM-?");
        sample.email.options = vec![order("X-PM-KeepID", "false")];
        assert_eq!(built(&sample), (built(&sample).0, vec![]));
        assert_eq!(built(&sample).0.get("Headers"), None);
    }

    #[test]
    fn types_and_ids_of_parts_are_such_as_postmark_takes() {
        let mut sample = Sample::plain();
        sample.email.attachments = vec![
            attachment("a.ics", "text/calendar; method=REQUEST", b"x"),
            attachment("readme (1).txt", "readme (1).txt", b"x"),
            attachment("b", "", b"x"),
        ];
        let (body, losses) = built(&sample);
        let types: Vec<_> = (0..3).map(|n| &body["Attachments"][n]["ContentType"]).collect();
        let octets = "application/octet-stream";
        assert_eq!(types, ["text/calendar; method=REQUEST", octets, octets]);
        assert_eq!(losses.len(), 2);

        let mut part = attachment("a.png", "image/png", b"x");
        part.inline = true;
        part.content_id = Some("그림 1".to_owned());
        sample.email.attachments = vec![part];
        let (body, losses) = built(&sample);
        assert_eq!(body["Attachments"][0].get("ContentID"), None);
        assert!(losses[0].grave && losses[0].why.contains("Content-ID"), "{losses:?}");
    }
}
