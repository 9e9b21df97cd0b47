//! The listener: opens the doors, and ends in order.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::config::SmtpConfig;
use crate::metrics::Arrivals;
use crate::queue::{Accounts, Intake};

use super::admission::Admission;
use super::auth::Authenticator;
use super::connection::Service;
use super::control::{Control, Rules};
use super::door::{Door, House, Terms, report};
use super::memory::MemoryBudget;
use super::sockets::{self, Inherited, ListeningSocket};
use super::tls::Acceptor;

/// Behind a load balancer: how long those who have come may go on after the door is closed. New clients are at another instance
/// meanwhile, so whoever has just connected shall not be the one who is told to come again.
const FAREWELL: Duration = Duration::from_secs(2);

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
    admission: Arc<Admission>,
    rules: Rules,
    arrivals: Arrivals,
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
        let rules = Rules::new(config, hostname, tls, implicit)?;
        let sockets = sockets::open(config, inherited)?;
        let admission = Arc::new(Admission::new(rules.limits));
        Ok(Self { sockets, admission, rules, arrivals: Arrivals::default() })
    }

    /// Has what comes in counted here.
    pub fn counting(self, arrivals: &Arrivals) -> Self {
        Self { arrivals: arrivals.clone(), ..self }
    }

    /// Where it listens, with the ports that the system has chosen.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.protocols().into_iter().map(|(_, address)| address).collect()
    }

    /// The same with what is spoken there: `smtp`, or `smtps` where TLS begins with the first octet.
    pub fn protocols(&self) -> Vec<(&'static str, SocketAddr)> {
        let protocol = |own: &ListeningSocket| if own.implicit_tls { "smtps" } else { "smtp" };
        let with_address =
            |own: &ListeningSocket| Some((protocol(own), own.socket.local_addr().ok()?));
        self.sockets.iter().filter_map(with_address).collect()
    }

    /// The number of open connections, kept up to date.
    pub fn connections(&self) -> Arc<AtomicUsize> {
        self.admission.open()
    }

    /// Serves until `shutdown` is cancelled and every connection has ended: those that wait for a command at once, or behind a
    /// load balancer after [`FAREWELL`], those within a message when it has its answer. Dropping the future ends the rest.
    pub async fn run(
        self,
        intake: Arc<dyn Intake>,
        accounts: Option<Arc<dyn Accounts>>,
        memory: Arc<MemoryBudget>,
        shutdown: CancellationToken,
    ) {
        self.start(intake, accounts, memory, shutdown).1.await;
    }

    /// The same, and with it what changes the rules while it serves.
    pub fn start(
        self,
        intake: Arc<dyn Intake>,
        accounts: Option<Arc<dyn Accounts>>,
        memory: Arc<MemoryBudget>,
        shutdown: CancellationToken,
    ) -> (Control, impl Future<Output = ()> + use<>) {
        let Self { sockets, admission, rules, arrivals } = self;
        let authenticator = Authenticator::new(rules.policy.auth, rules.users, accounts);
        let service = Service {
            policy: Arc::new(rules.policy),
            idle_timeout: rules.idle_timeout,
            intake,
            authenticator,
            tls: rules.tls.clone(),
            memory,
            notices: Arc::default(),
            arrivals,
            shutdown: CancellationToken::new(),
        };
        let terms = Terms { service, networks: rules.networks, implicit_tls: rules.tls };
        let house = Arc::new(House::new(terms, admission, shutdown));
        let control = Control::new(Arc::clone(&house));
        let serving = async move {
            let mut doors = JoinSet::new();
            for listening in sockets {
                doors.spawn(Door { listening, house: Arc::clone(&house) }.keep());
            }
            let serving = async {
                while let Some(ended) = doors.join_next().await {
                    report(ended);
                }
            };
            let ending = async {
                house.closing.cancelled().await;
                if house.is_behind_a_balancer() {
                    tokio::time::sleep(FAREWELL).await;
                }
                house.shutdown.cancel();
                std::future::pending::<()>().await;
            };
            tokio::select! {
                () = serving => {}
                () = ending => {}
            }
        };
        (control, serving)
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tls_tests;
