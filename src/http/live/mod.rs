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
//! [`digest`] decides what is told, [`teller`] waits and writes, [`pulse`] asks the store for all streams together.

mod digest;
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
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use self::pulse::Pulse;
use self::teller::Teller;
use super::error::{ErrorJson, Problem};
use super::server::Cut;
use super::side::Context;

/// Streams that are open at the same time, of all callers together. Each holds one of the server's connections.
const STREAMS_MAX: usize = 32;

/// How long a stream lasts; then the client comes again, and the door asks again who it is.
const LIFE_MAX: Duration = Duration::from_mins(4);

/// When to ask again who found all of them taken.
const FULL_RETRY_SECONDS: u64 = 10;

/// Writes that wait for a reader.
const WRITES_MAX: usize = 4;

/// What the streams have in common.
#[derive(Debug)]
pub(super) struct Live {
    places: Arc<Semaphore>,
    pulse: Pulse,
    /// Ends all of them.
    shutdown: CancellationToken,
}

impl Live {
    pub(super) fn new(shutdown: CancellationToken) -> Self {
        Self { places: Arc::new(Semaphore::new(STREAMS_MAX)), pulse: Pulse::default(), shutdown }
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
    Extension(cut): Extension<Cut>,
) -> Result<Response, Problem> {
    let Ok(place) = Arc::clone(&context.live.places).try_acquire_owned() else {
        let message = format!("there are {STREAMS_MAX} streams already, which is the most");
        return Err(Problem::too_many(message, FULL_RETRY_SECONDS));
    };
    let (writes, reader) = mpsc::channel(WRITES_MAX);
    tokio::spawn(Teller::new(context, writes, cut, place).run());
    let headers = [
        (CONTENT_TYPE, "text/event-stream"),
        // nginx would collect what comes and pass it on in one piece.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::new(Stream(reader))).into_response())
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
