//! `[smtp]`: the listener that apps talk to.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use super::access;
use super::reader::Reader;
use super::units::Size;
use super::users::UserConfig;
use super::value::choice;

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
    /// Who must authenticate, and how.
    pub auth: AuthMode,
    /// Listeners that speak TLS from the first octet.
    pub listen_tls: Vec<SocketAddr>,
    /// Load balancers that put a PROXY header before the dialogue.
    pub proxy_networks: Vec<IpNet>,
    /// Certificate and rules of TLS.
    pub tls: TlsConfig,
    /// Who may authenticate.
    pub users: Vec<UserConfig>,
}

/// `[smtp.tls]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsConfig {
    /// Certificate chain and private key, PEM.
    pub files: Option<CertificateFiles>,
    /// Make a certificate at start where no files are given.
    pub self_signed: bool,
    /// Refuse MAIL and AUTH before TLS.
    pub required: bool,
}

impl TlsConfig {
    /// Whether there is a certificate, and so TLS.
    pub fn is_offered(&self) -> bool {
        self.self_signed || self.files.is_some()
    }

    fn read(reader: &mut Reader) -> Self {
        const CERTIFICATE: &str = "smtp.tls.certificate";
        const KEY: &str = "smtp.tls.key";
        const SELF_SIGNED: &str = "smtp.tls.self_signed";

        let certificate: Option<PathBuf> = reader.get(CERTIFICATE);
        let key: Option<PathBuf> = reader.get(KEY);
        let mut tls = Self {
            files: None,
            self_signed: reader.get(SELF_SIGNED),
            required: reader.get("smtp.tls.required"),
        };
        match (certificate, key) {
            (Some(certificate), Some(key)) => {
                if tls.self_signed {
                    reader.warn(
                        "smtp.tls.self_signed is not used: smtp.tls.certificate names a certificate",
                    );
                    tls.self_signed = false;
                    reader.show_instead(SELF_SIGNED, &false, "smtp.tls.certificate");
                }
                tls.files = Some(CertificateFiles { certificate, key });
            }
            (Some(_), None) if !reader.has_fault(KEY) => reader.fault(
                KEY,
                "is missing: name the file with the private key that belongs to smtp.tls.certificate",
            ),
            (None, Some(_)) if !reader.has_fault(CERTIFICATE) => reader.fault(
                CERTIFICATE,
                "is missing: name the file with the certificate chain that belongs to smtp.tls.key",
            ),
            (Some(_), None) | (None, Some(_) | None) => {}
        }
        tls
    }
}

/// Where a certificate and its key are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// `smtp.auth`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AuthMode {
    /// With users: trusted networks may send without, strangers must authenticate. Without users: trusted networks may
    /// send, and any credentials of theirs are taken, because many apps insist on having some; strangers are refused.
    #[default]
    Auto,
    /// Everybody must authenticate as one of the users.
    Required,
    /// AUTH is not offered: trusted networks may send, strangers may not.
    Off,
    /// Everybody must authenticate, with the credentials of a provider account (SPEC 4.3).
    Provider,
}

choice!(AuthMode, "one of auto, required, off, provider",
    "auto" => Self::Auto, "off" => Self::Off, "required" => Self::Required, "provider" => Self::Provider);

const MESSAGE_SIZE_MIN: Size = Size(1 << 10);
const MESSAGE_SIZE_MAX: Size = Size(1 << 30);
const RECIPIENTS_MAX: usize = 100_000;
const CONNECTIONS_MAX: usize = 1_000_000;

impl SmtpConfig {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let config = Self {
            listen: reader.get("smtp.listen"),
            hostname: reader.get("smtp.hostname"),
            max_message_size: reader.get("smtp.max_message_size"),
            max_recipients: reader.get("smtp.max_recipients"),
            max_connections: reader.get("smtp.max_connections"),
            max_connections_per_ip: reader.get("smtp.max_connections_per_ip"),
            idle_timeout: reader.get("smtp.idle_timeout"),
            trusted_networks: reader.get("smtp.trusted_networks"),
            auth: reader.get("smtp.auth"),
            listen_tls: reader.get("smtp.listen_tls"),
            proxy_networks: reader.get("smtp.proxy_networks"),
            tls: TlsConfig::read(reader),
            users: UserConfig::read_all(reader),
        };
        config.check(reader);
        config
    }

    fn check(&self, reader: &mut Reader) {
        let named = |c: char| c.is_alphanumeric() || ".-_:[]".contains(c);
        if !self.hostname.chars().all(named) || self.hostname.len() > 255 {
            reader.fault("smtp.hostname", "is not a host name such as \"mail.example.org\"");
        }
        if !(MESSAGE_SIZE_MIN..=MESSAGE_SIZE_MAX).contains(&self.max_message_size) {
            reader.fault("smtp.max_message_size", "must be between 1 KiB and 1 GiB");
        }
        for (path, value, max) in [
            ("smtp.max_recipients", self.max_recipients, RECIPIENTS_MAX),
            ("smtp.max_connections", self.max_connections, CONNECTIONS_MAX),
            ("smtp.max_connections_per_ip", self.max_connections_per_ip, CONNECTIONS_MAX),
        ] {
            if value.get() > max {
                reader.fault(path, format!("must not be above {max}"));
            }
        }
        if self.idle_timeout < Duration::from_secs(1) {
            reader.fault("smtp.idle_timeout", "must be at least 1s; RFC 5321 asks for 5m");
        }
        access::check(self, reader);
    }
}
