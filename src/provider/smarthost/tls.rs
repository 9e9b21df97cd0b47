//! Encryption towards the server: whom we trust, and what a failed handshake means.

use std::io;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs::default_provider;
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::fault::Fault;
use crate::config::{Place, SmtpTls};

/// A connector that trusts the system's root certificates, or the compiled-in ones of Mozilla where the system has
/// none, as in an empty container. `SSL_CERT_FILE` and `SSL_CERT_DIR` come in place of the system's.
pub(super) fn connector() -> Result<TlsConnector, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::debug!("no root certificates on this system, taking the built-in ones");
        let built_in = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
        roots.add_parsable_certificates(built_in);
    }
    trusting(roots)
}

/// A connector that trusts these.
pub(super) fn trusting(roots: RootCertStore) -> Result<TlsConnector, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// What a failed handshake means. A certificate, or a port that speaks otherwise, does not mend itself, and no message
/// is at fault; everything else may pass.
pub(super) fn fault(error: &io::Error, place: &Place) -> Fault {
    let Place { host, port, tls } = place;
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(why)) => Fault::settings(format!(
            "the certificate of {host}:{port} is not accepted: {why}; host must be the name in it, and an authority of \
             your own must be among the system's or in the file that SSL_CERT_FILE names"
        )),
        Some(rustls::Error::InvalidMessage(_)) => {
            let advice = match tls {
                SmtpTls::Implicit => {
                    "; on port 587 and 25, tls is starttls as a rule, and implicit on port 465"
                }
                SmtpTls::Auto | SmtpTls::StartTls | SmtpTls::Off => "",
            };
            Fault::settings(format!("{host}:{port} does not speak TLS here{advice}"))
        }
        Some(_) | None => Fault::Lost(format!("no encryption with {host}:{port}: {error}")),
    }
}
