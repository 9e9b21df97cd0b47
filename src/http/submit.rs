//! `POST /api/v1/messages`: a message as JSON, into the queue.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::Bytes;
use axum::extract::{Request, State as Shared};
use axum::http::header::{CONTENT_LENGTH, HeaderName, HeaderValue, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::access::Caller;
use super::error::{ErrorJson, Problem};
use super::server::Peer;
use super::side::{Context, Rules};
use super::{body, submit_doc, submit_input};
use crate::clock::Timestamp;
use crate::delivery::{Cause, NotSent};
use crate::message::{QueueId, Submission};
use crate::queue::{Once, Seen, State, StoreError};

/// Bodies above it take one of the few places for large ones, octets.
const SMALL: usize = 256 * 1024;

/// The longest `Idempotency-Key`, octets.
const KEY_MAX: usize = 255;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// A message that was taken.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AcceptedJson {
    #[schema(value_type = String, format = "uuid")]
    id: QueueId,
    /// `queued`: it is safe. In direct mode `delivered`.
    #[schema(value_type = super::json::StateJson)]
    state: State,
}

/// Queues a message.
///
/// The answer comes when the message would survive a power cut. With `Idempotency-Key` a repeat within 24 hours is answered
/// like the first request, and not sent again. With `delivery.mode = "direct"` there is no queue: the answer comes when the
/// provider has the message, and a request with `Idempotency-Key` is refused, since nothing would remember it.
#[utoipa::path(
    post, path = "/api/v1/messages", operation_id = "submitMessage", tag = "messages",
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 printable ASCII characters", pattern = "^[!-~]([ -~]{0,253}[!-~])?$", max_length = 255)),
    request_body = submit_doc::MessageInput,
    responses(
        (status = 200, body = AcceptedJson, description = "Direct mode: the provider has it"),
        (status = 202, body = AcceptedJson, description = "It is in the queue", headers(
            ("Location" = String, description = "The message in the API"),
            ("Idempotent-Replayed" = Option<String>, description = "`true`: it was taken before, under the same key"),
        )),
        (status = 400, body = ErrorJson, description = "`malformed_json`, `unknown_field`, `invalid_field`, `invalid_message`, `invalid_idempotency_key`, `idempotency_key_unsupported`"),
        (status = 409, body = ErrorJson, description = "`idempotency_key_reused`: the key was used for another body"),
        (status = 413, body = ErrorJson, description = "`payload_too_large`: above smtp.max_message_size"),
        (status = 415, body = ErrorJson, description = "`unsupported_media_type`"),
        (status = 429, body = ErrorJson, description = "`too_many_requests`", headers(("Retry-After" = u64))),
        (status = 502, body = ErrorJson, description = "Direct mode: `not_sent`, in the provider's words"),
        (status = 503, body = ErrorJson, description = "`queue_full`, `store_unavailable`"),
    ),
)]
pub(super) async fn submit(
    Shared(context): Shared<Arc<Context>>,
    Extension(Peer(peer)): Extension<Peer>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Response, Problem> {
    body::must_be_json(request.headers())?;
    let key = read_key(request.headers())?;
    if key.is_some() && !context.side.delivery.has_queue() {
        return Err(Problem::bad_input(
            "idempotency_key_unsupported",
            "without a queue (delivery.mode = \"direct\") nothing remembers an Idempotency-Key",
        ));
    }
    context.may_submit(&caller)?;
    let rules = context.rules.load_full();
    // Base64 makes four thirds of it, escapes and names some more.
    let limit = usize::try_from(rules.message_bytes_max / 2 * 3).unwrap_or(usize::MAX);
    let limit = limit.saturating_add(64 * 1024);
    let large = if is_small(request.headers()) {
        None
    } else {
        let place = Arc::clone(&context.large).try_acquire_owned();
        Some(place.map_err(|_| Problem::too_many("large messages are being handed in", 1))?)
    };
    let body = body::read_up_to(request, limit).await?;
    let once = key.map(|key| once(&key, &body, context.now()));
    let (now, ip) = (context.now(), peer.ip());
    // Large bodies take their time to be read. The place goes where the message goes: this work, and that below, is done to
    // its end though the caller may have hung up.
    let composing = tokio::task::spawn_blocking(move || (compose(&body, &rules, now), large));
    let (submission, large) = composing.await.map_err(|_| Problem::internal())?;
    let submission = Submission { peer: Some(ip), ..submission? };
    // A task of its own: a caller that hangs up must not leave a message half handed over.
    let task = Arc::clone(&context);
    let handing = tokio::spawn(async move {
        let answer = hand_over(&task, submission, once).await;
        drop(large);
        answer
    });
    handing.await.map_err(|_| Problem::internal())?
}

/// True when the body says that it is small. One of unknown length may be large.
fn is_small(headers: &HeaderMap) -> bool {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.is_some_and(|length: usize| length <= SMALL)
}

/// The `Idempotency-Key`, if there is one.
fn read_key(headers: &HeaderMap) -> Result<Option<Vec<u8>>, Problem> {
    let mut keys = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = keys.next() else { return Ok(None) };
    let key = key.as_bytes();
    let printable = key.iter().all(|byte| (b' '..=b'~').contains(byte));
    if keys.next().is_some() || key.is_empty() || key.len() > KEY_MAX || !printable {
        return Err(Problem::bad_input(
            "invalid_idempotency_key",
            format!(
                "Idempotency-Key must be one text of 1 to {KEY_MAX} printable ASCII characters"
            ),
        ));
    }
    Ok(Some(key.to_vec()))
}

fn once(key: &[u8], body: &Bytes, at: Timestamp) -> Once {
    let hash = |bytes: &[u8]| {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, bytes).as_ref());
        hash
    };
    Once { key: hash(key), request: hash(body), at }
}

/// The message that a body describes.
fn compose(body: &Bytes, rules: &Rules, now: Timestamp) -> Result<Submission, Problem> {
    let draft = submit_input::parse(body, &rules.sender, rules.recipients_max)?;
    let submission = draft.compose(now);
    let submission =
        submission.map_err(|error| Problem::bad_input("invalid_message", error.to_string()))?;
    let (size, max) = (submission.raw.len(), rules.message_bytes_max);
    if u64::try_from(size).unwrap_or(u64::MAX) > max {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "payload_too_large",
            format!("the message has {size} octets, smtp.max_message_size is {max}"),
        ));
    }
    Ok(submission)
}

async fn hand_over(
    context: &Context,
    submission: Submission,
    once: Option<Once>,
) -> Result<Response, Problem> {
    let delivery = &context.side.delivery;
    if !delivery.has_queue() {
        let sent = delivery.send_now(submission, None).await.map_err(|it| not_sent(&it))?;
        let body = AcceptedJson { id: sent.id, state: State::Delivered };
        return Ok(Json(body).into_response());
    }
    match delivery.submit(submission, once).await {
        Ok(id) => Ok(accepted(id, false)),
        Err(StoreError::Seen(Seen::Same(id))) => Ok(accepted(id, true)),
        Err(StoreError::Seen(Seen::Other)) => Err(Problem::new(
            StatusCode::CONFLICT,
            "idempotency_key_reused",
            "this Idempotency-Key was used for another body within the last 24 hours",
        )),
        Err(error) => Err(error.into()),
    }
}

fn accepted(id: QueueId, replayed: bool) -> Response {
    let body = AcceptedJson { id, state: State::Queued };
    let mut response = (StatusCode::ACCEPTED, Json(body)).into_response();
    let headers = response.headers_mut();
    // An id is ASCII.
    if let Ok(location) = HeaderValue::from_str(&format!("/api/v1/messages/{id}")) {
        headers.insert(LOCATION, location);
    }
    if replayed {
        headers.insert(REPLAYED, HeaderValue::from_static("true"));
    }
    response
}

fn not_sent(problem: &NotSent) -> Problem {
    let status = match problem.cause {
        Cause::NoProvider | Cause::Rejected | Cause::Suppressed | Cause::Unavailable => {
            StatusCode::BAD_GATEWAY
        }
        Cause::Store => StatusCode::SERVICE_UNAVAILABLE,
    };
    let message = match &problem.provider {
        Some(provider) => format!("{provider}: {}", problem.error),
        None => problem.error.clone(),
    };
    Problem::new(status, "not_sent", message)
}
