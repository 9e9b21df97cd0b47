//! What other instances say of the account: it closes, rests or opens without a call of their own.

use std::time::Duration;

use fastrand::Rng;

use super::{Circuit, EXHAUSTED_RETRY, Phase, REST_MAX, Standing, Trouble};
use crate::clock::Timestamp;
use crate::queue::Condition;

/// Who has found out checks first. Beyond twice the time that it takes for that, another may.
const CHECK_LATER: Duration = Duration::from_secs(5);

impl Standing {
    /// As others should know it. `None` while that is being found out.
    pub(in crate::delivery) fn condition(&self, now: Timestamp) -> Option<Condition> {
        match self.phase {
            Phase::Up => Some(Condition::Up),
            Phase::Throttled { until, .. } if until > now => Some(Condition::Rests { until }),
            Phase::Throttled { .. } | Phase::Trial { .. } => None,
            Phase::Closed { trouble, check_at, .. } => Some(match trouble {
                Trouble::Down => Condition::Down,
                Trouble::Misconfigured => Condition::Misconfigured,
                Trouble::Exhausted => Condition::Exhausted { until: Some(check_at) },
            }),
        }
    }

    /// Takes over what another instance has found out. `is_old`: it may be long ago, and is checked at once. True when
    /// something is otherwise than before.
    pub(in crate::delivery) fn hear(
        &mut self,
        condition: Condition,
        error: Option<(Timestamp, String)>,
        is_old: bool,
        now: Timestamp,
        rng: &mut Rng,
    ) -> bool {
        if let Some(error) = error {
            self.last_error = Some(error);
        }
        let (trouble, until) = match condition {
            Condition::Up => return self.hear_of_recovery(now),
            Condition::Rests { until } => return self.hear_of_rest(until, now),
            Condition::Exhausted { until: Some(until) } if until <= now => return false,
            Condition::Exhausted { until } => {
                let until = until.unwrap_or(now + EXHAUSTED_RETRY).min(now + REST_MAX);
                (Trouble::Exhausted, Some(until))
            }
            Condition::Misconfigured => (Trouble::Misconfigured, None),
            Condition::Down => (Trouble::Down, None),
        };
        let later = || now + self.backoff.ceiling(self.strikes).saturating_mul(2) + CHECK_LATER;
        let wait = if is_old { now + self.backoff.equal_jitter(0, rng) } else { later() };
        let check_at = until.filter(|_| !is_old).unwrap_or(wait);
        self.strikes = self.strikes.saturating_add(1);
        match trouble {
            Trouble::Down => {
                self.down_since.get_or_insert(now);
            }
            Trouble::Misconfigured | Trouble::Exhausted => self.down_since = None,
        }
        let (was, checking) = match self.phase {
            Phase::Closed { trouble, checking, .. } => (Some(trouble), checking),
            Phase::Up | Phase::Throttled { .. } | Phase::Trial { .. } => (None, false),
        };
        self.phase = Phase::Closed { trouble, check_at, checking };
        was != Some(trouble)
    }

    fn hear_of_recovery(&mut self, now: Timestamp) -> bool {
        if matches!(self.phase, Phase::Up) {
            return false;
        }
        let strikes = std::mem::take(&mut self.strikes);
        self.came_back = Some((now, strikes));
        self.circuit = Circuit::default();
        self.down_since = None;
        self.phase = Phase::Up;
        true
    }

    fn hear_of_rest(&mut self, until: Timestamp, now: Timestamp) -> bool {
        let until = until.min(now + REST_MAX);
        if until <= now {
            return false;
        }
        match &mut self.phase {
            Phase::Closed { .. } => false,
            Phase::Throttled { until: own, .. } => {
                let is_longer = *own < until;
                *own = until.max(*own);
                is_longer
            }
            Phase::Up => {
                self.phase = Phase::Throttled { until, trouble: None };
                true
            }
            Phase::Trial { trouble, .. } => {
                self.phase = Phase::Throttled { until, trouble: Some(*trouble) };
                true
            }
        }
    }
}
