//! Log lines about what somebody outside could cause without end.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Lines in one window. One kind of event has several causes at times, and an operator should see each of them.
const LINES_MAX: u32 = 10;

/// How long a window is.
const WINDOW: Duration = Duration::from_secs(60);

/// One kind of event: a few lines a minute, and how many there were besides.
#[derive(Debug, Default)]
pub(super) struct Occasional {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    window_end: Option<Instant>,
    lines: u32,
    unlogged: u64,
}

impl Occasional {
    /// Whether this event gets a line, and then how many before it got none.
    pub(super) fn take(&self) -> Option<u64> {
        let now = Instant::now();
        // Nothing panics while it is held.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.window_end.is_none_or(|end| now >= end) {
            state.window_end = Some(now + WINDOW);
            state.lines = 0;
        }
        if state.lines >= LINES_MAX {
            state.unlogged += 1;
            return None;
        }
        state.lines += 1;
        Some(std::mem::take(&mut state.unlogged))
    }
}

/// What the SMTP side tells an operator about its clients.
#[derive(Debug, Default)]
pub(super) struct Notices {
    /// Connections could not be accepted.
    pub(super) accept: Occasional,
    /// Connections above a limit.
    pub(super) refused: Occasional,
    /// Connections without a usable PROXY header.
    pub(super) proxy: Occasional,
    /// TLS handshakes that failed.
    pub(super) handshakes: Occasional,
    /// Strangers who wanted to send.
    pub(super) strangers: Occasional,
    /// Clients that broke the rules.
    pub(super) sent_away: Occasional,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_a_few_lines_and_a_number() {
        let events = Occasional::default();
        let lines = (0..1000).filter(|_| events.take().is_some()).count();
        assert_eq!(lines, 10);
        tokio::time::advance(WINDOW).await;
        assert_eq!(events.take(), Some(990), "the first line of the next minute tells how many");
        assert_eq!(events.take(), Some(0));
    }
}
