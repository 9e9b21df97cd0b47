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

/// Whoever keeps something waits for who does so at the same time: so versions are seen in their order.
const LOCK: &str = "SELECT FROM versions WHERE topic = 'standings' FOR UPDATE";

const KEPT: &str = "SELECT condition, at FROM standings WHERE account = $1 AND mark = $2";

const KEEP: &str = "\
WITH news AS (
    UPDATE versions SET version = version + 1 WHERE topic = 'standings' RETURNING version
), kept AS (
    INSERT INTO standings (account, mark, condition, until, error, at, by, version)
    SELECT $1, $2, $3, $4, $5, $6, $7, version FROM news
    ON CONFLICT (account, mark) DO UPDATE SET
        condition = excluded.condition, until = excluded.until, error = excluded.error,
        at = excluded.at, by = excluded.by, version = excluded.version
    RETURNING version
)
SELECT pg_notify('mailferry', 'standings') FROM kept";

/// Nobody knows of such an account any more.
const FORGET: &str = "DELETE FROM standings WHERE at < $1";

const SINCE: &str = "\
SELECT account, mark, condition, until, error, at, by, version FROM standings WHERE version > $1 ORDER BY version";

/// Keeps one, unless something younger is kept, and tells all instances. True when it is another condition.
pub(super) async fn keep(
    connections: &Connections,
    standing: &AccountStanding,
) -> Result<bool, StoreError> {
    let mut client = connections.get().await?;
    let AccountStanding { account, mark, condition, error, at, by } = standing;
    let (condition, until) = written(*condition);
    let until = until.map(Timestamp::as_millisecond);
    let (mark, at, by) = (i32::from(*mark), at.as_millisecond(), &**by);
    let account: String = account.chars().filter(|letter| *letter != '\0').collect();
    let error: Option<String> =
        error.as_ref().map(|error| error.chars().filter(|letter| *letter != '\0').collect());
    let keeping = async {
        let change = client.transaction().await?;
        change.execute(LOCK, &[]).await?;
        let kept = change.query_opt(KEPT, &[&account, &mark]).await?;
        let before = kept.as_ref().map_or(0_i16, |kept| kept.get("condition"));
        if kept.is_some_and(|kept| kept.get::<_, i64>("at") > at) {
            return Ok(false);
        }
        change.execute(KEEP, &[&account, &mark, &condition, &until, &error, &at, &by]).await?;
        change.commit().await?;
        Ok(before != condition)
    };
    keeping.await.map_err(|error: Error| unavailable(&error))
}

/// Forgets what was last heard of before then.
pub(super) async fn forget(client: &Client, before: Timestamp) -> Result<(), Error> {
    client.execute(FORGET, &[&before.as_millisecond()]).await.map(drop)
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
