//! Moving what is in the log into the database file, beside the writer.
//!
//! A commit that also makes the checkpoint keeps everybody waiting who is in it, ten times as long as the others.
//! Here a second thread copies the bulk while the writer goes on; then the writer copies the little that has come
//! meanwhile, which lets the log begin anew. Both steps may happen at any time or never: they change nothing that
//! a reader sees.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::fault::explain;
use super::file::{self, Purpose};
use crate::queue::StoreError;

/// After how many pages in the log a checkpoint is due.
const PAGES_DUE: usize = 2_000;

/// The second thread, and what the writer knows about it.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// Gone when it is to end.
    start: Option<mpsc::SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    bulk_done: Arc<AtomicBool>,
    running: bool,
    /// Pages written since the last checkpoint, about.
    pages: usize,
}

impl Checkpointer {
    /// Starts the thread, with a connection of its own.
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let connection = file::connect(path, Purpose::Checkpoints)?;
        let bulk_done = Arc::new(AtomicBool::new(false));
        let (start, orders) = mpsc::sync_channel(1);
        let done = Arc::clone(&bulk_done);
        let thread = std::thread::Builder::new()
            .name("queue-checkpoint".to_owned())
            .spawn(move || {
                while orders.recv().is_ok() {
                    copy(&connection);
                    done.store(true, Ordering::Release);
                }
            })
            .map_err(|error| {
                StoreError::Unavailable(format!("a thread cannot be started: {error}"))
            })?;
        Ok(Self { start: Some(start), thread: Some(thread), bulk_done, running: false, pages: 0 })
    }

    /// To be called after a commit of about that many pages, when its answers have been sent.
    pub(super) fn written(&mut self, writer: &Connection, pages: usize) {
        self.pages += pages;
        if self.running {
            if self.bulk_done.swap(false, Ordering::Acquire) {
                copy(writer);
                self.running = false;
                self.pages = 0;
            }
        } else if self.pages >= PAGES_DUE
            && let Some(start) = &self.start
        {
            self.running = start.try_send(()).is_ok();
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.start = None;
        if let Some(thread) = self.thread.take() {
            // It logs what fails; a panic there costs nothing but the checkpoint.
            let _ = thread.join();
        }
    }
}

/// Copies as much as no reader still needs, and waits for nobody.
pub(super) fn try_copy(connection: &Connection) -> rusqlite::Result<()> {
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
}

fn copy(connection: &Connection) {
    if let Err(error) = try_copy(connection) {
        // Nothing is lost: the messages are safe in the log, and the next checkpoint takes them.
        tracing::warn!(error = explain(&error), "queue checkpoint failed");
    }
}
