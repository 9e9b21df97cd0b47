//! The database file: who may have it, how it is opened, and that its schema is the one we know.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::fault::explain;
use super::moving;
use crate::queue::StoreError;

/// The schema, step by step. A step that has been released never changes; the next one follows it.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_queue.sql"),
    include_str!("migrations/0002_submission.sql"),
    include_str!("migrations/0003_may_steer.sql"),
    include_str!("migrations/0004_names.sql"),
    include_str!("migrations/0005_turns.sql"),
    include_str!("migrations/0006_aside.sql"),
    include_str!("migrations/0007_search.sql"),
    include_str!("migrations/0008_together.sql"),
    include_str!("migrations/0009_moving.sql"),
];

/// The mark of our files: `PRAGMA application_id`, set by the first migration.
const APPLICATION_ID: i64 = 0x6d66_7279;

/// How long to wait for another process that writes (the command line beside the daemon).
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How much the log may keep on disk after a checkpoint, octets. A burst must not leave a huge file behind.
const LOG_KEPT_MAX: u32 = 32 << 20;

/// Frames after which a commit makes a checkpoint by itself: a net for the case that the checkpointer fails.
const LOG_FRAMES_MAX: u32 = 16_000;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Writing,
    Reading,
    Checkpoints,
}

/// A path that means the same wherever the working directory goes, and never reads as a `file:` URI.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|error| failed(path, &error.to_string()))
}

/// Takes the file for this process alone. The lock goes when the handle is dropped, or with the process.
///
/// It lies beside the database and stays there: to remove a lock file is to open a race.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    lock_or(path, "stop it, or give this one a file of its own (queue.url)")
}

/// The same, with what to do when another process has it.
pub(super) fn lock_or(path: &Path, advice: &str) -> Result<File, StoreError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    if !folder.is_dir() {
        let folder = folder.display();
        return Err(failed(path, &format!("there is no folder {folder}, create it")));
    }
    let lock_path = beside(path, ".lock");
    let file = private(&lock_path).map_err(|error| failed(path, &not_writable(folder, &error)))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(failed(path, &format!("another mailferry has this queue; {advice}")))
        }
        Err(TryLockError::Error(error)) => {
            Err(failed(path, &format!("it cannot be locked ({error}); is it on a network disk?")))
        }
    }
}

/// Opens the file as its owner: created where it does not exist, brought up to the newest schema.
pub(super) fn create(path: &Path) -> Result<Connection, StoreError> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    // SQLite would make it readable for everybody on the machine; mail is private.
    private(path).map_err(|error| failed(path, &not_writable(folder, &error)))?;
    let connection = connect(path, Purpose::Writing)?;
    migrate(&connection).map_err(|problem| failed(path, &problem))?;
    Ok(connection)
}

/// Refuses a file whose queue was moved, or is being moved: it must not be used in two places.
pub(super) fn not_moved(path: &Path, connection: &Connection) -> Result<(), StoreError> {
    match moving::mark(connection).map_err(|error| failed(path, &explain(&error)))? {
        Some(mark) => Err(failed(path, &mark.to_string())),
        None => Ok(()),
    }
}

/// Opens a file that exists and has the schema we know.
pub(super) fn join(path: &Path) -> Result<Connection, StoreError> {
    if !path.is_file() {
        return Err(failed(path, "there is no such file; is queue.url right, has mailferry run?"));
    }
    let connection = connect(path, Purpose::Writing)?;
    match schema_version(&connection).map_err(|problem| failed(path, &problem))? {
        version if version == MIGRATIONS.len() => Ok(connection),
        _ => Err(failed(
            path,
            "its schema is older than this program: start the daemon of this version first",
        )),
    }
}

/// One more connection to a file that is open already.
pub(super) fn connect(path: &Path, purpose: Purpose) -> Result<Connection, StoreError> {
    let access = match purpose {
        Purpose::Writing | Purpose::Checkpoints => OpenFlags::SQLITE_OPEN_READ_WRITE,
        Purpose::Reading => OpenFlags::SQLITE_OPEN_READ_ONLY,
    };
    // One thread at a time uses a connection: the type system sees to it, no mutex is needed.
    Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .and_then(|connection| {
            prepare(&connection, purpose)?;
            Ok(connection)
        })
        .map_err(|error| failed(path, &explain(&error)))
}

fn prepare(connection: &Connection, purpose: Purpose) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(64);
    // Plans do not depend on parameters. Otherwise SQLite compiles some statements again for each new value, which
    // took a third of the writer's time.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    // Small caches: the operating system has the file in memory anyway, and we have promised to be small.
    let cache_kib = match purpose {
        Purpose::Writing => 2048,
        Purpose::Reading => 512,
        Purpose::Checkpoints => 64,
    };
    connection.execute_batch(&format!(
        "PRAGMA cache_size = -{cache_kib}; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY; \
         PRAGMA foreign_keys = OFF; PRAGMA trusted_schema = OFF;"
    ))?;
    match purpose {
        Purpose::Writing => connection.execute_batch(&format!(
            "PRAGMA synchronous = FULL; PRAGMA fullfsync = ON; \
             PRAGMA wal_autocheckpoint = {LOG_FRAMES_MAX}; PRAGMA journal_size_limit = {LOG_KEPT_MAX};"
        )),
        Purpose::Checkpoints => {
            connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA checkpoint_fullfsync = ON;")
        }
        Purpose::Reading => Ok(()),
    }
}

/// How many migrations the file has seen, none for a new one; refuses what we cannot read.
fn schema_version(connection: &Connection) -> Result<usize, String> {
    let number = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let read = || {
        let tables = number("SELECT count(*) FROM sqlite_schema")?;
        Ok((number("PRAGMA application_id")?, number("PRAGMA user_version")?, tables))
    };
    let (application, version, tables) = read().map_err(|error| explain(&error))?;
    let known = MIGRATIONS.len();
    match usize::try_from(version) {
        Ok(0) if application == 0 && tables == 0 => Ok(0),
        Ok(version) if application == APPLICATION_ID && version <= known => Ok(version),
        _ if application == APPLICATION_ID => Err(format!(
            "a newer mailferry has written it (schema {version}, this one knows {known}): run that version, or a newer one"
        )),
        _ => {
            Err("it is a database of another program; give the queue a file of its own (queue.url)"
                .to_owned())
        }
    }
}

fn migrate(connection: &Connection) -> Result<(), String> {
    // First of all: what is not ours must not be touched.
    let version = schema_version(connection)?;
    let write_ahead = || {
        // Larger pages write more for a lone message and gain little for many.
        connection.execute_batch("PRAGMA page_size = 4096")?;
        connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get::<_, String>(0))
    };
    let mode = write_ahead().map_err(|error| explain(&error))?;
    if mode != "wal" {
        return Err(format!(
            "the disk does not allow a write-ahead log (journal mode {mode}); put the file on a local disk"
        ));
    }
    for (step, sql) in MIGRATIONS.iter().enumerate().skip(version) {
        let number = step + 1;
        connection
            .execute_batch(&format!(
                "BEGIN IMMEDIATE; {sql}; PRAGMA user_version = {number}; COMMIT;"
            ))
            .map_err(|error| format!("schema step {number} failed: {}", explain(&error)))?;
    }
    Ok(())
}

/// Opens or creates a file that only its owner can read.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn not_writable(folder: &Path, error: &io::Error) -> String {
    let folder = folder.display();
    match error.kind() {
        io::ErrorKind::StorageFull => "the disk is full".to_owned(),
        _ => format!(
            "the folder {folder} must be writable for the user that mailferry runs as ({error})"
        ),
    }
}

fn failed(path: &Path, problem: &str) -> StoreError {
    StoreError::Unavailable(format!("{}: {problem}", path.display()))
}
