//! Where mail goes of which nobody knows whether a provider has it: single messages, and batches that are repeated as
//! they were. Decided on the board, by [`doubt`].

use super::board::Board;
use super::brought::Way;
use super::doubt::{self, Doubt, Stance, Suspect};
use super::job::Job;
use super::lane::LaneId;
use super::placing::Placement;
use super::route::RouteId;
use super::standing::Admission;
use crate::clock::Timestamp;

/// Where a batch goes that is to be repeated.
#[derive(Debug)]
pub(super) enum UnitPlacement {
    /// A slot of this lane is taken for it.
    Run(LaneId, Vec<Job>),
    /// It waits on the board.
    Parked,
    /// Back to the queue until then.
    Back { unit: Vec<Job>, due: Timestamp, why: Option<String> },
    /// It cannot be repeated as it was.
    Broken(Vec<Job>),
}

impl Board {
    /// Finds a lane for a message, or a place to wait, and minds who may have it already.
    pub(super) fn assign(&mut self, mut job: Job, now: Timestamp) -> Placement {
        self.choose_part(&mut job, now);
        self.assign_part(job, now)
    }

    /// The same for the part of a message whose turn it is.
    pub(super) fn assign_part(&mut self, mut job: Job, now: Timestamp) -> Placement {
        job.bound = None;
        self.divide(&mut job);
        let Some(doubt) = &job.doubt else { return self.place_part(job, now) };
        let is_locked = matches!(job.way, Way::Locked(_)) || self.open_lane(&job.way, now).is_err();
        if is_locked || self.is_sent_elsewhere(&job, doubt) {
            return self.place_part(job, now);
        }
        let parts = self.in_doubt(&job, doubt);
        let stance = doubt::stance(doubt, self.suspect(&job, doubt, now), self.on_unclear, now);
        let is_aside = !parts.contains(&job.parts.now());
        let is_shared = parts.len() > 1;
        job.doubt = job.doubt.filter(|_| !parts.is_empty()).map(|doubt| Doubt {
            is_aside,
            is_shared,
            ..doubt
        });
        if is_aside {
            return self.place_part(job, now);
        }
        match stance {
            Stance::Only(lane, until) => {
                job.bound = Some(lane);
                match self.place_part(job, now) {
                    Placement::Back { job, due, why } => {
                        Placement::Back { job, due: sooner(due, until, now), why }
                    }
                    placement @ (Placement::Run(..)
                    | Placement::Parked { .. }
                    | Placement::Nobody(_)
                    | Placement::Held(_)) => placement,
                }
            }
            Stance::Anywhere => {
                job.second_copy = job.doubt.as_ref().map(|doubt| doubt.provider.clone());
                job.doubt.take_if(|doubt| doubt.is_lost);
                self.place_part(job, now)
            }
            Stance::Hold => Placement::Held(Box::new(job)),
        }
    }

    /// The parts that the doubt may be about, of those that are not over: the record names the provider, and not the
    /// recipients. Where no part goes by that provider any more, it may be any.
    pub(super) fn in_doubt(&self, job: &Job, doubt: &Doubt) -> Vec<RouteId> {
        let lane = self.find(&doubt.provider);
        let has = |route: &RouteId| lane.is_some_and(|lane| self.order(*route).contains(&lane));
        let mut routes = job.parts.open(&job.claim.recipients);
        if job.parts.all_routes().iter().any(has) {
            routes.retain(has);
        }
        routes
    }

    /// An operator has named another provider.
    fn is_sent_elsewhere(&self, job: &Job, doubt: &Doubt) -> bool {
        let pinned = job.claim.pinned_provider.as_deref();
        matches!(job.way, Way::Route)
            && pinned.is_some_and(|name| name != doubt.provider && self.find(name).is_some())
    }

    fn suspect(&self, job: &Job, doubt: &Doubt, now: Timestamp) -> Option<Suspect> {
        let lane = match &job.way {
            Way::Route => self.find(&doubt.provider),
            Way::Account(brought) => {
                self.roster.of(brought).filter(|id| self.name(*id) == doubt.provider)
            }
            Way::Locked(_) => None,
        }?;
        let idempotency = self.provider(lane).capabilities().idempotency;
        // It may have room for others, and not for all recipients of this one.
        let is_open = !matches!(self.roster.lane(lane).admits(job, now), Admission::Closed(_));
        Some(Suspect { lane, idempotency, is_open })
    }

    /// Finds a place for a batch that is to be repeated: its members, one after the other as the queue handed them out.
    pub(super) fn assign_unit(&mut self, mut unit: Vec<Job>, now: Timestamp) -> UnitPlacement {
        let Some((lane, until)) = self.unit_lane(&unit, now) else {
            return UnitPlacement::Broken(unit);
        };
        match self.roster.lane(lane).admission(now) {
            Admission::Closed(opens) => {
                let soonest = now + self.wait_min;
                let due = sooner(opens.unwrap_or(soonest).max(soonest), until, now);
                let why = unit.first().and_then(|job| self.why_closed(job, now));
                UnitPlacement::Back { unit, due, why }
            }
            Admission::Open
                if self.roster.lane(lane).waiting.is_empty()
                    && self.roster.lane(lane).is_free(now) =>
            {
                let counted = self.roster.change(lane, |lane| lane.take_slot(now));
                unit.iter_mut().for_each(|job| job.counted = counted);
                UnitPlacement::Run(lane, unit)
            }
            Admission::Open | Admission::Soon(_) => {
                self.roster.change(lane, |lane| lane.waiting.push_unit(unit));
                UnitPlacement::Parked
            }
        }
    }

    /// The lane to which this batch goes again, and until when it is the only one; `None` when it is not whole, or that
    /// lane cannot make the same call again.
    fn unit_lane(&mut self, unit: &[Job], now: Timestamp) -> Option<(LaneId, Option<Timestamp>)> {
        let first = unit.first()?;
        let doubt = first.doubt.as_ref()?;
        let batch = doubt.place?.batch;
        let in_place = |(job, number): (&Job, u32)| {
            let place = job.doubt.as_ref().and_then(|doubt| doubt.place);
            place.is_some_and(|place| {
                place.batch == batch && place.number == number && place.of as usize == unit.len()
            })
        };
        self.open_lane(&first.way, now).ok()?;
        let suspect = self.suspect(first, doubt, now)?;
        let capabilities = self.provider(suspect.lane).capabilities().batch?;
        let whole = unit.iter().zip(0..).all(in_place) && unit.len() <= capabilities.calls_max;
        match doubt::stance(doubt, Some(suspect), self.on_unclear, now) {
            Stance::Only(lane, until) if whole => Some((lane, until)),
            Stance::Only(..) | Stance::Anywhere | Stance::Hold => None,
        }
    }

    /// By which provider a fresh message of this way is about to be tried, where that must be in its record and may be
    /// there before it is certain. What will travel together is noted together.
    pub(super) fn ahead(&self, lane: LaneId, now: Timestamp) -> Option<String> {
        let lane = self.roster.lane(lane);
        let idempotency = lane.setup.provider.capabilities().idempotency;
        let joins = lane.batch(self.batching).is_some();
        let goes_at_once = lane.waiting.is_empty()
            && lane.admission(now) == Admission::Open
            && lane.is_free(now)
            && (!joins || self.batching.linger.is_zero());
        let notes = doubt::may_note_early(idempotency, self.on_unclear) && (goes_at_once || !joins);
        notes.then(|| lane.setup.name.clone())
    }

    /// The same for a message from the queue, which may wait for its turn.
    pub(super) fn ahead_of(&self, job: &Job, now: Timestamp) -> Option<String> {
        if job.doubt.is_some() {
            return None;
        }
        let lane = self.candidates(job).into_iter().find(|lane| self.is_open(*lane, now))?;
        let setup = &self.roster.lane(lane).setup;
        let joins = self.roster.lane(lane).batch(self.batching).is_some();
        let idempotency = setup.provider.capabilities().idempotency;
        let notes = doubt::may_note_early(idempotency, self.on_unclear);
        (notes && !(joins && job.may_join(&setup.name))).then(|| setup.name.clone())
    }
}

/// The earlier time, where the other is still to come.
fn sooner(due: Timestamp, until: Option<Timestamp>, now: Timestamp) -> Timestamp {
    until.filter(|until| *until > now).map_or(due, |until| due.min(until))
}
