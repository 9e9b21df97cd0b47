//! Counters over time.

use std::collections::BTreeMap;

use async_trait::async_trait;
use deadpool_postgres::Transaction;
use tokio_postgres::Row;

use super::change::{Fault, change};
use super::connect::Connections;
use super::rows::{self, Unreadable};
use crate::queue::rules::SWEEP_MAX;
use crate::queue::{Grain, Outcome, Sample, Spread, Statistics, StoreError};

const COLUMNS: &str = "at, provider, received, delivered, failed, cancelled, attempts, latency";

/// Rows that are not there yet, in the order in which everybody goes through them: so nobody waits for somebody who waits
/// for him.
const MAKE: &str = "INSERT INTO statistics \
     (grain, at, provider, received, delivered, failed, cancelled, attempts, latency) \
     SELECT grain, at, provider, 0, 0, 0, 0, '{}', '[]' \
     FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS wanted (grain, at, provider) \
     ORDER BY grain, at, provider COLLATE \"C\" ON CONFLICT DO NOTHING";

const LOCK: &str = "SELECT s.at, s.provider, s.received, s.delivered, s.failed, s.cancelled, s.attempts, s.latency, s.grain \
     FROM statistics AS s WHERE (s.grain, s.at, s.provider) IN \
     (SELECT grain, at, provider FROM unnest($1::bigint[], $2::bigint[], $3::text[]) AS wanted (grain, at, provider)) \
     ORDER BY s.grain, s.at, s.provider FOR NO KEY UPDATE";

const WRITE: &str = "UPDATE statistics AS s SET received = sum.received, delivered = sum.delivered, \
     failed = sum.failed, cancelled = sum.cancelled, attempts = sum.attempts, latency = sum.latency \
     FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], \
         $8::text[], $9::text[]) \
         AS sum (grain, at, provider, received, delivered, failed, cancelled, attempts, latency) \
     WHERE s.grain = sum.grain AND s.at = sum.at AND s.provider = sum.provider";

const FORGET: &str = "DELETE FROM statistics WHERE (grain, at, provider) IN \
     (SELECT grain, at, provider FROM statistics WHERE grain = $1 AND at < $2 ORDER BY at LIMIT $3 \
      FOR UPDATE SKIP LOCKED)";

/// The counters in the database.
#[derive(Debug)]
pub(super) struct Counters {
    connections: Connections,
}

impl Counters {
    pub(super) fn new(connections: Connections) -> Self {
        Self { connections }
    }
}

#[async_trait]
impl Statistics for Counters {
    async fn add(&self, samples: Vec<Sample>) -> Result<(), StoreError> {
        let sums = &by_step(&samples);
        if sums.is_empty() {
            return Ok(());
        }
        change(move || {
            Box::pin(async move {
                let mut client = self.connections.get().await?;
                let transaction = client.transaction().await?;
                add(&transaction, sums.clone()).await?;
                Ok(transaction.commit().await?)
            })
        })
        .await
    }

    async fn read(&self, grain: Grain, from: i64, to: i64) -> Result<Vec<Sample>, StoreError> {
        Ok(read(&self.connections, grain, from, to).await?)
    }
}

/// What is counted, by grain, step and provider.
type Sums = BTreeMap<(i64, i64, String), Sample>;

fn by_step(samples: &[Sample]) -> Sums {
    let mut sums = Sums::new();
    for (grain, sample) in
        Grain::ALL.iter().flat_map(|grain| samples.iter().map(move |sample| (grain, sample)))
    {
        let at = grain.begin(sample.at);
        let provider = rows::text(&sample.provider).into_owned();
        let empty = || Sample { at, provider: provider.clone(), ..Sample::default() };
        let sum = sums.entry((grain.seconds(), at, provider.clone())).or_insert_with(empty);
        sum.merge(sample);
    }
    sums
}

/// Adds to what is there. The rows are locked, so that what others add meanwhile is not lost.
async fn add(transaction: &Transaction<'_>, mut sums: Sums) -> Result<(), Fault> {
    let grains: Vec<i64> = sums.keys().map(|(grain, _, _)| *grain).collect();
    let ats: Vec<i64> = sums.keys().map(|(_, at, _)| *at).collect();
    let providers: Vec<String> = sums.keys().map(|(_, _, provider)| provider.clone()).collect();
    let make = transaction.prepare_cached(MAKE).await?;
    transaction.execute(&make, &[&grains, &ats, &providers]).await?;
    let lock = transaction.prepare_cached(LOCK).await?;
    for row in transaction.query(&lock, &[&grains, &ats, &providers]).await? {
        let kept = sum(&row)?;
        let key = (rows::get(&row, 8)?, kept.at, kept.provider.clone());
        if let Some(sum) = sums.get_mut(&key) {
            sum.merge(&kept);
        }
    }
    let counts = |count: fn(&Sample) -> u64| -> Vec<i64> {
        sums.values().map(|sum| rows::signed(count(sum))).collect()
    };
    let attempts: Vec<String> = sums.values().map(calls_json).collect::<Result<_, _>>()?;
    let latencies: Vec<String> = sums.values().map(latency_json).collect::<Result<_, _>>()?;
    let write = transaction.prepare_cached(WRITE).await?;
    transaction
        .execute(
            &write,
            &[
                &grains,
                &ats,
                &providers,
                &counts(|sum| sum.received),
                &counts(|sum| sum.delivered),
                &counts(|sum| sum.failed),
                &counts(|sum| sum.cancelled),
                &attempts,
                &latencies,
            ],
        )
        .await?;
    Ok(())
}

fn calls_json(sum: &Sample) -> Result<String, StoreError> {
    let calls: BTreeMap<&str, u64> =
        sum.attempts.iter().map(|(outcome, calls)| (outcome.name(), *calls)).collect();
    rows::to_json(&calls)
}

fn latency_json(sum: &Sample) -> Result<String, StoreError> {
    let counts = sum.latency.counts();
    let used = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
    rows::to_json(&counts.get(..used).unwrap_or(counts))
}

async fn read(
    connections: &Connections,
    grain: Grain,
    from: i64,
    to: i64,
) -> Result<Vec<Sample>, Fault> {
    let client = connections.get().await?;
    let search = client
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM statistics WHERE grain = $1 AND at >= $2 AND at < $3 ORDER BY at, provider"
        ))
        .await?;
    let found = client.query(&search, &[&grain.seconds(), &from, &to]).await?;
    Ok(found.iter().map(sum).collect::<Result<_, _>>()?)
}

/// What a row says. Counts that cannot be read, of outcomes that a newer version knew for instance, are left out.
fn sum(row: &Row) -> Result<Sample, Unreadable> {
    let calls: BTreeMap<String, u64> = rows::json(row, 6).unwrap_or_default();
    let counts: Vec<u64> = rows::json(row, 7).unwrap_or_default();
    let attempts =
        calls.into_iter().filter_map(|(name, calls)| Some((Outcome::from_name(&name)?, calls)));
    Ok(Sample {
        at: rows::get(row, 0)?,
        provider: rows::get(row, 1)?,
        received: rows::unsigned(row, 2)?,
        delivered: rows::unsigned(row, 3)?,
        failed: rows::unsigned(row, 4)?,
        cancelled: rows::unsigned(row, 5)?,
        attempts: attempts.collect(),
        latency: Spread::from_counts(counts),
    })
}

/// Forgets a slice of what is not kept any more at `now`, in seconds since 1970. Returns how many rows that were.
pub(super) async fn forget_old(transaction: &Transaction<'_>, now: i64) -> Result<usize, Fault> {
    let forget = transaction.prepare_cached(FORGET).await?;
    let mut removed = 0;
    for grain in Grain::ALL {
        let room = rows::signed(SWEEP_MAX.saturating_sub(removed));
        let gone =
            transaction.execute(&forget, &[&grain.seconds(), &grain.kept_from(now), &room]).await?;
        removed += usize::try_from(gone).unwrap_or(usize::MAX);
    }
    Ok(removed)
}
