//! The durable home of accepted messages.
//!
//! [`Store`] is the promise in words; `conformance` is the suite that keeps it. [`SqliteStore`] keeps messages in a
//! file, [`PostgresStore`] in a database that several instances share, [`MemoryStore`] for as long as the process lives.

mod columns;
#[cfg(test)]
mod conformance;
mod feed;
mod finding;
mod intake;
mod memory;
mod model;
pub mod moving;
mod once;
#[cfg(feature = "postgres")]
mod postgres;
mod retention;
mod round;
mod row;
mod rules;
mod shared;
mod sqlite;
mod statistics;
mod store;
mod suppression;
mod turn;

pub use feed::{Change, Feed, Listener, Watched};
pub use finding::Finding;
pub use intake::{AccountCheck, Accounts, Intake, Refusal};
pub use memory::{MemoryInstance, MemoryStore};
pub use model::{
    Attempt, BatchId, Claim, Counts, Details, Doubt, Entry, Filter, Next, Outcome, Page, Place,
    RecipientState, RecipientStatus, Retried, Retry, Settlement, Start, State, Summary, Usage,
    WayKey,
};
pub use once::{Once, REMEMBERED, Seen};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresMover, PostgresSettings, PostgresStore};
pub use retention::Retention;
pub use rules::is_only_suppressed;
pub use shared::{
    AccountStanding, CallPlaces, CallsWanted, Condition, News, Presence, Quota, RecipientsWanted,
    Reserved, Shared,
};
pub use sqlite::{SqliteMover, SqliteStore};
pub use statistics::{Grain, Sample, Spread, Statistics};
pub use store::{LARGE, Lease, Portion, Store, StoreError};
pub use suppression::{
    Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage, SuppressionReason,
    Suppressions,
};
pub use turn::Turn;
