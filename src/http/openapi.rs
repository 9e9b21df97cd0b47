//! `GET /api/openapi.json`: the description of the API, made from the code that answers.
//!
//! Every handler carries its own part. A test asks the router which paths and methods there are, and neither may have one
//! that the other lacks.

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
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
    Document::openapi().to_json().unwrap_or_default().into()
});

/// `GET /api/openapi.json`
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "state", summary = "This document",
    responses((status = 200, body = Object, description = "OpenAPI 3.1")),
)]
pub(super) async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json")], JSON.clone()).into_response()
}
