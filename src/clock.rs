//! Time as an argument.
//!
//! Nothing in this crate asks the operating system what time it is, except [`SystemClock`]. Retries,
//! leases, quotas and circuits take a [`Clock`], so that tests run them through hours in no time.

use std::fmt;
use std::sync::Arc;

pub use jiff::Timestamp;

/// Tells the time.
pub trait Clock: fmt::Debug + Send + Sync {
    /// The present moment, UTC.
    fn now(&self) -> Timestamp;
}

/// A clock that many parts hold.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place where the machine's time comes in"
    )]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that goes with tokio's timer, so that `tokio::time::pause` stops it and sleeping moves it.
#[derive(Clone, Copy, Debug)]
pub struct TimerClock {
    epoch: Timestamp,
    started: tokio::time::Instant,
}

impl TimerClock {
    /// A clock that shows `epoch` now. Must be called inside a tokio runtime.
    pub fn starting_at(epoch: Timestamp) -> Self {
        Self { epoch, started: tokio::time::Instant::now() }
    }
}

impl Clock for TimerClock {
    fn now(&self) -> Timestamp {
        self.epoch + self.started.elapsed()
    }
}
