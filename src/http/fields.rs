//! JSON bodies read field by field, so that every complaint names its field.

use serde_json::{Map, Value};

use super::error::Problem;

/// The longest text that goes into one header line, and the longest name that is shown, characters.
pub(super) const LINE_MAX: usize = 500;

/// The fields of an object.
pub(super) type Fields = Map<String, Value>;

/// Reads a body: an object whose fields are all among these.
pub(super) fn read(body: &[u8], known: &[&str]) -> Result<Fields, Problem> {
    let value = serde_json::from_slice(body).map_err(|error| {
        Problem::bad_input("malformed_json", format!("the body is not valid JSON: {error}"))
    })?;
    let Value::Object(fields) = value else {
        let known = known.join("\", \"");
        return Err(invalid(format!("the body must be a JSON object with the fields \"{known}\"")));
    };
    only(&fields, known, "")?;
    Ok(fields)
}

/// Refuses a field that is not among these; `of` says where it stands.
pub(super) fn only(fields: &Fields, known: &[&str], of: &str) -> Result<(), Problem> {
    let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    let unknown: String = unknown.chars().take(LINE_MAX).collect();
    let known = known.join(", ");
    let message = format!("there is no field {unknown:?}{of}; there are {known}");
    Err(Problem::bad_input("unknown_field", message))
}

/// A text; `null` counts as absent.
pub(super) fn text<'a>(fields: &'a Fields, name: &str) -> Result<Option<&'a str>, Problem> {
    match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
            Err(invalid(format!("\"{name}\" must be a text")))
        }
    }
}

/// A text that is moved out; `null` counts as absent.
pub(super) fn take_text(fields: &mut Fields, name: &str) -> Result<Option<String>, Problem> {
    text(fields, name)?;
    match fields.remove(name) {
        Some(Value::String(text)) => Ok(Some(text)),
        Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
        )
        | None => Ok(None),
    }
}

/// A text that goes into one header line: a line break in it could start another header.
pub(super) fn line(name: &str, text: &str) -> Result<String, Problem> {
    if text.chars().any(char::is_control) {
        return Err(invalid(format!(
            "\"{name}\" must not contain line breaks or control characters"
        )));
    }
    if text.chars().count() > LINE_MAX {
        return Err(invalid(format!("\"{name}\" is longer than {LINE_MAX} characters")));
    }
    Ok(text.to_owned())
}

/// 400 about a field.
pub(super) fn invalid(message: impl Into<String>) -> Problem {
    Problem::bad_input("invalid_field", message)
}
