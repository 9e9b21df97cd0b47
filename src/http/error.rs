//! Errors as the API tells them: `{"error": {"code", "message"}}`.

use axum::Json;
use axum::http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::queue::StoreError;

/// An error as it is told.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorJson {
    error: ErrorPart,
}

#[derive(Debug, Serialize, ToSchema)]
struct ErrorPart {
    /// A name that programs can compare.
    #[schema(value_type = String, example = "not_found")]
    code: &'static str,
    /// What is wrong and what to do, for a person.
    message: String,
}

/// Why a request was not answered as it wished. The message is for the person who made it and says what to do.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    /// A name that programs can compare.
    pub(super) code: &'static str,
    pub(super) message: String,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), header: None }
    }

    /// 400 about one field of a body or one parameter of a query.
    pub(super) fn bad_input(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 401. Pages ask the browser to prompt, everything else asks for a Bearer token.
    pub(super) fn unauthorized(message: &str, prompt: bool) -> Self {
        let challenge = if prompt {
            HeaderValue::from_static("Basic realm=\"mailferry\", charset=\"UTF-8\"")
        } else {
            HeaderValue::from_static("Bearer realm=\"mailferry\"")
        };
        let header = Some((WWW_AUTHENTICATE, challenge));
        Self { header, ..Self::new(StatusCode::UNAUTHORIZED, "unauthorized", message) }
    }

    /// 429 with the time to wait, in whole seconds.
    pub(super) fn too_many(message: impl Into<String>, retry_after_seconds: u64) -> Self {
        let header = Some((RETRY_AFTER, HeaderValue::from(retry_after_seconds)));
        Self { header, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", message) }
    }

    /// 403 for a form that does not bring back its token: it is not of this page, or the page is older than the session.
    pub(super) fn stale_form() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "stale_form",
            "this form is out of date: go back, load the page again, and send it once more",
        )
    }

    /// 403 for what a page of another site asks.
    pub(super) fn cross_site() -> Self {
        let message = "a page of another site may not do this";
        Self::new(StatusCode::FORBIDDEN, "cross_site", message)
    }

    /// 403 for a script with a cookie that does not show that it is one of ours.
    pub(super) fn no_csrf_token() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "csrf_token",
            "with a cookie, what changes something needs the header X-CSRF-Token, or Origin, or Sec-Fetch-Site; \
             a program sends Authorization: Bearer TOKEN instead",
        )
    }

    /// 404 for a message.
    pub(super) fn no_message(id: &str) -> Self {
        let message = format!("there is no message {id:?}; its record may be past keep_delivered");
        Self::new(StatusCode::NOT_FOUND, "not_found", message)
    }

    /// 503 when the store takes too long.
    pub(super) fn store_timed_out() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "store_unavailable",
            "the queue's store did not answer in time; see the log, and whether the disk is busy",
        )
    }

    /// 413 for a body of more than `max` octets.
    pub(super) fn payload_too_large(max: usize) -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            format!("the body may have {} KiB here", max / 1024),
        )
    }

    /// 500 after a panic, which the log tells.
    pub(super) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "this failed by a fault of mailferry; see the log",
        )
    }

    /// 415 for a body that is not JSON.
    pub(super) fn not_json() -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "unsupported_media_type",
            "the body must be JSON: set the header Content-Type: application/json",
        )
    }

    /// The headers that go with it, besides those of every answer.
    pub(super) fn headers(&self) -> HeaderMap {
        self.header.clone().into_iter().collect()
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            StoreError::WrongState { .. } => (StatusCode::CONFLICT, "wrong_state"),
            StoreError::LeaseLost(_) => (StatusCode::CONFLICT, "lease_lost"),
            StoreError::ContentGone(_) => (StatusCode::GONE, "content_gone"),
            StoreError::Seen(_) => (StatusCode::CONFLICT, "idempotency_key_reused"),
            StoreError::Full(_) => (StatusCode::SERVICE_UNAVAILABLE, "queue_full"),
            StoreError::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        };
        Self::new(status, code, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let headers = self.headers();
        let body = ErrorJson { error: ErrorPart { code: self.code, message: self.message } };
        let mut response = (self.status, headers, Json(body)).into_response();
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        response
    }
}
