//! What follows when nobody knows whether a provider has a message. Pure; the note of it is in the queue's record.
//!
//! A provider that recognises a repeat is asked again, under the same key: its answer ends the doubt. While it is closed it
//! is waited for, for a while. Everything else may bring a second copy, and the operator decides (`delivery.on_unclear`).

use std::time::Duration;

use super::course::Obstacle;
use super::job::Job;
use super::lane::LaneId;
use super::policy::Policy;
use crate::clock::Timestamp;
use crate::config::OnUnclear;
use crate::provider::{Idempotency, SendError, Verdict};
use crate::queue::{self, Place};

/// How long a closed provider is waited for that may have a message, before another one gets it.
pub(super) const DOUBT_PATIENCE: Duration = Duration::from_secs(30);

/// A call whose outcome is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Doubt {
    /// Who may have the message.
    pub(super) provider: String,
    pub(super) since: Timestamp,
    /// The batch that it was in, while that can be repeated.
    pub(super) place: Option<Place>,
    /// The request cannot be made again as it was, so that no provider would recognise it.
    pub(super) is_lost: bool,
    /// It is about another part of the message than the one whose turn it is.
    pub(super) is_aside: bool,
    /// It may be about several parts: the answer of one says nothing of the others.
    pub(super) is_shared: bool,
}

impl Doubt {
    pub(super) fn new(provider: &str, since: Timestamp) -> Self {
        let provider = provider.to_owned();
        Self { provider, since, place: None, is_lost: false, is_aside: false, is_shared: false }
    }

    /// True when the provider would recognise a repeat.
    pub(super) fn is_recognised(&self, idempotency: Idempotency, now: Timestamp) -> bool {
        let window = match idempotency {
            Idempotency::None => return false,
            Idempotency::Replays { window } | Idempotency::Refuses { window } => window,
        };
        !self.is_lost && now.duration_since(self.since).unsigned_abs() < window
    }

    /// The batch cannot be repeated as it was.
    pub(super) fn lose_batch(&mut self) {
        if self.place.take().is_some() {
            self.is_lost = true;
        }
    }
}

impl From<queue::Doubt> for Doubt {
    fn from(doubt: queue::Doubt) -> Self {
        let queue::Doubt { provider, since, place } = doubt;
        Self { place, ..Self::new(&provider, since) }
    }
}

/// Where a message in doubt may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// Only to the provider that may have it; when that is closed it is looked at anew not later than at the time.
    Only(LaneId, Option<Timestamp>),
    /// Anywhere: it may arrive twice.
    Anywhere,
    /// Nowhere any more.
    Hold,
}

/// What is known about the provider that may have a message: its lane, whether it recognises repeats, whether it is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Suspect {
    pub(super) lane: LaneId,
    pub(super) idempotency: Idempotency,
    pub(super) is_open: bool,
}

/// Decides where a message in doubt may go. `suspect`: `None` when the provider is not configured any more.
pub(super) fn stance(
    doubt: &Doubt,
    suspect: Option<Suspect>,
    on_unclear: OnUnclear,
    now: Timestamp,
) -> Stance {
    let recognised = suspect.filter(|suspect| doubt.is_recognised(suspect.idempotency, now));
    match (recognised, on_unclear) {
        (Some(Suspect { lane, .. }), OnUnclear::Hold) => Stance::Only(lane, None),
        (Some(Suspect { lane, is_open, .. }), OnUnclear::Retry) => {
            let until = doubt.since + DOUBT_PATIENCE;
            // A clock that was set back must not make it wait for long.
            let patient = now < until && doubt.since <= now + DOUBT_PATIENCE;
            if is_open || patient { Stance::Only(lane, Some(until)) } else { Stance::Anywhere }
        }
        (None, OnUnclear::Retry) => Stance::Anywhere,
        (None, OnUnclear::Hold) => Stance::Hold,
    }
}

/// True when it must be written down that a call to such a provider is about to be made.
pub(super) fn must_note(idempotency: Idempotency, on_unclear: OnUnclear) -> bool {
    idempotency != Idempotency::None || on_unclear == OnUnclear::Hold
}

/// True when that may be written down long before the call: if it is never made, nothing is lost by that, because the
/// provider is asked, or, when it has forgotten by then, the message goes anywhere. Where it would be held for good, the
/// note must prove that there was a call.
pub(super) fn may_note_early(idempotency: Idempotency, on_unclear: OnUnclear) -> bool {
    idempotency != Idempotency::None && on_unclear == OnUnclear::Retry
}

/// What an answer says about whether the provider has the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It has it.
    Taken,
    /// It refuses it: an earlier call was not taken, if this one had its key.
    Refused,
    /// Nothing: it refused to look at it.
    Silent,
    /// It may have it.
    Unclear,
}

/// What a failed call says about it.
pub(super) fn answer(error: &SendError) -> Answer {
    if error.unclear {
        return Answer::Unclear;
    }
    match error.verdict {
        Verdict::Rejected | Verdict::Unknown | Verdict::Bug => Answer::Refused,
        Verdict::Throttled { .. }
        | Verdict::Exhausted { .. }
        | Verdict::Temporary { .. }
        | Verdict::Misconfigured => Answer::Silent,
    }
}

/// What follows from a failed attempt, as far as it leaves the message in doubt.
#[derive(Debug)]
pub(super) enum After {
    /// It may go where messages go.
    Usual,
    /// To the same provider again.
    Same,
    /// Nowhere any more, with the reason.
    Hold(String),
}

/// Decides after an obstacle at this provider.
pub(super) fn after(
    obstacle: &Obstacle,
    job: &mut Job,
    provider: &str,
    idempotency: Idempotency,
    policy: &Policy,
    now: Timestamp,
) -> After {
    match obstacle {
        Obstacle::Error(error) if error.unclear => {}
        Obstacle::Unfit { .. } | Obstacle::Refused { .. } => {
            job.cannot_repeat(provider, policy.on_unclear);
            return After::Usual;
        }
        Obstacle::Error(_) | Obstacle::Stopped(_) | Obstacle::Unlisted | Obstacle::Interrupted => {
            return After::Usual;
        }
    }
    let recognised = job
        .doubt
        .as_ref()
        .is_some_and(|doubt| doubt.provider == provider && doubt.is_recognised(idempotency, now));
    match policy.on_unclear {
        _ if recognised => After::Same,
        OnUnclear::Hold => {
            // Also where the record does not say yet by whom it was tried.
            if job.doubt.as_ref().is_none_or(|doubt| doubt.provider != provider) {
                job.doubt = Some(Doubt::new(provider, now));
            }
            After::Hold(obstacle.text(provider))
        }
        OnUnclear::Retry => {
            job.second_copy = Some(provider.to_owned());
            job.doubt = None;
            After::Usual
        }
    }
}

/// Stands in the reason of recipients that have failed although a provider may have the message, behind its name.
const MAY_HAVE_IT: &str = " may have this message";

/// The reason of recipients that fail although `provider` may have the message.
pub(super) fn doubtful(provider: &str, error: String) -> String {
    if suspected(&error).is_some() { error } else { format!("{error}. {provider}{MAY_HAVE_IT}") }
}

/// Who may have the message, by such a reason.
pub(super) fn suspected(reason: &str) -> Option<&str> {
    let (before, _) = reason.split_once(MAY_HAVE_IT)?;
    before.rsplit(' ').next().filter(|name| !name.is_empty())
}

/// The reason of a message that is held for good.
pub(super) fn held(provider: &str, error: Option<&str>) -> String {
    let error = error.map_or_else(String::new, |error| format!("{error}. "));
    format!(
        "{error}{provider}{MAY_HAVE_IT}. It is not sent again (delivery.on_unclear = \"hold\"): look whether it has arrived, and if not, `mailferry queue retry ID` sends it"
    )
}

/// What is added to the error of a call with an unclear end, where a repeat is not recognised.
pub(super) const MAY_HAVE_ARRIVED: &str =
    "the message may have arrived, and the next try may be a second copy";

/// What is said of a call that is made although `provider` may have the message.
pub(super) fn second_copy(provider: &str) -> String {
    format!("{provider} may have sent this message; this may be a second copy")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Idempotency = Idempotency::Replays { window: Duration::from_hours(24) };

    fn start() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    fn after(seconds: u64, idempotency: Idempotency, is_open: bool, how: OnUnclear) -> Stance {
        let suspect = Suspect { lane: 3, idempotency, is_open };
        let now = start() + Duration::from_secs(seconds);
        stance(&Doubt::new("resend", start()), Some(suspect), how, now)
    }

    #[test]
    fn who_recognises_a_repeat_is_asked_again_and_waited_for() {
        let until = start() + DOUBT_PATIENCE;
        assert_eq!(after(1, DAY, true, OnUnclear::Retry), Stance::Only(3, Some(until)));
        assert_eq!(after(1, DAY, false, OnUnclear::Retry), Stance::Only(3, Some(until)));
        assert_eq!(after(30, DAY, false, OnUnclear::Retry), Stance::Anywhere);
        assert_eq!(after(3_600, DAY, true, OnUnclear::Retry), Stance::Only(3, Some(until)));
        assert_eq!(after(3_600, DAY, false, OnUnclear::Hold), Stance::Only(3, None));
    }

    #[test]
    fn who_does_not_recognise_it_may_double_it() {
        for (idempotency, seconds) in [(Idempotency::None, 1), (DAY, 24 * 3_600)] {
            assert_eq!(after(seconds, idempotency, true, OnUnclear::Retry), Stance::Anywhere);
            assert_eq!(after(seconds, idempotency, true, OnUnclear::Hold), Stance::Hold);
        }
        let doubt = Doubt::new("gone", start());
        assert_eq!(stance(&doubt, None, OnUnclear::Retry, start()), Stance::Anywhere);
        assert_eq!(stance(&doubt, None, OnUnclear::Hold, start()), Stance::Hold);
    }

    #[test]
    fn a_request_that_cannot_be_made_again_is_recognised_by_nobody() {
        let mut doubt = Doubt::new("resend", start());
        doubt.lose_batch();
        assert!(doubt.is_recognised(DAY, start()), "it was in no batch");
        let batch = queue::BatchId(crate::message::QueueId::from_bytes([1; 16]));
        doubt.place = Some(Place { batch, number: 0, of: 2 });
        doubt.lose_batch();
        assert!(!doubt.is_recognised(DAY, start()));
    }

    #[test]
    fn the_reason_names_who_may_have_the_message() {
        for reason in
            [held("ses", None), held("ses", Some("resend: no")), doubtful("ses", "no".to_owned())]
        {
            assert_eq!(suspected(&reason), Some("ses"), "{reason}");
            assert_eq!(doubtful("resend", reason.clone()), reason, "once");
        }
        assert_eq!(suspected("ses: refused"), None);
    }

    #[test]
    fn only_an_answer_about_the_message_ends_the_doubt() {
        let error =
            |verdict, unclear| SendError { verdict, status: None, reason: String::new(), unclear };
        assert_eq!(answer(&error(Verdict::Rejected, false)), Answer::Refused);
        assert_eq!(answer(&error(Verdict::Throttled { retry_after: None }, false)), Answer::Silent);
        assert_eq!(answer(&error(Verdict::Temporary { retry_after: None }, true)), Answer::Unclear);
    }
}
