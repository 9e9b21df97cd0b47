//! Plays every dialogue of `tests/dialogues/`, in memory and over a socket. Adding one needs no Rust.
//!
//! ```text
//! # a comment
//! @ max_recipients 2          a setting, see `Settings::set`
//! @ user ada secret *@x.org   a user, the password, and the senders that are allowed, if not all are
//! C: NOOP                     the client sends a line; consecutive lines go out together
//! C. half a li                the client sends octets without a line end
//! S: 250 2.0.0 *              the last line of the next reply; `*` matches the rest of the line
//! S: 250-SIZE *               one of its other lines, in their order; those not wanted may be left out
//! S! closed                   the server has closed the connection
//! T! handshake                the client does the TLS handshake that STARTTLS asked for; what it has sent behind STARTTLS
//!                             is lost. Over the socket it is a real one
//! Q: ada@example.org > bob@example.net, eve@example.net
//! Q? {"ret":"full"}           what it says about delivery status notifications, as the queue keeps it; `null`: nothing
//! Q= Subject: x\r\n\r\nhi\r\n  the next message taken: its envelope, and its content
//! ```
//!
//! Escapes in what the client sends and in contents: `\r \n \t \0 \\ \xFF`, and `{text*300}` for a repetition.
//! At the end there must be neither a reply nor a message that was not asked for.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "a test: what does not hold must fail it"
)]

use std::collections::VecDeque;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mailferry::clock::{SharedClock, SystemClock, Timestamp};
use mailferry::config::{
    AuthMode, SenderPattern, Size, SmtpConfig, TlsConfig, UserConfig, trusted_networks,
};
use mailferry::message::{Address, Envelope, QueueId, Submission};
use mailferry::queue::{Intake, Refusal};
use mailferry::secret::Secret;
use mailferry::smtp::tls::{Keeping, Tls};
use mailferry::smtp::{Inherited, Listener, MemoryBudget, Peer, Policy, TlsRule};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use in_memory::InMemory;

#[path = "support/in_memory.rs"]
mod in_memory;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
fn dialogues_hold_in_memory_however_the_input_is_cut() {
    let mut failures = Vec::new();
    for (name, dialogue) in dialogues() {
        for read_size in [usize::MAX, 1, 2, 3, 7] {
            if let Err(failure) = dialogue.play_in_memory(read_size) {
                failures.push(format!("{name}, reads of {read_size}: {failure}"));
            }
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[tokio::test]
async fn dialogues_hold_over_a_socket() {
    let mut failures = Vec::new();
    for (name, dialogue) in dialogues() {
        let played = tokio::time::timeout(Duration::from_secs(30), dialogue.play_over_socket());
        match played.await {
            Ok(Ok(())) => {}
            Ok(Err(failure)) => failures.push(format!("{name}: {failure}")),
            Err(_) => failures.push(format!("{name}: a reply did not come")),
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[derive(Clone)]
struct Settings {
    trusted: bool,
    auth: AuthMode,
    users: Vec<UserConfig>,
    max_message_size: u64,
    max_recipients: usize,
    tls: TlsRule,
    refusal: Option<Refusal>,
}

impl Settings {
    fn set(&mut self, key: &str, value: &str) {
        match key {
            "peer" => self.trusted = value != "stranger",
            "auth" => {
                self.auth = match value {
                    "auto" => AuthMode::Auto,
                    "required" => AuthMode::Required,
                    "off" => AuthMode::Off,
                    "provider" => AuthMode::Provider,
                    _ => panic!("no such mode: {value}"),
                }
            }
            "user" => self.users.push(user(value)),
            "max_message_size" => self.max_message_size = value.parse().unwrap(),
            "max_recipients" => self.max_recipients = value.parse().unwrap(),
            "tls" => {
                self.tls = match value {
                    "offered" => TlsRule::Offered,
                    "required" => TlsRule::Required,
                    _ => panic!("no such rule: {value}"),
                }
            }
            "no_room" => self.refusal = Some(Refusal::NoRoom(unescaped(value))),
            "try_again" => self.refusal = Some(Refusal::TryAgain(unescaped(value))),
            "rejected" => self.refusal = Some(Refusal::Rejected(unescaped(value))),
            _ => panic!("no such setting: {key}"),
        }
    }
}

/// A name, a password, and patterns of senders, between blanks. Escapes as in what the client sends.
fn user(text: &str) -> UserConfig {
    let mut words = text.split(' ').map(unescaped);
    let pattern = |text: String| match text.strip_prefix("*@") {
        Some(domain) => SenderPattern::Domain(domain.to_owned()),
        None => SenderPattern::Address(text.parse().unwrap()),
    };
    UserConfig {
        username: words.next().unwrap(),
        password: Secret::new(words.next().unwrap()),
        senders: words.map(pattern).collect(),
        route: None,
        provider_options: true,
    }
}

enum Turn {
    Send(Vec<u8>),
    Reply(String),
    Closed,
    Handshake,
    Envelope(String),
    Dsn(String),
    Content(Vec<u8>),
}

struct Dialogue {
    settings: Settings,
    /// With their line numbers.
    turns: Vec<(usize, Turn)>,
}

fn dialogues() -> Vec<(String, Dialogue)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogues");
    let mut files: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "smtp"));
    files.sort();
    assert!(!files.is_empty());
    let name = |file: &Path| file.file_stem().unwrap().to_string_lossy().into_owned();
    files
        .iter()
        .map(|file| (name(file), Dialogue::parse(&fs::read_to_string(file).unwrap())))
        .collect()
}

impl Dialogue {
    fn parse(text: &str) -> Self {
        let mut settings = Settings {
            trusted: true,
            auth: AuthMode::Auto,
            users: Vec::new(),
            max_message_size: 10_000,
            max_recipients: 100,
            tls: TlsRule::Absent,
            refusal: None,
        };
        let mut turns = Vec::new();
        for (number, line) in text.lines().enumerate() {
            let (mark, rest) = line.split_at_checked(2).unwrap_or((line, ""));
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            let turn = match mark {
                "" => continue,
                _ if mark.starts_with('#') => continue,
                "@ " => {
                    let (key, value) = rest.split_once(' ').unwrap();
                    settings.set(key, value);
                    continue;
                }
                "C:" => Turn::Send([octets(rest), b"\r\n".to_vec()].concat()),
                "C." => Turn::Send(octets(rest)),
                "S:" => Turn::Reply(rest.to_owned()),
                "S!" => Turn::Closed,
                "T!" => Turn::Handshake,
                "Q:" => Turn::Envelope(rest.to_owned()),
                "Q?" => Turn::Dsn(rest.to_owned()),
                "Q=" => Turn::Content(octets(rest)),
                _ => panic!("line {}: {line}", number + 1),
            };
            turns.push((number + 1, turn));
        }
        Self { settings, turns }
    }

    fn play_in_memory(&self, read_size: usize) -> Result<(), String> {
        let settings = &self.settings;
        let policy = Policy {
            hostname: String::from("relay.example"),
            max_message_size: settings.max_message_size,
            max_recipients: settings.max_recipients,
            tls: settings.tls,
            auth: settings.auth,
            has_users: !settings.users.is_empty(),
        };
        let peer = Peer { address: LOCALHOST, trusted: settings.trusted, secure: false };
        let intake = Arc::new(Recorder::new(settings));
        let taker = Arc::clone(&intake);
        let accept = move |envelope, raw| {
            taker.take(Submission {
                envelope,
                raw,
                user: None,
                peer: None,
                account: None,
                may_steer: true,
            })
        };
        let mut server = InMemory::new(policy, settings.users.clone(), peer, Box::new(accept));
        for (number, turn) in &self.turns {
            let at = |failure: String| format!("line {number}: {failure}");
            match turn {
                Turn::Send(octets) => {
                    octets.chunks(read_size).for_each(|read| server.receive(read));
                }
                Turn::Reply(pattern) => loop {
                    let line = server.replies.pop_front().unwrap_or_default();
                    if matches(pattern, &line).map_err(at)? {
                        break;
                    }
                },
                Turn::Closed if server.closed => {}
                Turn::Closed => return Err(at(String::from("the connection is open"))),
                Turn::Envelope(_) | Turn::Content(_) | Turn::Dsn(_) => {
                    intake.check(turn).map_err(at)?;
                }
                Turn::Handshake => server.shake_hands().map_err(at)?,
            }
        }
        if let Some(line) = server.replies.front() {
            return Err(format!("at the end: {line:?}"));
        }
        intake.check_end()
    }

    async fn play_over_socket(&self) -> Result<(), String> {
        let settings = &self.settings;
        let config = SmtpConfig {
            listen: vec![SocketAddr::new(LOCALHOST, 0)],
            hostname: String::new(),
            max_message_size: Size(settings.max_message_size),
            max_recipients: NonZeroUsize::new(settings.max_recipients).unwrap(),
            max_connections: NonZeroUsize::MAX,
            max_connections_per_ip: NonZeroUsize::MAX,
            idle_timeout: Duration::from_secs(60),
            trusted_networks: if settings.trusted { trusted_networks() } else { Vec::new() },
            auth: settings.auth,
            listen_tls: Vec::new(),
            proxy_networks: Vec::new(),
            tls: TlsConfig {
                files: None,
                self_signed: settings.tls != TlsRule::Absent,
                required: settings.tls == TlsRule::Required,
            },
            users: settings.users.clone(),
        };
        let certificate = Certificate::of(&config.tls);
        let acceptor = certificate.as_ref().map(|own| own.tls.acceptor.clone());
        let name = String::from("relay.example");
        let listener = Listener::open(&config, name, acceptor, Inherited::default()).unwrap();
        let address = listener.addresses()[0];
        let intake = Arc::new(Recorder::new(settings));
        let memory = Arc::new(MemoryBudget::new(1 << 20));
        let shutdown = CancellationToken::new();
        let as_intake = Arc::clone(&intake) as Arc<dyn Intake>;
        let running = tokio::spawn(listener.run(as_intake, None, memory, shutdown.clone()));

        let stream = TcpStream::connect(address).await.unwrap();
        let mut client: Client = BufReader::new(Box::new(stream));
        let mut sent = Vec::new();
        for (number, turn) in &self.turns {
            let at = |failure: String| format!("line {number}: {failure}");
            if let Turn::Send(octets) = turn {
                sent.extend_from_slice(octets);
                continue;
            }
            // The server may have closed, which the next turn is about.
            let _ = client.write_all(&std::mem::take(&mut sent)).await;
            match turn {
                Turn::Send(_) => {}
                Turn::Reply(pattern) => {
                    while !matches(pattern, &next_line(&mut client).await).map_err(at)? {}
                }
                Turn::Closed => match next_line(&mut client).await.as_str() {
                    "" => {}
                    line => return Err(at(format!("not closed: {line:?}"))),
                },
                Turn::Envelope(_) | Turn::Content(_) | Turn::Dsn(_) => {
                    intake.check(turn).map_err(at)?;
                }
                Turn::Handshake => {
                    let connector = certificate.as_ref().unwrap().connector();
                    let name = ServerName::try_from("relay.example").unwrap();
                    let stream = connector.connect(name, client.into_inner()).await;
                    let stream = stream.map_err(|error| at(error.to_string()))?;
                    client = BufReader::new(Box::new(stream));
                }
            }
        }
        // Ours is said; whatever the server still has to say comes before its end.
        let _ = client.write_all(&sent).await;
        let _ = client.shutdown().await;
        match next_line(&mut client).await.as_str() {
            "" => {}
            line => return Err(format!("at the end: {line:?}")),
        }
        drop(client);
        shutdown.cancel();
        running.await.map_err(|error| error.to_string())?;
        intake.check_end()
    }
}

/// A plaintext or an encrypted stream.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}
type Client = BufReader<Box<dyn Stream>>;

/// What the server shows, in a folder that goes with it.
struct Certificate {
    tls: Tls,
    folder: TempDir,
}

impl Certificate {
    fn of(config: &TlsConfig) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("mailferry.db");
        let keeping = Keeping::beside(&store, String::from("relay.example"));
        let clock: SharedClock = Arc::new(SystemClock);
        let tls = Tls::set_up(config, &keeping, &clock).unwrap()?;
        Some(Self { tls, folder })
    }

    /// A client that trusts it and nothing else.
    fn connector(&self) -> TlsConnector {
        let file = self.folder.path().join("mailferry.tls.crt");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        TlsConnector::from(Arc::new(config))
    }
}

async fn next_line(client: &mut Client) -> String {
    let mut line = String::new();
    // A reset is an end as well.
    let _ = client.read_line(&mut line).await;
    line
}

/// Whether `line` is what `pattern` asks for; `Ok(false)` when it comes before that within the same reply.
fn matches(pattern: &str, line: &str) -> Result<bool, String> {
    let Some(text) = line.strip_suffix("\r\n") else {
        return Err(format!("expected {pattern:?}, got no whole line: {line:?}"));
    };
    let fits = match pattern.strip_suffix('*') {
        Some(start) => text.starts_with(start),
        None => text == pattern,
    };
    let continues = text.as_bytes().get(3) == Some(&b'-');
    let same_code = text.as_bytes().get(..3) == pattern.as_bytes().get(..3);
    if fits || (continues && same_code) {
        Ok(fits)
    } else {
        Err(format!("expected {pattern:?}, got {text:?}"))
    }
}

/// Takes every message, or refuses every one.
struct Recorder {
    taken: Mutex<VecDeque<Submission>>,
    refusal: Option<Refusal>,
}

#[async_trait]
impl Intake for Recorder {
    async fn accept(&self, submission: Submission) -> Result<QueueId, Refusal> {
        self.take(submission)
    }
}

impl Recorder {
    fn new(settings: &Settings) -> Self {
        Self { taken: Mutex::default(), refusal: settings.refusal.clone() }
    }

    fn take(&self, submission: Submission) -> Result<QueueId, Refusal> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        self.taken.lock().unwrap().push_back(submission);
        Ok(QueueId::new(Timestamp::UNIX_EPOCH))
    }

    /// Compares the oldest message taken; its content, which comes last, takes it away.
    fn check(&self, turn: &Turn) -> Result<(), String> {
        let mut taken = self.taken.lock().unwrap();
        let Some(oldest) = taken.front() else { return Err(String::from("no message was taken")) };
        let (expected, found) = match turn {
            Turn::Envelope(expected) => {
                let Envelope { recipients, .. } = &oldest.envelope;
                let recipients: Vec<&str> = recipients.iter().map(Address::as_str).collect();
                let sender = oldest.envelope.sender_text();
                (expected.clone(), format!("{sender} > {}", recipients.join(", ")))
            }
            Turn::Dsn(expected) => {
                (expected.clone(), serde_json::to_string(&oldest.envelope.dsn).unwrap())
            }
            Turn::Content(expected) => {
                let expected = expected.escape_ascii().to_string();
                let found = oldest.raw.escape_ascii().to_string();
                taken.pop_front();
                (expected, found)
            }
            Turn::Send(_) | Turn::Reply(_) | Turn::Closed | Turn::Handshake => return Ok(()),
        };
        if expected == found { Ok(()) } else { Err(format!("expected {expected}, got {found}")) }
    }

    fn check_end(&self) -> Result<(), String> {
        match self.taken.lock().unwrap().len() {
            0 => Ok(()),
            count => Err(format!("at the end: {count} messages were not asked for")),
        }
    }
}

fn unescaped(text: &str) -> String {
    String::from_utf8(octets(text)).unwrap()
}

/// Resolves escapes and repetitions.
fn octets(text: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let tail = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let (octet, length) = match tail.as_bytes()[0] {
                    b'r' => (b'\r', 1),
                    b'n' => (b'\n', 1),
                    b't' => (b'\t', 1),
                    b'0' => (0, 1),
                    b'\\' => (b'\\', 1),
                    b'x' => (u8::from_str_radix(&tail[1..3], 16).unwrap(), 3),
                    other => panic!("no such escape: {}", char::from(other)),
                };
                octets.push(octet);
                rest = &tail[length..];
            }
            '{' => {
                let (repetition, after) = tail.split_once('}').unwrap();
                let (piece, count) = repetition.rsplit_once('*').unwrap();
                octets.extend(self::octets(piece).repeat(count.parse().unwrap()));
                rest = after;
            }
            _ => {
                octets.extend_from_slice(&rest.as_bytes()[..c.len_utf8()]);
                rest = tail;
            }
        }
    }
    octets
}
