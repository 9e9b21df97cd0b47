//! Which handler answers what, and which of them stand behind the door.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, Request, State as Shared};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use tracing::debug;

use super::access::cross_site;
use super::error::Problem;
use super::server::Peer;
use super::side::Context;
use super::{act, api, content, health, html, live, metrics, page, test_mail};

/// The largest request body where an endpoint does not say otherwise.
const BODY_MAX: usize = 1024 * 1024;

/// Everything that is answered.
pub(super) fn router(context: Arc<Context>) -> Router {
    let open = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/style.css", get(page::style))
        .route("/icon.svg", get(page::icon));
    let test_mail = post(test_mail::send).layer(DefaultBodyLimit::max(test_mail::BODY_MAX));
    let acting = DefaultBodyLimit::max(act::BODY_MAX);
    let api = Router::new()
        .route("/send-test-email", test_mail)
        .route("/metrics", get(metrics::show))
        .route("/api/v1/events", get(live::events))
        .route("/api/v1/messages", get(api::list))
        .route("/api/v1/messages/retry-failed", post(act::retry_failed).layer(acting))
        .route("/api/v1/messages/{id}", get(api::show))
        .route("/api/v1/messages/{id}/raw", get(content::raw))
        .route("/api/v1/messages/{id}/parts", get(content::parts))
        .route("/api/v1/messages/{id}/parts/{number}", get(content::part))
        .route("/api/v1/messages/{id}/retry", post(act::retry).layer(acting))
        .route("/api/v1/messages/{id}/cancel", post(act::cancel).layer(acting))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&context), api_door));
    let pages = Router::new()
        .route("/", get(page::messages))
        .route("/messages/{id}", get(page::message))
        .route("/messages/{id}/html", get(html::frame))
        .route("/messages/{id}/text", get(content::text))
        .route("/messages/{id}/headers", get(content::headers))
        .route("/messages/{id}/source", get(content::source))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&context), page_door));
    open.merge(api)
        .merge(pages)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::map_response(protect))
        .with_state(context)
}

/// The door of the API.
async fn api_door(
    Shared(context): Shared<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match pass(&context, peer, &request, false) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The door of the pages: the same rule, told to a person.
async fn page_door(
    Shared(context): Shared<Arc<Context>>,
    Extension(peer): Extension<Peer>,
    request: Request,
    next: Next,
) -> Response {
    match pass(&context, peer, &request, true) {
        Ok(()) => next.run(request).await,
        Err(problem) => page::problem(&problem),
    }
}

fn pass(
    context: &Context,
    Peer(peer): Peer,
    request: &Request,
    prompt: bool,
) -> Result<(), Problem> {
    let headers = request.headers();
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reading && cross_site(headers) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            "cross_site",
            "a page of another site may not do this",
        ));
    }
    context.rules.load().access.check(peer.ip(), request.uri(), headers).map_err(|denied| {
        debug!(%peer, ?denied, "http: refused");
        denied.problem(prompt)
    })
}

async fn unknown_path() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not_found", "there is nothing at this path")
}

async fn wrong_method(method: Method) -> Problem {
    let message = format!("{method} is not possible here; the header Allow says what is");
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message)
}

/// What every answer carries. Nothing but our own style and icon is loaded, no script runs, nobody frames the page,
/// and nothing that shows mail is kept by a cache.
async fn protect(mut response: Response) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 5] = [
        (
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'self'; img-src 'self'; frame-src 'self'; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
        ),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.entry(name).or_insert(value);
    }
    response
}
