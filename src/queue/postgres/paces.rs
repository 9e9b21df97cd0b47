//! The row of calls and the quotas that instances have in common.

use super::connect::Connections;
use crate::clock::Timestamp;
use crate::queue::{CallsWanted, RecipientsWanted, Reserved, StoreError};

pub(super) async fn reserve_calls(
    connections: &Connections,
    _wanted: &CallsWanted,
) -> Result<Vec<Timestamp>, StoreError> {
    let _ = connections.get().await?;
    super::not_yet()
}

pub(super) async fn reserve_recipients(
    connections: &Connections,
    _wanted: &RecipientsWanted,
) -> Result<Reserved, StoreError> {
    let _ = connections.get().await?;
    super::not_yet()
}

pub(super) async fn return_recipients(
    connections: &Connections,
    _provider: &str,
    _hour: i64,
    _recipients: u64,
) -> Result<(), StoreError> {
    let _ = connections.get().await?;
    super::not_yet()
}
