//! The row of calls and the quotas that instances have in common.
//!
//! Each is one statement: whoever hangs or ends in the middle holds no lock that the others wait for.

use super::connect::Connections;
use super::fault::unavailable;
use crate::queue::row::{AHEAD_MAX, TRUSTED, places};
use crate::queue::{CallPlaces, CallsWanted, RecipientsWanted, Reserved, StoreError};

/// The same as `row::take`. `$2`: now, `$3`: the interval, `$4`: idle time that is saved up, `$5`: how many are wanted,
/// `$6`: how far ahead they may lie, `$7`: how far ahead the last may lie.
const TAKE: &str = "
INSERT INTO paces AS held (account, last, first, given)
SELECT $1::text, first + $3 * (given - 1), first, given FROM (
    SELECT $2::bigint - $4::bigint AS first,
        LEAST($5::bigint, ($6::bigint + $4) / $3::bigint + 1) AS given
) AS fresh
ON CONFLICT (account) DO UPDATE SET (last, first, given) = (
    SELECT CASE WHEN given > 0 THEN first + $3 * (given - 1) ELSE held.last END, first, given FROM (
        SELECT first,
            CASE WHEN first > $2 + $6 THEN 0 ELSE LEAST($5, ($2 + $6 - first) / $3 + 1) END AS given
        FROM (
            SELECT CASE WHEN held.last > $2 + $7::bigint THEN $2 + $3
                ELSE GREATEST(held.last + $3, $2 - $4) END AS first
        ) AS due
    ) AS taken
)
RETURNING first, given";

const RETURN: &str = "
UPDATE usage SET recipients = GREATEST(recipients - $3::bigint, 0) WHERE hour = $1 AND provider = $2";

pub(super) async fn reserve_calls(
    connections: &Connections,
    wanted: &CallsWanted,
) -> Result<CallPlaces, StoreError> {
    let (now, spacing) = (wanted.now.as_microsecond(), wanted.spacing());
    let places_wanted = i64::from(wanted.places);
    let client = connections.short().await?;
    let step = async {
        let statement = client.prepare_cached(TAKE).await?;
        client
            .query_one(
                &statement,
                &[
                    &wanted.account,
                    &now,
                    &spacing.interval,
                    &spacing.saved,
                    &places_wanted,
                    &AHEAD_MAX,
                    &TRUSTED,
                ],
            )
            .await
    };
    let row = step.await.map_err(|error| unavailable(&error))?;
    Ok(places(wanted, row.get(0), i64::from(row.get::<_, i32>(1))))
}

pub(super) async fn reserve_recipients(
    connections: &Connections,
    wanted: &RecipientsWanted,
) -> Result<Reserved, StoreError> {
    let (from_hours, limits): (Vec<i64>, Vec<i64>) =
        wanted.quotas.iter().map(|quota| (quota.from_hour, whole(quota.limit))).unzip();
    let recipients = whole(wanted.recipients);
    let client = connections.short().await?;
    let step = async {
        let sql = "SELECT reserve_recipients($1, $2, $3, $4, $5)";
        let statement = client.prepare_cached(sql).await?;
        client
            .query_one(
                &statement,
                &[&wanted.provider, &recipients, &wanted.hour, &from_hours, &limits],
            )
            .await
    };
    let row = step.await.map_err(|error| unavailable(&error))?;
    Ok(if row.get(0) { Reserved::Yes } else { Reserved::Full })
}

pub(super) async fn return_recipients(
    connections: &Connections,
    provider: &str,
    hour: i64,
    recipients: u64,
) -> Result<(), StoreError> {
    let client = connections.short().await?;
    let step = async {
        let statement = client.prepare_cached(RETURN).await?;
        client.execute(&statement, &[&hour, &provider, &whole(recipients)]).await
    };
    step.await.map(drop).map_err(|error| unavailable(&error))
}

/// What the database counts in; nobody has so many.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX / 4)
}
