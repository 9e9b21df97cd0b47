//! Values against an AWS service model (`service-2.json`): members, types, required ones, limits.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Everything that is wrong with the value; nothing when it has the shape.
pub(crate) fn faults(model: &Value, shape: &str, value: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    check(model, shape, value, shape, &mut faults);
    faults
}

fn check(model: &Value, name: &str, value: &Value, at: &str, faults: &mut Vec<String>) {
    let shape = &model["shapes"][name];
    let limit = |key: &str| shape.get(key).and_then(Value::as_u64);
    let outside = |length: usize| {
        let length = length as u64;
        limit("min").is_some_and(|min| length < min) || limit("max").is_some_and(|max| length > max)
    };
    let fault = match (shape["type"].as_str().unwrap_or_default(), value) {
        ("structure", Value::Object(members)) => {
            for required in shape["required"].as_array().into_iter().flatten() {
                if !members.contains_key(required.as_str().unwrap()) {
                    faults.push(format!("{at}: {required} is missing"));
                }
            }
            for (member, value) in members {
                let at = format!("{at}.{member}");
                match shape["members"][member]["shape"].as_str() {
                    Some(name) => check(model, name, value, &at, faults),
                    None => faults.push(format!("{at}: not in the model")),
                }
            }
            None
        }
        ("list", Value::Array(items)) => {
            let name = shape["member"]["shape"].as_str().unwrap();
            for (index, item) in items.iter().enumerate() {
                check(model, name, item, &format!("{at}[{index}]"), faults);
            }
            outside(items.len()).then_some("too few or too many")
        }
        ("string", Value::String(text)) => {
            outside(text.chars().count()).then_some("too short or too long")
        }
        ("blob", Value::String(text)) => STANDARD.decode(text).err().map(|_| "not Base64"),
        ("boolean", Value::Bool(_)) | ("integer" | "long" | "double", Value::Number(_)) => None,
        (_, _) => Some("of another type"),
    };
    faults.extend(fault.map(|fault| format!("{at}: {fault}")));
}
