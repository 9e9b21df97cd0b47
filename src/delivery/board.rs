//! Who may send what now: every provider's lane, and the messages that wait for one.
//!
//! Pure decisions under one short lock; `engine` carries them out.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::Backoff;
use super::brought::{LaneMaker, Way};
use super::failover::Failovers;
use super::job::Job;
use super::lane::{Edition, Lane, LaneId, LaneSetup};
use super::limits::Limits;
use super::parts::Parts;
use super::policy::Policy;
use super::roster::{NoLane, Roster};
use super::route::{RouteId, Routing};
use super::standing::Change;
use super::status::{ProviderState, ProviderStatus};
use super::waiting::{Batching, Departure};
use crate::clock::Timestamp;
use crate::config::{OnUnclear, RouteConfig};
use crate::provider::{Provider, SendError};
use crate::queue::{CallsWanted, Turn, WayKey};

#[derive(Debug)]
pub(super) struct Board {
    pub(super) roster: Roster,
    pub(super) batching: Batching,
    /// What follows when nobody knows whether a provider has a message.
    pub(super) on_unclear: OnUnclear,
    pub(super) routing: Routing,
    /// Which of the routings of this process that is.
    pub(super) generation: u64,
    /// The lanes of every route, in the order of preference.
    pub(super) orders: Vec<Vec<LaneId>>,
    /// All lanes of any route.
    pub(super) routed: BTreeSet<LaneId>,
    /// Ways of mail whose recipients take several routes.
    pub(super) mixed: BTreeMap<WayKey, Vec<RouteId>>,
    /// Lanes that were closed when the queue was last read to its end.
    pub(super) shut: BTreeSet<LaneId>,
    /// Clients bring accounts: the queue may hold mail for any.
    accounts_expected: bool,
    /// The shortest wait of a message that found no open lane.
    pub(super) wait_min: Duration,
    pub(super) failovers: Failovers,
    pub(super) rng: Rng,
}

/// Which lanes there are, and who may use which.
#[derive(Debug)]
pub(super) struct Ways {
    /// Every configured provider; those of the default route in the order of preference.
    pub(super) lanes: Vec<LaneSetup>,
    /// Named orders of providers.
    pub(super) routes: Vec<RouteConfig>,
    /// The names of routes, by the user whose mail takes them.
    pub(super) user_routes: HashMap<String, String>,
    /// What makes lanes for accounts that clients bring.
    pub(super) maker: Option<LaneMaker>,
    /// See [`super::AccountSettings::expected`].
    pub(super) accounts_expected: bool,
}

impl Board {
    /// Closed lanes are checked by `checks`.
    pub(super) fn new(ways: Ways, checks: Backoff, policy: &Policy, rng: Rng) -> Self {
        let mut board = Self {
            roster: Roster::new(ways.lanes, ways.maker, checks),
            batching: policy.batching(),
            on_unclear: policy.on_unclear,
            routing: Routing::new(Vec::new(), Vec::new(), &HashMap::new()),
            generation: 0,
            orders: Vec::new(),
            routed: BTreeSet::new(),
            mixed: BTreeMap::new(),
            shut: BTreeSet::new(),
            accounts_expected: ways.accounts_expected,
            wait_min: checks.ceiling(0),
            failovers: Failovers::default(),
            rng,
        };
        board.arrange(ways.routes, &ways.user_routes);
        board
    }

    /// Takes over another configuration. What waits in memory has to be placed anew; the answer is all of that.
    pub(super) fn reload(&mut self, ways: Ways, checks: Backoff, now: Timestamp) -> Vec<Job> {
        self.roster.reload(ways.lanes, ways.maker, checks, now);
        self.accounts_expected = ways.accounts_expected;
        self.wait_min = checks.ceiling(0);
        self.arrange(ways.routes, &ways.user_routes);
        self.drain()
    }

    /// From now on this is what the operator wants.
    pub(super) fn follow_policy(&mut self, policy: &Policy) {
        self.batching = policy.batching();
        self.on_unclear = policy.on_unclear;
    }

    fn arrange(&mut self, routes: Vec<RouteConfig>, users: &HashMap<String, String>) {
        let roster = &self.roster;
        self.routing = Routing::new(roster.in_route(), routes, users);
        self.generation += 1;
        let lanes = |names: &[String]| names.iter().filter_map(|it| roster.find(it)).collect();
        self.orders = self.routing.orders().map(lanes).collect();
        self.routed = self.orders.iter().flatten().copied().collect();
        self.mixed.clear();
        self.shut.clear();
        let names: BTreeSet<&str> = self.routing.names().collect();
        self.failovers.retain(|route| names.contains(route));
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

    /// The lanes that the message, or the part of it whose turn it is, may use, in the order of preference, closed ones
    /// included. That of a brought account must have been made.
    pub(super) fn candidates(&self, job: &Job) -> Vec<LaneId> {
        // It is not held for the message: a reload may have taken it away.
        if let Some(lane) = job.bound.filter(|lane| self.has(*lane)) {
            return vec![lane];
        }
        self.usual(job)
    }

    /// The same, whoever may have the message already.
    pub(super) fn usual(&self, job: &Job) -> Vec<LaneId> {
        let wanted: Vec<LaneId> = match &job.way {
            // Whatever an operator may have named: it goes by this account or not at all.
            Way::Account(brought) => self.roster.of(brought).into_iter().collect(),
            Way::Locked(_) => Vec::new(),
            Way::Route => match self.pinned(job) {
                Some(lane) => vec![lane],
                None => self.order(job.parts.now()).to_vec(),
            },
        };
        wanted
            .into_iter()
            .filter(|id| !job.passed_over.iter().any(|n| n == self.name(*id)))
            .collect()
    }

    /// The order of preference for mail of this route.
    pub(super) fn order(&self, route: RouteId) -> &[LaneId] {
        self.orders.get(route).map(Vec::as_slice).unwrap_or_default()
    }

    /// True where mail of several ways shares the memory and the queue: one that does not move on must not hold up the
    /// others.
    pub(super) fn is_shared(&self) -> bool {
        self.reads_for_accounts() || !self.routing.is_single()
    }

    /// True when the queue may hold mail of accounts of which nothing is known yet.
    pub(super) fn reads_for_accounts(&self) -> bool {
        self.accounts_expected || self.roster.has_accounts()
    }

    /// Whether a fresh message may go on from memory: the lane that it, or a part of it, would take has room for it.
    pub(super) fn takes(&self, parts: &Parts, way: &Way, turn: Turn, now: Timestamp) -> bool {
        let has_room = |id: LaneId| !self.roster.lane(id).is_crowded(turn, self.batching);
        match way {
            Way::Route if parts.is_one() => self.likely(parts, way, now).is_some_and(has_room),
            Way::Route => {
                let routes = parts.all_routes().into_iter();
                routes.filter_map(|route| self.first_open(self.order(route), now)).any(has_room)
            }
            Way::Account(brought) => match self.likely(parts, way, now) {
                Some(id) => has_room(id),
                None => self.roster.of(brought).is_none(),
            },
            Way::Locked(_) => false,
        }
    }

    /// The lane that a fresh message of one part would take, as things stand.
    pub(super) fn likely(&self, parts: &Parts, way: &Way, now: Timestamp) -> Option<LaneId> {
        match way {
            Way::Route => self.first_open(self.order(parts.now()), now),
            Way::Account(brought) => self.roster.of(brought).filter(|id| self.is_open(*id, now)),
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
        let lanes = self.roster.waiting().into_iter();
        let closed: Vec<LaneId> = lanes.filter(|id| !self.is_open(*id, now)).collect();
        closed
            .into_iter()
            .flat_map(|id| self.roster.change(id, |lane| lane.waiting.drain()))
            .collect()
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
    ) -> Option<Result<Timestamp, Timestamp>> {
        self.roster.contains(lane).then(|| self.roster.change(lane, |lane| lane.seat(beyond, now)))
    }

    /// From now on other instances use the same accounts.
    pub(super) fn share(&mut self) {
        self.roster.share();
    }

    /// Which places to ask for in the rows of calls, so that what waits can go.
    pub(super) fn ask_for_places(&mut self, now: Timestamp) -> Vec<(LaneId, CallsWanted)> {
        let lanes = self.roster.waiting().into_iter();
        let ask = |id| Some((id, self.roster.change(id, |lane| lane.ask_for_places(now))?));
        lanes.filter_map(ask).collect()
    }

    /// Lanes of which it is to be read again what all instances have had served, with their names.
    pub(super) fn usage_due(&mut self, now: Timestamp) -> Vec<(LaneId, String)> {
        self.roster.usage_due(now)
    }

    /// Lanes that wait until it is known what they have served before the start.
    pub(super) fn unlearned(&self) -> Vec<LaneId> {
        self.roster.unlearned()
    }

    /// True while the lane is there: one that is not held may be dropped.
    pub(super) fn has(&self, lane: LaneId) -> bool {
        self.roster.contains(lane)
    }

    /// The limits of a lane.
    pub(super) fn limits(&self, lane: LaneId) -> &Limits {
        &self.roster.lane(lane).limits
    }

    /// Counts at a lane, or tells it what is known of its limits.
    pub(super) fn change_limits<T>(
        &mut self,
        lane: LaneId,
        change: impl FnOnce(&mut Limits) -> T,
    ) -> T {
        self.roster.change(lane, |lane| change(&mut lane.limits))
    }

    /// The same; `None` when the lane is not there any more.
    pub(super) fn change_limits_of<T>(
        &mut self,
        lane: LaneId,
        change: impl FnOnce(&mut Limits) -> T,
    ) -> Option<T> {
        self.roster.is_there(lane).then(|| self.change_limits(lane, change))
    }

    /// The name of a lane that nobody may hold any more.
    pub(super) fn name_of(&self, lane: LaneId) -> Option<String> {
        self.roster.is_there(lane).then(|| self.name(lane).to_owned())
    }

    /// The slot of a lane is free again.
    pub(super) fn release(&mut self, lane: LaneId) {
        self.roster.change(lane, |lane| {
            lane.in_flight = lane.in_flight.saturating_sub(1);
            lane.standing.abandoned();
        });
    }

    /// The provider, its name, and by which settings it is called.
    pub(super) fn account(&self, lane: LaneId) -> (Arc<dyn Provider>, String, Edition) {
        let edition = self.roster.lane(lane).edition;
        (self.provider(lane), self.name(lane).to_owned(), edition)
    }

    /// When the next call of a message that has its slot already may be made. When that is now it is counted, and for when
    /// is returned.
    pub(super) fn pace(&mut self, lane: LaneId, now: Timestamp) -> Result<Timestamp, Timestamp> {
        self.change_limits(lane, |limits| match limits.paced(now) {
            at if at > now => Err(at),
            _ => Ok(limits.began(now)),
        })
    }

    /// A call succeeded. True when the provider was closed before.
    pub(super) fn succeeded(&mut self, lane: LaneId, edition: Edition, now: Timestamp) -> bool {
        self.roster.change(lane, |lane| {
            let recovered = lane.succeeded(edition, now);
            if recovered {
                lane.forget_turns();
            }
            recovered
        })
    }

    /// How a provider does, in one word.
    pub(super) fn state(&self, lane: LaneId, now: Timestamp) -> ProviderState {
        self.roster.lane(lane).state(now)
    }

    /// A call failed.
    pub(super) fn failed(
        &mut self,
        lane: LaneId,
        edition: Edition,
        error: &SendError,
        now: Timestamp,
    ) -> Change {
        let rng = &mut self.rng;
        self.roster.change(lane, |lane| lane.failed(edition, error, now, rng))
    }

    pub(super) fn is_open(&self, lane: LaneId, now: Timestamp) -> bool {
        self.roster.lane(lane).is_open(now)
    }

    /// Since when every provider that a message may use has been down, if they all are.
    pub(super) fn all_down_since(&self, job: &Job) -> Option<Timestamp> {
        self.down_since(self.candidates(job).into_iter())
    }

    /// Since when all of these have been down.
    pub(super) fn down_since(&self, lanes: impl Iterator<Item = LaneId>) -> Option<Timestamp> {
        let since: Option<Vec<_>> =
            lanes.map(|id| self.roster.lane(id).standing.down_since()).collect();
        since?.into_iter().max()
    }

    /// Closed lanes whose check is due; each is named once until its check has ended.
    pub(super) fn due_checks(&mut self, now: Timestamp) -> Vec<LaneId> {
        self.roster.due_checks(now)
    }

    /// True when the service has asked for no call since the check was started: it is made later.
    pub(super) fn puts_off_check(&mut self, id: LaneId, now: Timestamp) -> bool {
        self.roster.change(id, |lane| {
            let rests = lane.limits.rests(now);
            if rests {
                lane.checking = false;
                lane.standing.put_off_check();
            }
            rests
        })
    }

    pub(super) fn checked(
        &mut self,
        id: LaneId,
        edition: Edition,
        result: Result<(), &SendError>,
        now: Timestamp,
    ) -> Change {
        let rng = &mut self.rng;
        self.roster.change(id, |lane| {
            lane.checking = false;
            if edition != lane.edition {
                return Change::Same;
            }
            lane.hear(now);
            lane.standing.checked(result, now, rng)
        })
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
