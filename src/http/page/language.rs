//! The switch of the language: a choice kept in a cookie. It is no secret, and it changes nothing else.

use axum::extract::Request;
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;

use super::super::form::Form;
use super::super::login::{local_path, see_other};
use super::problem;
use super::words::{COOKIE_NAME, Lang};

/// The largest form.
const BODY_MAX: usize = 16 * 1024;

/// `POST /language`
pub(in crate::http) async fn choose(request: Request) -> Response {
    let form = match Form::read(request, BODY_MAX).await {
        Ok(form) => form,
        Err(found) => return problem(&found),
    };
    let mut answer = see_other(&local_path(form.get("next").unwrap_or_default()));
    if let Some(lang) = form.get("lang").and_then(Lang::of_tag) {
        keep(lang, answer.headers_mut());
    }
    answer
}

fn keep(lang: Lang, headers: &mut HeaderMap) {
    let tag = lang.tag();
    let cookie = format!("{COOKIE_NAME}={tag}; Path=/; Max-Age=31536000; HttpOnly; SameSite=Lax");
    // Made of ASCII that a header may have.
    if let Ok(value) = HeaderValue::from_str(&cookie) {
        headers.append(SET_COOKIE, value);
    }
}
