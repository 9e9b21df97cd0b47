//! The name of a message in the queue.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::clock::Timestamp;

/// A UUIDv7: ids made later sort later, so newest-first paging needs no index of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueueId(Uuid);

impl QueueId {
    /// A new id for a message received at `now`.
    ///
    /// The time comes from the caller; the rest is chance, which must differ between threads and processes and decides
    /// nothing, so it is no argument.
    pub fn new(now: Timestamp) -> Self {
        let millis = u64::try_from(now.as_millisecond()).unwrap_or(0);
        let mut random = [0_u8; 10];
        for chunk in random.chunks_mut(8) {
            let bits = fastrand::u64(..).to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
    }

    /// The smallest id that a message received at `at` can have: a bound for scans by age.
    pub fn lower_bound(at: Timestamp) -> Self {
        let millis = u64::try_from(at.as_millisecond()).unwrap_or(0);
        Self(Uuid::from_u128(u128::from(millis) << 80))
    }

    /// The sixteen bytes, in the order in which ids sort.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// The id with these sixteen bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// A text that names no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an id is a text such as 01937b5e-8f00-7000-8000-000000000000")]
pub struct NoQueueId;

impl FromStr for QueueId {
    type Err = NoQueueId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::parse_str(text).map(Self).map_err(|_| NoQueueId)
    }
}
