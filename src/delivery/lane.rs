//! One provider account: how it may be used, how it stands, and the messages that wait for it.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;

use super::Backoff;
use super::board::earlier;
use super::job::Job;
use super::limits::{Limits, QuotaSetup};
use super::mark::SetupMark;
use super::standing::{Admission, Change, Standing};
use super::status::{ProviderState, ProviderStatus};
use super::waiting::{Batching, Departure, Waiting};
use crate::clock::Timestamp;
use crate::provider::{Batch, Provider, Rate, SendError, Verdict};
use crate::queue::{CallsWanted, Condition, Turn, WayKey};

/// Messages that are read from the queue to wait in memory for one open lane, where it takes them one by one.
const PARKED_PER_LANE: usize = 64;
/// With this many waiting, others that come for the lane go to the queue, unless their sender has nothing waiting.
const CROWD: usize = 256;
/// The same, at the most, where many go in one call.
const CROWD_MAX: usize = 2_048;
/// Octets of messages that travel together, and of what they become; each is in memory twice for a moment.
pub(super) const BATCH_BYTES_MAX: usize = 4 << 20;
/// Messages sent back come round again one after the other, as fast as the lane's rate, within these bounds, and the
/// last of very many not later than this.
const TURN_MIN: Duration = Duration::from_millis(20);
const TURN_MAX: Duration = Duration::from_secs(1);
const SPREAD_MAX: Duration = Duration::from_mins(5);

/// How soon somebody who found no free slot, and does not stand in a line for one, looks again.
const SEAT_WAIT: Duration = Duration::from_millis(50);

/// A provider and how it may be used.
#[derive(Clone, Debug)]
pub struct LaneSetup {
    /// The configured name.
    pub name: String,
    /// The account.
    pub provider: Arc<dyn Provider>,
    /// Calls in flight at the most.
    pub concurrency: NonZeroUsize,
    /// Calls per time, as configured; `None`: what the service says or publishes, else as fast as it answers.
    pub rate: Option<Rate>,
    /// Recipients that it may serve.
    pub quotas: QuotaSetup,
    /// Takes part in the default route. Otherwise only mail that names it goes there.
    pub in_route: bool,
    /// Of all that it is configured by: with the same mark it is the same account, used in the same way.
    pub mark: SetupMark,
    /// Changes when it is another account of the service.
    pub account: SetupMark,
}

/// The number of a lane on the board; never given again.
pub(super) type LaneId = usize;

/// How often the settings of a lane have been changed. What a call shows holds for those that it was made with.
pub(super) type Edition = u32;

#[derive(Debug)]
pub(super) struct Lane {
    pub(super) setup: LaneSetup,
    pub(super) edition: Edition,
    /// The first one of the present account.
    account_since: Edition,
    pub(super) standing: Standing,
    pub(super) limits: Limits,
    pub(super) in_flight: usize,
    pub(super) waiting: Waiting,
    /// A check is under way; whoever makes it knows the lane by its number.
    pub(super) checking: bool,
    /// When a message last came for it.
    pub(super) used: Timestamp,
    /// When a call last began, or when the lane was made.
    pub(super) called: Timestamp,
    /// The account of a client, see [`super::brought`].
    pub(super) brought: bool,
    /// Made before the last reload, by a configuration that may have changed.
    pub(super) stale: bool,
    /// The way of mail that goes by this lane whatever the routes say.
    pub(super) way: WayKey,
    /// The last read left mail for it in the queue, because there was no room.
    pub(super) left_out: bool,
    /// Closed, it has sent mail back to the queue, which is not read for it until it opens.
    pub(super) owing: bool,
    /// Not configured any more: calls that are under way end, and that is all.
    pub(super) retired: bool,
    /// How the instances know this account to stand, and since when.
    pub(super) known: Option<(Condition, Timestamp)>,
    /// When the last of those that were sent back comes round again.
    returns: Timestamp,
}

impl Lane {
    /// Open and empty; once closed it is checked by `checks`, but not oftener than its provider bears.
    pub(super) fn new(setup: LaneSetup, checks: Backoff, now: Timestamp) -> Self {
        Self {
            standing: Standing::new(checks.at_least(setup.provider.probe_interval())),
            limits: Limits::new(
                setup.rate,
                setup.concurrency,
                setup.quotas,
                setup.provider.capabilities(),
            ),
            in_flight: 0,
            waiting: Waiting::new(),
            checking: false,
            used: now,
            called: now,
            brought: false,
            stale: false,
            way: WayKey::default(),
            left_out: false,
            owing: false,
            retired: false,
            known: None,
            returns: Timestamp::MIN,
            edition: 0,
            account_since: 0,
            setup,
        }
    }

    /// Whether it takes mail.
    pub(super) fn admission(&self, now: Timestamp) -> Admission {
        self.admission_of(|| 1, now)
    }

    /// When it changes by itself.
    pub(super) fn next_change(&self) -> Option<Timestamp> {
        let change = earlier(self.standing.next_change(), self.limits.next_change());
        change.filter(|_| !self.retired)
    }

    /// Its settings may have been changed. What is known of the account holds on, calls that are under way count, and what
    /// closed it may be mended.
    pub(super) fn reload(&mut self, setup: LaneSetup, checks: Backoff, now: Timestamp) {
        self.standing.set_backoff(checks.at_least(setup.provider.probe_interval()));
        if self.setup.mark == setup.mark {
            // The provider stays, with its connections.
            self.setup.in_route = setup.in_route;
            return;
        }
        let limits =
            Limits::new(setup.rate, setup.concurrency, setup.quotas, setup.provider.capabilities());
        let same_account = self.setup.account == setup.account;
        self.limits = limits.going_on_from(&self.limits, same_account);
        self.standing.try_again(now);
        self.edition += 1;
        if !same_account {
            self.known = None;
            self.account_since = self.edition;
            self.standing.forget_rest(now);
        }
        self.setup = setup;
    }

    /// True while it takes mail, now or soon.
    pub(super) fn is_open(&self, now: Timestamp) -> bool {
        !matches!(self.admission(now), Admission::Closed(_))
    }

    /// Whether this message may go there now.
    pub(super) fn admits(&self, job: &Job, now: Timestamp) -> Admission {
        let service = self.setup.provider.capabilities().recipients_per_call;
        self.admission_of(|| job.waiting().min(service), now)
    }

    fn admission_of(&self, recipients: impl FnOnce() -> usize, now: Timestamp) -> Admission {
        if self.retired {
            return Admission::Closed(None);
        }
        self.standing.admission(now).and(self.limits.admission(recipients, now))
    }

    /// True when a call may begin, as far as slots and rate go.
    pub(super) fn is_free(&self, now: Timestamp) -> bool {
        self.has_slot() && self.limits.free_at(now) <= now
    }

    /// True when a message that waits can go now.
    pub(super) fn is_ready(&self, batching: Batching, now: Timestamp) -> bool {
        let lingers = self.waiting.lingers().is_some_and(|until| until > now)
            && self.batch(batching).is_some_and(|batch| self.waiting.len() < batch.calls_max);
        !lingers && self.admission(now) == Admission::Open && self.is_free(now)
    }

    /// How much may travel together; `None` where each goes alone.
    pub(super) fn batch(&self, batching: Batching) -> Option<Batch> {
        let batch = self.setup.provider.capabilities().batch?;
        let calls_max = batch.calls_max.min(batching.max.get());
        let request_bytes_max = batch.request_bytes_max.min(BATCH_BYTES_MAX);
        (calls_max > 1).then_some(Batch { calls_max, request_bytes_max })
    }

    /// Until when a message that could go now waits for company nevertheless.
    pub(super) fn gathers(
        &self,
        job: &Job,
        batching: Batching,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let waits = job.in_company || !batching.linger.is_zero();
        let joins = waits && self.batch(batching).is_some() && job.may_join(&self.setup.name);
        let until = if job.in_company { now } else { now + batching.linger };
        joins.then_some(until)
    }

    /// True when no message that could go waits before one that comes now and waits for no company.
    pub(super) fn goes_first(&self, now: Timestamp) -> bool {
        self.waiting.is_empty() || self.waiting.lingers().is_some_and(|until| until > now)
    }

    /// What leaves now; the slot is taken for it.
    pub(super) fn depart(&mut self, batching: Batching, now: Timestamp) -> Option<Departure> {
        // A trial is one message: what it shows must not cost the others a try.
        let batch = self.batch(batching).filter(|_| !self.standing.is_trial());
        let mut departure = self.waiting.depart(&self.setup.name, batch)?;
        let counted = self.take_slot(now);
        departure.is_counted(counted);
        Some(departure)
    }

    /// True when a call more may be in flight.
    pub(super) fn has_slot(&self) -> bool {
        self.in_flight < self.limits.calls_max()
    }

    /// Returns when its call is counted, see [`Limits::began`].
    pub(super) fn take_slot(&mut self, now: Timestamp) -> Timestamp {
        self.in_flight += 1;
        self.used = now;
        self.called = now;
        self.standing.began(now);
        self.limits.began(now)
    }

    /// Takes a slot for somebody who waits for the answer, and says when its call is counted, or when to come again.
    pub(super) fn seat(&mut self, beyond: bool, now: Timestamp) -> Result<Timestamp, Timestamp> {
        let at = self.limits.free_at(now);
        if at > now {
            return Err(at);
        }
        if !beyond && !self.has_slot() {
            return Err(now + SEAT_WAIT);
        }
        Ok(self.take_slot(now))
    }

    /// Which places to ask for, so that what waits can go.
    pub(super) fn ask_for_places(&mut self, now: Timestamp) -> Option<CallsWanted> {
        // Places that nobody can use are lost for all instances.
        if !self.has_slot() || self.admission(now) != Admission::Open {
            return None;
        }
        self.limits.ask(&self.setup.name, self.waiting.len(), now)
    }

    /// Messages of this lane that are in memory.
    pub(super) fn jobs(&self) -> usize {
        self.in_flight + self.waiting.len()
    }

    /// True when nobody outside holds the lane's number or waits for it.
    pub(super) fn is_idle(&self) -> bool {
        self.jobs() == 0 && !self.checking
    }

    /// True when no more should wait for it in memory. One whose sender has nothing waiting finds a place all the same,
    /// within limits.
    pub(super) fn is_crowded(&self, turn: Turn, batching: Batching) -> bool {
        let (waiting, crowd) = (self.waiting.len(), self.crowd(batching));
        waiting >= crowd && (waiting >= 2 * crowd || self.waiting.has(turn))
    }

    /// How many may wait: more, where they go by the hundred.
    fn crowd(&self, batching: Batching) -> usize {
        CROWD.max(self.in_calls(batching).min(CROWD_MAX))
    }

    /// Messages that are in its calls when all are full.
    fn in_calls(&self, batching: Batching) -> usize {
        let per_call = self.batch(batching).map_or(1, |batch| batch.calls_max);
        self.setup.concurrency.get().saturating_mul(per_call)
    }

    /// How many more messages for it are worth to have in memory.
    pub(super) fn room(&self, batching: Batching, now: Timestamp) -> usize {
        if !self.is_open(now) {
            return 0;
        }
        let whole = if self.standing.is_trial() {
            1
        } else {
            PARKED_PER_LANE + self.in_calls(batching).min(CROWD_MAX)
        };
        whole.saturating_sub(self.jobs())
    }

    /// When half of those that wait will have gone, if they go at the lane's rate.
    pub(super) fn drained(&self, now: Timestamp) -> Timestamp {
        let waiting = u32::try_from(self.waiting.len() / 2).unwrap_or(u32::MAX);
        now + self.turn_length().saturating_mul(waiting).min(SPREAD_MAX)
    }

    /// When a message that the lane cannot take is to come round again: not before `earliest`, and behind those that
    /// were sent back before it. A large crowd that came back at once would keep everybody else's mail waiting.
    pub(super) fn turn(&mut self, earliest: Timestamp, rng: &mut Rng) -> Timestamp {
        let at = self.returns.max(earliest);
        if at > earliest + SPREAD_MAX {
            // A very large crowd, or a clock that was set back.
            return next_second(earliest + SPREAD_MAX.mul_f64(0.5 + rng.f64() / 2.0));
        }
        self.returns = at + self.turn_length();
        // Those that stand in a row come by the second, so that they share reads and commits.
        if at == earliest { at } else { next_second(at) }
    }

    /// The crowd is not sent back any more.
    pub(super) fn forget_turns(&mut self) {
        self.returns = Timestamp::MIN;
    }

    /// A call succeeded that was made with the settings of that edition. True when the provider was closed before.
    pub(super) fn succeeded(&mut self, edition: Edition, now: Timestamp) -> bool {
        if edition != self.edition {
            return false;
        }
        self.hear(now);
        self.limits.succeeded();
        self.standing.succeeded(now)
    }

    /// A call failed that was made with the settings of that edition. What it says of other ones is only for how long the
    /// account wants to be left alone.
    pub(super) fn failed(
        &mut self,
        edition: Edition,
        error: &SendError,
        now: Timestamp,
        rng: &mut Rng,
    ) -> Change {
        if edition != self.edition {
            if edition >= self.account_since {
                self.limits.failed(error, self.in_flight, now);
            }
            return Change::Same;
        }
        self.hear(now);
        self.limits.failed(error, self.in_flight, now);
        let change = self.standing.failed(error, now, rng);
        if let (Verdict::Throttled { .. }, Admission::Soon(at) | Admission::Closed(Some(at))) =
            (error.verdict, self.standing.admission(now))
        {
            // Also for the further calls of messages that have their slot.
            self.limits.rest(Some(at.duration_since(now).unsigned_abs()), now);
        }
        change
    }

    /// What the service says of its limits is taken over.
    pub(super) fn hear(&mut self, now: Timestamp) {
        if let Some(heard) = self.setup.provider.heard() {
            self.limits.hear(&heard, now);
        }
    }

    /// The state that `/health` shows.
    pub(super) fn state(&self, now: Timestamp) -> ProviderState {
        match self.standing.state(now) {
            ProviderState::Up | ProviderState::Throttled if self.limits.full(now).is_some() => {
                ProviderState::Exhausted
            }
            // It has said that nothing is left of its window.
            ProviderState::Up if self.limits.rests(now) => ProviderState::Throttled,
            state => state,
        }
    }

    /// What is the matter with it, or was last: a full quota, else the newest error.
    pub(super) fn trouble(&self, now: Timestamp) -> Option<(Timestamp, String)> {
        let full = self.limits.full(now).map(|full| (now, full.to_string()));
        full.or_else(|| self.standing.last_error().cloned())
    }

    /// What the outside is told.
    pub(super) fn status(&self, now: Timestamp) -> ProviderStatus {
        ProviderStatus {
            name: self.setup.name.clone(),
            state: self.state(now),
            last_success: self.standing.last_success(),
            last_error: self.trouble(now),
        }
    }

    fn turn_length(&self) -> Duration {
        self.limits.interval().unwrap_or(TURN_MIN).clamp(TURN_MIN, TURN_MAX)
    }
}

/// The next whole second; the time itself where there is none.
fn next_second(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second() + 1).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::scripted::Scripted;

    fn start() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    fn lane(rate: Option<Rate>) -> Lane {
        let setup = LaneSetup {
            name: "resend".to_owned(),
            provider: Arc::new(Scripted::new()),
            concurrency: NonZeroUsize::MIN,
            rate,
            quotas: QuotaSetup::default(),
            in_route: true,
            mark: SetupMark::default(),
            account: SetupMark::default(),
        };
        let checks = Backoff::new(Duration::from_secs(2), Duration::from_mins(1));
        Lane::new(setup, checks, start())
    }

    #[tokio::test]
    async fn a_crowd_that_is_sent_back_comes_round_at_the_lanes_rate() {
        let mut lane = lane(Some(Rate { calls: 10, per: Duration::from_secs(1) }));
        let mut rng = Rng::with_seed(1);
        let earliest = start() + Duration::from_secs(2);
        let turns: Vec<_> = (0..10_000).map(|_| lane.turn(earliest, &mut rng)).collect();
        assert_eq!(turns[0], earliest);
        let within = |seconds: u64| {
            turns.iter().filter(|turn| **turn <= earliest + Duration::from_secs(seconds)).count()
        };
        assert!((90..=110).contains(&within(10)), "{}", within(10));
        assert!((990..=1_010).contains(&within(100)), "{}", within(100));
        assert_eq!(within(301), 10_000, "nobody waits longer");
    }

    #[tokio::test]
    async fn a_lane_that_works_again_gives_the_next_a_short_turn() {
        let mut lane = lane(None);
        let mut rng = Rng::with_seed(1);
        for _ in 0..1_000 {
            lane.turn(start(), &mut rng);
        }
        lane.forget_turns();
        assert_eq!(lane.turn(start(), &mut rng), start());
    }
}
