//! The messages that wait for one lane, and which of them leave together. Pure.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::time::Duration;

use super::fair::Fair;
use super::job::Job;
use crate::clock::Timestamp;
use crate::provider::Batch;
use crate::queue::Turn;

/// Messages that are passed over at the most while company is looked for; they go next.
const PASSED_OVER_MAX: usize = 32;

/// Whether and how messages travel together, as the operator wants it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Batching {
    /// Most calls in one request.
    pub(super) max: NonZeroUsize,
    /// How long a lone message waits for company.
    pub(super) linger: Duration,
}

/// What leaves in one call.
#[derive(Debug)]
pub(super) enum Departure {
    One(Box<Job>),
    /// At least two that may travel together.
    Crew(Vec<Job>),
    /// A batch that is repeated as it was.
    Unit(Vec<Job>),
}

impl Departure {
    /// Its call has been counted.
    pub(super) fn is_counted(&mut self, at: Timestamp) {
        match self {
            Self::One(job) => job.counted = at,
            Self::Crew(jobs) | Self::Unit(jobs) => {
                jobs.iter_mut().for_each(|job| job.counted = at);
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Waiting {
    singles: Fair<Job>,
    /// Batches whose outcome is not known: they go before all others.
    units: VecDeque<Vec<Job>>,
    /// All that wait could go, and wait for company until then.
    lingers: Option<Timestamp>,
}

impl Waiting {
    pub(super) fn new() -> Self {
        Self { singles: Fair::new(), units: VecDeque::new(), lingers: None }
    }

    /// Messages that wait.
    pub(super) fn len(&self) -> usize {
        self.singles.len() + self.units.iter().map(Vec::len).sum::<usize>()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.singles.is_empty() && self.units.is_empty()
    }

    /// True when something of the same sender and kind waits.
    pub(super) fn has(&self, turn: Turn) -> bool {
        self.singles.has(turn)
    }

    /// One more; `lingers` when it could go at once and waits for company.
    pub(super) fn push(&mut self, job: Job, lingers: Option<Timestamp>) {
        self.lingers =
            if self.is_empty() { lingers } else { self.lingers.filter(|_| lingers.is_some()) };
        self.singles.push(job.turn, job);
    }

    /// A batch that is to be repeated.
    pub(super) fn push_unit(&mut self, unit: Vec<Job>) {
        self.units.push_back(unit);
    }

    /// These had their turn and could not use it.
    pub(super) fn put_back(&mut self, jobs: Vec<Job>) {
        self.lingers = None;
        self.singles.put_back(jobs);
    }

    /// When those that wait for nothing but company have had enough of it.
    pub(super) fn lingers(&self) -> Option<Timestamp> {
        self.lingers
    }

    /// What leaves now by the lane of this name, together where `batch` allows it.
    pub(super) fn depart(&mut self, name: &str, batch: Option<Batch>) -> Option<Departure> {
        self.lingers = None;
        if let Some(unit) = self.units.pop_front() {
            return Some(Departure::Unit(unit));
        }
        let first = self.singles.pop()?;
        let Some(batch) = batch.filter(|_| first.may_join(name)) else {
            return Some(Departure::One(Box::new(first)));
        };
        let mut bytes = first.size();
        let mut crew = vec![first];
        let mut passed_over = Vec::new();
        while crew.len() < batch.calls_max && passed_over.len() < PASSED_OVER_MAX {
            let Some(next) = self.singles.pop() else { break };
            if next.may_join(name) && bytes + next.size() <= batch.request_bytes_max {
                bytes += next.size();
                crew.push(next);
            } else {
                passed_over.push(next);
            }
        }
        self.singles.put_back(passed_over);
        match (crew.len(), crew.pop()) {
            (1, Some(alone)) => Some(Departure::One(Box::new(alone))),
            (_, last) => {
                crew.extend(last);
                Some(Departure::Crew(crew))
            }
        }
    }

    /// Takes off those that stand first of their sender, and the batches, for whose members `over` holds.
    pub(super) fn take_first_while(&mut self, over: impl Fn(&Job) -> bool) -> Vec<Job> {
        let (gone, kept): (Vec<_>, Vec<_>) =
            self.units.drain(..).partition(|unit| unit.iter().any(&over));
        self.units = kept.into();
        let mut taken: Vec<Job> = gone.into_iter().flatten().collect();
        taken.extend(self.singles.take_first_while(over));
        taken
    }

    /// Takes all.
    pub(super) fn drain(&mut self) -> Vec<Job> {
        self.lingers = None;
        let mut all: Vec<Job> = self.units.drain(..).flatten().collect();
        all.extend(self.singles.drain());
        all
    }
}
