//! The list of addresses that get no mail.

use async_trait::async_trait;

use super::connect::Connections;
use super::not_yet;
use crate::message::Address;
use crate::queue::{StoreError, Suppression, SuppressionFilter, SuppressionPage, Suppressions};

/// The list in the database.
#[derive(Debug)]
pub(super) struct List {
    _connections: Connections,
}

impl List {
    pub(super) fn new(connections: Connections) -> Self {
        Self { _connections: connections }
    }
}

#[async_trait]
impl Suppressions for List {
    fn is_empty(&self) -> bool {
        true
    }

    async fn add(&self, _entry: Suppression) -> Result<bool, StoreError> {
        not_yet()
    }

    async fn remove(&self, _address: &Address) -> Result<bool, StoreError> {
        not_yet()
    }

    async fn list(&self, _filter: SuppressionFilter) -> Result<SuppressionPage, StoreError> {
        not_yet()
    }

    async fn among(&self, _addresses: Vec<Address>) -> Result<Vec<Suppression>, StoreError> {
        not_yet()
    }
}
