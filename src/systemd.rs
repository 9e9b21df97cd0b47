//! The two things that systemd has to say to a daemon, and hear from it: sockets that it has opened, and how far we are.
//!
//! Both are environment variables (`sd_listen_fds(3)`, `sd_notify(3)`); without them nothing here does anything.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use sd_notify::NotifyState;
use socket2::SockRef;

/// The port of SMTP with TLS from the first octet (RFC 8314 §7.3).
const SUBMISSIONS_PORT: u16 = 465;

/// Sockets that systemd has opened for us (socket activation), by what is spoken on them.
#[derive(Debug, Default)]
pub struct Sockets {
    /// SMTP.
    pub smtp: Vec<TcpListener>,
    /// SMTP with implicit TLS.
    pub smtps: Vec<TcpListener>,
    /// HTTP; there is one at the most.
    pub http: Option<TcpListener>,
}

/// Why the sockets that systemd has opened cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// It is of another kind.
    #[error(
        "socket {number} that systemd has opened cannot be used: {source}; \
         only stream sockets of IPv4 and IPv6 can (ListenStream=), without Accept=yes"
    )]
    Unusable { number: usize, source: io::Error },
    /// One is all that is served.
    #[error("systemd has opened more than one socket for HTTP, {0} among them: one is served")]
    SecondHttp(SocketAddr),
}

/// What there is to hand over, told apart only when the configuration is known.
#[derive(Debug)]
pub struct Handed {
    sockets: Vec<(String, io::Result<TcpListener>)>,
}

impl Handed {
    /// Takes what is meant for this process. To be called once, and before there are threads: it changes the environment.
    pub fn from_environment() -> Self {
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut handed = ListenFd::from_env();
        let sockets = (0..handed.len())
            .map(|number| {
                let name = names.next().unwrap_or_default().to_owned();
                let socket = handed.take_tcp_listener(number).and_then(|socket| {
                    let socket = socket.ok_or(io::ErrorKind::NotFound)?;
                    if SockRef::from(&socket).is_listener()? {
                        Ok(socket)
                    } else {
                        Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"))
                    }
                });
                (name, socket)
            })
            .collect();
        Self { sockets }
    }

    /// Tells them apart by their names (`FileDescriptorName=`): `smtp`, `smtps`, `http`.
    ///
    /// One with another name goes by its port: that of `http.listen` is for HTTP; 465 and those of `smtp.listen_tls` are for
    /// SMTP with implicit TLS; every other port is for SMTP.
    pub fn sort(self, smtp_tls: &[SocketAddr], http: SocketAddr) -> Result<Sockets, SocketError> {
        let mut sorted = Sockets::default();
        for (number, (name, socket)) in self.sockets.into_iter().enumerate() {
            let unusable = |source| SocketError::Unusable { number, source };
            let socket = socket.map_err(unusable)?;
            let address = socket.local_addr().map_err(unusable)?;
            let port = address.port();
            match name.as_str() {
                "smtp" => sorted.smtp.push(socket),
                "smtps" => sorted.smtps.push(socket),
                name if name == "http" || port == http.port() => {
                    if sorted.http.replace(socket).is_some() {
                        return Err(SocketError::SecondHttp(address));
                    }
                }
                _ if port == SUBMISSIONS_PORT || smtp_tls.iter().any(|own| own.port() == port) => {
                    sorted.smtps.push(socket);
                }
                _ => sorted.smtp.push(socket),
            }
        }
        Ok(sorted)
    }
}

/// Says that the configuration is being read again. [`ready`] ends it, whatever has come of it.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => {
            tracing::warn!(%error, "systemd cannot be told that the configuration is read again");
        }
    }
}

/// Says that every port is open: units that wait for this one may start. After [`reloading`] it says that this has ended.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says that the end has begun, and may take a while.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "systemd cannot be told how far the start or the end has come");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handed(names: &[&str]) -> (Handed, Vec<SocketAddr>) {
        let sockets: Vec<TcpListener> =
            names.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = sockets.iter().map(|socket| socket.local_addr().unwrap()).collect();
        let named = names.iter().map(|name| (*name).to_owned());
        (Handed { sockets: named.zip(sockets.into_iter().map(Ok)).collect() }, addresses)
    }

    fn addresses<'a>(sockets: impl IntoIterator<Item = &'a TcpListener>) -> Vec<SocketAddr> {
        sockets.into_iter().map(|socket| socket.local_addr().unwrap()).collect()
    }

    const ELSEWHERE: SocketAddr =
        SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

    #[test]
    fn names_tell_what_is_spoken() {
        let (handed, own) = handed(&["http", "smtps", "smtp", "smtp"]);
        let sorted = handed.sort(&[], ELSEWHERE).unwrap();
        assert_eq!(addresses(&sorted.http), own[..1]);
        assert_eq!(addresses(&sorted.smtps), own[1..2]);
        assert_eq!(addresses(&sorted.smtp), own[2..]);
    }

    #[test]
    fn without_a_name_the_port_tells() {
        let (handed, own) = handed(&["mailferry.socket", "", "unknown"]);
        let sorted = handed.sort(&[own[1]], own[2]).unwrap();
        assert_eq!(addresses(&sorted.smtp), own[..1]);
        assert_eq!(addresses(&sorted.smtps), own[1..2]);
        assert_eq!(addresses(&sorted.http), own[2..]);
    }

    #[test]
    fn a_second_socket_for_http_is_refused_by_name() {
        let (handed, own) = handed(&["http", "http"]);
        let error = handed.sort(&[], ELSEWHERE).unwrap_err().to_string();
        assert!(error.contains(&own[1].to_string()), "{error}");
    }

    #[test]
    fn a_socket_of_another_kind_is_refused() {
        let broken = Err(io::Error::new(io::ErrorKind::InvalidInput, "it does not listen"));
        let handed = Handed { sockets: vec![("smtp".to_owned(), broken)] };
        let error = handed.sort(&[], ELSEWHERE).unwrap_err().to_string();
        assert!(error.starts_with("socket 0 ") && error.contains("it does not listen"), "{error}");
    }
}
