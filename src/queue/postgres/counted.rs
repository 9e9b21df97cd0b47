//! Counters over time.

use async_trait::async_trait;

use super::connect::Connections;
use super::not_yet;
use crate::queue::{Grain, Sample, Statistics, StoreError};

/// The counters in the database.
#[derive(Debug)]
pub(super) struct Counters {
    _connections: Connections,
}

impl Counters {
    pub(super) fn new(connections: Connections) -> Self {
        Self { _connections: connections }
    }
}

#[async_trait]
impl Statistics for Counters {
    async fn add(&self, _samples: Vec<Sample>) -> Result<(), StoreError> {
        not_yet()
    }

    async fn read(&self, _grain: Grain, _from: i64, _to: i64) -> Result<Vec<Sample>, StoreError> {
        not_yet()
    }
}
