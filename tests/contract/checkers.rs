//! The checkers of tests/support/specs find what is wrong.

use serde_json::json;

use crate::specs::openapi::Schema;
use crate::specs::service_model;

#[test]
fn openapi_finds_what_is_wrong() {
    let document = json!({
        "openapi": "3.1.0",
        "components": {"schemas": {
            "Mail": {
                "type": "object",
                "required": ["to"],
                "properties": {
                    "to": {"oneOf": [{"type": "string"}, {"type": "array", "maxItems": 1,
                        "items": {"$ref": "#/components/schemas/Person"}}]}
                }
            },
            "Person": {"type": "object", "properties": {"email": {"type": "string", "format": "email"}}}
        }}
    });
    let schema = Schema::new(document, "/components/schemas/Mail");
    assert_eq!(schema.faults(&json!({"to": [{"email": "a@x.org"}]})), Vec::<String>::new());
    for bad in [
        json!({}),
        json!({"to": 1}),
        json!({"to": [{}, {}]}),
        json!({"to": [{"email": "no"}]}),
        json!({"to": [{"mail": "a@x.org"}]}),
        json!({"to": "a@x.org", "subjekt": ""}),
    ] {
        assert_ne!(schema.faults(&bad), Vec::<String>::new(), "{bad}");
    }
}

#[test]
fn a_service_model_finds_what_is_wrong() {
    let model = json!({"shapes": {
        "Mail": {"type": "structure", "required": ["Data"], "members": {
            "Data": {"shape": "Blob"}, "To": {"shape": "List"}, "Big": {"shape": "Flag"}
        }},
        "Blob": {"type": "blob"},
        "List": {"type": "list", "member": {"shape": "Text"}, "max": 1},
        "Text": {"type": "string", "min": 1},
        "Flag": {"type": "boolean"}
    }});
    let good = json!({"Data": "eA==", "To": ["a"], "Big": true});
    assert_eq!(service_model::faults(&model, "Mail", &good), Vec::<String>::new());
    for bad in [
        json!({}),
        json!([]),
        json!({"Data": "x?"}),
        json!({"Data": "eA==", "To": ["a", "b"]}),
        json!({"Data": "eA==", "To": [""]}),
        json!({"Data": "eA==", "Big": "yes"}),
        json!({"Data": "eA==", "data": "eA=="}),
    ] {
        assert_ne!(service_model::faults(&model, "Mail", &bad), Vec::<String>::new(), "{bad}");
    }
}
