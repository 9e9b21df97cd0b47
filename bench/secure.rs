//! An SMTP client for measuring TLS.
//!
//!     secure connections ADDRESS MODE CERTIFICATE THREADS SECONDS
//!     secure messages ADDRESS MODE CERTIFICATE THREADS COUNT OCTETS
//!     secure idle ADDRESS MODE CERTIFICATE COUNT
//!
//! MODE is `plain`, `starttls` or `tls` (from the first octet). CERTIFICATE is the PEM file that the server must prove to
//! own. `connections` counts whole visits: connect, greeting, EHLO, handshake, EHLO, QUIT, never resumed. `messages` sends over
//! connections that stay open. `idle` opens connections that have said EHLO and holds them until standard input ends.
//!
//! Each prints one line of JSON; `idle` does as soon as all are open.

#![expect(clippy::disallowed_methods, reason = "it measures real time, on real sockets")]

use std::error::Error;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
const USAGE: &str =
    "usage: secure connections|messages|idle ADDRESS plain|starttls|tls CERTIFICATE ...";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["connections", address, mode, certificate, threads, seconds] => {
            let target = Target::new(address, mode, certificate)?;
            connections(&target, threads.parse()?, Duration::from_secs_f64(seconds.parse()?))
        }
        ["messages", address, mode, certificate, threads, count, octets] => {
            let target = Target::new(address, mode, certificate)?;
            messages(&target, threads.parse()?, count.parse()?, octets.parse()?)
        }
        ["idle", address, mode, certificate, count] => {
            let target = Target::new(address, mode, certificate)?;
            idle(&target, count.parse()?)
        }
        _ => Err(USAGE.into()),
    }
}

/// Visits that begin before the time is over.
fn connections(target: &Arc<Target>, threads: u32, time: Duration) -> Outcome<()> {
    let begun = Instant::now();
    let visit = move |target: &Target| {
        let mut count: u64 = 0;
        while begun.elapsed() < time {
            Client::connect(target)?.quit()?;
            count += 1;
        }
        Ok(count)
    };
    let count: u64 = in_threads(target, threads, visit)?.into_iter().sum();
    report(count, begun.elapsed())
}

/// `count` messages in all, evenly over the threads.
fn messages(target: &Arc<Target>, threads: u32, count: u64, octets: usize) -> Outcome<()> {
    let content = content(octets);
    let share = count / u64::from(threads);
    let begun = Instant::now();
    let send = move |target: &Target| {
        let mut client = Client::connect(target)?;
        for _ in 0..share {
            client.send(&content)?;
        }
        client.quit()?;
        Ok(share)
    };
    let sent: u64 = in_threads(target, threads, send)?.into_iter().sum();
    report(sent, begun.elapsed())
}

fn idle(target: &Target, count: u64) -> Outcome<()> {
    let begun = Instant::now();
    let clients: Outcome<Vec<Client>> = (0..count).map(|_| Client::connect(target)).collect();
    let clients = clients?;
    report(count, begun.elapsed())?;
    io::stdin().read_to_end(&mut Vec::new())?;
    drop(clients);
    Ok(())
}

fn in_threads<T: Send + 'static>(
    target: &Arc<Target>,
    threads: u32,
    work: impl Fn(&Target) -> Outcome<T> + Clone + Send + 'static,
) -> Outcome<Vec<T>> {
    let running: Vec<_> = (0..threads)
        .map(|_| {
            let (target, work) = (Arc::clone(target), work.clone());
            thread::spawn(move || work(&target))
        })
        .collect();
    running
        .into_iter()
        .map(|thread| thread.join().unwrap_or_else(|_| Err("a thread panicked".into())))
        .collect()
}

#[expect(clippy::print_stdout, reason = "the result is for the caller")]
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
fn report(count: u64, time: Duration) -> Outcome<()> {
    let per_second = count as f64 / time.as_secs_f64();
    println!(r#"{{"count": {count}, "per_second": {per_second:.1}}}"#);
    io::stdout().flush()?;
    Ok(())
}

/// A small message of about this size, with the end of data.
fn content(octets: usize) -> Vec<u8> {
    let mut content = Vec::from(
        "From: a@example.org\r\nTo: b@example.org\r\nSubject: secure\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <secure@example.org>\r\n\r\n",
    );
    while content.len() < octets {
        content.extend_from_slice(
            b"The quick brown fox jumps over the lazy dog, and over the fence.\r\n",
        );
    }
    content.extend_from_slice(b".\r\n");
    content
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    StartTls,
    Tls,
}

/// Where to, and how.
struct Target {
    address: String,
    mode: Mode,
    tls: Arc<ClientConfig>,
}

impl Target {
    fn new(address: &str, mode: &str, certificate: &str) -> Outcome<Arc<Self>> {
        let mode = match mode {
            "plain" => Mode::Plain,
            "starttls" => Mode::StartTls,
            "tls" => Mode::Tls,
            _ => return Err(USAGE.into()),
        };
        let mut roots = RootCertStore::empty();
        if mode != Mode::Plain {
            for certificate in CertificateDer::pem_file_iter(certificate)? {
                roots.add(certificate?)?;
            }
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.resumption = Resumption::disabled();
        Ok(Arc::new(Self { address: address.to_owned(), mode, tls: Arc::new(tls) }))
    }
}

trait ReadWrite: Read + Write + Send {}
impl<S: Read + Write + Send> ReadWrite for S {}

/// One SMTP session that is past EHLO.
struct Client(BufReader<Box<dyn ReadWrite>>);

impl Client {
    fn connect(target: &Target) -> Outcome<Self> {
        let mut socket = TcpStream::connect(&target.address)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        if target.mode == Mode::StartTls {
            let mut plain = Self::over(socket.try_clone()?);
            plain.expect("220")?;
            plain.say("EHLO secure.example\r\n", "250")?;
            plain.say("STARTTLS\r\n", "220")?;
        }
        let mut client = match target.mode {
            Mode::Plain => Self::over(socket),
            Mode::StartTls | Mode::Tls => {
                let name = ServerName::try_from("localhost")?;
                let mut tls = ClientConnection::new(Arc::clone(&target.tls), name)?;
                tls.complete_io(&mut socket)?;
                Self::over(StreamOwned::new(tls, socket))
            }
        };
        if target.mode != Mode::StartTls {
            client.expect("220")?;
        }
        client.say("EHLO secure.example\r\n", "250")?;
        Ok(client)
    }

    fn over(stream: impl ReadWrite + 'static) -> Self {
        // The server never speaks before it is asked, so nothing is left in this buffer at the handshake.
        Self(BufReader::with_capacity(1024, Box::new(stream)))
    }

    fn send(&mut self, content: &[u8]) -> Outcome<()> {
        self.write(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")?;
        self.expect("250")?;
        self.expect("250")?;
        self.expect("354")?;
        self.write(content)?;
        self.expect("250")
    }

    fn quit(mut self) -> Outcome<()> {
        self.say("QUIT\r\n", "221")
    }

    fn say(&mut self, line: &str, code: &str) -> Outcome<()> {
        self.write(line.as_bytes())?;
        self.expect(code)
    }

    fn write(&mut self, octets: &[u8]) -> Outcome<()> {
        self.0.get_mut().write_all(octets)?;
        self.0.get_mut().flush()?;
        Ok(())
    }

    /// Reads one reply, of one or more lines.
    fn expect(&mut self, code: &str) -> Outcome<()> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line)? == 0 {
                return Err("the server has closed the connection".into());
            }
            if !line.starts_with(code) {
                return Err(format!("expected {code}, got {}", line.trim_end()).into());
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
