//! The page: what a person wants to know of a mail relay. Rendered here; the script only keeps it up to date.

mod acts;
mod assets;
mod chart;
mod frame;
mod inbox;
mod language;
mod list;
mod login;
mod message;
mod overview;
mod problem;
mod row;
mod send;
mod suppressions;
mod visit;
mod words;

use std::sync::Arc;

use askama::Template;
use axum::extract::{RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use tracing::error;
use url::form_urlencoded;

use super::side::Context;
use assets::{SCRIPT_VERSION, STYLE_VERSION};

pub(super) use acts::{cancel, retry, retry_failed};
pub(super) use assets::{icon, script, style};
pub(super) use language::choose as choose_language;
pub(super) use list::messages;
pub(super) use login::login;
pub(super) use message::message;
pub(super) use overview::overview;
pub(super) use problem::{lost, problem, tell, told_in_words};
pub(super) use send::{send, show as send_form};
pub(super) use suppressions::{add as suppress, remove as unsuppress, show as suppressions};
use visit::Visit;

/// A page that is seen for a moment, while the browser asks again.
pub(super) fn one_moment() -> Response {
    Html("<!doctype html><title>mailferry</title>").into_response()
}

/// `GET /`: the overview, or the inbox where mail is caught.
pub(super) async fn start(
    Shared(context): Shared<Arc<Context>>,
    visit: Visit,
    RawQuery(query): RawQuery,
) -> Response {
    if context.is_catching() {
        inbox::show(context, &visit, query.as_deref()).await
    } else {
        overview::show(context, &visit, query.as_deref()).await
    }
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

/// The first value of this name in a query; an empty one counts as unset.
fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    take_parameter(query.unwrap_or_default(), name).1
}

/// The query without what has this name, and the first value of it.
fn take_parameter(query: &str, name: &str) -> (String, Option<String>) {
    let mut rest = form_urlencoded::Serializer::new(String::new());
    let mut found = None;
    for (key, value) in form_urlencoded::parse(query.as_bytes()) {
        if key == name {
            found = found.or(Some(value.into_owned()).filter(|value| !value.is_empty()));
        } else {
            rest.append_pair(&key, &value);
        }
    }
    (rest.finish(), found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_parameter_is_taken_and_the_others_stay() {
        let (rest, done) = take_parameter("state=failed&done=retry&q=a%26b&done=x", "done");
        assert_eq!((rest.as_str(), done.as_deref()), ("state=failed&q=a%26b", Some("retry")));
        assert_eq!(parameter(Some("tab="), "tab"), None);
        assert_eq!(parameter(None, "tab"), None);
    }
}
