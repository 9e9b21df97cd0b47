//! Values against an OpenAPI 3.1 description: valid by its schemas, and without a member that it does not know.

use jsonschema::Validator;
use serde_json::{Value, json};

/// A part of a description, named by JSON pointer.
#[derive(Debug)]
pub(crate) struct Schema {
    document: Value,
    pointer: String,
    validator: Validator,
}

impl Schema {
    pub(crate) fn new(mut document: Value, pointer: &str) -> Self {
        assert!(document.pointer(pointer).is_some(), "no {pointer} in the description");
        // The document is the schema, which refers to its own part: so the references inside resolve.
        let root = document.as_object_mut().unwrap();
        root.insert("$ref".to_owned(), json!(format!("#{pointer}")));
        let validator =
            jsonschema::options().should_validate_formats(true).build(&document).unwrap();
        Self { document, pointer: pointer.to_owned(), validator }
    }

    /// Whether the member of this name is a list.
    pub(crate) fn is_list(&self, name: &str) -> bool {
        let part = self.resolved(self.document.pointer(&self.pointer).unwrap());
        part["properties"][name]["type"] == "array"
    }

    /// Everything that is wrong with the value; nothing when it is as described.
    pub(crate) fn faults(&self, value: &Value) -> Vec<String> {
        let mut faults: Vec<_> = self
            .validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        let part = self.document.pointer(&self.pointer).unwrap();
        self.find_unknown(part, value, "", &mut faults);
        faults
    }

    /// The schemas allow further members everywhere, so a misspelt name would be valid.
    fn find_unknown(&self, schema: &Value, value: &Value, at: &str, faults: &mut Vec<String>) {
        let schema = self.resolved(schema);
        match value {
            Value::Object(members) => {
                // Without a list of names any is good: headers, custom arguments.
                let Some(known) = schema.get("properties").and_then(Value::as_object) else {
                    return;
                };
                for (name, member) in members {
                    let at = format!("{at}/{name}");
                    match known.get(name) {
                        Some(schema) => self.find_unknown(schema, member, &at, faults),
                        None => faults.push(format!("{at}: not in the description")),
                    }
                }
            }
            Value::Array(items) => {
                let alternatives = schema.get("oneOf").and_then(Value::as_array);
                let list = alternatives
                    .and_then(|all| all.iter().find(|one| one.get("items").is_some()))
                    .unwrap_or(schema);
                if let Some(schema) = list.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.find_unknown(schema, item, &format!("{at}/{index}"), faults);
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }

    fn resolved<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix('#')) {
            Some(pointer) => self.document.pointer(pointer).unwrap(),
            None => schema,
        }
    }
}
