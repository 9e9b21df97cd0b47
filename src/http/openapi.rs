//! `GET /api/openapi.json`: the description of the API, made from the code that answers.
//!
//! Every handler carries its own part. A test asks the router which paths and methods there are, and neither may have one
//! that the other lacks.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::{Value, json};
use utoipa::openapi::path::Operation;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{Modify, OpenApi};

use super::{
    act, api, content, health, live, metrics, request, stats, submit, suppressions, test_mail,
};

/// The whole document.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "mailferry",
        description = "Queue messages, see what became of them, and look after the relay. Times are RFC 3339 in UTC; \
                       errors are {\"error\": {\"code\", \"message\"}}, whose code is for programs. Unknown fields and \
                       parameters are refused.",
    ),
    paths(
        health::health,
        health::ready,
        metrics::show,
        show,
        live::events,
        stats::show,
        test_mail::send,
        api::list,
        submit::submit,
        act::retry_failed,
        api::show,
        content::raw,
        request::show,
        content::parts,
        content::part,
        act::retry,
        act::cancel,
        suppressions::list,
        suppressions::add,
        suppressions::remove_by_query,
        suppressions::remove,
    ),
    components(schemas(super::error::ErrorJson)),
    modifiers(&Door),
    tags(
        (name = "messages", description = "Sending, looking, trying again"),
        (name = "suppressions", description = "Addresses that get no mail"),
        (name = "state", description = "How the relay does"),
    ),
)]
struct Document;

/// What the door and the common parts of all handlers add.
struct Door;

const TOKEN: &str = "token";

impl Modify for Door {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let mut bearer = Http::new(HttpAuthScheme::Bearer);
        bearer.description = Some(
            "`http.token`. Where none is set, callers of `http.trusted_networks` need none, and others are refused."
                .to_owned(),
        );
        let components = document.components.get_or_insert_default();
        components.add_security_scheme(TOKEN, SecurityScheme::Http(bearer));
        for (path, item) in &mut document.paths.paths {
            let operations =
                [&mut item.get, &mut item.post, &mut item.delete].into_iter().flatten();
            for operation in operations {
                // Those that are open to all say so themselves.
                if operation.security.is_none() {
                    behind_the_door(path, operation);
                }
            }
        }
    }
}

fn behind_the_door(path: &str, operation: &mut Operation) {
    let token = SecurityRequirement::new::<_, [&str; 0], &str>(TOKEN, []);
    operation.security = Some(vec![token, SecurityRequirement::default()]);
    add_error(operation, "401", "`unauthorized`: the token is missing or wrong");
    add_error(
        operation,
        "403",
        "`forbidden`: not a trusted network; `cross_site`: asked by a page of another site",
    );
    if operation.request_body.is_some() {
        add_error(operation, "408", "`body_timeout`: the body took too long to arrive");
    }
    if path.starts_with("/api/v1/") {
        add_error(operation, "503", "`store_unavailable`, `queue_full`: nothing was done");
    }
}

/// Adds an error, unless the handler says something of this status itself.
fn add_error(operation: &mut Operation, status: &str, description: &str) {
    let error = Ref::from_schema_name("ErrorJson");
    let content = ContentBuilder::new().schema(Some(error)).build();
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/json", content)
        .build();
    let responses = &mut operation.responses.responses;
    responses.entry(status.to_owned()).or_insert(RefOr::T(response));
}

/// The document as it is answered.
static JSON: LazyLock<Bytes> = LazyLock::new(|| {
    // A document of plain texts can be written; a test looks at it.
    let mut document = serde_json::to_value(Document::openapi()).unwrap_or_default();
    say_more(&mut document);
    document.to_string().into()
});

/// What the types and their attributes cannot say.
fn say_more(document: &mut Value) {
    for item in members(document.get_mut("paths")) {
        members(Some(item)).for_each(say_more_of_operation);
    }
    if let Some(taken) = document.pointer_mut("/paths/~1api~1v1~1messages/post/responses/202") {
        taken["links"] = links();
    }
    // Not `null`, which is no body at all.
    if let Some(content) = document
        .pointer_mut("/paths/~1api~1v1~1messages~1{id}~1retry/post/requestBody/content")
        .and_then(|content| content.get_mut("application/json"))
    {
        content["schema"] = json!({ "$ref": "#/components/schemas/RetryInput" });
    }
    if let Some(schemas) = document.pointer_mut("/components/schemas") {
        say_more_of_input(schemas);
    }
}

fn members(object: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    object.and_then(Value::as_object_mut).into_iter().flat_map(|fields| fields.values_mut())
}

fn say_more_of_operation(operation: &mut Value) {
    let summary = operation["summary"].clone();
    for response in members(operation.get_mut("responses")) {
        if response.get("description").is_none() {
            response["description"] = summary.clone();
        }
    }
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for parameter in parameters.into_iter().flatten() {
        // As if it were left out: forms send it so.
        if parameter["in"] == "query" && parameter["required"] != true {
            parameter["allowEmptyValue"] = json!(true);
        }
    }
}

/// Where the id of a message that was taken leads.
fn links() -> Value {
    let mut links = json!({});
    for operation in
        ["showMessage", "readMessage", "listParts", "showRequest", "retryMessage", "cancelMessage"]
    {
        links[operation] =
            json!({ "operationId": operation, "parameters": { "id": "$response.body#/id" } });
    }
    links
}

fn say_more_of_input(schemas: &mut Value) {
    // A text that is an address could also be `Name <address>`: one of them has to fit, and both may.
    for name in ["MailboxInput", "MailboxesInput", "MailboxText", "Recipients", "HeaderInput"] {
        if let Some(fields) = schemas.get_mut(name).and_then(Value::as_object_mut)
            && let Some(forms) = fields.remove("oneOf")
        {
            fields.insert("anyOf".to_owned(), forms);
        }
    }
    if let Some(many) = schemas.pointer_mut("/Recipients/anyOf/1") {
        many["minItems"] = json!(1);
        many["maxItems"] = json!(50);
    }
    let Some(message) = schemas.get_mut("MessageInput") else { return };
    if let Some(headers) = message.pointer_mut("/properties/headers") {
        headers["propertyNames"] = json!({ "pattern": "^[!-9;-~]{1,76}$" });
    }
    // Each of these may be left out, but not all of them.
    let some = |name: &str, is: Value| json!({ "required": [name], "properties": { name: is } });
    let list = json!({ "type": ["array", "object", "string"], "minItems": 1 });
    let text = json!({ "type": "string" });
    let file = json!({ "type": "array", "minItems": 1 });
    let somebody = ["to", "cc", "bcc"].map(|name| some(name, list.clone()));
    let something = [some("text", text.clone()), some("html", text), some("attachments", file)];
    message["allOf"] = json!([{ "anyOf": somebody }, { "anyOf": something }]);
}

/// `GET /api/openapi.json`
#[utoipa::path(
    get, path = "/api/openapi.json", operation_id = "showDescription", tag = "state", summary = "This document",
    responses((status = 200, body = Object, description = "OpenAPI 3.1")),
)]
pub(super) async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json")], JSON.clone()).into_response()
}
