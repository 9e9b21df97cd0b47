//! The certificate that clients get to see now.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// One certificate with its key, changed while handshakes go on. A connection keeps the one that it began with.
#[derive(Debug)]
pub(super) struct Presented {
    current: ArcSwap<CertifiedKey>,
}

impl Presented {
    pub(super) fn new(key: CertifiedKey) -> Self {
        Self { current: ArcSwap::from_pointee(key) }
    }

    pub(super) fn current(&self) -> Arc<CertifiedKey> {
        self.current.load_full()
    }

    /// From the next handshake on it is this one.
    pub(super) fn replace(&self, key: CertifiedKey) {
        self.current.store(Arc::new(key));
    }
}

impl ResolvesServerCert for Presented {
    /// Whatever name the client asks for: apps reach a relay by names and addresses that no certificate lists.
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}
