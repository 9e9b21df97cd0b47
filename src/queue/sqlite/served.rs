//! What providers have taken, by the hour: counted for each settlement, written once for each transaction.

use rusqlite::{Connection, params};

use super::rows;
use crate::queue::Usage;

/// What one transaction adds.
#[derive(Debug, Default)]
pub(super) struct Served(Vec<Usage>);

impl Served {
    /// Adds what a settlement says.
    pub(super) fn add(&mut self, usage: &[Usage]) {
        for one in usage {
            let same =
                |other: &&mut Usage| other.hour == one.hour && other.provider == one.provider;
            match self.0.iter_mut().find(same) {
                Some(sum) => sum.recipients = sum.recipients.saturating_add(one.recipients),
                None => self.0.push(one.clone()),
            }
        }
    }

    /// Writes it.
    pub(super) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for Usage { provider, hour, recipients } in &self.0 {
            connection
                .prepare_cached(
                    "INSERT INTO usage (hour, provider, recipients) VALUES (?1, ?2, ?3) \
                     ON CONFLICT DO UPDATE SET recipients = recipients + excluded.recipients",
                )?
                .execute(params![hour, provider, rows::signed(*recipients)])?;
        }
        Ok(())
    }
}

/// What providers have taken in this hour and those after it.
pub(super) fn since(connection: &Connection, hour: i64) -> rusqlite::Result<Vec<Usage>> {
    connection
        .prepare_cached(
            "SELECT provider, hour, recipients FROM usage WHERE hour >= ?1 ORDER BY hour, provider",
        )?
        .query_map([hour], |row| {
            let recipients = rows::unsigned(row, 2)?;
            Ok(Usage { provider: row.get(0)?, hour: row.get(1)?, recipients })
        })?
        .collect()
}

/// True when there is something older than this hour.
pub(super) fn has_before(connection: &Connection, hour: i64) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM usage WHERE hour < ?1")?.exists([hour])
}

/// Forgets what is older than this hour. Returns how many hours of a provider that were.
pub(super) fn forget_before(connection: &Connection, hour: i64) -> rusqlite::Result<usize> {
    connection.prepare_cached("DELETE FROM usage WHERE hour < ?1")?.execute([hour])
}
