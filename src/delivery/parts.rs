//! The parts of a message: those of its recipients that take the same route. Pure.

use super::route::{DEFAULT, RouteId};
use crate::clock::Timestamp;
use crate::queue::{Next, RecipientState, RecipientStatus};

/// Which recipients take which route, and what has come of each part in this delivery.
#[derive(Clone, Debug, Default)]
pub(super) struct Parts {
    /// By which routing this is so; 0: by none yet.
    pub(super) routing: u64,
    /// The route of the part whose turn it is.
    now: RouteId,
    /// The route of each recipient; empty: all take the one.
    of: Vec<RouteId>,
    /// The parts that have had their turn and must wait, or are over.
    ended: Vec<(RouteId, Option<Wait>)>,
    /// No other part may have its turn in this delivery.
    closed: bool,
}

/// Until when and why a part waits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wait {
    due: Timestamp,
    error: Option<String>,
    deferred: bool,
}

impl Parts {
    /// All recipients take this route.
    pub(super) fn all(route: RouteId) -> Self {
        Self { now: route, ..Self::default() }
    }

    /// The recipients take these routes.
    pub(super) fn each(routes: impl Iterator<Item = RouteId> + Clone) -> Self {
        let first = routes.clone().next().unwrap_or(DEFAULT);
        if routes.clone().all(|route| route == first) {
            return Self::all(first);
        }
        Self { now: first, of: routes.collect(), ..Self::default() }
    }

    /// True when there is one part only.
    pub(super) fn is_one(&self) -> bool {
        self.of.is_empty()
    }

    /// The route of the part whose turn it is.
    pub(super) fn now(&self) -> RouteId {
        self.now
    }

    /// True for a recipient of the part whose turn it is, by its place in the envelope.
    pub(super) fn is_now(&self, recipient: usize) -> bool {
        self.of.get(recipient).is_none_or(|route| *route == self.now)
    }

    /// It is the turn of this part.
    pub(super) fn turn_to(&mut self, route: RouteId) {
        self.now = route;
    }

    /// No other part has its turn in this delivery: its end is unknown, or it has no time left.
    pub(super) fn close(&mut self) {
        self.closed = true;
    }

    /// The routes of all recipients, each once, in the order of their numbers.
    pub(super) fn all_routes(&self) -> Vec<RouteId> {
        if self.is_one() {
            return vec![self.now];
        }
        let mut routes = self.of.clone();
        routes.sort_unstable();
        routes.dedup();
        routes
    }

    /// The routes of recipients that are not settled, each once, in the order of their numbers.
    pub(super) fn open(&self, recipients: &[RecipientStatus]) -> Vec<RouteId> {
        if self.is_one() {
            return vec![self.now];
        }
        let waiting = recipients.iter().zip(&self.of);
        let waiting = waiting.filter(|(recipient, _)| recipient.state == RecipientState::Queued);
        let mut routes: Vec<RouteId> = waiting.map(|(_, route)| *route).collect();
        routes.sort_unstable();
        routes.dedup();
        routes
    }

    /// The parts that have not had their turn in this delivery.
    pub(super) fn untried(&self, recipients: &[RecipientStatus]) -> Vec<RouteId> {
        let mut routes = self.open(recipients);
        routes.retain(|route| !self.ended.iter().any(|(ended, _)| ended == route));
        routes
    }

    /// The part whose turn it is ends so. Returns what follows for the message, or `None` when another part has its turn.
    pub(super) fn end(&mut self, next: Next, recipients: &mut [RecipientStatus]) -> Option<Next> {
        if self.is_one() {
            return Some(next);
        }
        let wait = match next {
            Next::Continue => return Some(Next::Continue),
            Next::Queue { due, error, deferred } => Some(Wait { due, error, deferred }),
            Next::Delivered => None,
            Next::Failed { error } => {
                self.fail(&error, recipients);
                None
            }
        };
        // What is over is not in doubt.
        self.closed &= wait.is_some();
        self.ended.push((self.now, wait));
        if !self.closed && !self.untried(recipients).is_empty() {
            return None;
        }
        Some(self.outcome(recipients))
    }

    fn fail(&self, error: &str, recipients: &mut [RecipientStatus]) {
        for (at, recipient) in recipients.iter_mut().enumerate() {
            if self.is_now(at) && recipient.state == RecipientState::Queued {
                recipient.state = RecipientState::Failed;
                recipient.reason = Some(error.to_owned());
            }
        }
    }

    /// The message waits for the earliest of its parts.
    fn outcome(&self, recipients: &[RecipientStatus]) -> Next {
        let is_over = recipients.iter().all(|it| it.state != RecipientState::Queued);
        let waits = || self.ended.iter().filter_map(|(_, wait)| wait.as_ref());
        match waits().min_by_key(|wait| wait.due) {
            Some(first) if !is_over => Next::Queue {
                due: first.due,
                error: first.error.clone().or_else(|| waits().find_map(|wait| wait.error.clone())),
                deferred: waits().any(|wait| wait.deferred),
            },
            // The end says itself who has not got it.
            Some(_) | None => Next::Delivered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn people(count: usize) -> Vec<RecipientStatus> {
        let address = |n: usize| format!("r{n}@example.org").parse().unwrap();
        (0..count).map(|n| RecipientStatus::queued(address(n))).collect()
    }

    fn wait(seconds: i64, deferred: bool) -> Next {
        let due = Timestamp::from_second(seconds).unwrap();
        Next::Queue { due, error: Some(format!("after {seconds}")), deferred }
    }

    #[test]
    fn one_route_is_one_part_whose_end_is_that_of_the_message() {
        for mut parts in [Parts::all(3), Parts::each([3, 3].into_iter())] {
            let mut people = people(2);
            assert!(parts.is_one() && parts.is_now(0) && parts.is_now(1));
            assert_eq!(parts.open(&people), [3]);
            assert_eq!(parts.end(wait(5, true), &mut people), Some(wait(5, true)));
            let failed = Next::Failed { error: "no".to_owned() };
            assert_eq!(parts.end(failed.clone(), &mut people), Some(failed));
        }
    }

    #[test]
    fn each_part_has_its_turn_and_the_message_waits_for_the_earliest() {
        let mut people = people(3);
        let mut parts = Parts::each([2, 0, 2].into_iter());
        assert_eq!((parts.now(), parts.untried(&people)), (2, vec![0, 2]));
        assert!(parts.is_now(0) && !parts.is_now(1) && parts.is_now(2));
        assert_eq!(parts.end(wait(50, true), &mut people), None);
        assert_eq!(parts.untried(&people), [0]);
        parts.turn_to(0);
        let next = parts.end(wait(20, false), &mut people);
        let Some(Next::Queue { due, error, deferred }) = next else { panic!("it waits") };
        assert_eq!((due.as_second(), error.as_deref(), deferred), (20, Some("after 20"), true));
    }

    #[test]
    fn a_part_that_fails_takes_nobody_else_with_it() {
        let mut people = people(2);
        let mut parts = Parts::each([1, 0].into_iter());
        let failed = Next::Failed { error: "no".to_owned() };
        assert_eq!(parts.end(failed, &mut people), None);
        assert_eq!(people[0].state, RecipientState::Failed);
        assert_eq!(people[1].state, RecipientState::Queued);
        parts.turn_to(0);
        people[1].state = RecipientState::Delivered;
        assert_eq!(parts.end(Next::Delivered, &mut people), Some(Next::Delivered));
    }

    #[test]
    fn a_part_whose_end_is_unknown_ends_the_delivery() {
        let mut people = people(2);
        let mut parts = Parts::each([1, 0].into_iter());
        parts.close();
        assert_eq!(parts.end(wait(7, true), &mut people), Some(wait(7, true)));
        assert_eq!(people[1].state, RecipientState::Queued);
    }
}
