//! One connection: which host, with or without encryption, and whether it takes changes.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::{Client, Config, Error, NoTls, SimpleQueryMessage, config};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::keeper::{Heard, Keeper, Running};
use super::line::{Beat, Duplex, Line};
use crate::config::{
    ChannelBinding, DatabaseHost, DatabasePlace, DatabaseUrl, SessionTarget, SslMode,
};
use crate::queue::postgres::fault::{Fault, of_io};
use crate::queue::postgres::tls;

/// A name has so many addresses at the most that are tried.
const ADDRESSES_MAX: usize = 4;
/// The longest `application_name` that a server keeps.
const NAME_MAX: usize = 63;

/// How a connection is to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Manner {
    /// What it is for, as the server's lists show it.
    pub(super) name: &'static str,
    /// How long a statement may take; `None`: as long as it takes.
    pub(super) statement: Option<Duration>,
}

/// A connection that was let in.
pub(super) struct Dialled {
    pub(super) client: Client,
    pub(super) beat: Arc<Beat>,
    /// Reads and writes until it ends.
    pub(super) running: Running,
}

/// Knows the way to the database.
#[derive(Debug)]
pub(super) struct Dialer {
    url: DatabaseUrl,
    /// The host that let us in last: tried first.
    last: AtomicUsize,
    /// Changes when all connections are to be given up.
    given_up: watch::Receiver<u64>,
}

impl Dialer {
    pub(super) fn new(url: DatabaseUrl, given_up: watch::Receiver<u64>) -> Self {
        Self { url, last: AtomicUsize::new(0), given_up }
    }

    /// Whether a server that takes no changes is the wrong one.
    pub(super) fn wants_changes(&self) -> bool {
        self.url.target != SessionTarget::Any
    }

    /// Tries the hosts one after the other.
    pub(super) async fn dial(
        &self,
        manner: Manner,
        heard: Option<Heard>,
    ) -> Result<Dialled, Fault> {
        let last = self.last.load(Ordering::Relaxed);
        let mut order: Vec<usize> = (0..self.url.hosts.len()).collect();
        order.sort_by_key(|at| *at != last);
        let mut faults = Vec::new();
        for at in order {
            let host = &self.url.hosts[at];
            match self.host(host, manner, heard.clone()).await {
                Ok(dialled) => {
                    self.last.store(at, Ordering::Relaxed);
                    return Ok(dialled);
                }
                Err(fault) => {
                    tracing::debug!(%host, reason = fault.text(), "no connection to this database server");
                    faults.push(fault);
                }
            }
        }
        // What somebody has to mend is told only where no host may come back by itself.
        let may_pass = faults.iter().position(|fault| !fault.is_refusal());
        Err(faults.swap_remove(may_pass.unwrap_or(0)))
    }

    /// Tries the addresses of a host.
    async fn host(
        &self,
        host: &DatabaseHost,
        manner: Manner,
        heard: Option<Heard>,
    ) -> Result<Dialled, Fault> {
        let mut fault = Fault::away("the name of the database's host has no address");
        for address in addresses(host, self.url.connect_timeout).await? {
            match self.address(host, &address, manner, heard.clone()).await {
                Ok(dialled) => return Ok(dialled),
                Err(error) => fault = error,
            }
        }
        Err(fault)
    }

    /// Tries an address with and without encryption, as `sslmode` says.
    async fn address(
        &self,
        host: &DatabaseHost,
        address: &Address,
        manner: Manner,
        heard: Option<Heard>,
    ) -> Result<Dialled, Fault> {
        let mode = match address {
            Address::Network(_) => self.url.tls.mode,
            // It does not leave the machine, and the server does not offer any.
            Address::Socket(_) => SslMode::Disable,
        };
        let (first, second) = match mode {
            SslMode::Disable => (config::SslMode::Disable, None),
            SslMode::Allow => (config::SslMode::Disable, Some(config::SslMode::Require)),
            SslMode::Prefer => (config::SslMode::Prefer, Some(config::SslMode::Disable)),
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                (config::SslMode::Require, None)
            }
        };
        let tried = self.once(host, address, first, manner, heard.clone()).await;
        match (tried, second) {
            (Err(Refusal { fault: _, other_way: true }), Some(second)) => {
                self.once(host, address, second, manner, heard).await.map_err(|it| it.fault)
            }
            (tried, _) => tried.map_err(|refusal| refusal.fault),
        }
    }

    /// Connects, logs in, and looks whether this is the server that we want.
    async fn once(
        &self,
        host: &DatabaseHost,
        address: &Address,
        mode: config::SslMode,
        manner: Manner,
        heard: Option<Heard>,
    ) -> Result<Dialled, Refusal> {
        let all = async {
            let stream = self.stream(address).await?;
            let beat = Arc::new(Beat::new());
            let line = Line::new(stream, Arc::clone(&beat));
            let config = self.config(host, mode, manner);
            let silence = manner.statement.map(|longest| longest + Duration::from_secs(1));
            let keeper =
                Keeper { beat: Arc::clone(&beat), silence, heard, given_up: self.given_up.clone() };
            let (client, running) = if mode == config::SslMode::Disable {
                let (client, connection) =
                    config.connect_raw(line, NoTls).await.map_err(|it| Refusal::plain(&it))?;
                (client, keeper.keep(connection))
            } else {
                let connector = self.connector().await.map_err(Fault::refused)?;
                let tls = named(connector, host)?;
                let tried = config.connect_raw(line, tls).await;
                let (client, connection) = tried.map_err(|it| Refusal::encrypted(&it))?;
                (client, keeper.keep(connection))
            };
            let running = self.greet(&client, running, manner).await?;
            Ok(Dialled { client, beat, running })
        };
        match timeout(self.url.connect_timeout, all).await {
            Ok(done) => done,
            Err(_) => Err(Fault::away("the database does not answer").into()),
        }
    }

    async fn stream(&self, address: &Address) -> Result<Box<dyn Duplex>, Fault> {
        let unreachable = |error: std::io::Error| Fault::away(of_io(&error));
        match address {
            Address::Socket(path) => {
                let stream = UnixStream::connect(path).await.map_err(unreachable)?;
                Ok(Box::new(stream))
            }
            Address::Network(address) => {
                let stream = TcpStream::connect(address).await.map_err(unreachable)?;
                stream.set_nodelay(true).map_err(unreachable)?;
                let socket = SockRef::from(&stream);
                #[cfg(target_os = "linux")]
                socket
                    .set_tcp_user_timeout(Some(self.url.tcp_user_timeout))
                    .map_err(unreachable)?;
                if let Some(ask) = self.url.keepalive {
                    let ask = TcpKeepalive::new()
                        .with_time(ask.idle)
                        .with_interval(ask.interval)
                        .with_retries(ask.count);
                    socket.set_tcp_keepalive(&ask).map_err(unreachable)?;
                }
                Ok(Box::new(stream))
            }
        }
    }

    fn config(&self, host: &DatabaseHost, mode: config::SslMode, manner: Manner) -> Config {
        let url = &self.url;
        let mut config = Config::new();
        let mut name = format!("{} {}", url.application_name, manner.name);
        name.truncate(name.floor_char_boundary(NAME_MAX));
        config.application_name(name).ssl_mode(mode);
        if let DatabasePlace::Network { .. } = host.place
            && url.tls.direct
        {
            config.ssl_negotiation(config::SslNegotiation::Direct);
        }
        config.channel_binding(match url.channel_binding {
            ChannelBinding::Disable => config::ChannelBinding::Disable,
            ChannelBinding::Prefer => config::ChannelBinding::Prefer,
            ChannelBinding::Require => config::ChannelBinding::Require,
        });
        if let Some(user) = &url.user {
            config.user(user.as_str());
        }
        if !url.password.is_empty() {
            config.password(url.password.expose());
        }
        if let Some(database) = &url.database {
            config.dbname(database.as_str());
        }
        if !url.options.is_empty() {
            config.options(url.options.as_str());
        }
        config
    }

    async fn connector(&self) -> Result<MakeRustlsConnect, String> {
        let wanted = self.url.tls.clone();
        // It reads files.
        match tokio::task::spawn_blocking(move || tls::connector(&wanted)).await {
            Ok(made) => made,
            Err(_) => Err("the encryption could not be set up".to_owned()),
        }
    }

    /// Sets the session up, and asks the server what it is. The connection must be driven meanwhile.
    async fn greet(
        &self,
        client: &Client,
        mut running: Running,
        manner: Manner,
    ) -> Result<Running, Fault> {
        let statement = manner.statement.map_or(0, |longest| longest.as_millis());
        // The server must notice a cut network too: what is locked in a transaction would stay locked for hours. Both ends
        // of a socket are on one machine, where these do nothing.
        let sql = format!(
            "SET statement_timeout = {statement}; SET idle_in_transaction_session_timeout = 10000; \
             SET client_min_messages = warning; SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 3; \
             SET tcp_keepalives_count = 3; \
             SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('transaction_read_only')"
        );
        let answer = tokio::select! {
            answer = client.simple_query(&sql) => answer.map_err(|error| Fault::of(&error))?,
            () = &mut running => return Err(Fault::away("the connection to the database was lost")),
        };
        let row = answer.iter().find_map(|message| match message {
            SimpleQueryMessage::Row(row) => {
                Some((row.get(0) == Some("t"), row.get(1) == Some("on")))
            }
            _ => None,
        });
        let (standby, read_only) = row.unwrap_or_default();
        match self.url.target {
            SessionTarget::Primary if standby => {
                Err(Fault::away("the database is a standby, and none of the hosts is the primary"))
            }
            SessionTarget::ReadWrite if read_only => Err(Fault::away(
                "the database takes no changes (a standby, or set to read-only), and no other host does",
            )),
            SessionTarget::Any | SessionTarget::ReadWrite | SessionTarget::Primary => Ok(running),
        }
    }
}

type Named = <MakeRustlsConnect as MakeTlsConnect<Line>>::TlsConnect;

/// For the name that stands in the URL.
fn named(mut connector: MakeRustlsConnect, host: &DatabaseHost) -> Result<Named, Fault> {
    let name = match &host.place {
        DatabasePlace::Network { name, .. } => name.as_str(),
        DatabasePlace::Socket(_) => "localhost",
    };
    MakeTlsConnect::<Line>::make_tls_connect(&mut connector, name).map_err(|never| match never {})
}

/// Why one try failed.
struct Refusal {
    fault: Fault,
    /// Whether it may go with encryption instead of without, or the other way round.
    other_way: bool,
}

impl Refusal {
    fn plain(error: &Error) -> Self {
        Self { fault: Fault::of(error), other_way: is_about_the_way(error) }
    }

    fn encrypted(error: &Error) -> Self {
        // As with libpq, encryption that does not come about is no reason to stay outside, where it is not asked for.
        let other_way = is_about_the_way(error) || error.as_db_error().is_none();
        Self { fault: Fault::of(error), other_way }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self { fault, other_way: false }
    }
}

/// `pg_hba.conf` has no line for somebody who comes like this.
fn is_about_the_way(error: &Error) -> bool {
    error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// Where a host is.
#[derive(Clone, Debug)]
enum Address {
    Socket(PathBuf),
    Network(SocketAddr),
}

async fn addresses(host: &DatabaseHost, patience: Duration) -> Result<Vec<Address>, Fault> {
    match &host.place {
        DatabasePlace::Socket(folder) => {
            Ok(vec![Address::Socket(Path::new(folder).join(format!(".s.PGSQL.{}", host.port)))])
        }
        DatabasePlace::Network { address: Some(address), .. } => {
            Ok(vec![Address::Network(SocketAddr::new(*address, host.port))])
        }
        DatabasePlace::Network { name, address: None } => {
            let asked =
                timeout(patience, tokio::net::lookup_host((name.as_str(), host.port))).await;
            let Ok(Ok(found)) = asked else {
                return Err(Fault::away("the name of the database's host cannot be resolved"));
            };
            Ok(found.take(ADDRESSES_MAX).map(Address::Network).collect())
        }
    }
}
