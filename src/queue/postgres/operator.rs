//! What operators do to messages: have them tried again, stop them.
//!
//! The record is locked before it is judged: a claim of another instance has come before, and is seen, or waits and finds
//! it changed.

use deadpool_postgres::Transaction;
use tokio_postgres::Row;
use uuid::Uuid;

use super::change::{Fault, change};
use super::connect::Connections;
use super::rows;
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{RecipientStatus, Retried, Retry, State, StoreError, rules};

/// Messages that one slice of [`retry_failed`] looks at.
const SLICE: i64 = 500;

const CURRENT: &str = "SELECT id, state, recipients, account IS NOT NULL, begun_by IS NOT NULL, batch IS NOT NULL \
     FROM messages WHERE id = $1 FOR UPDATE";

/// Who is being changed by somebody else is that one's business. It has failed no more, or does so later.
const FAILED: &str = "SELECT id, state, recipients, account IS NOT NULL, begun_by IS NOT NULL, batch IS NOT NULL \
     FROM messages WHERE state = 3 AND state >= 3 AND id < $1 ORDER BY id DESC LIMIT $2 FOR UPDATE SKIP LOCKED";

/// Asked after the records are locked: only then nobody removes a content.
const CONTENTS: &str = "SELECT message FROM bodies WHERE message = ANY($1)";

const REOPEN: &str = "UPDATE messages AS m SET state = 0, due_at = $1, trying_since = $1, deferrals = 0, \
     finished_at = NULL, recipients = again.recipients, pinned_provider = $2, way = '', \
     begun_by = CASE WHEN $3 THEN m.begun_by END \
     FROM unnest($4::uuid[], $5::text[]) AS again (id, recipients) WHERE m.id = again.id";

const STOP: &str = "UPDATE messages SET state = 4, finished_at = $2, recipients = $3 WHERE id = $1";

/// Puts a message that waits or is over back into the queue, due now.
pub(super) async fn retry(
    connections: &Connections,
    id: QueueId,
    retry: &Retry,
    now: Timestamp,
) -> Result<(), StoreError> {
    change(move || {
        Box::pin(async move {
            let mut client = connections.get().await?;
            let transaction = client.transaction().await?;
            let mut current = Current::lock(&transaction, id).await?;
            rules::may_retry(id, current.state, retry)?;
            rules::may_name(id, current.state, retry.provider.as_deref(), current.has_account)?;
            rules::may_leave_batch(id, current.state, current.in_batch, retry)?;
            if contents(&transaction, &[rows::uuid(id)]).await?.is_empty() {
                return Err(StoreError::ContentGone(id).into());
            }
            let keeps_doubt = current.reopen(retry);
            reopen(&transaction, &[current], retry.provider.as_deref(), keeps_doubt, now).await?;
            Ok(transaction.commit().await?)
        })
    })
    .await
}

/// Retries the newest of what has failed, from `before` on.
pub(super) async fn retry_failed(
    connections: &Connections,
    before: Option<QueueId>,
    now: Timestamp,
) -> Result<Retried, StoreError> {
    change(move || {
        Box::pin(async move {
            let mut client = connections.get().await?;
            let transaction = client.transaction().await?;
            let before = rows::uuid(before.unwrap_or(QueueId::from_bytes([0xff; 16])));
            let failed = transaction.prepare_cached(FAILED).await?;
            let slice = transaction.query(&failed, &[&before, &SLICE]).await?;
            let ids: Vec<Uuid> =
                slice.iter().map(|row| rows::get(row, 0)).collect::<Result<_, _>>()?;
            let kept = contents(&transaction, &ids).await?;
            let mut retried = Retried::default();
            let mut again = Vec::new();
            for row in &slice {
                let mut current = Current::of(row)?;
                if current.in_doubt {
                    retried.in_doubt += 1;
                } else if rules::is_only_suppressed(&current.recipients) {
                    // It would end as it has.
                } else if !kept.contains(&current.id) {
                    retried.without_content += 1;
                } else {
                    current.reopen(&Retry::default());
                    retried.retried += 1;
                    again.push(current);
                }
            }
            if slice.len() as u64 == SLICE.unsigned_abs() {
                retried.next = slice.last().map(|row| rows::id(row, 0)).transpose()?;
            }
            reopen(&transaction, &again, None, false, now).await?;
            transaction.commit().await?;
            Ok(retried)
        })
    })
    .await
}

/// Stops a message that waits.
pub(super) async fn cancel(
    connections: &Connections,
    id: QueueId,
    now: Timestamp,
) -> Result<(), StoreError> {
    change(move || {
        Box::pin(async move {
            let mut client = connections.get().await?;
            let transaction = client.transaction().await?;
            let Current { state, mut recipients, in_batch, .. } =
                Current::lock(&transaction, id).await?;
            rules::may_cancel(id, state, in_batch)?;
            rules::stop(&mut recipients);
            let recipients = rows::recipients_json(&recipients)?;
            let stop = transaction.prepare_cached(STOP).await?;
            transaction.execute(&stop, &[&rows::uuid(id), &rows::millis(now), &recipients]).await?;
            Ok(transaction.commit().await?)
        })
    })
    .await
}

/// A message that is locked.
struct Current {
    id: Uuid,
    state: State,
    recipients: Vec<RecipientStatus>,
    /// It goes by the account that its client brought.
    has_account: bool,
    /// The record says by whom it is, or was, being tried.
    in_doubt: bool,
    /// It is in doubt as a member of a batch.
    in_batch: bool,
}

impl Current {
    async fn lock(transaction: &Transaction<'_>, id: QueueId) -> Result<Self, Fault> {
        let current = transaction.prepare_cached(CURRENT).await?;
        let row = transaction.query_opt(&current, &[&rows::uuid(id)]).await?;
        Self::of(&row.ok_or(StoreError::NotFound(id))?)
    }

    fn of(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            id: rows::get(row, 0)?,
            state: rows::state(row, 1)?,
            recipients: rows::json(row, 2)?,
            has_account: rows::get(row, 3)?,
            in_doubt: rows::get(row, 4)?,
            in_batch: rows::get(row, 5)?,
        })
    }

    /// Has its recipients wait again. Returns whether it stays in doubt, if it is.
    fn reopen(&mut self, retry: &Retry) -> bool {
        let keeps_doubt = rules::keeps_doubt(self.state, self.in_batch, retry);
        let stays_in_doubt = keeps_doubt && self.in_doubt;
        rules::reopen(&mut self.recipients, self.state, &retry.recipients, stays_in_doubt);
        keeps_doubt
    }
}

/// Which of these messages have their content.
async fn contents(transaction: &Transaction<'_>, ids: &[Uuid]) -> Result<Vec<Uuid>, Fault> {
    let contents = transaction.prepare_cached(CONTENTS).await?;
    let found = transaction.query(&contents, &[&ids]).await?;
    Ok(found.iter().map(|row| rows::get(row, 0)).collect::<Result<_, _>>()?)
}

/// Puts them back into the queue.
async fn reopen(
    transaction: &Transaction<'_>,
    messages: &[Current],
    provider: Option<&str>,
    keeps_doubt: bool,
    now: Timestamp,
) -> Result<(), Fault> {
    if messages.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = messages.iter().map(|message| message.id).collect();
    let recipients: Vec<String> = messages
        .iter()
        .map(|message| rows::recipients_json(&message.recipients))
        .collect::<Result<_, _>>()?;
    let reopen = transaction.prepare_cached(REOPEN).await?;
    transaction
        .execute(&reopen, &[&rows::millis(now), &provider, &keeps_doubt, &ids, &recipients])
        .await?;
    Ok(())
}
