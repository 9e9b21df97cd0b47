//! Octets to the server and replies from it.
//!
//! lettre's connection is not used: it gives up the transaction at the first refused recipient, adds an empty line to
//! every message, and keeps what came in plaintext behind the reply to STARTTLS. Its commands and its parser of
//! replies are.

use std::fmt::Display;
use std::io;

use bytes::{Buf, BytesMut};
use lettre::transport::smtp::response::Response;
use memchr::memmem;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::fault::{Fault, Progress};
use super::reply::Step;

/// The longest line of a reply. RFC 5321 §4.5.3.1.5 allows 512 octets.
const LINE_MAX: usize = 4096;
/// The longest reply, all lines together.
const REPLY_MAX: usize = 64 * 1024;
/// Content is written in pieces of this size.
const PIECE: usize = 32 * 1024;

/// A connection, encrypted or not.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    async fn read(&mut self, into: &mut BytesMut) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read_buf(into).await,
            Self::Tls(stream) => stream.read_buf(into).await,
        }
    }

    async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.write_all(octets).await,
            Self::Tls(stream) => {
                stream.write_all(octets).await?;
                stream.flush().await
            }
        }
    }
}

/// What is spoken over a connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// Read, but not looked at.
    unread: BytesMut,
}

impl Wire {
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, unread: BytesMut::new() }
    }

    /// The connection below, for a TLS handshake. What the server sent before it is asked for one is no part of the
    /// encrypted dialogue (RFC 3207 §6): an error.
    pub(super) fn into_plain(self) -> Result<TcpStream, Fault> {
        match self.stream {
            Stream::Plain(stream) if self.unread.is_empty() => Ok(stream),
            Stream::Plain(_) => Err(Fault::Lost(
                "the server, or somebody between here and there, sent plaintext behind the reply to STARTTLS".to_owned(),
            )),
            Stream::Tls(_) => Err(Fault::Lost("the connection is encrypted already".to_owned())),
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Sends one command, or several that are pipelined.
    pub(super) async fn send(&mut self, commands: impl Display) -> Result<(), Fault> {
        self.stream
            .write(commands.to_string().as_bytes())
            .await
            .map_err(|error| Fault::lost(&error))
    }

    /// Sends a command and reads the reply to it.
    pub(super) async fn ask(&mut self, command: impl Display) -> Result<Response, Fault> {
        self.send(command).await?;
        self.reply().await
    }

    /// Reads a reply of bounded size, in whatever line ends and charset.
    pub(super) async fn reply(&mut self) -> Result<Response, Fault> {
        let mut text = String::new();
        loop {
            let line = self.line().await?;
            let digits = line.get(..3).filter(|code| code.bytes().all(|c| c.is_ascii_digit()));
            let Some(code) = digits else { return Err(Fault::no_reply(&line)) };
            let rest = line.get(3..).unwrap_or_default();
            let goes_on = rest.starts_with('-');
            if !goes_on && !rest.is_empty() && !rest.starts_with(' ') {
                return Err(Fault::no_reply(&line));
            }
            text.push_str(code);
            text.push_str(if rest.is_empty() { " " } else { rest });
            text.push_str("\r\n");
            if text.len() > REPLY_MAX {
                return Err(Fault::Lost("a reply of the server has no end".to_owned()));
            }
            if !goes_on {
                return text.parse().map_err(|_| Fault::no_reply(&text));
            }
        }
    }

    /// The next line, without its end.
    async fn line(&mut self) -> Result<String, Fault> {
        let mut searched = 0;
        loop {
            let fresh = self.unread.get(searched..).unwrap_or_default();
            if let Some(at) = memchr::memchr(b'\n', fresh) {
                let line = self.unread.split_to(searched + at);
                self.unread.advance(1);
                let line = String::from_utf8_lossy(&line);
                // A CR within a line would end it for the parser.
                return Ok(line.trim_end_matches('\r').replace('\r', " "));
            }
            searched = self.unread.len();
            if searched > LINE_MAX {
                return Err(Fault::Lost("a reply of the server has no end".to_owned()));
            }
            match self.stream.read(&mut self.unread).await {
                Ok(0) => return Err(Fault::Lost("the server closed the connection".to_owned())),
                Ok(_) => {}
                Err(error) => return Err(Fault::lost(&error)),
            }
        }
    }

    /// Sends the content and its end, dots stuffed (RFC 5321 §4.5.2). All its lines must end with CRLF.
    pub(super) async fn content(
        &mut self,
        content: &[u8],
        progress: &Progress,
    ) -> Result<(), Fault> {
        let mut piece = Vec::with_capacity(PIECE.min(content.len() + 16));
        if content.starts_with(b".") {
            piece.push(b'.');
        }
        let finder = memmem::Finder::new(b"\r\n.");
        let mut rest = content;
        while let Some(at) = finder.find(rest) {
            let (line, after) = rest.split_at(at + 2);
            self.put(line, &mut piece).await?;
            piece.push(b'.');
            rest = after;
        }
        self.put(rest, &mut piece).await?;
        let ended = content.is_empty() || content.ends_with(b"\r\n");
        piece.extend_from_slice(if ended { b".\r\n" } else { b"\r\n.\r\n" });
        progress.at(Step::Answer);
        self.stream.write(&piece).await.map_err(|error| Fault::lost(&error))
    }

    /// Adds octets to the piece, and sends it each time that it is full. A rest always stays for the last write, which
    /// brings the end.
    async fn put(&mut self, mut octets: &[u8], piece: &mut Vec<u8>) -> Result<(), Fault> {
        while piece.len() + octets.len() > PIECE {
            let (fits, rest) = octets.split_at(PIECE.saturating_sub(piece.len()).min(octets.len()));
            piece.extend_from_slice(fits);
            self.stream.write(piece).await.map_err(|error| Fault::lost(&error))?;
            piece.clear();
            octets = rest;
        }
        piece.extend_from_slice(octets);
        Ok(())
    }
}
