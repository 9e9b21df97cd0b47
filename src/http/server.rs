//! The listener: sockets, their limits, and how they end.
//!
//! The limits are small on purpose. Nothing that is asked here may take from the relay the memory, the files or the time
//! that mail needs.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::access::{Access, Memory};
use super::patient::Patient;
use super::routes;
use super::side::{Context, Rules, Side};
use crate::config::{HttpConfig, SenderConfig};

/// Connections in all. More wait in the kernel's backlog until one ends.
const CONNECTIONS_MAX: usize = 256;

/// For the head of a request; also how long a kept connection may be idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest head of a request, octets.
const HEAD_MAX: usize = 16 * 1024;

/// How much of a connection is buffered, octets.
const BUFFER_MAX: usize = 32 * 1024;

/// How long a connection may be used; after that it ends with the answer to its last request.
const CONNECTION_LIFE_MAX: Duration = Duration::from_secs(5 * 60);

/// How long the last answer of an ending connection may take; more than a provider call does.
const ENDING_MAX: Duration = Duration::from_secs(60);

/// How long `run` waits for running requests at shutdown, as SPEC 6 says of running calls.
const SHUTDOWN_MAX: Duration = Duration::from_secs(30);

/// The pause after the system could not give a connection: mostly it is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Who a request came from: the TCP peer, whatever the headers say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) SocketAddr);

/// A bound listener that does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    access: Access,
    memory: Memory,
}

/// Takes the address of `http.listen`, or the socket that was handed over in its place; an error names the address.
/// Connections wait in the backlog until [`Server::run`].
pub async fn bind(config: &HttpConfig, handed: Option<net::TcpListener>) -> io::Result<Server> {
    let listener = match handed {
        Some(handed) => {
            handed.set_nonblocking(true)?;
            TcpListener::from_std(handed)?
        }
        None => TcpListener::bind(config.listen).await.map_err(|error| {
            let address = config.listen;
            io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
        })?,
    };
    let address = listener.local_addr()?;
    let memory = Memory::new()
        .map_err(|_| io::Error::other("the system has no randomness for the keys of sessions"))?;
    Ok(Server { listener, address, access: Access::new(config), memory })
}

impl Server {
    /// Where it listens; the true port where the configuration says 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until `shutdown`, then lets running requests finish, for half a minute at the most.
    pub async fn run(self, side: Side, shutdown: CancellationToken) {
        self.start(side, shutdown).1.await;
    }

    /// The same, and with it what changes the rules while it answers.
    pub fn start(
        self,
        side: Side,
        shutdown: CancellationToken,
    ) -> (Control, impl Future<Output = ()> + use<>) {
        let Self { listener, address: _, access, memory } = self;
        let context = Context::new(side, access, memory, shutdown.clone());
        let control = Control { context: Arc::clone(&context) };
        (control, answer(listener, routes::router(context), shutdown))
    }
}

/// Changes the rules of a server that works.
#[derive(Clone)]
pub struct Control {
    context: Arc<Context>,
}

impl fmt::Debug for Control {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    #[cfg(test)]
    pub(super) fn context(&self) -> &Context {
        &self.context
    }

    /// From the next request on, also over connections that are open, these hold.
    pub fn change(
        &self,
        config: &HttpConfig,
        sender: SenderConfig,
        recipients_max: usize,
        message_bytes_max: u64,
        catching: bool,
    ) {
        let access = Access::new(config);
        let rules = Rules { access, sender, recipients_max, message_bytes_max, catching };
        self.context.rules.store(Arc::new(rules));
    }
}

async fn answer(listener: TcpListener, router: Router, shutdown: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed: a permit always comes.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, accepted) = tokio::select! {
            () = shutdown.cancelled() => break,
            next = next => next,
            Some(ended) = connections.join_next() => {
                log_panic(ended);
                continue;
            }
        };
        match accepted {
            Ok((stream, peer)) => {
                let serving = serve(stream, peer, router.clone(), shutdown.clone());
                connections.spawn(async move {
                    serving.await;
                    drop(place);
                });
            }
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                warn!(%error, "http: a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    let finished = async {
        while let Some(ended) = connections.join_next().await {
            log_panic(ended);
        }
    };
    if tokio::time::timeout(SHUTDOWN_MAX, finished).await.is_err() {
        warn!("http: requests were still running at shutdown and were cut off");
    }
}

/// One connection from its first byte to its last.
async fn serve(stream: TcpStream, peer: SocketAddr, router: Router, shutdown: CancellationToken) {
    // An answer is written at once; waiting for more to send would only delay it.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_header_size(HEAD_MAX)
        .max_buf_size(BUFFER_MAX)
        .serve_connection(TokioIo::new(Patient::new(stream)), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = shutdown.cancelled() => None,
        () = tokio::time::sleep(CONNECTION_LIFE_MAX) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(ENDING_MAX, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "http: connection ended");
    }
}

/// A connection that was gone before it was taken says nothing about the next one.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "http: a request failed by a fault of ours");
    }
}
