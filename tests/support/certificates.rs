//! A certificate authority of the test, and what it has signed: clients verify the relay as they would in earnest.

use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// The name that clients connect to and find in the certificate.
pub(crate) const HOST: &str = "localhost";

/// PEM files for both sides.
#[derive(Clone, Debug)]
pub(crate) struct Certificates {
    /// What clients trust.
    pub(crate) authority: PathBuf,
    /// Another authority, which has signed nothing here.
    pub(crate) stranger: PathBuf,
    /// The relay's certificate.
    pub(crate) certificate: PathBuf,
    /// The key of it.
    pub(crate) key: PathBuf,
    /// SHA-256 over the relay's certificate, as `AB:CD:…`.
    pub(crate) fingerprint: String,
}

impl Certificates {
    /// Makes them new, for `localhost` and 127.0.0.1.
    pub(crate) fn write(folder: &Path) -> Self {
        let (authority_pem, issuer) = authority("mailferry tests");
        let (stranger_pem, _) = authority("somebody else");
        let mut params =
            CertificateParams::new(vec![HOST.to_owned(), "127.0.0.1".to_owned()]).unwrap();
        name(&mut params, HOST);
        params.use_authority_key_identifier_extension = true;
        params.key_usages.push(KeyUsagePurpose::DigitalSignature);
        params.extended_key_usages.push(ExtendedKeyUsagePurpose::ServerAuth);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();

        let write = |name: &str, pem: &str| {
            let path = folder.join(name);
            std::fs::write(&path, pem).unwrap();
            path
        };
        let hash = digest::digest(&digest::SHA256, certificate.der());
        let octets: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
        Self {
            authority: write("authority.pem", &authority_pem),
            stranger: write("stranger.pem", &stranger_pem),
            certificate: write("relay.pem", &certificate.pem()),
            key: write("relay.key", &key.serialize_pem()),
            fingerprint: octets.join(":"),
        }
    }
}

fn authority(common_name: &str) -> (String, Issuer<'static, KeyPair>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    name(&mut params, common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages.extend([KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign]);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    (pem, Issuer::new(params, key))
}

fn name(params: &mut CertificateParams, common_name: &str) {
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, common_name);
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2049, 1, 1);
}
