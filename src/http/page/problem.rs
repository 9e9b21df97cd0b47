//! What went wrong, told to a person.

use askama::Template;
use axum::http::StatusCode;
use axum::response::Response;

use super::super::error::Problem;
use super::frame::Frame;
use super::render;
use super::visit::Visit;
use super::words::Words;

/// A problem, for a person.
pub(in crate::http) fn problem(visit: &Visit, found: &Problem) -> Response {
    let mut response = render(found.status, &ProblemPage::new(visit, found));
    response.headers_mut().extend(found.headers());
    response
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
    pub(super) fn new(visit: &Visit, problem: &Problem) -> Self {
        let t = visit.words();
        let told = match (problem.status, problem.code) {
            (StatusCode::NOT_FOUND, "not_found") if problem.message.contains("no message") => {
                Some(t.no_such_message)
            }
            (StatusCode::GONE, _) => Some(t.content_gone),
            (StatusCode::FORBIDDEN, "csrf") => Some(t.problem_form),
            _ => None,
        };
        Self {
            frame: Frame::bare(visit),
            t,
            title: title(problem.status, t),
            message: problem.message.clone(),
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
