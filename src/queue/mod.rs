//! The durable home of accepted messages.
//!
//! [`Store`] is the promise in words; `conformance` is the suite that keeps it.

mod intake;
mod model;
mod store;

pub use intake::{Intake, Refusal};
pub use model::{
    Attempt, Claim, Counts, Details, Filter, Next, Outcome, Page, RecipientState, RecipientStatus,
    Settlement, State, Summary,
};
pub use store::{Lease, Store, StoreError};
