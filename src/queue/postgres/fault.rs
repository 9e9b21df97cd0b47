//! What went wrong, in words for an operator.

use crate::queue::StoreError;

/// The error that everybody gets whose work could not be done.
pub(super) fn unavailable(error: &tokio_postgres::Error) -> StoreError {
    StoreError::Unavailable(explain(error))
}

/// Names the cause. Never a host or a password: a text may go to an SMTP client.
pub(super) fn explain(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(error) => format!("the database says: {}", error.message()),
        None => error.to_string(),
    }
}
