//! What the configuration says of connections, and how it changes while the listener works: those that begin later take
//! the new rules, those that are open keep theirs.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{SmtpConfig, UserConfig};
use crate::queue::Accounts;

use super::admission::Limits;
use super::connection::Service;
use super::door::{House, Networks, Terms};
use super::listener::BindError;
use super::memory::MemoryBudget;
use super::session::{Policy, TlsRule};
use super::tls::Acceptor;

/// No client may be silent for longer, whatever the configuration says.
const IDLE_TIMEOUT_MAX: Duration = Duration::from_hours(24);

/// A configuration of `[smtp]` that can be kept to: nothing is left that could fail.
#[derive(Debug)]
pub struct Rules {
    pub(super) policy: Policy,
    pub(super) limits: Limits,
    pub(super) networks: Networks,
    pub(super) idle_timeout: Duration,
    pub(super) users: Vec<UserConfig>,
    pub(super) tls: Option<Acceptor>,
}

impl Rules {
    /// `hostname` is what the greeting says. `tls` has the certificate, where there is one. `implicit`: TLS is asked for from
    /// the first octet somewhere.
    pub fn new(
        config: &SmtpConfig,
        hostname: String,
        tls: Option<Acceptor>,
        implicit: bool,
    ) -> Result<Self, BindError> {
        let policy = Policy {
            hostname,
            max_message_size: config.max_message_size.0,
            max_recipients: config.max_recipients.get(),
            tls: tls_rule(config, tls.is_some(), implicit)?,
            auth: config.auth,
            has_users: !config.users.is_empty(),
        };
        let limits = Limits::new(
            config.max_connections.get(),
            config.max_connections_per_ip.get(),
            !config.trusted_networks.is_empty(),
        );
        Ok(Self {
            policy,
            limits,
            networks: Networks {
                trusted: config.trusted_networks.clone(),
                proxies: config.proxy_networks.clone(),
            },
            idle_timeout: config.idle_timeout.min(IDLE_TIMEOUT_MAX),
            users: config.users.clone(),
            tls,
        })
    }
}

/// Changes the rules of a listener that works.
#[derive(Clone)]
pub struct Control {
    house: Arc<House>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    pub(super) fn new(house: Arc<House>) -> Self {
        Self { house }
    }

    /// From now on new connections keep to these rules. Nobody who is connected notices, but for a user who is gone or has
    /// another password: it is sent away before its next message.
    ///
    /// `memory` is for the content of new connections; without it they share that of the others. A socket for TLS from
    /// the first octet keeps its certificate where the rules have none: it is there until the next start.
    pub fn change(
        &self,
        rules: Rules,
        accounts: Option<Arc<dyn Accounts>>,
        memory: Option<Arc<MemoryBudget>>,
    ) {
        let before = self.house.terms.load();
        let Service { intake, authenticator, notices, arrivals, shutdown, .. } = &before.service;
        let authenticator = authenticator.succeeded_by(rules.policy.auth, rules.users, accounts);
        authenticator.take_over();
        let service = Service {
            policy: Arc::new(rules.policy),
            idle_timeout: rules.idle_timeout,
            intake: Arc::clone(intake),
            authenticator,
            tls: rules.tls.clone(),
            memory: memory.unwrap_or_else(|| Arc::clone(&before.service.memory)),
            notices: Arc::clone(notices),
            arrivals: arrivals.clone(),
            shutdown: shutdown.clone(),
        };
        let implicit_tls = rules.tls.or_else(|| before.implicit_tls.clone());
        let terms = Terms { service, networks: rules.networks, implicit_tls };
        self.house.terms.store(Arc::new(terms));
        self.house.admission.limit(rules.limits);
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
