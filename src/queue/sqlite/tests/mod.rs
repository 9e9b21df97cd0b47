//! What only a store in a file must do, beside the conformance suite.

mod aside;
mod batches;
mod indexing;
mod moving;
mod opening;
mod processes;
mod searching;
mod trouble;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc;

use rusqlite::{Connection, OptionalExtension as _};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::SqliteStore;
use super::line::Job;
use crate::message::{QueueId, SealedAccount};
use crate::queue::StoreError;
use crate::queue::conformance::{Harness, Opening, ROOMY, conformance};

fn open(messages_max: u64) -> Opening {
    opened(messages_max, false)
}

/// A store that has everything in its index whenever it is asked for a list.
fn open_indexed(messages_max: u64) -> Opening {
    opened(messages_max, true)
}

fn opened(messages_max: u64, is_eager: bool) -> Opening {
    let (folder, path) = place();
    let mut store = SqliteStore::open(&path, messages_max).unwrap();
    store.is_eager = is_eager;
    let account = move |id: QueueId| {
        let kept: Option<Option<Vec<u8>>> = Connection::open(&path)
            .unwrap()
            .query_row("SELECT account FROM messages WHERE id = ?1", [id.as_bytes()], |row| {
                row.get(0)
            })
            .optional()
            .unwrap();
        kept.flatten().map(|seal| SealedAccount(seal.into()))
    };
    let harness = Harness::new(Arc::new(store), folder, account);
    Box::pin(async { harness })
}

conformance!(open);

/// A folder of its own, and the path of a queue in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    (folder, path)
}

fn daemon(path: &Path) -> SqliteStore {
    SqliteStore::open(path, ROOMY).unwrap()
}

/// What an operator reads when opening fails.
fn refusal(result: Result<SqliteStore, StoreError>) -> String {
    result.expect_err("it must not open").to_string()
}

/// Reaches into the writer's connection, between two batches or inside one.
async fn reach(store: &SqliteStore, mut act: impl FnMut(&Connection) + Send + 'static) {
    let act = Box::new(move |connection: &Connection| act(connection));
    store.ask(|answer| Job::Test { act, answer }).await.unwrap();
}

/// Keeps the writer busy until the handle is dropped, so that what comes meanwhile makes one batch.
async fn busy(store: &Arc<SqliteStore>) -> mpsc::Sender<()> {
    let (release, released) = mpsc::channel::<()>();
    let (entered, is_busy) = oneshot::channel();
    let store = Arc::clone(store);
    let mut entered = Some(entered);
    tokio::spawn(async move {
        reach(&store, move |_| {
            if let Some(entered) = entered.take() {
                let _ = entered.send(());
            }
            let _ = released.recv();
        })
        .await;
    });
    is_busy.await.unwrap();
    release
}

/// What SQLite itself thinks of the file.
fn integrity(path: &Path) -> String {
    let connection = Connection::open(path).unwrap();
    connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap()
}
