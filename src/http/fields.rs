//! JSON bodies read field by field, so that every complaint names its field.

use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::error::Problem;

/// The longest text that goes into one header line, and the longest name that is shown, characters.
pub(super) const LINE_MAX: usize = 500;

/// The fields of an object.
pub(super) type Fields = Map<String, Value>;

/// Reads a body: an object whose fields are all among these, and which holds at most `values_max` values, at any depth. It
/// is read no further than to the first thing that is wrong: a few octets of a body can ask for some hundred of memory.
pub(super) fn read(body: &[u8], known: &[&str], values_max: usize) -> Result<Fields, Problem> {
    let mut reading = Reading { known, left: values_max, field: String::new(), found: None };
    let mut input = serde_json::Deserializer::from_slice(body);
    let fields = input.deserialize_any(Whole(&mut reading));
    if let Some(problem) = reading.found {
        return Err(problem);
    }
    fields.and_then(|fields| input.end().map(|()| fields)).map_err(|error| {
        if error.is_data() {
            let known = known.join("\", \"");
            invalid(format!("the body must be a JSON object with the fields \"{known}\""))
        } else {
            Problem::bad_input("malformed_json", format!("the body is not valid JSON: {error}"))
        }
    })
}

/// How far a body was read.
struct Reading<'a> {
    known: &'a [&'a str],
    /// How many values may still come.
    left: usize,
    /// The field that is being read.
    field: String,
    /// Why it is read no further.
    found: Option<Problem>,
}

impl Reading<'_> {
    /// Counts a value.
    fn count<E: de::Error>(&mut self) -> Result<(), E> {
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                let message = format!("\"{}\" has more in it than a message can have", self.field);
                Err(self.stop(invalid(message)))
            }
        }
    }

    fn stop<E: de::Error>(&mut self, problem: Problem) -> E {
        self.found = Some(problem);
        E::custom("it is read no further")
    }
}

/// The body.
struct Whole<'r, 'a>(&'r mut Reading<'a>);

impl<'de> Visitor<'de> for Whole<'_, '_> {
    type Value = Fields;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields, A::Error> {
        let mut fields = Fields::new();
        while let Some(name) = map.next_key::<String>()? {
            if !self.0.known.contains(&name.as_str()) {
                let problem = unknown_field(&name, self.0.known, "");
                return Err(self.0.stop(problem));
            }
            self.0.field.clone_from(&name);
            fields.insert(name, map.next_value_seed(Part(self.0))?);
        }
        Ok(fields)
    }
}

/// A value within it.
struct Part<'r, 'a>(&'r mut Reading<'a>);

impl<'de> DeserializeSeed<'de> for Part<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        self.0.count()?;
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(Part(self.0))? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Fields::new();
        while let Some(name) = map.next_key::<String>()? {
            fields.insert(name, map.next_value_seed(Part(self.0))?);
        }
        Ok(Value::Object(fields))
    }
}

/// Refuses a field that is not among these; `of` says where it stands.
pub(super) fn only(fields: &Fields, known: &[&str], of: &str) -> Result<(), Problem> {
    let Some(unknown) = fields.keys().find(|name| !known.contains(&name.as_str())) else {
        return Ok(());
    };
    Err(unknown_field(unknown, known, of))
}

fn unknown_field(unknown: &str, known: &[&str], of: &str) -> Problem {
    let unknown: String = unknown.chars().take(LINE_MAX).collect();
    let known = known.join(", ");
    let message = format!("there is no field {unknown:?}{of}; there are {known}");
    Problem::bad_input("unknown_field", message)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(body: &str) -> (&'static str, String) {
        let problem = read(body.as_bytes(), &["a", "b"], 5).unwrap_err();
        (problem.code, problem.message)
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let body =
            r#"{"b": [null, true, -1, "x\n"], "a": {"c": {"d": [1.5, 18446744073709551615]}}}"#;
        let fields = read(body.as_bytes(), &["a", "b"], 10).unwrap();
        assert_eq!(Value::Object(fields), serde_json::from_str::<Value>(body).unwrap());
        assert!(read(body.as_bytes(), &["a", "b"], 9).is_err());
    }

    #[test]
    fn a_body_is_read_no_further_than_it_is_good() {
        // What follows is no JSON, and nobody gets there.
        for body in [
            r#"{"a": [0,0,0,0,0,?"#,
            r#"{"b": 1, "a": [[],[],{},?"#,
            r#"{"a": {"c":0,"d":0,"c":0,"c":0,"c":?"#,
        ] {
            let (code, message) = told(body);
            assert_eq!(code, "invalid_field", "{body}");
            assert!(message.starts_with("\"a\" has more in it"), "{body}: {message}");
        }
        let (code, message) = told(r#"{"a": 1, "list": [?"#);
        assert_eq!(code, "unknown_field");
        assert!(message.contains("\"list\"; there are a, b"), "{message}");
    }

    #[test]
    fn what_is_no_object_and_what_is_no_json_are_told_apart() {
        for body in ["[]", "1", "null", "\"x\""] {
            assert_eq!(told(body).0, "invalid_field", "{body}");
            assert!(told(body).1.contains("a JSON object with the fields \"a\", \"b\""), "{body}");
        }
        for body in ["", "{", "{}x", "{\"a\": 1,}", "{\"a\": \"\\ud800\"}", "{\"a\": 1e999}"] {
            assert_eq!(told(body).0, "malformed_json", "{body}");
        }
        let deep = format!("{{\"a\": {}", "[".repeat(100_000));
        assert_eq!(read(deep.as_bytes(), &["a"], 1_000_000).unwrap_err().code, "malformed_json");
    }
}
