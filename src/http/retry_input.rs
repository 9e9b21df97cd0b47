//! The body of `POST /api/v1/messages/{id}/retry`, read field by field so that every complaint names its field.

use serde_json::{Map, Value};

use super::error::Problem;
use crate::message::Address;
use crate::queue::Retry;

const FIELDS: [&str; 2] = ["provider", "recipients"];

/// The longest provider name, characters.
const NAME_MAX: usize = 100;

/// Reads `body`; nothing means nothing in particular: everybody who has not got the message, by its route. Whether there
/// is such a provider is not looked at. Two spellings of one mailbox count once.
pub(super) fn parse(body: &[u8], recipients_max: usize) -> Result<Retry, Problem> {
    if body.trim_ascii().is_empty() {
        return Ok(Retry::default());
    }
    let value = serde_json::from_slice(body).map_err(|error| {
        Problem::bad_input("malformed_json", format!("the body is not valid JSON: {error}"))
    })?;
    let Value::Object(fields) = value else {
        return Err(invalid(
            "the body must be a JSON object, {\"provider\", \"recipients\"}, or empty",
        ));
    };
    if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
        let unknown: String = unknown.chars().take(NAME_MAX).collect();
        let known = FIELDS.join(" and ");
        return Err(Problem::bad_input(
            "unknown_field",
            format!("there is no field {unknown:?}; there are {known}"),
        ));
    }
    Ok(Retry { provider: provider(&fields)?, recipients: recipients(&fields, recipients_max)? })
}

fn provider(fields: &Map<String, Value>) -> Result<Option<String>, Problem> {
    match fields.get("provider") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(name)) if name.trim().is_empty() => {
            Err(invalid("\"provider\" must not be empty; leave it out for the message's route"))
        }
        Some(Value::String(name)) => Ok(Some(name.trim().to_owned())),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(invalid("\"provider\" must be a text"))
        }
    }
}

fn recipients(fields: &Map<String, Value>, max: usize) -> Result<Vec<Address>, Problem> {
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

fn invalid(message: impl Into<String>) -> Problem {
    Problem::bad_input("invalid_field", message)
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
            (json!({ "to": [] }), "unknown_field", "\"to\"; there are provider and recipients"),
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
