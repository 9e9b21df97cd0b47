//! How a lane stands, as instances tell each other. Pure.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::board::Board;
use super::lane::{Lane, LaneId};
use crate::clock::Timestamp;
use crate::queue::{AccountStanding, Condition};

/// A rest up to this long is over before it is worth telling.
const SHORT_REST: Duration = Duration::from_secs(2);
/// Ends that differ by less are the same.
const SAME_REST: Duration = Duration::from_secs(1);
const SAME_EXHAUSTION: Duration = Duration::from_mins(1);

impl Board {
    /// What the other instances should be told of a lane, if it is not what they know; `force`: in any case.
    pub(super) fn news(
        &mut self,
        lane: LaneId,
        by: Arc<str>,
        force: bool,
        now: Timestamp,
    ) -> Option<AccountStanding> {
        self.roster.change(lane, |lane| lane.news(by, force, now))
    }

    /// Takes over what another instance says of an account. The lane, when it stands otherwise since.
    pub(super) fn hear(
        &mut self,
        standing: &AccountStanding,
        is_old: bool,
        now: Timestamp,
    ) -> Option<LaneId> {
        let is_meant = |(_, lane): &(LaneId, &Lane)| {
            lane.setup.name == standing.account && lane.setup.account.short() == standing.mark
        };
        let id = self.roster.all().find(is_meant).map(|(id, _)| id)?;
        let rng = &mut self.rng;
        let changed = self.roster.change(id, |lane| lane.hear_of(standing, is_old, now, rng));
        changed.then_some(id)
    }
}

impl Lane {
    fn condition(&self, now: Timestamp) -> Option<Condition> {
        let rests = self.limits.rests_until(now).filter(|until| *until > now + SHORT_REST);
        match (self.standing.condition(now)?, rests) {
            // It has said that nothing is left of its window.
            (Condition::Up, Some(until)) => Some(Condition::Rests { until }),
            (Condition::Rests { until }, _) if until <= now + SHORT_REST => None,
            (condition, _) => Some(condition),
        }
    }

    fn news(&mut self, by: Arc<str>, force: bool, now: Timestamp) -> Option<AccountStanding> {
        let condition = self.condition(now)?;
        let known = match self.known {
            // It is over.
            Some((Condition::Rests { until }, _)) if until <= now => Condition::Up,
            Some((known, _)) => known,
            None => Condition::Up,
        };
        if !force && is_same(known, condition) {
            return None;
        }
        self.known = Some((condition, now));
        let error = self.standing.last_error().filter(|_| condition != Condition::Up);
        Some(AccountStanding {
            account: self.setup.name.clone(),
            mark: self.setup.account.short(),
            condition,
            error: error.map(|(_, error)| error.clone()),
            at: now,
            by,
        })
    }

    /// True when the lane stands otherwise since. Only what is younger than all that is known changes anything.
    fn hear_of(
        &mut self,
        told: &AccountStanding,
        is_old: bool,
        now: Timestamp,
        rng: &mut Rng,
    ) -> bool {
        let knows_better = self.known.is_some_and(|(_, at)| at >= told.at)
            || self.standing.last_success().is_some_and(|at| at > told.at);
        if knows_better {
            return false;
        }
        self.known = Some((told.condition, told.at));
        if let Condition::Rests { until } = told.condition
            && until > now
        {
            self.limits.rest(Some(until.duration_since(now).unsigned_abs()), now);
        }
        let error = told.error.as_ref().map(|error| (told.at, error.clone()));
        let changed = self.standing.hear(told.condition, error, is_old, now, rng);
        if changed && told.condition == Condition::Up {
            self.forget_turns();
        }
        changed
    }
}

fn is_same(one: Condition, other: Condition) -> bool {
    let apart = |a: Timestamp, b: Timestamp| a.duration_since(b).unsigned_abs();
    match (one, other) {
        (Condition::Rests { until: a }, Condition::Rests { until: b }) => apart(a, b) < SAME_REST,
        (Condition::Exhausted { until: Some(a) }, Condition::Exhausted { until: Some(b) }) => {
            apart(a, b) < SAME_EXHAUSTION
        }
        (a, b) => a == b,
    }
}
