//! Removing what is past its time.

use std::time::Duration;

use super::connect::Connections;
use super::not_yet;
use crate::clock::Timestamp;
use crate::queue::StoreError;

/// Removes a slice.
pub(super) async fn sweep(
    _connections: &Connections,
    _keep_records: Duration,
    _keep_bodies: Duration,
    _now: Timestamp,
) -> Result<usize, StoreError> {
    not_yet()
}
