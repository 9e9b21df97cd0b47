//! One message.

use bytes::Bytes;
use tokio_postgres::IsolationLevel;

use super::change::Fault;
use super::connect::Connections;
use super::rows;
use crate::message::QueueId;
use crate::queue::{Details, StoreError};

const CONTENT: &str =
    "SELECT b.raw, m.size FROM bodies AS b JOIN messages AS m ON m.id = b.message WHERE m.id = $1";

/// One message with its attempts, oldest first.
pub(super) async fn show(
    connections: &Connections,
    id: QueueId,
) -> Result<Option<Details>, StoreError> {
    Ok(details(connections, id).await?)
}

async fn details(connections: &Connections, id: QueueId) -> Result<Option<Details>, Fault> {
    let mut client = connections.get().await?;
    // Both queries must see the same moment.
    let moment = client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?;
    let columns = rows::SUMMARY_COLUMNS;
    let record = moment
        .prepare_cached(&format!(
            "SELECT {columns}, m.dsn, m.smtp_utf8, m.may_steer FROM messages AS m WHERE m.id = $1"
        ))
        .await?;
    let Some(row) = moment.query_opt(&record, &[&rows::uuid(id)]).await? else { return Ok(None) };
    let columns = rows::ATTEMPT_COLUMNS;
    let calls = moment
        .prepare_cached(&format!("SELECT {columns} FROM attempts WHERE message = $1 ORDER BY n"))
        .await?;
    let calls = moment.query(&calls, &[&rows::uuid(id)]).await?;
    moment.commit().await?;
    Ok(Some(Details {
        summary: rows::summary(&row)?,
        attempts: calls.iter().map(rows::attempt).collect::<Result<_, _>>()?,
        dsn: rows::wishes(&row, 16),
        smtp_utf8: rows::get(&row, 17)?,
        may_steer: rows::get(&row, 18)?,
    }))
}

/// The content of a message, while it is kept.
pub(super) async fn content(
    connections: &Connections,
    id: QueueId,
) -> Result<Option<Bytes>, StoreError> {
    Ok(whole(connections, id).await?)
}

async fn whole(connections: &Connections, id: QueueId) -> Result<Option<Bytes>, Fault> {
    let client = connections.get().await?;
    let content = client.prepare_cached(CONTENT).await?;
    let Some(row) = client.query_opt(&content, &[&rows::uuid(id)]).await? else { return Ok(None) };
    let raw: Vec<u8> = rows::get(&row, 0)?;
    // A message of which a piece is missing must not go out as if it were the message.
    let is_whole = raw.len() as u64 == rows::unsigned(&row, 1)?;
    Ok(is_whole.then(|| raw.into()))
}
