//! Settlements that are written together.

use super::line::Job;

/// Settlements that wait for company while sessions wait for their 250: so many, for so many commits at the most. They
/// change the same few pages, so that together they cost a fraction of what they cost one by one, and the sessions
/// do not wait for them. A crash in these milliseconds repeats the calls under their old keys, as one in the
/// milliseconds of the call itself would.
const SETTLEMENTS_HELD_MAX: usize = 128;
const COMMITS_HELD_MAX: usize = 8;

/// Settlements that wait for company.
#[derive(Default)]
pub(super) struct Held {
    jobs: Vec<Job>,
    /// Commits since the first of them came.
    commits: usize,
}

impl Held {
    /// True when nothing waits here.
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Takes the settlements out of `jobs` while messages come in, of which there is room for `room`; or puts all that
    /// were held back in front, when they have waited long enough, nobody else waits, or the queue is about to be full.
    pub(super) fn sort(&mut self, jobs: &mut Vec<Job>, room: u64) {
        let settles = |job: &Job| matches!(job, Job::Settle { .. });
        let inserts = jobs.iter().filter(|job| matches!(job, Job::Insert { .. })).count();
        let settlements = self.jobs.iter().chain(jobs.iter().filter(|job| settles(job)));
        let settlements: usize = settlements.map(Job::records).sum();
        let hold = (1..=room).contains(&(inserts as u64))
            && settlements < SETTLEMENTS_HELD_MAX
            && self.commits < COMMITS_HELD_MAX;
        if hold {
            self.jobs.extend(jobs.extract_if(.., |job| settles(job)));
            self.commits = if self.jobs.is_empty() { 0 } else { self.commits + 1 };
        } else {
            jobs.splice(..0, self.jobs.drain(..));
            self.commits = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::line::Answer;
    use super::*;
    use crate::queue::conformance::message;
    use crate::queue::{Entry, Next, Settlement};

    const ROOM: u64 = 1_000;

    fn insert() -> Job {
        Job::Insert { entry: Entry::waiting(Arc::new(message(1))), answer: Answer::new().0 }
    }

    fn settle() -> Job {
        let message = message(1);
        let settlement = Settlement {
            id: message.id,
            lease: 1,
            attempts: Vec::new(),
            recipients: Vec::new(),
            next: Next::Delivered,
            at: message.received_at,
            unclear: false,
            suspect: None,
            way: None,
            usage: Vec::new(),
        };
        Job::Settle { settlements: vec![settlement], answer: Answer::new().0 }
    }

    fn is_settle(job: &Job) -> bool {
        matches!(job, Job::Settle { .. })
    }

    #[test]
    fn with_nobody_else_in_the_line_a_settlement_does_not_wait() {
        let mut held = Held::default();
        let mut jobs = vec![settle()];
        held.sort(&mut jobs, ROOM);
        assert_eq!(jobs.len(), 1);
        assert!(held.is_empty());
    }

    #[test]
    fn beside_messages_that_come_in_it_waits_for_a_few_commits_only() {
        let mut held = Held::default();
        let mut commits = 0;
        loop {
            let mut jobs = vec![settle(), insert()];
            held.sort(&mut jobs, ROOM);
            if held.is_empty() {
                assert_eq!(jobs.iter().filter(|job| is_settle(job)).count(), COMMITS_HELD_MAX + 1);
                break;
            }
            assert!(!jobs.iter().any(is_settle));
            commits += 1;
            assert!(commits <= COMMITS_HELD_MAX);
        }
    }

    #[test]
    fn many_do_not_wait() {
        let mut held = Held::default();
        let mut jobs: Vec<Job> = (0..SETTLEMENTS_HELD_MAX).map(|_| settle()).collect();
        jobs.push(insert());
        held.sort(&mut jobs, ROOM);
        assert!(held.is_empty());
    }

    #[test]
    fn a_queue_that_is_about_to_be_full_is_relieved_first() {
        let mut held = Held::default();
        let mut jobs = vec![insert(), settle(), insert()];
        held.sort(&mut jobs, 1);
        assert!(held.is_empty());
        assert!(is_settle(&jobs[1]), "in the order in which they came");
    }
}
