//! The body of `POST /send-test-email`, read field by field so that every complaint names its field.

use serde_json::Value;

use super::error::Problem;
use super::fields::{self, Fields, invalid, line, text};
use super::mailbox;
use crate::config::SenderConfig;
use crate::message::{Draft, Mailbox};

/// Recipients of one test mail.
const RECIPIENTS_MAX: usize = 50;

/// Values of one body: each field, and the recipients.
const VALUES_MAX: usize = 2 * RECIPIENTS_MAX;

const FIELDS: [&str; 5] = ["to", "subject", "content", "from", "provider"];

/// A valid request.
#[derive(Debug)]
pub(super) struct TestMail {
    pub(super) draft: Draft,
    /// Only this provider, instead of the route.
    pub(super) provider: Option<String>,
}

impl TestMail {
    /// Reads `body`; From is the configured sender unless the body names one.
    pub(super) fn parse(body: &[u8], sender: &SenderConfig) -> Result<Self, Problem> {
        let fields = fields::read(body, &FIELDS, VALUES_MAX)?;
        let to = recipients(&fields)?;
        let subject = line("subject", required(text(&fields, "subject")?, "subject")?)?;
        let content = required(text(&fields, "content")?, "content")?;
        let from = match text(&fields, "from")? {
            Some(from) => mailbox::read("from", from)?,
            None => mailbox::of_sender(sender)?,
        };
        let provider = match text(&fields, "provider")? {
            Some(name) => Some(line("provider", required(Some(name), "provider")?)?),
            None => None,
        };
        let content = Some(content.to_owned());
        let (text, html) = if content.as_deref().is_some_and(has_tags) {
            (None, content)
        } else {
            (content, None)
        };
        let draft = Draft { from, to, subject, text, html, ..Draft::default() };
        Ok(Self { draft, provider })
    }
}

/// One address as a text, or several as a list.
fn recipients(fields: &Fields) -> Result<Vec<Mailbox>, Problem> {
    let texts: Vec<&str> = match fields.get("to") {
        None | Some(Value::Null) => return Err(missing("to")),
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many
            .iter()
            .map(|one| one.as_str().ok_or_else(|| invalid("\"to\" may only contain texts")))
            .collect::<Result<_, _>>()?,
        Some(Value::Bool(_) | Value::Number(_) | Value::Object(_)) => {
            return Err(invalid("\"to\" must be an address or a list of addresses"));
        }
    };
    if texts.is_empty() {
        return Err(missing("to"));
    }
    if texts.len() > RECIPIENTS_MAX {
        return Err(invalid(format!("\"to\" has more than {RECIPIENTS_MAX} addresses")));
    }
    texts.into_iter().map(|text| mailbox::read("to", text)).collect()
}

fn required<'a>(text: Option<&'a str>, name: &str) -> Result<&'a str, Problem> {
    match text {
        Some(text) if !text.trim().is_empty() => Ok(text),
        Some(_) => Err(invalid(format!("\"{name}\" must not be empty"))),
        None => Err(missing(name)),
    }
}

fn missing(name: &str) -> Problem {
    invalid(format!("\"{name}\" is missing; a test mail needs to, subject and content"))
}

/// The elements that mail is written with. Others are taken for text: in "Dear <name>" nothing must get lost.
const ELEMENTS: [&str; 56] = [
    "a",
    "abbr",
    "article",
    "b",
    "big",
    "blockquote",
    "body",
    "br",
    "center",
    "code",
    "dd",
    "del",
    "div",
    "dl",
    "dt",
    "em",
    "figure",
    "font",
    "footer",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "head",
    "header",
    "hr",
    "html",
    "i",
    "img",
    "ins",
    "li",
    "link",
    "main",
    "meta",
    "ol",
    "p",
    "pre",
    "q",
    "s",
    "section",
    "small",
    "span",
    "strong",
    "style",
    "sub",
    "sup",
    "table",
    "tbody",
    "td",
    "th",
    "title",
    "tr",
    "u",
    "ul",
];

/// True when the text contains a tag of HTML: `<p>`, `<br/>`, `</b>`, `<a href=…>`, `<!doctype`.
fn has_tags(text: &str) -> bool {
    text.split('<').skip(1).any(|rest| {
        if rest.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("!doctype")) {
            return true;
        }
        let rest = rest.strip_prefix('/').unwrap_or(rest);
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
        let Some((name, after)) = rest.split_at_checked(end) else { return false };
        let closed = after.contains('>');
        let ends = after.starts_with(|c: char| c == '>' || c == '/' || c.is_ascii_whitespace());
        closed && ends && ELEMENTS.iter().any(|element| name.eq_ignore_ascii_case(element))
    })
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

    fn parse(body: &Value) -> Result<TestMail, Problem> {
        TestMail::parse(body.to_string().as_bytes(), &sender())
    }

    #[test]
    fn the_seed_body_is_enough() {
        let mail = parse(&json!({ "to": "ada@example.org", "subject": "Hi", "content": "Hello" }));
        let mail = mail.unwrap();
        assert_eq!(mail.draft.from.address, "app@example.org");
        assert_eq!(mail.draft.from.name, "Oratio");
        assert_eq!(mail.draft.to[0].address, "ada@example.org");
        assert_eq!(mail.draft.text.as_deref(), Some("Hello"));
        assert_eq!((mail.draft.html, mail.provider), (None, None));
    }

    #[test]
    fn recipients_may_be_a_list_and_have_names() {
        let mail = parse(&json!({
            "to": ["ada@example.org", "\"아다 L.\" <bob@example.org>"],
            "subject": "Hi", "content": "Hello", "from": "News <news@example.org>", "provider": "ses",
        }))
        .unwrap();
        assert_eq!(mail.draft.to[1].name, "아다 L.");
        assert_eq!(mail.draft.to[1].address, "bob@example.org");
        assert_eq!(mail.draft.from.address, "news@example.org");
        assert_eq!(mail.provider.as_deref(), Some("ses"));
    }

    #[test]
    fn every_complaint_names_its_field() {
        let good = json!({ "to": "ada@example.org", "subject": "Hi", "content": "Hello" });
        let many: Vec<_> = (0..51).map(|n| format!("a{n}@example.org")).collect();
        for (field, value, words) in [
            ("to", json!(null), "\"to\" is missing"),
            ("to", json!([]), "\"to\" is missing"),
            ("to", json!(7), "\"to\" must be an address or a list"),
            ("to", json!([7]), "\"to\" may only contain texts"),
            ("to", json!("ada"), "\"to\": \"ada\" is not an address"),
            ("to", json!("a@example.org, b@example.org"), "as a list"),
            ("to", json!("a@example.org\r\nBcc: b@example.org"), "\"to\": "),
            ("to", json!("A\r\nBcc: x <a@example.org>"), "\"to\" must not contain line breaks"),
            ("to", json!(many), "\"to\" has more than 50"),
            ("subject", json!(null), "\"subject\" is missing"),
            ("subject", json!(" "), "\"subject\" must not be empty"),
            ("subject", json!("a\nb"), "\"subject\" must not contain line breaks"),
            ("subject", json!(["a"]), "\"subject\" must be a text"),
            ("content", json!(null), "\"content\" is missing"),
            ("content", json!(""), "\"content\" must not be empty"),
            ("from", json!("nobody"), "\"from\": "),
            ("provider", json!(1), "\"provider\" must be a text"),
            (
                "cc",
                json!("ada@example.org"),
                "no field \"cc\"; there are to, subject, content, from, provider",
            ),
        ] {
            let mut body = good.clone();
            body[field] = value;
            let problem = parse(&body).unwrap_err();
            assert!(problem.message.contains(words), "{body}: {}", problem.message);
        }
    }

    #[test]
    fn a_body_that_is_no_object_is_refused() {
        let problem = TestMail::parse(b"{\"to\": ", &sender()).unwrap_err();
        assert_eq!(problem.code, "malformed_json");
        assert_eq!(TestMail::parse(b"", &sender()).unwrap_err().code, "malformed_json");
        assert_eq!(parse(&json!(["ada@example.org"])).unwrap_err().code, "invalid_field");
    }

    #[test]
    fn without_a_default_sender_the_answer_says_how_to_set_one() {
        let body = br#"{"to": "ada@example.org", "subject": "Hi", "content": "Hello"}"#;
        let problem = TestMail::parse(body, &SenderConfig::default()).unwrap_err();
        assert!(problem.message.contains("sender.address"), "{}", problem.message);
        assert!(problem.message.contains("SMTP_FROM_ADDRESS"), "{}", problem.message);
    }

    #[test]
    fn content_with_tags_is_html() {
        for html in [
            "<p>Hi</p>",
            "Hi<br>there",
            "a <A HREF='x'>b</A>",
            "x</b>",
            "<!DOCTYPE html>",
            "<hr />",
            "<h1\n>",
        ] {
            assert!(has_tags(html), "{html}");
        }
        for text in [
            "Hi",
            "1 < 2 > 0",
            "Dear <name>, hi",
            "<ada@example.org>",
            "i<b",
            "a<3",
            "<",
            "<p",
            "<프>",
            "<pancake>",
            "<https://example.org>",
        ] {
            assert!(!has_tags(text), "{text}");
        }
    }
}
