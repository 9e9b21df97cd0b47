//! Changes that instances make beside each other.

use std::pin::Pin;
use std::time::Duration;

use tokio_postgres::error::SqlState;

use super::fault::unavailable;
use super::rows::Unreadable;
use crate::queue::StoreError;

/// How often a change is tried that the database gave up for the sake of another one.
const TRIES: u32 = 5;

/// Between two tries, so that the other one gets done.
const PAUSE: Duration = Duration::from_millis(10);

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum Fault {
    /// By the rules of the queue.
    Refused(StoreError),
    /// The database failed, or gave the change up.
    Broken(tokio_postgres::Error),
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Unreadable> for Fault {
    fn from(error: Unreadable) -> Self {
        Self::Refused(error.into())
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Broken(error)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Refused(error) => error,
            Fault::Broken(error) => unavailable(&error),
        }
    }
}

/// One transaction, of which nothing is left when it fails.
pub(super) type Attempt<'a, T> = Pin<Box<dyn Future<Output = Result<T, Fault>> + Send + 'a>>;

/// Makes a change, again if it got into the way of another one: two that wait for each other cannot both go on.
pub(super) async fn change<'a, T>(attempt: impl Fn() -> Attempt<'a, T>) -> Result<T, StoreError> {
    for number in 1..TRIES {
        match attempt().await {
            Err(Fault::Broken(error)) if is_given_up(&error) => {
                tracing::debug!(%error, number, "queue change is tried again");
            }
            result => return Ok(result?),
        }
        tokio::time::sleep(PAUSE * number).await;
    }
    Ok(attempt().await?)
}

/// True where nothing is wrong but that somebody else was quicker.
fn is_given_up(error: &tokio_postgres::Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
        || code == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
}
