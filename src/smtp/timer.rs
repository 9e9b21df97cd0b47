//! One timer per connection, moved instead of made anew.

use std::pin::Pin;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// Moving the time further away costs nothing: the timer wheel is touched only when the old time has come, or for an earlier one.
#[derive(Debug)]
pub(super) struct Timer {
    sleep: Pin<Box<Sleep>>,
    due: Instant,
}

impl Timer {
    /// Due after `delay`.
    pub(super) fn new(delay: Duration) -> Self {
        let due = Instant::now() + delay;
        Self { sleep: Box::pin(tokio::time::sleep_until(due)), due }
    }

    /// Moves it.
    pub(super) fn set(&mut self, due: Instant) {
        self.due = due;
        if due < self.sleep.deadline() {
            self.sleep.as_mut().reset(due);
        }
    }

    /// Waits until it is due. May be dropped and called again.
    pub(super) async fn expired(&mut self) {
        loop {
            self.sleep.as_mut().await;
            if Instant::now() >= self.due {
                return;
            }
            self.sleep.as_mut().reset(self.due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn it_can_be_moved_both_ways() {
        let start = Instant::now();
        let seconds = Duration::from_secs;
        let mut timer = Timer::new(seconds(10));
        timer.set(start + seconds(30));
        timer.expired().await;
        assert_eq!(start.elapsed().as_secs(), 30);
        timer.set(start + seconds(90));
        timer.set(start + seconds(40));
        timer.expired().await;
        assert_eq!(start.elapsed().as_secs(), 40);
    }
}
