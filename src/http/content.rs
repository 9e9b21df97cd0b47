//! What is in one message: its bytes, its parts, and what of them is shown as text.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State as Shared};
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderName, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde::Serialize;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::error;
use utoipa::ToSchema;

use super::api::{IdPath, parse_id};
use super::error::{ErrorJson, Problem};
use super::page;
use super::side::{Context, STORE_TIMEOUT};
use crate::message::QueueId;
use crate::message::view::{self, PartView, View};
use crate::queue::StoreError;

/// How much of the source is shown, octets. The whole of it is a download.
const SOURCE_MAX: usize = 1024 * 1024;

/// Nothing may run in what a stranger has written, whatever a browser takes it for.
const DOWNLOAD_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'none'";
/// Likewise, in a frame of our page.
pub(super) const TEXT_POLICY: &str = "default-src 'none'; sandbox; frame-ancestors 'self'";

/// `GET /api/v1/messages/{id}/raw`
#[utoipa::path(
    get, path = "/api/v1/messages/{id}/raw", operation_id = "readMessage", tag = "messages", summary = "A message as it came",
    params(("id" = String, Path, format = "uuid")),
    responses(
        (status = 200, body = String, content_type = "message/rfc822"),
        (status = 404, body = ErrorJson, description = "`not_found`"),
        (status = 410, body = ErrorJson, description = "`content_gone`: the content is past queue.keep_bodies"),
        (status = 429, body = ErrorJson, description = "`too_many_requests`", headers(("Retry-After" = u64))),
    ),
)]
pub(super) async fn raw(
    Shared(context): Shared<Arc<Context>>,
    id: IdPath,
) -> Result<Response, Problem> {
    let id = parse_id(id)?;
    let place = download(&context)?;
    let content = kept(&context, id).await?;
    let headers = [
        (CONTENT_TYPE, "message/rfc822".to_owned()),
        // A mail is a stranger's file: never shown by the browser in the page's own origin.
        (CONTENT_DISPOSITION, format!("attachment; filename=\"{id}.eml\"")),
        (CONTENT_SECURITY_POLICY, DOWNLOAD_POLICY.to_owned()),
    ];
    let body = Bytes::from_owner(Download { bytes: content, _place: place });
    Ok((headers, body).into_response())
}

/// `GET /api/v1/messages/{id}/parts`: what is neither the text nor the HTML, without the content.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}/parts", operation_id = "listParts", tag = "messages", summary = "The files in a message",
    params(("id" = String, Path, format = "uuid")),
    responses(
        (status = 200, body = PartsJson),
        (status = 404, body = ErrorJson, description = "`not_found`"),
        (status = 410, body = ErrorJson, description = "`content_gone`: the content is past queue.keep_bodies"),
        (status = 429, body = ErrorJson, description = "`too_many_requests`", headers(("Retry-After" = u64))),
    ),
)]
pub(super) async fn parts(
    Shared(context): Shared<Arc<Context>>,
    id: IdPath,
) -> Result<Response, Problem> {
    let view = view(&context, parse_id(id)?).await?;
    let parts = view.parts.into_iter().map(PartJson::from).collect();
    Ok(Json(PartsJson { parts }).into_response())
}

/// `GET /api/v1/messages/{id}/parts/{number}`: what is neither the text nor the HTML, counted from 1.
#[utoipa::path(
    get, path = "/api/v1/messages/{id}/parts/{number}", operation_id = "readPart", tag = "messages", summary = "One file of a message",
    params(("id" = String, Path, format = "uuid"), ("number" = usize, Path, minimum = 1)),
    responses(
        (status = 200, body = Vec<u8>, content_type = "application/octet-stream", description = "The decoded bytes, under a media type that no browser runs"),
        (status = 404, body = ErrorJson, description = "`not_found`"),
        (status = 410, body = ErrorJson, description = "`content_gone`: the content is past queue.keep_bodies"),
        (status = 429, body = ErrorJson, description = "`too_many_requests`", headers(("Retry-After" = u64))),
    ),
)]
pub(super) async fn part(
    Shared(context): Shared<Arc<Context>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Ok(Path((id, number))) = path else { return Err(Problem::no_message("")) };
    let id = parse_id(Ok(Path(id)))?;
    let no_part = || {
        let message = "the message has no part of this number";
        Problem::new(StatusCode::NOT_FOUND, "not_found", message)
    };
    let number: usize = number.parse().map_err(|_| no_part())?;
    let place = download(&context)?;
    let found = read(&context, id, move |raw| view::part(raw, number)).await?;
    let part = found.ok_or_else(no_part)?;
    let headers = [
        (CONTENT_TYPE, part.media_type.to_owned()),
        (CONTENT_DISPOSITION, part.disposition),
        (CONTENT_SECURITY_POLICY, DOWNLOAD_POLICY.to_owned()),
    ];
    let body = Bytes::from_owner(Download { bytes: part.bytes, _place: place });
    Ok((headers, body).into_response())
}

/// `GET /messages/{id}/text`: the plain text, whole.
pub(super) async fn text(Shared(context): Shared<Arc<Context>>, id: IdPath) -> Response {
    let text = async {
        let place = showing(&context).await?;
        let text = read(&context, parse_id(id)?, view::text).await?;
        let missing = || Problem::new(StatusCode::NOT_FOUND, "no_text", "the mail has no text");
        Ok(held(text.ok_or_else(missing)?, place))
    };
    plain(text.await)
}

/// `GET /messages/{id}/headers`: the header fields, one on each line, decoded.
pub(super) async fn headers(Shared(context): Shared<Arc<Context>>, id: IdPath) -> Response {
    let lines = async {
        let place = showing(&context).await?;
        let headers = read(&context, parse_id(id)?, view::headers).await?;
        let mut lines = String::new();
        for field in &headers.fields {
            let more = if field.cut { " …" } else { "" };
            lines.push_str(&format!("{}: {}{more}\n", field.name, field.value));
        }
        if headers.left_out > 0 {
            lines.push_str(&format!("… {}\n", headers.left_out));
        }
        Ok(held(lines, place))
    };
    plain(lines.await)
}

/// `GET /messages/{id}/source`: the message as it came.
pub(super) async fn source(Shared(context): Shared<Arc<Context>>, id: IdPath) -> Response {
    let source = async {
        let id = parse_id(id)?;
        let place = showing(&context).await?;
        let (mut source, cut) = source_of(&context, id).await?;
        if cut {
            source.push_str(&format!("\n\n… /api/v1/messages/{id}/raw\n"));
        }
        Ok(held(source, place))
    };
    plain(source.await)
}

/// The message as it came, and whether it goes on.
pub(super) async fn source_of(
    context: &Arc<Context>,
    id: QueueId,
) -> Result<(String, bool), Problem> {
    let shown = |raw: &[u8]| {
        let start = raw.get(..SOURCE_MAX).unwrap_or(raw);
        (String::from_utf8_lossy(start).into_owned(), start.len() < raw.len())
    };
    read(context, id, shown).await
}

/// What of a message the page shows.
pub(super) async fn view(context: &Arc<Context>, id: QueueId) -> Result<View, Problem> {
    read(context, id, View::read).await
}

/// Does something with the bytes of a message, away from the threads that others wait for. It takes its turn: a large
/// message costs memory and time.
pub(super) async fn read<T: Send + 'static>(
    context: &Arc<Context>,
    id: QueueId,
    work: impl FnOnce(&[u8]) -> T + Send + 'static,
) -> Result<T, Problem> {
    let turn = place_among(&context.views).await?;
    let raw = kept(context, id).await?;
    let working = tokio::task::spawn_blocking(move || {
        // Until the work is done, though nobody may wait for it any more.
        let _turn = turn;
        work(&raw)
    });
    working.await.map_err(|error| {
        error!(%error, message_id = %id, "http: a message could not be read, by a fault of ours");
        let message = "reading the message failed by a fault of mailferry; see the log";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", message)
    })
}

/// A place for what is shown of a message. It is taken before there is anything to hold.
pub(super) async fn showing(context: &Context) -> Result<OwnedSemaphorePermit, Problem> {
    place_among(&context.shown).await
}

async fn place_among(places: &Arc<Semaphore>) -> Result<OwnedSemaphorePermit, Problem> {
    let place = tokio::time::timeout(STORE_TIMEOUT, Arc::clone(places).acquire_owned()).await;
    let Ok(Ok(place)) = place else {
        return Err(Problem::too_many("too many messages are being read", 1));
    };
    Ok(place)
}

/// What is shown of a message, with its place.
pub(super) fn held(shown: String, place: OwnedSemaphorePermit) -> Bytes {
    Bytes::from_owner(Download { bytes: shown.into(), _place: place })
}

/// The parts of a message.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PartsJson {
    parts: Vec<PartJson>,
}

/// One of them.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PartJson {
    /// What it is asked for by.
    number: usize,
    /// A name that is safe to write a file under.
    filename: String,
    /// As the message states it.
    media_type: String,
    /// When decoded, octets.
    size: usize,
    /// The HTML shows it.
    inline: bool,
}

impl From<PartView> for PartJson {
    fn from(part: PartView) -> Self {
        let PartView { number, filename, media_type, size, inline, alternative: _ } = part;
        Self { number, filename, media_type, size, inline }
    }
}

/// Text of a stranger, for a person.
fn plain(text: Result<Bytes, Problem>) -> Response {
    const HEADERS: [(HeaderName, &str); 2] =
        [(CONTENT_TYPE, "text/plain; charset=utf-8"), (CONTENT_SECURITY_POLICY, TEXT_POLICY)];
    match text {
        Ok(text) => (HEADERS, text).into_response(),
        Err(problem) => page::problem(&problem),
    }
}

pub(super) fn download(context: &Context) -> Result<OwnedSemaphorePermit, Problem> {
    let place = Arc::clone(&context.downloads).try_acquire_owned();
    place.map_err(|_| Problem::too_many("too many downloads at the same time", 1))
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

/// The bytes of a message, if they are still there.
pub(super) async fn kept(context: &Context, id: QueueId) -> Result<Bytes, Problem> {
    match context.ask(content(context, id)).await? {
        Content::Kept(bytes) => Ok(bytes),
        Content::Gone => Err(Problem::new(
            StatusCode::GONE,
            "content_gone",
            "the content is past queue.keep_bodies and was removed; the record is still there",
        )),
        Content::NoMessage => Err(Problem::no_message(&id.to_string())),
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
