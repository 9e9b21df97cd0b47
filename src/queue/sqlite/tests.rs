//! What only a store in a file must do, beside the conformance suite.

use std::sync::Arc;

use super::SqliteStore;
use crate::queue::conformance::{Harness, conformance};

fn open(messages_max: u64) -> Harness {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(&folder.path().join("queue.db"), messages_max).unwrap();
    Harness::new(Arc::new(store), folder)
}

conformance!(open);
