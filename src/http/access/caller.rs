//! Who asks: found once for each request, and handed to its handler.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use aws_lc_rs::constant_time;
use aws_lc_rs::error::Unspecified;
use axum::http::header::{AUTHORIZATION, HeaderName};
use axum::http::{HeaderMap, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::time::Instant;

use super::guesses::{Guesser, Guesses};
use super::sessions::{SessionName, Sessions};
use super::{Access, Denied, cookie, host};
use crate::stranger::network;

/// Carries the token of a form where a script of ours asks.
const X_CSRF_TOKEN: HeaderName = HeaderName::from_static("x-csrf-token");

/// Who asks. Every handler finds it among the extensions of its request.
#[derive(Clone, Debug)]
pub(in crate::http) struct Caller {
    who: Who,
    /// Whom things are counted for that concern an address.
    client: IpAddr,
    csrf: String,
}

/// Whom things are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http) enum Account {
    /// Whoever has the token.
    Token,
    /// Whoever has logged in there.
    Session(SessionName),
    /// An address (IPv6: its network of 64 bits).
    Address(IpAddr),
}

/// What a caller is known as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::http) enum Who {
    /// Nobody known, and why.
    Stranger(Denied),
    /// Somebody of a trusted network, where no token is set.
    Trusted,
    /// Whoever has sent the token itself.
    Token,
    /// Somebody who has logged in.
    Session(SessionName),
}

impl Caller {
    pub(in crate::http) fn who(&self) -> &Who {
        &self.who
    }

    /// Whether a session is still open that this caller came with. What is no session has no end.
    pub(in crate::http) fn is_still_here(&self, memory: &Memory, now: Instant) -> bool {
        match &self.who {
            Who::Session(name) => memory.sessions.lives(*name, now),
            Who::Trusted | Who::Token => true,
            Who::Stranger(_) => false,
        }
    }

    /// Whose failures count, and whose rate where nothing better is known.
    pub(in crate::http) fn client(&self) -> IpAddr {
        self.client
    }

    /// Whom its mail is counted for. What comes with the token is one program or more of one owner; the people at the page
    /// have limits of their own, so that a program that is too fast does not stop them.
    pub(in crate::http) fn account(&self) -> Account {
        match &self.who {
            Who::Token => Account::Token,
            Who::Session(name) => Account::Session(*name),
            Who::Trusted | Who::Stranger(_) => Account::Address(network(self.client)),
        }
    }

    /// Whether this caller may use an endpoint that sends, changes or shows mail.
    pub(in crate::http) fn check(&self) -> Result<(), &Denied> {
        match &self.who {
            Who::Stranger(denied) => Err(denied),
            Who::Trusted | Who::Token | Who::Session(_) => Ok(()),
        }
    }

    /// What every form of a page has in its hidden field `csrf`.
    pub(in crate::http) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// True for the token of this caller's forms. A stranger has none.
    pub(in crate::http) fn has_csrf(&self, presented: &str) -> bool {
        let (ours, theirs) = (self.csrf().as_bytes(), presented.as_bytes());
        !ours.is_empty() && constant_time::verify_slices_are_equal(ours, theirs).is_ok()
    }

    /// The same, in the field that a script of ours sends.
    pub(in crate::http) fn has_csrf_field(&self, headers: &HeaderMap) -> bool {
        let field = headers.get(X_CSRF_TOKEN).and_then(|value| value.to_str().ok());
        field.is_some_and(|presented| self.has_csrf(presented))
    }

    /// True when there is a session to end: a page shows the button for it.
    pub(in crate::http) fn may_log_out(&self) -> bool {
        matches!(self.who, Who::Session(_))
    }
}

#[cfg(test)]
impl Caller {
    /// Somebody of this machine.
    pub(in crate::http) fn trusted() -> Self {
        let client = IpAddr::from([127, 0, 0, 1]);
        Self { who: Who::Trusted, client, csrf: "csrf".to_owned() }
    }
}

/// What is remembered from one request to the next.
#[derive(Debug)]
pub(in crate::http) struct Memory {
    pub(in crate::http) sessions: Sessions,
    pub(in crate::http) guesses: Guesses,
}

impl Memory {
    /// Nobody is known. An error means that the system has no randomness.
    pub(in crate::http) fn new() -> Result<Self, Unspecified> {
        Ok(Self { sessions: Sessions::new()?, guesses: Guesses::default() })
    }
}

/// What a request says about itself.
pub(in crate::http) struct Asking<'a> {
    /// The TCP peer.
    pub(in crate::http) peer: IpAddr,
    pub(in crate::http) uri: &'a Uri,
    pub(in crate::http) headers: &'a HeaderMap,
    pub(in crate::http) now: Instant,
}

impl fmt::Debug for Asking<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl Access {
    /// Finds out who asks. A wrong token is counted.
    pub(in crate::http) fn caller(&self, memory: &Memory, asking: &Asking<'_>) -> Caller {
        let client = host::client(asking.peer, asking.headers, &self.trusted_networks);
        let who = if self.token.is_empty() {
            match self.check_network(asking.peer, asking.uri, asking.headers) {
                Ok(()) => Who::Trusted,
                Err(denied) => Who::Stranger(denied),
            }
        } else {
            self.holder(memory, Guesser::new(asking.peer, client), asking)
        };
        let csrf = match &who {
            Who::Stranger(_) => String::new(),
            Who::Trusted => memory.sessions.shared_form_token("trusted"),
            Who::Token => memory.sessions.shared_form_token("token"),
            Who::Session(name) => memory.sessions.form_token(*name),
        };
        Caller { who, client, csrf }
    }

    /// The token itself, or a session that was begun with it. A session counts also where too many tokens were wrong:
    /// a guesser behind the same address must not log anybody out.
    fn holder(&self, memory: &Memory, guesser: Guesser, asking: &Asking<'_>) -> Who {
        let presented = presented_token(asking.headers);
        let wait = presented.as_ref().and_then(|_| memory.guesses.wait(guesser, asking.now));
        if let Some(token) = presented.as_deref()
            && wait.is_none()
            && self.token.matches(token)
        {
            return Who::Token;
        }
        let session = cookie::presented(asking.headers)
            .find_map(|id| memory.sessions.find(id, self.token.expose(), asking.now));
        match (session, presented, wait) {
            (Some(name), _, _) => Who::Session(name),
            (None, None, _) => Who::Stranger(Denied::TokenMissing),
            (None, Some(_), Some(seconds)) => Who::Stranger(Denied::TooManyGuesses(seconds)),
            (None, Some(token), None) => {
                let delay = memory.guesses.failed(guesser, &token, asking.now);
                Who::Stranger(Denied::TokenWrong(delay))
            }
        }
    }

    /// Compares the token of a login form. Right: the id of a new session.
    pub(in crate::http) fn log_in(
        &self,
        memory: &Memory,
        guesser: Guesser,
        token: &str,
        now: Instant,
    ) -> Result<String, LoginRefused> {
        if let Some(seconds) = memory.guesses.wait(guesser, now) {
            return Err(LoginRefused::TooManyGuesses(seconds));
        }
        if !self.token.is_empty() && self.token.matches(token) {
            return Ok(memory.sessions.begin(token, now));
        }
        Err(LoginRefused::Wrong(memory.guesses.failed(guesser, token, now)))
    }
}

/// Why a login form did not begin a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum LoginRefused {
    /// Not the token; the answer is held back for so long.
    Wrong(Duration),
    /// Nothing was compared, and nothing will be for so many seconds.
    TooManyGuesses(u64),
}

/// The token of a Bearer credential, or the password of a Basic one: programs have an option for that.
fn presented_token(headers: &HeaderMap) -> Option<String> {
    let credential = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, value) = credential.split_once(' ')?;
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.to_owned());
    }
    if scheme.eq_ignore_ascii_case("basic") {
        let pair = String::from_utf8(STANDARD.decode(value).ok()?).ok()?;
        return pair.split_once(':').map(|(_, password)| password.to_owned());
    }
    None
}
