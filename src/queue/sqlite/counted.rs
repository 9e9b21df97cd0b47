//! Counters over time.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::line::{Job, Line};
use super::read::Reader;
use super::rows;
use crate::queue::rules::SWEEP_MAX;
use crate::queue::{Grain, Outcome, Sample, Spread, Statistics, StoreError};

const COLUMNS: &str = "at, provider, received, delivered, failed, cancelled, attempts, latency";

/// The counters in the file.
#[derive(Debug)]
pub(super) struct Counters {
    pub(super) line: Arc<Line>,
    pub(super) desk: Reader,
}

#[async_trait]
impl Statistics for Counters {
    async fn add(&self, samples: Vec<Sample>) -> Result<(), StoreError> {
        self.line.ask(|answer| Job::Sample { samples, answer }).await
    }

    async fn read(&self, grain: Grain, from: i64, to: i64) -> Result<Vec<Sample>, StoreError> {
        self.desk.run(move |connection| read(connection, grain, from, to)).await
    }
}

/// Adds to what is there, in both grains.
pub(super) fn add(connection: &Connection, samples: &[Sample]) -> rusqlite::Result<()> {
    let sql =
        format!("SELECT {COLUMNS} FROM statistics WHERE grain = ?1 AND at = ?2 AND provider = ?3");
    let mut search = connection.prepare_cached(&sql)?;
    let mut write = connection.prepare_cached(
        "INSERT OR REPLACE INTO statistics \
         (grain, at, provider, received, delivered, failed, cancelled, attempts, latency) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    for (grain, sample) in
        Grain::ALL.iter().flat_map(|grain| samples.iter().map(move |it| (grain, it)))
    {
        let (seconds, at) = (grain.seconds(), grain.begin(sample.at));
        let kept = search.query_row(params![seconds, at, sample.provider], sum).optional()?;
        let mut sum = kept.unwrap_or_default();
        sum.merge(sample);
        let calls: BTreeMap<&str, u64> =
            sum.attempts.iter().map(|(outcome, calls)| (outcome.name(), *calls)).collect();
        let counts = sum.latency.counts();
        let used = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        write.execute(params![
            seconds,
            at,
            sample.provider,
            rows::signed(sum.received),
            rows::signed(sum.delivered),
            rows::signed(sum.failed),
            rows::signed(sum.cancelled),
            rows::to_json(&calls)?,
            rows::to_json(&counts.get(..used).unwrap_or(counts))?,
        ])?;
    }
    Ok(())
}

fn read(
    connection: &Connection,
    grain: Grain,
    from: i64,
    to: i64,
) -> rusqlite::Result<Vec<Sample>> {
    let sql = format!(
        "SELECT {COLUMNS} FROM statistics WHERE grain = ?1 AND at >= ?2 AND at < ?3 ORDER BY at, provider"
    );
    connection.prepare_cached(&sql)?.query_map(params![grain.seconds(), from, to], sum)?.collect()
}

/// What a row says. Counts that cannot be read, of outcomes that a newer version knew for instance, are left out.
fn sum(row: &Row<'_>) -> rusqlite::Result<Sample> {
    let calls: BTreeMap<String, u64> = rows::json(row, 6).unwrap_or_default();
    let counts: Vec<u64> = rows::json(row, 7).unwrap_or_default();
    let attempts =
        calls.into_iter().filter_map(|(name, calls)| Some((Outcome::from_name(&name)?, calls)));
    Ok(Sample {
        at: row.get(0)?,
        provider: row.get(1)?,
        received: rows::unsigned(row, 2)?,
        delivered: rows::unsigned(row, 3)?,
        failed: rows::unsigned(row, 4)?,
        cancelled: rows::unsigned(row, 5)?,
        attempts: attempts.collect(),
        latency: Spread::from_counts(counts),
    })
}

/// True when there is something that is not kept any more at `now`, in seconds since 1970.
pub(super) fn has_old(connection: &Connection, now: i64) -> rusqlite::Result<bool> {
    let mut search =
        connection.prepare_cached("SELECT 1 FROM statistics WHERE grain = ?1 AND at < ?2")?;
    for grain in Grain::ALL {
        if search.exists((grain.seconds(), grain.kept_from(now)))? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Forgets a slice of what is not kept any more at `now`. Returns how many rows that were.
pub(super) fn forget_old(connection: &Connection, now: i64) -> rusqlite::Result<usize> {
    let mut remove = connection.prepare_cached(
        "DELETE FROM statistics WHERE (grain, at, provider) IN \
         (SELECT grain, at, provider FROM statistics WHERE grain = ?1 AND at < ?2 ORDER BY at LIMIT ?3)",
    )?;
    let mut removed = 0;
    for grain in Grain::ALL {
        let room = rows::signed(SWEEP_MAX - removed);
        removed += remove.execute((grain.seconds(), grain.kept_from(now), room))?;
    }
    Ok(removed)
}
