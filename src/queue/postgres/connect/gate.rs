//! Whether the database can be reached, as far as it is known, and when the next try is worth it.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::queue::postgres::fault::Fault;

/// Between two tries, growing from the one to the other.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Closed after a failed try, for a while.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    failures: u32,
    outage: Option<Outage>,
}

/// What is in the way.
#[derive(Clone, Debug)]
struct Outage {
    fault: Fault,
    until: Instant,
}

impl Gate {
    /// What is in the way, while it is too early to try again.
    pub(super) fn closed(&self) -> Option<Fault> {
        let state = self.state();
        state.outage.as_ref().filter(|it| Instant::now() < it.until).map(|it| it.fault.clone())
    }

    /// What the last try has met; `None`: it was let in.
    pub(super) fn outage(&self) -> Option<Fault> {
        self.state().outage.as_ref().map(|outage| outage.fault.clone())
    }

    /// A try has failed. True for the first one.
    pub(super) fn failed(&self, fault: &Fault, chance: f64) -> bool {
        let mut state = self.state();
        let pause = pause(state.failures, chance);
        state.failures = state.failures.saturating_add(1);
        state.outage = Some(Outage { fault: fault.clone(), until: Instant::now() + pause });
        state.failures == 1
    }

    /// A try has succeeded. True where it had not before.
    pub(super) fn opened(&self) -> bool {
        let mut state = self.state();
        state.failures = 0;
        state.outage.take().is_some()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// After so many failures; `chance` from 0 to 1 keeps instances from coming all at once.
fn pause(failures: u32, chance: f64) -> Duration {
    let longest = PAUSE_MIN.saturating_mul(1 << failures.min(10)).min(PAUSE_MAX);
    longest.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_failure_closes_it_for_longer_and_longer() {
        let gate = Gate::default();
        let fault = Fault::away("gone");
        assert!(gate.failed(&fault, 1.0));
        assert!(!gate.failed(&fault, 1.0), "only the first one is news");
        assert_eq!(gate.closed().unwrap().text(), "gone");
        tokio::time::advance(Duration::from_millis(201)).await;
        assert!(gate.closed().is_none());
        assert!(gate.outage().is_some(), "nobody has been let in");
        assert!(gate.opened());
        assert!(!gate.opened());
        assert!(gate.outage().is_none());
    }

    #[test]
    fn pauses_have_bounds() {
        assert_eq!(pause(0, 1.0), Duration::from_millis(100));
        assert_eq!(pause(0, 0.0), Duration::from_millis(50));
        assert_eq!(pause(4, 1.0), Duration::from_millis(1600));
        assert_eq!(pause(u32::MAX, 1.0), PAUSE_MAX);
    }
}
