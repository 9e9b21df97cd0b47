//! What went wrong, told to a person.

use askama::Template;
use axum::extract::Request;
use axum::http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::super::error::Problem;
use super::frame::Frame;
use super::render;
use super::visit::Visit;
use super::words::Words;

/// A problem, for a person. [`tell`] puts the page around it, in the language of who asked.
pub(in crate::http) fn problem(found: &Problem) -> Response {
    let mut response = (found.status, found.headers()).into_response();
    let told = Told { code: found.code, message: found.message.clone() };
    response.extensions_mut().insert(told);
    response
}

/// A page for a browser that has lost its way, JSON for everybody else.
pub(in crate::http) fn lost(found: Problem, uri: &Uri, headers: &HeaderMap) -> Response {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.contains("text/html") && !uri.path().starts_with("/api/") {
        problem(&found)
    } else {
        found.into_response()
    }
}

/// What is still to be told.
#[derive(Clone, Debug)]
struct Told {
    code: &'static str,
    message: String,
}

/// Tells of problems in the visitor's language, wherever they were found.
pub(in crate::http) async fn tell(request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let visit = Visit::of(&parts);
    let mut response = next.run(Request::from_parts(parts, body)).await;
    let Some(told) = response.extensions_mut().remove::<Told>() else { return response };
    let mut page = render(response.status(), &ProblemPage::new(&visit, response.status(), told));
    // What goes with it, such as Retry-After; nothing of an empty body.
    for (name, value) in response.headers() {
        if name != CONTENT_LENGTH && name != CONTENT_TYPE {
            page.headers_mut().insert(name, value.clone());
        }
    }
    page
}

/// A problem that was found and is still to be told, as a few lines of text in the visitor's language; it is then told. For
/// places where the page has no room.
pub(in crate::http) fn told_in_words(parts: &Parts, response: &mut Response) -> Option<String> {
    let found = response.extensions_mut().remove::<Told>()?;
    let ProblemPage { title, told, message, .. } =
        ProblemPage::new(&Visit::of(parts), response.status(), found);
    Some(format!("{title}\n\n{}\n", told.unwrap_or(&message)))
}

#[derive(Debug, Template)]
#[template(path = "problem.html", whitespace = "minimize")]
pub(super) struct ProblemPage {
    frame: Frame,
    t: &'static Words,
    title: &'static str,
    /// In the visitor's language, where the problem is one that we know.
    told: Option<&'static str>,
    /// In the words of the API.
    message: String,
}

impl ProblemPage {
    fn new(visit: &Visit, status: StatusCode, problem: Told) -> Self {
        let t = visit.words();
        let told = match (status, problem.code) {
            (StatusCode::NOT_FOUND, "not_found") if problem.message.contains("no message") => {
                Some(t.no_such_message)
            }
            (StatusCode::NOT_FOUND, "not_found") if problem.message.contains("this path") => {
                Some(t.no_such_page)
            }
            (StatusCode::GONE, _) => Some(t.content_gone),
            (StatusCode::FORBIDDEN, "stale_form") => Some(t.problem_form),
            _ => None,
        };
        Self {
            frame: Frame::bare(visit),
            t,
            title: title(status, t),
            message: problem.message,
            told,
        }
    }
}

fn title(status: StatusCode, t: &Words) -> &'static str {
    match status {
        StatusCode::BAD_REQUEST => t.problem_input,
        StatusCode::UNAUTHORIZED => t.problem_unauthorized,
        StatusCode::FORBIDDEN => t.problem_forbidden,
        StatusCode::NOT_FOUND => t.problem_not_found,
        StatusCode::CONFLICT => t.problem_state,
        StatusCode::GONE => t.problem_gone,
        StatusCode::TOO_MANY_REQUESTS => t.problem_too_many,
        StatusCode::SERVICE_UNAVAILABLE => t.problem_unavailable,
        _ => t.problem,
    }
}
