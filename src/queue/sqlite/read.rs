//! Reading beside the writer, on connections that cannot write.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::Mutex;

use super::fault::unavailable;
use super::file::{self, Purpose};
use super::line::stopped;
use super::rows::{self, Id};
use super::shelf::FileShelf;
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{Details, Portion, StoreError, round};

/// One connection, one query at a time. Who waits for it holds no thread.
#[derive(Clone)]
pub(super) struct Reader {
    connection: Arc<Mutex<Connection>>,
}

impl Reader {
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let connection = file::connect(path, Purpose::Reading)?;
        Ok(Self { connection: Arc::new(Mutex::new(connection)) })
    }

    /// Runs a query on a thread for blocking work.
    pub(super) async fn run<T, F>(&self, query: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let connection = Arc::clone(&self.connection).lock_owned().await;
        tokio::task::spawn_blocking(move || query(&connection))
            .await
            // It ended by a panic, or the runtime is shutting down.
            .map_err(|_| stopped())?
            .map_err(|error| unavailable(&error))
    }
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

/// What becomes due next, or the next lease that runs out.
pub(super) fn next_due(
    connection: &Connection,
    portion: &Portion,
) -> rusqlite::Result<Option<Timestamp>> {
    // All looks must see the same moment.
    let moment = connection.unchecked_transaction()?;
    round::next_due(&mut FileShelf::new(&moment)?, portion)
}

/// One message with its attempts, oldest first.
pub(super) fn show(connection: &Connection, id: QueueId) -> rusqlite::Result<Option<Details>> {
    // Both queries must see the same moment.
    let moment = connection.unchecked_transaction()?;
    let columns = rows::SUMMARY_COLUMNS;
    let found = moment
        .prepare_cached(&format!(
            "SELECT {columns}, m.dsn, m.smtp_utf8, m.may_steer FROM messages AS m WHERE m.id = ?1"
        ))?
        .query_row([Id(id)], |row| {
            Ok(Details {
                summary: rows::summary(row)?,
                attempts: Vec::new(),
                dsn: rows::wishes(row),
                smtp_utf8: row.get(17)?,
                may_steer: row.get(18)?,
            })
        })
        .optional()?;
    let Some(details) = found else { return Ok(None) };
    let columns = rows::ATTEMPT_COLUMNS;
    let attempts = moment
        .prepare_cached(&format!("SELECT {columns} FROM attempts WHERE message = ?1 ORDER BY n"))?
        .query_map([Id(id)], rows::attempt)?
        .collect::<rusqlite::Result<_>>()?;
    Ok(Some(Details { attempts, ..details }))
}
