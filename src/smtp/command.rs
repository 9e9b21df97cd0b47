//! One command line as a type, or what is wrong with it.

use crate::message::{Address, RecipientDsn};

use super::auth::Mechanism;
use super::parameters::{self, MailParameters};
use super::path::{self, BadPath};
use super::reply::{Enhanced, Reply};

/// The longest name that EHLO and HELO take: that of a domain.
const NAME_MAX: usize = 255;

/// A command of RFC 5321.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command<'a> {
    /// The client's name is printable ASCII; nothing depends on it.
    Ehlo(&'a str),
    /// As EHLO, of an old client.
    Helo(&'a str),
    Mail {
        /// `None` is the null reverse path `<>`.
        sender: Option<Address>,
        parameters: MailParameters,
    },
    /// With what is wished for this recipient (RFC 3461).
    Rcpt(RecipientDsn),
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    StartTls,
    Auth {
        /// `None`: one that is not known here.
        mechanism: Option<Mechanism>,
        /// The initial response (RFC 4954 §4), in base64 as it came; `=` is an empty one.
        initial: Option<&'a str>,
    },
    /// RFC 3030. What follows on the wire is not commands.
    Bdat {
        /// Octets of the chunk.
        size: u64,
        /// It is the last one of the message.
        last: bool,
    },
}

/// Why a line is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A control character: NUL, escape, a CR or tab within the line.
    ControlCharacter,
    NotUtf8,
    UnknownCommand,
    /// An HTTP request line or a header field.
    Http,
    /// EHLO or HELO without a name, or with one that is not printable ASCII.
    BadName,
    /// A command that takes no argument has one.
    UnexpectedArgument,
    /// MAIL, but not `MAIL FROM:<address>`.
    MailForm,
    /// RCPT, but not `RCPT TO:<address>`.
    RcptForm,
    BadSender,
    BadRecipient,
    /// `RCPT TO:<postmaster>`: valid, but there is nobody here.
    BarePostmaster,
    BadParameter,
    BadSize,
    BadBody,
    BadRet,
    BadEnvelopeId,
    BadNotify,
    BadOriginalRecipient,
    UnknownParameter(String),
    /// AUTH without a mechanism, or with more than an initial response.
    AuthForm,
    /// BDAT whose octets cannot be counted: nobody knows where commands begin again.
    BdatForm,
}

impl<'a> Command<'a> {
    /// Reads a line that its CRLF has been taken from.
    pub fn parse(line: &'a [u8]) -> Result<Self, Fault> {
        // RFC 5321 §4.1.1 asks for tolerance of white space before the CRLF, and for that only.
        let line = without_trailing_blanks(line);
        if line.iter().any(u8::is_ascii_control) {
            return Err(Fault::ControlCharacter);
        }
        let line = str::from_utf8(line).map_err(|_| Fault::NotUtf8)?;
        let (verb, argument) = match line.split_once(' ') {
            Some((verb, argument)) => (verb, argument.trim_start_matches(' ')),
            None => (line, ""),
        };
        let Some(verb) = Verb::parse(verb) else {
            return Err(if is_http(line) { Fault::Http } else { Fault::UnknownCommand });
        };
        match verb {
            Verb::Ehlo => name(argument).map(Self::Ehlo),
            Verb::Helo => name(argument).map(Self::Helo),
            Verb::Mail => mail(argument),
            Verb::Rcpt => rcpt(argument),
            Verb::Data => bare(argument, Self::Data),
            Verb::Rset => bare(argument, Self::Rset),
            Verb::Quit => bare(argument, Self::Quit),
            Verb::Noop => Ok(Self::Noop),
            Verb::Vrfy => Ok(Self::Vrfy),
            Verb::Expn => Ok(Self::Expn),
            Verb::Help => Ok(Self::Help),
            Verb::Auth => auth(argument),
            Verb::StartTls => bare(argument, Self::StartTls),
            Verb::Bdat => bdat(argument),
        }
    }
}

#[derive(Clone, Copy)]
enum Verb {
    Ehlo,
    Helo,
    Mail,
    Rcpt,
    Data,
    Rset,
    Noop,
    Quit,
    Vrfy,
    Expn,
    Help,
    Auth,
    StartTls,
    Bdat,
}

impl Verb {
    /// In any case; the commonest first.
    fn parse(word: &str) -> Option<Self> {
        const VERBS: [(&str, Verb); 14] = [
            ("RCPT", Verb::Rcpt),
            ("MAIL", Verb::Mail),
            ("DATA", Verb::Data),
            ("RSET", Verb::Rset),
            ("NOOP", Verb::Noop),
            ("QUIT", Verb::Quit),
            ("EHLO", Verb::Ehlo),
            ("HELO", Verb::Helo),
            ("VRFY", Verb::Vrfy),
            ("EXPN", Verb::Expn),
            ("HELP", Verb::Help),
            ("AUTH", Verb::Auth),
            ("STARTTLS", Verb::StartTls),
            ("BDAT", Verb::Bdat),
        ];
        VERBS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, verb)| *verb)
    }
}

/// True when a line is a part of an HTTP request, so that neither a browser nor a webhook can be made to send mail
/// by what they put into a body or a header.
pub(super) fn is_http(line: &str) -> bool {
    const METHODS: [&str; 10] =
        ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH", "CONNECT", "TRACE", "PRI"];
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let is_field_name = |name: &str| {
        !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    (!rest.is_empty() && METHODS.iter().any(|method| word.eq_ignore_ascii_case(method)))
        || word.split_once(':').is_some_and(|(name, _)| is_field_name(name))
}

fn name(argument: &str) -> Result<&str, Fault> {
    let reads = (1..=NAME_MAX).contains(&argument.len()) && argument.is_ascii();
    if reads { Ok(argument) } else { Err(Fault::BadName) }
}

fn bare<'a>(argument: &str, command: Command<'a>) -> Result<Command<'a>, Fault> {
    if argument.is_empty() { Ok(command) } else { Err(Fault::UnexpectedArgument) }
}

fn auth(argument: &str) -> Result<Command<'_>, Fault> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let (mechanism, initial) = (words.next().ok_or(Fault::AuthForm)?, words.next());
    if words.next().is_some() {
        return Err(Fault::AuthForm);
    }
    Ok(Command::Auth { mechanism: Mechanism::from_name(mechanism), initial })
}

fn bdat(argument: &str) -> Result<Command<'static>, Fault> {
    let mut words = argument.split(' ').filter(|word| !word.is_empty());
    let size = words.next().and_then(parameters::number).ok_or(Fault::BdatForm)?;
    let last = match words.next() {
        None => false,
        Some(word) if word.eq_ignore_ascii_case("LAST") => true,
        Some(_) => return Err(Fault::BdatForm),
    };
    if words.next().is_some() { Err(Fault::BdatForm) } else { Ok(Command::Bdat { size, last }) }
}

fn mail(argument: &str) -> Result<Command<'static>, Fault> {
    let (mailbox, rest) = path_after("FROM:", argument, &Fault::MailForm, &Fault::BadSender)?;
    let sender = match mailbox {
        "" => None,
        mailbox => Some(mailbox.parse().map_err(|_| Fault::BadSender)?),
    };
    Ok(Command::Mail { sender, parameters: MailParameters::parse(rest)? })
}

fn rcpt(argument: &str) -> Result<Command<'static>, Fault> {
    let (mailbox, rest) = path_after("TO:", argument, &Fault::RcptForm, &Fault::BadRecipient)?;
    if mailbox.eq_ignore_ascii_case("postmaster") {
        return Err(Fault::BarePostmaster);
    }
    let recipient = mailbox.parse().map_err(|_| Fault::BadRecipient)?;
    Ok(Command::Rcpt(parameters::of_recipient(recipient, rest)?))
}

/// The path after `FROM:` or `TO:`, and the rest. Blanks after the colon are common and harmless.
fn path_after<'a>(
    keyword: &str,
    argument: &'a str,
    bad_form: &Fault,
    bad_address: &Fault,
) -> Result<(&'a str, &'a str), Fault> {
    let path = match argument.split_at_checked(keyword.len()) {
        Some((start, path)) if start.eq_ignore_ascii_case(keyword) => path.trim_start_matches(' '),
        Some(_) | None => return Err(bad_form.clone()),
    };
    path::split(path).map_err(|fault| match fault {
        BadPath::Brackets => bad_form.clone(),
        BadPath::Content => bad_address.clone(),
    })
}

/// `trim_ascii_end` would take a CR away as well, which must stay an error.
fn without_trailing_blanks(mut line: &[u8]) -> &[u8] {
    while let [front @ .., b' ' | b'\t'] = line {
        line = front;
    }
    line
}

impl From<Fault> for Reply {
    fn from(fault: Fault) -> Self {
        let (code, enhanced, text) = match fault {
            Fault::ControlCharacter => {
                (500, Enhanced(5, 2), "A command must not contain control characters")
            }
            Fault::NotUtf8 => {
                (500, Enhanced(5, 2), "A command must be ASCII, or UTF-8 in addresses")
            }
            Fault::UnknownCommand => (500, Enhanced(5, 2), "Unknown command; HELP lists them"),
            Fault::Http => return Self::HTTP_SPOKEN,
            Fault::BadName => {
                (501, Enhanced(5, 4), "Say EHLO with the name of your host, in ASCII")
            }
            Fault::UnexpectedArgument => (501, Enhanced(5, 4), "This command takes no argument"),
            Fault::MailForm => (
                501,
                Enhanced(1, 7),
                "Say MAIL FROM:<you@example.org>, with the address in angle brackets",
            ),
            Fault::RcptForm => (
                501,
                Enhanced(1, 3),
                "Say RCPT TO:<them@example.net>, with the address in angle brackets",
            ),
            Fault::BadSender => {
                (501, Enhanced(1, 7), "The sender is not an address of the form local@domain")
            }
            Fault::BadRecipient => {
                (501, Enhanced(1, 3), "The recipient is not an address of the form local@domain")
            }
            Fault::BarePostmaster => (
                550,
                Enhanced(1, 1),
                "There are no mailboxes here: write postmaster@domain in full",
            ),
            Fault::BadParameter => (501, Enhanced(5, 4), "A parameter is malformed or given twice"),
            Fault::BadSize => (501, Enhanced(5, 4), "SIZE= takes a number of at most 15 digits"),
            Fault::BadBody => (501, Enhanced(5, 4), "BODY= takes 7BIT, 8BITMIME or BINARYMIME"),
            Fault::BadRet => (501, Enhanced(5, 4), "RET= takes FULL or HDRS"),
            Fault::BadEnvelopeId => (
                501,
                Enhanced(5, 4),
                "ENVID= takes at most 100 printable ASCII characters, written as xtext (RFC 3461)",
            ),
            Fault::BadNotify => (
                501,
                Enhanced(5, 4),
                "NOTIFY= takes NEVER alone, or SUCCESS, FAILURE and DELAY with commas between",
            ),
            Fault::BadOriginalRecipient => (
                501,
                Enhanced(5, 4),
                "ORCPT= takes a type and an address, as in rfc822;them@example.net, in xtext (RFC 3461)",
            ),
            Fault::AuthForm => (
                501,
                Enhanced(5, 4),
                "Say AUTH PLAIN or AUTH LOGIN, with at most an initial response after it",
            ),
            Fault::BdatForm => (
                501,
                Enhanced(5, 4),
                "Say BDAT number or BDAT number LAST; closing, because the content cannot be told from commands",
            ),
            Fault::UnknownParameter(keyword) => {
                let text = format!("The parameter {keyword} is not supported: EHLO lists what is");
                return Self::new(555, Enhanced(5, 4), text);
            }
        };
        Self::new(code, enhanced, text)
    }
}

#[cfg(test)]
mod tests;
