//! Which lane a message takes, or where it waits. Decided on the board.

use std::time::Duration;

use super::board::{Board, earlier};
use super::brought::Way;
use super::job::Job;
use super::lane::LaneId;
use super::roster::NoLane;
use super::route::RouteId;
use super::standing::Admission;
use crate::clock::Timestamp;

/// How long a message waits whose account finds no place among those in use.
const NO_LANE_WAIT: Duration = Duration::from_secs(30);
/// Mail for a closed lane is looked at this often although the lane may open later: an operator may have mended it.
const LOOK_AGAIN: Duration = Duration::from_mins(5);

/// Where a message goes.
#[derive(Debug)]
pub(super) enum Placement {
    /// A slot of this lane is taken for it.
    Run(LaneId, Box<Job>),
    /// It waits on the board: for a time to come, or for a call to end.
    Parked { for_time: bool },
    /// Back to the queue until then: every provider that it could use is closed, or has a crowd waiting.
    Back { job: Box<Job>, due: Timestamp, why: Option<String> },
    /// No provider is left that it could use.
    Nobody(Box<Job>),
    /// It may have arrived, and must not be sent again.
    Held(Box<Job>),
}

impl Board {
    /// Of several parts, the first that can go at once has its turn, else the one before which the fewest wait, else one
    /// that must wait for its providers.
    pub(super) fn choose_part(&self, job: &mut Job, now: Timestamp) {
        self.divide(job);
        if job.parts.is_one() {
            return;
        }
        let parts = job.parts.untried(&job.claim.recipients);
        let by_rank = parts.into_iter().min_by_key(|part| {
            job.parts.turn_to(*part);
            self.rank(job, now)
        });
        if let Some(part) = by_rank {
            job.parts.turn_to(part);
        }
    }

    /// Finds a lane for the part of a message whose turn it is.
    pub(super) fn place_part(&mut self, mut job: Job, now: Timestamp) -> Placement {
        self.divide(&mut job);
        match self.open_lane(&job.way, now) {
            Ok(()) => {}
            Err(full @ NoLane::Full) => {
                let due = self.next_turn(now, 1);
                let why = Some(full.to_string());
                return Placement::Back { job: Box::new(job), due, why };
            }
            Err(NoLane::Unusable(reason)) => job.way = Way::Locked(reason),
        }
        let candidates = self.candidates(&job);
        let Some(first) = candidates.first().copied() else {
            return Placement::Nobody(Box::new(job));
        };
        let shared = self.is_shared();
        let mut opens: Option<Timestamp> = None;
        for id in candidates {
            let lane = self.roster.lane(id);
            let gathers = lane.gathers(&job, self.batching, now);
            match lane.admits(&job, now) {
                Admission::Closed(at) => opens = earlier(opens, at),
                Admission::Open
                    if gathers.is_none() && lane.goes_first(now) && lane.is_free(now) =>
                {
                    job.counted = self.roster.change(id, |lane| lane.take_slot(now));
                    return Placement::Run(id, Box::new(job));
                }
                Admission::Open | Admission::Soon(_)
                    if shared && lane.is_crowded(job.turn, self.batching) =>
                {
                    let earliest = lane.drained(now).max(now + self.wait_min);
                    let due = self.turn(id, earliest);
                    return Placement::Back { job: Box::new(job), due, why: None };
                }
                admission @ (Admission::Open | Admission::Soon(_)) => {
                    let for_time = lane.has_slot() || admission != Admission::Open;
                    self.roster.change(id, |lane| lane.waiting.push(job, gathers));
                    return Placement::Parked { for_time };
                }
            }
        }
        let due = self.due_when_closed(&job, first, opens, now);
        let why = self.why_closed(&job, now);
        Placement::Back { job: Box::new(job), due, why }
    }

    /// The lower, the sooner the part of the message whose turn it would be can go. What may have arrived is settled first:
    /// its record must not be overwritten by another part's.
    fn rank(&self, job: &Job, now: Timestamp) -> (u8, usize) {
        let in_doubt = job.doubt.as_ref();
        if in_doubt.is_some_and(|doubt| self.in_doubt(job, doubt).contains(&job.parts.now())) {
            return (0, 0);
        }
        let candidates = self.usual(job);
        let open = candidates.iter().find(|id| self.is_open(**id, now));
        match open.map(|id| self.roster.lane(*id)) {
            Some(lane) if lane.waiting.is_empty() && lane.is_free(now) => (1, 0),
            Some(lane) => (2, lane.waiting.len()),
            None => (3, 0),
        }
    }

    /// When a message comes round again whose account found no place, or may lose it.
    fn next_turn(&mut self, now: Timestamp, times: u32) -> Timestamp {
        now + (NO_LANE_WAIT * times).mul_f64(1.0 + self.rng.f64())
    }

    /// When to look again at a message whose lanes are all closed, `first` the one that it would like best. Its way is left
    /// out of reads while it is closed, so that it is found when it opens. Where the way is open to others, because this
    /// message has been refused there, it would come round and round.
    fn due_when_closed(
        &mut self,
        job: &Job,
        first: LaneId,
        opens: Option<Timestamp>,
        now: Timestamp,
    ) -> Timestamp {
        let is_open = |route: &RouteId| self.order(*route).iter().any(|id| self.is_open(*id, now));
        let routes = job.parts.open(&job.claim.recipients);
        // Whoever else may use it: this message may wait for one provider only, or have more recipients than are left of a
        // quota.
        let is_way_open = self.usual(job).into_iter().any(|id| self.is_open(id, now));
        let is_shut = !is_way_open && (job.parts.is_one() || !routes.iter().any(is_open));
        // What is not remembered is read with all that is unknown, whoever is open.
        let is_shut = is_shut && (job.parts.is_one() || self.remembers(routes));
        if is_shut && job.passed_over.is_empty() {
            self.roster.change(first, |lane| lane.owing = true);
            // Where accounts take turns at having a lane, those that had one come after those that had none.
            let takes_turns = matches!(job.way, Way::Account(_)) && self.roster.is_full();
            return if takes_turns { self.next_turn(now, 2) } else { now };
        }
        let soonest = now + self.wait_min;
        let earliest = opens.unwrap_or(now).min(now + LOOK_AGAIN).max(soonest);
        self.turn(first, earliest)
    }

    /// When a message that this lane cannot take is to come round again.
    fn turn(&mut self, lane: LaneId, earliest: Timestamp) -> Timestamp {
        let rng = &mut self.rng;
        self.roster.change(lane, |lane| lane.turn(earliest, rng))
    }
}
