//! The dialogue as a state machine: what comes next, decided without a socket or a clock.

mod auth;
mod chunks;
mod tls;

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::AuthMode;
use crate::message::{Address, Dsn, Envelope};

use super::auth::{Credentials, Exchange, Identity};
use super::command::{Command, Fault, is_http};
use super::input::{Line, is_auth};
use super::parameters::MailParameters;
use super::proxy::is_header as is_proxy_header;
use super::reply::{Enhanced, Reply};
use chunks::Chunking;

/// Protocol errors that a connection may make between two accepted messages.
const FAULTS_MAX: u32 = 20;

/// Commands between two accepted messages, besides one for each recipient that a message may have. Enough for a pool that
/// keeps its connections alive by NOOP over days.
const COMMANDS_MAX: usize = 10_000;

/// Commands of a client that is neither trusted nor authenticated. The way to AUTH is a handful.
const STRANGER_COMMANDS_MAX: usize = 100;

/// What holds for every session of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name in the greeting.
    pub hostname: String,
    /// The largest message, octets.
    pub max_message_size: u64,
    /// Recipients of one message.
    pub max_recipients: usize,
    /// Whether STARTTLS is offered, and whether it must be used.
    pub tls: TlsRule,
    /// Who must authenticate, and how.
    pub auth: AuthMode,
    /// Whether anybody is named in `smtp.users`.
    pub has_users: bool,
}

/// What holds for TLS on a plaintext listener.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsRule {
    /// There is no certificate.
    #[default]
    Absent,
    /// STARTTLS may be used.
    Offered,
    /// MAIL and AUTH are refused before it.
    Required,
}

/// The other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// Its address is in one of the trusted networks.
    pub trusted: bool,
    /// The connection is encrypted.
    pub secure: bool,
}

/// What the connection must do next.
#[derive(Debug)]
pub enum Step {
    Reply(Reply),
    /// Reply, and tell the operator: the client wants to send and may not.
    Refuse(Reply),
    /// Reply, do the handshake, and begin a new session over it. What came in plaintext behind STARTTLS is thrown away.
    StartTls(Reply),
    /// Have these credentials checked, then tell [`Session::authenticated`].
    Verify(Credentials),
    /// Read this many octets of content (RFC 3030), or throw them away.
    ReadChunk(Chunk),
    /// Say [`Reply::GO_AHEAD`], read the content, hand both over, then tell what came of it.
    ReadBody(Transaction),
    /// Reply and close.
    Close(Reply),
}

/// A BDAT command: what the next octets on the wire are.
#[derive(Debug)]
pub struct Chunk {
    /// How many.
    pub size: u64,
    /// What becomes of them.
    pub fate: ChunkFate,
}

/// What becomes of a chunk when it has been read.
#[derive(Debug)]
pub enum ChunkFate {
    /// It is content of [`Session::transaction`], and more follows: tell [`Session::chunk_read`].
    Keep,
    /// It is the last of the content of this transaction: hand both over.
    Complete(Transaction),
    /// It is thrown away, and this is said.
    Discard(Reply),
}

/// A transaction whose content is still to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub envelope: Envelope,
    /// The size that the client announced, octets: not more than the limit, and only a hint.
    pub announced_size: Option<u64>,
    /// BODY=BINARYMIME: the octets of the content are kept as they are, bare CR and LF included.
    pub binary: bool,
}

impl Transaction {
    fn begun(sender: Option<Address>, parameters: MailParameters) -> Self {
        let MailParameters { size, smtp_utf8, binary, ret, envelope_id } = parameters;
        let dsn = Dsn { ret, envelope_id, recipients: Vec::new() };
        let dsn = (!dsn.is_empty()).then(|| Box::new(dsn));
        let envelope = Envelope { sender, recipients: Vec::new(), smtp_utf8, dsn };
        Self { envelope, announced_size: size, binary }
    }
}

/// How far the dialogue has come. A transaction exists only after `MAIL`.
#[derive(Debug)]
enum Phase {
    Connected,
    Greeted,
    /// The next line is a client's answer within AUTH.
    Authenticating(Exchange),
    Addressing(Transaction),
    /// After the first chunk, before the last.
    Chunking(Chunking),
}

/// One client's dialogue.
#[derive(Debug)]
pub struct Session {
    policy: Arc<Policy>,
    peer: Peer,
    identity: Option<Identity>,
    phase: Phase,
    /// Why the chunks that follow a refused one are refused, until the last of them or another transaction.
    refused: Option<Reply>,
    faults: u32,
    commands: usize,
    failed_logins: u8,
}

impl Session {
    /// A session that has just begun.
    pub fn new(policy: Arc<Policy>, peer: Peer) -> Self {
        Self {
            policy,
            peer,
            identity: None,
            phase: Phase::Connected,
            refused: None,
            faults: 0,
            commands: 0,
            failed_logins: 0,
        }
    }

    /// The first thing said.
    pub fn greeting(&self) -> Reply {
        Reply::plain(220, format!("{} ESMTP mailferry", self.policy.hostname))
    }

    /// The other side.
    pub fn peer(&self) -> Peer {
        self.peer
    }

    /// True from MAIL until the transaction has its end.
    pub fn in_transaction(&self) -> bool {
        matches!(self.phase, Phase::Addressing(_) | Phase::Chunking(_)) || self.refused.is_some()
    }

    /// Who the client has proved to be.
    pub fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// True for a client of which nothing is known that speaks for it: it gets less time, and fewer commands.
    pub fn is_stranger(&self) -> bool {
        !self.peer.trusted && self.identity.is_none()
    }

    /// Tells that a message was taken over: the client is in earnest, and its errors are forgiven.
    pub fn message_accepted(&mut self) {
        self.faults = 0;
        self.commands = 0;
    }

    /// Takes the next line and says what to do.
    pub fn handle(&mut self, line: Line<'_>) -> Step {
        let step = match self.take_exchange() {
            Some(exchange) => self.answer(exchange, line),
            None => self.take_command(line),
        };
        self.within_limits(step)
    }

    fn take_command(&mut self, line: Line<'_>) -> Step {
        match line {
            Line::Command(line) if is_proxy_header(line) => Step::Close(Reply::PROXY_SPOKEN),
            Line::Command(line) => match Command::parse(line) {
                Ok(command) => self.obey(command),
                Err(Fault::Http) => Step::Close(Reply::HTTP_SPOKEN),
                Err(_) if chunks::is_bdat(line) => Step::Close(Fault::BdatForm.into()),
                Err(fault) => Step::Reply(fault.into()),
            },
            Line::TlsHello => Step::Close(Reply::TLS_SPOKEN),
            Line::TooLong(front) | Line::BareLineFeed(front) if is_http_octets(front) => {
                Step::Close(Reply::HTTP_SPOKEN)
            }
            Line::TooLong(front) | Line::BareLineFeed(front) if chunks::is_bdat(front) => {
                Step::Close(Fault::BdatForm.into())
            }
            Line::TooLong(front) if is_auth(front) => Step::Reply(Reply::AUTH_LINE_TOO_LONG),
            Line::TooLong(_) => Step::Reply(Reply::LINE_TOO_LONG),
            Line::BareLineFeed(_) => Step::Reply(Reply::BARE_LINE_FEED),
        }
    }

    fn obey(&mut self, command: Command<'_>) -> Step {
        use Command::*;

        if !matches!(command, Bdat { .. } | Noop) {
            self.refused = None;
        }
        if let (Mail { sender, .. }, Phase::Greeted) = (&command, &self.phase)
            && let Some(refusal) = self.refusal_of_mail(sender.as_ref())
        {
            return refusal;
        }
        let reply = match (command, &mut self.phase) {
            (Quit, _) => return Step::Close(Reply::BYE),
            (Noop, _) | (Rset, Phase::Connected) => Reply::OK,
            (Rset, phase) => {
                *phase = Phase::Greeted;
                Reply::OK
            }
            (Ehlo(_), phase) => {
                *phase = Phase::Greeted;
                self.extensions()
            }
            (Helo(_), phase) => {
                *phase = Phase::Greeted;
                Reply::plain(250, self.policy.hostname.clone())
            }
            (Vrfy, _) => Reply::CANNOT_VERIFY,
            (Expn, _) => Reply::NO_EXPANSION,
            (Help, _) => Reply::HELP,
            (StartTls, _) => return self.start_tls(),
            (Auth { mechanism, initial }, _) => return self.begin_auth(mechanism, initial),
            (Bdat { size, last }, _) => return Step::ReadChunk(self.chunk(size, last)),

            (Mail { .. }, Phase::Connected) => Reply::HELLO_FIRST,
            (Mail { .. }, Phase::Addressing(_) | Phase::Chunking(_) | Phase::Authenticating(_)) => {
                Reply::NESTED_MAIL
            }
            (Mail { parameters, .. }, Phase::Greeted)
                if parameters.size > Some(self.policy.max_message_size) =>
            {
                Reply::too_large(self.policy.max_message_size)
            }
            (Mail { sender: Some(sender), parameters }, Phase::Greeted)
                if !parameters.smtp_utf8 && !sender.as_str().is_ascii() =>
            {
                needs_smtp_utf8("sender")
            }
            (Mail { sender, parameters }, phase @ Phase::Greeted) => {
                *phase = Phase::Addressing(Transaction::begun(sender, parameters));
                Reply::SENDER_OK
            }

            (Rcpt(_) | Data, Phase::Connected) => Reply::HELLO_FIRST,
            (Rcpt(_) | Data, Phase::Chunking(_)) => Reply::CHUNKS_BEGUN,
            (Rcpt(_) | Data, Phase::Greeted | Phase::Authenticating(_)) => Reply::MAIL_FIRST,
            (Rcpt(recipient), Phase::Addressing(Transaction { envelope, .. })) => {
                if !envelope.smtp_utf8 && !recipient.address.as_str().is_ascii() {
                    needs_smtp_utf8("recipient")
                } else if envelope.recipients.contains(&recipient.address) {
                    // Named twice, it still gets the message once, and what was wished first holds.
                    Reply::RECIPIENT_OK
                } else if envelope.recipients.len() >= self.policy.max_recipients {
                    Reply::too_many_recipients(self.policy.max_recipients)
                } else {
                    envelope.add_recipient(recipient);
                    Reply::RECIPIENT_OK
                }
            }
            (Data, Phase::Addressing(transaction)) => {
                if transaction.envelope.recipients.is_empty() {
                    Reply::RECIPIENT_FIRST
                } else if transaction.binary {
                    Reply::BINARY_NEEDS_CHUNKS
                } else {
                    let transaction = std::mem::take(transaction);
                    self.phase = Phase::Greeted;
                    return Step::ReadBody(transaction);
                }
            }
        };
        Step::Reply(reply)
    }

    /// The answer to EHLO: what this client is offered. Everything offered is listed here, and nowhere else.
    fn extensions(&self) -> Reply {
        let Policy { hostname, max_message_size, max_recipients, .. } = &*self.policy;
        let starttls = if self.offers_starttls() { "STARTTLS\n" } else { "" };
        let auth = if self.offers_auth() { "AUTH PLAIN LOGIN\n" } else { "" };
        let list = format!(
            "{hostname}\nPIPELINING\nSIZE {max_message_size}\n8BITMIME\nBINARYMIME\nCHUNKING\nSMTPUTF8\n\
             ENHANCEDSTATUSCODES\nDSN\n{starttls}{auth}LIMITS RCPTMAX={max_recipients}"
        );
        Reply::plain(250, list)
    }

    /// Counts, and ends what goes on for too long without a message.
    fn within_limits(&mut self, step: Step) -> Step {
        self.commands += 1;
        let commands_max = if self.is_stranger() {
            STRANGER_COMMANDS_MAX
        } else {
            COMMANDS_MAX.saturating_add(self.policy.max_recipients)
        };
        let reply = match &step {
            Step::Reply(reply) | Step::Refuse(reply) => Some(reply),
            Step::ReadChunk(Chunk { fate: ChunkFate::Discard(reply), .. }) => Some(reply),
            Step::ReadChunk(_)
            | Step::StartTls(_)
            | Step::Verify(_)
            | Step::ReadBody(_)
            | Step::Close(_) => None,
        };
        if reply.is_some_and(Reply::is_protocol_error) {
            self.faults += 1;
        }
        match step {
            Step::Reply(_) | Step::Refuse(_) | Step::ReadChunk(_) if self.faults >= FAULTS_MAX => {
                Step::Close(Reply::TOO_MANY_ERRORS)
            }
            Step::Reply(_) | Step::Refuse(_) | Step::ReadChunk(_)
                if self.commands >= commands_max =>
            {
                Step::Close(Reply::TOO_MANY_COMMANDS)
            }
            Step::Reply(_)
            | Step::Refuse(_)
            | Step::StartTls(_)
            | Step::Verify(_)
            | Step::ReadChunk(_)
            | Step::ReadBody(_)
            | Step::Close(_) => step,
        }
    }
}

fn is_http_octets(front: &[u8]) -> bool {
    let start = front.get(..64).unwrap_or(front);
    is_http(&String::from_utf8_lossy(start))
}

fn needs_smtp_utf8(who: &str) -> Reply {
    let text = format!("The {who} is not ASCII: say SMTPUTF8 after the address of MAIL");
    Reply::new(553, Enhanced(6, 7), text)
}

#[cfg(test)]
mod tests;
