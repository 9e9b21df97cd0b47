//! `GET /api/v1/events`: what changes, while it changes, as server-sent events.
//!
//! A stream begins with `retry`, the counts of the queue and the state of every provider. Then come:
//!
//! - `message` `{"id", "state"}`: this message is in this state now;
//! - `many` `{}`: more has changed than is worth naming; who shows a list should ask for it again;
//! - `queue`: counts as in `/health`, at most once a second, when they have changed;
//! - `providers`: all of them as in `/health`, when the state of one has changed;
//! - comments, so that nothing on the way takes a quiet stream for a dead one.
//!
//! Nothing is kept for a client that was away: after it has connected (again), it looks at everything once. Ids of events
//! would promise more. What other programs do to the same queue file shows in the counts only.
//!
//! [`digest`] decides what is told, [`teller`] waits and writes, [`pulse`] asks the store for all streams together,
//! [`places`] counts them.

mod digest;
mod places;
mod pulse;
mod teller;

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::State as Shared;
use axum::http::HeaderName;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use self::places::Places;
use self::pulse::Pulse;
use self::teller::Teller;
use super::access::Caller;
use super::error::{ErrorJson, Problem};
use super::side::{Context, Rules};

/// How long a stream lasts; then the client comes again, and the door asks again who it is.
const LIFE_MAX: Duration = Duration::from_mins(4);

/// When to ask again who found no place.
const FULL_RETRY_SECONDS: u64 = 10;

/// Writes that wait for a reader.
const WRITES_MAX: usize = 4;

/// What the streams have in common.
#[derive(Debug)]
pub(super) struct Live {
    places: Arc<Places>,
    pulse: Pulse,
    /// Ends all of them.
    shutdown: CancellationToken,
}

impl Live {
    pub(super) fn new(shutdown: CancellationToken) -> Self {
        Self { places: Arc::default(), pulse: Pulse::default(), shutdown }
    }
}

/// `GET /api/v1/events`
#[utoipa::path(
    get, path = "/api/v1/events", operation_id = "followEvents", tag = "state", summary = "What changes, while it changes",
    description = "Server-sent events: `message` {id, state}, `many` {}, `queue` and `providers` as in /health. Nothing is kept for who was away.",
    responses(
        (status = 200, body = String, content_type = "text/event-stream"),
        (status = 429, body = ErrorJson, description = "`too_many_requests`", headers(("Retry-After" = u64))),
    ),
)]
pub(super) async fn events(
    Shared(context): Shared<Arc<Context>>,
    Extension(caller): Extension<Caller>,
    Extension(rules): Extension<Arc<Rules>>,
) -> Result<Response, Problem> {
    let place = Places::take(&context.live.places, caller.account())
        .map_err(|full| Problem::too_many(full.to_string(), FULL_RETRY_SECONDS))?;
    let (writes, reader) = mpsc::channel(WRITES_MAX);
    tokio::spawn(Teller::new(context, writes, Leave { rules, caller }, place).run());
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        // nginx would collect what comes and pass it on in one piece.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(Stream(reader))).into_response())
}

/// Why a stream was begun, and goes on as long as it holds.
struct Leave {
    /// What the caller was let in by. Others may let in others.
    rules: Arc<Rules>,
    caller: Caller,
}

impl Leave {
    fn holds(&self, context: &Context) -> bool {
        Arc::ptr_eq(&self.rules, &context.rules.load())
            && self.caller.is_still_here(&context.memory, Instant::now())
    }
}

/// The body of the answer: ends when the teller does.
struct Stream(mpsc::Receiver<Bytes>);

impl http_body::Body for Stream {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.0.poll_recv(context).map(|write| write.map(|bytes| Ok(Frame::data(bytes))))
    }
}
