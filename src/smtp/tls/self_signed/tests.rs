use std::fs;

use tempfile::TempDir;

use super::*;

const STORE: &str = "mailferry.db";

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn keeping(folder: &TempDir) -> Keeping {
    Keeping::beside(&folder.path().join(STORE), String::from("relay.example"))
}

#[test]
fn it_stays_the_same_over_restarts() {
    let folder = tempfile::tempdir().unwrap();
    let first = obtain(&keeping(&folder), at("2026-11-21T12:00:00Z")).unwrap();
    assert_eq!(first.warnings, Vec::<String>::new());
    assert_eq!(first.expires, at("2036-11-20T00:00:00Z"));
    let renamed = Keeping::beside(&folder.path().join(STORE), String::from("another.example"));
    let later = obtain(&renamed, at("2036-11-01T12:00:00Z")).unwrap();
    assert_eq!(later.fingerprint, first.fingerprint);
    assert!(folder.path().join("mailferry.tls.crt").is_file());
}

#[test]
fn a_chosen_name_that_is_not_in_it_is_told() {
    let folder = tempfile::tempdir().unwrap();
    obtain(&keeping(&folder), at("2026-11-21T12:00:00Z")).unwrap();
    let warnings = |hostname: &str| {
        let keeping = Keeping::beside(&folder.path().join(STORE), hostname.to_owned());
        assert!(obtain(&keeping, at("2026-11-22T12:00:00Z")).unwrap().warnings.is_empty());
        obtain(&keeping.chosen(), at("2026-11-22T12:00:00Z")).unwrap().warnings
    };
    for there in ["relay.example", "localhost", "127.0.0.1", "[::1]"] {
        assert_eq!(warnings(there), Vec::<String>::new(), "{there}");
    }
    for another in ["another.example", "elay.example", "relay.exampl", "192.0.2.1"] {
        let warnings = warnings(another);
        assert!(warnings.len() == 1 && warnings[0].contains(another), "{warnings:?}");
    }
}

#[cfg(unix)]
#[test]
fn its_key_is_for_nobody_else() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    obtain(&keeping(&folder), at("2026-11-21T12:00:00Z")).unwrap();
    let key = fs::metadata(folder.path().join("mailferry.tls.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2, "nothing else is left");
}

#[test]
fn one_that_has_expired_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let first = obtain(&keeping(&folder), at("2026-11-21T12:00:00Z")).unwrap();
    let second = obtain(&keeping(&folder), at("2036-12-01T12:00:00Z")).unwrap();
    assert_ne!(second.fingerprint, first.fingerprint);
    assert_eq!(second.expires, at("2046-11-28T00:00:00Z"));
}

#[test]
fn one_that_is_damaged_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let now = at("2026-11-21T12:00:00Z");
    let first = obtain(&keeping(&folder), now).unwrap();
    for file in ["mailferry.tls.crt", "mailferry.tls.key"] {
        fs::write(folder.path().join(file), "x").unwrap();
        // What a start that was cut off left behind is in nobody's way.
        fs::write(folder.path().join(format!("{file}.new")), "y").unwrap();
        let second = obtain(&keeping(&folder), now).unwrap();
        assert_ne!(second.fingerprint, first.fingerprint, "{file}");
        assert_eq!(obtain(&keeping(&folder), now).unwrap().fingerprint, second.fingerprint);
    }
}

#[test]
fn where_nothing_can_be_kept_it_serves_until_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let nowhere = Keeping::beside(&folder.path().join("no/x.db"), String::from("relay.example"));
    let loaded = obtain(&nowhere, at("2026-11-21T12:00:00Z")).unwrap();
    assert!(loaded.warnings[0].contains("cannot be kept at "), "{:?}", loaded.warnings);
    assert_eq!(loaded.origin, "self-signed, in memory");
}

#[test]
fn it_names_what_apps_connect_to() {
    let listed = |hostname: &str| {
        let name = |name: &SanType| match name {
            SanType::DnsName(name) => name.to_string(),
            SanType::IpAddress(address) => address.to_string(),
            other => panic!("{other:?}"),
        };
        names(hostname).iter().map(name).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(listed("relay.example"), "relay.example localhost 127.0.0.1 ::1");
    assert_eq!(listed("localhost"), "localhost 127.0.0.1 ::1");
    assert_eq!(listed("메일.example"), "xn--h32bq4v.example localhost 127.0.0.1 ::1");
    assert_eq!(listed("192.0.2.1"), "192.0.2.1 localhost 127.0.0.1 ::1");
    assert_eq!(listed("[::1]"), "::1 localhost 127.0.0.1");
    assert_eq!(listed(""), "localhost 127.0.0.1 ::1");
}

#[test]
fn any_day_and_any_name_will_do() {
    for day in ["2028-02-29", "2028-03-01", "2027-01-01", "2026-12-31", "2027-07-31"] {
        let long = "x".repeat(255);
        for name in ["", "relay.example", "::1", "a b", &long] {
            let pair = make(name, at(&format!("{day}T00:00:00Z"))).unwrap();
            let files = keeping(&tempfile::tempdir().unwrap()).files;
            assert!(certificate::judge(&pair, &files, at("2028-06-01T00:00:00Z")).is_ok());
        }
    }
}
