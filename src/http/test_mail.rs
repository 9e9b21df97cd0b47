//! `POST /send-test-email`: one message, at once, with the provider's answer.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Request, State as Shared};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use tokio::time::Instant;
use tracing::error;

use super::error::Problem;
use super::server::Peer;
use super::side::Context;
use super::test_input::TestMail;
use crate::delivery::{Cause, NotSent, Sent};
use crate::message::QueueId;

/// The largest body. [`super::routes`] sets it for this endpoint.
pub(super) const BODY_MAX: usize = 256 * 1024;

/// How long the body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(15);

/// `POST /send-test-email`
pub(super) async fn send(
    Shared(context): Shared<Arc<Context>>,
    Extension(Peer(peer)): Extension<Peer>,
    request: Request,
) -> Result<Response, Problem> {
    if !is_json(request.headers()) {
        return Err(Problem::not_json());
    }
    let wait = context.test_mails.take(peer.ip(), Instant::now());
    wait.map_err(|seconds| {
        Problem::too_many(format!("too many test mails; try again in {seconds} s"), seconds)
    })?;
    let body = read(request).await?;
    let TestMail { draft, provider } = TestMail::parse(&body, &context.rules.load().sender)?;
    if let Some(name) = &provider {
        check_provider(&context, name)?;
    }
    let submission = draft
        .compose(context.now())
        .map_err(|error| Problem::bad_input("invalid_message", error.to_string()))?;
    // A task of its own: a caller that hangs up must not leave a call to the provider half done.
    let delivery = Arc::clone(&context.side.delivery);
    let sending =
        tokio::spawn(async move { delivery.send_now(submission, provider.as_deref()).await });
    match sending.await {
        Ok(answer) => Ok(render(answer)),
        Err(error) => {
            error!(%error, "http: sending a test mail failed by a fault of ours");
            Err(Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "sending failed by a fault of mailferry; see the log",
            ))
        }
    }
}

/// A form of another site cannot set this type, and a script of another site may not.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let reading = Bytes::from_request(request, &());
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(body)) => Ok(body),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => {
            let kib = BODY_MAX / 1024;
            Err(Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "payload_too_large",
                format!("the body of a test mail may have {kib} KiB"),
            ))
        }
        Ok(Err(rejection)) => Err(Problem::bad_input("unreadable_body", rejection.body_text())),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "the body took too long to arrive",
        )),
    }
}

fn check_provider(context: &Context, name: &str) -> Result<(), Problem> {
    let names = context.side.delivery.providers();
    if names.iter().any(|known| known == name) {
        return Ok(());
    }
    let names = names.join(", ");
    let message = format!("\"provider\": there is no provider {name:?}; there are: {names}");
    Err(Problem::bad_input("invalid_field", message))
}

#[derive(Serialize)]
struct SentJson<'a> {
    ok: bool,
    provider: &'a str,
    /// What the provider calls the message.
    message_id: Option<&'a str>,
    id: QueueId,
}

#[derive(Serialize)]
struct NotSentJson<'a> {
    ok: bool,
    provider: Option<&'a str>,
    error: &'a str,
    id: Option<QueueId>,
}

/// The answer for what came of it.
fn render(answer: Result<Sent, NotSent>) -> Response {
    match answer {
        Ok(sent) => Json(SentJson {
            ok: true,
            provider: &sent.provider,
            message_id: sent.provider_message_id.as_deref(),
            id: sent.id,
        })
        .into_response(),
        Err(not_sent) => {
            let status = match not_sent.cause {
                Cause::NoProvider | Cause::Rejected | Cause::Unavailable => StatusCode::BAD_GATEWAY,
                // Not the provider's doing: nobody was asked.
                Cause::Store => StatusCode::SERVICE_UNAVAILABLE,
            };
            let body = NotSentJson {
                ok: false,
                provider: not_sent.provider.as_deref(),
                error: &not_sent.error,
                id: not_sent.id,
            };
            (status, Json(body)).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;
    use crate::http::tests::sample;

    async fn rendered(answer: Result<Sent, NotSent>) -> (StatusCode, Value) {
        let response = render(answer);
        let status = response.status();
        let body = to_bytes(response.into_body(), BODY_MAX).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn a_sent_mail_is_told_with_the_providers_id() {
        let id = QueueId::new(sample::now());
        let sent = Sent {
            id,
            provider: "resend".to_owned(),
            provider_message_id: Some("49a3999c".to_owned()),
        };
        let (status, body) = rendered(Ok(sent)).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            body,
            json!({ "ok": true, "provider": "resend", "message_id": "49a3999c", "id": id.to_string() })
        );
    }

    #[tokio::test]
    async fn a_refused_mail_is_told_in_the_providers_words() {
        for (cause, status) in [
            (Cause::Rejected, StatusCode::BAD_GATEWAY),
            (Cause::Unavailable, StatusCode::BAD_GATEWAY),
            (Cause::NoProvider, StatusCode::BAD_GATEWAY),
            (Cause::Store, StatusCode::SERVICE_UNAVAILABLE),
        ] {
            let not_sent = NotSent {
                id: None,
                provider: Some("resend".to_owned()),
                error: "403: the domain is not verified".to_owned(),
                cause,
            };
            let (got, body) = rendered(Err(not_sent)).await;
            assert_eq!(got, status, "{cause:?}");
            assert_eq!(body["ok"], json!(false));
            assert_eq!(body["provider"], json!("resend"));
            assert_eq!(body["error"], json!("403: the domain is not verified"));
        }
    }

    #[test]
    fn only_json_is_json() {
        let is = |value: &'static str| {
            is_json(&HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(value))]))
        };
        assert!(is("application/json"));
        assert!(is("Application/JSON; charset=utf-8"));
        assert!(!is("text/plain"));
        assert!(!is("text/plain; application/json"));
        assert!(!is("application/x-www-form-urlencoded"));
        assert!(!is_json(&HeaderMap::new()));
    }
}
