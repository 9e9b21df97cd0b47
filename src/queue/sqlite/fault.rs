//! What went wrong, in words for an operator.

use rusqlite::ffi;

use crate::queue::StoreError;

/// Why a piece of work inside a transaction was not done.
#[derive(Debug)]
pub(super) enum Fault {
    /// This piece cannot be done; nothing was written for it, and the others are not concerned.
    Refused(StoreError),
    /// The database failed: the whole transaction is void.
    Broken(rusqlite::Error),
}

impl From<rusqlite::Error> for Fault {
    /// A record that makes no sense is nobody else's trouble.
    fn from(error: rusqlite::Error) -> Self {
        if is_unreadable(&error) {
            Self::Refused(StoreError::Unavailable(format!("a record cannot be read: {error}")))
        } else {
            Self::Broken(error)
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

/// The error that everybody gets whose work was in the failed transaction.
pub(super) fn unavailable(error: &rusqlite::Error) -> StoreError {
    StoreError::Unavailable(explain(error))
}

/// True when a record is at fault, not the database.
pub(super) fn is_unreadable(error: &rusqlite::Error) -> bool {
    matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::Utf8Error(..)
    )
}

/// True when the index of texts is damaged, which is no loss: it is made of the records.
pub(super) fn is_index_damaged(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| error.extended_code == ffi::SQLITE_CORRUPT_VTAB)
}

/// True when there is no room to write, also for the shared memory that goes with the log.
pub(super) fn is_disk_full(error: &rusqlite::Error) -> bool {
    error.sqlite_error().is_some_and(|error| {
        error.code == rusqlite::ErrorCode::DiskFull
            || error.extended_code == ffi::SQLITE_IOERR_SHMSIZE
    })
}

/// Names the cause, and what to do where that is known. Never a path: a text may go to an SMTP client.
pub(super) fn explain(error: &rusqlite::Error) -> String {
    use rusqlite::ErrorCode::{
        CannotOpen, DatabaseBusy, DatabaseCorrupt, DatabaseLocked, NotADatabase, PermissionDenied,
        ReadOnly, SystemIoFailure,
    };

    if is_disk_full(error) {
        return "the disk is full".to_owned();
    }
    let Some(code) = error.sqlite_error_code() else {
        return error.to_string();
    };
    match code {
        SystemIoFailure => format!("the disk reports a fault: {error}"),
        ReadOnly => "the database file, its folder or the disk is read-only".to_owned(),
        PermissionDenied | CannotOpen => {
            "the database file cannot be opened: it and its folder must be readable and writable"
                .to_owned()
        }
        DatabaseBusy | DatabaseLocked => "another process holds the database locked".to_owned(),
        DatabaseCorrupt => {
            format!("the database file is damaged, restore it from a backup: {error}")
        }
        NotADatabase => "the file is not an SQLite database".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_names_the_cause() {
        let failure = |code| rusqlite::Error::SqliteFailure(ffi::Error::new(code), None);
        assert_eq!(explain(&failure(ffi::SQLITE_FULL)), "the disk is full");
        assert_eq!(explain(&failure(ffi::SQLITE_IOERR_SHMSIZE)), "the disk is full");
        assert!(explain(&failure(ffi::SQLITE_READONLY)).contains("read-only"));
        assert!(explain(&failure(ffi::SQLITE_BUSY)).contains("another process"));
        assert!(explain(&failure(ffi::SQLITE_IOERR_FSYNC)).contains("the disk reports a fault"));
    }
}
