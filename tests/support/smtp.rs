//! A plain SMTP client: shows each reply as it is.

use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// A reply: the code, and the texts of its lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) code: u16,
    pub(crate) text: String,
}

impl Reply {
    /// The queue id that the final 250 names.
    pub(crate) fn queue_id(&self) -> String {
        let id = self.text.rsplit("queued as ").next().unwrap_or_default();
        assert!(
            self.code == 250 && self.text.contains("queued as "),
            "no 250 with an id: {self:?}"
        );
        id.trim().to_owned()
    }
}

/// A session after its EHLO.
#[derive(Debug)]
pub(crate) struct Session {
    stream: BufReader<TcpStream>,
}

impl Session {
    pub(crate) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut session = Self { stream: BufReader::new(stream) };
        session.reply().await?;
        session.command("EHLO client.example").await?;
        Ok(session)
    }

    /// One command and its reply.
    pub(crate) async fn command(&mut self, line: &str) -> io::Result<Reply> {
        self.stream.write_all(format!("{line}\r\n").as_bytes()).await?;
        self.reply().await
    }

    /// One message to one recipient; the reply to its end.
    pub(crate) async fn send(&mut self, mail: &Mail) -> io::Result<Reply> {
        let mut commands = format!("MAIL FROM:<{}>\r\n", mail.from);
        for recipient in &mail.to {
            // Writing to a String does not fail.
            let _ = write!(commands, "RCPT TO:<{recipient}>\r\n");
        }
        commands += "DATA\r\n";
        self.stream.write_all(commands.as_bytes()).await?;
        let mut refused = None;
        for _ in 0..=mail.to.len() {
            let reply = self.reply().await?;
            if reply.code != 250 {
                refused.get_or_insert(reply);
            }
        }
        let reply = self.reply().await?;
        if reply.code != 354 {
            return Ok(refused.unwrap_or(reply));
        }
        let mut data = mail.data.replace("\r\n.", "\r\n..");
        data += "\r\n.\r\n";
        self.stream.write_all(data.as_bytes()).await?;
        self.reply().await
    }

    /// One message by BDAT, in chunks of this size and all in one write; the reply to the last.
    pub(crate) async fn send_chunks(
        &mut self,
        mail: &str,
        recipient: &str,
        content: &[u8],
        size: usize,
    ) -> io::Result<Reply> {
        let mut wire = format!("MAIL FROM:{mail}\r\nRCPT TO:{recipient}\r\n").into_bytes();
        let mut count = 2;
        for chunk in content.chunks(size) {
            wire.extend_from_slice(format!("BDAT {}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            count += 1;
        }
        wire.extend_from_slice(b"BDAT 0 LAST\r\n");
        self.stream.write_all(&wire).await?;
        for _ in 0..count {
            let reply = self.reply().await?;
            if reply.code != 250 {
                return Ok(reply);
            }
        }
        self.reply().await
    }

    async fn reply(&mut self) -> io::Result<Reply> {
        let mut text = String::new();
        loop {
            let mut line = String::new();
            if self.stream.read_line(&mut line).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let malformed = || io::Error::new(io::ErrorKind::InvalidData, line.clone());
            let code = line.get(..3).and_then(|code| code.parse().ok()).ok_or_else(malformed)?;
            text += line.get(4..).unwrap_or_default();
            if line.get(3..4) != Some("-") {
                return Ok(Reply { code, text: text.trim_end().to_owned() });
            }
        }
    }
}

/// A small message.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub(crate) from: String,
    pub(crate) to: Vec<String>,
    pub(crate) data: String,
}

impl Mail {
    /// A mail to one person, to be recognised by its subject.
    pub(crate) fn about(subject: &str) -> Self {
        Self::with_text(subject, "Hello.")
    }

    /// A mail with a text of one's own.
    pub(crate) fn with_text(subject: &str, text: &str) -> Self {
        Self {
            from: "app@sender.example".to_owned(),
            to: vec!["ada@rcpt.example".to_owned()],
            data: format!(
                "From: App <app@sender.example>\r\n\
                 To: Ada <ada@rcpt.example>\r\n\
                 Subject: {subject}\r\n\
                 Message-ID: <{subject}@sender.example>\r\n\
                 Date: Sat, 21 Nov 2026 10:00:00 +0000\r\n\
                 \r\n\
                 {text}\r\n"
            ),
        }
    }
}

/// Sends one mail in a session of its own and returns the reply to it.
pub(crate) async fn send(address: SocketAddr, mail: &Mail) -> Reply {
    let mut session = Session::open(address).await.unwrap();
    session.send(mail).await.unwrap()
}

/// Sends one mail that must be queued; its queue id.
pub(crate) async fn submit(address: SocketAddr, mail: &Mail) -> String {
    send(address, mail).await.queue_id()
}
