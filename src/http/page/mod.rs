//! The page: what a person wants to know of a mail relay. Rendered here, without a script.

mod view;
mod words;

use std::sync::{Arc, LazyLock};

use askama::Template;
use aws_lc_rs::digest;
use axum::extract::{RawQuery, State as Shared};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use tracing::error;

use super::api::{self, IdPath};
use super::error::Problem;
use super::filter;
use super::health::Report;
use super::login::Trouble;
use super::side::Context;
use view::{LoginPage, MessagePage, MessagesPage, ProblemPage};

const STYLE: &str = include_str!("style.css");
const ICON: &str = include_str!("icon.svg");

/// Names the style's content, so that it may be kept for ever and is still never out of date.
static STYLE_VERSION: LazyLock<String> = LazyLock::new(|| {
    let hash = digest::digest(&digest::SHA256, STYLE.as_bytes());
    hash.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// `GET /`: how things are, and the messages, newest first.
pub(super) async fn messages(
    Shared(context): Shared<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Response {
    let filter = match filter::parse(query.as_deref().unwrap_or("")) {
        Ok(filter) => filter,
        Err(found) => return problem(&found),
    };
    let list = context.ask(context.side.store.list(filter.clone()));
    let (report, list) = tokio::join!(Report::take(&context), list);
    match list {
        Ok(list) => {
            render(StatusCode::OK, &MessagesPage::new(&report, &list, &filter, context.now()))
        }
        Err(found) => problem(&found),
    }
}

/// `GET /messages/{id}`: one message, with what was tried.
pub(super) async fn message(Shared(context): Shared<Arc<Context>>, id: IdPath) -> Response {
    match api::find(&context, id).await {
        Ok(details) => render(StatusCode::OK, &MessagePage::new(&details, context.now())),
        Err(found) => problem(&found),
    }
}

/// `GET /style.css`
pub(super) async fn style() -> impl IntoResponse {
    asset("text/css; charset=utf-8", STYLE)
}

/// `GET /icon.svg`
pub(super) async fn icon() -> impl IntoResponse {
    asset("image/svg+xml", ICON)
}

/// A problem, for a person.
pub(super) fn problem(found: &Problem) -> Response {
    let mut response = render(found.status, &ProblemPage::new(found));
    response.headers_mut().extend(found.headers());
    response
}

/// The form that asks for the token. `next`: where it leads to then, a path of ours.
pub(super) fn login(
    _headers: &HeaderMap,
    status: StatusCode,
    next: &str,
    trouble: Option<Trouble>,
) -> Response {
    render(status, &LoginPage::new(next, trouble))
}

/// A page that is seen for a moment, while the browser asks again.
pub(super) fn one_moment() -> Response {
    Html("<!doctype html><title>mailferry</title>").into_response()
}

fn asset(
    media_type: &'static str,
    content: &'static str,
) -> ([(HeaderName, &'static str); 2], &'static str) {
    ([(CONTENT_TYPE, media_type), (CACHE_CONTROL, "public, max-age=86400")], content)
}

fn render(status: StatusCode, page: &impl Template) -> Response {
    match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(error) => {
            error!(%error, "http: a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
