//! The listening sockets: those that the configuration names, and those that are handed over at the start.

use std::io;
use std::net::{self, SocketAddr};

use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use tokio::net::TcpListener;

use crate::config::SmtpConfig;

use super::listener::BindError;

/// Connections that wait to be accepted. The system has a limit of its own (`net.core.somaxconn`, usually 4096).
const BACKLOG: i32 = 1024;

/// Listening sockets that another process has opened (systemd's socket activation). Where there are any of a kind, the
/// addresses of the configuration for that kind are not used.
#[derive(Debug, Default)]
pub struct Inherited {
    /// In place of `smtp.listen`.
    pub plain: Vec<net::TcpListener>,
    /// In place of `smtp.listen_tls`.
    pub tls: Vec<net::TcpListener>,
}

/// A socket that listens.
#[derive(Debug)]
pub(super) struct ListeningSocket {
    pub(super) socket: TcpListener,
    /// TLS begins with the first octet, or that after the PROXY header.
    pub(super) implicit_tls: bool,
}

/// Opens every socket; an error names the address that failed.
pub(super) fn open(
    config: &SmtpConfig,
    inherited: Inherited,
) -> Result<Vec<ListeningSocket>, BindError> {
    let listed = [config.listen.as_slice(), &config.listen_tls].concat();
    let mut sockets = Vec::new();
    for (key, handed, addresses, implicit_tls) in [
        ("smtp.listen", inherited.plain, &config.listen, false),
        ("smtp.listen_tls", inherited.tls, &config.listen_tls, true),
    ] {
        let opened: io::Result<Vec<_>> = if handed.is_empty() {
            addresses.iter().map(|address| bind(*address, &listed)).collect()
        } else {
            handed.into_iter().map(take_over).collect()
        };
        let opened = opened.map_err(|source| BindError { key, source })?;
        sockets.extend(opened.into_iter().map(|socket| ListeningSocket { socket, implicit_tls }));
    }
    Ok(sockets)
}

fn bind(address: SocketAddr, listed: &[SocketAddr]) -> io::Result<TcpListener> {
    let bound = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A daemon that starts again does not wait for the connections of the one before.
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            socket.set_only_v6(!takes_ipv4(address, listed))?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&SockAddr::from(address))?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    bound().map_err(|error| {
        io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"))
    })
}

/// Whether an IPv6 socket is for IPv4 clients as well. `[::]` alone is for everybody, which is what containers mean by it;
/// where an IPv4 address is listed with the same port, each is for its own.
fn takes_ipv4(address: SocketAddr, listed: &[SocketAddr]) -> bool {
    !listed.iter().any(|other| other.is_ipv4() && other.port() == address.port())
}

fn take_over(socket: net::TcpListener) -> io::Result<TcpListener> {
    let address = socket.local_addr()?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket).map_err(|error| {
        io::Error::new(error.kind(), format!("cannot take over the socket of {address}: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// A port that is free with both.
    fn free_port() -> u16 {
        net::TcpListener::bind("[::]:0").unwrap().local_addr().unwrap().port()
    }

    #[test]
    fn an_ipv6_socket_leaves_ipv4_to_the_address_that_is_listed_for_it() {
        let both = [address("[::]:25"), address("0.0.0.0:25"), address("127.0.0.1:465")];
        assert!(!takes_ipv4(both[0], &both));
        assert!(takes_ipv4(both[0], &both[..1]));
        assert!(!takes_ipv4(address("[::]:465"), &both));
        assert!(takes_ipv4(address("[::]:587"), &both));
    }

    #[tokio::test]
    async fn all_of_ipv4_and_all_of_ipv6_are_listened_on_side_by_side() {
        if net::TcpListener::bind("[::1]:0").is_err() {
            return;
        }
        let port = free_port();
        let listed = [format!("[::]:{port}"), format!("0.0.0.0:{port}")].map(|text| address(&text));
        let sockets: Vec<TcpListener> =
            listed.iter().map(|address| bind(*address, &listed).unwrap()).collect();
        for (host, socket) in ["[::1]", "127.0.0.1"].into_iter().zip(&sockets) {
            let client = net::TcpStream::connect(format!("{host}:{port}")).unwrap();
            let (_, from) = socket.accept().await.unwrap();
            assert_eq!(from, client.local_addr().unwrap());
        }
    }

    #[tokio::test]
    async fn all_of_ipv6_alone_is_for_ipv4_clients_too() {
        if net::TcpListener::bind("[::1]:0").is_err() {
            return;
        }
        let listed = [address("[::]:0")];
        let socket = bind(listed[0], &listed).unwrap();
        let port = socket.local_addr().unwrap().port();
        let client = net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (_, from) = socket.accept().await.unwrap();
        assert_eq!(from.ip().to_canonical(), client.local_addr().unwrap().ip());
    }
}
