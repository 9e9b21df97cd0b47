//! Bodies of requests: only JSON, of a limited size, within a limited time.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest as _, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};

use super::error::Problem;

/// How long a body may take to arrive.
const TIMEOUT: Duration = Duration::from_secs(15);

/// How long one may take that may be as large as a message.
const LARGE_TIMEOUT: Duration = Duration::from_secs(120);

/// Refuses a request whose body is not said to be JSON.
pub(super) fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    match content_type(headers) {
        ContentType::Json => Ok(()),
        ContentType::None | ContentType::Other => Err(Problem::not_json()),
    }
}

/// A JSON body, or none at all: then empty, and its type need not be said.
pub(super) async fn json_or_nothing(request: Request, max: usize) -> Result<Bytes, Problem> {
    let said = content_type(request.headers());
    // What a form sends has a type even when it is empty.
    if said == ContentType::Other {
        return Err(Problem::not_json());
    }
    let body = read(request, max).await?;
    if said == ContentType::None && !body.is_empty() {
        return Err(Problem::not_json());
    }
    Ok(body)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ContentType {
    Json,
    None,
    Other,
}

/// A form of another site cannot set the type of JSON, and a script of another site may not.
fn content_type(headers: &HeaderMap) -> ContentType {
    let Some(value) = headers.get(CONTENT_TYPE) else { return ContentType::None };
    let essence = value.to_str().unwrap_or("").split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case("application/json") {
        ContentType::Json
    } else {
        ContentType::Other
    }
}

/// The whole body, of `max` octets at the most.
pub(super) async fn read(request: Request, max: usize) -> Result<Bytes, Problem> {
    read_within(request, max, TIMEOUT).await
}

/// The same with more time, where it is the configuration that says how large it may be.
pub(super) async fn read_up_to(request: Request, max: usize) -> Result<Bytes, Problem> {
    read_within(request, max, LARGE_TIMEOUT).await
}

async fn read_within(mut request: Request, max: usize, within: Duration) -> Result<Bytes, Problem> {
    DefaultBodyLimit::max(max).apply(&mut request);
    let reading = Bytes::from_request(request, &());
    match tokio::time::timeout(within, reading).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            Err(Problem::payload_too_large(max))
        }
        Ok(Err(rejection)) => Err(Problem::bad_input("unreadable_body", rejection.body_text())),
        Err(_) => Err(timed_out()),
    }
}

fn timed_out() -> Problem {
    let message = "the body took too long to arrive";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "body_timeout", message)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_json_is_json() {
        let of = |value: &'static str| {
            content_type(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert_eq!(of("application/json"), ContentType::Json);
        assert_eq!(of("Application/JSON; charset=utf-8"), ContentType::Json);
        assert_eq!(of("text/plain"), ContentType::Other);
        assert_eq!(of("text/plain; application/json"), ContentType::Other);
        assert_eq!(of("application/x-www-form-urlencoded"), ContentType::Other);
        assert_eq!(of(""), ContentType::Other);
        assert_eq!(content_type(&HeaderMap::new()), ContentType::None);
    }
}
