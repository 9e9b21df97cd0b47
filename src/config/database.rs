//! The URL of a PostgreSQL database, as libpq's programs understand it.

mod parameters;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::secret::Secret;

/// Which database, how it is reached, and as whom.
#[derive(Clone, PartialEq, Eq)]
pub struct DatabaseUrl {
    /// Tried in this order. At least one.
    pub hosts: Vec<DatabaseHost>,
    /// `None`: the name of the system's user.
    pub user: Option<String>,
    /// Empty: none.
    pub password: Secret,
    /// `None`: the one that is called like the user.
    pub database: Option<String>,
    pub tls: DatabaseTls,
    /// Which of several servers will do.
    pub target: SessionTarget,
    /// How long one host may take until it has let us in.
    pub connect_timeout: Duration,
    /// How long what was sent may stay without the other side's receipt.
    pub tcp_user_timeout: Duration,
    /// `None`: nobody is asked whether the other side is still there.
    pub keepalive: Option<Keepalive>,
    /// What the connections are called in the server's lists.
    pub application_name: String,
    /// Settings for the server, as `-c name=value`; empty: none.
    pub options: String,
    /// Whether the password's exchange is tied to the encryption.
    pub channel_binding: ChannelBinding,
    /// The URL without its secrets.
    shown: String,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseHost {
    pub place: DatabasePlace,
    pub port: u16,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabasePlace {
    /// The folder of its socket on this machine.
    Socket(PathBuf),
    /// A name or an IP address. With `address`, the name is only what stands in the certificate.
    Network { name: String, address: Option<IpAddr> },
}

/// How the way to the server is protected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseTls {
    pub mode: SslMode,
    pub roots: SslRoots,
    /// PEM files of our own certificate and its key, where the server wants one.
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// TLS from the first octet, as PostgreSQL 17 and later can.
    pub direct: bool,
}

/// `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS where the server insists.
    Allow,
    /// TLS where the server can.
    Prefer,
    /// TLS, with whoever answers.
    Require,
    /// TLS with a certificate that a trusted authority has signed, for whatever name.
    VerifyCa,
    /// TLS with such a certificate for the host's name.
    VerifyFull,
}

/// `sslrootcert`: which authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SslRoots {
    /// Not said: the system's, where anything is verified.
    Unset,
    /// The system's, or the built-in ones where it has none.
    System,
    /// Those in a PEM file.
    File(PathBuf),
}

/// `target_session_attrs`, as far as it makes sense for somebody who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionTarget {
    /// The first that lets us in.
    Any,
    /// The first that takes changes.
    ReadWrite,
    /// The first that is no standby.
    Primary,
}

/// How the other side of an idle connection is asked whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keepalive {
    pub idle: Duration,
    pub interval: Duration,
    pub count: u32,
}

/// `channel_binding`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelBinding {
    Disable,
    Prefer,
    Require,
}

impl DatabaseTls {
    /// Whether the server's certificate must be signed by a trusted authority. As libpq has it, a file of authorities
    /// is not given for nothing.
    pub fn verifies(&self) -> bool {
        match self.mode {
            SslMode::VerifyCa | SslMode::VerifyFull => true,
            SslMode::Disable | SslMode::Allow | SslMode::Prefer | SslMode::Require => {
                self.roots != SslRoots::Unset
            }
        }
    }
}

impl fmt::Display for DatabaseUrl {
    /// Its secrets as stars.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({})", self.shown)
    }
}

impl fmt::Display for DatabaseHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            DatabasePlace::Socket(folder) => {
                write!(f, "{}/.s.PGSQL.{}", folder.display(), self.port)
            }
            DatabasePlace::Network { name, .. } if name.contains(':') => {
                write!(f, "[{name}]:{}", self.port)
            }
            DatabasePlace::Network { name, .. } => write!(f, "{name}:{}", self.port),
        }
    }
}
