//! The rest of the world, as far as the browser knows: a proxy that answers everything and writes down who was asked.

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

#[derive(Debug)]
pub(crate) struct Outside {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    accepting: JoinHandle<()>,
}

impl Outside {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let accepting = tokio::spawn({
            let asked = Arc::clone(&asked);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    drop(tokio::spawn(timeout(wait::PATIENCE, serve(stream, Arc::clone(&asked)))));
                }
            }
        });
        Self { address, asked, accepting }
    }

    /// The request lines that came, but for those that are the browser's own.
    pub(crate) fn asked(&self) -> Vec<String> {
        let foreign = |line: &&String| !ITS_OWN.iter().any(|host| line.contains(host));
        self.asked.lock().unwrap().iter().filter(foreign).cloned().collect()
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// One request, one answer: to a proxy's client, an image for `GET`, and no way through for what is encrypted.
async fn serve(stream: TcpStream, asked: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).await?;
    asked.lock().unwrap().push(first.trim().to_owned());
    for _ in 0..LINES_MAX {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
    }
    let image = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"4\" height=\"4\"/>";
    let answer = if first.starts_with("CONNECT ") {
        "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".to_owned()
    } else {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: image/svg+xml\r\nAccess-Control-Allow-Origin: *\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{image}",
            image.len()
        )
    };
    stream.get_mut().write_all(answer.as_bytes()).await?;
    stream.get_mut().shutdown().await
}
