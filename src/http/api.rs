//! `/api/v1/messages`: the list, one message, its bytes. What is done to a message is in [`super::act`].

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State as Shared};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::error::Problem;
use super::filter;
use super::json::{MessageJson, PageJson};
use super::side::Context;
use crate::message::QueueId;
use crate::queue::{Details, StoreError};

/// The id of a path, as it was written.
pub(super) type IdPath = Result<Path<String>, PathRejection>;

/// `GET /api/v1/messages`
pub(super) async fn list(
    Shared(context): Shared<Arc<Context>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let filter = filter::parse(query.as_deref().unwrap_or(""))?;
    let page = context.ask(context.side.store.list(filter)).await?;
    Ok(Json(PageJson::from(&page)).into_response())
}

/// `GET /api/v1/messages/{id}`
pub(super) async fn show(
    Shared(context): Shared<Arc<Context>>,
    id: IdPath,
) -> Result<Response, Problem> {
    let details = find(&context, id).await?;
    Ok(Json(MessageJson::from(&details)).into_response())
}

/// `GET /api/v1/messages/{id}/raw`
pub(super) async fn raw(
    Shared(context): Shared<Arc<Context>>,
    id: IdPath,
) -> Result<Response, Problem> {
    let id = parse_id(id)?;
    let Ok(place) = Arc::clone(&context.downloads).try_acquire_owned() else {
        return Err(Problem::too_many("too many downloads at the same time", 1));
    };
    let content = match context.ask(content(&context, id)).await? {
        Content::Kept(bytes) => bytes,
        Content::Gone => return Err(Problem::content_gone()),
        Content::NoMessage => return Err(Problem::no_message(&id.to_string())),
    };
    let headers = [
        (CONTENT_TYPE, "message/rfc822".to_owned()),
        // A mail is a stranger's file: never shown by the browser in the page's own origin.
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.eml\"")),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox; frame-ancestors 'none'".to_owned()),
    ];
    let body = Bytes::from_owner(Download { bytes: content, _place: place });
    Ok((headers, body).into_response())
}

/// Content on its way out. Its place is free again when the last of it is gone.
struct Download {
    bytes: Bytes,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Download {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

enum Content {
    Kept(Bytes),
    Gone,
    NoMessage,
}

async fn content(context: &Context, id: QueueId) -> Result<Content, StoreError> {
    let store = &context.side.store;
    match store.content(id).await {
        Ok(Some(bytes)) => return Ok(Content::Kept(bytes)),
        Ok(None) | Err(StoreError::NotFound(_)) => {}
        Err(error) => return Err(error),
    }
    match store.show(id).await {
        Ok(Some(_)) => Ok(Content::Gone),
        Ok(None) | Err(StoreError::NotFound(_)) => Ok(Content::NoMessage),
        Err(error) => Err(error),
    }
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
