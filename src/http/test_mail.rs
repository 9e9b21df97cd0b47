//! `POST /send-test-email`: one message, at once, with the provider's answer.

use std::sync::Arc;

use axum::extract::{Request, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use super::access::Caller;
use super::body;
use super::error::{ErrorJson, Problem};
use super::side::Context;
use super::submit_doc::{AddressInput, NamedInput};
use super::test_input::TestMail;
use crate::delivery::{Cause, NotSent, Sent};
use crate::message::QueueId;

/// The largest body. [`super::routes`] sets it for this endpoint.
pub(super) const BODY_MAX: usize = 256 * 1024;

/// `POST /send-test-email`
#[utoipa::path(
    post, path = "/send-test-email", operation_id = "sendTestMail", tag = "messages", summary = "Sends a test mail at once",
    request_body = TestMailInput,
    responses(
        (status = 200, body = SentJson),
        (status = 400, body = ErrorJson, description = "`malformed_json`, `unknown_field`, `invalid_field`, `invalid_query`, `invalid_message`"),
        (status = 413, body = ErrorJson, description = "`payload_too_large`"),
        (status = 415, body = ErrorJson, description = "`unsupported_media_type`"),
        (status = 429, body = ErrorJson, description = "`too_many_requests`", headers(("Retry-After" = u64))),
        (status = 502, body = NotSentJson, description = "No provider has taken it"),
        (status = 503, body = NotSentJson, description = "The store could not keep the record; nobody was asked"),
    ),
)]
pub(super) async fn send(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    body::must_be_json(request.headers())?;
    context.may_send(&caller)?;
    let body = body::read(request, BODY_MAX).await?;
    let mail = TestMail::parse(&body, &context.rules.load().sender)?;
    send_one(&context, mail).await.map(render)
}

/// Sends a mail at once and waits for the provider's answer.
pub(super) async fn send_one(
    context: &Context,
    mail: TestMail,
) -> Result<Result<Sent, NotSent>, Problem> {
    let TestMail { draft, provider } = mail;
    if let Some(name) = &provider {
        context.check_provider(name)?;
    }
    let submission = draft
        .compose(context.now())
        .map_err(|error| Problem::bad_input("invalid_message", error.to_string()))?;
    // A task of its own: a caller that hangs up must not leave a call to the provider half done.
    let delivery = Arc::clone(&context.side.delivery);
    let sending =
        tokio::spawn(async move { delivery.send_now(submission, provider.as_deref()).await });
    match sending.await {
        Ok(answer) => Ok(answer),
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

/// A test mail.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the document is made from it; the body is read field by field")]
struct TestMailInput {
    to: Recipients,
    /// One line.
    #[schema(
        max_length = 500,
        pattern = r"^[^\u0000-\u001f\u007f-\u009f]*[^\s\u0000-\u001f\u007f-\u009f][^\u0000-\u001f\u007f-\u009f]*$"
    )]
    subject: String,
    /// With tags it is HTML, else text.
    #[schema(pattern = r"\S")]
    content: String,
    /// The configured sender unless it is said.
    from: Option<MailboxText>,
    /// Only this provider, instead of the route.
    provider: Option<String>,
}

/// One address or up to 50.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the document is made from it")]
enum Recipients {
    One(MailboxText),
    Many(Vec<MailboxText>),
}

/// An address, or `Name <address>`.
#[derive(Debug, ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only the document is made from it")]
enum MailboxText {
    Address(AddressInput),
    Named(NamedInput),
}

#[derive(Serialize, ToSchema)]
struct SentJson<'a> {
    ok: bool,
    provider: &'a str,
    /// What the provider calls the message.
    message_id: Option<&'a str>,
    #[schema(value_type = String, format = "uuid")]
    id: QueueId,
}

#[derive(Serialize, ToSchema)]
struct NotSentJson<'a> {
    ok: bool,
    provider: Option<&'a str>,
    error: &'a str,
    #[schema(value_type = Option<String>, format = "uuid")]
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
            let status = status_of(not_sent.cause);
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

/// The status of an answer that says why a mail was not sent.
pub(super) fn status_of(cause: Cause) -> StatusCode {
    match cause {
        Cause::NoProvider | Cause::Rejected | Cause::Suppressed | Cause::Unavailable => {
            StatusCode::BAD_GATEWAY
        }
        // Not the provider's doing: nobody was asked.
        Cause::Store => StatusCode::SERVICE_UNAVAILABLE,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
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
}
