//! How a provider stands: whether it takes mail, rests, is down or set aside.
//!
//! Pure: what happened and the time go in, admission comes out. A provider that fails is closed; from time to time it
//! is checked by a probe that costs no mail; then one message is the trial, and its outcome opens or closes again.

use std::time::Duration;

use fastrand::Rng;

use super::Backoff;
use super::status::ProviderState;
use crate::clock::Timestamp;
use crate::provider::{SendError, Verdict};

/// Failures in a row that pass by themselves, after which the circuit opens.
const CIRCUIT_FAILURES: u32 = 5;
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

/// Why a provider is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    Down,
    Misconfigured,
    Exhausted,
}

#[derive(Debug)]
enum Phase {
    /// Takes mail; `failures` in a row so far.
    Up { failures: u32 },
    /// Asked for a rest.
    Throttled { until: Timestamp },
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
    backoff: Backoff,
    last_success: Option<Timestamp>,
    last_error: Option<(Timestamp, String)>,
}

impl Standing {
    /// Nothing bad is known; checks of a closed provider follow `backoff`.
    pub(super) fn new(backoff: Backoff) -> Self {
        Self {
            phase: Phase::Up { failures: 0 },
            strikes: 0,
            down_since: None,
            backoff,
            last_success: None,
            last_error: None,
        }
    }

    /// Whether a message may go to this provider now.
    pub(super) fn admission(&self, now: Timestamp) -> Admission {
        match self.phase {
            Phase::Up { .. } | Phase::Trial { busy: false, .. } => Admission::Open,
            Phase::Throttled { until } if until <= now => Admission::Open,
            Phase::Throttled { until } if until <= now + PATIENCE => Admission::Soon(until),
            Phase::Throttled { until } => Admission::Closed(Some(until)),
            Phase::Closed { check_at, .. } => Admission::Closed(Some(check_at)),
            Phase::Trial { busy: true, .. } => Admission::Closed(None),
        }
    }

    /// A call begins.
    pub(super) fn began(&mut self, now: Timestamp) {
        match &mut self.phase {
            Phase::Trial { busy, .. } => *busy = true,
            Phase::Throttled { until } if *until <= now => {
                self.phase = Phase::Up { failures: 0 };
            }
            Phase::Up { .. } | Phase::Throttled { .. } | Phase::Closed { .. } => {}
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
        self.strikes = 0;
        self.down_since = None;
        if self.rests(now) {
            // A call that was under way when the provider asked for the rest; the rest stands.
            return false;
        }
        let recovered = !matches!(self.phase, Phase::Up { .. } | Phase::Throttled { .. });
        self.phase = Phase::Up { failures: 0 };
        recovered
    }

    /// A call failed. True when the provider closes by this.
    pub(super) fn failed(&mut self, error: &SendError, now: Timestamp, rng: &mut Rng) -> bool {
        self.last_error = Some((now, error.to_string()));
        if !matches!(error.verdict, Verdict::Temporary { .. }) {
            self.down_since = None;
        }
        match error.verdict {
            Verdict::Throttled { retry_after } => self.rest(retry_after, now, rng),
            Verdict::Temporary { retry_after: Some(wait) } => self.rest(Some(wait), now, rng),
            Verdict::Temporary { retry_after: None } => return self.faltered(now, rng),
            Verdict::Exhausted { until } => {
                let until = until.unwrap_or(now + EXHAUSTED_RETRY).min(now + REST_MAX);
                return self.close(Trouble::Exhausted, Some(until), now, rng);
            }
            Verdict::Misconfigured => {
                return self.close(Trouble::Misconfigured, None, now, rng);
            }
            // The provider works; it is the message, or our request, that it did not like. A rest stands.
            Verdict::Rejected | Verdict::Unknown | Verdict::Bug => {
                if !self.rests(now) {
                    self.phase = Phase::Up { failures: 0 };
                }
            }
        }
        false
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

    /// How the check ended.
    pub(super) fn checked(
        &mut self,
        result: Result<(), &SendError>,
        now: Timestamp,
        rng: &mut Rng,
    ) {
        if let Err(error) = result {
            self.last_error = Some((now, error.to_string()));
        }
        // A success of a call that was still on its way may have opened the provider meanwhile.
        let Phase::Closed { trouble, .. } = self.phase else { return };
        self.phase = match result {
            Ok(()) => Phase::Trial { trouble, since: now, busy: false },
            Err(error) => {
                // It answers again, and refuses the key: mail that waits for that is never given up.
                let refused = error.verdict == Verdict::Misconfigured;
                let trouble = if refused { Trouble::Misconfigured } else { trouble };
                if refused {
                    self.down_since = None;
                }
                Phase::Closed { trouble, check_at: self.next_check(now, rng), checking: false }
            }
        };
    }

    /// When something changes by itself: a rest ends, a check is due.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::Throttled { until } => Some(until),
            Phase::Closed { check_at, checking: false, .. } => Some(check_at),
            Phase::Up { .. } | Phase::Closed { checking: true, .. } | Phase::Trial { .. } => None,
        }
    }

    /// The state that `/health` shows.
    pub(super) fn state(&self, now: Timestamp) -> ProviderState {
        match self.phase {
            Phase::Up { .. } => ProviderState::Up,
            Phase::Throttled { until } if until <= now => ProviderState::Up,
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
        matches!(self.phase, Phase::Trial { .. })
    }

    pub(super) fn last_success(&self) -> Option<Timestamp> {
        self.last_success
    }

    pub(super) fn last_error(&self) -> Option<&(Timestamp, String)> {
        self.last_error.as_ref()
    }

    fn rests(&self, now: Timestamp) -> bool {
        matches!(self.phase, Phase::Throttled { until } if until > now)
    }

    /// Rests for as long as it was told, but longer each time when that does not help.
    fn rest(&mut self, wait: Option<Duration>, now: Timestamp, rng: &mut Rng) {
        let told = wait.map(|wait| now + wait.clamp(REST_MIN, REST_MAX));
        match (&mut self.phase, told) {
            (Phase::Closed { .. }, _) => {}
            // Calls that were under way when the rest began lengthen it only when they were told so.
            (Phase::Throttled { .. }, None) => {}
            (Phase::Throttled { until }, Some(told)) => *until = (*until).max(told),
            (Phase::Up { .. } | Phase::Trial { .. }, told) => {
                let again = self.strikes > 0;
                let own = self.next_check(now, rng);
                let until = match told {
                    Some(told) if again => told.max(own),
                    Some(told) => told,
                    None => own,
                };
                self.phase = Phase::Throttled { until };
            }
        }
    }

    fn faltered(&mut self, now: Timestamp, rng: &mut Rng) -> bool {
        match &mut self.phase {
            Phase::Up { failures } if *failures + 1 < CIRCUIT_FAILURES => {
                *failures += 1;
                false
            }
            Phase::Throttled { .. } | Phase::Closed { .. } => false,
            Phase::Up { .. } | Phase::Trial { .. } => self.close(Trouble::Down, None, now, rng),
        }
    }

    /// Closes until `check_at`, or for the next step of the back-off.
    fn close(
        &mut self,
        trouble: Trouble,
        check_at: Option<Timestamp>,
        now: Timestamp,
        rng: &mut Rng,
    ) -> bool {
        // Calls that were under way when it closed say the same again.
        if let Phase::Closed { trouble: current, .. } = self.phase
            && current == trouble
        {
            return false;
        }
        let again = matches!(self.phase, Phase::Trial { .. });
        let check_at = check_at.unwrap_or_else(|| self.next_check(now, rng));
        if trouble == Trouble::Down {
            self.down_since.get_or_insert(now);
        }
        self.phase = Phase::Closed { trouble, check_at, checking: false };
        !again
    }

    fn next_check(&mut self, now: Timestamp, rng: &mut Rng) -> Timestamp {
        let wait = self.backoff.equal_jitter(self.strikes, rng);
        self.strikes += 1;
        now + wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    fn standing() -> (Standing, Rng) {
        let backoff = Backoff::new(Duration::from_secs(2), Duration::from_mins(1));
        (Standing::new(backoff), Rng::with_seed(1))
    }

    fn error(verdict: Verdict) -> SendError {
        SendError { verdict, status: Some(500), reason: "no".into(), unclear: false }
    }

    const PASSING: Verdict = Verdict::Temporary { retry_after: None };

    #[test]
    fn the_circuit_opens_after_five_failures_in_a_row() {
        let (mut standing, mut rng) = standing();
        for _ in 0..4 {
            assert!(!standing.failed(&error(PASSING), start(), &mut rng));
        }
        standing.succeeded(start());
        for _ in 0..4 {
            standing.failed(&error(PASSING), start(), &mut rng);
        }
        assert_eq!(standing.admission(start()), Admission::Open);
        assert!(standing.failed(&error(PASSING), start(), &mut rng));
        assert!(matches!(standing.admission(start()), Admission::Closed(Some(_))));
        assert_eq!(standing.state(start()), ProviderState::Down);
    }

    #[test]
    fn a_refused_key_closes_at_once_and_a_passed_check_lets_one_message_through() {
        let (mut standing, mut rng) = standing();
        assert!(standing.failed(&error(Verdict::Misconfigured), start(), &mut rng));
        assert!(!standing.failed(&error(Verdict::Misconfigured), start(), &mut rng));
        assert_eq!(standing.state(start()), ProviderState::Misconfigured);

        let check_at = standing.next_change().unwrap();
        assert!(!standing.start_check(start()));
        assert!(standing.start_check(check_at));
        assert!(!standing.start_check(check_at), "one check at a time");
        standing.checked(Ok(()), check_at, &mut rng);
        assert_eq!(standing.admission(check_at), Admission::Open);
        assert_eq!(standing.state(check_at), ProviderState::Misconfigured);
        standing.began(check_at);
        assert_eq!(standing.admission(check_at), Admission::Closed(None));
        assert!(standing.succeeded(check_at));
        assert_eq!(standing.state(check_at), ProviderState::Up);
    }

    #[test]
    fn a_failed_trial_closes_for_longer() {
        let (mut standing, mut rng) = standing();
        let mut now = start();
        let mut waits = Vec::new();
        standing.failed(&error(Verdict::Misconfigured), now, &mut rng);
        for _ in 0..8 {
            let check_at = standing.next_change().unwrap();
            waits.push(check_at.duration_since(now));
            now = check_at;
            assert!(standing.start_check(now));
            standing.checked(Ok(()), now, &mut rng);
            standing.began(now);
            assert!(!standing.failed(&error(Verdict::Misconfigured), now, &mut rng));
        }
        assert!(waits[7] > waits[0] * 8, "{waits:?}");
        assert!(waits.iter().all(|wait| wait.as_secs() <= 60));
    }

    #[test]
    fn a_failed_check_keeps_it_closed() {
        let (mut standing, mut rng) = standing();
        standing.failed(&error(Verdict::Misconfigured), start(), &mut rng);
        let check_at = standing.next_change().unwrap();
        assert!(standing.start_check(check_at));
        standing.checked(Err(&error(Verdict::Misconfigured)), check_at, &mut rng);
        assert!(
            matches!(standing.admission(check_at), Admission::Closed(Some(at)) if at > check_at)
        );
    }

    #[test]
    fn a_key_that_is_refused_after_an_outage_is_misconfigured() {
        let (mut standing, mut rng) = standing();
        for _ in 0..5 {
            standing.failed(&error(PASSING), start(), &mut rng);
        }
        assert_eq!(standing.down_since(), Some(start()));
        let check_at = standing.next_change().unwrap();
        assert!(standing.start_check(check_at));
        standing.checked(Err(&error(Verdict::Misconfigured)), check_at, &mut rng);
        assert_eq!(standing.state(check_at), ProviderState::Misconfigured);
        assert_eq!(standing.down_since(), None);
    }

    #[test]
    fn a_short_rest_is_waited_for_and_a_long_one_is_not() {
        let (mut standing, mut rng) = standing();
        let wait = Duration::from_secs(5);
        standing.failed(&error(Verdict::Throttled { retry_after: Some(wait) }), start(), &mut rng);
        assert_eq!(standing.admission(start()), Admission::Soon(start() + wait));
        assert_eq!(standing.admission(start() + wait), Admission::Open);
        assert_eq!(standing.state(start()), ProviderState::Throttled);
        let wait = Duration::from_mins(2);
        standing.failed(&error(Verdict::Throttled { retry_after: Some(wait) }), start(), &mut rng);
        assert_eq!(standing.admission(start()), Admission::Closed(Some(start() + wait)));
    }

    #[test]
    fn a_call_that_ends_well_during_a_rest_does_not_end_the_rest() {
        let (mut standing, mut rng) = standing();
        let wait = Duration::from_secs(5);
        standing.failed(&error(Verdict::Throttled { retry_after: Some(wait) }), start(), &mut rng);
        assert!(!standing.succeeded(start()));
        assert_eq!(standing.admission(start()), Admission::Soon(start() + wait));
    }

    #[test]
    fn a_message_refused_during_a_rest_does_not_end_the_rest() {
        let (mut standing, mut rng) = standing();
        let wait = Duration::from_secs(5);
        standing.failed(&error(Verdict::Throttled { retry_after: Some(wait) }), start(), &mut rng);
        standing.failed(&error(Verdict::Rejected), start(), &mut rng);
        assert_eq!(standing.admission(start()), Admission::Soon(start() + wait));
    }

    #[test]
    fn hints_that_do_not_help_make_longer_and_longer_rests() {
        let (mut standing, mut rng) = standing();
        for verdict in [
            Verdict::Throttled { retry_after: Some(Duration::ZERO) },
            Verdict::Temporary { retry_after: Some(Duration::ZERO) },
        ] {
            let mut now = start();
            standing.succeeded(now);
            for _ in 0..8 {
                standing.failed(&error(verdict), now, &mut rng);
                assert_ne!(standing.admission(now), Admission::Open);
                now = standing.next_change().unwrap();
                standing.began(now);
            }
            standing.failed(&error(verdict), now, &mut rng);
            assert!(matches!(standing.admission(now), Admission::Closed(_)), "others take over");
            let end = standing.next_change().unwrap();
            standing.began(end);
            standing.succeeded(end);
        }
    }

    #[test]
    fn a_full_quota_rests_until_it_renews() {
        let (mut standing, mut rng) = standing();
        let midnight = start() + Duration::from_hours(24);
        let full = error(Verdict::Exhausted { until: Some(midnight) });
        assert!(standing.failed(&full, start(), &mut rng));
        assert_eq!(standing.state(start()), ProviderState::Exhausted);
        assert_eq!(standing.next_change(), Some(midnight));
    }

    #[test]
    fn a_refused_message_says_that_the_provider_works() {
        let (mut standing, mut rng) = standing();
        for _ in 0..4 {
            standing.failed(&error(PASSING), start(), &mut rng);
        }
        standing.failed(&error(Verdict::Rejected), start(), &mut rng);
        assert!(!standing.failed(&error(PASSING), start(), &mut rng));
    }
}
