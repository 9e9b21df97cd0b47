//! A wire that listens: passes octets between a client and the relay, and tells what both said before encryption.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Octets that are remembered of each direction of a connection.
const REMEMBERED_MAX: usize = 16 << 20;

/// A running tap. It stops when it is dropped.
#[derive(Debug)]
pub(crate) struct Tap {
    pub(crate) address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    accepting: JoinHandle<()>,
}

/// What went over all connections.
#[derive(Debug, Default)]
struct Heard {
    open: usize,
    ended: Vec<Conversation>,
}

/// What went over one connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conversation {
    client: Vec<u8>,
    server: Vec<u8>,
}

impl Tap {
    /// Listens on a free port of the loopback address, before `relay`.
    pub(crate) async fn before(relay: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let accepting = tokio::spawn(accept(listener, relay, Arc::clone(&heard)));
        Self { address, heard, accepting }
    }

    /// The connections since the last time this was asked; `None` while one is open, or when there was none.
    pub(crate) fn take(&self) -> Option<Vec<Conversation>> {
        let mut heard = self.heard.lock().unwrap();
        (heard.open == 0 && !heard.ended.is_empty()).then(|| std::mem::take(&mut heard.ended))
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Which side says something.
#[derive(Clone, Copy, Debug)]
enum Side {
    Client,
    Server,
}

async fn accept(listener: TcpListener, relay: SocketAddr, heard: Arc<Mutex<Heard>>) {
    while let Ok((client, _)) = listener.accept().await {
        // Where the relay is gone, the client sees its connection end.
        let Ok(server) = TcpStream::connect(relay).await else { continue };
        // Small packets wait for nobody, as on a connection without a tap.
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let conversation = Arc::new(Mutex::new(Conversation::default()));
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        let ends = [
            tokio::spawn(pass(from_client, to_server, Side::Client, Arc::clone(&conversation))),
            tokio::spawn(pass(from_server, to_client, Side::Server, Arc::clone(&conversation))),
        ];
        heard.lock().unwrap().open += 1;
        let heard = Arc::clone(&heard);
        drop(tokio::spawn(async move {
            for end in ends {
                // A task that broke has passed on all it could.
                let _ = end.await;
            }
            let conversation = std::mem::take(&mut *conversation.lock().unwrap());
            let mut heard = heard.lock().unwrap();
            heard.open -= 1;
            heard.ended.push(conversation);
        }));
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    side: Side,
    conversation: Arc<Mutex<Conversation>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        {
            let mut conversation = conversation.lock().unwrap();
            let memory = match side {
                Side::Client => &mut conversation.client,
                Side::Server => &mut conversation.server,
            };
            let room = REMEMBERED_MAX.saturating_sub(memory.len());
            memory.extend_from_slice(&buffer[..count.min(room)]);
        }
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
    // The other side has closed already where this fails.
    let _ = to.shutdown().await;
}

impl Conversation {
    /// The lines of the client that could be read by anybody: commands, and content without TLS.
    pub(crate) fn open_lines(&self) -> Vec<String> {
        let end = hello(&self.client).unwrap_or(self.client.len());
        let text = String::from_utf8_lossy(&self.client[..end]);
        text.split("\r\n").map(str::to_owned).collect()
    }

    /// The first of those lines that begins so, in any case.
    pub(crate) fn open_line(&self, begin: &str) -> Option<String> {
        self.open_lines().into_iter().find(|line| {
            line.get(..begin.len()).is_some_and(|front| front.eq_ignore_ascii_case(begin))
        })
    }

    /// The SASL mechanism that the client named without TLS.
    pub(crate) fn open_mechanism(&self) -> Option<String> {
        let line = self.open_line("AUTH ")?;
        line.split(' ').nth(1).map(str::to_ascii_uppercase)
    }

    /// The TLS version that the server chose.
    pub(crate) fn tls_version(&self) -> Option<&'static str> {
        let hello_at = hello(&self.server)?;
        server_hello_version(&self.server[hello_at..])
    }

    /// Whether TLS was there before anything was said.
    pub(crate) fn is_tls_from_the_start(&self) -> bool {
        hello(&self.client) == Some(0)
    }
}

/// Where the first handshake record begins: at the start, or behind a line of the dialogue.
fn hello(octets: &[u8]) -> Option<usize> {
    let is_record = |at: usize| octets[at..].starts_with(&[0x16, 0x03]);
    if is_record(0) {
        return Some(0);
    }
    (2..octets.len()).find(|at| octets[..*at].ends_with(b"\r\n") && is_record(*at))
}

/// Reads the version out of a ServerHello record (RFC 8446, 4.1.3): the extension that names it, or the old field.
fn server_hello_version(record: &[u8]) -> Option<&'static str> {
    const SERVER_HELLO: u8 = 2;
    const SUPPORTED_VERSIONS: u16 = 43;
    let number = |at: usize| -> Option<u16> {
        Some(u16::from_be_bytes([*record.get(at)?, *record.get(at + 1)?]))
    };
    // Five octets of record header, then type and length of the handshake message.
    if *record.get(5)? != SERVER_HELLO {
        return None;
    }
    let mut version = number(9)?;
    let session_id = usize::from(*record.get(43)?);
    // Behind the session: cipher suite, compression, length of the extensions.
    let mut at = 44 + session_id + 3;
    let end = at + 2 + usize::from(number(at).unwrap_or(0));
    at += 2;
    while at + 4 <= end {
        if number(at)? == SUPPORTED_VERSIONS {
            version = number(at + 4)?;
        }
        at += 4 + usize::from(number(at + 2)?);
    }
    match version {
        0x0304 => Some("TLS 1.3"),
        0x0303 => Some("TLS 1.2"),
        _ => Some("older than TLS 1.2"),
    }
}
