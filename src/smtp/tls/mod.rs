//! TLS on the SMTP side: which certificate is shown, how it is renewed without dropping a connection, and the handshake.
//!
//! TLS 1.2 and 1.3 by rustls with aws-lc-rs. `x509` is pure; `certificate` reads the operator's files, `self_signed`
//! makes a pair where there are none, `presented` holds what is shown now, `watch` renews it, `acceptor` shakes hands.

mod acceptor;
mod certificate;
mod presented;
mod self_signed;
#[cfg(test)]
pub(super) mod testing;
mod watch;
mod x509;

pub use acceptor::Acceptor;
pub(super) use acceptor::{Failure, Opening, TlsStream};
pub use certificate::{CertificateError, Inspection, Problem, inspect};
pub use self_signed::Keeping;
pub use watch::{Reload, Watch};

use std::sync::Arc;

use tracing::{info, warn};

use crate::clock::SharedClock;
use crate::config::TlsConfig;

use certificate::Loaded;
use presented::Presented;

/// Why there is no TLS although it is configured.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The operator's certificate or key cannot be used.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No certificate can be made.
    #[error("smtp.tls.self_signed: no certificate can be made: {0}")]
    SelfSigned(#[from] rcgen::Error),
    /// The cryptographic library refuses to work.
    #[error("TLS cannot be set up: {0}")]
    Library(#[from] rustls::Error),
}

/// What a configuration with a certificate comes to.
#[derive(Debug)]
pub struct Tls {
    /// Shakes hands with clients.
    pub acceptor: Acceptor,
    /// Renews the certificate; `None` where it is of our own making.
    pub watch: Option<Watch>,
}

impl Tls {
    /// Loads or makes the certificate; `None` where the configuration has none. Does file I/O.
    ///
    /// `keeping` says where a certificate of our own stays, and for whom it is.
    pub fn set_up(
        config: &TlsConfig,
        keeping: &Keeping,
        clock: &SharedClock,
    ) -> Result<Option<Self>, TlsError> {
        let (loaded, files) = match &config.files {
            Some(files) => (certificate::load(files, clock.now())?, Some(files)),
            None if config.self_signed => (self_signed::obtain(keeping, clock.now())?, None),
            None => return Ok(None),
        };
        announce(&loaded, "TLS certificate in use");
        let judged = loaded.digest;
        let expires = loaded.expires;
        let presented = Arc::new(Presented::new(loaded.key));
        let acceptor = Acceptor::new(Arc::clone(&presented))?;
        let watch = files
            .map(|files| Watch::new(files.clone(), presented, Arc::clone(clock), judged, expires));
        Ok(Some(Self { acceptor, watch }))
    }
}

/// Logs what clients get to see from now on, and what is doubtful about it. The fingerprint is what a client pins.
fn announce(loaded: &Loaded, event: &'static str) {
    info!(
        certificate = %loaded.origin,
        fingerprint_sha256 = %loaded.fingerprint,
        expires = %loaded.expires,
        "{event}"
    );
    for warning in &loaded.warnings {
        warn!(certificate = %loaded.origin, "{warning}");
    }
}
