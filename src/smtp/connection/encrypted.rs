//! One client's connection from the first octet to the last: in plaintext, over TLS, or first the one and then the other.

use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tracing::{debug, warn};

use super::{Service, talk};
use crate::smtp::session::{Peer, Session};
use crate::smtp::tls::{Acceptor, Failure, Opening, TlsStream};

/// Serves one client until it leaves or is sent away. TLS begins when it asks for it.
///
/// A [`Listener`](crate::smtp::Listener) does this for every connection that it has admitted; any stream will do.
pub async fn serve<S>(stream: S, peer: Peer, service: &Service)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    debug!(peer = %peer.address, secure = false, "connection opened");
    let session = Session::new(Arc::clone(&service.policy), peer);
    let greeting = session.greeting();
    let Some((stream, session)) = talk(stream, session, Some(greeting), service).await else {
        return;
    };
    // A session asks for TLS only where its policy offers it, and that is where there is a certificate.
    let Some(acceptor) = &service.tls else { return };
    let Some(stream) = shake_hands(stream, acceptor, Opening::StartTls, peer, service).await else {
        return;
    };
    // RFC 3207 §4.2: no greeting; the client says EHLO again.
    talk(stream, session.over_tls(), None, service).await;
}

/// The same where TLS begins with the first octet.
pub(in crate::smtp) async fn serve_tls<S>(
    stream: S,
    acceptor: &Acceptor,
    peer: Peer,
    service: &Service,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    debug!(peer = %peer.address, secure = true, "connection opened");
    let Some(stream) = shake_hands(stream, acceptor, Opening::Implicit, peer, service).await else {
        return;
    };
    let session = Session::new(Arc::clone(&service.policy), Peer { secure: true, ..peer });
    let greeting = session.greeting();
    talk(stream, session, Some(greeting), service).await;
}

/// The encrypted stream, or `None` when the connection is over. Shutting down does not wait for a handshake.
async fn shake_hands<S>(
    stream: S,
    acceptor: &Acceptor,
    opening: Opening,
    peer: Peer,
    service: &Service,
) -> Option<TlsStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let peer = peer.address;
    let done = tokio::select! {
        biased;
        done = acceptor.accept(stream, opening) => done,
        () = service.shutdown.cancelled() => {
            debug!(%peer, "connection closed: shutting down within the TLS handshake");
            return None;
        }
    };
    match done {
        Ok(stream) => {
            let (_, tls) = stream.get_ref();
            debug!(
                %peer,
                version = ?tls.protocol_version(),
                cipher = ?tls.negotiated_cipher_suite().map(|suite| suite.suite()),
                "TLS begun"
            );
            Some(stream)
        }
        Err(Failure::Gone) => {
            debug!(%peer, "the client has gone within the TLS handshake");
            None
        }
        Err(Failure::Reason(reason)) => {
            if let Some(unlogged) = service.notices.handshakes.take() {
                warn!(%peer, %reason, unlogged, "TLS handshake failed");
            }
            None
        }
    }
}

#[cfg(test)]
mod tests;
