//! `[smtp]`: the listener that apps talk to.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use ipnet::IpNet;

use super::units::Size;

/// How the SMTP side listens and whom it trusts.
#[derive(Clone, Debug)]
pub struct SmtpConfig {
    /// Plaintext listeners.
    pub listen: Vec<SocketAddr>,
    /// The name in the greeting; empty: the machine's.
    pub hostname: String,
    /// The largest message, octets.
    pub max_message_size: Size,
    /// Recipients of one message.
    pub max_recipients: NonZeroUsize,
    /// Connections in all.
    pub max_connections: NonZeroUsize,
    /// Connections from one address.
    pub max_connections_per_ip: NonZeroUsize,
    /// How long a client may be silent.
    pub idle_timeout: Duration,
    /// Clients that may send without authentication.
    pub trusted_networks: Vec<IpNet>,
}
