//! Which of two records of one message is the younger.

use std::cmp::Ordering;

use crate::message::QueueId;
use crate::queue::State;

/// As much of a record as tells which of two is the younger. Times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sketch {
    pub id: QueueId,
    pub state: State,
    pub due_at: i64,
    /// How often it was claimed.
    pub lease: i64,
    /// How many calls are recorded.
    pub attempts: u64,
    pub deferrals: u32,
    pub trying_since: i64,
    pub finished_at: Option<i64>,
    /// Since when it is in doubt, if it is.
    pub begun_at: Option<i64>,
    /// Octets of its content; 0 where that is not kept any more.
    pub octets: u64,
    /// It goes by an account that its client brought.
    pub has_account: bool,
}

/// What becomes of a record that comes to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::queue) enum Judgement {
    /// It is new here.
    Add,
    /// It takes the place of the one that is there.
    Replace,
    /// The one that is there says as much or more.
    Keep,
}

/// What becomes of `coming` where `there` is known. Claims are counted and attempts only ever added: who has more of
/// them is the younger. Between claims an operator may have acted: a retry begins a new span of trying, and without one
/// nothing that is over opens again.
pub(in crate::queue) fn judge(coming: &Sketch, there: Option<&Sketch>) -> Judgement {
    let Some(there) = there else { return Judgement::Add };
    let is_younger = match (coming.lease, coming.attempts).cmp(&(there.lease, there.attempts)) {
        Ordering::Greater => true,
        Ordering::Less => false,
        Ordering::Equal => match (coming.state.is_open(), there.state.is_open()) {
            // What waits in the store that is left counts: that is the one that was used.
            (true, true) => coming.waits_otherwise(there),
            (false, true) => there.trying_since <= coming.trying_since,
            (true, false) => coming.trying_since > there.trying_since,
            (false, false) => coming.finished_at > there.finished_at,
        },
    };
    if is_younger { Judgement::Replace } else { Judgement::Keep }
}

impl Sketch {
    fn waits_otherwise(&self, other: &Self) -> bool {
        let waits = |one: &Self| {
            (one.state, one.due_at, one.deferrals, one.trying_since, one.begun_at, one.octets)
        };
        waits(self) != waits(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sketch(state: State, lease: i64, attempts: u64, trying_since: i64) -> Sketch {
        Sketch {
            id: QueueId::from_bytes([1; 16]),
            state,
            due_at: 0,
            lease,
            attempts,
            deferrals: 0,
            trying_since,
            finished_at: (!state.is_open()).then_some(50),
            begun_at: None,
            octets: 10,
            has_account: false,
        }
    }

    #[test]
    fn what_is_not_there_is_added_and_what_is_the_same_stays() {
        for state in State::ALL {
            let one = sketch(state, 2, 1, 0);
            assert_eq!(judge(&one, None), Judgement::Add);
            assert_eq!(judge(&one, Some(&one)), Judgement::Keep);
        }
    }

    #[test]
    fn what_is_over_never_opens_again_but_by_a_retry() {
        for over in [State::Delivered, State::Failed, State::Cancelled] {
            let there = sketch(over, 2, 1, 0);
            let older = sketch(State::Queued, 1, 0, 0);
            let as_old = sketch(State::Queued, 2, 1, 0);
            let retried = sketch(State::Queued, 2, 1, 60);
            assert_eq!(judge(&older, Some(&there)), Judgement::Keep);
            assert_eq!(judge(&as_old, Some(&there)), Judgement::Keep);
            assert_eq!(judge(&retried, Some(&there)), Judgement::Replace);
            // And the other way round.
            assert_eq!(judge(&there, Some(&older)), Judgement::Replace);
            assert_eq!(judge(&there, Some(&as_old)), Judgement::Replace);
            assert_eq!(judge(&there, Some(&retried)), Judgement::Keep);
        }
    }

    #[test]
    fn who_was_claimed_or_called_more_often_is_the_younger() {
        let there = sketch(State::Queued, 2, 1, 0);
        for (lease, attempts, judgement) in [
            (1, 1, Judgement::Keep),
            (2, 0, Judgement::Keep),
            (2, 2, Judgement::Replace),
            (3, 1, Judgement::Replace),
        ] {
            let coming = sketch(State::Queued, lease, attempts, 0);
            assert_eq!(judge(&coming, Some(&there)), judgement, "{lease} {attempts}");
        }
    }

    #[test]
    fn of_two_that_wait_the_one_of_the_store_that_is_left_counts() {
        let there = sketch(State::Queued, 2, 1, 0);
        let later = Sketch { due_at: 9, ..there.clone() };
        let in_doubt = Sketch { begun_at: Some(3), ..there.clone() };
        assert_eq!(judge(&later, Some(&there)), Judgement::Replace);
        assert_eq!(judge(&there, Some(&later)), Judgement::Replace);
        assert_eq!(judge(&in_doubt, Some(&there)), Judgement::Replace);
    }
}
