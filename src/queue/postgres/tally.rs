//! How full the queue is.

use super::connect::Connections;
use super::not_yet;
use crate::queue::{Counts, StoreError};

/// How many messages are open, as a part of another statement. Must cost the same at any backlog.
#[expect(dead_code, reason = "the inserts use it next")]
pub(super) const OPEN: &str = "(SELECT count(*) FROM messages WHERE state IN (0, 1))";

/// The figures.
pub(super) async fn counts(_connections: &Connections) -> Result<Counts, StoreError> {
    not_yet()
}
