//! The body of `POST /api/v1/messages`, read field by field so that every complaint names its field.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::error::Problem;
use super::fields::{self, Fields, LINE_MAX, invalid, line, text};
use super::mailbox;
use crate::config::SenderConfig;
use crate::message::{Attachment, Draft, Mailbox};

const FIELDS: [&str; 10] =
    ["from", "to", "cc", "bcc", "reply_to", "subject", "text", "html", "headers", "attachments"];
const MAILBOX_FIELDS: [&str; 2] = ["name", "address"];
const ATTACHMENT_FIELDS: [&str; 5] =
    ["filename", "content", "content_type", "content_id", "inline"];

/// Further header fields, attachments, and addresses to answer to.
const HEADERS_MAX: usize = 100;
const ATTACHMENTS_MAX: usize = 500;
const REPLY_TO_MAX: usize = 50;

/// All values of a body besides the recipients, with room for what is told by the limit it is over. Nothing but their number
/// bounds the memory that small ones take.
const FURTHER_VALUES_MAX: usize =
    2 * ((1 + ATTACHMENT_FIELDS.len()) * ATTACHMENTS_MAX + 2 * HEADERS_MAX + 3 * REPLY_TO_MAX);

/// Reads `body`; From is the configured sender unless the body names one.
pub(super) fn parse(
    body: &[u8],
    sender: &SenderConfig,
    recipients_max: usize,
) -> Result<Draft, Problem> {
    // A mailbox is a list's object of a name and an address.
    let values_max = recipients_max.saturating_mul(3).saturating_add(FURTHER_VALUES_MAX);
    let mut fields = fields::read(body, &FIELDS, values_max)?;
    let mut lists = [Vec::new(), Vec::new(), Vec::new()];
    let mut recipients = 0;
    for (list, name) in lists.iter_mut().zip(["to", "cc", "bcc"]) {
        *list = mailboxes(&fields, name)?;
        recipients += list.len();
    }
    let [to, cc, bcc] = lists;
    if recipients == 0 {
        return Err(invalid("\"to\" is missing; a message needs an address in to, cc or bcc"));
    }
    if recipients > recipients_max {
        let message = format!(
            "to, cc and bcc have {recipients} addresses, smtp.max_recipients is {recipients_max}"
        );
        return Err(invalid(message));
    }
    let reply_to = mailboxes(&fields, "reply_to")?;
    if reply_to.len() > REPLY_TO_MAX {
        return Err(invalid(format!("\"reply_to\" has more than {REPLY_TO_MAX} addresses")));
    }
    let from = match fields.get("from") {
        None | Some(Value::Null) => mailbox::of_sender(sender)?,
        Some(value) => one_mailbox("from", value)?,
    };
    let subject = line("subject", text(&fields, "subject")?.unwrap_or_default())?;
    let headers = headers(&fields)?;
    let attachments = attachments(&mut fields)?;
    let (text, html) =
        (fields::take_text(&mut fields, "text")?, fields::take_text(&mut fields, "html")?);
    if text.is_none() && html.is_none() && attachments.is_empty() {
        return Err(invalid("\"text\" is missing; a message needs text, html or attachments"));
    }
    Ok(Draft { from, to, cc, bcc, reply_to, subject, headers, text, html, attachments })
}

/// One mailbox or a list of them; nothing is an empty list.
fn mailboxes(fields: &Fields, field: &str) -> Result<Vec<Mailbox>, Problem> {
    match fields.get(field) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(many)) => many.iter().map(|one| one_mailbox(field, one)).collect(),
        Some(one) => Ok(vec![one_mailbox(field, one)?]),
    }
}

/// An address, `Name <address>`, or `{"name", "address"}`.
fn one_mailbox(field: &str, value: &Value) -> Result<Mailbox, Problem> {
    match value {
        Value::String(text) => mailbox::read(field, text),
        Value::Object(parts) => {
            fields::only(parts, &MAILBOX_FIELDS, &format!(" in \"{field}\""))?;
            let address = text(parts, "address")?
                .ok_or_else(|| invalid(format!("\"{field}\" has no \"address\"")))?;
            let name = text(parts, "name")?.unwrap_or_default();
            mailbox::named(field, name.trim(), address.trim())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => Err(invalid(format!(
            "\"{field}\" must be an address, {{\"name\", \"address\"}}, or a list of them"
        ))),
    }
}

/// Further header fields: `{"X-Campaign": "spring"}`, several values as a list. Which may be set says [`Draft::compose`].
fn headers(fields: &Fields) -> Result<Vec<(String, String)>, Problem> {
    let given = match fields.get("headers") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Object(given)) => given,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            return Err(invalid("\"headers\" must be an object: {\"X-Name\": \"value\"}"));
        }
    };
    let mut headers = Vec::new();
    for (name, value) in given {
        let shown: String = name.chars().take(LINE_MAX).collect();
        let not_a_text = || invalid(format!("\"headers\": the value of {shown:?} must be a text"));
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            let value = value.as_str().ok_or_else(not_a_text)?;
            headers.push((name.clone(), value.to_owned()));
        }
    }
    if headers.len() > HEADERS_MAX {
        return Err(invalid(format!("\"headers\" has more than {HEADERS_MAX} fields")));
    }
    Ok(headers)
}

fn attachments(fields: &mut Fields) -> Result<Vec<Attachment>, Problem> {
    let given = match fields.remove("attachments") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(given)) => given,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            return Err(invalid("\"attachments\" must be a list"));
        }
    };
    if given.len() > ATTACHMENTS_MAX {
        return Err(invalid(format!("\"attachments\" has more than {ATTACHMENTS_MAX} files")));
    }
    given.into_iter().map(attachment).collect()
}

fn attachment(value: Value) -> Result<Attachment, Problem> {
    let Value::Object(mut parts) = value else {
        return Err(invalid(
            "\"attachments\" must contain objects: {\"filename\", \"content\", \"content_type\"}",
        ));
    };
    fields::only(&parts, &ATTACHMENT_FIELDS, " in \"attachments\"")?;
    let filename = text(&parts, "filename")?.unwrap_or_default().trim();
    if filename.is_empty() {
        return Err(invalid("\"attachments\": a file has no \"filename\""));
    }
    let filename = line("filename", filename)?;
    let content_type = match text(&parts, "content_type")? {
        Some(given) => line("content_type", given.trim())?,
        None => "application/octet-stream".to_owned(),
    };
    let content_id = text(&parts, "content_id")?.map(str::trim);
    // Some write it as it stands in the header.
    let content_id = content_id
        .map(|id| id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id))
        .map(|id| line("content_id", id))
        .transpose()?;
    if content_id.as_deref() == Some("") {
        return Err(invalid(format!("\"attachments\": the content_id of {filename:?} is empty")));
    }
    let inline = match parts.get("inline") {
        None | Some(Value::Null) => content_id.is_some(),
        Some(Value::Bool(inline)) => *inline,
        Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
            return Err(invalid("\"inline\" must be true or false"));
        }
    };
    let content = fields::take_text(&mut parts, "content")?;
    let mut content = content
        .ok_or_else(|| invalid(format!("\"attachments\": {filename:?} has no \"content\"")))?;
    // Some libraries wrap Base64 into lines.
    content.retain(|c| !matches!(c, '\r' | '\n'));
    let bytes = STANDARD.decode(content).map_err(|error| {
        invalid(format!("\"attachments\": the content of {filename:?} is not Base64: {error}"))
    })?;
    let bytes = bytes.into();
    Ok(Attachment { filename, content_type, content_id, inline, bytes, ..Attachment::default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sender() -> SenderConfig {
        SenderConfig {
            address: Some("app@example.org".parse().unwrap()),
            name: "Oratio".to_owned(),
            ..SenderConfig::default()
        }
    }

    fn read(body: &Value) -> Result<Draft, Problem> {
        parse(body.to_string().as_bytes(), &sender(), 4)
    }

    #[test]
    fn as_much_as_may_be_said_is_read() {
        let mailbox = |n: usize| json!({ "name": "A", "address": format!("a{n}@example.org") });
        let mailboxes = |count| (0..count).map(mailbox).collect::<Vec<_>>();
        let file = json!({
            "filename": "a", "content": "", "content_type": "a/b", "content_id": "a", "inline": true,
        });
        let draft = read(&json!({
            "from": mailbox(0), "to": mailboxes(4), "reply_to": mailboxes(REPLY_TO_MAX),
            "subject": "", "text": "", "html": "",
            "headers": { "X-A": vec!["b"; HEADERS_MAX] },
            "attachments": vec![file; ATTACHMENTS_MAX],
        }))
        .unwrap();
        assert_eq!((draft.attachments.len(), draft.headers.len()), (ATTACHMENTS_MAX, HEADERS_MAX));
    }

    #[test]
    fn little_is_enough() {
        let draft = read(&json!({ "to": "ada@example.org", "text": "Hello" })).unwrap();
        assert_eq!(draft.from.address, "app@example.org");
        assert_eq!(draft.from.name, "Oratio");
        assert_eq!((draft.subject.as_str(), draft.text.as_deref()), ("", Some("Hello")));
    }

    #[test]
    fn everything_that_can_be_said_is_read() {
        let draft = read(&json!({
            "from": { "name": "News", "address": "news@example.org" },
            "to": ["ada@example.org", "\"아다 L.\" <bob@example.org>"],
            "cc": { "address": "carol@example.org" },
            "bcc": ["dave@example.org"],
            "reply_to": ["help@example.org"],
            "subject": "안녕",
            "text": "Hello", "html": "<p>Hello</p>",
            "headers": { "X-Campaign": "spring", "X-Tag": ["a", "b"] },
            "attachments": [
                { "filename": "a.csv", "content": "YSxi\r\nCg==", "content_type": "text/csv" },
                { "filename": "logo.png", "content": "AJ//", "content_id": "<logo>" },
            ],
        }))
        .unwrap();
        assert_eq!(draft.from.name, "News");
        assert_eq!(draft.to[1].name, "아다 L.");
        assert_eq!(draft.cc[0].address, "carol@example.org");
        assert_eq!(draft.bcc[0].address, "dave@example.org");
        assert_eq!(draft.reply_to[0].address, "help@example.org");
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            draft.headers,
            [pair("X-Campaign", "spring"), pair("X-Tag", "a"), pair("X-Tag", "b")]
        );
        let [csv, logo] = &draft.attachments[..] else { panic!() };
        assert_eq!((&csv.bytes[..], csv.inline), (&b"a,b\n"[..], false));
        assert_eq!((&logo.bytes[..], logo.inline), (&[0, 159, 255][..], true));
        assert_eq!(logo.content_id.as_deref(), Some("logo"));
        assert_eq!(logo.content_type, "application/octet-stream");
    }

    #[test]
    fn every_complaint_names_its_field() {
        let good = json!({ "to": "ada@example.org", "text": "Hello" });
        let many: Vec<_> = (0..5).map(|n| format!("a{n}@example.org")).collect();
        for (field, value, words) in [
            ("to", json!(null), "\"to\" is missing"),
            ("to", json!([]), "\"to\" is missing"),
            ("to", json!(7), "\"to\" must be an address"),
            ("to", json!([[]]), "\"to\" must be an address"),
            ("to", json!("ada"), "\"to\": \"ada\" is not an address"),
            ("to", json!("a@example.org, b@example.org"), "as a list"),
            ("to", json!("a@example.org\r\nBcc: b@example.org"), "\"to\": "),
            ("to", json!({ "name": "Ada" }), "\"to\" has no \"address\""),
            ("to", json!({ "email": "a@example.org" }), "\"email\" in \"to\""),
            ("to", json!({ "name": "A\nB", "address": "a@example.org" }), "line breaks"),
            ("cc", json!(many), "smtp.max_recipients is 4"),
            ("from", json!("x"), "\"from\": "),
            ("subject", json!("a\r\nBcc: b@example.org"), "\"subject\" must not contain line"),
            ("subject", json!(1), "\"subject\" must be a text"),
            ("text", json!(null), "\"text\" is missing"),
            ("html", json!(false), "\"html\" must be a text"),
            ("headers", json!([]), "\"headers\" must be an object"),
            ("headers", json!({ "X-A": 1 }), "the value of \"X-A\" must be a text"),
            ("attachments", json!({}), "\"attachments\" must be a list"),
            ("attachments", json!(["a"]), "must contain objects"),
            ("attachments", json!([{ "content": "" }]), "no \"filename\""),
            ("attachments", json!([{ "filename": "a" }]), "\"a\" has no \"content\""),
            ("attachments", json!([{ "filename": "a", "content": "?" }]), "not Base64"),
            ("attachments", json!([{ "filename": "a", "content": "", "inline": 1 }]), "inline"),
            ("attachments", json!([{ "filename": "a", "path": "/etc" }]), "\"path\""),
            ("attachments", json!([{ "filename": "a", "content": "", "content_id": "" }]), "empty"),
            ("template", json!("x"), "there is no field \"template\""),
        ] {
            let mut body = good.clone();
            body[field] = value;
            let problem = read(&body).unwrap_err();
            assert!(problem.message.contains(words), "{body}: {}", problem.message);
        }
        let zeros = format!("{{\"to\": [], \"attachments\": [{}?", "0,".repeat(100_000));
        let problem = parse(zeros.as_bytes(), &sender(), 4).unwrap_err();
        assert!(problem.message.starts_with("\"attachments\" has more in it"), "{problem:?}");
        for body in ["", "[", "[]", "\"x\"", "{\"to\": \"\\ud800\"}"] {
            assert!(parse(body.as_bytes(), &sender(), 4).is_err(), "{body}");
        }
    }
}
