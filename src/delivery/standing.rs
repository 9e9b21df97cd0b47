//! How a provider stands: whether it takes mail, rests, is down or set aside.
//!
//! Pure: what happened and the time go in, admission comes out. A provider that fails is closed; from time to time it
//! is checked by a probe that costs no mail; then one message is the trial, and its outcome opens or closes again. Which
//! failures are too many is [`Circuit`]'s to say.

mod heard;

use std::time::Duration;

use fastrand::Rng;

use super::Backoff;
use super::circuit::Circuit;
use super::status::ProviderState;
use crate::clock::Timestamp;
use crate::provider::{SendError, Verdict};

/// A rest up to this long is waited for; during a longer one other providers take over.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest rest that a provider's own words can impose.
const REST_MAX: Duration = Duration::from_hours(32 * 24);
/// The shortest rest. A hint of zero, or one from a clock that differs, must not repeat the call at once.
const REST_MIN: Duration = Duration::from_millis(250);
/// How often an exhausted provider is tried when it does not say until when.
const EXHAUSTED_RETRY: Duration = Duration::from_hours(1);
/// A provider that passed its check and has waited this long for a trial message counts as up.
const TRIAL_GRACE: Duration = Duration::from_secs(2);
/// Replies of mail servers (RFC 5321 §4.2.3) that are about one mailbox, or may be: greylisting comes with either. No
/// HTTP answer that passes by itself has these numbers.
const MAILBOX_UNAVAILABLE: u16 = 450;
const LOCAL_ERROR: u16 = 451;
/// A provider that goes down again so soon after it has come back waits for its next check as long as if it had not:
/// what fails for a part of the calls would else be opened and closed all the time.
const RELAPSE: Duration = Duration::from_mins(5);

/// May a call be made?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    /// Yes.
    Open,
    /// Soon; wait for it.
    Soon(Timestamp),
    /// No; look for another provider. Not before the time, if it is known.
    Closed(Option<Timestamp>),
}

impl Admission {
    /// Both this and the other must let a call through.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Open, it) | (it, Self::Open) => it,
            (Self::Closed(one), Self::Closed(two)) => Self::Closed(one.max(two)),
            (Self::Closed(at), Self::Soon(_)) | (Self::Soon(_), Self::Closed(at)) => {
                Self::Closed(at)
            }
            (Self::Soon(one), Self::Soon(two)) => Self::Soon(one.max(two)),
        }
    }
}

/// What an event has changed about a provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing that somebody has to be told.
    Same,
    /// It is set aside, or for another reason than before.
    SetAside,
    /// It takes mail again.
    Recovered,
}

/// Why a provider is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Down,
    Misconfigured,
    Exhausted,
}

#[derive(Debug)]
enum Phase {
    /// Takes mail.
    Up,
    /// Asked for a rest.
    Throttled {
        until: Timestamp,
        /// It was on trial, and is again after the rest.
        trouble: Option<Trouble>,
    },
    /// Closed until a check passes.
    Closed { trouble: Trouble, check_at: Timestamp, checking: bool },
    /// The check has passed, one message is let through.
    Trial { trouble: Trouble, since: Timestamp, busy: bool },
}

/// What is known about one provider.
#[derive(Debug)]
pub(super) struct Standing {
    phase: Phase,
    /// Rests and closures since the last success: the exponent of the next one.
    strikes: u32,
    /// Since when it has not answered otherwise than by faults that pass, once the circuit is open.
    down_since: Option<Timestamp>,
    /// The calls since it was opened last.
    circuit: Circuit,
    /// It is down although a part of the calls went well.
    unsteady: bool,
    /// When it came back, and how many strikes it had then.
    came_back: Option<(Timestamp, u32)>,
    backoff: Backoff,
    last_success: Option<Timestamp>,
    last_error: Option<(Timestamp, String)>,
}

impl Standing {
    /// Nothing bad is known; checks of a closed provider follow `backoff`.
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            phase: Phase::Up,
            strikes: 0,
            down_since: None,
            circuit: Circuit::default(),
            unsteady: false,
            came_back: None,
            backoff,
            last_success: None,
            last_error: None,
        }
    }

    /// From now on checks of a closed provider follow `backoff`.
    pub(super) fn set_backoff(&mut self, backoff: Backoff) {
        self.backoff = backoff;
    }

    /// The settings of the provider have been changed: what was closed gets a trial at once, and whoever was told that it is
    /// set aside is told when it works again.
    pub(super) fn try_again(&mut self, now: Timestamp) {
        if let Phase::Closed { trouble, .. } = self.phase {
            self.phase = Phase::Trial { trouble, since: now, busy: false };
        }
    }

    /// It is another account now, of which no rest has been asked for.
    pub(super) fn forget_rest(&mut self, now: Timestamp) {
        if let Phase::Throttled { trouble, .. } = self.phase {
            let trial = |trouble| Phase::Trial { trouble, since: now, busy: false };
            (self.phase, self.strikes) = (trouble.map_or(Phase::Up, trial), 0);
        }
    }

    /// Whether a message may go to this provider now.
    pub(super) fn admission(&self, now: Timestamp) -> Admission {
        match self.phase {
            Phase::Up | Phase::Trial { busy: false, .. } => Admission::Open,
            Phase::Throttled { until, .. } if until <= now => Admission::Open,
            Phase::Throttled { until, .. } if until <= now + PATIENCE => Admission::Soon(until),
            Phase::Throttled { until, .. } => Admission::Closed(Some(until)),
            Phase::Closed { check_at, .. } => Admission::Closed(Some(check_at)),
            Phase::Trial { busy: true, .. } => Admission::Closed(None),
        }
    }

    /// A call begins.
    pub(super) fn began(&mut self, now: Timestamp) {
        match &mut self.phase {
            Phase::Trial { busy, .. } => *busy = true,
            Phase::Throttled { until, trouble: Some(trouble) } if *until <= now => {
                self.phase = Phase::Trial { trouble: *trouble, since: now, busy: true };
            }
            Phase::Throttled { until, trouble: None } if *until <= now => {
                self.phase = Phase::Up;
            }
            Phase::Up | Phase::Throttled { .. } | Phase::Closed { .. } => {}
        }
    }

    /// A call that had begun was not made after all.
    pub(super) fn abandoned(&mut self) {
        if let Phase::Trial { busy, .. } = &mut self.phase {
            *busy = false;
        }
    }

    /// A call succeeded. True when the provider was not up before.
    pub(super) fn succeeded(&mut self, now: Timestamp) -> bool {
        self.last_success = Some(now);
        self.circuit.worked(now);
        if self.unsteady && matches!(self.phase, Phase::Closed { trouble: Trouble::Down, .. }) {
            // Some go well all the time; that one more did is a reason to look, and no reason to open.
            self.look_now(now);
            return false;
        }
        let strikes = std::mem::take(&mut self.strikes);
        self.down_since = None;
        if self.rests(now) {
            // A call that was under way when the provider asked for the rest; the rest stands.
            return false;
        }
        let recovered = !matches!(self.phase, Phase::Up | Phase::Throttled { trouble: None, .. });
        if recovered {
            self.circuit = Circuit::default();
            self.came_back = Some((now, strikes));
        }
        self.phase = Phase::Up;
        recovered
    }

    /// A call failed.
    pub(super) fn failed(&mut self, error: &SendError, now: Timestamp, rng: &mut Rng) -> Change {
        self.last_error = Some((now, error.to_string()));
        if !matches!(error.verdict, Verdict::Temporary { .. }) {
            self.down_since = None;
        }
        match error.verdict {
            Verdict::Throttled { retry_after } => self.rest(retry_after, now, rng),
            Verdict::Temporary { retry_after: Some(wait) } => self.rest(Some(wait), now, rng),
            Verdict::Temporary { retry_after: None } => {
                return match error.status {
                    Some(MAILBOX_UNAVAILABLE) => self.answered(now),
                    status => self.faltered(status == Some(LOCAL_ERROR), now, rng),
                };
            }
            Verdict::Exhausted { until } => {
                let until = until.unwrap_or(now + EXHAUSTED_RETRY).min(now + REST_MAX);
                return self.close(Trouble::Exhausted, Some(until), now, rng);
            }
            Verdict::Misconfigured => {
                return self.close(Trouble::Misconfigured, None, now, rng);
            }
            Verdict::Rejected | Verdict::Unknown | Verdict::Bug => return self.answered(now),
        }
        Change::Same
    }

    /// The provider works; it is the message, or our request, that it did not like.
    fn answered(&mut self, now: Timestamp) -> Change {
        self.circuit.worked(now);
        match self.phase {
            Phase::Up | Phase::Throttled { .. } => Change::Same,
            Phase::Closed { .. } => {
                self.look_now(now);
                Change::Same
            }
            Phase::Trial { .. } => {
                self.circuit = Circuit::default();
                self.came_back = Some((now, self.strikes));
                self.down_since = None;
                self.phase = Phase::Up;
                Change::Recovered
            }
        }
    }

    /// One that seemed down has shown life: its check is due.
    fn look_now(&mut self, now: Timestamp) {
        if let Phase::Closed { trouble: Trouble::Down, check_at, .. } = &mut self.phase {
            *check_at = now.min(*check_at);
        }
    }

    /// True once, when it is time to check a closed provider; [`Standing::checked`] must follow.
    pub(super) fn start_check(&mut self, now: Timestamp) -> bool {
        match &mut self.phase {
            Phase::Closed { check_at, checking, .. } if *check_at <= now && !*checking => {
                *checking = true;
                true
            }
            _ => false,
        }
    }

    /// The check that was started is not made now.
    pub(super) fn put_off_check(&mut self) {
        if let Phase::Closed { checking, .. } = &mut self.phase {
            *checking = false;
        }
    }

    /// How the check ended.
    pub(super) fn checked(
        &mut self,
        result: Result<(), &SendError>,
        now: Timestamp,
        rng: &mut Rng,
    ) -> Change {
        if let Err(error) = result {
            self.last_error = Some((now, error.to_string()));
        }
        // A success of a call that was still on its way may have opened the provider meanwhile.
        let Phase::Closed { trouble: before, .. } = self.phase else { return Change::Same };
        self.phase = match result {
            Ok(()) => Phase::Trial { trouble: before, since: now, busy: false },
            Err(error) => {
                // It answers again, and refuses the key: mail that waits for that is never given up.
                let refused = error.verdict == Verdict::Misconfigured;
                let trouble = if refused { Trouble::Misconfigured } else { before };
                if refused {
                    self.down_since = None;
                }
                Phase::Closed { trouble, check_at: self.next_check(now, rng), checking: false }
            }
        };
        match self.phase {
            Phase::Closed { trouble, .. } if trouble != before => Change::SetAside,
            Phase::Up | Phase::Throttled { .. } | Phase::Closed { .. } | Phase::Trial { .. } => {
                Change::Same
            }
        }
    }

    /// When something changes by itself: a rest ends, a check is due.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Throttled { until, .. } => Some(until),
            Phase::Closed { check_at, checking: false, .. } => Some(check_at),
            Phase::Up | Phase::Closed { checking: true, .. } | Phase::Trial { .. } => None,
        }
    }

    /// The state that `/health` shows.
    pub(super) fn state(&self, now: Timestamp) -> ProviderState {
        match self.phase {
            Phase::Up => ProviderState::Up,
            Phase::Throttled { until, trouble: None } if until <= now => ProviderState::Up,
            Phase::Throttled { until, .. } if until + TRIAL_GRACE <= now => ProviderState::Up,
            Phase::Throttled { .. } => ProviderState::Throttled,
            Phase::Trial { since, busy: false, .. } if since + TRIAL_GRACE <= now => {
                ProviderState::Up
            }
            Phase::Closed { trouble, .. } | Phase::Trial { trouble, .. } => match trouble {
                Trouble::Down => ProviderState::Down,
                Trouble::Misconfigured => ProviderState::Misconfigured,
                Trouble::Exhausted => ProviderState::Exhausted,
            },
        }
    }

    /// Since when the provider is down, if that is what it is.
    pub(super) fn down_since(&self) -> Option<Timestamp> {
        let down = matches!(self.phase, Phase::Closed { trouble: Trouble::Down, .. });
        self.down_since.filter(|_| down)
    }

    /// True while one message at a time is let through.
    pub(super) fn is_trial(&self) -> bool {
        matches!(self.phase, Phase::Trial { .. } | Phase::Throttled { trouble: Some(_), .. })
    }

    pub(super) fn last_success(&self) -> Option<Timestamp> {
        self.last_success
    }

    pub(super) fn last_error(&self) -> Option<&(Timestamp, String)> {
        self.last_error.as_ref()
    }

    fn rests(&self, now: Timestamp) -> bool {
        matches!(self.phase, Phase::Throttled { until, .. } if until > now)
    }

    /// Rests for as long as it was told, but longer each time when that does not help.
    fn rest(&mut self, wait: Option<Duration>, now: Timestamp, rng: &mut Rng) {
        let told = wait.map(|wait| now + wait.clamp(REST_MIN, REST_MAX));
        match (&mut self.phase, told) {
            (Phase::Closed { .. }, _) => {}
            // Calls that were under way when the rest began lengthen it only when they were told so.
            (Phase::Throttled { .. }, None) => {}
            (Phase::Throttled { until, .. }, Some(told)) => *until = (*until).max(told),
            (phase @ (Phase::Up | Phase::Trial { .. }), told) => {
                let trouble = match phase {
                    Phase::Trial { trouble, .. } => Some(*trouble),
                    Phase::Up | Phase::Throttled { .. } | Phase::Closed { .. } => None,
                };
                let again = self.strikes > 0;
                let own = self.next_check(now, rng);
                let until = match told {
                    Some(told) if again => told.max(own),
                    Some(told) => told,
                    None => own,
                };
                self.phase = Phase::Throttled { until, trouble };
            }
        }
    }

    /// A fault that passes; `put_off`: perhaps it is only this message that is put off.
    fn faltered(&mut self, put_off: bool, now: Timestamp, rng: &mut Rng) -> Change {
        match self.phase {
            Phase::Throttled { .. } | Phase::Closed { .. } => return Change::Same,
            Phase::Trial { .. } => {}
            Phase::Up => {
                let circuit = &mut self.circuit;
                if !(if put_off { circuit.put_off(now) } else { circuit.failed(now) }) {
                    return Change::Same;
                }
                self.unsteady = !self.circuit.is_dead();
            }
        }
        if let Some((at, strikes)) = self.came_back.take()
            && at + RELAPSE > now
        {
            self.strikes = self.strikes.max(strikes);
        }
        self.close(Trouble::Down, None, now, rng)
    }

    /// Closes until `check_at`, or for the next step of the back-off.
    fn close(
        &mut self,
        trouble: Trouble,
        check_at: Option<Timestamp>,
        now: Timestamp,
        rng: &mut Rng,
    ) -> Change {
        // Calls that were under way when it closed say the same again.
        if let Phase::Closed { trouble: current, .. } = self.phase
            && current == trouble
        {
            return Change::Same;
        }
        let again = matches!(self.phase, Phase::Trial { trouble: before, .. } if before == trouble);
        let check_at = check_at.unwrap_or_else(|| self.next_check(now, rng));
        if trouble == Trouble::Down {
            self.down_since.get_or_insert(now);
        }
        self.phase = Phase::Closed { trouble, check_at, checking: false };
        if again { Change::Same } else { Change::SetAside }
    }

    fn next_check(&mut self, now: Timestamp, rng: &mut Rng) -> Timestamp {
        let wait = self.backoff.equal_jitter(self.strikes, rng);
        self.strikes = self.strikes.saturating_add(1);
        now + wait
    }
}

#[cfg(test)]
mod tests;
