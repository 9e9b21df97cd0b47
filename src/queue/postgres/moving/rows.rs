//! Messages as rows, many at a time.

use std::borrow::Cow;
use std::collections::HashMap;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio_postgres::{Client, Error, Row, Transaction};
use uuid::Uuid;

use super::super::fault::unavailable;
use super::super::rows::{Unreadable, get, id, state, text, unsigned, uuid};
use crate::message::QueueId;
use crate::queue::StoreError;
use crate::queue::moving::{Call, Record, Sketch};

/// Reads what [`sketch`] makes of it.
pub(super) const SKETCH: &str = "SELECT id, state, due_at, lease, \
     (SELECT count(*) FROM attempts AS a WHERE a.message = m.id), deferrals, trying_since, finished_at, \
     CASE WHEN begun_by IS NULL THEN NULL ELSE begun_at END, \
     CASE WHEN EXISTS (SELECT FROM bodies AS b WHERE b.message = m.id) THEN size ELSE 0 END, \
     account IS NOT NULL FROM messages AS m";

pub(super) fn sketch(row: &Row) -> Result<Sketch, Unreadable> {
    Ok(Sketch {
        id: id(row, 0)?,
        state: state(row, 1)?,
        due_at: get(row, 2)?,
        lease: get(row, 3)?,
        attempts: unsigned(row, 4)?,
        deferrals: number(get(row, 5)?),
        trying_since: get(row, 6)?,
        finished_at: get(row, 7)?,
        begun_at: get(row, 8)?,
        octets: unsigned(row, 9)?,
        has_account: get(row, 10)?,
    })
}

/// The columns of a message but for its content.
const COLUMNS: &str = "id, state, due_at, lease, deferrals, received_at, trying_since, finished_at, sender, recipients, \
     smtp_utf8, header_from, subject, message_id, size, \"user\", provider, provider_message_id, error, pinned_provider, \
     dsn, account, may_steer, way, bulk, share, begun_by, begun_at, batch, place, batch_of";

/// These messages with all that is kept of them.
pub(super) async fn read(client: &Client, ids: &[QueueId]) -> Result<Vec<Record>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().copied().map(uuid).collect();
    let query =
        async |sql: &str| client.query(sql, &[&ids]).await.map_err(|error| unavailable(&error));
    let sql = format!("SELECT {COLUMNS} FROM messages WHERE id = ANY($1) ORDER BY id");
    let found = query(&sql).await?;
    let mut records = found.iter().map(record).collect::<Result<Vec<_>, _>>()?;
    let places: HashMap<QueueId, usize> =
        records.iter().enumerate().map(|(at, record)| (record.id, at)).collect();
    for row in query("SELECT message, raw FROM bodies WHERE message = ANY($1)").await? {
        if let Some(record) = places.get(&id(&row, 0)?).and_then(|at| records.get_mut(*at)) {
            let raw: Vec<u8> = get(&row, 1)?;
            record.content = Some(Bytes::from(raw));
        }
    }
    let sql = "SELECT message, at, provider, outcome, error, provider_message_id, latency_ms, recipients, losses, \
               together FROM attempts WHERE message = ANY($1) ORDER BY message, n";
    for row in query(sql).await? {
        if let Some(record) = places.get(&id(&row, 0)?).and_then(|at| records.get_mut(*at)) {
            record.attempts.push(call(&row)?);
        }
    }
    Ok(records)
}

fn record(row: &Row) -> Result<Record, Unreadable> {
    let share: i16 = get(row, 25)?;
    let batch: Option<Uuid> = get(row, 28)?;
    Ok(Record {
        id: id(row, 0)?,
        state: state(row, 1)?,
        due_at: get(row, 2)?,
        lease: get(row, 3)?,
        deferrals: number(get(row, 4)?),
        received_at: get(row, 5)?,
        trying_since: get(row, 6)?,
        finished_at: get(row, 7)?,
        sender: get(row, 8)?,
        recipients: get(row, 9)?,
        smtp_utf8: get(row, 10)?,
        header_from: get(row, 11)?,
        subject: get(row, 12)?,
        message_id: get(row, 13)?,
        size: get(row, 14)?,
        user: get(row, 15)?,
        provider: get(row, 16)?,
        provider_message_id: get(row, 17)?,
        error: get(row, 18)?,
        pinned_provider: get(row, 19)?,
        dsn: get(row, 20)?,
        account: get(row, 21)?,
        may_steer: get(row, 22)?,
        way: get(row, 23)?,
        bulk: get(row, 24)?,
        share: u16::try_from(share).unwrap_or_default(),
        begun_by: get(row, 26)?,
        begun_at: get(row, 27)?,
        batch: batch.map(Uuid::into_bytes),
        place: column(row, 29)?.map(number),
        batch_of: column(row, 30)?.map(number),
        content: None,
        attempts: Vec::new(),
    })
}

fn call(row: &Row) -> Result<Call, Unreadable> {
    Ok(Call {
        at: get(row, 1)?,
        provider: get(row, 2)?,
        outcome: get(row, 3)?,
        error: get(row, 4)?,
        provider_message_id: get(row, 5)?,
        latency_ms: get(row, 6)?,
        recipients: get(row, 7)?,
        losses: get(row, 8)?,
        together: column(row, 9)?.map(number),
    })
}

fn column(row: &Row, number: usize) -> Result<Option<i32>, Unreadable> {
    get(row, number)
}

/// A count as the tables keep it, which has no negative ones.
fn number(kept: i32) -> u32 {
    u32::try_from(kept).unwrap_or_default()
}

/// Adds messages that are not there: three statements, however many they are.
pub(super) async fn write(step: &Transaction<'_>, records: &[Record]) -> Result<(), Error> {
    if records.is_empty() {
        return Ok(());
    }
    let messages = Value::Array(records.iter().map(message_json).collect()).to_string();
    let calls = records.iter().flat_map(|record| {
        record.attempts.iter().zip(1_i32..).map(|(call, n)| call_json(record.id, n, call))
    });
    let calls = Value::Array(calls.collect()).to_string();
    let sql = format!(
        "INSERT INTO messages ({COLUMNS}) \
         SELECT {COLUMNS} FROM json_populate_recordset(NULL::messages, $1::text::json)"
    );
    step.execute(&sql, &[&messages]).await?;
    step.execute(
        "INSERT INTO attempts (message, n, at, provider, outcome, error, provider_message_id, latency_ms, recipients, \
         losses, together) SELECT message, n, at, provider, outcome, error, provider_message_id, latency_ms, recipients, \
         losses, together FROM json_populate_recordset(NULL::attempts, $1::text::json)",
        &[&calls],
    )
    .await?;
    let kept = || records.iter().filter_map(|one| Some((uuid(one.id), one.content.as_deref()?)));
    let ids: Vec<Uuid> = kept().map(|(id, _)| id).collect();
    let contents: Vec<&[u8]> = kept().map(|(_, content)| content).collect();
    step.execute(
        "INSERT INTO bodies (message, raw) SELECT * FROM unnest($1::uuid[], $2::bytea[])",
        &[&ids, &contents],
    )
    .await?;
    Ok(())
}

fn message_json(record: &Record) -> Value {
    json!({
        "id": record.id,
        "state": record.state as u8,
        "due_at": record.due_at,
        "lease": record.lease,
        "deferrals": record.deferrals,
        "received_at": record.received_at,
        "trying_since": record.trying_since,
        "finished_at": record.finished_at,
        "sender": or_null(&record.sender),
        "recipients": text(&record.recipients),
        "smtp_utf8": record.smtp_utf8,
        "header_from": text(&record.header_from),
        "subject": text(&record.subject),
        "message_id": text(&record.message_id),
        "size": record.size,
        "user": or_null(&record.user),
        "provider": or_null(&record.provider),
        "provider_message_id": or_null(&record.provider_message_id),
        "error": or_null(&record.error),
        "pinned_provider": or_null(&record.pinned_provider),
        "dsn": or_null(&record.dsn),
        "account": record.account.as_deref().map(hex),
        "may_steer": record.may_steer,
        "way": text(&record.way),
        "bulk": record.bulk,
        "share": record.share,
        "begun_by": or_null(&record.begun_by),
        "begun_at": record.begun_at,
        "batch": record.batch.map(Uuid::from_bytes),
        "place": record.place,
        "batch_of": record.batch_of,
    })
}

fn call_json(message: QueueId, n: i32, call: &Call) -> Value {
    json!({
        "message": message,
        "n": n,
        "at": call.at,
        "provider": text(&call.provider),
        "outcome": text(&call.outcome),
        "error": or_null(&call.error),
        "provider_message_id": or_null(&call.provider_message_id),
        "latency_ms": call.latency_ms,
        "recipients": or_null(&call.recipients),
        "losses": or_null(&call.losses),
        "together": call.together,
    })
}

/// A text, if there is one.
#[expect(clippy::ref_option, reason = "that is what the fields are")]
fn or_null(kept: &Option<String>) -> Option<Cow<'_, str>> {
    kept.as_deref().map(text)
}

/// Octets as the database reads them in a text.
pub(super) fn hex(octets: &[u8]) -> String {
    let mut text = String::with_capacity(2 + octets.len() * 2);
    text.push_str("\\x");
    for octet in octets {
        for half in [octet >> 4, octet & 15] {
            text.push(char::from_digit(half.into(), 16).unwrap_or_default());
        }
    }
    text
}
