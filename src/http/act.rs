//! `POST /api/v1/messages/{id}/retry`, `/cancel` and `POST /api/v1/messages/retry-failed`: what an operator does to messages.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::api::{self, IdPath};
use super::error::Problem;
use super::json::MessageJson;
use super::side::Context;
use super::{body, filter, retry_input};
use crate::message::QueueId;
use crate::queue::{Details, Filter, Retried, Retry};

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
    retry_message(&context, id, retry).await?;
    Ok(answer(&show(&context, id).await?))
}

/// Has a message tried again.
pub(super) async fn retry_message(
    context: &Context,
    id: QueueId,
    retry: Retry,
) -> Result<(), Problem> {
    let provider = retry.provider.clone();
    if let Some(name) = &provider {
        context.check_provider(name)?;
    }
    context.ask(context.side.store.retry(id, retry, context.now())).await?;
    tracing::info!(queue_id = %id, provider, "an operator has the message tried again");
    context.side.delivery.wake();
    Ok(())
}

/// Slices of a retry of all that failed that one request does; the next one goes on where it ended.
const SLICES_MAX: usize = 20;

/// What has been done of a retry of all that failed.
#[derive(Debug, Default, Serialize)]
pub(super) struct RetriedJson {
    retried: u64,
    in_doubt: u64,
    without_content: u64,
    /// `before` of the request that goes on.
    pub(super) next: Option<QueueId>,
}

/// `POST /api/v1/messages/retry-failed?before=`
pub(super) async fn retry_failed(
    Shared(context): Shared<Arc<Context>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    no_fields(request).await?;
    let Filter { state, provider, text, before, .. } =
        filter::parse(query.as_deref().unwrap_or_default())?;
    if state.is_some() || provider.is_some() || text.is_some() {
        let message = "all that failed is retried; the only parameter is before";
        return Err(Problem::bad_input("invalid_query", message));
    }
    Ok(Json(retry_slices(&context, before).await?).into_response())
}

/// Has all that failed tried again, or the first slices of it.
pub(super) async fn retry_slices(
    context: &Context,
    mut before: Option<QueueId>,
) -> Result<RetriedJson, Problem> {
    let mut done = RetriedJson::default();
    for _ in 0..SLICES_MAX {
        let slice = context.side.store.retry_failed(before, context.now());
        let Retried { retried, in_doubt, without_content, next } = context.ask(slice).await?;
        done.retried += retried;
        done.in_doubt += in_doubt;
        done.without_content += without_content;
        (before, done.next) = (next, next);
        if next.is_none() {
            break;
        }
    }
    tracing::info!(messages = done.retried, "an operator has all that failed tried again");
    context.side.delivery.wake();
    Ok(done)
}

/// Nobody shall believe that a field of his is obeyed.
async fn no_fields(request: Request) -> Result<(), Problem> {
    match body::json_or_nothing(request, BODY_MAX).await?.trim_ascii() {
        b"" | b"{}" => Ok(()),
        _ => Err(Problem::bad_input("unknown_field", "the body has no fields here; leave it out")),
    }
}

/// `POST /api/v1/messages/{id}/cancel`
pub(super) async fn cancel(
    Shared(context): Shared<Arc<Context>>,
    id: IdPath,
    request: Request,
) -> Result<Response, Problem> {
    let id = api::parse_id(id)?;
    no_fields(request).await?;
    Ok(answer(&cancel_message(&context, id).await?))
}

/// Cancels a message, and tells how it is then.
pub(super) async fn cancel_message(context: &Context, id: QueueId) -> Result<Details, Problem> {
    context.ask(context.side.store.cancel(id, context.now())).await?;
    tracing::info!(queue_id = %id, outcome = "cancelled", "an operator has cancelled the message");
    let shown = show(context, id).await;
    let provider = shown.as_ref().ok().and_then(|details| details.summary.provider.as_deref());
    context.side.delivery.cancelled(provider);
    shown
}

/// The message as it is now.
async fn show(context: &Context, id: QueueId) -> Result<Details, Problem> {
    let details = context.ask(context.side.store.show(id)).await?;
    details.ok_or_else(|| Problem::no_message(&id.to_string()))
}

fn answer(details: &Details) -> Response {
    Json(MessageJson::from(details)).into_response()
}
