//! AUTH in the dialogue (RFC 4954), and who may send as whom: the one place that guards against being an open relay.

use crate::config::AuthMode;
use crate::message::{Address, senders_of};

use super::{Phase, Session, Step, TlsRule};
use crate::smtp::auth::{Authentication, Authenticator, Exchange, Identity, Mechanism, Progress};
use crate::smtp::input::Line;
use crate::smtp::reply::Reply;

/// Failed logins on one connection.
const FAILURES_MAX: u8 = 3;

impl Session {
    /// True while the next line is an answer within AUTH, which may be longer than a command.
    pub fn awaits_answer(&self) -> bool {
        matches!(self.phase, Phase::Authenticating(_))
    }

    /// Tells what came of [`Step::Verify`]: the answer to AUTH, and after too many failures the last word, with which
    /// the connection is to be closed.
    pub fn authenticated(&mut self, result: Authentication) -> (Reply, Option<Reply>) {
        self.phase = Phase::Greeted;
        let reply = match result {
            Authentication::Accepted(identity) => {
                self.identity = Some(identity);
                return (Reply::AUTHENTICATED, None);
            }
            Authentication::Wrong if self.policy.auth == AuthMode::Provider => Reply::WRONG_ACCOUNT,
            Authentication::Wrong => Reply::WRONG_CREDENTIALS,
            Authentication::Unavailable(reason) => Reply::cannot_authenticate(&reason),
        };
        self.failed_logins += 1;
        let farewell = (self.failed_logins >= FAILURES_MAX).then_some(Reply::TOO_MANY_LOGINS);
        (reply, farewell)
    }

    /// True when the client has logged in as a user who may not any more. A transaction that it has begun comes to its end.
    pub fn has_lost_its_user(&self, authenticator: &Authenticator) -> bool {
        let user = self.identity.as_ref().and_then(|identity| identity.user.as_ref());
        user.is_some_and(|user| !self.in_transaction() && authenticator.has_lost(user))
    }

    /// Whether header fields that give the provider orders count in this client's messages.
    pub fn may_steer(&self) -> bool {
        match &self.identity {
            Some(Identity { user: Some(user), .. }) => user.provider_options,
            Some(Identity { account: Some(_), .. }) => true,
            Some(_) | None => self.peer.trusted,
        }
    }

    /// Why this content must not be sent by the user who hands it in: From or Sender names somebody else.
    pub fn refusal_of_content(&self, raw: &[u8]) -> Option<Reply> {
        let user = self.identity.as_ref()?.user.as_ref()?;
        if user.senders.is_empty() {
            return None;
        }
        match senders_of(raw) {
            Err(_) => Some(Reply::UNREADABLE_FROM),
            Ok(senders) => {
                let all_allowed = senders.iter().all(|sender| user.may_send_as(sender));
                (!all_allowed).then_some(Reply::NOT_YOUR_FROM)
            }
        }
    }

    /// Whether EHLO lists AUTH for this client, and AUTH is taken from it.
    ///
    /// Only in the form `AUTH PLAIN LOGIN`. The form `AUTH=PLAIN LOGIN` of drafts before RFC 2554 was for clients of the
    /// nineties, which could not speak a TLS of today either; those that live read the standard one.
    pub(super) fn offers_auth(&self) -> bool {
        let wanted = match self.policy.auth {
            AuthMode::Off => false,
            AuthMode::Auto => self.policy.has_users || self.peer.trusted,
            AuthMode::Required | AuthMode::Provider => true,
        };
        wanted && !self.tls_is_missing() && (self.peer.trusted || self.peer.secure)
    }

    /// AUTH, in whatever phase it came.
    pub(super) fn begin_auth(
        &mut self,
        mechanism: Option<Mechanism>,
        initial: Option<&str>,
    ) -> Step {
        let refusal = match self.phase {
            Phase::Connected => Some(Reply::HELLO_FIRST),
            // Within an exchange it would have been an answer.
            Phase::Addressing(_) | Phase::Chunking(_) | Phase::Authenticating(_) => {
                Some(Reply::AUTH_IN_TRANSACTION)
            }
            Phase::Greeted if self.identity.is_some() => Some(Reply::AUTH_TWICE),
            Phase::Greeted if !self.offers_auth() => Some(self.why_no_auth()),
            Phase::Greeted => None,
        };
        match (refusal, mechanism) {
            (Some(reply), _) => Step::Reply(reply),
            (None, None) => Step::Reply(Reply::UNKNOWN_MECHANISM),
            (None, Some(mechanism)) => self.proceed(Exchange::begin(mechanism, initial)),
        }
    }

    /// The exchange that the next line belongs to. Whatever the line is, the exchange is over unless it goes on.
    pub(super) fn take_exchange(&mut self) -> Option<Exchange> {
        match std::mem::replace(&mut self.phase, Phase::Greeted) {
            Phase::Authenticating(exchange) => Some(exchange),
            other => {
                self.phase = other;
                None
            }
        }
    }

    /// An answer is never a command, whatever it looks like.
    pub(super) fn answer(&mut self, exchange: Exchange, line: Line<'_>) -> Step {
        match line {
            Line::Command(line) => self.proceed(exchange.answer(line)),
            Line::TooLong(_) => Step::Reply(Reply::AUTH_LINE_TOO_LONG),
            Line::BareLineFeed(_) => Step::Reply(Reply::AUTH_BARE_LINE_FEED),
            Line::TlsHello => Step::Close(Reply::TLS_SPOKEN),
        }
    }

    fn proceed(&mut self, progress: Progress) -> Step {
        match progress {
            Progress::Challenge(reply, exchange) => {
                self.phase = Phase::Authenticating(exchange);
                Step::Reply(reply)
            }
            Progress::Complete(credentials) => Step::Verify(credentials),
            Progress::Ended(reply) => Step::Reply(reply),
        }
    }

    /// Why this client may not begin a transaction with this sender.
    pub(super) fn refusal_of_mail(&self, sender: Option<&Address>) -> Option<Step> {
        if self.tls_is_missing() {
            return Some(Step::Reply(Reply::TLS_FIRST));
        }
        if !self.may_send() {
            return Some(Step::Refuse(self.why_not_send()));
        }
        let user = self.identity.as_ref().and_then(|identity| identity.user.as_ref());
        let foreign = user.zip(sender).is_some_and(|(user, sender)| !user.may_send_as(sender));
        foreign.then_some(Step::Refuse(Reply::NOT_YOUR_SENDER))
    }

    /// Whether the client may hand in mail at all.
    fn may_send(&self) -> bool {
        let user = self.identity.as_ref().is_some_and(|identity| identity.user.is_some());
        let account = self.identity.as_ref().is_some_and(|identity| identity.account.is_some());
        match self.policy.auth {
            AuthMode::Auto => self.peer.trusted || user,
            AuthMode::Required => user,
            AuthMode::Provider => account,
            AuthMode::Off => self.peer.trusted,
        }
    }

    /// What to do about it: authenticate, where that would help.
    fn why_not_send(&self) -> Reply {
        let auth_helps = match self.policy.auth {
            AuthMode::Required | AuthMode::Provider => true,
            AuthMode::Auto => self.policy.has_users,
            AuthMode::Off => false,
        };
        match self.policy.tls {
            _ if !auth_helps => Reply::STRANGER,
            _ if self.offers_auth() => Reply::AUTHENTICATE_FIRST,
            TlsRule::Offered | TlsRule::Required => Reply::ENCRYPT_AND_AUTHENTICATE_FIRST,
            TlsRule::Absent => Reply::CERTIFICATE_AND_AUTHENTICATE_FIRST,
        }
    }

    /// What to do when AUTH comes and is not offered.
    fn why_no_auth(&self) -> Reply {
        match (self.policy.auth, self.policy.tls) {
            _ if self.tls_is_missing() => Reply::TLS_FIRST,
            (AuthMode::Off, _) => Reply::NO_AUTH,
            // Of strangers only: trusted peers are offered it in every other mode.
            (AuthMode::Auto, _) if !self.policy.has_users => Reply::AUTH_WITHOUT_USERS,
            (AuthMode::Auto | AuthMode::Required | AuthMode::Provider, TlsRule::Absent) => {
                Reply::AUTH_WITHOUT_TLS
            }
            (
                AuthMode::Auto | AuthMode::Required | AuthMode::Provider,
                TlsRule::Offered | TlsRule::Required,
            ) => Reply::ENCRYPTION_NEEDED,
        }
    }
}

#[cfg(test)]
mod tests;
