//! Certificates, and clients that trust them, for tests.

use std::fs;
use std::sync::Arc;

use rcgen::{CertificateParams, Issuer, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio_rustls::TlsConnector;

use crate::clock::{SharedClock, SystemClock};
use crate::config::{CertificateFiles, TlsConfig};

use super::{Keeping, Tls};

pub(in crate::smtp) use rustls::version::{TLS12, TLS13};

pub(in crate::smtp) const NAME: &str = "relay.example";

/// What `smtp.tls.certificate` and `smtp.tls.key` name, in a folder that goes with it.
pub(in crate::smtp) struct Files {
    pub(in crate::smtp) folder: TempDir,
    pub(in crate::smtp) files: CertificateFiles,
}

/// A certificate that signs itself.
pub(in crate::smtp) struct Pair {
    pub(in crate::smtp) certificate: String,
    pub(in crate::smtp) key: String,
    pub(in crate::smtp) der: CertificateDer<'static>,
}

impl Pair {
    pub(in crate::smtp) fn new() -> Self {
        Self::with(|_| {})
    }

    pub(in crate::smtp) fn with(change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![String::from(NAME)]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            der: certificate.der().clone(),
        }
    }

    /// One that another has signed; its text is the leaf alone.
    pub(in crate::smtp) fn issued() -> (Self, Self) {
        let issuer_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "an authority");
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root = params.self_signed(&issuer_key).unwrap();
        let authority = Self {
            certificate: root.pem(),
            key: issuer_key.serialize_pem(),
            der: root.der().clone(),
        };
        let issuer = Issuer::new(params, issuer_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![String::from(NAME)]).unwrap();
        let leaf = params.signed_by(&key, &issuer).unwrap();
        let leaf =
            Self { certificate: leaf.pem(), key: key.serialize_pem(), der: leaf.der().clone() };
        (leaf, authority)
    }
}

impl Files {
    pub(in crate::smtp) fn of(pair: &Pair) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let files = CertificateFiles {
            certificate: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        let files = Self { folder, files };
        files.write(pair);
        files
    }

    pub(in crate::smtp) fn write(&self, pair: &Pair) {
        self.write_texts(&pair.certificate, &pair.key);
    }

    pub(in crate::smtp) fn write_texts(&self, certificate: &str, key: &str) {
        fs::write(&self.files.certificate, certificate).unwrap();
        fs::write(&self.files.key, key).unwrap();
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&self.files.key, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }

    pub(in crate::smtp) fn config(&self) -> TlsConfig {
        TlsConfig { files: Some(self.files.clone()), ..TlsConfig::default() }
    }

    /// What `serve` makes of them.
    pub(in crate::smtp) fn set_up(&self) -> Tls {
        let clock: SharedClock = Arc::new(SystemClock);
        let keeping = Keeping::beside(&self.folder.path().join("x.db"), String::from(NAME));
        Tls::set_up(&self.config(), &keeping, &clock).unwrap().unwrap()
    }
}

/// A client that trusts this certificate, and speaks these versions.
pub(in crate::smtp) fn client(
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// The same, ready to connect.
pub(in crate::smtp) fn connector(trusted: &CertificateDer<'static>) -> TlsConnector {
    TlsConnector::from(Arc::new(client(trusted, &[&TLS12, &TLS13])))
}

pub(in crate::smtp) fn server_name() -> ServerName<'static> {
    ServerName::try_from(NAME).unwrap()
}
