//! STARTTLS in the dialogue (RFC 3207).

use super::{Peer, Reply, Session, Step, TlsRule};

impl Session {
    /// TLS is required and has not begun: MAIL and AUTH are answered by [`Reply::TLS_FIRST`].
    pub(super) fn tls_is_missing(&self) -> bool {
        match self.policy.tls {
            TlsRule::Required => !self.peer.secure,
            TlsRule::Absent | TlsRule::Offered => false,
        }
    }

    /// Whether EHLO lists STARTTLS: never in a session that is secure already (RFC 3207 §4.2).
    pub(super) fn offers_starttls(&self) -> bool {
        !self.peer.secure && self.policy.tls != TlsRule::Absent
    }

    /// The answer to STARTTLS.
    ///
    /// Before EHLO and within a transaction as well: RFC 3207 forbids neither, and a client that is refused may go on
    /// without encryption. Nothing of what it has said counts after the handshake, so there is nothing to protect.
    pub(super) fn start_tls(&self) -> Step {
        if self.peer.secure {
            return Step::Reply(Reply::TLS_ACTIVE);
        }
        match self.policy.tls {
            TlsRule::Absent => Step::Reply(Reply::NO_STARTTLS),
            TlsRule::Offered | TlsRule::Required => Step::StartTls(Reply::READY_FOR_TLS),
        }
    }

    /// The session over TLS, after the handshake that [`Step::StartTls`] asked for.
    ///
    /// It knows nothing of what was said before: not the name in EHLO, not who the client had proved to be, no
    /// transaction (RFC 3207 §4.2). Only what is counted against the client goes on.
    #[must_use]
    pub fn over_tls(self) -> Self {
        let Self { policy, peer, faults, commands, failed_logins, .. } = self;
        Self { faults, commands, failed_logins, ..Self::new(policy, Peer { secure: true, ..peer }) }
    }
}
