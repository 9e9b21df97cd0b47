//! From a name to a connection that is ready for mail: TCP, TLS, EHLO, AUTH.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::commands::{Auth, Ehlo, Quit, Starttls};
use lettre::transport::smtp::extension::ClientId;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use super::fault::{Fault, Progress};
use super::offer::Offer;
use super::reply::{Reply, Step};
use super::tls;
use super::wire::{Stream, Wire};
use crate::config::{Place, SmtpTls, is_near};
use crate::provider::resolve::Resolver;
use crate::secret::Secret;

/// For TCP to one address. A server that does not answer within this is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For saying goodbye to a server that may not listen any more.
const QUIT_TIMEOUT: Duration = Duration::from_secs(2);

/// Where to connect to, and as whom.
pub(super) struct Dial {
    pub(super) place: Place,
    /// Empty: no AUTH.
    pub(super) username: String,
    pub(super) password: Secret,
    /// Our name in EHLO; empty: the address that the connection is made from.
    pub(super) hello: String,
    pub(super) connector: TlsConnector,
    pub(super) resolver: Resolver,
}

/// A connection on which a transaction can begin.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) wire: Wire,
    pub(super) offer: Offer,
    /// Transactions that were begun on it.
    pub(super) transactions: u32,
    /// When the last of them ended.
    pub(super) idle_since: Instant,
}

impl Connection {
    /// Ends the session as it should be, which does not matter much.
    pub(super) async fn quit(mut self) {
        let _ = timeout(QUIT_TIMEOUT, self.wire.ask(Quit)).await;
    }
}

impl Dial {
    /// Connects and logs in. Nothing of a message is sent.
    pub(super) async fn open(&self, progress: &Progress) -> Result<Connection, Fault> {
        progress.at(Step::Connect);
        let stream = self.connect().await?;
        let peer = stream.peer_addr().map_err(|error| Fault::lost(&error))?.ip();
        let hello = Ehlo::new(self.name(&stream)?);
        let mut wire = if self.place.tls == SmtpTls::Implicit {
            self.encrypt(stream, progress).await?
        } else {
            Wire::new(Stream::Plain(stream))
        };

        progress.at(Step::Greeting);
        let greeting = Reply::from(wire.reply().await?);
        if greeting.code != 220 {
            return Err(Fault::Said(Step::Greeting, greeting));
        }
        let mut offer = greet(&mut wire, &hello, progress).await?;
        if self.place.tls == SmtpTls::StartTls {
            wire = self.start_tls(wire, &offer, progress).await?;
            // What was offered in plaintext is forgotten.
            offer = greet(&mut wire, &hello, progress).await?;
        }
        if !self.username.is_empty() {
            progress.at(Step::Login);
            self.log_in(&mut wire, &offer, peer).await?;
        }
        Ok(Connection { wire, offer, transactions: 0, idle_since: Instant::now() })
    }

    async fn connect(&self) -> Result<TcpStream, Fault> {
        let Place { host, port, .. } = &self.place;
        let addresses = match host.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, 0)],
            Err(_) => self
                .resolver
                .lookup(host)
                .await
                .map_err(|error| Fault::Lost(format!("cannot find {host}: {error}")))?,
        };
        let mut failure = "the name has no address".to_owned();
        for address in addresses {
            let address = SocketAddr::new(address.ip(), *port);
            match timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Commands are small and each waits for its reply.
                    stream.set_nodelay(true).map_err(|error| Fault::lost(&error))?;
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = error.to_string(),
                Err(_elapsed) => failure = format!("no answer within {CONNECT_TIMEOUT:?}"),
            }
        }
        Err(Fault::Lost(format!("cannot connect to {host}:{port}: {failure}")))
    }

    /// What we call ourselves: RFC 5321 §4.1.3 has an address in brackets for those without a name.
    fn name(&self, stream: &TcpStream) -> Result<ClientId, Fault> {
        if !self.hello.is_empty() {
            return Ok(ClientId::Domain(self.hello.clone()));
        }
        Ok(match stream.local_addr().map_err(|error| Fault::lost(&error))?.ip().to_canonical() {
            IpAddr::V4(address) => ClientId::Ipv4(address),
            IpAddr::V6(address) => ClientId::Ipv6(address),
        })
    }

    async fn encrypt(&self, stream: TcpStream, progress: &Progress) -> Result<Wire, Fault> {
        progress.at(Step::Handshake);
        let host = self.place.host.trim_end_matches('.').to_owned();
        let name = ServerName::try_from(host)
            .map_err(|_| Fault::settings("host is no name that a certificate can have"))?;
        let stream = self.connector.connect(name, stream).await;
        let stream = stream.map_err(|error| tls::fault(&error, &self.place))?;
        Ok(Wire::new(Stream::Tls(Box::new(stream))))
    }

    /// Encrypts the connection, or gives it up.
    async fn start_tls(
        &self,
        mut wire: Wire,
        offer: &Offer,
        progress: &Progress,
    ) -> Result<Wire, Fault> {
        let Place { host, port, .. } = &self.place;
        if !offer.start_tls {
            return Err(Fault::settings(format!(
                "{host}:{port} does not offer STARTTLS, and nothing is sent unencrypted; set tls to implicit where the \
                 port is for that, or to off for a server on this machine or in a network of yours"
            )));
        }
        progress.at(Step::StartTls);
        let reply = Reply::from(wire.ask(Starttls).await?);
        if reply.code != 220 {
            return Err(Fault::Said(Step::StartTls, reply));
        }
        self.encrypt(wire.into_plain()?, progress).await
    }

    async fn log_in(&self, wire: &mut Wire, offer: &Offer, peer: IpAddr) -> Result<(), Fault> {
        if !wire.is_encrypted() && !is_near(peer) {
            return Err(Fault::settings(format!(
                "tls is off, and {peer} is a public address: the password is not sent unencrypted"
            )));
        }
        let Some(mechanism) = offer.mechanism() else {
            let offered = match offer.auth.as_slice() {
                [] => "does not offer AUTH here".to_owned(),
                others => format!("offers AUTH by {} only", others.join(", ")),
            };
            return Err(Fault::settings(format!(
                "the server {offered}, mailferry has PLAIN and LOGIN; remove username and password, or use the \
                 encryption with which the server takes them"
            )));
        };
        let credentials =
            Credentials::new(self.username.clone(), self.password.expose().to_owned());
        let command = |challenge: Option<&str>| {
            Auth::new(mechanism, credentials.clone(), challenge.map(str::to_owned))
                .map_err(|error| Fault::settings(error.to_string()))
        };
        let mut reply = Reply::from(wire.ask(command(None)?).await?);
        if mechanism == Mechanism::Login {
            // The words of the challenges differ, their order does not.
            for challenge in ["Username", "Password"] {
                if reply.code == 334 {
                    reply = wire.ask(command(Some(challenge))?).await?.into();
                }
            }
        }
        if reply.code == 235 { Ok(()) } else { Err(Fault::Said(Step::Login, reply)) }
    }
}

async fn greet(wire: &mut Wire, hello: &Ehlo, progress: &Progress) -> Result<Offer, Fault> {
    progress.at(Step::Hello);
    let response = wire.ask(hello).await?;
    let offer = Offer::of(&response);
    let reply = Reply::from(response);
    if reply.code == 250 { Ok(offer) } else { Err(Fault::Said(Step::Hello, reply)) }
}
