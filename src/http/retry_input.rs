//! The body of `POST /api/v1/messages/{id}/retry`, read field by field so that every complaint names its field.

use serde_json::Value;

use super::error::Problem;
use super::fields::{self, Fields, invalid, text};
use crate::message::Address;
use crate::queue::Retry;

const FIELDS: [&str; 2] = ["provider", "recipients"];

/// Reads `body`; nothing means nothing in particular: everybody who has not got the message, by its route. Whether there
/// is such a provider is not looked at. Two spellings of one mailbox count once.
pub(super) fn parse(body: &[u8], recipients_max: usize) -> Result<Retry, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(Retry::default());
    }
    // Each recipient, twice as many for a clear complaint, and the fields.
    let fields = fields::read(body, &FIELDS, recipients_max.saturating_mul(2) + FIELDS.len())?;
    Ok(Retry { provider: provider(&fields)?, recipients: recipients(&fields, recipients_max)? })
}

fn provider(fields: &Fields) -> Result<Option<String>, Problem> {
    match text(fields, "provider")?.map(str::trim) {
        Some("") => {
            Err(invalid("\"provider\" must not be empty; leave it out for the message's route"))
        }
        name => Ok(name.map(str::to_owned)),
    }
}

fn recipients(fields: &Fields, max: usize) -> Result<Vec<Address>, Problem> {
    let texts = match fields.get("recipients") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(texts)) => texts,
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
            return Err(invalid("\"recipients\" must be a list of addresses"));
        }
    };
    if texts.is_empty() {
        // A program that found nobody to send to must not reach everybody.
        return Err(invalid(
            "\"recipients\" is empty; leave it out for everybody who has not got the message",
        ));
    }
    if texts.len() > max {
        return Err(invalid(format!(
            "\"recipients\" has {} addresses, smtp.max_recipients is {max}",
            texts.len()
        )));
    }
    let addresses: Vec<Address> = texts.iter().map(address).collect::<Result<_, _>>()?;
    Ok(Address::distinct(addresses))
}

fn address(value: &Value) -> Result<Address, Problem> {
    let text = value.as_str().ok_or_else(|| invalid("\"recipients\" may only contain texts"))?;
    text.trim().parse().map_err(|error| invalid(format!("\"recipients\": {error}")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<Retry, Problem> {
        parse(body.to_string().as_bytes(), 3)
    }

    #[test]
    fn nothing_need_be_said() {
        for body in ["", " \r\n", "{}", "{\"provider\": null, \"recipients\": null}"] {
            assert_eq!(parse(body.as_bytes(), 3).unwrap(), Retry::default(), "{body}");
        }
    }

    #[test]
    fn provider_and_recipients_are_read_and_doubles_joined() {
        let body = json!({
            "provider": " ses ",
            "recipients": ["ada@example.org", "ada@EXAMPLE.org", "\"ada\"@example.org"],
        });
        let retry = read(&body).unwrap();
        assert_eq!(retry.provider.as_deref(), Some("ses"));
        let addresses: Vec<&str> = retry.recipients.iter().map(Address::as_str).collect();
        assert_eq!(addresses, ["ada@example.org"]);
    }

    #[test]
    fn every_complaint_names_its_field() {
        let many: Vec<_> = (0..4).map(|n| format!("a{n}@example.org")).collect();
        for (body, code, words) in [
            (json!([]), "invalid_field", "must be a JSON object"),
            (json!({ "to": [] }), "unknown_field", "\"to\"; there are provider, recipients"),
            (json!({ "provider": 1 }), "invalid_field", "\"provider\" must be a text"),
            (json!({ "provider": " " }), "invalid_field", "\"provider\" must not be empty"),
            (json!({ "recipients": "a@b.org" }), "invalid_field", "must be a list"),
            (json!({ "recipients": [] }), "invalid_field", "\"recipients\" is empty"),
            (json!({ "recipients": [1] }), "invalid_field", "may only contain texts"),
            (json!({ "recipients": ["ada"] }), "invalid_field", "\"ada\" is not an address"),
            (
                json!({ "recipients": ["Ada <ada@example.org>"] }),
                "invalid_field",
                "is not an address of the form",
            ),
            (
                json!({ "recipients": ["a@example.org\r\nRCPT TO:<b@example.org>"] }),
                "invalid_field",
                "is not an address",
            ),
            (
                json!({ "recipients": many }),
                "invalid_field",
                "4 addresses, smtp.max_recipients is 3",
            ),
        ] {
            let problem = read(&body).unwrap_err();
            assert_eq!(problem.code, code, "{body}");
            assert!(problem.message.contains(words), "{body}: {}", problem.message);
        }
        assert_eq!(parse(b"{", 3).unwrap_err().code, "malformed_json");
        assert_eq!(parse(b"\xff", 3).unwrap_err().code, "malformed_json");
    }
}
