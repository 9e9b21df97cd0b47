//! Submissions that are taken once, however often they are repeated.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::message::QueueId;

/// How long a key is remembered.
pub const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

/// What makes a submission recognisable when it comes again: digests, so that neither key nor content is kept twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Once {
    /// SHA-256 of the key that the client gave (`Idempotency-Key`).
    pub key: [u8; 32],
    /// SHA-256 of what was asked for.
    pub request: [u8; 32],
    /// When it was asked for; forgotten [`REMEMBERED`] later.
    pub at: Timestamp,
}

impl Once {
    /// True while its key is remembered.
    pub fn is_remembered(&self, now: Timestamp) -> bool {
        now.duration_since(self.at).unsigned_abs() < REMEMBERED
    }

    /// What an earlier submission under the same key, taken as `id`, says about this one.
    pub fn seen(&self, earlier: &Self, id: QueueId) -> Option<Seen> {
        let same = if earlier.request == self.request { Seen::Same(id) } else { Seen::Other };
        earlier.is_remembered(self.at).then_some(same)
    }
}

/// What a key says about a submission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The same has been taken before, as this message.
    Same(QueueId),
    /// The key was used for something else.
    Other,
}
