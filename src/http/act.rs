//! `POST /api/v1/messages/{id}/retry`, `/cancel` and `POST /api/v1/messages/retry-failed`: what an operator does to messages.

use std::sync::Arc;

use axum::extract::{RawQuery, Request, State as Shared};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::api::{self, IdPath};
use super::error::{ErrorJson, Problem};
use super::json::MessageJson;
use super::side::Context;
use super::submit_doc::AddressInput;
use super::{body, filter, retry_input};
use crate::message::QueueId;
use crate::queue::{Details, Filter, Retried, Retry};

/// The largest body: a thousand addresses of the longest kind fit. [`super::routes`] sets it for these endpoints.
pub(super) const BODY_MAX: usize = 512 * 1024;

/// `POST /api/v1/messages/{id}/retry`
#[utoipa::path(
    post, path = "/api/v1/messages/{id}/retry", operation_id = "retryMessage", tag = "messages", summary = "Has a message tried again now",
    description = "For everybody who has not got it, or for those who are named; by its route, or by one provider. The body may be left out.",
    request_body(content = Option<RetryInput>),
    params(("id" = String, Path, format = "uuid")),
    responses(
        (status = 200, body = MessageJson, description = "The message as it is now"),
        (status = 400, body = ErrorJson, description = "`malformed_json`, `unknown_field`, `invalid_field`, `invalid_query`, `unreadable_body`"),
        (status = 404, body = ErrorJson, description = "`not_found`"),
        (status = 409, body = ErrorJson, description = "`wrong_state`"),
        (status = 410, body = ErrorJson, description = "`content_gone`: the content is past queue.keep_bodies"),
        (status = 413, body = ErrorJson, description = "`payload_too_large`"),
        (status = 415, body = ErrorJson, description = "`unsupported_media_type`"),
    ),
)]
pub(super) async fn retry(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    id: IdPath,
    request: Request,
) -> Result<Response, Problem> {
    context.may_submit(&caller)?;
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
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct RetriedJson {
    retried: u64,
    in_doubt: u64,
    without_content: u64,
    /// `before` of the request that goes on.
    #[schema(value_type = Option<String>, format = "uuid")]
    pub(super) next: Option<QueueId>,
}

/// What a retry may say.
#[derive(Debug, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only the document is made from it; the body is read field by field")]
struct RetryInput {
    /// Only this provider, instead of the route.
    provider: Option<String>,
    /// Only these, instead of everybody who has not got it.
    #[schema(min_items = 1)]
    recipients: Option<Vec<AddressInput>>,
}

/// `POST /api/v1/messages/retry-failed?before=`
#[utoipa::path(
    post, path = "/api/v1/messages/retry-failed", operation_id = "retryFailedMessages", tag = "messages", summary = "Has all that failed tried again",
    description = "A long list is done in several requests: while `next` is not null, ask again with it. There is no body.",
    params(("before" = Option<String>, Query, description = "`next` of the request before", format = "uuid")),
    responses(
        (status = 200, body = RetriedJson),
        (status = 400, body = ErrorJson, description = "`malformed_json`, `unknown_field`, `invalid_field`, `invalid_query`, `unreadable_body`"),
        (status = 413, body = ErrorJson, description = "`payload_too_large`"),
        (status = 415, body = ErrorJson, description = "`unsupported_media_type`"),
    ),
)]
pub(super) async fn retry_failed(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    context.may_submit(&caller)?;
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
#[utoipa::path(
    post, path = "/api/v1/messages/{id}/cancel", operation_id = "cancelMessage", tag = "messages", summary = "Stops a message that waits",
    params(("id" = String, Path, format = "uuid")),
    responses(
        (status = 200, body = MessageJson, description = "The message as it is now"),
        (status = 400, body = ErrorJson, description = "`malformed_json`, `unknown_field`, `invalid_field`, `invalid_query`, `unreadable_body`"),
        (status = 404, body = ErrorJson, description = "`not_found`"),
        (status = 409, body = ErrorJson, description = "`wrong_state`"),
        (status = 413, body = ErrorJson, description = "`payload_too_large`"),
        (status = 415, body = ErrorJson, description = "`unsupported_media_type`"),
    ),
)]
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
