//! A mail server that does what a test tells it, faults included.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What the server does instead of what is right.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Says this; a line end is added.
    Say(String),
    /// Says these octets as they are, and goes on as if it had said yes.
    Raw(Vec<u8>),
    /// Closes the connection.
    Hangup,
    /// Says this and closes the connection.
    Bye(&'static str),
    /// Says nothing.
    Silence,
    /// Talks for as long as the other side listens, 64 MiB at most.
    Flood(&'static [u8]),
}

pub(super) fn say(text: &str) -> Act {
    Act::Say(text.to_owned())
}

/// How the server is to be.
#[derive(Clone, Debug, Default)]
pub(super) struct Script {
    /// The extensions of EHLO.
    pub(super) offer: Vec<&'static str>,
    /// The first rule whose text a command begins with, and its act; used up as often as it says. `CONNECT` is the
    /// greeting, `CONTENT` comes after 354, `.` is the end of the content.
    pub(super) rules: Vec<(&'static str, Act, usize)>,
    /// TLS from the first octet.
    pub(super) implicit: bool,
}

impl Script {
    pub(super) fn offering(offer: &[&'static str]) -> Self {
        Self { offer: offer.to_vec(), ..Self::default() }
    }

    /// Does this at the first such command.
    pub(super) fn once(mut self, command: &'static str, act: Act) -> Self {
        self.rules.push((command, act, 1));
        self
    }

    /// Does this at every such command.
    pub(super) fn always(mut self, command: &'static str, act: Act) -> Self {
        self.rules.push((command, act, usize::MAX));
        self
    }
}

/// One connection, as the server saw it.
#[derive(Clone, Debug, Default)]
pub(super) struct Visit {
    /// Every line outside the content.
    pub(super) lines: Vec<String>,
    /// How many of them came in plaintext.
    pub(super) plain: usize,
    /// The content of every DATA, as it came: dots stuffed, with its end.
    pub(super) contents: Vec<Vec<u8>>,
}

impl Visit {
    /// The lines that begin with this.
    pub(super) fn said(&self, start: &str) -> Vec<&str> {
        let lines = self.lines.iter().map(String::as_str);
        lines.filter(|line| line.starts_with(start)).collect()
    }

    /// The last content as the reader of the mail gets it.
    pub(super) fn message(&self) -> Vec<u8> {
        let content = self.contents.last().unwrap();
        let mut out = Vec::new();
        for line in content.split_inclusive(|octet| *octet == b'\n') {
            if line != b".\r\n" {
                out.extend_from_slice(line.strip_prefix(b".").unwrap_or(line));
            }
        }
        out
    }
}

/// The running server.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    /// What signs its certificate, which is for `localhost`.
    pub(super) roots: RootCertStore,
    visits: Arc<Mutex<Vec<Visit>>>,
    task: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (acceptor, roots) = certificate();
        let visits = Arc::new(Mutex::new(Vec::new()));
        let script = Arc::new(Mutex::new(script));
        let task = tokio::spawn({
            let visits = Arc::clone(&visits);
            async move {
                loop {
                    let (stream, _) = listener.accept().await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    let number = {
                        let mut visits: std::sync::MutexGuard<'_, Vec<Visit>> =
                            visits.lock().unwrap();
                        visits.push(Visit::default());
                        visits.len() - 1
                    };
                    let visits = Arc::clone(&visits);
                    let seat = Seat { script: Arc::clone(&script), visits, number };
                    tokio::spawn(visit(stream, acceptor.clone(), seat));
                }
            }
        });
        Self { address, roots, visits, task }
    }

    /// All connections so far.
    pub(super) fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn certificate() -> (TlsAcceptor, RootCertStore) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2049, 1, 1);
    let certificate = params.self_signed(&key).unwrap();
    let der: CertificateDer<'static> = certificate.der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], key)
        .unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(der).unwrap();
    (TlsAcceptor::from(Arc::new(config)), roots)
}

/// One connection's place in the record.
struct Seat {
    script: Arc<Mutex<Script>>,
    visits: Arc<Mutex<Vec<Visit>>>,
    number: usize,
}

impl Seat {
    fn note(&self, change: impl FnOnce(&mut Visit)) {
        change(&mut self.visits.lock().unwrap()[self.number]);
    }

    /// The act for this command, if it is not the usual one.
    fn act(&self, command: &str) -> Option<Act> {
        let mut script = self.script.lock().unwrap();
        let rule = script.rules.iter_mut().find(|it| it.2 > 0 && command.starts_with(it.0))?;
        rule.2 -= 1;
        Some(rule.1.clone())
    }

    fn hello(&self) -> String {
        let script = self.script.lock().unwrap();
        let mut lines = vec!["fake.example"];
        lines.extend(&script.offer);
        let last = lines.pop().unwrap();
        let mut text: String = lines.iter().map(|line| format!("250-{line}\r\n")).collect();
        text += &format!("250 {last}\r\n");
        text
    }
}

/// What follows when a dialogue is over.
enum Next {
    Encrypt,
    End,
}

async fn visit(stream: TcpStream, acceptor: TlsAcceptor, seat: Seat) {
    if seat.script.lock().unwrap().implicit {
        if let Ok(stream) = acceptor.accept(stream).await {
            talk(BufReader::new(stream), &seat, true, true).await;
        }
        return;
    }
    let mut stream = BufReader::new(stream);
    if let Next::Encrypt = talk(&mut stream, &seat, true, false).await
        && let Ok(stream) = acceptor.accept(stream.into_inner()).await
    {
        talk(BufReader::new(stream), &seat, false, true).await;
    }
}

async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    seat: &Seat,
    greets: bool,
    encrypted: bool,
) -> Next {
    if greets && !answer(&mut stream, seat, "CONNECT", "220 fake.example ESMTP\r\n").await {
        return Next::End;
    }
    while let Some(line) = line(&mut stream).await {
        seat.note(|visit| {
            visit.lines.push(line.clone());
            visit.plain += usize::from(!encrypted);
        });
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_uppercase();
        let usual = match verb.as_str() {
            "EHLO" => seat.hello(),
            "STARTTLS" => "220 2.0.0 go ahead\r\n".to_owned(),
            "AUTH" if line == "AUTH LOGIN" => "334 VXNlcm5hbWU6\r\n".to_owned(),
            "AUTH" => "235 2.7.0 welcome\r\n".to_owned(),
            "MAIL" | "RCPT" | "RSET" | "NOOP" => "250 2.1.0 Ok\r\n".to_owned(),
            "DATA" => "354 go on\r\n".to_owned(),
            "QUIT" => "221 2.0.0 bye\r\n".to_owned(),
            // The second answer of AUTH LOGIN is the password.
            _ if seat.visits.lock().unwrap()[seat.number]
                .lines
                .iter()
                .rev()
                .nth(1)
                .is_some_and(|it| it == "AUTH LOGIN") =>
            {
                "334 UGFzc3dvcmQ6\r\n".to_owned()
            }
            _ => "235 2.7.0 welcome\r\n".to_owned(),
        };
        let overridden = seat.act(&line);
        let refused = matches!(&overridden, Some(Act::Say(text)) if !text.starts_with(['2', '3']));
        if !act(&mut stream, overridden, &usual).await {
            return Next::End;
        }
        match verb.as_str() {
            "STARTTLS" if !refused => return Next::Encrypt,
            "QUIT" => return Next::End,
            "DATA" if !refused => {
                if let Some(early) = seat.act("CONTENT")
                    && !act(&mut stream, Some(early), "").await
                {
                    return Next::End;
                }
                let Some(content) = content(&mut stream).await else { return Next::End };
                seat.note(|visit| visit.contents.push(content));
                if !answer(&mut stream, seat, ".", "250 2.0.0 Ok: queued as 4F1BxQ7\r\n").await {
                    return Next::End;
                }
            }
            _ => {}
        }
    }
    Next::End
}

async fn answer<S: AsyncWrite + Unpin>(
    stream: &mut S,
    seat: &Seat,
    command: &str,
    usual: &str,
) -> bool {
    let overridden = seat.act(command);
    act(stream, overridden, usual).await
}

/// Does it; false ends the connection. Writing fails when the client has heard enough.
async fn act<S: AsyncWrite + Unpin>(stream: &mut S, act: Option<Act>, usual: &str) -> bool {
    let octets = match act {
        None => usual.as_bytes().to_vec(),
        Some(Act::Say(text)) => format!("{text}\r\n").into_bytes(),
        Some(Act::Raw(octets)) => octets,
        Some(Act::Hangup) => return false,
        Some(Act::Bye(text)) => {
            let _ = stream.write_all(format!("{text}\r\n").as_bytes()).await;
            let _ = stream.shutdown().await;
            return false;
        }
        Some(Act::Silence) => std::future::pending().await,
        Some(Act::Flood(water)) => {
            let wave = water.repeat((1 << 16) / water.len());
            for _ in 0..1024 {
                if stream.write_all(&wave).await.is_err() {
                    return false;
                }
            }
            return false;
        }
    };
    stream.write_all(&octets).await.is_ok() && stream.flush().await.is_ok()
}

/// Octets up to `end`, which must come.
async fn until<S: AsyncRead + Unpin>(stream: &mut S, end: &[u8], begun: &[u8]) -> Option<Vec<u8>> {
    let mut read = begun.to_vec();
    loop {
        read.push(stream.read_u8().await.ok()?);
        assert!(read.len() < 64 << 20, "no end");
        if read.ends_with(end) {
            return Some(read);
        }
    }
}

async fn line<S: AsyncRead + Unpin>(stream: &mut S) -> Option<String> {
    let line = until(stream, b"\r\n", b"").await?;
    Some(String::from_utf8_lossy(&line).trim_end().to_owned())
}

async fn content<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Vec<u8>> {
    // The content begins as if after a line end.
    let content = until(stream, b"\r\n.\r\n", b"\r\n").await?;
    Some(content[2..].to_vec())
}
