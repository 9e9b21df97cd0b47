//! The listener: opens the doors, and ends in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::{SmtpConfig, UserConfig};
use crate::queue::{Accounts, Intake};

use super::admission::Admission;
use super::auth::Authenticator;
use super::connection::Service;
use super::door::{Door, House, Networks, report};
use super::memory::MemoryBudget;
use super::occasional::Notices;
use super::session::{Policy, TlsRule};
use super::sockets::{self, Inherited, ListeningSocket};
use super::tls::Acceptor;

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
    sockets: Vec<ListeningSocket>,
    tls: Option<Acceptor>,
    policy: Arc<Policy>,
    admission: Arc<Admission>,
    networks: Networks,
    idle_timeout: Duration,
    users: Vec<UserConfig>,
}

impl Listener {
    /// Binds every address of the configuration, or takes the sockets that were handed over in their place; an error names
    /// the one that failed. `hostname` is what the greeting says. `tls` has the certificate, where there is one.
    ///
    /// Panics outside of a tokio runtime.
    pub fn open(
        config: &SmtpConfig,
        hostname: String,
        tls: Option<Acceptor>,
        inherited: Inherited,
    ) -> Result<Self, BindError> {
        let implicit = !config.listen_tls.is_empty() || !inherited.tls.is_empty();
        let rule = tls_rule(config, tls.is_some(), implicit)?;
        let sockets = sockets::open(config, inherited, tls.as_ref())?;
        let policy = Policy {
            hostname,
            max_message_size: config.max_message_size.0,
            max_recipients: config.max_recipients.get(),
            tls: rule,
            auth: config.auth,
            has_users: !config.users.is_empty(),
        };
        let admission = Admission::new(
            config.max_connections.get(),
            config.max_connections_per_ip.get(),
            !config.trusted_networks.is_empty(),
        );
        Ok(Self {
            sockets,
            tls,
            policy: Arc::new(policy),
            admission: Arc::new(admission),
            networks: Networks {
                trusted: config.trusted_networks.clone(),
                proxies: config.proxy_networks.clone(),
            },
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
        let protocol =
            |own: &ListeningSocket| if own.implicit_tls.is_some() { "smtps" } else { "smtp" };
        let with_address =
            |own: &ListeningSocket| Some((protocol(own), own.socket.local_addr().ok()?));
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
        let service = Service {
            policy: self.policy,
            idle_timeout: self.idle_timeout,
            intake,
            authenticator,
            tls: self.tls,
            memory,
            notices: Notices::default(),
            shutdown,
        };
        let house = Arc::new(House::new(service, self.admission, self.networks));
        let mut doors = JoinSet::new();
        for listening in self.sockets {
            doors.spawn(Door { listening, house: Arc::clone(&house) }.keep());
        }
        while let Some(ended) = doors.join_next().await {
            report(ended);
        }
    }
}

/// What holds for plaintext connections. Encryption that is asked for and cannot be had is an error, never plaintext.
fn tls_rule(
    config: &SmtpConfig,
    has_certificate: bool,
    implicit: bool,
) -> Result<TlsRule, BindError> {
    let fault = |key| {
        let text = "needs a certificate: set smtp.tls.certificate and smtp.tls.key, or smtp.tls.self_signed";
        Err(BindError { key, source: io::Error::new(io::ErrorKind::InvalidInput, text) })
    };
    match (has_certificate, config.tls.required) {
        (true, true) => Ok(TlsRule::Required),
        (true, false) => Ok(TlsRule::Offered),
        (false, true) => fault("smtp.tls.required"),
        (false, false) if implicit => fault("smtp.listen_tls"),
        (false, false) => Ok(TlsRule::Absent),
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
