//! `/api/v1/messages`: the list, one message. Its bytes are in [`super::content`], what is done to it in [`super::act`].

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::response::{IntoResponse, Response};

use super::error::{ErrorJson, Problem};
use super::filter;
use super::json::{MessageJson, PageJson, StateJson};
use super::side::Context;
use crate::message::QueueId;
use crate::queue::Details;

/// The id of a path, as it was written.
pub(super) type IdPath = Result<Path<String>, PathRejection>;

/// `GET /api/v1/messages`
#[utoipa::path(
    get, path = "/api/v1/messages", operation_id = "listMessages", tag = "messages", summary = "Messages, the newest first",
    params(
        ("state" = Option<StateJson>, Query),
        ("provider" = Option<String>, Query, description = "The last to have it", max_length = 200),
        ("q" = Option<String>, Query, description = "A part of sender, recipient, subject, Message-ID or the provider's id, whatever the case", max_length = 200),
        ("before" = Option<String>, Query, description = "`next` of the page before", format = "uuid"),
        ("limit" = Option<u16>, Query, description = "How many at the most; 50 unless it is said", minimum = 1, maximum = 500),
    ),
    responses(
        (status = 200, body = PageJson),
        (status = 400, body = ErrorJson, description = "`invalid_query`"),
    ),
)]
pub(super) async fn list(
    Shared(context): Shared<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let filter = filter::parse(query.as_deref().unwrap_or(""))?;
    let page = context.ask(context.side.store.list(filter)).await?;
    Ok(Json(PageJson::from(&page)).into_response())
}

/// `GET /api/v1/messages/{id}`
#[utoipa::path(
    get, path = "/api/v1/messages/{id}", operation_id = "showMessage", tag = "messages", summary = "One message, with its attempts",
    params(("id" = String, Path, format = "uuid")),
    responses(
        (status = 200, body = MessageJson),
        (status = 404, body = ErrorJson, description = "`not_found`"),
    ),
)]
pub(super) async fn show(
    Shared(context): Shared<Arc<Context>>,
    id: IdPath,
) -> Result<Response, Problem> {
    let details = find(&context, id).await?;
    Ok(Json(MessageJson::from(&details)).into_response())
}

/// The message that a path names.
pub(super) async fn find(context: &Context, id: IdPath) -> Result<Details, Problem> {
    let id = parse_id(id)?;
    let details = context.ask(context.side.store.show(id)).await?;
    details.ok_or_else(|| Problem::no_message(&id.to_string()))
}

/// What is no id names no message either.
pub(super) fn parse_id(id: IdPath) -> Result<QueueId, Problem> {
    let Ok(Path(text)) = id else { return Err(Problem::no_message("")) };
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(64).collect();
        Problem::no_message(&shown)
    })
}
