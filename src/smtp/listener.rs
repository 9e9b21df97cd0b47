//! The sockets: accepts clients within the limits, and ends in order.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use ipnet::IpNet;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, warn};

use crate::config::{SmtpConfig, UserConfig};
use crate::queue::{Accounts, Intake};

use super::admission::Admission;
use super::auth::Authenticator;
use super::connection::{self, Service};
use super::memory::MemoryBudget;
use super::reply::Reply;
use super::session::{Peer, Policy, TlsRule};
use super::tls::Acceptor;

/// The pause after a failed accept: without file descriptors it would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// No client may be silent for longer, whatever the configuration says.
const IDLE_TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// Why a listener cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct BindError {
    /// The key of the configuration to look at.
    pub key: &'static str,
    pub source: io::Error,
}

/// Sockets that are bound and wait for [`Listener::run`].
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<Socket>,
    tls: Option<Acceptor>,
    policy: Arc<Policy>,
    admission: Arc<Admission>,
    trusted_networks: Arc<[IpNet]>,
    idle_timeout: Duration,
    users: Vec<UserConfig>,
}

/// One bound address.
#[derive(Debug)]
struct Socket {
    socket: TcpListener,
    /// TLS begins with the first octet, by this.
    implicit_tls: Option<Acceptor>,
}

impl Listener {
    /// Binds every address of the configuration; an error names the one that failed. `hostname` is what the
    /// greeting says. `tls` has the certificate, where there is one.
    pub async fn bind(
        config: &SmtpConfig,
        hostname: String,
        tls: Option<Acceptor>,
    ) -> Result<Self, BindError> {
        let rule = tls_rule(config, tls.is_some())?;
        let mut sockets = Vec::with_capacity(config.listen.len() + config.listen_tls.len());
        for address in &config.listen {
            let socket = bound(address, "smtp.listen").await?;
            sockets.push(Socket { socket, implicit_tls: None });
        }
        for address in &config.listen_tls {
            let socket = bound(address, "smtp.listen_tls").await?;
            sockets.push(Socket { socket, implicit_tls: tls.clone() });
        }
        let policy = Policy {
            hostname,
            max_message_size: config.max_message_size.0,
            max_recipients: config.max_recipients.get(),
            tls: rule,
            auth: config.auth,
            has_users: !config.users.is_empty(),
        };
        let admission =
            Admission::new(config.max_connections.get(), config.max_connections_per_ip.get());
        Ok(Self {
            sockets,
            tls,
            policy: Arc::new(policy),
            admission: Arc::new(admission),
            trusted_networks: config.trusted_networks.clone().into(),
            idle_timeout: config.idle_timeout.min(IDLE_TIMEOUT_MAX),
            users: config.users.clone(),
        })
    }

    /// Where it listens, with the ports that the system has chosen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.protocols().into_iter().map(|(_, address)| address).collect()
    }

    /// The same with what is spoken there: `smtp`, or `smtps` where TLS begins with the first octet.
    pub fn protocols(&self) -> Vec<(&'static str, SocketAddr)> {
        let protocol = |own: &Socket| if own.implicit_tls.is_some() { "smtps" } else { "smtp" };
        let with_address = |own: &Socket| Some((protocol(own), own.socket.local_addr().ok()?));
        self.sockets.iter().filter_map(with_address).collect()
    }

    /// The number of open connections, kept up to date.
    pub fn connections(&self) -> Arc<AtomicUsize> {
        self.admission.open()
    }

    /// Serves until `shutdown` is cancelled and every connection has ended: those that wait for a command at once, those within
    /// a message when it has its answer. Dropping the future ends the rest.
    pub async fn run(
        self,
        intake: Arc<dyn Intake>,
        accounts: Option<Arc<dyn Accounts>>,
        memory: Arc<MemoryBudget>,
        shutdown: CancellationToken,
    ) {
        let authenticator = Authenticator::new(self.policy.auth, self.users, accounts);
        let service = Arc::new(Service {
            policy: self.policy,
            idle_timeout: self.idle_timeout,
            intake,
            authenticator,
            tls: self.tls,
            memory,
            shutdown,
        });
        let mut doors = JoinSet::new();
        for Socket { socket, implicit_tls } in self.sockets {
            let door = Door {
                socket,
                implicit_tls,
                service: Arc::clone(&service),
                admission: Arc::clone(&self.admission),
                trusted_networks: Arc::clone(&self.trusted_networks),
            };
            doors.spawn(door.keep());
        }
        while let Some(ended) = doors.join_next().await {
            report(ended);
        }
    }
}

/// One bound address.
struct Door {
    socket: TcpListener,
    implicit_tls: Option<Acceptor>,
    service: Arc<Service>,
    admission: Arc<Admission>,
    trusted_networks: Arc<[IpNet]>,
}

impl Door {
    /// Lets clients in until shutdown, then waits for those inside.
    async fn keep(self) {
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = self.service.shutdown.cancelled() => break,
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, address)) => self.admit(stream, address, &mut connections),
                    Err(error) => {
                        warn!(%error, "cannot accept an SMTP connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next() => report(ended),
            }
        }
        drop(self.socket);
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    }

    fn admit(&self, stream: TcpStream, address: SocketAddr, connections: &mut JoinSet<()>) {
        // A client that reaches an IPv6 socket over IPv4 is the same client.
        let address = address.ip().to_canonical();
        let seat = match self.admission.admit(address) {
            Ok(seat) => seat,
            Err(reply) => {
                debug!(peer = %address, reason = reply.text(), "connection refused");
                turn_away(stream, &reply);
                return;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            debug!(peer = %address, %error, "the client has gone already");
            return;
        }
        let peer =
            Peer { address, trusted: is_trusted(&self.trusted_networks, address), secure: false };
        let service = Arc::clone(&self.service);
        let implicit_tls = self.implicit_tls.clone();
        connections.spawn(async move {
            match implicit_tls {
                Some(acceptor) => connection::serve_tls(stream, &acceptor, peer, &service).await,
                None => connection::serve(stream, peer, &service).await,
            }
            drop(seat);
        });
    }
}

/// What holds for plaintext connections. Encryption that is asked for and cannot be had is an error, never plaintext.
fn tls_rule(config: &SmtpConfig, has_certificate: bool) -> Result<TlsRule, BindError> {
    let fault = |key| {
        let text = "needs a certificate: set smtp.tls.certificate and smtp.tls.key, or smtp.tls.self_signed";
        Err(BindError { key, source: io::Error::new(io::ErrorKind::InvalidInput, text) })
    };
    match (has_certificate, config.tls.required) {
        (true, true) => Ok(TlsRule::Required),
        (true, false) => Ok(TlsRule::Offered),
        (false, true) => fault("smtp.tls.required"),
        (false, false) if !config.listen_tls.is_empty() => fault("smtp.listen_tls"),
        (false, false) => Ok(TlsRule::Absent),
    }
}

async fn bound(address: &SocketAddr, key: &'static str) -> Result<TcpListener, BindError> {
    TcpListener::bind(address).await.map_err(|error| {
        let text = format!("cannot listen on {address}: {error}");
        BindError { key, source: io::Error::new(error.kind(), text) }
    })
}

fn is_trusted(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// Says why and closes. The system's buffer of a new connection has room for one line, so nothing has to be waited for.
fn turn_away(stream: TcpStream, reply: &Reply) {
    let mut line = Vec::with_capacity(128);
    reply.encode(&mut line);
    let written = stream.into_std().and_then(|mut stream| stream.write_all(&line));
    if let Err(error) = written {
        debug!(%error, "the refused client did not hear why");
    }
}

/// One connection's panic is its own: the others go on.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        error!(%error, "an SMTP connection ended by a fault of the program");
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
