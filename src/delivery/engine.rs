//! The moving parts: carries out what the board decides.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::board::Board;
use super::brought::Way;
use super::course::{self, Course, Obstacle};
use super::doubt;
use super::events::{EventLog, Observers};
use super::job::Job;
use super::lane::LaneId;
use super::memory::{Memory, Room};
use super::others::Tellings;
use super::placing::Placement;
use super::policy::Policy;
use super::slot::Slot;
use super::waiting::Departure;
use crate::clock::{SharedClock, Timestamp};
use crate::queue::{Claim, Lease, Next, Store};

/// How long a claim holds.
pub(super) const LEASE: Duration = Duration::from_mins(15);

/// Delivery's shared state.
#[derive(Debug)]
pub(super) struct Engine {
    board: Mutex<Board>,
    pub(super) store: Option<StoreHandle>,
    policy: ArcSwap<Policy>,
    pub(super) observers: Observers,
    pub(super) clock: SharedClock,
    /// This instance's name on its leases, where there are no others.
    pub(super) owner: Arc<str>,
    pub(super) memory: Memory,
    /// Wakes the pump.
    pub(super) pump: Notify,
    /// Places for calls have come, see [`super::limits`].
    pub(super) places: Notify,
    /// The queue holds messages that are not in memory.
    pub(super) backlog: AtomicBool,
    /// No new work.
    pub(super) closing: AtomicBool,
    /// Since when these settings are in force, milliseconds.
    pub(super) settings_since: AtomicI64,
    /// The list of addresses that get no mail, where there is no queue.
    pub(super) suppressions: OnceLock<StoreHandle>,
    /// What the other instances are to be told.
    pub(super) telling: Tellings,
    pub(super) tasks: TaskTracker,
}

/// The queue, as delivery holds it.
#[derive(Clone)]
pub(super) struct StoreHandle(pub(super) Arc<dyn Store>);

impl std::fmt::Debug for StoreHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Engine {
    pub(super) fn new(
        mut board: Board,
        store: Option<Arc<dyn Store>>,
        policy: Policy,
        clock: SharedClock,
        owner: Arc<str>,
    ) -> Self {
        if store.as_ref().is_some_and(|store| store.shared().is_some()) {
            board.share();
        }
        let settings_since = AtomicI64::new(clock.now().as_millisecond());
        Self {
            board: Mutex::new(board),
            store: store.map(StoreHandle),
            policy: ArcSwap::from_pointee(policy),
            observers: Observers::default(),
            clock,
            owner,
            memory: Memory::new(),
            pump: Notify::new(),
            places: Notify::new(),
            backlog: AtomicBool::new(true),
            closing: AtomicBool::new(false),
            settings_since,
            suppressions: OnceLock::new(),
            telling: Tellings::default(),
            tasks: TaskTracker::new(),
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// What holds now.
    pub(super) fn policy(&self) -> Arc<Policy> {
        self.policy.load_full()
    }

    /// From now on this holds, also for messages that are on their way.
    pub(super) fn set_policy(&self, policy: Policy) {
        self.board().follow_policy(&policy);
        self.policy.store(Arc::new(policy));
    }

    /// Another configuration is in force.
    pub(super) fn note_settings(&self) {
        self.settings_since.store(self.now().as_millisecond(), Ordering::Relaxed);
    }

    /// Tells what happens.
    pub(super) fn log(&self) -> EventLog<'_> {
        EventLog { subject: self.policy.load().log_subject, observers: &self.observers }
    }

    /// The board. No lock is held over an await, and no code that holds it can panic half-way through a change, so a
    /// poisoned lock is taken over.
    pub(super) fn board(&self) -> MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Finds the lane for a large message claimed from the queue and starts it.
    pub(super) fn offer(self: &Arc<Self>, claim: Claim, lease: Lease, room: Option<Room>) {
        let way = self.way(&claim.message);
        self.dispatch(Job::new(claim, lease, way, room));
    }

    /// Starts a message, parks it, or returns it to the queue.
    pub(super) fn dispatch(self: &Arc<Self>, job: Job) {
        if job.place().is_some() {
            // The queue hands its batch out as a whole.
            return self.hand_back(job);
        }
        let placement = self.board().assign(job, self.now());
        self.carry_out(placement);
    }

    pub(super) fn carry_out(self: &Arc<Self>, placement: Placement) {
        let engine = Arc::clone(self);
        match placement {
            Placement::Run(lane, job) => self.start(lane, *job),
            Placement::Parked { for_time } => {
                if for_time {
                    self.pump.notify_one();
                }
            }
            Placement::Back { job, due, why } => {
                self.tasks.spawn(async move { engine.give_back(*job, due, why).await });
            }
            Placement::Nobody(job) => {
                self.tasks.spawn(async move { engine.nobody(*job).await });
            }
            Placement::Held(job) => {
                self.tasks.spawn(async move { engine.hold(*job, None).await });
            }
        }
    }

    /// Finds a lane anew for a message that has waited for one, or returns it at the shutdown.
    pub(super) fn take_up_again(self: &Arc<Self>, job: Job) {
        if self.closing.load(Ordering::Relaxed) {
            self.hand_back(job);
        } else {
            self.dispatch(job);
        }
    }

    pub(super) fn start(self: &Arc<Self>, lane: LaneId, job: Job) {
        self.tasks.spawn(Arc::clone(self).run(lane, job));
    }

    /// Starts whatever has a free slot.
    pub(super) fn start_ready(self: &Arc<Self>) {
        loop {
            let ready = self.board().next_ready(self.now());
            match ready {
                Some((lane, Departure::One(job))) => self.start(lane, *job),
                Some((lane, Departure::Crew(jobs))) => self.start_crew(lane, jobs, false),
                Some((lane, Departure::Unit(jobs))) => self.start_crew(lane, jobs, true),
                None => break,
            }
        }
        self.ask_for_places();
    }

    /// Delivers a message, beginning with a lane whose slot is taken, until it is settled or parked.
    pub(super) async fn run(self: Arc<Self>, lane: LaneId, job: Job) {
        let (mut lane, mut job) = (lane, job);
        loop {
            let slot = Slot::taken(&self, lane);
            let result = self.attempt(&mut job, lane).await;
            let placement = self.after_attempt(lane, slot, job, result);
            self.after_release();
            match placement {
                AfterAttempt::Hold(job, error) => {
                    self.hold(*job, Some(error)).await;
                    self.refill(lane);
                    return;
                }
                AfterAttempt::Settle(settled, next) => {
                    self.conclude(*settled, next).await;
                    self.refill(lane);
                    return;
                }
                AfterAttempt::Again(next_lane, next_job) => {
                    lane = next_lane;
                    job = *next_job;
                }
                AfterAttempt::Parked => {
                    self.pump.notify_one();
                    if self.closing.load(Ordering::Relaxed) {
                        self.empty();
                    }
                    return;
                }
            }
        }
    }

    /// Frees the slot and decides what follows.
    fn after_attempt(
        &self,
        lane: LaneId,
        slot: Slot<'_>,
        job: Job,
        result: Result<(), Obstacle>,
    ) -> AfterAttempt {
        let policy = self.policy();
        let mut board = self.board();
        slot.give_back(&mut board);
        let now = self.now();
        if result.is_ok() {
            self.note_carried(&mut board, &job, lane, now);
        }
        follow(&mut board, lane, job, result, &policy, now)
    }

    /// Writes down how a message ends, or the part of it whose turn it was; then the others have theirs.
    pub(super) async fn conclude(self: &Arc<Self>, mut job: Job, next: Next) {
        let lost = job.attempts.is_empty() && !self.holds(&job);
        // What becomes of it is another instance's to say.
        let next = if lost { course::wait(self.now(), None) } else { next };
        let fails = matches!(next, Next::Failed { .. });
        match job.end_part(next) {
            Some(next) => {
                self.settle(&mut job, next).await;
            }
            // What has been done must not wait for the others: a crash would repeat it.
            None => {
                let is_news = fails || !job.attempts.is_empty();
                if !is_news || self.settle(&mut job, Next::Continue).await {
                    self.take_up_again(job);
                }
            }
        }
    }

    /// Returns a message to the queue as it is, due at once. In a task of its own, so that many share a commit.
    pub(super) fn hand_back(self: &Arc<Self>, mut job: Job) {
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            let next = course::wait(engine.now(), None);
            engine.settle(&mut job, next).await;
        });
    }

    /// Returns a message to the queue, because no provider that it could use takes it now. One that has waited long
    /// enough for providers that are down is given up instead.
    async fn give_back(self: &Arc<Self>, job: Job, due: Timestamp, why: Option<String>) {
        let next = self.after_waiting(&job, due, why);
        self.conclude(job, next).await;
    }

    /// What follows for a message that no provider takes now.
    pub(super) fn after_waiting(&self, job: &Job, due: Timestamp, why: Option<String>) -> Next {
        let now = self.now();
        let rules = &self.policy().rules;
        let down_since = self.board().all_down_since(job);
        let in_vain = down_since.is_some_and(|since| course::waits_in_vain(job, since, rules, now));
        if in_vain {
            course::given_up(job, why.as_deref().unwrap_or("no provider answers"), now)
        } else {
            course::wait(due, why)
        }
    }

    /// A message that every provider has refused to carry in earlier deliveries, or that none is configured for.
    async fn nobody(self: &Arc<Self>, job: Job) {
        let error = match (&job.way, job.passed_over.last()) {
            (Way::Locked(reason), _) => {
                tracing::error!(queue_id = %job.claim.message.id, error = reason, "a message waits, because the account that it is to be sent by cannot be used");
                reason.clone()
            }
            (Way::Route | Way::Account(_), Some(name)) => {
                format!("no provider is left after {name}; mailferry's log says why")
            }
            (Way::Route | Way::Account(_), None) => {
                "no provider is configured for this message".to_owned()
            }
        };
        let next = {
            let rules = &self.policy().rules;
            let board = &mut *self.board();
            course::defer(&job, rules, error, Duration::ZERO, self.now(), &mut board.rng)
        };
        self.conclude(job, next).await;
    }

    /// A slot has become free: whoever waits for it goes.
    pub(super) fn after_release(self: &Arc<Self>) {
        self.start_ready();
        let displaced = self.board().displaced(self.now());
        self.dispatch_all(displaced);
    }

    /// More may be read from the queue now, because a message of this lane has ended.
    pub(super) fn refill(&self, lane: LaneId) {
        let backlog = self.backlog.load(Ordering::Relaxed);
        let (now, board) = (self.now(), self.board());
        let hungry = board.is_hungry(lane, now);
        if hungry || (backlog && board.wants_more(now)) {
            drop(board);
            self.backlog.store(true, Ordering::Relaxed);
            self.pump.notify_one();
        }
    }
}

/// Decides what follows for a message after an attempt, when the slot of its lane is free again.
pub(super) fn follow(
    board: &mut Board,
    lane: LaneId,
    mut job: Job,
    result: Result<(), Obstacle>,
    policy: &Policy,
    now: Timestamp,
) -> AfterAttempt {
    let rules = &policy.rules;
    let Err(obstacle) = result else {
        return AfterAttempt::Settle(Box::new(job), Next::Delivered);
    };
    if obstacle.leaves_doubt() {
        job.parts.close();
    }
    let name = board.name(lane).to_owned();
    let still_open = board.is_open(lane, now);
    let idempotency = board.provider(lane).capabilities().idempotency;
    let course = match doubt::after(&obstacle, &mut job, &name, idempotency, policy, now) {
        doubt::After::Hold(error) => return AfterAttempt::Hold(Box::new(job), error),
        doubt::After::Same if still_open => {
            let text = obstacle.text(&name);
            let wait = course::asked_wait(&obstacle);
            let next = course::defer(&job, rules, text, wait, now, &mut board.rng);
            return AfterAttempt::Settle(Box::new(job), next);
        }
        doubt::After::Same => Course::Elsewhere { pass_over: false },
        doubt::After::Usual => {
            course::after(&obstacle, &name, still_open, &job, rules, now, &mut board.rng)
        }
    };
    let pass_over = match course {
        Course::Settle(next) => return AfterAttempt::Settle(Box::new(job), next),
        Course::Elsewhere { pass_over } => pass_over,
    };
    if pass_over {
        job.passed_over.push(name.clone());
    }
    match board.assign_part(job, now) {
        Placement::Run(lane, job) => AfterAttempt::Again(lane, job),
        Placement::Parked { .. } => AfterAttempt::Parked,
        Placement::Back { job, due, why: _ } if job.bound.is_some() => {
            let error = Some(obstacle.text(&name));
            // One that was only stopped waits: nothing was tried.
            let deferred = !matches!(obstacle, Obstacle::Stopped(_));
            AfterAttempt::Settle(job, Next::Queue { due, error, deferred })
        }
        Placement::Back { job, due, why: _ } => {
            let rng = &mut board.rng;
            let next = course::others_closed(&obstacle, &name, due, &job, rules, now, rng);
            AfterAttempt::Settle(job, next)
        }
        Placement::Nobody(job) => {
            let providers = job.passed_over.len();
            let rng = &mut board.rng;
            let next = course::without_provider(&obstacle, &name, providers, &job, rules, now, rng);
            AfterAttempt::Settle(job, next)
        }
        Placement::Held(job) => AfterAttempt::Hold(job, obstacle.text(&name)),
    }
}

/// Where a message is after an attempt.
pub(super) enum AfterAttempt {
    Settle(Box<Job>, Next),
    /// It may have arrived, and is not sent again.
    Hold(Box<Job>, String),
    Again(LaneId, Box<Job>),
    Parked,
}
