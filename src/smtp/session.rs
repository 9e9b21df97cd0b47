//! The dialogue as a state machine: what comes next, decided without a socket or a clock.

use std::net::IpAddr;
use std::sync::Arc;

use crate::message::Envelope;

use super::command::{Command, Fault, Unoffered, is_http};
use super::input::Line;
use super::reply::{Enhanced, Reply};

/// Protocol errors that a connection may make between two accepted messages.
const FAULTS_MAX: u32 = 20;

/// Commands between two accepted messages, accepted recipients not counted. Enough for a pool that keeps its connections
/// alive by NOOP over days.
const COMMANDS_MAX: u32 = 10_000;

/// What holds for every session of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The name in the greeting.
    pub hostname: String,
    /// The largest message, octets.
    pub max_message_size: u64,
    /// Recipients of one message.
    pub max_recipients: usize,
}

/// The other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    /// Its address is in one of the trusted networks.
    pub trusted: bool,
}

impl Peer {
    /// Whether it may hand in mail: the one place that guards against being an open relay.
    fn may_send(&self) -> bool {
        self.trusted
    }
}

/// What the connection must do next.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    Reply(Reply),
    /// Reply, and tell the operator: a stranger wants to send.
    Refuse(Reply),
    /// Say [`Reply::GO_AHEAD`], read the content, hand both over, then tell what came of it.
    ReadBody(Transaction),
    /// Reply and close.
    Close(Reply),
}

/// A transaction whose content is still to come.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub envelope: Envelope,
    /// The size that the client announced, octets: not more than the limit, and only a hint.
    pub announced_size: Option<u64>,
}

/// How far the dialogue has come. A transaction exists only after `MAIL`.
#[derive(Debug)]
enum Phase {
    Connected,
    Greeted,
    Addressing(Transaction),
}

/// One client's dialogue.
#[derive(Debug)]
pub struct Session {
    policy: Arc<Policy>,
    peer: Peer,
    phase: Phase,
    faults: u32,
    commands: u32,
}

impl Session {
    /// A session that has just begun.
    pub fn new(policy: Arc<Policy>, peer: Peer) -> Self {
        Self { policy, peer, phase: Phase::Connected, faults: 0, commands: 0 }
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
        matches!(self.phase, Phase::Addressing(_))
    }

    /// Tells that a message was taken over: the client is in earnest, and its errors are forgiven.
    pub fn message_accepted(&mut self) {
        self.faults = 0;
        self.commands = 0;
    }

    /// Takes the next line and says what to do.
    pub fn handle(&mut self, line: Line<'_>) -> Step {
        let step = match line {
            Line::Command(line) => match Command::parse(line) {
                Ok(command) => self.obey(command),
                Err(Fault::Http) => Step::Close(Reply::HTTP_SPOKEN),
                Err(fault) => Step::Reply(fault.into()),
            },
            Line::TlsHello => Step::Close(Reply::TLS_SPOKEN),
            Line::TooLong(front) | Line::BareLineFeed(front) if is_http_octets(front) => {
                Step::Close(Reply::HTTP_SPOKEN)
            }
            Line::TooLong(_) => Step::Reply(Reply::LINE_TOO_LONG),
            Line::BareLineFeed(_) => Step::Reply(Reply::BARE_LINE_FEED),
        };
        self.within_limits(step)
    }

    fn obey(&mut self, command: Command<'_>) -> Step {
        use Command::*;

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
            (NotOffered(Unoffered::Bdat), _) => return Step::Close(unoffered(Unoffered::Bdat)),
            (NotOffered(which @ (Unoffered::Auth | Unoffered::StartTls)), _) => unoffered(which),

            (Mail { .. }, Phase::Connected) => Reply::HELLO_FIRST,
            (Mail { .. }, Phase::Addressing(_)) => Reply::NESTED_MAIL,
            (Mail { .. }, Phase::Greeted) if !self.peer.may_send() => {
                return Step::Refuse(Reply::STRANGER);
            }
            (Mail { size: Some(size), .. }, Phase::Greeted)
                if size > self.policy.max_message_size =>
            {
                Reply::too_large(self.policy.max_message_size)
            }
            (Mail { sender: Some(sender), smtp_utf8: false, .. }, Phase::Greeted)
                if !sender.as_str().is_ascii() =>
            {
                needs_smtp_utf8("sender")
            }
            (Mail { sender, size, smtp_utf8 }, phase @ Phase::Greeted) => {
                let envelope = Envelope { sender, recipients: Vec::new(), smtp_utf8 };
                *phase = Phase::Addressing(Transaction { envelope, announced_size: size });
                Reply::SENDER_OK
            }

            (Rcpt(_) | Data, Phase::Connected) => Reply::HELLO_FIRST,
            (Rcpt(_) | Data, Phase::Greeted) => Reply::MAIL_FIRST,
            (Rcpt(recipient), Phase::Addressing(Transaction { envelope, .. })) => {
                if !envelope.smtp_utf8 && !recipient.as_str().is_ascii() {
                    needs_smtp_utf8("recipient")
                } else if envelope.recipients.contains(&recipient) {
                    // Named twice, it still gets the message once.
                    Reply::RECIPIENT_OK
                } else if envelope.recipients.len() >= self.policy.max_recipients {
                    Reply::too_many_recipients(self.policy.max_recipients)
                } else {
                    envelope.recipients.push(recipient);
                    // Not one of the commands that come to nothing.
                    self.commands = self.commands.saturating_sub(1);
                    Reply::RECIPIENT_OK
                }
            }
            (Data, Phase::Addressing(transaction)) => {
                if transaction.envelope.recipients.is_empty() {
                    Reply::RECIPIENT_FIRST
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
        let Policy { hostname, max_message_size, max_recipients } = &*self.policy;
        let list = format!(
            "{hostname}\nPIPELINING\nSIZE {max_message_size}\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\n\
             LIMITS RCPTMAX={max_recipients}"
        );
        Reply::plain(250, list)
    }

    /// Counts, and ends what goes on for too long without a message.
    fn within_limits(&mut self, step: Step) -> Step {
        self.commands += 1;
        if let Step::Reply(reply) | Step::Refuse(reply) = &step
            && reply.is_protocol_error()
        {
            self.faults += 1;
        }
        match step {
            Step::Reply(_) | Step::Refuse(_) if self.faults >= FAULTS_MAX => {
                Step::Close(Reply::TOO_MANY_ERRORS)
            }
            Step::Reply(_) | Step::Refuse(_) if self.commands >= COMMANDS_MAX => {
                Step::Close(Reply::TOO_MANY_COMMANDS)
            }
            Step::Reply(_) | Step::Refuse(_) | Step::ReadBody(_) | Step::Close(_) => step,
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

fn unoffered(which: Unoffered) -> Reply {
    let text = match which {
        Unoffered::Auth => {
            "AUTH is not offered here: leave SMTP user and password empty in the app's settings"
        }
        Unoffered::StartTls => {
            "STARTTLS is not offered here: choose no encryption in the app's SMTP settings"
        }
        Unoffered::Bdat => "BDAT is not offered here: use DATA; closing the connection",
    };
    Reply::new(502, Enhanced(5, 1), text)
}

#[cfg(test)]
mod tests;
