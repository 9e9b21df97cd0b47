//! Who has logged in.
//!
//! A session is an entry here and an id at the browser, not a signed note: so logging out ends it wherever its cookie
//! was copied to, another token ends all, and a restart as well. Only who has the token can begin one.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::time::Instant;

/// How long a session lives without a request.
pub(in crate::http) const IDLE_MAX: Duration = Duration::from_hours(24);
/// How long it lives at all.
pub(in crate::http) const LIFE_MAX: Duration = Duration::from_hours(7 * 24);

/// Sessions at the same time. One more ends the one that was used the longest time ago.
const SESSIONS_MAX: usize = 256;

/// Octets of what makes an id, a name, a token for forms.
const OCTETS: usize = 32;

/// How long an id is, as text: Base64 without its padding.
pub(super) const ID_LENGTH: usize = (OCTETS * 8).div_ceil(6);

/// What a session is known by in here. Its id cannot be computed from it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::http) struct SessionName([u8; OCTETS]);

impl fmt::Debug for SessionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionName(***)")
    }
}

/// The sessions, and the key that all their secrets are made with. It is made at the start and never written down.
pub(in crate::http) struct Sessions {
    key: hmac::Key,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    /// How many were begun; each id is made of the next number.
    begun: u64,
    sessions: HashMap<SessionName, Session>,
}

struct Session {
    /// The token it was begun with, as [`Mark`] names it.
    token: Mark,
    begun: Instant,
    used: Instant,
}

/// A token as its sessions remember it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Mark([u8; OCTETS]);

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    /// Nobody is logged in. An error means that the system has no randomness.
    pub(super) fn new() -> Result<Self, Unspecified> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())?;
        Ok(Self { key, open: Mutex::default() })
    }

    /// Begins a session of somebody who has shown `token`, and returns its id.
    pub(in crate::http) fn begin(&self, token: &str, now: Instant) -> String {
        let mut open = self.open();
        open.sessions.retain(|_, session| session.lives(now));
        if open.sessions.len() >= SESSIONS_MAX
            && let Some(oldest) = open.sessions.iter().min_by_key(|(_, session)| session.used)
        {
            let oldest = *oldest.0;
            open.sessions.remove(&oldest);
        }
        open.begun += 1;
        let id = text(&self.sign("session", &open.begun.to_be_bytes()));
        let session = Session { token: self.mark(token), begun: now, used: now };
        open.sessions.insert(self.name(&id), session);
        id
    }

    /// The session with this id, if it lives and was begun with `token`, which holds now. It is used by that.
    pub(super) fn find(&self, id: &str, token: &str, now: Instant) -> Option<SessionName> {
        let (name, mark) = (self.name(id), self.mark(token));
        let mut open = self.open();
        let session = open.sessions.get_mut(&name)?;
        if session.token != mark || !session.lives(now) {
            open.sessions.remove(&name);
            return None;
        }
        session.used = now;
        Some(name)
    }

    /// Whether a session is open still. It is not used by that.
    pub(super) fn lives(&self, name: SessionName, now: Instant) -> bool {
        self.open().sessions.get(&name).is_some_and(|session| session.lives(now))
    }

    /// Ends the session with this id, if there is one.
    pub(in crate::http) fn end(&self, id: &str) {
        let name = self.name(id);
        self.open().sessions.remove(&name);
    }

    /// What a form of this session must bring back.
    pub(super) fn form_token(&self, name: SessionName) -> String {
        text(&self.sign("form of a session", &name.0))
    }

    /// What a form must bring back that was shown to somebody without a session, `kind` of caller.
    pub(super) fn shared_form_token(&self, kind: &str) -> String {
        text(&self.sign("form of others", kind.as_bytes()))
    }

    fn name(&self, id: &str) -> SessionName {
        SessionName(self.sign("name", id.as_bytes()))
    }

    fn mark(&self, token: &str) -> Mark {
        Mark(self.sign("token", token.as_bytes()))
    }

    fn sign(&self, purpose: &str, of: &[u8]) -> [u8; OCTETS] {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(purpose.as_bytes());
        // Ends the purpose: no purpose has it.
        context.update(&[0]);
        context.update(of);
        let tag = context.sign();
        std::array::from_fn(|n| tag.as_ref().get(n).copied().unwrap_or_default())
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // What a panicking thread left behind are still sessions.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    fn lives(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < IDLE_MAX
            && now.saturating_duration_since(self.begun) < LIFE_MAX
    }
}

fn text(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_found_by_its_id_and_by_nothing_else() {
        let sessions = Sessions::new().unwrap();
        let now = Instant::now();
        let (ada, bob) = (sessions.begin("t", now), sessions.begin("t", now));
        assert_ne!(ada, bob);
        assert!(
            ada.len() == ID_LENGTH
                && ada.bytes().all(|c| c.is_ascii_alphanumeric() || b"-_".contains(&c))
        );
        let name = sessions.find(&ada, "t", now).unwrap();
        assert_ne!(Some(name), sessions.find(&bob, "t", now));
        for wrong in ["", "t", "A", &ada.to_lowercase(), &format!("{ada}A")] {
            assert_eq!(sessions.find(wrong, "t", now), None, "{wrong}");
        }
        let elsewhere = Sessions::new().unwrap();
        assert_eq!(elsewhere.find(&ada, "t", now), None, "another start");
        assert_ne!(elsewhere.begin("t", now), ada);
    }

    #[test]
    fn a_session_ends_when_it_is_told_to() {
        let sessions = Sessions::new().unwrap();
        let now = Instant::now();
        let (ada, bob) = (sessions.begin("t", now), sessions.begin("t", now));
        sessions.end(&ada);
        sessions.end("somebody");
        assert_eq!(sessions.find(&ada, "t", now), None);
        assert!(sessions.find(&bob, "t", now).is_some());
    }

    #[test]
    fn another_token_ends_it_for_good() {
        let sessions = Sessions::new().unwrap();
        let now = Instant::now();
        let id = sessions.begin("first", now);
        assert_eq!(sessions.find(&id, "second", now), None);
        assert_eq!(sessions.find(&id, "first", now), None);
    }

    #[test]
    fn a_session_that_is_not_used_ends_and_so_does_an_old_one() {
        let sessions = Sessions::new().unwrap();
        let start = Instant::now();
        let almost = IDLE_MAX - Duration::from_secs(1);
        let (idle, busy) = (sessions.begin("t", start), sessions.begin("t", start));
        let mut now = start;
        for _ in 0..7 {
            now += almost;
            assert!(sessions.find(&busy, "t", now).is_some(), "{:?}", now - start);
        }
        assert_eq!(sessions.find(&idle, "t", now), None);
        assert_eq!(sessions.find(&busy, "t", start + LIFE_MAX), None);
    }

    #[test]
    fn the_number_of_sessions_is_limited() {
        let sessions = Sessions::new().unwrap();
        let start = Instant::now();
        let first = sessions.begin("t", start);
        let second = sessions.begin("t", start);
        let now = start + Duration::from_secs(1);
        assert!(sessions.find(&first, "t", now).is_some());
        for _ in 2..=SESSIONS_MAX {
            sessions.begin("t", now);
        }
        assert_eq!(sessions.find(&second, "t", now), None, "it was used the longest time ago");
        assert!(sessions.find(&first, "t", now).is_some());
    }

    #[test]
    fn forms_of_two_sessions_differ() {
        let sessions = Sessions::new().unwrap();
        let now = Instant::now();
        let mut forms = vec![sessions.shared_form_token("a"), sessions.shared_form_token("b")];
        for _ in 0..2 {
            let name = sessions.find(&sessions.begin("t", now), "t", now).unwrap();
            forms.push(sessions.form_token(name));
        }
        forms.sort();
        forms.dedup();
        assert_eq!(forms.len(), 4);
    }
}
