//! What follows for a message after a call that did not end well. Pure; SPEC 5's table, message side.

use std::time::Duration;

use fastrand::Rng;

use super::Backoff;
use super::job::Job;
use crate::clock::Timestamp;
use crate::message::Loss;
use crate::provider::{SendError, Verdict};
use crate::queue::{Next, Outcome};

/// Tries of a message that only gets refusals that no table knows, beyond one per provider.
const UNKNOWN_RETRIES: usize = 3;
/// A message that has waited long for a provider to be mended is not given up at the first faults afterwards: its own
/// back-off, or the time for which its providers are down, must have had this part of `give_up_after` as well.
const TRYING_PART: u32 = 4;

/// How long and how often messages are tried.
#[derive(Clone, Copy, Debug)]
pub struct RetryRules {
    /// The wait between tries.
    pub backoff: Backoff,
    /// After this long a message that still meets passing faults is given up.
    pub give_up_after: Duration,
}

/// What stopped a delivery.
#[derive(Clone, Debug)]
pub(super) enum Obstacle {
    /// The provider cannot carry the message, or not these parts of it.
    Unfit { reason: String, losses: Vec<Loss> },
    /// Likewise, and `delivery.on_loss` forbids to look for another.
    Refused { reason: String, losses: Vec<Loss> },
    /// The call failed, not for good.
    Error(SendError),
    /// The call was not made: the provider has asked for a rest, or a quota has no room.
    Stopped(SendError),
    /// The list of addresses that get no mail cannot be read.
    Unlisted,
    /// The lease will run out before the next call is through, or the program stops between two calls.
    Interrupted,
}

impl Obstacle {
    /// True when nobody knows what came of the call, or no other can be made now.
    pub(super) fn leaves_doubt(&self) -> bool {
        match self {
            Self::Error(error) => error.unclear,
            Self::Unlisted | Self::Interrupted => true,
            Self::Stopped(_) | Self::Unfit { .. } | Self::Refused { .. } => false,
        }
    }

    /// The words for the record and the page.
    pub(super) fn text(&self, provider: &str) -> String {
        match self {
            Self::Unfit { reason, .. } | Self::Refused { reason, .. } => {
                format!("{provider} cannot carry this message: {reason}")
            }
            Self::Error(error) | Self::Stopped(error) => format!("{provider}: {error}"),
            Self::Unlisted => "the suppression list cannot be read".to_owned(),
            Self::Interrupted => "the delivery was interrupted".to_owned(),
        }
    }
}

/// The class of an error, as it is recorded.
pub(super) fn outcome(error: &SendError) -> Outcome {
    match error.verdict {
        Verdict::Throttled { .. } => Outcome::Throttled,
        Verdict::Exhausted { .. } => Outcome::Exhausted,
        Verdict::Temporary { .. } => Outcome::Temporary,
        Verdict::Misconfigured => Outcome::Misconfigured,
        Verdict::Rejected => Outcome::Rejected,
        Verdict::Unknown => Outcome::Unknown,
        Verdict::Bug => Outcome::Bug,
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// Write this to the queue.
    Settle(Next),
    /// Look for a provider again; the one that failed is not asked again for this message if `pass_over`. When all others
    /// are closed, the message waits; when none is left at all, [`without_provider`] says what happens.
    Elsewhere { pass_over: bool },
}

/// Decides after an obstacle. `still_open`: the provider takes other mail nevertheless.
pub(super) fn after(
    obstacle: &Obstacle,
    provider: &str,
    still_open: bool,
    job: &Job,
    rules: &RetryRules,
    now: Timestamp,
    rng: &mut Rng,
) -> Course {
    let Obstacle::Error(error) = obstacle else {
        return match obstacle {
            Obstacle::Interrupted => Course::Settle(wait(now, None)),
            // Nothing was tried, so that it is no step of the back-off; nor must it come round at once.
            Obstacle::Unlisted => {
                let due = now + rules.backoff.ceiling(0);
                Course::Settle(wait(due, Some(obstacle.text(provider))))
            }
            Obstacle::Refused { .. } => {
                Course::Settle(Next::Failed { error: obstacle.text(provider) })
            }
            Obstacle::Stopped(_) => Course::Elsewhere { pass_over: false },
            Obstacle::Unfit { .. } | Obstacle::Error(_) => Course::Elsewhere { pass_over: true },
        };
    };
    match error.verdict {
        Verdict::Throttled { .. } | Verdict::Exhausted { .. } | Verdict::Misconfigured => {
            Course::Elsewhere { pass_over: false }
        }
        Verdict::Temporary { .. } if !still_open => Course::Elsewhere { pass_over: false },
        Verdict::Temporary { retry_after } => {
            let text = obstacle.text(provider);
            Course::Settle(defer(job, rules, text, retry_after.unwrap_or_default(), now, rng))
        }
        Verdict::Unknown | Verdict::Bug => Course::Elsewhere { pass_over: true },
        // A rejection settles recipients and stops nothing.
        Verdict::Rejected => Course::Settle(wait(now, None)),
    }
}

/// Decides when the others that this message may use are all closed, until `due` or later.
pub(super) fn others_closed(
    obstacle: &Obstacle,
    provider: &str,
    due: Timestamp,
    job: &Job,
    rules: &RetryRules,
    now: Timestamp,
    rng: &mut Rng,
) -> Next {
    let text = obstacle.text(provider);
    let refused = match obstacle {
        Obstacle::Stopped(_)
        | Obstacle::Unfit { .. }
        | Obstacle::Refused { .. }
        | Obstacle::Unlisted
        | Obstacle::Interrupted => false,
        Obstacle::Error(error) => {
            matches!(error.verdict, Verdict::Temporary { .. } | Verdict::Unknown)
        }
    };
    // Otherwise whoever refused it would be asked again whenever a closed one is checked.
    if refused { defer(job, rules, text, Duration::ZERO, now, rng) } else { wait(due, Some(text)) }
}

/// Decides when no provider is left that this message may use.
pub(super) fn without_provider(
    obstacle: &Obstacle,
    provider: &str,
    providers: usize,
    job: &Job,
    rules: &RetryRules,
    now: Timestamp,
    rng: &mut Rng,
) -> Next {
    let text = obstacle.text(provider);
    let (unknown, bugs) = (job.times(Outcome::Unknown), job.times(Outcome::Bug));
    let over = match obstacle {
        // Nobody can carry it; unless another one only refused it, in a way that may pass.
        Obstacle::Refused { .. } => true,
        Obstacle::Unfit { .. } if unknown + bugs == 0 => true,
        Obstacle::Unfit { .. }
        | Obstacle::Error(_)
        | Obstacle::Stopped(_)
        | Obstacle::Unlisted
        | Obstacle::Interrupted => unknown >= UNKNOWN_RETRIES + providers,
    };
    if over {
        return Next::Failed { error: text };
    }
    defer(job, rules, text, Duration::ZERO, now, rng)
}

/// Whether a message that is not tried, because all that it may use is down since then, has waited long enough.
pub(super) fn waits_in_vain(
    job: &Job,
    down_since: Timestamp,
    rules: &RetryRules,
    now: Timestamp,
) -> bool {
    let waited = |since: Timestamp| now.duration_since(since).unsigned_abs();
    waited(job.claim.trying_since) >= rules.give_up_after
        && waited(down_since) >= rules.give_up_after / TRYING_PART
}

/// The end of a message that has been tried, or has waited, for long enough.
pub(super) fn given_up(job: &Job, error: &str, now: Timestamp) -> Next {
    let tried_for = now.duration_since(job.claim.trying_since).unsigned_abs();
    Next::Failed { error: format!("given up after {}: {error}", hours(tried_for)) }
}

/// How long the provider wants to be left alone at the least.
pub(super) fn asked_wait(obstacle: &Obstacle) -> Duration {
    match obstacle {
        Obstacle::Error(SendError {
            verdict: Verdict::Temporary { retry_after } | Verdict::Throttled { retry_after },
            ..
        }) => retry_after.unwrap_or_default(),
        Obstacle::Error(_)
        | Obstacle::Stopped(_)
        | Obstacle::Unfit { .. }
        | Obstacle::Refused { .. }
        | Obstacle::Unlisted
        | Obstacle::Interrupted => Duration::ZERO,
    }
}

/// Until when a call that was not made has to wait, if it is known.
pub(super) fn stopped_until(stop: &SendError, now: Timestamp) -> Option<Timestamp> {
    match stop.verdict {
        Verdict::Throttled { retry_after } => Some(now + retry_after?),
        Verdict::Exhausted { until } => until,
        Verdict::Temporary { .. }
        | Verdict::Misconfigured
        | Verdict::Rejected
        | Verdict::Unknown
        | Verdict::Bug => None,
    }
}

/// Back to the queue for the next step of the back-off, or given up.
pub(super) fn defer(
    job: &Job,
    rules: &RetryRules,
    error: String,
    at_least: Duration,
    now: Timestamp,
    rng: &mut Rng,
) -> Next {
    let tried_for = now.duration_since(job.claim.trying_since).unsigned_abs();
    let backed_off: Duration = (0..job.claim.deferrals).map(|n| rules.backoff.ceiling(n)).sum();
    if tried_for >= rules.give_up_after && backed_off >= rules.give_up_after / TRYING_PART {
        return given_up(job, &error, now);
    }
    let wait = rules.backoff.full_jitter(job.claim.deferrals, rng).max(at_least);
    Next::Queue { due: now + wait, error: Some(error), deferred: true }
}

/// Back to the queue without a step of the back-off.
pub(super) fn wait(due: Timestamp, error: Option<String>) -> Next {
    Next::Queue { due, error, deferred: false }
}

fn hours(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h", seconds / 3_600),
    }
}
