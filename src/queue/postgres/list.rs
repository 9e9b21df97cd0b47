//! Pages of messages, newest first.

use super::connect::Connections;
use super::not_yet;
use crate::queue::{Filter, Page, StoreError};

/// One page.
pub(super) async fn list(_connections: &Connections, _filter: &Filter) -> Result<Page, StoreError> {
    not_yet()
}
