//! The description of the API, compared with what the router answers.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::client::ask;
use super::{Running, Setup};
use crate::queue::{Outcome, State};

/// Where the API is; everything else is the page's.
fn is_described(path: &str) -> bool {
    path.starts_with("/api/")
        || ["/health", "/ready", "/metrics", "/send-test-email"].contains(&path)
}

/// Every path that the router is given.
fn routes() -> BTreeSet<String> {
    let source = include_str!("../routes.rs");
    let literals = source.split('"').skip(1).step_by(2);
    literals.filter(|text| text.starts_with('/')).map(str::to_owned).collect()
}

/// The methods that the router allows at a path, as it says itself.
async fn allowed(server: &Running, path: &str) -> BTreeSet<String> {
    let filled = path.replace("{id}", "019a7f00-0000-7000-8000-000000000000");
    let filled = filled.replace(['{', '}'], "");
    let answer = ask(server.address, "PATCH", &filled, &[], b"").await;
    assert_eq!(answer.status, 405, "{path}: {}", answer.text());
    let allow = answer.header("allow").unwrap_or_default();
    // HEAD comes with GET, and is not described.
    allow.split(',').filter(|it| *it != "HEAD").map(str::to_ascii_lowercase).collect()
}

async fn document(server: &Running) -> Value {
    server.get("/api/openapi.json").await.json()
}

#[tokio::test]
async fn router_and_description_have_the_same_paths_and_methods() {
    let server = Setup::default().start().await;
    let mut answered = BTreeMap::new();
    for path in routes().into_iter().filter(|path| is_described(path)) {
        answered.insert(path.clone(), allowed(&server, &path).await);
    }
    assert!(answered.len() > 10, "{answered:?}");
    let document = document(&server).await;
    let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect();
    let described: BTreeMap<String, BTreeSet<String>> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| (path.clone(), methods(item)))
        .collect();
    assert_eq!(described, answered);
}

#[tokio::test]
async fn every_reference_of_the_description_leads_somewhere() {
    fn collect<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| collect(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| collect(value, found)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let server = Setup::default().start().await;
    let document = document(&server).await;
    assert_eq!(document["openapi"].as_str().map(|it| it.starts_with("3.1")), Some(true));
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let mut references = Vec::new();
    collect(&document, &mut references);
    assert!(references.len() > 20, "{references:?}");
    for reference in references {
        let place = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(place).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn what_needs_trust_says_so_and_what_is_open_does_not() {
    let server = Setup::default().start().await;
    let document = document(&server).await;
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let open = ["/health", "/ready"].contains(&path.as_str());
            let refuses = operation["responses"].get("401").is_some();
            assert_eq!(refuses, !open, "{method} {path}");
            assert!(operation["summary"].as_str().is_some_and(|it| !it.is_empty()), "{path}");
        }
    }
}

/// Those enumerations stand twice: as they are, and as the description tells them.
#[tokio::test]
async fn what_a_state_or_an_outcome_may_be_is_described() {
    let server = Setup::default().start().await;
    let document = document(&server).await;
    let described = |schema: &str| -> BTreeSet<String> {
        let names = document["components"]["schemas"][schema]["enum"].as_array();
        names.unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(described("StateJson"), names(&State::ALL.map(State::name)));
    assert_eq!(described("OutcomeJson"), names(&Outcome::ALL.map(Outcome::name)));
}
