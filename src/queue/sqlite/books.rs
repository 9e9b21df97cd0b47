//! What the writer keeps in mind of the file, and takes back when a transaction fails.

use rusqlite::Connection;

use super::indexer::Progress;
use super::tally::Tally;

/// Counted along with each change.
#[derive(Clone, Copy, Debug)]
pub(super) struct Books {
    /// How full the queue is.
    pub(super) tally: Tally,
    /// How far the index of texts is.
    pub(super) index: Progress,
}

impl Books {
    /// Reads them. The daemon keeps the index; who visits notes what it has to know.
    pub(super) fn read(connection: &Connection, keeps_index: bool) -> rusqlite::Result<Self> {
        let index = if keeps_index { Progress::read(connection)? } else { Progress::elsewhere() };
        Ok(Self { tally: Tally::read(connection)?, index })
    }
}
