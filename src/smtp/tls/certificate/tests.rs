use std::fs;

use super::super::testing::{Files, Pair};
use super::*;

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn fault(files: &Files) -> String {
    load(&files.files, now()).unwrap_err().to_string()
}

#[test]
fn a_good_pair_is_taken_without_a_word() {
    let pair = Pair::new();
    let loaded = load(&Files::of(&pair).files, now()).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.key.cert, [pair.der]);
    assert_eq!(loaded.expires.to_string(), "2100-01-01T00:00:00Z");
}

#[test]
fn both_may_be_in_one_file() {
    let pair = Pair::new();
    let files = Files::of(&pair);
    let both = [pair.key.as_str(), pair.certificate.as_str()].concat();
    files.write_texts(&both, &both);
    assert!(load(&files.files, now()).is_ok());
}

#[test]
fn a_missing_file_is_named_with_its_setting() {
    let files = Files::of(&Pair::new());
    fs::remove_file(&files.files.key).unwrap();
    let expected = format!("smtp.tls.key: {}: there is no such file", files.files.key.display());
    assert_eq!(fault(&files), expected);
    fs::remove_file(&files.files.certificate).unwrap();
    assert!(fault(&files).starts_with("smtp.tls.certificate: "), "{}", fault(&files));
}

#[test]
fn every_fault_says_what_to_do() {
    let pair = Pair::new();
    let other = Pair::new();
    let files = Files::of(&pair);
    let (certificate, key) = (pair.certificate.as_str(), pair.key.as_str());
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let encrypted_of_old = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nMIIB\n-----END RSA PRIVATE KEY-----\n";
    let nonsense = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    let no_key = "-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n";
    let cut_off = certificate.trim_end().trim_end_matches("-----END CERTIFICATE-----");
    let reversed = [&other.certificate, certificate].concat();
    for (certificate, key, expected) in [
        ("", key, "there is no certificate in it"),
        ("\u{30}\u{82}", key, "openssl x509 -inform der"),
        (key, certificate, "there is a key in it and no certificate; are"),
        (certificate, "", "there is no private key in it"),
        (certificate, certificate, "there is a certificate in it and no key; are"),
        (certificate, encrypted, "openssl pkey -in"),
        (certificate, encrypted_of_old, "openssl pkey -in"),
        (certificate, &other.key, "the key does not belong to the certificate in "),
        (&reversed, key, "is number 2 in it and must be the first"),
        (nonsense, key, "its certificate cannot be used"),
        (certificate, no_key, "its key cannot be used"),
        (cut_off, key, "it is damaged: a section has no END line"),
    ] {
        files.write_texts(certificate, key);
        let fault = fault(&files);
        assert!(fault.contains(expected), "expected {expected:?}, got {fault:?}");
        assert!(fault.contains(".pem: "), "it names no file: {fault}");
    }
}

#[test]
fn a_folder_and_a_file_without_end_are_not_read() {
    let files = Files::of(&Pair::new());
    fs::write(&files.files.certificate, vec![b'x'; (1 << 20) + 1]).unwrap();
    assert!(fault(&files).contains("larger than 1 MiB"), "{}", fault(&files));
    fs::remove_file(&files.files.certificate).unwrap();
    fs::create_dir(&files.files.certificate).unwrap();
    assert!(fault(&files).contains("it is not a file"), "{}", fault(&files));
}

#[test]
fn what_clients_will_not_like_is_a_warning() {
    let files =
        Files::of(&Pair::with(|params| params.not_after = rcgen::date_time_ymd(2026, 11, 20)));
    let warnings = |files: &Files| load(&files.files, now()).unwrap().warnings.join("\n");
    assert!(warnings(&files).starts_with("the certificate expired at 2026-11-20T00:00:00Z"));
    files.write(&Pair::with(|params| params.not_before = rcgen::date_time_ymd(2026, 11, 22)));
    assert!(warnings(&files).starts_with("the certificate holds from 2026-11-22T00:00:00Z on"));
    assert_eq!(inspect(&files.files, now()).unwrap().warnings.len(), 1);
}

#[test]
fn a_chain_without_its_issuer_is_a_warning() {
    let (leaf, authority) = Pair::issued();
    let files = Files::of(&leaf);
    let loaded = load(&files.files, now()).unwrap();
    assert!(loaded.warnings[0].contains("fullchain.pem"), "{:?}", loaded.warnings);
    files.write_texts(&[leaf.certificate, authority.certificate].concat(), &leaf.key);
    let loaded = load(&files.files, now()).unwrap();
    assert_eq!((loaded.warnings.len(), loaded.key.cert.len()), (0, 2));
}

#[cfg(unix)]
#[test]
fn a_key_for_everybody_is_a_warning() {
    use std::os::unix::fs::PermissionsExt;
    let files = Files::of(&Pair::new());
    fs::set_permissions(&files.files.key, fs::Permissions::from_mode(0o644)).unwrap();
    let warnings = load(&files.files, now()).unwrap().warnings;
    assert!(warnings[0].contains("chmod o-r "), "{warnings:?}");
}

#[test]
fn the_fingerprint_reads_as_openssl_prints_it() {
    let fingerprint = Fingerprint(sha256(&[b"abc"])).to_string();
    assert!(fingerprint.starts_with("BA:78:16:BF:8F:01:CF:EA:"), "{fingerprint}");
    assert_eq!(fingerprint.len(), 95);
}

#[test]
fn an_rsa_key_is_as_good() {
    let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
    let params = rcgen::CertificateParams::new(vec![String::from("a.example")]).unwrap();
    let certificate = params.self_signed(&rsa).unwrap().pem();
    let files = Files::of(&Pair::new());
    files.write_texts(&certificate, &rsa.serialize_pem());
    assert!(load(&files.files, now()).is_ok());
}
