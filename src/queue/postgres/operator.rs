//! What operators do with messages.

use super::connect::Connections;
use super::not_yet;
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{Retried, Retry, StoreError};

/// Has a message tried again.
pub(super) async fn retry(
    _connections: &Connections,
    _id: QueueId,
    _retry: &Retry,
    _now: Timestamp,
) -> Result<(), StoreError> {
    not_yet()
}

/// Retries a slice of what has failed.
pub(super) async fn retry_failed(
    _connections: &Connections,
    _before: Option<QueueId>,
    _now: Timestamp,
) -> Result<Retried, StoreError> {
    not_yet()
}

/// Stops a message that waits.
pub(super) async fn cancel(
    _connections: &Connections,
    _id: QueueId,
    _now: Timestamp,
) -> Result<(), StoreError> {
    not_yet()
}
