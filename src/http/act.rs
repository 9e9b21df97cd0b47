//! `POST /api/v1/messages/{id}/retry` and `/cancel`: what an operator does to a message.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State as Shared};
use axum::response::{IntoResponse, Response};

use super::api::{self, IdPath};
use super::error::Problem;
use super::json::MessageJson;
use super::side::Context;
use super::{body, retry_input};
use crate::message::QueueId;
use crate::queue::Details;

/// The largest body: a thousand addresses of the longest kind fit. [`super::routes`] sets it for these endpoints.
pub(super) const BODY_MAX: usize = 512 * 1024;

/// `POST /api/v1/messages/{id}/retry`
pub(super) async fn retry(
    Shared(context): Shared<Arc<Context>>,
    id: IdPath,
    request: Request,
) -> Result<Response, Problem> {
    let id = api::parse_id(id)?;
    let body = body::json_or_nothing(request, BODY_MAX).await?;
    let retry = retry_input::parse(&body, context.rules.load().recipients_max)?;
    let provider = retry.provider.clone();
    if let Some(name) = &provider {
        context.check_provider(name)?;
    }
    context.ask(context.side.store.retry(id, retry, context.now())).await?;
    tracing::info!(queue_id = %id, provider, "an operator has the message tried again");
    context.side.delivery.wake();
    Ok(answer(&show(&context, id).await?))
}

/// `POST /api/v1/messages/{id}/cancel`
pub(super) async fn cancel(
    Shared(context): Shared<Arc<Context>>,
    id: IdPath,
    request: Request,
) -> Result<Response, Problem> {
    let id = api::parse_id(id)?;
    let body = body::json_or_nothing(request, BODY_MAX).await?;
    if !matches!(body.trim_ascii(), b"" | b"{}") {
        return Err(Problem::bad_input("unknown_field", "a cancellation has no fields"));
    }
    context.ask(context.side.store.cancel(id, context.now())).await?;
    tracing::info!(queue_id = %id, outcome = "cancelled", "an operator has cancelled the message");
    let shown = show(&context, id).await;
    let provider = shown.as_ref().ok().and_then(|details| details.summary.provider.as_deref());
    context.side.delivery.metrics().cancelled(provider);
    Ok(answer(&shown?))
}

/// The message as it is now.
async fn show(context: &Context, id: QueueId) -> Result<Details, Problem> {
    let details = context.ask(context.side.store.show(id)).await?;
    details.ok_or_else(|| Problem::no_message(&id.to_string()))
}

fn answer(details: &Details) -> Response {
    Json(MessageJson::from(details)).into_response()
}
