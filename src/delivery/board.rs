//! Who may send what now: every provider's lane, and the messages that wait for one.
//!
//! Pure decisions under one short lock; `engine` carries them out.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::sync::Arc;

use fastrand::Rng;

use super::Backoff;
use super::job::Job;
use super::pace::Pace;
use super::standing::{Admission, Standing};
use super::status::ProviderStatus;
use crate::clock::Timestamp;
use crate::provider::{Provider, Rate, SendError};

/// Messages that may wait in memory for one open lane.
const PARKED_PER_LANE: usize = 64;
/// The queue is read when this many messages fit, so that one read brings many.
const ROOM_MIN: usize = 32;

/// A provider and how it may be used.
#[derive(Clone, Debug)]
pub struct LaneSetup {
    /// The configured name.
    pub name: String,
    /// The account.
    pub provider: Arc<dyn Provider>,
    /// Calls in flight at the most.
    pub concurrency: NonZeroUsize,
    /// Calls per time; `None`: as fast as it answers.
    pub rate: Option<Rate>,
    /// Takes part in the default route. Otherwise only mail that names it goes there.
    pub in_route: bool,
}

/// The number of a lane on the board.
pub(super) type LaneId = usize;

#[derive(Debug)]
struct Lane {
    setup: LaneSetup,
    standing: Standing,
    pace: Option<Pace>,
    in_flight: usize,
    waiting: VecDeque<Job>,
}

/// Where a message goes.
#[derive(Debug)]
pub(super) enum Placement {
    /// A slot of this lane is taken for it.
    Run(LaneId, Box<Job>),
    /// It waits on the board: for a time to come, or for a call to end.
    Parked { for_time: bool },
    /// Every provider that it could use is closed; the first may open at the time, if that is known.
    Closed(Box<Job>, Option<Timestamp>),
    /// No provider is left that it could use.
    Nobody(Box<Job>),
}

#[derive(Debug)]
pub(super) struct Board {
    lanes: Vec<Lane>,
    pub(super) rng: Rng,
}

impl Board {
    /// Lanes in the order of preference; closed ones are checked by `checks`.
    pub(super) fn new(lanes: Vec<LaneSetup>, checks: Backoff, rng: Rng) -> Self {
        let lane = |setup: LaneSetup| Lane {
            standing: Standing::new(checks),
            pace: setup.rate.map(Pace::new),
            in_flight: 0,
            waiting: VecDeque::new(),
            setup,
        };
        Self { lanes: lanes.into_iter().map(lane).collect(), rng }
    }

    pub(super) fn name(&self, lane: LaneId) -> &str {
        &self.lanes[lane].setup.name
    }

    pub(super) fn provider(&self, lane: LaneId) -> Arc<dyn Provider> {
        Arc::clone(&self.lanes[lane].setup.provider)
    }

    /// The lane of the provider of this name.
    pub(super) fn find(&self, name: &str) -> Option<LaneId> {
        self.lanes.iter().position(|lane| lane.setup.name == name)
    }

    /// The lanes that a message may use, in the order of preference, closed ones included.
    pub(super) fn candidates(&self, job: &Job) -> Vec<LaneId> {
        let pinned = job.claim.pinned_provider.as_deref().and_then(|name| self.find(name));
        let route = self.lanes.iter().enumerate();
        let route = route.filter(|(_, lane)| lane.setup.in_route).map(|(id, _)| id);
        let wanted: Vec<LaneId> = match pinned {
            Some(lane) => vec![lane],
            None => route.collect(),
        };
        wanted
            .into_iter()
            .filter(|id| !job.passed_over.iter().any(|n| n == self.name(*id)))
            .collect()
    }

    /// Finds a lane for a message, or a place to wait.
    pub(super) fn place(&mut self, job: Job, now: Timestamp) -> Placement {
        let candidates = self.candidates(&job);
        if candidates.is_empty() {
            return Placement::Nobody(Box::new(job));
        }
        let mut opens: Option<Timestamp> = None;
        for id in candidates {
            let lane = &mut self.lanes[id];
            match lane.standing.admission(now) {
                Admission::Closed(at) => opens = earlier(opens, at),
                Admission::Open if lane.waiting.is_empty() && lane.is_free(now) => {
                    lane.take_slot(now);
                    return Placement::Run(id, Box::new(job));
                }
                admission @ (Admission::Open | Admission::Soon(_)) => {
                    lane.waiting.push_back(job);
                    let slots = lane.in_flight < lane.setup.concurrency.get();
                    let for_time = slots || admission != Admission::Open;
                    return Placement::Parked { for_time };
                }
            }
        }
        Placement::Closed(Box::new(job), opens)
    }

    /// A waiting message whose lane has a free slot now; the slot is taken for it.
    pub(super) fn next_ready(&mut self, now: Timestamp) -> Option<(LaneId, Job)> {
        self.lanes.iter_mut().enumerate().find_map(|(id, lane)| {
            if lane.standing.admission(now) != Admission::Open || !lane.is_free(now) {
                return None;
            }
            let job = lane.waiting.pop_front()?;
            lane.take_slot(now);
            Some((id, job))
        })
    }

    /// Takes the messages off closed lanes, to be placed anew.
    pub(super) fn displaced(&mut self, now: Timestamp) -> Vec<Job> {
        let closed =
            |lane: &&mut Lane| matches!(lane.standing.admission(now), Admission::Closed(_));
        self.lanes.iter_mut().filter(closed).flat_map(|lane| lane.waiting.drain(..)).collect()
    }

    /// Takes the messages off the front that have waited until their lease ends.
    pub(super) fn outstayed(&mut self, now: Timestamp) -> Vec<Job> {
        let mut outstayed = Vec::new();
        for lane in &mut self.lanes {
            while let Some(job) = lane.waiting.pop_front_if(|job| job.lease_ends(now)) {
                outstayed.push(job);
            }
        }
        outstayed
    }

    /// Takes all waiting messages, for the shutdown.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.lanes.iter_mut().flat_map(|lane| lane.waiting.drain(..)).collect()
    }

    /// A slot is taken although the lane may be full or closed: somebody wants an answer now.
    pub(super) fn force(&mut self, lane: LaneId, now: Timestamp) {
        self.lanes[lane].take_slot(now);
    }

    /// The slot of a lane is free again.
    pub(super) fn release(&mut self, lane: LaneId) {
        let lane = &mut self.lanes[lane];
        lane.in_flight = lane.in_flight.saturating_sub(1);
        lane.standing.abandoned();
    }

    /// When the next call of a message that has its slot already may be made; it is counted when that is now.
    pub(super) fn pace(&mut self, lane: LaneId, now: Timestamp) -> Result<(), Timestamp> {
        match &mut self.lanes[lane].pace {
            Some(pace) if pace.next(now) > now => Err(pace.next(now)),
            Some(pace) => {
                pace.count(now);
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// A call succeeded. True when the provider was closed before.
    pub(super) fn succeeded(&mut self, lane: LaneId, now: Timestamp) -> bool {
        self.lanes[lane].standing.succeeded(now)
    }

    /// A call failed. True when the provider closes by this.
    pub(super) fn failed(&mut self, lane: LaneId, error: &SendError, now: Timestamp) -> bool {
        self.lanes[lane].standing.failed(error, now, &mut self.rng)
    }

    pub(super) fn is_open(&self, lane: LaneId, now: Timestamp) -> bool {
        !matches!(self.lanes[lane].standing.admission(now), Admission::Closed(_))
    }

    /// True when at least one provider of the route takes mail, now or soon.
    pub(super) fn any_open(&self, now: Timestamp) -> bool {
        (0..self.lanes.len()).any(|id| self.lanes[id].setup.in_route && self.is_open(id, now))
    }

    /// Since when every provider of the route has been down, if they all are.
    pub(super) fn route_down_since(&self) -> Option<Timestamp> {
        self.down_since((0..self.lanes.len()).filter(|id| self.lanes[*id].setup.in_route))
    }

    /// Since when every provider that a message may use has been down, if they all are.
    pub(super) fn all_down_since(&self, job: &Job) -> Option<Timestamp> {
        self.down_since(self.candidates(job).into_iter())
    }

    fn down_since(&self, lanes: impl Iterator<Item = LaneId>) -> Option<Timestamp> {
        let since: Option<Vec<_>> = lanes.map(|id| self.lanes[id].standing.down_since()).collect();
        since?.into_iter().max()
    }

    /// Closed lanes whose check is due; each is named once until its check has ended.
    pub(super) fn due_checks(&mut self, now: Timestamp) -> Vec<LaneId> {
        let lanes = self.lanes.iter_mut().enumerate();
        lanes.filter_map(|(id, lane)| lane.standing.start_check(now).then_some(id)).collect()
    }

    pub(super) fn checked(&mut self, id: LaneId, result: Result<(), &SendError>, now: Timestamp) {
        self.lanes[id].standing.checked(result, now, &mut self.rng);
    }

    /// True when nothing is under way on an open lane of the route.
    fn is_idle(&self, now: Timestamp) -> bool {
        let mut lanes = self.lanes.iter().enumerate();
        lanes.all(|(id, lane)| {
            !lane.setup.in_route
                || !self.is_open(id, now)
                || (lane.in_flight == 0 && lane.waiting.is_empty())
        })
    }

    /// True when enough fits in memory that reading the queue is worth it.
    pub(super) fn wants_more(&self, now: Timestamp) -> bool {
        let room = self.room(now);
        room >= ROOM_MIN || (room > 0 && self.is_idle(now))
    }

    /// How many more messages it is worth to have in memory.
    pub(super) fn room(&self, now: Timestamp) -> usize {
        let room = |lane: &Lane| match lane.standing.admission(now) {
            Admission::Open | Admission::Soon(_) if lane.setup.in_route => {
                if lane.standing.is_trial() {
                    1_usize.saturating_sub(lane.waiting.len() + lane.in_flight)
                } else {
                    (PARKED_PER_LANE + lane.setup.concurrency.get())
                        .saturating_sub(lane.waiting.len() + lane.in_flight)
                }
            }
            Admission::Open | Admission::Soon(_) | Admission::Closed(_) => 0,
        };
        self.lanes.iter().map(room).max().unwrap_or(0)
    }

    /// When something on the board changes by itself.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.lanes.iter().fold(None, |next, lane| {
            let paced =
                lane.pace.as_ref().filter(|_| !lane.waiting.is_empty()).map(|pace| pace.next(now));
            let paced = paced.filter(|at| *at > now);
            earlier(earlier(next, lane.standing.next_change().filter(|at| *at > now)), paced)
        })
    }

    /// What the outside is told.
    pub(super) fn status(&self, now: Timestamp) -> Vec<ProviderStatus> {
        let status = |lane: &Lane| ProviderStatus {
            name: lane.setup.name.clone(),
            state: lane.standing.state(now),
            last_success: lane.standing.last_success(),
            last_error: lane.standing.last_error().cloned(),
        };
        self.lanes.iter().map(status).collect()
    }

    /// The newest error of the lanes that a message could have used.
    pub(super) fn why_closed(&self, job: &Job) -> Option<String> {
        let candidates = self.candidates(job).into_iter();
        let errors = candidates.filter_map(|id| Some((id, self.lanes[id].standing.last_error()?)));
        let (id, (_, error)) = errors.max_by_key(|(_, (at, _))| *at)?;
        Some(format!("{}: {error}", self.name(id)))
    }
}

impl Lane {
    fn is_free(&self, now: Timestamp) -> bool {
        self.in_flight < self.setup.concurrency.get()
            && self.pace.as_ref().is_none_or(|pace| pace.next(now) <= now)
    }

    fn take_slot(&mut self, now: Timestamp) {
        self.in_flight += 1;
        self.standing.began(now);
        if let Some(pace) = &mut self.pace {
            pace.count(now);
        }
    }
}

/// The earlier of two times, where an absent one never comes.
pub(super) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
