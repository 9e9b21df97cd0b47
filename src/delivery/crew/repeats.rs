//! What becomes of a batch whose end is unclear, until it is repeated or given up.

use std::sync::Arc;
use std::time::Duration;

use crate::delivery::calls::Lane;
use crate::delivery::course::{self, Obstacle};
use crate::delivery::doubt::Answer;
use crate::delivery::engine::Engine;
use crate::delivery::job::Job;
use crate::delivery::slot::Slot;
use crate::queue::Next;

/// A batch that a limit stops is looked at this often although the limit may hold for longer: an operator may have raised
/// it.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

impl Engine {
    /// A batch whose end is unclear waits as a whole, until it is repeated; or all of it is given up.
    pub(super) async fn unit_waits(
        self: &Arc<Self>,
        way: &Lane<'_>,
        slot: Slot<'_>,
        jobs: Vec<Job>,
        obstacle: &Obstacle,
        answer: Answer,
    ) {
        let (rules, now) = (self.policy().rules, self.now());
        let text = obstacle.text(way.name);
        let (nexts, is_open, wait_min): (Vec<Next>, bool, Duration) = {
            let mut board = self.board();
            slot.give_back(&mut board);
            // In the same moment: without its slot the lane may be gone at the next.
            let is_open = board.has(way.lane) && board.is_open(way.lane, now);
            let least = course::asked_wait(obstacle);
            let mut defer =
                |job| course::defer(job, &rules, text.clone(), least, now, &mut board.rng);
            (jobs.iter().map(&mut defer).collect(), is_open, board.wait_min)
        };
        self.after_release();
        let due = |next: &Next| match next {
            Next::Queue { due, .. } => Some(*due),
            Next::Continue | Next::Delivered | Next::Failed { .. } => None,
        };
        let nexts = match (nexts.iter().filter_map(due).max(), obstacle) {
            // A clear answer has closed the lane, or lets it rest: then the wait is for that.
            (Some(_), _) if answer == Answer::Silent && !is_open => {
                vec![course::wait(now, Some(text)); jobs.len()]
            }
            // Nothing was tried, so that it is no step of the back-off.
            (_, Obstacle::Stopped(stop)) => {
                let until = course::stopped_until(stop, now).unwrap_or(now);
                let due = until.min(now + LOOK_AGAIN).max(now + wait_min);
                vec![course::wait(due, Some(text)); jobs.len()]
            }
            (Some(due), _) => {
                vec![Next::Queue { due, error: Some(text), deferred: true }; jobs.len()]
            }
            (None, _) => nexts,
        };
        self.settle_all(jobs.into_iter().map(Box::new).zip(nexts).collect()).await;
        self.refill(way.lane);
    }

    /// The members of a batch that cannot be repeated as it was go on alone, as far as they may.
    pub(in crate::delivery) fn break_up(self: &Arc<Self>, unit: Vec<Job>) {
        for mut job in unit {
            job.lose_batch();
            self.dispatch(job);
        }
    }
}
