//! Noting that calls are about to be made.

use std::collections::HashSet;

use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

use super::rows::{millis, uuid};
use crate::queue::{Start, StoreError};

/// For each start: all of it or nothing. Returns what is not held, with the numbers of the starts.
pub(super) const BEGIN_CALLS: &str = "WITH given AS MATERIALIZED (SELECT * FROM unnest($1::int4[], $2::uuid[], \
     $3::int8[], $4::text[], $5::int8[], $6::uuid[], $7::int4[], $8::int4[]) \
     AS g(start, id, lease, provider, at, batch, place, batch_of)), \
     held AS MATERIALIZED (SELECT g.start, m.id FROM given AS g JOIN messages AS m ON m.id = g.id \
     WHERE m.state = 1 AND m.lease = g.lease FOR NO KEY UPDATE OF m), \
     lost AS MATERIALIZED (SELECT start, id FROM given \
     WHERE (id IN (SELECT id FROM held)) IS NOT TRUE), \
     noted AS (UPDATE messages AS m SET begun_by = g.provider, begun_at = g.at, batch = g.batch, place = g.place, \
     batch_of = g.batch_of FROM given AS g \
     WHERE m.id = g.id AND (g.start IN (SELECT start FROM lost)) IS NOT TRUE) \
     SELECT id FROM lost";

/// Does so for these, of which none names a message that another one names. Returns one answer for each.
pub(super) async fn begin(
    client: &Client,
    statement: &Statement,
    starts: &[&Start],
) -> Result<Vec<Result<(), StoreError>>, Error> {
    let (mut number, mut id, mut lease, mut provider) = (vec![], vec![], vec![], vec![]);
    let (mut at, mut batch, mut place, mut of) = (vec![], vec![], vec![], vec![]);
    for (start, own) in starts.iter().zip(0_i32..) {
        let in_batch = start.batch.map(|batch| uuid(batch.0));
        let members = i32::try_from(start.claims.len()).unwrap_or(i32::MAX);
        for ((message, claimed), nth) in start.claims.iter().zip(0_i32..) {
            number.push(own);
            id.push(uuid(*message));
            lease.push(*claimed);
            provider.push(start.provider.as_str());
            at.push(millis(start.at));
            batch.push(in_batch);
            place.push(in_batch.map(|_| nth));
            of.push(in_batch.map(|_| members));
        }
    }
    let lost = client
        .query(statement, &[&number, &id, &lease, &provider, &at, &batch, &place, &of])
        .await?;
    let lost: HashSet<Uuid> =
        lost.iter().map(|row| row.try_get(0)).collect::<Result<_, Error>>()?;
    let answer = |start: &&Start| {
        let missing = start.claims.iter().find(|(id, _)| lost.contains(&uuid(*id)));
        missing.map_or(Ok(()), |(id, _)| Err(StoreError::LeaseLost(*id)))
    };
    Ok(starts.iter().map(answer).collect())
}
