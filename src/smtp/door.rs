//! One listening socket: accepts clients, finds out who they are, and serves those for whom there is a seat.
//!
//! The order is the same for every connection: accept, PROXY header, admission of the client's address, TLS, dialogue.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use super::admission::{Admission, Seat};
use super::connection::{self, Service};
use super::occasional::Notices;
use super::proxy;
use super::reply::Reply;
use super::session::Peer;
use super::sockets::ListeningSocket;
use super::tls::Acceptor;

/// The pause after the system could not give a connection: without file descriptors it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How long a refused client may take to read why, and what it may send meanwhile.
const REFUSAL_TIME_MAX: Duration = Duration::from_secs(1);
const REFUSAL_OCTETS_MAX: usize = 16 * 1024;

/// Refused clients that are waited for at the same time. Those beyond are told as well, but not waited for.
const REFUSALS_MAX: usize = 64;

/// As many may have been connected by the system when the door is closed, and more are not looked for.
const BACKLOG_MAX: usize = 1024;

/// Whom addresses belong to.
#[derive(Clone, Debug, Default)]
pub(super) struct Networks {
    pub(super) trusted: Vec<IpNet>,
    pub(super) proxies: Vec<IpNet>,
}

impl Networks {
    pub(super) fn trusts(&self, address: IpAddr) -> bool {
        self.trusted.iter().any(|network| network.contains(&address))
    }

    fn is_proxy(&self, address: IpAddr) -> bool {
        self.proxies.iter().any(|network| network.contains(&address))
    }
}

/// What holds for a connection, from when it is accepted to its end.
pub(super) struct Terms {
    pub(super) service: Service,
    pub(super) networks: Networks,
    /// For connections over TLS from the first octet; there is one wherever a socket for them is.
    pub(super) implicit_tls: Option<Acceptor>,
}

/// What all doors share.
pub(super) struct House {
    /// For connections that are accepted from now on.
    pub(super) terms: ArcSwap<Terms>,
    pub(super) admission: Arc<Admission>,
    pub(super) notices: Arc<Notices>,
    /// Nobody else is let in.
    pub(super) closing: CancellationToken,
    /// Those inside are sent away.
    pub(super) shutdown: CancellationToken,
    refusals: Arc<Semaphore>,
}

impl House {
    pub(super) fn new(terms: Terms, admission: Arc<Admission>, closing: CancellationToken) -> Self {
        Self {
            admission,
            closing,
            notices: Arc::clone(&terms.service.notices),
            shutdown: terms.service.shutdown.clone(),
            refusals: Arc::new(Semaphore::new(REFUSALS_MAX)),
            terms: ArcSwap::from_pointee(terms),
        }
    }

    /// Whether somebody else takes those who come when the door is closed.
    pub(super) fn is_behind_a_balancer(&self) -> bool {
        !self.terms.load().networks.proxies.is_empty()
    }
}

/// One bound address.
pub(super) struct Door {
    pub(super) listening: ListeningSocket,
    pub(super) house: Arc<House>,
}

impl Door {
    /// Lets clients in until shutdown, then waits for those inside.
    pub(super) async fn keep(self) {
        let Self { listening: ListeningSocket { socket, implicit_tls }, house } = self;
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = house.closing.cancelled() => break,
                accepted = socket.accept() => match accepted {
                    Ok((stream, address)) => {
                        Arrival::new(stream, implicit_tls, &house).admit(address, &mut connections);
                    }
                    Err(error) if concerns_one_connection(&error) => {}
                    Err(error) => {
                        if let Some(unlogged) = house.notices.accept.take() {
                            warn!(%error, unlogged, "cannot accept an SMTP connection");
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => report(ended),
            }
        }
        if house.is_behind_a_balancer() {
            // The balancer has connected them for clients, who would see the connection break.
            for (stream, address) in those_at_the_door(socket) {
                Arrival::new(stream, implicit_tls, &house).admit(address, &mut connections);
            }
        } else {
            drop(socket);
        }
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }
}

/// A connection that has been accepted and not been asked in yet.
struct Arrival {
    stream: TcpStream,
    implicit_tls: bool,
    terms: Arc<Terms>,
    house: Arc<House>,
}

impl Arrival {
    fn new(stream: TcpStream, implicit_tls: bool, house: &Arc<House>) -> Self {
        Self { stream, implicit_tls, terms: house.terms.load_full(), house: Arc::clone(house) }
    }

    /// Gives it a seat or turns it away. Never waits: others are at the door.
    fn admit(self, address: SocketAddr, connections: &mut JoinSet<()>) {
        // A client that reaches an IPv6 socket over IPv4 is the same client.
        let address = address.ip().to_canonical();
        let admission = &self.house.admission;
        if self.terms.networks.is_proxy(address) {
            match admission.enter() {
                Ok(seat) => {
                    connections.spawn(self.welcome_through_proxy(address, seat));
                }
                Err(reply) => self.turn_away(address, &reply, connections),
            }
            return;
        }
        let peer = Peer { address, trusted: self.terms.networks.trusts(address), secure: false };
        match admission.admit(address, peer.trusted) {
            Ok(seat) => {
                connections.spawn(self.serve(peer, seat));
            }
            Err(reply) => self.turn_away(address, &reply, connections),
        }
    }

    /// Asks the proxy for whom it speaks.
    async fn welcome_through_proxy(mut self, proxy: IpAddr, mut seat: Seat) {
        let origin = tokio::select! {
            origin = proxy::read(&mut self.stream) => origin,
            () = self.house.shutdown.cancelled() => return,
        };
        let origin = match origin {
            Ok(origin) => origin,
            Err(reason) => {
                if let Some(unlogged) = self.house.notices.proxy.take() {
                    warn!(
                        peer = %proxy, %reason, unlogged,
                        "a connection from smtp.proxy_networks was closed"
                    );
                }
                return;
            }
        };
        let address = origin.client.unwrap_or(proxy);
        let trusted = self.terms.networks.trusts(address);
        let peer = Peer { address, trusted, secure: origin.secure };
        match seat.claim(address, trusted) {
            Ok(()) => self.serve(peer, seat).await,
            Err(reply) => {
                drop(seat);
                if let Some(refusing) = self.refuse(address, &reply) {
                    refusing.await;
                }
            }
        }
    }

    async fn serve(self, peer: Peer, seat: Seat) {
        let Self { stream, implicit_tls, terms, house: _ } = self;
        if let Err(error) = stream.set_nodelay(true) {
            debug!(peer = %peer.address, %error, "the client has gone already");
            return;
        }
        match &terms.implicit_tls {
            Some(acceptor) if implicit_tls => {
                connection::serve_tls(stream, acceptor, peer, &terms.service).await;
            }
            // Without a certificate the socket would not have been opened.
            None if implicit_tls => {}
            Some(_) | None => connection::serve(stream, peer, &terms.service).await,
        }
        drop(seat);
    }

    fn turn_away(self, address: IpAddr, reply: &Reply, connections: &mut JoinSet<()>) {
        if let Some(refusing) = self.refuse(address, reply) {
            connections.spawn(refusing);
        }
    }

    /// Says why there is no seat. What is returned waits until the client has had time to read it.
    fn refuse(self, address: IpAddr, reply: &Reply) -> Option<impl Future<Output = ()> + use<>> {
        if let Some(unlogged) = self.house.notices.refused.take() {
            warn!(peer = %address, reason = reply.text(), unlogged, "an SMTP connection was refused");
        }
        if self.implicit_tls {
            // It could not read this.
            return None;
        }
        self.terms.service.arrivals.replied(reply.code());
        let mut line = Vec::with_capacity(128);
        reply.encode(&mut line);
        let Ok(place) = Arc::clone(&self.house.refusals).try_acquire_owned() else {
            // A new connection's buffer in the system has room for one line, so nothing has to be waited for. Whether the
            // client hears it, is not worth more.
            let _ = self.stream.into_std().and_then(|mut stream| stream.write_all(&line));
            return None;
        };
        let mut stream = self.stream;
        Some(async move {
            let telling = async {
                stream.write_all(&line).await?;
                stream.shutdown().await?;
                // Closed with something unread, the system would send a reset, and the client's might forget the reply.
                let mut rest = stream.take(REFUSAL_OCTETS_MAX as u64);
                tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
            };
            // Whether the client ends it or the time does, is all the same.
            let _ = tokio::time::timeout(REFUSAL_TIME_MAX, telling).await;
            drop(place);
        })
    }
}

/// Closes the socket; those who have been connected by the system meanwhile come in. Nobody is waited for.
fn those_at_the_door(socket: TcpListener) -> Vec<(TcpStream, SocketAddr)> {
    let Ok(socket) = socket.into_std() else { return Vec::new() };
    let accepted = std::iter::from_fn(|| socket.accept().ok()).take(BACKLOG_MAX);
    let usable = accepted.filter_map(|(stream, address)| {
        stream.set_nonblocking(true).ok()?;
        Some((TcpStream::from_std(stream).ok()?, address))
    });
    usable.collect()
}

/// A connection that was gone before it was accepted says nothing about the next one.
fn concerns_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}

/// One connection's panic is its own: the others go on.
pub(super) fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "an SMTP connection ended by a fault of the program");
    }
}
