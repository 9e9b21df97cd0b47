//! The true time of a simulation, which goes on through crashes and suspensions, and the engine's clock, which may be wrong.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{Clock, Timestamp};

/// What the providers' clocks show when a simulation begins.
const EPOCH: &str = "2026-11-21T06:00:00Z";

/// How long the simulation has lasted, in its own time.
#[derive(Debug, Default)]
pub(super) struct TrueTime(Mutex<Passed>);

#[derive(Debug, Default)]
struct Passed {
    before: Duration,
    /// Within the life of a process: when its timer said that `before` had passed.
    since: Option<Instant>,
}

impl TrueTime {
    pub(super) fn now(&self) -> Duration {
        let passed = self.0.lock().unwrap();
        passed.before + passed.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The providers' clock.
    pub(super) fn date(&self) -> Timestamp {
        EPOCH.parse::<Timestamp>().unwrap() + self.now()
    }

    /// A process begins; inside of its runtime.
    pub(super) fn begin(&self) {
        self.0.lock().unwrap().since = Some(Instant::now());
    }

    /// It ends; inside of its runtime.
    pub(super) fn end(&self) {
        let now = self.now();
        *self.0.lock().unwrap() = Passed { before: now, since: None };
    }

    /// Time passes in which nothing runs.
    pub(super) fn skip(&self, time: Duration) {
        self.0.lock().unwrap().before += time;
    }
}

/// The clock of the machine that mailferry runs on: true, but for what it has been set forwards or backwards.
#[derive(Debug)]
pub(super) struct MachineClock {
    time: Arc<TrueTime>,
    /// Seconds.
    offset: Mutex<i64>,
}

impl MachineClock {
    pub(super) fn new(time: Arc<TrueTime>) -> Self {
        Self { time, offset: Mutex::default() }
    }

    pub(super) fn set(&self, by_seconds: i64) {
        *self.offset.lock().unwrap() += by_seconds;
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Timestamp {
        let offset = *self.offset.lock().unwrap();
        let by = Duration::from_secs(offset.unsigned_abs());
        if offset < 0 { self.time.date() - by } else { self.time.date() + by }
    }
}
