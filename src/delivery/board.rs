//! Who may send what now: every provider's lane, and the messages that wait for one.
//!
//! Pure decisions under one short lock; `engine` carries them out.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::Backoff;
use super::brought::{LaneMaker, Way};
use super::job::Job;
use super::lane::{Lane, LaneId, LaneSetup};
use super::limits::Limits;
use super::roster::{NoLane, Roster};
use super::standing::Admission;
use super::status::{ProviderState, ProviderStatus};
use super::waiting::{Batching, Departure};
use crate::clock::Timestamp;
use crate::provider::{Provider, SendError};
use crate::queue::Turn;

/// The queue is read when this many messages fit, so that one read brings many.
const ROOM_MIN: usize = 32;
/// Messages of brought accounts that one read brings, and how many may be in memory.
const ACCOUNT_ROOM: usize = 72;
const ACCOUNT_JOBS_MAX: usize = 2_048;
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

#[derive(Debug)]
pub(super) struct Board {
    pub(super) roster: Roster,
    pub(super) batching: Batching,
    /// The default order of preference.
    route: Vec<LaneId>,
    /// The orders of users who have their own.
    user_routes: HashMap<String, Vec<LaneId>>,
    /// All lanes of any route.
    routed: BTreeSet<LaneId>,
    /// Clients bring accounts: the queue may hold mail for any.
    accounts_expected: bool,
    /// The shortest wait of a message that found no open lane.
    pub(super) wait_min: Duration,
    pub(super) rng: Rng,
}

/// Which lanes there are, and who may use which.
#[derive(Debug)]
pub(super) struct Ways {
    /// Every configured provider; those of the default route in the order of preference.
    pub(super) lanes: Vec<LaneSetup>,
    /// Names of providers, in the order of preference, by user.
    pub(super) user_routes: HashMap<String, Vec<String>>,
    /// What makes lanes for accounts that clients bring.
    pub(super) maker: Option<LaneMaker>,
    /// See [`super::AccountSettings::expected`].
    pub(super) accounts_expected: bool,
}

impl Board {
    /// Closed lanes are checked by `checks`.
    pub(super) fn new(ways: Ways, checks: Backoff, batching: Batching, rng: Rng) -> Self {
        let mut board = Self {
            roster: Roster::new(ways.lanes, ways.maker, checks),
            batching,
            route: Vec::new(),
            user_routes: HashMap::new(),
            routed: BTreeSet::new(),
            accounts_expected: ways.accounts_expected,
            wait_min: checks.ceiling(0),
            rng,
        };
        board.arrange(ways.user_routes);
        board
    }

    /// Takes over another configuration. What waits in memory has to be placed anew; the answer is all of that.
    pub(super) fn reload(&mut self, ways: Ways, checks: Backoff, now: Timestamp) -> Vec<Job> {
        self.roster.reload(ways.lanes, ways.maker, checks, now);
        self.accounts_expected = ways.accounts_expected;
        self.wait_min = checks.ceiling(0);
        self.arrange(ways.user_routes);
        self.drain()
    }

    fn arrange(&mut self, user_routes: HashMap<String, Vec<String>>) {
        let roster = &self.roster;
        self.route = roster.in_route();
        let lanes =
            |names: Vec<String>| names.iter().filter_map(|name| roster.find(name)).collect();
        self.user_routes =
            user_routes.into_iter().map(|(user, names)| (user, lanes(names))).collect();
        self.routed = self.user_routes.values().flatten().chain(&self.route).copied().collect();
    }

    pub(super) fn name(&self, lane: LaneId) -> &str {
        &self.roster.lane(lane).setup.name
    }

    pub(super) fn provider(&self, lane: LaneId) -> Arc<dyn Provider> {
        Arc::clone(&self.roster.lane(lane).setup.provider)
    }

    /// The lane of the configured provider of this name.
    pub(super) fn find(&self, name: &str) -> Option<LaneId> {
        self.roster.find(name)
    }

    /// True for the lane of an account that a client brought.
    pub(super) fn is_brought(&self, lane: LaneId) -> bool {
        self.roster.is_brought(lane)
    }

    /// The lanes that a message may use, in the order of preference, closed ones included. That of a brought account
    /// must have been made.
    pub(super) fn candidates(&self, job: &Job) -> Vec<LaneId> {
        if let Some(lane) = job.bound {
            return vec![lane];
        }
        let claim = &job.claim;
        let wanted: Vec<LaneId> = match &job.way {
            // Whatever an operator may have named: it goes by this account or not at all.
            Way::Account(brought) => self.roster.of(brought).into_iter().collect(),
            Way::Locked(_) => Vec::new(),
            Way::Route => match claim.pinned_provider.as_deref().and_then(|name| self.find(name)) {
                Some(lane) => vec![lane],
                None => self.route_of(claim.message.user.as_deref()).to_vec(),
            },
        };
        wanted
            .into_iter()
            .filter(|id| !job.passed_over.iter().any(|n| n == self.name(*id)))
            .collect()
    }

    /// The order of preference for mail of this user.
    fn route_of(&self, user: Option<&str>) -> &[LaneId] {
        let own = user.and_then(|user| self.user_routes.get(user));
        own.unwrap_or(&self.route)
    }

    /// True where mail of several ways shares the memory and the queue: one that does not move on must not hold up the
    /// others.
    fn is_shared(&self) -> bool {
        self.reads_for_accounts() || !self.user_routes.is_empty()
    }

    /// True when the queue may hold mail of accounts of which nothing is known yet.
    pub(super) fn reads_for_accounts(&self) -> bool {
        self.accounts_expected || self.roster.has_accounts()
    }

    /// Whether a fresh message may go on from memory: the lane that it would take has room for it.
    pub(super) fn takes(&self, user: Option<&str>, way: &Way, turn: Turn, now: Timestamp) -> bool {
        match way {
            Way::Route | Way::Account(_) => match self.likely(user, way, now) {
                Some(id) => !self.roster.lane(id).is_crowded(turn, self.batching),
                None => matches!(way, Way::Account(brought) if self.roster.of(brought).is_none()),
            },
            Way::Locked(_) => false,
        }
    }

    /// The lane that a fresh message would take, as things stand.
    pub(super) fn likely(&self, user: Option<&str>, way: &Way, now: Timestamp) -> Option<LaneId> {
        let open = |id: &LaneId| self.is_open(*id, now);
        match way {
            Way::Route => self.route_of(user).iter().copied().find(open),
            Way::Account(brought) => self.roster.of(brought).filter(open),
            Way::Locked(_) => None,
        }
    }

    /// Sees to it that there is a lane for mail that goes this way.
    pub(super) fn open_lane(&mut self, way: &Way, now: Timestamp) -> Result<(), NoLane> {
        match way {
            Way::Account(brought) => self.roster.open_for(brought, now),
            Way::Route | Way::Locked(_) => Ok(()),
        }
    }

    /// Finds a lane for a message, or a place to wait.
    pub(super) fn place(&mut self, mut job: Job, now: Timestamp) -> Placement {
        match self.open_lane(&job.way, now) {
            Ok(()) => {}
            Err(full @ NoLane::Full) => {
                let due = now + NO_LANE_WAIT.mul_f64(1.0 + self.rng.f64());
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
                    self.roster.change(id, |lane| lane.take_slot(now));
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
        let (due, why) = (self.due_when_closed(first, opens, now), self.why_closed(&job, now));
        Placement::Back { job: Box::new(job), due, why }
    }

    /// When to look again at a message whose lanes are all closed, `first` the one that it would like best. While others
    /// are open the queue is being read, and the message would come round and round; else it is read only when one opens.
    fn due_when_closed(
        &mut self,
        first: LaneId,
        opens: Option<Timestamp>,
        now: Timestamp,
    ) -> Timestamp {
        let soonest = now + self.wait_min;
        if self.is_shared() {
            let earliest = opens.unwrap_or(now).min(now + LOOK_AGAIN).max(soonest);
            self.turn(first, earliest)
        } else if self.any_open(now) {
            opens.unwrap_or(now).max(soonest)
        } else {
            now
        }
    }

    /// When a message that this lane cannot take is to come round again.
    fn turn(&mut self, lane: LaneId, earliest: Timestamp) -> Timestamp {
        let rng = &mut self.rng;
        self.roster.change(lane, |lane| lane.turn(earliest, rng))
    }

    /// What can leave now, because its lane has a free slot; the slot is taken for it.
    pub(super) fn next_ready(&mut self, now: Timestamp) -> Option<(LaneId, Departure)> {
        let batching = self.batching;
        let id = self.roster.first_ready(batching, now)?;
        let departure = self.roster.change(id, |lane| lane.depart(batching, now));
        Some((id, departure?))
    }

    /// These had their turn at this lane and could not use it; they have it again.
    pub(super) fn put_back(&mut self, lane: LaneId, jobs: Vec<Job>) {
        self.roster.change(lane, |lane| lane.waiting.put_back(jobs));
    }

    /// Takes the messages off closed lanes, to be placed anew.
    pub(super) fn displaced(&mut self, now: Timestamp) -> Vec<Job> {
        self.take_waiting(|lane| if lane.is_open(now) { Vec::new() } else { lane.waiting.drain() })
    }

    /// Takes the messages off the front that have waited until their lease ends.
    pub(super) fn outstayed(&mut self, now: Timestamp) -> Vec<Job> {
        self.take_waiting(|lane| lane.waiting.take_first_while(|job| job.lease_ends(now)))
    }

    /// Takes all waiting messages, for the shutdown.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.take_waiting(|lane| lane.waiting.drain())
    }

    fn take_waiting(&mut self, take: impl Fn(&mut Lane) -> Vec<Job>) -> Vec<Job> {
        let lanes = self.roster.waiting().into_iter();
        lanes.flat_map(|id| self.roster.change(id, &take)).collect()
    }

    /// Drops lanes of brought accounts that nobody has used for long.
    pub(super) fn drop_unused(&mut self, now: Timestamp) {
        self.roster.drop_unused(now);
    }

    /// A slot is taken although the lane may be closed: somebody wants an answer now. Not sooner than its limits allow: else
    /// returns when to come again. `beyond`: also where no slot is free. `None` when the lane has been dropped meanwhile.
    pub(super) fn seat(
        &mut self,
        lane: LaneId,
        beyond: bool,
        now: Timestamp,
    ) -> Option<Result<(), Timestamp>> {
        self.roster.contains(lane).then(|| self.roster.change(lane, |lane| lane.seat(beyond, now)))
    }

    /// Lanes that wait until it is known what they have served before the start.
    pub(super) fn unlearned(&self) -> Vec<LaneId> {
        self.roster.unlearned()
    }

    /// True while the lane is there: one that is not held may be dropped.
    pub(super) fn has(&self, lane: LaneId) -> bool {
        self.roster.contains(lane)
    }

    /// Looks at the limits of a lane, or changes them.
    pub(super) fn limits<T>(&mut self, lane: LaneId, change: impl FnOnce(&mut Limits) -> T) -> T {
        self.roster.change(lane, |lane| change(&mut lane.limits))
    }

    /// The slot of a lane is free again.
    pub(super) fn release(&mut self, lane: LaneId) {
        self.roster.change(lane, |lane| {
            lane.in_flight = lane.in_flight.saturating_sub(1);
            lane.standing.abandoned();
        });
    }

    /// When the next call of a message that has its slot already may be made; it is counted when that is now.
    pub(super) fn pace(&mut self, lane: LaneId, now: Timestamp) -> Result<(), Timestamp> {
        self.limits(lane, |limits| match limits.paced(now) {
            at if at > now => Err(at),
            _ => {
                limits.began(now);
                Ok(())
            }
        })
    }

    /// A call succeeded. True when the provider was closed before.
    pub(super) fn succeeded(&mut self, lane: LaneId, now: Timestamp) -> bool {
        self.roster.change(lane, |lane| {
            let recovered = lane.succeeded(now);
            if recovered {
                lane.forget_turns();
            }
            recovered
        })
    }

    /// A call failed. True when the provider closes by this.
    pub(super) fn failed(&mut self, lane: LaneId, error: &SendError, now: Timestamp) -> bool {
        let rng = &mut self.rng;
        self.roster.change(lane, |lane| lane.failed(error, now, rng))
    }

    pub(super) fn is_open(&self, lane: LaneId, now: Timestamp) -> bool {
        self.roster.lane(lane).is_open(now)
    }

    /// True when at least one provider of a route takes mail, now or soon.
    fn any_open(&self, now: Timestamp) -> bool {
        self.routed.iter().any(|id| self.is_open(*id, now))
    }

    /// True when every provider of some route is down, so that mail may be waiting in vain.
    pub(super) fn is_any_route_down(&self) -> bool {
        let mut routes = self.user_routes.values().chain([&self.route]);
        routes.any(|route| self.down_since(route.iter().copied()).is_some())
    }

    /// Since when every provider that a message may use has been down, if they all are.
    pub(super) fn all_down_since(&self, job: &Job) -> Option<Timestamp> {
        self.down_since(self.candidates(job).into_iter())
    }

    fn down_since(&self, lanes: impl Iterator<Item = LaneId>) -> Option<Timestamp> {
        let since: Option<Vec<_>> =
            lanes.map(|id| self.roster.lane(id).standing.down_since()).collect();
        since?.into_iter().max()
    }

    /// Closed lanes whose check is due; each is named once until its check has ended.
    pub(super) fn due_checks(&mut self, now: Timestamp) -> Vec<LaneId> {
        self.roster.due_checks(now)
    }

    pub(super) fn checked(&mut self, id: LaneId, result: Result<(), &SendError>, now: Timestamp) {
        let rng = &mut self.rng;
        self.roster.change(id, |lane| {
            lane.checking = false;
            lane.hear(now);
            lane.standing.checked(result, now, rng);
        });
    }

    /// True when nothing is under way on an open lane of a route.
    fn is_idle(&self, now: Timestamp) -> bool {
        let mut lanes = self.routed.iter().map(|id| self.roster.lane(*id));
        lanes.all(|lane| !lane.is_open(now) || lane.jobs() == 0)
    }

    /// True when enough fits in memory that reading the queue is worth it.
    pub(super) fn wants_more(&self, now: Timestamp) -> bool {
        let room = self.room(now);
        room >= ROOM_MIN || (room > 0 && self.is_idle(now))
    }

    /// How many more messages it is worth to have in memory.
    pub(super) fn room(&self, now: Timestamp) -> usize {
        let routed =
            self.routed.iter().map(|id| self.roster.lane(*id).room(self.batching, now)).max();
        let accounts = self.reads_for_accounts() && self.roster.account_jobs() < ACCOUNT_JOBS_MAX;
        routed.unwrap_or(0).max(if accounts { ACCOUNT_ROOM } else { 0 })
    }

    /// When something on the board changes by itself.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        self.roster.next_change(now)
    }

    /// What the outside is told: the configured providers, then some of the accounts that clients brought.
    pub(super) fn status(&self, now: Timestamp) -> Vec<ProviderStatus> {
        self.roster.status(now)
    }

    /// The names of the configured providers.
    pub(super) fn names(&self) -> Vec<String> {
        self.roster.configured().map(|lane| lane.setup.name.clone()).collect()
    }

    /// True when a new message could be delivered now. An account that nobody has brought yet counts as good, unless the
    /// services of all that are in use are down: what one account has against it says nothing about the next.
    pub(super) fn is_ready(&self, now: Timestamp) -> bool {
        let state = |lane: &Lane| lane.state(now);
        let mut accounts = self.roster.accounts().peekable();
        let accounts_may = self.accounts_expected
            && (accounts.peek().is_none()
                || accounts.any(|lane| state(lane) != ProviderState::Down));
        accounts_may || self.roster.configured().any(|lane| state(lane) == ProviderState::Up)
    }

    /// True where clients bring the accounts by which their mail is sent.
    pub(super) fn expects_accounts(&self) -> bool {
        self.accounts_expected
    }

    /// The newest error of the lanes that a message could have used.
    pub(super) fn why_closed(&self, job: &Job, now: Timestamp) -> Option<String> {
        let candidates = self.candidates(job).into_iter();
        let errors = candidates.filter_map(|id| Some((id, self.roster.lane(id).trouble(now)?)));
        let (id, (_, error)) = errors.max_by_key(|(_, (at, _))| *at)?;
        Some(format!("{}: {error}", self.name(id)))
    }
}

/// The earlier of two times, where an absent one never comes.
pub(super) fn earlier(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}
