//! Submissions that are taken once.

use deadpool_postgres::Transaction;

use super::change::Fault;
use super::rows;
use crate::clock::Timestamp;
use crate::queue::REMEMBERED;
use crate::queue::rules::SWEEP_MAX;

/// Who is remembered anew at this moment is passed over.
const FORGET: &str = "DELETE FROM submissions WHERE key IN \
     (SELECT key FROM submissions WHERE at <= $1 ORDER BY at LIMIT $2 FOR UPDATE SKIP LOCKED)";

/// Forgets a slice of the keys that are not remembered any more. Returns how many that were.
pub(super) async fn forget_old(
    transaction: &Transaction<'_>,
    now: Timestamp,
) -> Result<usize, Fault> {
    let until = rows::millis(now.checked_sub(REMEMBERED).unwrap_or(Timestamp::MIN));
    let forget = transaction.prepare_cached(FORGET).await?;
    let forgotten = transaction.execute(&forget, &[&until, &rows::signed(SWEEP_MAX)]).await?;
    Ok(usize::try_from(forgotten).unwrap_or(usize::MAX))
}
