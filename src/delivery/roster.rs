//! The lanes that there are: those configured, in the order of preference, and one for each account that a client
//! brought, made when the first message for it comes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

use super::Backoff;
use super::board::earlier;
use super::brought::{Brought, LaneMaker, NO_ACCOUNTS};
use super::lane::{Lane, LaneId, LaneSetup};
use super::status::{ProviderState, ProviderStatus};
use super::waiting::Batching;
use super::ways;
use crate::clock::Timestamp;
use crate::seal::Fingerprint;

/// Lanes for accounts that clients brought.
const ACCOUNTS_MAX: usize = 1_000;
/// A lane that nobody has used for this long is dropped, with what is known about it.
const IDLE_MAX: Duration = Duration::from_mins(30);
/// One that is closed, and for which mail waits in the queue, is kept for longer: to find out anew that it is closed costs
/// a call with mail.
const OWING_MAX: Duration = Duration::from_hours(7 * 24);
/// A closed lane keeps its place for this long after its last call, though others wait for one: what is known about it
/// spares calls.
const CLOSED_KEPT: Duration = Duration::from_mins(1);
/// How often unused lanes are looked for.
const TIDY_EVERY: Duration = Duration::from_mins(1);
/// A rest that ends later than this was asked for by the provider; checks come oftener.
const LONG_REST: Duration = Duration::from_mins(2);
/// Checks of brought accounts at the same time.
const CHECKS_MAX: usize = 8;
/// Brought accounts that are shown.
const SHOWN_MAX: usize = 20;

/// Why there is no lane for an account.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLane {
    /// Too many are in use.
    #[error(
        "{ACCOUNTS_MAX} other provider accounts are in use, which is the most; it waits for a place"
    )]
    Full,
    /// It cannot be set up.
    #[error("{0}")]
    Unusable(String),
}

/// All lanes. Whoever keeps a number beyond the board's lock has a slot of the lane or makes its check; such a lane is
/// not dropped.
#[derive(Debug)]
pub(super) struct Roster {
    lanes: BTreeMap<LaneId, Lane>,
    /// The configured ones, in the order of preference.
    configured: Vec<LaneId>,
    accounts: HashMap<Fingerprint, LaneId>,
    /// Lanes for which messages wait, and those that change by themselves, with the time. There may be a thousand others,
    /// which no event should have to look at.
    waiting: BTreeSet<LaneId>,
    changing: BTreeSet<(Timestamp, LaneId)>,
    /// Messages of brought accounts that are in memory, and checks of such accounts that are under way.
    account_jobs: usize,
    account_checks: usize,
    /// When unused lanes were last looked for.
    tidied: Timestamp,
    next: LaneId,
    /// Other instances use the same accounts.
    shares: bool,
    maker: Option<LaneMaker>,
    checks: Backoff,
}

impl Roster {
    pub(super) fn new(
        configured: Vec<LaneSetup>,
        maker: Option<LaneMaker>,
        checks: Backoff,
    ) -> Self {
        let mut roster = Self {
            lanes: BTreeMap::new(),
            configured: Vec::new(),
            accounts: HashMap::new(),
            waiting: BTreeSet::new(),
            changing: BTreeSet::new(),
            account_jobs: 0,
            account_checks: 0,
            tidied: Timestamp::MIN,
            next: 0,
            shares: false,
            maker,
            checks,
        };
        roster.configured =
            configured.into_iter().map(|it| roster.configure(it, Timestamp::MIN)).collect();
        roster
    }

    fn configure(&mut self, setup: LaneSetup, now: Timestamp) -> LaneId {
        let mut lane = Lane::new(setup, self.checks, now);
        lane.way = ways::of_provider(&lane.setup.name);
        self.add(lane)
    }

    fn add(&mut self, mut lane: Lane) -> LaneId {
        if self.shares {
            lane.limits.share();
        }
        let id = self.next;
        self.next += 1;
        self.lanes.insert(id, lane);
        id
    }

    /// Takes over another configuration. A lane of which nothing has changed stays as it is, with what waits for it; any
    /// other that was configured takes no mail any more, and what waits for it is found by the next look at closed lanes.
    pub(super) fn reload(
        &mut self,
        configured: Vec<LaneSetup>,
        maker: Option<LaneMaker>,
        checks: Backoff,
        now: Timestamp,
    ) {
        (self.maker, self.checks) = (maker, checks);
        let mut before = std::mem::take(&mut self.configured);
        for setup in configured {
            let named = |id: &LaneId| self.lane(*id).setup.name == setup.name;
            let id = match before.iter().position(named) {
                Some(at) => {
                    let id = before.swap_remove(at);
                    self.change(id, |lane| lane.reload(setup, checks, now));
                    id
                }
                None => self.configure(setup, now),
            };
            self.configured.push(id);
        }
        for id in before {
            self.retire(id);
        }
        // One that was refused may have been refused for what the reload has mended: the next message for it shows that.
        let accounts: Vec<(Fingerprint, LaneId)> =
            self.accounts.iter().map(|(fingerprint, id)| (*fingerprint, *id)).collect();
        for (fingerprint, id) in accounts {
            if self.lane(id).state(now) == ProviderState::Misconfigured {
                self.accounts.remove(&fingerprint);
                self.retire(id);
            } else {
                self.change(id, |lane| lane.stale = true);
            }
        }
    }

    /// The lane takes no mail any more. It goes when its last call has ended.
    fn retire(&mut self, id: LaneId) {
        self.change(id, |lane| lane.retired = true);
    }

    #[expect(clippy::indexing_slicing, reason = "the number of a lane that is held, see Roster")]
    pub(super) fn lane(&self, id: LaneId) -> &Lane {
        &self.lanes[&id]
    }

    /// Changes a lane and keeps the indexes true.
    #[expect(clippy::expect_used, reason = "the number of a lane that is held, see Roster")]
    pub(super) fn change<T>(&mut self, id: LaneId, change: impl FnOnce(&mut Lane) -> T) -> T {
        let lane = self.lanes.get_mut(&id).expect("a lane that is held is not dropped");
        let (jobs, checks) = (lane.jobs(), usize::from(lane.checking));
        let changes = lane.next_change();
        let value = change(lane);
        if lane.brought {
            self.account_jobs = (self.account_jobs + lane.jobs()).saturating_sub(jobs);
            let checks_now = usize::from(lane.checking);
            self.account_checks = (self.account_checks + checks_now).saturating_sub(checks);
        }
        if lane.waiting.is_empty() {
            self.waiting.remove(&id);
        } else {
            self.waiting.insert(id);
        }
        let changes_now = lane.next_change();
        if changes != changes_now {
            if let Some(at) = changes {
                self.changing.remove(&(at, id));
            }
            if let Some(at) = changes_now {
                self.changing.insert((at, id));
            }
        }
        value
    }

    /// True while the lane may be used.
    pub(super) fn contains(&self, id: LaneId) -> bool {
        self.lanes.get(&id).is_some_and(|lane| !lane.retired)
    }

    /// True while the lane's calls are under way at least.
    pub(super) fn is_there(&self, id: LaneId) -> bool {
        self.lanes.contains_key(&id)
    }

    /// From now on other instances use the same accounts.
    pub(super) fn share(&mut self) {
        self.shares = true;
        self.lanes.values_mut().for_each(|lane| lane.limits.share());
    }

    /// Lanes of which it is to be read again what all instances have had served, with their names.
    pub(super) fn usage_due(&mut self, now: Timestamp) -> Vec<(LaneId, String)> {
        if !self.shares {
            return Vec::new();
        }
        let lanes = self.configured.iter().chain(&self.waiting).copied();
        let lanes: BTreeSet<LaneId> = lanes.collect();
        let due = |id: &LaneId| self.change(*id, |lane| lane.limits.reads_usage(now));
        let due: Vec<LaneId> = lanes.into_iter().filter(due).collect();
        due.into_iter().map(|id| (id, self.lane(id).setup.name.clone())).collect()
    }

    /// All lanes that may be used.
    pub(super) fn all(&self) -> impl Iterator<Item = (LaneId, &Lane)> {
        self.lanes.iter().filter(|(_, lane)| !lane.retired).map(|(id, lane)| (*id, lane))
    }

    /// Whether the last read of the queue had no room for mail of this lane.
    pub(super) fn note_left_out(&mut self, id: LaneId, left_out: bool) {
        if let Some(lane) = self.lanes.get_mut(&id) {
            lane.left_out = left_out;
        }
    }

    /// Lanes for which messages wait.
    pub(super) fn waiting(&self) -> Vec<LaneId> {
        self.waiting.iter().copied().collect()
    }

    /// Lanes that wait until it is known what they have served before the start.
    pub(super) fn unlearned(&self) -> Vec<LaneId> {
        let lanes = self.configured.iter().chain(&self.waiting).copied();
        let unknown: BTreeSet<LaneId> =
            lanes.filter(|id| self.lane(*id).limits.is_unknown()).collect();
        unknown.into_iter().collect()
    }

    /// The first lane with a message that can go now.
    pub(super) fn first_ready(&self, batching: Batching, now: Timestamp) -> Option<LaneId> {
        let ready = |id: &LaneId| self.lane(*id).is_ready(batching, now);
        self.waiting.iter().copied().find(ready)
    }

    /// When something changes by itself: a rest ends, a check is due, a waiting message may go by its lane's rate or has
    /// waited for company.
    pub(super) fn next_change(&self, now: Timestamp) -> Option<Timestamp> {
        let later = (Bound::Excluded((now, LaneId::MAX)), Bound::Unbounded);
        let standing = self.changing.range(later).next().map(|(at, _)| *at);
        let waiting = || self.waiting.iter().map(|id| self.lane(*id));
        let paced = waiting().map(|lane| lane.limits.free_at(now));
        let lingering = waiting().filter_map(|lane| lane.waiting.lingers());
        let coming = paced.chain(lingering).filter(|at| *at > now).min();
        earlier(standing, coming)
    }

    /// The configured lane of this name.
    pub(super) fn find(&self, name: &str) -> Option<LaneId> {
        self.configured.iter().copied().find(|id| self.lane(*id).setup.name == name)
    }

    /// The names of those of the default route, in the order of preference.
    pub(super) fn in_route(&self) -> Vec<String> {
        let in_route = self.configured().filter(|lane| lane.setup.in_route);
        in_route.map(|lane| lane.setup.name.clone()).collect()
    }

    /// True for a lane of an account that a client brought.
    pub(super) fn is_brought(&self, id: LaneId) -> bool {
        self.lane(id).brought
    }

    /// The lane of an account, if there is one.
    pub(super) fn of(&self, brought: &Brought) -> Option<LaneId> {
        self.accounts.get(&brought.fingerprint).copied()
    }

    /// True when there are lanes of brought accounts.
    pub(super) fn has_accounts(&self) -> bool {
        !self.accounts.is_empty()
    }

    /// Messages of brought accounts that are in memory.
    pub(super) fn account_jobs(&self) -> usize {
        self.account_jobs
    }

    /// Sees to it that an account has a lane.
    pub(super) fn open_for(&mut self, brought: &Brought, now: Timestamp) -> Result<(), NoLane> {
        let known = self.of(brought);
        if let Some(id) = known.filter(|id| !self.lane(*id).stale) {
            self.change(id, |lane| lane.used = now);
            return Ok(());
        }
        let maker = self.maker.as_ref().ok_or_else(|| NoLane::Unusable(NO_ACCOUNTS.to_owned()))?;
        let setup = maker.make(brought.name(), &brought.account).map_err(NoLane::Unusable)?;
        match known {
            Some(id) if self.lane(id).setup.mark == setup.mark => {
                self.change(id, |lane| (lane.stale, lane.used) = (false, now));
                return Ok(());
            }
            Some(id) => {
                let checks = self.checks;
                self.change(id, |lane| {
                    lane.reload(setup, checks, now);
                    (lane.stale, lane.used) = (false, now);
                });
                return Ok(());
            }
            None if self.is_full() && !self.make_place(now) => {
                return Err(NoLane::Full);
            }
            None => {}
        }
        let mut lane = Lane::new(setup, self.checks, now);
        (lane.way, lane.brought) = (ways::of_account(&brought.fingerprint), true);
        let id = self.add(lane);
        self.accounts.insert(brought.fingerprint, id);
        Ok(())
    }

    /// True when there is no place for another account, unless one is dropped.
    pub(super) fn is_full(&self) -> bool {
        self.accounts.len() >= ACCOUNTS_MAX
    }

    /// Drops what nobody has used for long.
    pub(super) fn drop_unused(&mut self, now: Timestamp) {
        if now < self.tidied + TIDY_EVERY && self.tidied <= now {
            return;
        }
        self.tidied = now;
        let unused = |lane: &Lane| {
            let rests = lane.next_change().is_some_and(|at| at > now + LONG_REST);
            let owes = lane.owing && !lane.is_open(now) && lane.used + OWING_MAX > now;
            lane.is_idle() && !rests && !owes && lane.used + IDLE_MAX <= now
        };
        let lanes = &self.lanes;
        let gone: Vec<(Fingerprint, LaneId)> = self
            .accounts
            .iter()
            .filter(|(_, id)| lanes.get(*id).is_none_or(unused))
            .map(|(fingerprint, id)| (*fingerprint, *id))
            .collect();
        for (fingerprint, id) in gone {
            self.remove(fingerprint, id);
        }
        self.lanes.retain(|_, lane| !(lane.retired && lane.is_idle()));
    }

    fn remove(&mut self, fingerprint: Fingerprint, id: LaneId) {
        self.accounts.remove(&fingerprint);
        self.waiting.remove(&id);
        if let Some(at) = self.lanes.remove(&id).and_then(|lane| lane.next_change()) {
            self.changing.remove(&(at, id));
        }
    }

    /// Drops the lane that can best be spared: of those that work the one that has been idle longest, else a closed one.
    fn make_place(&mut self, now: Timestamp) -> bool {
        let spare = |id: &LaneId| {
            let lane = self.lanes.get(id)?;
            let closed = !lane.is_open(now);
            let needed = !lane.is_idle() || (closed && lane.called + CLOSED_KEPT > now);
            (!needed).then_some((closed, lane.called))
        };
        let spared = self.accounts.iter().filter_map(|(mark, id)| Some((spare(id)?, *mark, *id)));
        let Some((_, fingerprint, id)) = spared.min_by_key(|(rank, _, _)| *rank) else {
            return false;
        };
        self.remove(fingerprint, id);
        true
    }

    /// Closed lanes whose check is due; each is named once until its check has ended.
    pub(super) fn due_checks(&mut self, now: Timestamp) -> Vec<LaneId> {
        let due: Vec<LaneId> =
            self.changing.range(..=(now, LaneId::MAX)).map(|(_, id)| *id).collect();
        let mut started = Vec::new();
        for id in due {
            if self.is_brought(id) && self.account_checks >= CHECKS_MAX {
                continue;
            }
            let starts = |lane: &mut Lane| {
                // An earlier check may be under way still, of a lane that has worked in between.
                // A service that has asked for no call before some time is not asked how it is either.
                let may = !lane.checking && !lane.limits.rests(now);
                let starts = may && lane.standing.start_check(now);
                lane.checking |= starts;
                starts
            };
            if self.change(id, starts) {
                started.push(id);
            }
        }
        started
    }

    /// What the outside is told: every configured provider in the order of preference, then some brought accounts, the
    /// worst first.
    pub(super) fn status(&self, now: Timestamp) -> Vec<ProviderStatus> {
        let configured = self.configured().map(|lane| lane.status(now));
        let mut accounts: Vec<(u8, Timestamp, &Lane)> =
            self.accounts().map(|lane| (severity(lane.state(now)), lane.used, lane)).collect();
        accounts.sort_by(|a, b| (b.0, b.1, &a.2.setup.name).cmp(&(a.0, a.1, &b.2.setup.name)));
        let shown = accounts.iter().take(SHOWN_MAX).map(|(_, _, lane)| lane.status(now));
        configured.chain(shown).collect()
    }

    /// The lanes of configured providers, in the order of preference.
    pub(super) fn configured(&self) -> impl Iterator<Item = &Lane> {
        self.configured.iter().map(|id| self.lane(*id))
    }

    /// The lanes of brought accounts.
    pub(super) fn accounts(&self) -> impl Iterator<Item = &Lane> {
        self.accounts.values().map(|id| self.lane(*id))
    }
}

/// How much a person should look at it.
fn severity(state: ProviderState) -> u8 {
    match state {
        ProviderState::Up => 0,
        ProviderState::Throttled => 1,
        ProviderState::Exhausted => 2,
        ProviderState::Down => 3,
        ProviderState::Misconfigured => 4,
    }
}
