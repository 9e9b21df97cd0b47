//! `GET /api/v1/messages/{id}/request`: the request by which a provider got the message.

mod text;

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use super::api::{self, IdPath};
use super::content;
use super::error::{ErrorJson, Problem};
use super::side::Context;
use crate::delivery::{NotShown, ShownRequest};
use crate::message::QueueId;

/// The longest name of a provider, characters.
const NAME_MAX: usize = 200;

/// What the API tells; the page shows the same.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RequestJson {
    pub(super) provider: String,
    pub(super) calls: Vec<CallJson>,
    /// But for secrets it is octet by octet what was sent.
    pub(super) exact: bool,
    /// What a person should know about it; `null`: nothing.
    pub(super) note: Option<String>,
}

/// One request.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CallJson {
    pub(super) method: String,
    pub(super) url: String,
    /// Name and value; for a mail server command and argument.
    #[schema(value_type = Vec<Vec<String>>)]
    pub(super) headers: Vec<(String, String)>,
    /// Made readable: JSON is indented, files are shortened.
    pub(super) body: String,
    /// Octets of the body as it is sent.
    pub(super) body_octets: usize,
    pub(super) recipients: Vec<String>,
}

impl From<ShownRequest> for RequestJson {
    fn from(shown: ShownRequest) -> Self {
        let exact = shown.is_exact();
        let words: Vec<String> = shown.notes.iter().map(ToString::to_string).collect();
        let calls = shown.calls.into_iter().map(|call| CallJson {
            method: call.request.method,
            url: call.request.url,
            headers: call.request.headers,
            body: text::of(&call.request.body, &call.request.content_type),
            body_octets: call.request.body.len(),
            recipients: call.recipients,
        });
        Self {
            provider: shown.provider,
            calls: calls.collect(),
            exact,
            note: (!words.is_empty()).then(|| words.join("; ")),
        }
    }
}

/// `GET /api/v1/messages/{id}/request?provider=`
#[utoipa::path(
    get, path = "/api/v1/messages/{id}/request", operation_id = "showRequest", tag = "messages",
    summary = "The request by which a provider got a message",
    description = "Made again from the stored message, without secrets: by this provider, by that of the last attempt, or by the first of the route.",
    params(("id" = String, Path, format = "uuid"), ("provider" = Option<String>, Query, max_length = 200)),
    responses(
        (status = 200, body = RequestJson),
        (status = 400, body = ErrorJson, description = "`invalid_query`"),
        (status = 404, body = ErrorJson, description = "`not_found`, `unknown_provider`"),
        (status = 409, body = ErrorJson, description = "`account_gone`, `no_provider`"),
        (status = 410, body = ErrorJson, description = "`content_gone`: the content is past queue.keep_bodies"),
        (status = 429, body = ErrorJson, description = "`too_many_requests`", headers(("Retry-After" = u64))),
    ),
)]
pub(super) async fn show(
    Shared(context): Shared<Arc<Context>>,
    id: IdPath,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let id = api::parse_id(id)?;
    let provider = wanted(query.as_deref().unwrap_or_default())?;
    Ok(Json(shown(&context, id, provider.as_deref()).await?).into_response())
}

/// The request for this message by this provider, or by the one of the last attempt; without attempts by the first of its
/// route.
pub(super) async fn shown(
    context: &Context,
    id: QueueId,
    provider: Option<&str>,
) -> Result<RequestJson, Problem> {
    // It takes the memory of a download, and more.
    let _place = content::download(context)?;
    let details = context.ask(context.side.store.show(id)).await?;
    let details = details.ok_or_else(|| Problem::no_message(&id.to_string()))?;
    let content = content::kept(context, id).await?;
    let shown = context.side.delivery.show_request(&details, content, provider).await?;
    // What is large takes its time to be read through.
    let reading = tokio::task::spawn_blocking(move || RequestJson::from(shown));
    reading.await.map_err(|_| NotShown::Fault.into())
}

/// The one parameter.
fn wanted(query: &str) -> Result<Option<String>, Problem> {
    let mut provider = None;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let value = value.trim();
        if name != "provider" {
            let message = "the only parameter is provider";
            return Err(Problem::bad_input("invalid_query", message));
        }
        if provider.is_some() {
            let message = "the parameter \"provider\" is given twice";
            return Err(Problem::bad_input("invalid_query", message));
        }
        if value.chars().count() > NAME_MAX {
            let message = format!("provider: longer than {NAME_MAX} characters");
            return Err(Problem::bad_input("invalid_query", message));
        }
        // Forms send an empty value for none.
        provider = Some(value.to_owned());
    }
    Ok(provider.filter(|name| !name.is_empty()))
}

impl From<NotShown> for Problem {
    fn from(error: NotShown) -> Self {
        let (status, code) = match &error {
            NotShown::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_provider"),
            NotShown::Account => (StatusCode::CONFLICT, "account_gone"),
            NotShown::NoProvider => (StatusCode::CONFLICT, "no_provider"),
            NotShown::Fault => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        };
        Self::new(status, code, error.to_string())
    }
}
