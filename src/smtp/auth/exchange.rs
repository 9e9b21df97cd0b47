//! The mechanisms PLAIN (RFC 4616) and LOGIN, step by step.
//!
//! User names and passwords are UTF-8 and are compared octet by octet. SASLprep (RFC 4013), which would make different
//! spellings of one text equal, is not applied: hashes are made from the octets as well, and a client that normalises
//! differs from one that does not. Whoever uses a password outside ASCII writes it the same way in both places.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Credentials;
use crate::secret::Secret;
use crate::smtp::Reply;

/// The longest user name and the longest password, in octets. RFC 4616 §2 asks for 255; keys of providers are longer.
const PART_MAX: usize = 1024;

/// A mechanism that is offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    Plain,
    Login,
}

impl Mechanism {
    /// Finds it by its SASL name, in any case.
    pub fn from_name(name: &str) -> Option<Self> {
        [("PLAIN", Self::Plain), ("LOGIN", Self::Login)]
            .into_iter()
            .find_map(|(own, mechanism)| own.eq_ignore_ascii_case(name).then_some(mechanism))
    }
}

/// An AUTH command that waits for the client's next line.
#[derive(Debug)]
pub enum Exchange {
    /// PLAIN without an initial response.
    Plain,
    /// LOGIN, before the user name.
    LoginUsername,
    /// LOGIN, with the user name. Hidden from logs, because it may be the token of a provider.
    LoginPassword { username: Secret },
}

/// What follows a line of the exchange.
#[derive(Debug)]
pub enum Progress {
    /// 334, and the exchange goes on.
    Challenge(Reply, Exchange),
    /// All is said.
    Complete(Credentials),
    /// It has failed or was cancelled: the reply says why.
    Ended(Reply),
}

impl Exchange {
    /// Begins with what stands in the AUTH command (RFC 4954 §4). The initial response of LOGIN is the user name: many
    /// clients send it, though the mechanism was written for servers that ask first.
    pub fn begin(mechanism: Mechanism, initial: Option<&str>) -> Progress {
        let exchange = match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Login => Self::LoginUsername,
        };
        match initial {
            None => exchange.ask(),
            // An empty one, told from none.
            Some("=") => exchange.take(b""),
            Some(text) => exchange.take(text.as_bytes()),
        }
    }

    /// Takes the client's next line, without its CRLF.
    pub fn answer(self, line: &[u8]) -> Progress {
        match line.trim_ascii_end() {
            b"*" => Progress::Ended(Reply::AUTH_CANCELLED),
            line => self.take(line),
        }
    }

    fn ask(self) -> Progress {
        let challenge = match self {
            Self::Plain => Reply::ASK_CREDENTIALS,
            Self::LoginUsername => Reply::ASK_USERNAME,
            Self::LoginPassword { .. } => Reply::ASK_PASSWORD,
        };
        Progress::Challenge(challenge, self)
    }

    fn take(self, base64: &[u8]) -> Progress {
        self.read(base64).unwrap_or_else(Progress::Ended)
    }

    fn read(self, base64: &[u8]) -> Result<Progress, Reply> {
        let octets = STANDARD.decode(base64).map_err(|_| Reply::BAD_BASE64)?;
        let text = String::from_utf8(octets).map_err(|_| Reply::CREDENTIALS_NOT_UTF8)?;
        match self {
            Self::Plain => plain(&text).map(Progress::Complete),
            Self::LoginUsername => {
                let username = Secret::new(checked_name(&text)?);
                Ok(Self::LoginPassword { username }.ask())
            }
            Self::LoginPassword { username } => {
                let username = username.expose().to_owned();
                let password = Secret::new(checked_password(&text)?);
                Ok(Progress::Complete(Credentials { username, password }))
            }
        }
    }
}

/// `[authzid] NUL authcid NUL passwd` (RFC 4616 §2). Empty parts are let through: some apps insist on AUTH and are set up
/// without a password, and whether that is enough is not decided here.
fn plain(text: &str) -> Result<Credentials, Reply> {
    let mut parts = text.split('\0');
    let (Some(authzid), Some(authcid), Some(password), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Reply::BAD_PLAIN_FORM);
    };
    let username = checked_name(authcid)?.to_owned();
    if !authzid.is_empty() && authzid != username {
        return Err(Reply::ANOTHER_IDENTITY);
    }
    Ok(Credentials { username, password: Secret::new(checked_password(password)?) })
}

/// A user name is shown to operators, so it must not move their cursors.
fn checked_name(name: &str) -> Result<&str, Reply> {
    if name.len() > PART_MAX {
        Err(Reply::CREDENTIALS_TOO_LONG)
    } else if name.contains(char::is_control) {
        Err(Reply::BAD_CREDENTIALS)
    } else {
        Ok(name)
    }
}

fn checked_password(password: &str) -> Result<&str, Reply> {
    if password.len() > PART_MAX {
        Err(Reply::CREDENTIALS_TOO_LONG)
    } else if password.contains('\0') {
        // Some hashes end at it, and would take what stands before for the whole.
        Err(Reply::BAD_CREDENTIALS)
    } else {
        Ok(password)
    }
}

#[cfg(test)]
mod tests;
