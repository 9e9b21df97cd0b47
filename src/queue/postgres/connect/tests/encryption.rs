//! `sslmode`, certificates and passwords, each against a server that means it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::server::Server;
use super::*;

/// Who may come in how.
const HBA: &str = "\
local   all all             trust
host    all postgres 127.0.0.1/32 trust
hostssl all secure   127.0.0.1/32 trust
hostnossl all plain  127.0.0.1/32 trust
hostssl all carl     127.0.0.1/32 cert
host    all scram    127.0.0.1/32 scram-sha-256
";

const USERS: &str = "CREATE ROLE secure LOGIN; CREATE ROLE plain LOGIN; CREATE ROLE carl LOGIN; \
                     SET password_encryption = 'scram-sha-256'; \
                     CREATE ROLE scram LOGIN PASSWORD 'it''s a secret'";

/// A server with encryption, and the files of its clients.
struct World {
    server: Server,
    files: tempfile::TempDir,
}

impl World {
    fn path(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// `user` at the certificate's name.
    fn url(&self, user: &str, query: &str) -> String {
        self.url_by("localhost", user, query)
    }

    fn url_by(&self, host: &str, user: &str, query: &str) -> String {
        let query = query
            .replace("CA", &self.path("authority.pem"))
            .replace("STRANGER", &self.path("stranger.pem"))
            .replace("SERVER", &self.path("server.pem"))
            .replace("OWN", &self.path("carl"));
        format!("postgres://{user}@{host}:{}/postgres?hostaddr=127.0.0.1&{query}", self.server.port)
    }
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let files = tempfile::tempdir().unwrap();
        let authority = Authority::new("tests");
        fs::write(files.path().join("authority.pem"), &authority.pem).unwrap();
        fs::write(files.path().join("stranger.pem"), &Authority::new("stranger").pem).unwrap();
        authority.sign(files.path(), "server", "localhost", ExtendedKeyUsagePurpose::ServerAuth);
        authority.sign(files.path(), "carl", "carl", ExtendedKeyUsagePurpose::ClientAuth);

        let mut server = Server::start(&[]);
        server.sql("postgres", USERS);
        server.stop("fast");
        let data = server.data();
        for (from, to) in [
            ("authority.pem", "root.crt"),
            ("server.pem", "server.crt"),
            ("server.key", "server.key"),
        ] {
            put(&data, to, &fs::read_to_string(files.path().join(from)).unwrap());
        }
        put(&data, "pg_hba.conf", HBA);
        let settings = "ssl = on\nssl_ca_file = 'root.crt'\n";
        let old = fs::read_to_string(data.join("postgresql.conf")).unwrap();
        put(&data, "postgresql.conf", &format!("{old}\n{settings}"));
        server.resume();
        World { server, files }
    })
}

/// Writes a file that the server alone may read.
fn put(folder: &Path, name: &str, content: &str) {
    let path = folder.join(name);
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let owner = fs::metadata(folder).unwrap();
    chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Writes `file.pem` and `file.key`.
    fn sign(&self, folder: &Path, file: &str, name: &str, usage: ExtendedKeyUsagePurpose) {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let path = |end: &str| -> PathBuf { folder.join(format!("{file}.{end}")) };
        fs::write(path("pem"), params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        fs::write(path("key"), key.serialize_pem()).unwrap();
    }
}

#[tokio::test]
async fn each_sslmode_does_what_libpq_does() {
    if !is_installed() {
        return;
    }
    let world = world();
    for (user, query, encrypted) in [
        ("postgres", "", true),
        ("postgres", "sslmode=disable", false),
        ("postgres", "sslmode=allow", false),
        ("secure", "sslmode=allow", true),
        ("postgres", "sslmode=prefer", true),
        ("plain", "sslmode=prefer", false),
        ("postgres", "sslmode=require", true),
        ("postgres", "sslmode=require&sslrootcert=CA", true),
        // Encryption that does not come about is not asked for.
        ("postgres", "sslmode=prefer&sslrootcert=STRANGER", false),
        ("secure", "sslmode=verify-ca&sslrootcert=CA", true),
        ("secure", "sslmode=verify-full&sslrootcert=CA", true),
        // The server's own certificate in the place of an authority.
        ("secure", "sslmode=verify-full&sslrootcert=SERVER", true),
    ] {
        let found = survey(&world.url(user, query)).await;
        assert_eq!(found.tls.is_some(), encrypted, "{user} {query}: {found:?}");
    }
    let elsewhere = world.url_by("db.example", "secure", "sslmode=verify-ca&sslrootcert=CA");
    assert!(survey(&elsewhere).await.tls.is_some(), "verify-ca does not ask for the name");
    let nameless = world.url_by("127.0.0.1", "secure", "sslmode=verify-ca&sslrootcert=CA");
    assert!(survey(&nameless).await.tls.is_some());
}

#[tokio::test]
async fn who_is_not_who_they_should_be_is_refused_in_words() {
    if !is_installed() {
        return;
    }
    let world = world();
    let refused = [
        ("secure", "sslmode=disable", "pg_hba.conf"),
        ("plain", "sslmode=require", "pg_hba.conf"),
        ("nobody", "sslmode=require", "pg_hba.conf"),
        ("postgres", "sslmode=require&sslrootcert=STRANGER", "not signed by an authority"),
        ("postgres", "sslmode=verify-ca&sslrootcert=STRANGER", "not signed by an authority"),
        ("postgres", "sslrootcert=system", "not signed by an authority"),
        ("postgres", "sslmode=verify-full&sslrootcert=/nowhere.pem", "cannot be read"),
    ];
    for (user, query, words) in refused {
        let fault = dial(&world.url(user, query)).await.map(|_| query).unwrap_err();
        assert!(fault.text().contains(words), "{user} {query}: {}", fault.text());
        assert!(fault.is_refusal(), "{user} {query}: waiting does not help");
    }
    for query in ["sslmode=verify-full&sslrootcert=CA", "sslmode=verify-full&sslrootcert=SERVER"] {
        let fault = dial(&world.url_by("db.example", "postgres", query)).await.unwrap_err();
        assert!(fault.text().contains("is for another name"), "{query}: {}", fault.text());
        assert!(!fault.text().contains("example"), "no host names: {}", fault.text());
    }
}

#[tokio::test]
async fn a_certificate_of_ours_is_as_good_as_a_password() {
    if !is_installed() {
        return;
    }
    let world = world();
    let ours = "sslmode=verify-full&sslrootcert=CA&sslcert=OWN.pem&sslkey=OWN.key";
    assert_eq!(survey(&world.url("carl", ours)).await.user, "carl");
    let without = dial(&world.url("carl", "sslmode=require")).await.unwrap_err();
    assert!(without.is_refusal(), "{}", without.text());
    let mixed = "sslmode=require&sslcert=OWN.pem&sslkey=SERVER";
    let fault = dial(&world.url("carl", mixed)).await.unwrap_err();
    assert!(fault.text().contains("sslkey"), "{}", fault.text());
}

#[tokio::test]
async fn passwords_by_scram() {
    if !is_installed() {
        return;
    }
    let world = world();
    let with = |password: &str, query: &str| world.url(&format!("scram{password}"), query);
    let right = with(":it's%20a%20secret", "sslmode=require&channel_binding=require");
    assert_eq!(survey(&right).await.user, "scram");
    assert_eq!(survey(&with(":it's a secret", "sslmode=disable")).await.user, "scram");
    for (password, words) in
        [(":wrong", "refuses the user or the password"), ("", "wants a password")]
    {
        let fault = dial(&with(password, "sslmode=require")).await.unwrap_err();
        assert!(fault.text().contains(words), "{}", fault.text());
        assert!(fault.is_refusal() && !fault.text().contains("wrong"), "{}", fault.text());
    }
}

#[tokio::test]
async fn a_server_without_encryption() {
    if !is_installed() {
        return;
    }
    let server = server::common();
    let url = |query: &str| format!("{}?{query}", server.url("postgres"));
    assert_eq!(survey(&url("sslmode=prefer")).await.tls, None);
    let fault = dial(&url("sslmode=require")).await.unwrap_err();
    assert!(fault.text().contains("offers no TLS"), "{}", fault.text());
    assert!(fault.is_refusal());
}

#[tokio::test]
async fn a_socket_of_this_machine_needs_none() {
    if !is_installed() {
        return;
    }
    let world = world();
    let folder = world.server.data();
    let folder = folder.parent().unwrap().display().to_string();
    let port = world.server.port;
    let url = format!("postgres://postgres@/postgres?host={folder}&port={port}&sslmode=require");
    assert_eq!(survey(&url).await.tls, None);
}
