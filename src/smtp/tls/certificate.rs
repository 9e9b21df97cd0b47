//! The operator's certificate and key: reading the files, and saying what is wrong with them.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest;
use memchr::memmem;
use rustls::InconsistentKeys;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::clock::Timestamp;
use crate::config::CertificateFiles;

use super::x509::{self, Facts};

/// A longer file is no certificate; a chain with its key has a few thousand octets.
const FILE_OCTETS_MAX: u64 = 1 << 20;

const CERTIFICATE: &str = "smtp.tls.certificate";
const KEY: &str = "smtp.tls.key";

/// What is wrong with a certificate or its key.
#[derive(Debug, thiserror::Error)]
#[error("{setting}: {}: {problem}", path.display())]
pub struct CertificateError {
    /// The key of the configuration.
    pub setting: &'static str,
    pub path: PathBuf,
    pub problem: Problem,
}

/// The kinds of it, each with what to do.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    #[error("there is no such file")]
    Missing,
    #[error("it is not a file; name the PEM file itself")]
    NotAFile,
    #[error(
        "the user that mailferry runs as may not read it; give it the right to (chgrp, chmod g+r)"
    )]
    Denied,
    #[error("it cannot be read: {0}")]
    Unreadable(io::Error),
    #[error("it is larger than 1 MiB, so it is no PEM file of a certificate")]
    TooLarge,
    #[error(
        "there is no certificate in it, expected -----BEGIN CERTIFICATE-----; \
         convert DER by: openssl x509 -inform der -in FILE -out cert.pem"
    )]
    NoCertificate,
    #[error(
        "there is a key in it and no certificate; are smtp.tls.certificate and smtp.tls.key swapped?"
    )]
    KeyInstead,
    #[error(
        "there is no private key in it, expected -----BEGIN PRIVATE KEY----- or one of its older forms"
    )]
    NoKey,
    #[error(
        "there is a certificate in it and no key; are smtp.tls.certificate and smtp.tls.key swapped?"
    )]
    CertificateInstead,
    #[error(
        "the key is encrypted, and nobody is there to type its password; \
         decrypt it by: openssl pkey -in FILE -out key.pem"
    )]
    Encrypted,
    #[error("it is damaged: {0}; copy it anew")]
    Damaged(&'static str),
    #[error("its certificate cannot be used: {0}")]
    BadCertificate(String),
    #[error(
        "its key cannot be used; RSA from 2048 bits, ECDSA (P-256, P-384, P-521) and Ed25519 can: {0}"
    )]
    BadKey(rustls::Error),
    #[error("the key does not belong to the certificate in {}; they are made as a pair", .certificate.display())]
    KeyOfAnother { certificate: PathBuf },
    #[error(
        "the certificate that the key belongs to is number {0} in it and must be the first, \
         before those of its issuers"
    )]
    WrongOrder(usize),
}

/// A certificate and its key, ready to be shown.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) key: CertifiedKey,
    /// Where it is from, for the log.
    pub(super) origin: String,
    /// What was read, to be told from later contents.
    pub(super) digest: Digest,
    pub(super) expires: Timestamp,
    pub(super) fingerprint: Fingerprint,
    /// What does not keep it from being used, but clients or the operator from being content.
    pub(super) warnings: Vec<String>,
}

/// What a check finds out.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The last moment at which the certificate holds.
    pub expires: Timestamp,
    /// What is doubtful, in words.
    pub warnings: Vec<String>,
}

/// The contents of the two files.
#[derive(Debug)]
pub(super) struct PemPair {
    pub(super) certificate: Vec<u8>,
    pub(super) key: Vec<u8>,
    /// Everybody on the machine may read the key.
    pub(super) key_is_open: bool,
}

/// SHA-256 of contents.
pub(super) type Digest = [u8; digest::SHA256_OUTPUT_LEN];

/// SHA-256 of a certificate, printed as `openssl x509 -fingerprint -sha256` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fingerprint(Digest);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, octet) in self.0.iter().enumerate() {
            let separator = if at == 0 { "" } else { ":" };
            write!(f, "{separator}{octet:02X}")?;
        }
        Ok(())
    }
}

/// Looks at the files as `serve` would, without using them.
pub fn inspect(files: &CertificateFiles, now: Timestamp) -> Result<Inspection, CertificateError> {
    load(files, now).map(|loaded| Inspection { expires: loaded.expires, warnings: loaded.warnings })
}

/// Reads and judges both files.
pub(super) fn load(files: &CertificateFiles, now: Timestamp) -> Result<Loaded, CertificateError> {
    read(files).and_then(|pair| judge(&pair, files, now))
}

/// Reads both files.
pub(super) fn read(files: &CertificateFiles) -> Result<PemPair, CertificateError> {
    let certificate =
        contents(&files.certificate).map_err(|problem| certificate_fault(files, problem))?;
    let key = contents(&files.key).map_err(|problem| key_fault(files, problem))?;
    Ok(PemPair { certificate, key, key_is_open: is_open(&files.key) })
}

fn contents(path: &Path) -> Result<Vec<u8>, Problem> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Problem::Missing,
        io::ErrorKind::PermissionDenied => Problem::Denied,
        _ => Problem::Unreadable(error),
    };
    // Asked first: to open a pipe would be to wait for whoever fills it.
    if !path.metadata().map_err(unreadable)?.is_file() {
        return Err(Problem::NotAFile);
    }
    let mut octets = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    let count = file.take(FILE_OCTETS_MAX + 1).read_to_end(&mut octets).map_err(unreadable)?;
    if u64::try_from(count).is_ok_and(|count| count > FILE_OCTETS_MAX) {
        return Err(Problem::TooLarge);
    }
    Ok(octets)
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

/// Makes a usable pair of what was read.
pub(super) fn judge(
    pair: &PemPair,
    files: &CertificateFiles,
    now: Timestamp,
) -> Result<Loaded, CertificateError> {
    let chain = chain(&pair.certificate).map_err(|problem| certificate_fault(files, problem))?;
    let key = private_key(&pair.key).map_err(|problem| key_fault(files, problem))?;
    let key = default_provider()
        .key_provider
        .load_private_key(key)
        .map_err(|error| key_fault(files, Problem::BadKey(error)))?;

    let belongs = |chain: &[CertificateDer<'static>]| match CertifiedKey::new(
        chain.to_vec(),
        Arc::clone(&key),
    )
    .keys_match()
    {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(true),
        Err(rustls::Error::InconsistentKeys(_)) => Ok(false),
        Err(error) => Err(error),
    };
    let unusable = |text: String| certificate_fault(files, Problem::BadCertificate(text));
    if !belongs(&chain).map_err(|error| unusable(error.to_string()))? {
        let elsewhere = chain.chunks(1).position(|one| belongs(one).unwrap_or(false));
        return Err(match elsewhere {
            Some(at) => certificate_fault(files, Problem::WrongOrder(at + 1)),
            None => {
                key_fault(files, Problem::KeyOfAnother { certificate: files.certificate.clone() })
            }
        });
    }

    let leaf = chain.first().map(AsRef::as_ref).unwrap_or_default();
    let facts = x509::facts(leaf).ok_or_else(|| unusable("it is no X.509".to_owned()))?;
    let mut warnings = doubts(&facts, chain.len(), now);
    if pair.key_is_open {
        let path = files.key.display();
        warnings.push(format!("everybody on this machine may read the key: chmod o-r {path}"));
    }
    Ok(Loaded {
        origin: files.certificate.display().to_string(),
        digest: digest_of(pair),
        expires: facts.expires,
        fingerprint: Fingerprint(sha256(&[leaf])),
        warnings,
        key: CertifiedKey::new(chain, key),
    })
}

/// What clients may not like.
fn doubts(facts: &Facts, certificates: usize, now: Timestamp) -> Vec<String> {
    let mut doubts = Vec::new();
    if now > facts.expires {
        let expires = facts.expires;
        doubts.push(format!(
            "the certificate expired at {expires}, clients will refuse it: renew it"
        ));
    }
    if now < facts.begins {
        let begins = facts.begins;
        doubts.push(format!(
            "the certificate holds from {begins} on, clients will refuse it until then: is the clock right?"
        ));
    }
    if certificates == 1 && !facts.self_issued {
        doubts.push(
            "the file holds one certificate and none of its issuers; unless clients have the issuer's already, \
             they need the whole chain (certbot: fullchain.pem)"
                .to_owned(),
        );
    }
    doubts
}

fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Problem> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    match chain.map_err(damage)? {
        chain if !chain.is_empty() => Ok(chain),
        _ if has(text, "PRIVATE KEY-----") => Err(Problem::KeyInstead),
        _ => Err(Problem::NoCertificate),
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, Problem> {
    // In the older form it is a header within the section: "Proc-Type: 4,ENCRYPTED".
    if has(text, "ENCRYPTED") {
        return Err(Problem::Encrypted);
    }
    PrivateKeyDer::from_pem_slice(text).map_err(|error| match error {
        pem::Error::NoItemsFound if has(text, "BEGIN CERTIFICATE") => Problem::CertificateInstead,
        pem::Error::NoItemsFound => Problem::NoKey,
        error => damage(error),
    })
}

/// In our own words: the library's may quote the file.
fn damage(error: pem::Error) -> Problem {
    match error {
        pem::Error::MissingSectionEnd { .. } => Problem::Damaged("a section has no END line"),
        pem::Error::IllegalSectionStart { .. } => Problem::Damaged("a BEGIN line is malformed"),
        pem::Error::Base64Decode(_) => Problem::Damaged("a section is not base64"),
        pem::Error::Io(error) => Problem::Unreadable(error),
        pem::Error::NoItemsFound => Problem::Damaged("nothing is in it"),
        _ => Problem::Damaged("it is no PEM"),
    }
}

fn has(text: &[u8], words: &str) -> bool {
    memmem::find(text, words.as_bytes()).is_some()
}

/// Tells contents apart without keeping a second copy of a key in memory.
pub(super) fn digest_of(pair: &PemPair) -> Digest {
    sha256(&[&sha256(&[&pair.certificate]), &sha256(&[&pair.key])])
}

pub(super) fn sha256(pieces: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    for piece in pieces {
        context.update(piece);
    }
    let mut digest = Digest::default();
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn certificate_fault(files: &CertificateFiles, problem: Problem) -> CertificateError {
    CertificateError { setting: CERTIFICATE, path: files.certificate.clone(), problem }
}

fn key_fault(files: &CertificateFiles, problem: Problem) -> CertificateError {
    CertificateError { setting: KEY, path: files.key.clone(), problem }
}

#[cfg(test)]
mod tests;
