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

/// No client may be silent for longer, whatever the configuration says.
const IDLE_TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// Sockets that are bound and wait for [`Listener::run`].
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<ListeningSocket>,
    policy: Arc<Policy>,
    admission: Arc<Admission>,
    networks: Networks,
    idle_timeout: Duration,
    users: Vec<UserConfig>,
}

impl Listener {
    /// Binds every address of the configuration; an error names the one that failed. `hostname` is what the
    /// greeting says.
    pub async fn bind(config: &SmtpConfig, hostname: String) -> io::Result<Self> {
        Self::open(config, hostname, Inherited::default()).await
    }

    /// The same with sockets that were handed over, which come in place of those that the configuration names.
    #[expect(clippy::unused_async, reason = "sockets need a runtime, which this makes sure of")]
    pub async fn open(
        config: &SmtpConfig,
        hostname: String,
        inherited: Inherited,
    ) -> io::Result<Self> {
        let sockets = sockets::open(config, inherited)?;
        if sockets.iter().any(|door| door.implicit_tls) {
            let error =
                "implicit TLS (smtp.listen_tls, a socket named smtps) is not in this version";
            return Err(io::Error::new(io::ErrorKind::Unsupported, error));
        }
        let policy = Policy {
            hostname,
            max_message_size: config.max_message_size.0,
            max_recipients: config.max_recipients.get(),
            tls: TlsRule::Absent,
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
        self.sockets.iter().filter_map(|door| door.socket.local_addr().ok()).collect()
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

#[cfg(test)]
mod tests;
