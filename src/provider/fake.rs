//! A server of HTTP/1.1 that does what a test tells it, faults included.

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use url::Url;

/// What the server does with one request, after it has read it whole.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Answers with status, header lines and body.
    Answer(u16, &'static str, String),
    /// Closes the connection.
    Hangup,
    /// Says nothing.
    Silence,
    /// Answers with something that is not HTTP.
    Garbage,
    /// Announces a longer body than it sends, then closes the connection.
    Cut(u16, &'static str, &'static str),
    /// Sends a body for as long as the other side takes it, 64 MiB at most.
    Flood(u16),
    /// Answers with what stood in the header of the request.
    Echo(u16),
    /// Writes these octets one by one, and closes the connection.
    Trickle(Vec<u8>),
    /// Writes these octets and nothing more, without closing the connection.
    Stall(Vec<u8>),
    /// Resets the connection as soon as some of the body is there.
    Reset,
    /// Answers with this status before it reads the body, then reads on.
    Early(u16),
}

/// A request as it arrived.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Request line and header lines.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (known, value) = line.split_once(':')?;
            known.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// The running server: one connection for each act, in their order.
#[derive(Debug)]
pub(crate) struct Fake {
    pub(crate) url: Url,
    seen: mpsc::UnboundedReceiver<Seen>,
    task: JoinHandle<()>,
}

impl Fake {
    pub(crate) async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let (sender, seen) = mpsc::unbounded_channel();
        let acts: Vec<_> = acts.into_iter().collect();
        let task = tokio::spawn(async move {
            for act in acts {
                let (stream, _) = listener.accept().await.unwrap();
                serve(stream, act, &sender).await;
            }
        });
        Self { url, seen, task }
    }

    /// The next request that arrived whole.
    pub(crate) async fn seen(&mut self) -> Seen {
        self.seen.recv().await.unwrap()
    }

    /// True when nothing has arrived that was not looked at.
    pub(crate) fn is_quiet(&mut self) -> bool {
        self.seen.try_recv().is_err()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(stream: TcpStream, act: Act, seen: &mpsc::UnboundedSender<Seen>) {
    let mut stream = BufReader::new(stream);
    let request = match act {
        Act::Reset => return reset(stream, seen).await,
        Act::Early(status) => {
            let head = read_head(&mut stream).await;
            write_on(&mut stream, head_of(status, "", 0).as_bytes()).await;
            read_body(&mut stream, head).await
        }
        Act::Answer(..)
        | Act::Hangup
        | Act::Silence
        | Act::Garbage
        | Act::Cut(..)
        | Act::Flood(_)
        | Act::Echo(_)
        | Act::Trickle(_)
        | Act::Stall(_) => read(&mut stream).await,
    };
    let head = request.head.clone();
    seen.send(request).unwrap();
    // Writing fails when the client has heard enough.
    let _ = match act {
        Act::Answer(status, headers, body) => {
            let length = body.len();
            write(&mut stream, &format!("{}{body}", head_of(status, headers, length))).await
        }
        Act::Hangup | Act::Reset | Act::Early(_) => Ok(()),
        Act::Silence => std::future::pending().await,
        Act::Garbage => write(&mut stream, "\u{0}\u{1} 220 smtp.example ESMTP\r\n").await,
        Act::Cut(status, headers, body) => {
            write(&mut stream, &format!("{}{body}", head_of(status, headers, body.len() + 99)))
                .await
        }
        Act::Flood(status) => flood(&mut stream, status).await,
        Act::Echo(status) => {
            let body = head.replace("\r\n", " ");
            write(&mut stream, &format!("{}{body}", head_of(status, "", body.len()))).await
        }
        Act::Trickle(octets) => {
            for octet in octets {
                write_on(&mut stream, &[octet]).await;
                // The other side gets a chance to read it alone.
                tokio::task::yield_now().await;
            }
            Ok(())
        }
        Act::Stall(octets) => {
            write_on(&mut stream, &octets).await;
            std::future::pending().await
        }
    };
}

/// With no time to linger, closing sends a reset.
async fn reset(mut stream: BufReader<TcpStream>, seen: &mpsc::UnboundedSender<Seen>) {
    let head = read_head(&mut stream).await;
    let mut body = vec![0; 4096];
    let some = stream.read(&mut body).await.unwrap();
    body.truncate(some);
    seen.send(Seen { head, body }).unwrap();
    stream.get_ref().set_zero_linger().unwrap();
}

/// Writing fails when the client has heard enough.
async fn write_on(stream: &mut BufReader<TcpStream>, octets: &[u8]) {
    let _ = stream.write_all(octets).await;
    let _ = stream.flush().await;
}

async fn read(stream: &mut BufReader<TcpStream>) -> Seen {
    let head = read_head(stream).await;
    read_body(stream, head).await
}

async fn read_head(stream: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        let read = stream.read_line(&mut head).await.unwrap();
        assert!(read > 0 && head.len() < 65536, "no request: {head:?}");
    }
    head
}

async fn read_body(stream: &mut BufReader<TcpStream>, head: String) -> Seen {
    let mut seen = Seen { head, body: Vec::new() };
    let length = seen.header("content-length").map_or(0, |length| length.parse().unwrap());
    seen.body.resize(length, 0);
    stream.read_exact(&mut seen.body).await.unwrap();
    seen
}

fn head_of(status: u16, headers: &str, length: usize) -> String {
    format!(
        "HTTP/1.1 {status} Said\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n"
    )
}

async fn write(stream: &mut BufReader<TcpStream>, text: &str) -> std::io::Result<()> {
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}

async fn flood(stream: &mut BufReader<TcpStream>, status: u16) -> std::io::Result<()> {
    stream.write_all(head_of(status, "", 1 << 40).as_bytes()).await?;
    let water = vec![b'~'; 1 << 16];
    for _ in 0..1024 {
        stream.write_all(&water).await?;
    }
    Ok(())
}
