//! The one HTTP client: carries a request there and the answer back, once.
//!
//! No redirects (a key must not travel to where an answer points), no silent repeats, every wait and every answer
//! bounded. What the answer means is for the providers to say.

use std::convert::Infallible;
use std::error::Error as _;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Request};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use super::resolve::Resolver;
use super::{SendError, Verdict};

/// The most that is read of an answer. Real ones have a few hundred octets, for each message where there are several.
pub(super) const ANSWER_MAX: usize = 512 * 1024;

/// For TCP and TLS. A provider that does not answer within this is down, whatever the call may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Shorter than the minute after which common load balancers close idle connections, so that a request seldom meets
/// one that is just being closed.
const POOL_IDLE: Duration = Duration::from_secs(50);

/// The HTTP client that all providers share, with its connections kept open between calls. Cloning shares them.
#[derive(Clone, Debug)]
pub struct HttpClient(reqwest::Client);

/// The client could not be set up.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client cannot be set up")]
pub struct ClientError(#[from] reqwest::Error);

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    /// At most [`ANSWER_MAX`] octets.
    pub(super) body: Bytes,
    /// False when the connection was lost or the time ran out within the body.
    pub(super) whole: bool,
}

impl HttpClient {
    /// A client that trusts the system's root certificates, or the compiled-in ones of Mozilla where the system has
    /// none, as in an empty container.
    pub fn new() -> Result<Self, ClientError> {
        let client = builder().build().or_else(|error| {
            tracing::debug!(%error, "no root certificates on this system, taking the built-in ones");
            builder().tls_certs_only(built_in_roots()).build()
        })?;
        Ok(Self(client))
    }

    /// Sends the request once and reads the answer, all within `time`.
    ///
    /// An error means that there was no answer; `unclear` in it says whether the provider may have the request.
    pub(super) async fn exchange(
        &self,
        request: Request<Bytes>,
        time: Duration,
    ) -> Result<Answer, SendError> {
        let deadline = Instant::now() + time;
        let (parts, bytes) = request.into_parts();
        let begun = Arc::new(AtomicBool::new(false));
        let body = Outgoing { bytes, begun: Arc::clone(&begun) };
        let request = Request::from_parts(parts, reqwest::Body::wrap(body));
        let request = reqwest::Request::try_from(request).map_err(|error| unusable(&error))?;

        let sent = timeout_at(deadline, self.0.execute(request)).await;
        let begun = begun.load(Ordering::Relaxed);
        match sent {
            Ok(Ok(response)) => Ok(read(response, deadline).await),
            Ok(Err(error)) => Err(lost(&error, begun)),
            Err(_elapsed) => Err(no_answer(format!("no answer within {time:?}"), begun)),
        }
    }
}

fn builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .user_agent(user_agent())
        .dns_resolver(Resolver::default())
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .tcp_nodelay(true)
        .tcp_keepalive(Duration::from_secs(30))
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(POOL_IDLE)
}

/// Resend refuses requests without one, and a provider's support finds us by it.
pub(super) fn user_agent() -> String {
    let version = env!("CARGO_PKG_VERSION");
    match env!("CARGO_PKG_REPOSITORY") {
        "" => format!("mailferry/{version}"),
        repository => format!("mailferry/{version} (+{repository})"),
    }
}

fn built_in_roots() -> Vec<reqwest::Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|der| reqwest::Certificate::from_der(der).ok())
        .collect()
}

async fn read(mut response: reqwest::Response, deadline: Instant) -> Answer {
    let status = response.status().as_u16();
    let headers = std::mem::take(response.headers_mut());
    let mut body = BytesMut::new();
    let whole = loop {
        match timeout_at(deadline, response.chunk()).await {
            Ok(Ok(Some(chunk))) => {
                let room = ANSWER_MAX - body.len();
                body.extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if body.len() == ANSWER_MAX {
                    // What follows is not worth the memory; dropping the response closes the connection.
                    break true;
                }
            }
            Ok(Ok(None)) => break true,
            Ok(Err(_)) | Err(_) => break false,
        }
    };
    Answer { status, headers, body: body.freeze(), whole }
}

/// How much of a body the connection gets at a time. A client that gathers what it writes (over TLS) copies what it
/// gets, and keeps the room for as long as the connection lives: of a large body that must be a small part.
const PIECE_MAX: usize = 64 * 1024;

/// The request body, which notes when the connection begins to take it: before that, nothing can have arrived. Its pieces
/// are views of the one body.
struct Outgoing {
    bytes: Bytes,
    begun: Arc<AtomicBool>,
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.begun.store(true, Ordering::Relaxed);
        let length = self.bytes.len().min(PIECE_MAX);
        let piece = self.bytes.split_to(length);
        Poll::Ready((length > 0).then_some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

fn lost(error: &reqwest::Error, begun: bool) -> SendError {
    let cause = innermost(error);
    let what = if error.is_connect() {
        "cannot connect"
    } else if begun {
        "connection lost before the answer"
    } else {
        "connection lost before the request"
    };
    no_answer(format!("{what}: {cause}"), begun)
}

/// The last cause of the chain. The outer ones repeat each other and name the URL.
fn innermost(error: &reqwest::Error) -> String {
    let mut cause = error.source();
    while let Some(deeper) = cause.and_then(|cause| cause.source()) {
        cause = Some(deeper);
    }
    cause.map_or_else(|| "no reason known".to_owned(), ToString::to_string)
}

fn no_answer(reason: String, unclear: bool) -> SendError {
    SendError { verdict: Verdict::Temporary { retry_after: None }, status: None, reason, unclear }
}

fn unusable(error: &reqwest::Error) -> SendError {
    SendError {
        verdict: Verdict::Bug,
        status: None,
        reason: format!("not a request that can be sent: {}", innermost(error)),
        unclear: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_agent_names_the_program_and_its_version() {
        assert!(user_agent().starts_with(concat!("mailferry/", env!("CARGO_PKG_VERSION"))));
    }

    #[test]
    fn the_built_in_roots_are_all_usable() {
        assert_eq!(built_in_roots().len(), webpki_root_certs::TLS_SERVER_ROOT_CERTS.len());
        assert!(builder().tls_certs_only(built_in_roots()).build().is_ok());
    }

    #[test]
    fn a_client_is_made() {
        HttpClient::new().unwrap();
    }

    #[test]
    fn a_client_is_made_where_the_system_has_no_root_certificates() {
        // The environment of this process must not change under other tests; a child has its own.
        let ended = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "provider::exchange::tests::a_client_is_made", "--quiet"])
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("1 passed"), "{said}");
    }
}
