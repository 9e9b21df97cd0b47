//! How provider accounts stand, as all instances know it.

use tokio_postgres::{Client, Error, Row};

use super::connect::Connections;
use super::fault::unavailable;
use crate::clock::Timestamp;
use crate::queue::{AccountStanding, Condition, StoreError};

/// What has been told since some version.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) version: i64,
    pub(super) standings: Vec<AccountStanding>,
}

/// One version after the other, because the row is locked until the commit. Nothing is counted for what is not news.
const KEEP: &str = "\
WITH news AS (
    UPDATE versions SET version = version + 1
    WHERE topic = 'standings' AND NOT EXISTS (
        SELECT FROM standings WHERE account = $1 AND mark = $2 AND at > $6)
    RETURNING version
), kept AS (
    INSERT INTO standings (account, mark, condition, until, error, at, by, version)
    SELECT $1, $2, $3, $4, $5, $6, $7, version FROM news
    ON CONFLICT (account, mark) DO UPDATE SET
        condition = excluded.condition, until = excluded.until, error = excluded.error,
        at = excluded.at, by = excluded.by, version = excluded.version
    WHERE standings.at <= excluded.at
    RETURNING version
)
SELECT pg_notify('mailferry', 'standings') FROM kept";

const SINCE: &str = "\
SELECT account, mark, condition, until, error, at, by, version FROM standings WHERE version > $1 ORDER BY version";

/// Keeps one, unless something younger is kept, and tells all instances.
pub(super) async fn keep(
    connections: &Connections,
    standing: &AccountStanding,
) -> Result<(), StoreError> {
    let client = connections.get().await?;
    let AccountStanding { account, mark, condition, error, at, by } = standing;
    let (condition, until) = written(*condition);
    let until = until.map(Timestamp::as_millisecond);
    let (mark, at, by) = (i32::from(*mark), at.as_millisecond(), &**by);
    let keep = client.prepare_cached(KEEP).await.map_err(|error| unavailable(&error))?;
    client
        .execute(&keep, &[account, &mark, &condition, &until, error, &at, &by])
        .await
        .map_err(|error| unavailable(&error))?;
    Ok(())
}

/// What has been told since this version.
pub(super) async fn since(client: &Client, version: i64) -> Result<Told, Error> {
    let rows = client.query(SINCE, &[&version]).await?;
    let version = rows.last().map_or(version, |row| row.get("version"));
    Ok(Told { version, standings: rows.iter().filter_map(read).collect() })
}

fn written(condition: Condition) -> (i16, Option<Timestamp>) {
    match condition {
        Condition::Up => (0, None),
        Condition::Rests { until } => (1, Some(until)),
        Condition::Exhausted { until } => (2, until),
        Condition::Misconfigured => (3, None),
        Condition::Down => (4, None),
    }
}

/// `None` for what a newer release may have written.
fn read(row: &Row) -> Option<AccountStanding> {
    let time = |millis: i64| Timestamp::from_millisecond(millis).ok();
    let until = row.get::<_, Option<i64>>("until").and_then(time);
    let condition = match row.get::<_, i16>("condition") {
        0 => Condition::Up,
        1 => Condition::Rests { until: until? },
        2 => Condition::Exhausted { until },
        3 => Condition::Misconfigured,
        4 => Condition::Down,
        _ => return None,
    };
    Some(AccountStanding {
        account: row.get("account"),
        mark: u16::try_from(row.get::<_, i32>("mark")).ok()?,
        condition,
        error: row.get("error"),
        at: time(row.get("at"))?,
        by: row.get::<_, String>("by").into(),
    })
}
