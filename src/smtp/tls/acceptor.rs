//! The handshake: what is offered, how long it may take, and what to tell the operator when it fails.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs::{self, Ticketer};
use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, InvalidMessage, PeerIncompatible, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;

use super::presented::Presented;

/// How long a handshake may take. Slow networks need a few seconds; a client that dawdles holds a seat.
pub(super) const HANDSHAKE_TIME_MAX: Duration = Duration::from_secs(30);

/// Names in ALPN (RFC 7301). A client that names none is served. One that names others only is not: so a browser, which
/// says "h2" and "http/1.1", cannot be led to this port by somebody who wants our answers to look like a web site's.
const PROTOCOLS: [&[u8]; 2] = [b"smtp", b"esmtp"];

/// A connection over TLS. On the heap, so that a plaintext connection does not have to have room for it.
pub(in crate::smtp) type TlsStream<S> = Box<tokio_rustls::server::TlsStream<S>>;

/// Shakes hands with clients. Copies share certificate and session tickets.
#[derive(Clone)]
pub struct Acceptor {
    inner: TlsAcceptor,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

/// How TLS begins on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::smtp) enum Opening {
    /// With the first octet.
    Implicit,
    /// After the command.
    StartTls,
}

/// Why a handshake came to nothing.
#[derive(Debug)]
pub(in crate::smtp) enum Failure {
    /// The client has gone, which scanners and health checks do.
    Gone,
    /// Somebody can do something about it: this.
    Reason(Cow<'static, str>),
}

impl Acceptor {
    /// TLS 1.2 and 1.3 with what aws-lc-rs offers: forward secrecy and authenticated encryption only.
    pub(super) fn new(presented: Arc<Presented>) -> Result<Self, rustls::Error> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])?
            .with_no_client_auth()
            .with_cert_resolver(presented);
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        // Apps that connect for every message save most of the handshake. The state is with the client, not with us.
        config.ticketer = Ticketer::new()?;
        // RFC 8446 §8: early data can be replayed, and a mail sent twice is not harmless.
        config.max_early_data_size = 0;
        Ok(Self { inner: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Shakes hands, within the time that a client has for it.
    pub(in crate::smtp) async fn accept<S>(
        &self,
        stream: S,
        opening: Opening,
    ) -> Result<TlsStream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        // Boxed: what a handshake needs is given back after it.
        let handshake = Box::pin(self.inner.accept(stream));
        match tokio::time::timeout(HANDSHAKE_TIME_MAX, handshake).await {
            Ok(Ok(stream)) => Ok(Box::new(stream)),
            Ok(Err(error)) => Err(explain(&error, opening)),
            Err(_) => Err(Failure::Reason(too_slow(opening))),
        }
    }
}

fn too_slow(opening: Opening) -> Cow<'static, str> {
    Cow::Borrowed(match opening {
        // Whoever speaks SMTP waits here for a greeting.
        Opening::Implicit => {
            "no TLS came for 30 seconds; set the app to implicit TLS (\"SSL/TLS\", \"smtps\"), \
             or to a port of smtp.listen"
        }
        Opening::StartTls => "the handshake after STARTTLS was not done within 30 seconds",
    })
}

/// What an operator can make of a failed handshake.
fn explain(error: &io::Error, opening: Opening) -> Failure {
    use rustls::Error;

    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let text = match (cause, opening) {
        (None, _) => return Failure::Gone,
        (Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)), Opening::Implicit) => {
            "the client spoke without TLS on a port of smtp.listen_tls; set the app to implicit TLS \
             (\"SSL/TLS\", \"smtps\"), or to a port of smtp.listen"
        }
        (Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)), Opening::StartTls) => {
            "the client went on without TLS after STARTTLS; what it said was thrown away"
        }
        (Some(Error::AlertReceived(alert)), _) => return refused(*alert),
        (
            Some(Error::PeerIncompatible(
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                // Came with TLS 1.2, and every client that has it sends it.
                | PeerIncompatible::SignatureAlgorithmsExtensionRequired
                | PeerIncompatible::SupportedVersionsExtensionRequired
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled,
            )),
            _,
        ) => "the client knows TLS 1.1 or older only, which is broken; it needs TLS 1.2 or 1.3",
        (Some(Error::PeerIncompatible(problem)), _) => {
            let text =
                format!("the client and mailferry have no encryption in common: {problem:?}");
            return Failure::Reason(text.into());
        }
        (Some(Error::NoApplicationProtocol), _) => {
            "the client wants another protocol than SMTP by ALPN; a browser or an HTTP library is not served here"
        }
        (Some(other), _) => return Failure::Reason(other.to_string().into()),
    };
    Failure::Reason(text.into())
}

/// The client has broken off and says why.
fn refused(alert: AlertDescription) -> Failure {
    use AlertDescription::{
        BadCertificate, CertificateExpired, CertificateRevoked, CertificateUnknown, CloseNotify,
        DecryptError, HandshakeFailure, InsufficientSecurity, ProtocolVersion, UnknownCA,
        UnrecognisedName, UnsupportedCertificate, UserCanceled,
    };

    let text = match alert {
        CloseNotify | UserCanceled => return Failure::Gone,
        // The last one from clients that have pinned a former certificate with the same name.
        UnknownCA
        | BadCertificate
        | CertificateUnknown
        | CertificateRevoked
        | CertificateExpired
        | UnsupportedCertificate
        | UnrecognisedName
        | DecryptError => {
            "the client does not trust the certificate; give mailferry one for the name that the app connects to \
             (smtp.tls.certificate), or have the app accept this one"
        }
        ProtocolVersion | HandshakeFailure | InsufficientSecurity => {
            "the client does not accept what mailferry offers: TLS 1.2 or 1.3 with forward secrecy"
        }
        _ => "the client broke the handshake off",
    };
    Failure::Reason(format!("{text} (alert {alert:?})").into())
}

#[cfg(test)]
mod tests;
