//! What the server says: a code, an enhanced code where RFC 2034 wants one, and a text that tells an operator what to do.

use std::borrow::Cow;
use std::fmt;

use crate::message::QueueId;
use crate::queue::Refusal;

/// The longest text taken over from elsewhere (a provider's reason), in characters: with its codes it fits
/// into the 512 octets of a reply line.
const FOREIGN_TEXT_MAX: usize = 400;

/// The second and third number of an enhanced status code; the first is the first digit of the reply code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enhanced(pub u8, pub u8);

/// One reply. A line break in the text makes a multi-line reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<Enhanced>,
    text: Cow<'static, str>,
}

/// Replies that are always the same.
impl Reply {
    pub const OK: Self = Self::fixed(250, 0, 0, "Ok");
    pub const SENDER_OK: Self = Self::fixed(250, 1, 0, "Sender ok");
    pub const RECIPIENT_OK: Self = Self::fixed(250, 1, 5, "Recipient ok");
    pub const BYE: Self = Self::fixed(221, 0, 0, "Bye");
    pub const GO_AHEAD: Self = Self {
        code: 354,
        enhanced: None,
        text: Cow::Borrowed("Send the message, end with a line that holds a dot only"),
    };
    pub const HELP: Self = Self::fixed(
        214,
        0,
        0,
        "mailferry takes mail here and hands it to an email provider.\n\
         Commands: EHLO HELO STARTTLS AUTH MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT\n\
         Say EHLO name, MAIL FROM:<you@example.org>, RCPT TO:<them@example.net>, DATA.",
    );
    pub const CANNOT_VERIFY: Self =
        Self::fixed(252, 0, 0, "Addresses are not verified here; send RCPT and the mail is tried");
    pub const NO_EXPANSION: Self = Self::fixed(502, 5, 1, "There are no lists here to expand");

    pub const NO_AUTH: Self = Self::fixed(
        502,
        5,
        1,
        "AUTH is not offered here: leave SMTP user and password empty in the app's settings",
    );
    pub const NO_STARTTLS: Self = Self::fixed(
        502,
        5,
        1,
        "STARTTLS is not offered here: set smtp.tls (self_signed = true is quickest), or choose no encryption in the \
         app's SMTP settings",
    );
    pub const READY_FOR_TLS: Self = Self::fixed(220, 0, 0, "Go ahead with TLS");
    pub const TLS_ACTIVE: Self = Self::fixed(503, 5, 1, "TLS is active already");
    pub const TLS_FIRST: Self = Self::fixed(
        530,
        7,
        0,
        "Encryption is required here (smtp.tls.required): say STARTTLS first; choose STARTTLS in the app's SMTP settings",
    );
    pub const AUTHENTICATED: Self = Self::fixed(235, 7, 0, "Authentication succeeded");
    pub const WRONG_CREDENTIALS: Self =
        Self::fixed(535, 7, 8, "User name or password is wrong: see smtp.users");

    pub const HELLO_FIRST: Self = Self::fixed(503, 5, 1, "Say EHLO first");
    pub const MAIL_FIRST: Self = Self::fixed(503, 5, 1, "Say MAIL FROM:<address> first");
    pub const RECIPIENT_FIRST: Self =
        Self::fixed(503, 5, 1, "No recipient was accepted: say RCPT TO:<address> first");
    pub const NESTED_MAIL: Self = Self::fixed(
        503,
        5,
        1,
        "A transaction is open already: finish it with DATA or drop it with RSET",
    );
    pub const CHUNKS_BEGUN: Self = Self::fixed(
        503,
        5,
        1,
        "The content has begun with BDAT: finish it with BDAT number LAST or drop it with RSET",
    );
    pub const BINARY_NEEDS_CHUNKS: Self =
        Self::fixed(503, 5, 1, "After BODY=BINARYMIME the content comes by BDAT, not by DATA");
    pub const STRANGER: Self = Self::fixed(
        550,
        7,
        1,
        "This address may not send mail here: add its network to smtp.trusted_networks if it is yours, \
         or set up smtp.users",
    );
    pub const LINE_TOO_LONG: Self =
        Self::fixed(500, 5, 6, "A command line has at most 2048 octets; this one was ignored");
    pub const BARE_LINE_FEED: Self =
        Self::fixed(500, 5, 2, "Lines end with CR LF; one with a bare LF in it was ignored");
    pub const TOO_MANY_ERRORS: Self =
        Self::fixed(421, 7, 0, "Too many errors on this connection; closing it");
    pub const TOO_MANY_COMMANDS: Self =
        Self::fixed(421, 7, 0, "Too many commands without a message; closing the connection");
    pub const HTTP_SPOKEN: Self =
        Self::fixed(421, 7, 0, "This port speaks SMTP, and HTTP came; closing the connection");
    pub const PROXY_SPOKEN: Self = Self::fixed(
        421,
        7,
        0,
        "A PROXY header came from an address that is not in smtp.proxy_networks; closing the connection",
    );
    pub const TLS_SPOKEN: Self = Self::fixed(
        421,
        7,
        0,
        "This port speaks SMTP without TLS from the first octet: switch implicit TLS (\"SSL\") off",
    );

    pub const NO_MEMORY: Self =
        Self::fixed(452, 3, 1, "Too much mail is arriving at once; try again in a minute");
    pub const USER_CHANGED: Self =
        Self::fixed(421, 7, 0, "The user or its password has changed; connect and log in again");
    pub const SHUTTING_DOWN: Self =
        Self::fixed(421, 3, 2, "The service is shutting down; try again soon");
    pub const TOO_MANY_CONNECTIONS: Self =
        Self::fixed(421, 3, 2, "Too many connections (smtp.max_connections); try again later");
    pub const TOO_MANY_FROM_ADDRESS: Self = Self::fixed(
        421,
        7,
        0,
        "Too many connections from your address (smtp.max_connections_per_ip); try again later",
    );
    pub const IDLE: Self = Self::fixed(421, 4, 2, "Nothing came for too long; closing");
    pub const STRANGER_TOO_LONG: Self =
        Self::fixed(421, 7, 0, "Too much time has passed without authentication; closing");
    pub const TRANSACTION_TOO_SLOW: Self =
        Self::fixed(421, 4, 2, "The transaction takes too long; closing");

    pub(super) const fn fixed(code: u16, subject: u8, detail: u8, text: &'static str) -> Self {
        Self { code, enhanced: Some(Enhanced(subject, detail)), text: Cow::Borrowed(text) }
    }

    /// 334 with a text that is base64 already.
    pub(super) const fn challenge(text: &'static str) -> Self {
        Self { code: 334, enhanced: None, text: Cow::Borrowed(text) }
    }
}

impl Reply {
    /// A reply with an enhanced code. The text must be printable; line breaks make several lines.
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: Some(enhanced), text: text.into() }
    }

    /// A reply without one: the greeting and the answer to EHLO (RFC 2034 §4).
    pub fn plain(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, text: text.into() }
    }

    /// The promise that the message is safe.
    pub fn queued(id: QueueId) -> Self {
        Self::new(250, Enhanced(0, 0), format!("Ok: queued as {id}"))
    }

    /// A chunk that is not the last one has been read (RFC 3030 §2).
    pub fn chunk_taken(size: u64) -> Self {
        Self::new(250, Enhanced(0, 0), format!("{size} octets received"))
    }

    /// The message exceeds the size limit.
    pub fn too_large(limit: u64) -> Self {
        Self::new(
            552,
            Enhanced(3, 4),
            format!("The message is larger than {limit} octets (smtp.max_message_size)"),
        )
    }

    /// Whether this is [`Reply::too_large`]: nothing else has its code.
    pub(super) fn is_too_large(&self) -> bool {
        self.code == 552
    }

    /// The recipient is one too many; those before it stand.
    pub fn too_many_recipients(limit: usize) -> Self {
        Self::new(
            452,
            Enhanced(5, 3),
            format!(
                "A message has at most {limit} recipients (smtp.max_recipients): send it again for the others"
            ),
        )
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// True for what a client that follows the protocol and may send would not be told. A bad address is not one:
    /// a long list may hold many.
    pub(super) fn is_protocol_error(&self) -> bool {
        const PROTOCOL: u8 = 5;
        const SECURITY: u8 = 7;
        self.code >= 500
            && self
                .enhanced
                .is_some_and(|Enhanced(subject, _)| matches!(subject, PROTOCOL | SECURITY))
    }

    /// The text without its codes.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Appends the reply as it goes over the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut lines = self.text.split('\n').peekable();
        while let Some(line) = lines.next() {
            let separator = if lines.peek().is_some() { b'-' } else { b' ' };
            let class = digit(self.code / 100);
            out.extend([class, digit(self.code / 10), digit(self.code), separator]);
            if let Some(Enhanced(subject, detail)) = self.enhanced {
                out.extend([class, b'.', digit(subject.into()), b'.']);
                if detail >= 10 {
                    out.push(digit(u16::from(detail) / 10));
                }
                out.extend([digit(detail.into()), b' ']);
            }
            out.extend_from_slice(line.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// The last decimal digit. No number of the enhanced codes in use has more than two.
fn digit(number: u16) -> u8 {
    b"0123456789"[usize::from(number % 10)]
}

impl From<&Refusal> for Reply {
    fn from(refusal: &Refusal) -> Self {
        let (code, enhanced, reason) = match refusal {
            Refusal::NoRoom(reason) => (452, Enhanced(3, 1), reason),
            Refusal::TryAgain(reason) => (451, Enhanced(4, 1), reason),
            Refusal::Rejected(reason) => (554, Enhanced(0, 0), reason),
        };
        Self::new(code, enhanced, one_line(reason))
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = Vec::with_capacity(self.text.len() + 16);
        self.encode(&mut bytes);
        f.write_str(String::from_utf8_lossy(&bytes).trim_end())
    }
}

/// Makes a text from elsewhere fit for one reply line: printable ASCII, white space folded, at most
/// [`FOREIGN_TEXT_MAX`] characters, never empty.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(FOREIGN_TEXT_MAX));
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }));
        if line.len() >= FOREIGN_TEXT_MAX {
            line.truncate(FOREIGN_TEXT_MAX);
            break;
        }
    }
    if line.is_empty() { String::from("no reason was given") } else { line }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_reply_is_code_enhanced_code_and_text() {
        assert_eq!(encoded(&Reply::OK), "250 2.0.0 Ok\r\n");
        assert_eq!(encoded(&Reply::NO_MEMORY).split_at(10).0, "452 4.3.1 ");
        assert_eq!(encoded(&Reply::plain(220, "relay.example")), "220 relay.example\r\n");
    }

    #[test]
    fn every_line_but_the_last_has_a_hyphen() {
        let reply = Reply::new(214, Enhanced(0, 0), "one\ntwo\nthree");
        assert_eq!(encoded(&reply), "214-2.0.0 one\r\n214-2.0.0 two\r\n214 2.0.0 three\r\n");
        assert_eq!(encoded(&Reply::plain(250, "a\nb")), "250-a\r\n250 b\r\n");
    }

    #[test]
    fn each_refusal_has_its_code() {
        let text = |refusal| encoded(&Reply::from(&refusal));
        assert_eq!(text(Refusal::NoRoom("disk full".into())), "452 4.3.1 disk full\r\n");
        assert_eq!(text(Refusal::TryAgain("busy".into())), "451 4.4.1 busy\r\n");
        assert_eq!(text(Refusal::Rejected("bad to".into())), "554 5.0.0 bad to\r\n");
    }

    #[test]
    fn a_foreign_reason_cannot_make_lines_of_its_own() {
        let reply = Reply::from(&Refusal::Rejected("no\r\n250 2.0.0 Ok\0\u{1b}[31m 한".into()));
        assert_eq!(encoded(&reply), "554 5.0.0 no 250 2.0.0 Ok [31m ?\r\n");
    }

    #[test]
    fn a_foreign_reason_fits_the_line_and_is_never_empty() {
        let long = Reply::from(&Refusal::TryAgain("x".repeat(5000)));
        assert_eq!(long.text().len(), FOREIGN_TEXT_MAX);
        assert!(encoded(&long).len() <= 512);
        let empty = Reply::from(&Refusal::TryAgain("\r\n".into()));
        assert_eq!(empty.text(), "no reason was given");
    }

    #[test]
    fn fixed_replies_fit_the_reply_line() {
        for reply in [Reply::STRANGER, Reply::TLS_SPOKEN, Reply::HELP, Reply::NESTED_MAIL] {
            assert!(encoded(&reply).lines().all(|line| line.len() <= 510 && line.is_ascii()));
        }
    }
}
