//! Which handler answers what, and which of them stand behind the door.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::middleware;
use axum::response::Response;
use axum::routing::{delete, get, post};

use super::error::Problem;
use super::side::Context;
use super::{
    act, api, content, door, headers, health, html, live, login, metrics, openapi, page, request,
    stats, submit, suppressions, test_mail,
};

/// The largest request body where an endpoint does not say otherwise.
const BODY_MAX: usize = 1024 * 1024;

/// Everything that is answered.
pub(super) fn router(context: Arc<Context>) -> Router {
    let open = Router::new()
        .route("/health", get(health::health))
        .route("/ready", get(health::ready))
        .route("/style.css", get(page::style))
        .route("/page.js", get(page::script))
        .route("/icon.svg", get(page::icon))
        .route("/login", get(login::form).post(login::log_in))
        .route("/language", post(page::choose_language))
        .route_layer(middleware::from_fn(door::gate));
    let test_mail = post(test_mail::send).layer(DefaultBodyLimit::max(test_mail::BODY_MAX));
    let listing = DefaultBodyLimit::max(suppressions::BODY_MAX);
    let acting = DefaultBodyLimit::max(act::BODY_MAX);
    let api = Router::new()
        .route("/send-test-email", test_mail)
        .route("/metrics", get(metrics::show))
        .route("/api/openapi.json", get(openapi::show))
        .route("/api/v1/events", get(live::events))
        .route("/api/v1/messages", get(api::list).post(submit::submit))
        .route("/api/v1/messages/retry-failed", post(act::retry_failed).layer(acting))
        .route("/api/v1/messages/{id}", get(api::show))
        .route("/api/v1/messages/{id}/raw", get(content::raw))
        .route("/api/v1/messages/{id}/request", get(request::show))
        .route("/api/v1/messages/{id}/parts", get(content::parts))
        .route("/api/v1/messages/{id}/parts/{number}", get(content::part))
        .route("/api/v1/messages/{id}/retry", post(act::retry).layer(acting))
        .route("/api/v1/messages/{id}/cancel", post(act::cancel).layer(acting))
        .route("/api/v1/stats", get(stats::show))
        .route(
            "/api/v1/suppressions",
            get(suppressions::list)
                .post(suppressions::add)
                .delete(suppressions::remove_by_query)
                .layer(listing),
        )
        .route("/api/v1/suppressions/{address}", delete(suppressions::remove))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&context), door::of_the_api));
    let pages = Router::new()
        .route("/", get(page::start))
        .route("/overview", get(page::overview))
        .route("/messages", get(page::messages))
        .route("/messages/retry-failed", post(page::retry_failed))
        .route("/messages/{id}", get(page::message))
        .route("/messages/{id}/retry", post(page::retry))
        .route("/messages/{id}/cancel", post(page::cancel))
        .route("/messages/{id}/text", get(content::text))
        .route("/messages/{id}/headers", get(content::headers))
        .route("/messages/{id}/source", get(content::source))
        .route("/suppressions", get(page::suppressions).post(page::suppress))
        .route("/suppressions/remove", post(page::unsuppress))
        .route("/send", get(page::send_form).post(page::send))
        .route("/logout", post(login::log_out))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&context), door::of_pages));
    let frame = Router::new()
        .route("/messages/{id}/html", get(html::frame))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&context), door::of_pages))
        .route_layer(middleware::from_fn(html::in_a_frame));
    open.merge(api)
        .merge(pages)
        .merge(frame)
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(page::tell))
        .layer(middleware::from_fn_with_state(Arc::clone(&context), door::identify))
        .layer(middleware::map_response(headers::protect))
        .with_state(context)
}

async fn unknown_path(uri: Uri, headers: HeaderMap) -> Response {
    let message = "there is nothing at this path";
    page::lost(Problem::new(StatusCode::NOT_FOUND, "not_found", message), &uri, &headers)
}

async fn wrong_method(method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let message = format!("{method} is not possible here; the header Allow says what is");
    let found = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message);
    page::lost(found, &uri, &headers)
}
