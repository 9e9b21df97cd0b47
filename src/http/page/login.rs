//! The form that asks for the token.

use askama::Template;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;

use super::super::login::Trouble;
use super::frame::Frame;
use super::render;
use super::visit::Visit;
use super::words::{Lang, Words, fill};

/// The form that asks for the token. `next`: where it leads to then, a path of ours.
pub(in crate::http) fn login(
    headers: &HeaderMap,
    status: StatusCode,
    next: &str,
    trouble: Option<Trouble>,
) -> Response {
    // A switch of the language asks for the same page as the login, which leads here again.
    let visit = Visit::stranger(Lang::of(headers), next);
    let t = visit.words();
    let trouble = trouble.map(|trouble| match trouble {
        Trouble::Wrong => t.token_wrong.to_owned(),
        Trouble::TooMany(seconds) => fill(t.too_many_logins, &[&seconds.to_string()]),
    });
    let frame = Frame::bare(&visit);
    render(status, &LoginPage { frame, t, next: next.to_owned(), trouble })
}

#[derive(Debug, Template)]
#[template(path = "login.html", whitespace = "minimize")]
struct LoginPage {
    frame: Frame,
    t: &'static Words,
    next: String,
    trouble: Option<String>,
}
