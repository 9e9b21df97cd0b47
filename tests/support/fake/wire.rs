//! The least HTTP/1.1 that a provider's client speaks, by hand: only so can an answer be torn in the middle.

use std::io;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// No request of a test is larger: 40 MB of mail, encoded.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The first line and the header of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// The value of a header, whatever the case of its name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let named = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str())
    }
}

/// What is sent back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn new(status: u16, body: impl Into<String>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Reads up to the empty line; `None` when the client has hung up between requests.
pub(crate) async fn read_head(stream: &mut BufReader<TcpStream>) -> io::Result<Option<Head>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Err(io::Error::new(io::ErrorKind::InvalidData, line));
    };
    let mut head = Head { method, path, headers: Vec::new() };
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.trim_end().split_once(':') {
            Some((name, value)) => head.headers.push((name.to_owned(), value.trim().to_owned())),
            None => return Ok(Some(head)),
        }
    }
}

/// Reads the body that `Content-Length` announces.
pub(crate) async fn read_body(
    stream: &mut BufReader<TcpStream>,
    head: &Head,
) -> io::Result<Vec<u8>> {
    if head.header("transfer-encoding").is_some() {
        return Err(io::Error::new(io::ErrorKind::Unsupported, "a request body of unknown length"));
    }
    let length = head.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    if length > BODY_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a request body beyond all limits"));
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(body)
}

/// Writes the answer in one piece.
pub(crate) async fn write_reply(stream: &mut TcpStream, reply: &Reply) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {} Fake\r\n", reply.status);
    for (name, value) in &reply.headers {
        text += &format!("{name}: {value}\r\n");
    }
    let json = if reply.body.is_empty() { "" } else { "content-type: application/json\r\n" };
    text += &format!("{json}content-length: {}\r\n\r\n{}", reply.body.len(), reply.body);
    stream.write_all(text.as_bytes()).await
}

/// Answers with a body that does not end before the client has had enough.
pub(crate) async fn write_huge(stream: &mut TcpStream) -> io::Result<()> {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1099511627776\r\n\r\n";
    stream.write_all(head.as_bytes()).await?;
    let spaces = vec![b' '; 64 * 1024];
    loop {
        stream.write_all(&spaces).await?;
    }
}

/// Hangs up with RST: everything that is still under way is lost.
pub(crate) fn reset(stream: BufReader<TcpStream>) {
    // Fails only on a socket that is gone already.
    let _ = stream.get_ref().set_zero_linger();
    drop(stream);
}

/// Holds the connection open and silent until the client gives up.
pub(crate) async fn hang(stream: &mut BufReader<TcpStream>) {
    let mut buffer = [0; 1024];
    while let Ok(1..) = stream.read(&mut buffer).await {}
}
