//! A certificate of our own making, for apps that insist on encryption where nobody has one (`smtp.tls.self_signed`).
//!
//! No client trusts it by itself: it has to be told to take it, or to pin it by the fingerprint in the log. So it stays
//! the same over restarts, also when the machine's name changes, which in containers it does at every start.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;

use jiff::tz::TimeZone;
use memchr::memmem;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use tracing::{info, warn};

use crate::clock::Timestamp;
use crate::config::CertificateFiles;
use crate::whole_file;

use super::TlsError;
use super::certificate::{self, CertificateError, Loaded, PemPair, Problem};

/// For how long it holds, years. There is nobody to renew it, and who pins it wants it to stay.
const YEARS: i32 = 10;

/// The longest common name (RFC 5280, `ub-common-name`).
const COMMON_NAME_MAX: usize = 64;

/// Where the pair stays, and for whom it is.
#[derive(Clone, Debug)]
pub struct Keeping {
    files: CertificateFiles,
    hostname: String,
    /// The operator has chosen the name, so a pair for another one is worth a word.
    chosen: bool,
}

impl Keeping {
    /// Beside this database file: `mailferry.tls.crt` and `mailferry.tls.key` with `mailferry.db`. `hostname` is the
    /// name that clients most probably know this machine by.
    pub fn beside(store: &Path, hostname: String) -> Self {
        let certificate = store.with_extension("tls.crt");
        let key = store.with_extension("tls.key");
        Self { files: CertificateFiles { certificate, key }, hostname, chosen: false }
    }

    /// Says that the operator has chosen the name. The machine's own may be another one at every start, and nobody uses
    /// it then.
    pub fn chosen(self) -> Self {
        Self { chosen: true, ..self }
    }
}

/// The pair that is there, or a new one. What cannot be written is used all the same, and will be another one after
/// the next start.
pub(super) fn obtain(keeping: &Keeping, now: Timestamp) -> Result<Loaded, TlsError> {
    let files = &keeping.files;
    let path = files.certificate.display();
    match certificate::load(files, now) {
        Ok(mut loaded) if now <= loaded.expires => {
            let leaf = loaded.key.cert.first().map(AsRef::as_ref).unwrap_or_default();
            if keeping.chosen && !is_for(leaf, &keeping.hostname) {
                loaded.warnings.push(format!(
                    "the self-signed certificate was made for another name than smtp.hostname ({}); for a new one \
                     remove {path} and restart, and tell the clients that pin it",
                    keeping.hostname
                ));
            }
            return Ok(loaded);
        }
        Ok(_) => {
            warn!(certificate = %path, "the self-signed certificate has expired and is made anew");
        }
        Err(CertificateError { problem: Problem::Missing, .. }) if !files.certificate.exists() => {
            info!(certificate = %path, "a self-signed certificate is made");
        }
        Err(error) => warn!(%error, "the self-signed certificate cannot be used and is made anew"),
    }
    let pair = make(&keeping.hostname, now)?;
    let mut loaded = certificate::judge(&pair, files, now)?;
    if let Err(error) = keep(&pair, files) {
        loaded.origin = "self-signed, in memory".to_owned();
        loaded.warnings.push(format!(
            "the self-signed certificate cannot be kept at {path} ({error}): it is another one after every start, \
             and a client that pins it must be told"
        ));
    }
    Ok(loaded)
}

/// A key and its certificate, in PEM.
fn make(hostname: &str, now: Timestamp) -> Result<PemPair, rcgen::Error> {
    // P-256 rather than RSA: every client with TLS 1.2 knows it, and a handshake costs a tenth.
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.subject_alt_names = names(hostname);
    params.distinguished_name = DistinguishedName::new();
    let named = !hostname.is_empty() && hostname.len() <= COMMON_NAME_MAX;
    params.distinguished_name.push(DnType::CommonName, if named { hostname } else { "mailferry" });
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let today = TimeZone::UTC.to_datetime(now).date();
    // From yesterday on: the client's clock may be behind ours. No day is the 29th of a month without one.
    let yesterday = today.yesterday().unwrap_or(today);
    let (month, day) = (yesterday.month().unsigned_abs(), yesterday.day().unsigned_abs().min(28));
    let year = i32::from(yesterday.year());
    params.not_before = rcgen::date_time_ymd(year, month, day);
    params.not_after = rcgen::date_time_ymd(year + YEARS, month, day);
    let certificate = params.self_signed(&key)?;
    Ok(PemPair {
        certificate: certificate.pem().into_bytes(),
        key: key.serialize_pem().into_bytes(),
        key_is_open: false,
    })
}

/// The names and addresses by which apps may reach us.
fn names(hostname: &str) -> Vec<SanType> {
    let mut names = Vec::new();
    let bare = hostname.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse::<IpAddr>() {
        names.push(SanType::IpAddress(address));
    } else if let Ok(name) = idna::domain_to_ascii(hostname)
        && name != "localhost"
        && !name.is_empty()
        && let Ok(name) = name.try_into()
    {
        names.push(SanType::DnsName(name));
    }
    if let Ok(name) = "localhost".try_into() {
        names.push(SanType::DnsName(name));
    }
    for address in [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)] {
        if bare != address.to_string() {
            names.push(SanType::IpAddress(address));
        }
    }
    names
}

/// Whether a certificate of ours has the name that one made now would have first. It is looked for in the form that it
/// has there (RFC 5280, `GeneralName`): a tag, the length, the octets.
fn is_for(certificate: &[u8], hostname: &str) -> bool {
    const NAME: u8 = 0x82;
    const ADDRESS: u8 = 0x87;
    let (tag, octets) = match names(hostname).first() {
        Some(SanType::DnsName(name)) => (NAME, name.as_str().as_bytes().to_vec()),
        Some(SanType::IpAddress(IpAddr::V4(address))) => (ADDRESS, address.octets().to_vec()),
        Some(SanType::IpAddress(IpAddr::V6(address))) => (ADDRESS, address.octets().to_vec()),
        // Of these `names` makes none.
        Some(_) | None => return true,
    };
    // A longer name has its length in another form; it is not worth a false alarm.
    let Some(length) = u8::try_from(octets.len()).ok().filter(|length| *length < 0x80) else {
        return true;
    };
    let name = [&[tag, length], octets.as_slice()].concat();
    memmem::find(certificate, &name).is_some()
}

/// Writes both files, each as a whole. A crash between the two leaves a pair that does not match, which the next start
/// makes anew.
fn keep(pair: &PemPair, files: &CertificateFiles) -> io::Result<()> {
    whole_file::write(&files.key, &pair.key, 0o600)?;
    whole_file::write(&files.certificate, &pair.certificate, 0o644)
}

#[cfg(test)]
mod tests;
