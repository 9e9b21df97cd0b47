//! The rest of the world, as far as the browser knows: a proxy that answers everything and writes down who was asked.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::support::wait;

/// Whom the browser asks of its own accord, whatever page is open: its makers, and Debian's start page.
const ITS_OWN: [&str; 6] = [
    "google.com",
    "googleapis.com",
    "gstatic.com",
    "gvt1.com",
    "googleusercontent.com",
    "duckduckgo.com",
];

/// A head of a request is no longer than this, or is none.
const LINES_MAX: usize = 200;

/// What there is where no page was put.
const IMAGE: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"4\" height=\"4\"/>";

#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    asked: Mutex<Vec<String>>,
    /// Pages by their address, as a request line has it.
    pages: Mutex<HashMap<String, String>>,
}

impl Outside {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        let accepting = tokio::spawn({
            let shared = Arc::clone(&shared);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    drop(tokio::spawn(timeout(wait::PATIENCE, serve(stream, Arc::clone(&shared)))));
                }
            }
        });
        Self { address, shared, accepting }
    }

    /// Puts a page at an address: `http://attacker.example/`, or a path for this machine itself, at `address`.
    pub(crate) fn put(&self, url: &str, page: &str) {
        self.shared.pages.lock().unwrap().insert(url.to_owned(), page.to_owned());
    }

    /// The request lines that came, but for those that are the browser's own.
    pub(crate) fn asked(&self) -> Vec<String> {
        let foreign = |line: &&String| !ITS_OWN.iter().any(|host| line.contains(host));
        self.shared.asked.lock().unwrap().iter().filter(foreign).cloned().collect()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request, one answer: to a proxy's client, an image for `GET` where no page was put, and no way through for what is encrypted.
async fn serve(stream: TcpStream, shared: Arc<Shared>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    if stream.read_line(&mut first).await? == 0 {
        // Chromium keeps a connection to its proxy in reserve now and then. One for a page names its host, by CONNECT.
        return Ok(());
    }
    shared.asked.lock().unwrap().push(first.trim().to_owned());
    for _ in 0..LINES_MAX {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
    }
    let url = first.split(' ').nth(1).unwrap_or_default();
    let page = shared.pages.lock().unwrap().get(url).cloned();
    let (media_type, body) = match &page {
        Some(page) => ("text/html; charset=utf-8", page.as_str()),
        None => ("image/svg+xml", IMAGE),
    };
    let answer = if first.starts_with("CONNECT ") {
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
    } else {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nAccess-Control-Allow-Origin: *\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    };
    stream.get_mut().write_all(answer.as_bytes()).await?;
    stream.get_mut().shutdown().await
}
