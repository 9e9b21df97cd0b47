//! What stands behind the question mark.

use std::path::PathBuf;
use std::time::Duration;

use super::parse::decode;
use super::{ChannelBinding, DatabaseTls, Keepalive, SessionTarget, SslMode, SslRoots};
use crate::config::names::nearest;
use crate::config::value::quote;
use crate::secret::Secret;

/// All that are taken.
const KNOWN: [&str; 27] = [
    "host",
    "hostaddr",
    "port",
    "user",
    "password",
    "dbname",
    "sslmode",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslnegotiation",
    "channel_binding",
    "target_session_attrs",
    "load_balance_hosts",
    "connect_timeout",
    "tcp_user_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "application_name",
    "fallback_application_name",
    "options",
    "client_encoding",
    "gssencmode",
    "sslsni",
    "ssl",
];

/// What libpq takes and this program does not, each with what to do instead.
const ELSEWHERE: [(&str, &str); 6] = [
    ("passfile", "give queue.password_file"),
    ("sslpassword", "give a key without a passphrase, readable for this user only"),
    ("service", "write the parameters of the service into the URL"),
    ("sslcrl", "revocation lists are not looked at"),
    ("requirepeer", "the rights of the socket's folder say who may listen there"),
    ("krbsrvname", "Kerberos is not spoken; log in by password or certificate"),
];

/// A value longer than this is none.
const VALUE_MAX: usize = 4096;

/// The parameters, with the defaults of those that are not given.
#[derive(Debug)]
pub(super) struct Parameters {
    pub(super) host: Option<String>,
    pub(super) address: Option<String>,
    pub(super) port: Option<String>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<String>,
    pub(super) target: SessionTarget,
    pub(super) connect_timeout: Duration,
    pub(super) tcp_user_timeout: Duration,
    pub(super) application_name: String,
    pub(super) options: String,
    pub(super) channel_binding: ChannelBinding,
    /// As given, without secrets, with its question mark.
    pub(super) shown: String,
    keepalives: bool,
    keepalive: Keepalive,
    mode: Option<SslMode>,
    roots: SslRoots,
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    direct: bool,
}

impl Default for Parameters {
    fn default() -> Self {
        Self {
            host: None,
            address: None,
            port: None,
            user: None,
            password: None,
            database: None,
            // A queue is written.
            target: SessionTarget::ReadWrite,
            connect_timeout: Duration::from_secs(5),
            // A network that was cut is noticed within seconds.
            tcp_user_timeout: Duration::from_secs(5),
            application_name: "mailferry".to_owned(),
            options: String::new(),
            channel_binding: ChannelBinding::Prefer,
            shown: String::new(),
            keepalives: true,
            keepalive: Keepalive {
                idle: Duration::from_secs(5),
                interval: Duration::from_secs(2),
                count: 3,
            },
            mode: None,
            roots: SslRoots::Unset,
            certificate: None,
            key: None,
            direct: false,
        }
    }
}

impl Parameters {
    pub(super) fn read(query: &str) -> Result<Self, String> {
        let mut all = Self::default();
        let mut shown = Vec::new();
        for item in query.split('&').filter(|item| !item.is_empty()) {
            let (name, text) = item
                .split_once('=')
                .ok_or("has a parameter without =; a password with ? in it is written with %3F")?;
            let name = decode(name).ok_or("has a parameter whose name cannot be read")?;
            let value = decode(text).filter(|value| value.len() <= VALUE_MAX);
            let value = value.ok_or_else(|| format!("{name} is not encoded as in a URL"))?;
            all.take(&name, &value)?;
            let secret = matches!(name.as_str(), "password" | "sslpassword");
            shown.push(if secret { format!("{name}=***") } else { item.to_owned() });
        }
        if !shown.is_empty() {
            all.shown = format!("?{}", shown.join("&"));
        }
        Ok(all)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let text = || Some(value.to_owned()).filter(|value| !value.is_empty());
        let path = || Some(PathBuf::from(value)).filter(|_| !value.is_empty());
        match name {
            "host" => self.host = text(),
            "hostaddr" => self.address = text(),
            "port" => self.port = text(),
            "user" => self.user = text(),
            "password" => self.password = Some(Secret::new(value)),
            "dbname" => self.database = text(),
            "sslmode" => {
                self.mode = Some(match value {
                    "disable" => SslMode::Disable,
                    "allow" => SslMode::Allow,
                    "prefer" => SslMode::Prefer,
                    "require" => SslMode::Require,
                    "verify-ca" => SslMode::VerifyCa,
                    "verify-full" => SslMode::VerifyFull,
                    other => {
                        return Err(none_of(
                            name,
                            other,
                            "disable, allow, prefer, require, verify-ca, verify-full",
                        ));
                    }
                });
            }
            // What other drivers call it.
            "ssl" => match value {
                "true" | "1" => self.mode = self.mode.or(Some(SslMode::Require)),
                "false" | "0" => self.mode = self.mode.or(Some(SslMode::Disable)),
                other => return Err(none_of(name, other, "true, false")),
            },
            "sslrootcert" => {
                self.roots = match value {
                    "" => SslRoots::Unset,
                    "system" => SslRoots::System,
                    file => SslRoots::File(file.into()),
                }
            }
            "sslcert" => self.certificate = path(),
            "sslkey" => self.key = path(),
            "sslnegotiation" => {
                self.direct = match value {
                    "postgres" => false,
                    "direct" => true,
                    other => return Err(none_of(name, other, "postgres, direct")),
                }
            }
            "channel_binding" => {
                self.channel_binding = match value {
                    "disable" => ChannelBinding::Disable,
                    "prefer" => ChannelBinding::Prefer,
                    "require" => ChannelBinding::Require,
                    other => return Err(none_of(name, other, "disable, prefer, require")),
                }
            }
            "target_session_attrs" => {
                self.target = match value {
                    "any" => SessionTarget::Any,
                    "read-write" => SessionTarget::ReadWrite,
                    "primary" => SessionTarget::Primary,
                    "read-only" | "standby" | "prefer-standby" => {
                        return Err(format!(
                            "{name}={value} asks for a server that takes no changes; a queue needs read-write"
                        ));
                    }
                    other => return Err(none_of(name, other, "any, read-write, primary")),
                }
            }
            "connect_timeout" => self.connect_timeout = seconds(name, value)?,
            "tcp_user_timeout" => {
                let limits = 1000..=60_000;
                self.tcp_user_timeout = Duration::from_millis(number(name, value, limits)?);
            }
            "keepalives" => {
                self.keepalives = match value {
                    "1" => true,
                    "0" => false,
                    other => return Err(none_of(name, other, "0, 1")),
                }
            }
            "keepalives_idle" => self.keepalive.idle = seconds(name, value)?,
            "keepalives_interval" => self.keepalive.interval = seconds(name, value)?,
            "keepalives_count" => {
                self.keepalive.count = u32::try_from(number(name, value, 1..=20)?).unwrap_or(20);
            }
            "application_name" => value.clone_into(&mut self.application_name),
            "options" => value.clone_into(&mut self.options),
            // These may say what is so in any case.
            "fallback_application_name" => {}
            "client_encoding" => only(name, value, &["utf8", "utf-8", "auto"])?,
            "gssencmode" => only(name, value, &["disable", "prefer"])?,
            "sslsni" => only(name, value, &["1"])?,
            "load_balance_hosts" => only(name, value, &["disable"])?,
            other => return Err(unknown(other)),
        }
        Ok(())
    }

    /// How the way is protected, as libpq understands the parameters together.
    pub(super) fn tls(&self) -> Result<DatabaseTls, String> {
        let system = self.roots == SslRoots::System;
        let mode = self.mode.unwrap_or(if system { SslMode::VerifyFull } else { SslMode::Prefer });
        if system && mode != SslMode::VerifyFull {
            return Err("sslrootcert=system needs sslmode=verify-full: anybody can have a certificate of the public authorities".to_owned());
        }
        if self.certificate.is_some() != self.key.is_some() {
            return Err("sslcert and sslkey belong together".to_owned());
        }
        let weak = matches!(mode, SslMode::Disable | SslMode::Allow | SslMode::Prefer);
        if self.direct && weak {
            return Err("sslnegotiation=direct needs sslmode=require or stronger".to_owned());
        }
        if weak && self.channel_binding == ChannelBinding::Require {
            return Err("channel_binding=require needs sslmode=require or stronger".to_owned());
        }
        Ok(DatabaseTls {
            mode,
            roots: self.roots.clone(),
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            direct: self.direct,
        })
    }

    pub(super) fn keepalive(&self) -> Option<Keepalive> {
        self.keepalives.then_some(self.keepalive)
    }
}

fn none_of(name: &str, value: &str, known: &str) -> String {
    format!("{name} is {}, expected one of {known}", quote(value))
}

fn only(name: &str, value: &str, served: &[&str]) -> Result<(), String> {
    if served.iter().any(|known| value.eq_ignore_ascii_case(known)) {
        return Ok(());
    }
    Err(format!("{name}={} is not served; leave it out", value.escape_debug()))
}

fn number(name: &str, value: &str, limits: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let number = value.trim().parse().ok().filter(|number| limits.contains(number));
    number.ok_or_else(|| {
        format!("{name} must be a number from {} to {}", limits.start(), limits.end())
    })
}

/// Without a limit, something that is dead would be waited for.
fn seconds(name: &str, value: &str) -> Result<Duration, String> {
    number(name, value, 1..=60).map(Duration::from_secs)
}

fn unknown(name: &str) -> String {
    if let Some((_, instead)) = ELSEWHERE.iter().find(|(known, _)| *known == name) {
        return format!("{name} is not served; {instead}");
    }
    match nearest(name, &KNOWN) {
        Some(near) => format!("has an unknown parameter {}; did you mean {near}?", quote(name)),
        None => format!("has an unknown parameter {}", quote(name)),
    }
}
