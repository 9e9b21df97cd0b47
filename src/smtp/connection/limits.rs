//! What a client may take of time and memory, besides what the session counts.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use crate::smtp::input::{Input, Line};
use crate::smtp::memory::{MemoryBudget, Reservation};

/// The longest that one transaction may take from MAIL to the final dot, however busy the client is.
pub(super) const TRANSACTION_TIME_MAX: Duration = Duration::from_secs(30 * 60);

/// How long a client that is neither trusted nor authenticated may be silent. RFC 5321 §4.5.3.2.7 asks for five minutes, for
/// the sake of mail that a server owes an answer for; nobody of whom we would take mail is silent before AUTH.
pub(super) const STRANGER_IDLE_MAX: Duration = Duration::from_secs(60);

/// How long it may stay in all without authentication.
pub(super) const STRANGER_TIME_MAX: Duration = Duration::from_secs(5 * 60);

/// The least that content must bring, octets per second, on average over the time for which a client may be silent. The
/// slowest way that mail is sent over (a satellite phone) brings three times as much, and may be interrupted for minutes.
const CONTENT_RATE_MIN: u64 = 100;

/// What content must bring to begin the time to be silent anew. Less, and a client that sends an octet a minute would hold
/// its memory for as long as a transaction may take.
pub(super) fn content_due(idle_timeout: Duration) -> u64 {
    CONTENT_RATE_MIN.saturating_mul(idle_timeout.as_secs()).max(1)
}

/// From here on, a wait for memory is not the client's silence.
pub(super) const MEMORY_WAIT_NOTICED: Duration = Duration::from_secs(1);

/// Recipients of this size in all are not counted: nearly every message.
const ENVELOPE_FREE: usize = 16 * 1024;

/// What a recipient takes besides its text.
const RECIPIENT_OVERHEAD: usize = 64;

/// The memory of a long list of recipients, out of the budget that contents come from.
#[derive(Debug)]
pub(super) struct EnvelopeMemory {
    held: Reservation,
    octets: usize,
}

impl EnvelopeMemory {
    pub(super) fn new(budget: &MemoryBudget) -> Self {
        Self { held: budget.reservation(0), octets: 0 }
    }

    /// Makes room for what this line may add. False when there is none, and the line must not be obeyed.
    pub(super) async fn cover(&mut self, line: &Line<'_>) -> bool {
        let Line::Command(command) = line else { return true };
        if !command.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"RCPT")) {
            return true;
        }
        let octets = self.octets + command.len() + RECIPIENT_OVERHEAD;
        if octets > ENVELOPE_FREE && !self.held.cover(octets, Duration::ZERO).await {
            return false;
        }
        self.octets = octets;
        true
    }

    /// The envelope has been handed on or forgotten.
    pub(super) fn release(&mut self) {
        self.octets = 0;
        self.held.release();
    }
}

/// Reads once. With `rests`, no buffer is set aside while there is nothing to read.
pub(super) async fn read<S>(stream: &mut S, input: &mut Input, rests: bool) -> io::Result<usize>
where
    S: AsyncRead + Unpin,
{
    std::future::poll_fn(|context| {
        let polled = pin!(stream.read_buf(input.room())).poll(context);
        if rests && polled.is_pending() {
            input.rest();
        }
        polled
    })
    .await
}
