//! One message.

use bytes::Bytes;

use super::connect::Connections;
use super::not_yet;
use crate::message::QueueId;
use crate::queue::{Details, StoreError};

/// One message with its attempts, oldest first.
pub(super) async fn show(
    _connections: &Connections,
    _id: QueueId,
) -> Result<Option<Details>, StoreError> {
    not_yet()
}

/// The content of a message, while it is kept.
pub(super) async fn content(
    _connections: &Connections,
    _id: QueueId,
) -> Result<Option<Bytes>, StoreError> {
    not_yet()
}
