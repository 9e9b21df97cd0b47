//! What is kept beside the messages, row by row.

use serde_json::{Value, json};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Transaction};
use uuid::Uuid;

use super::super::fault::unavailable;
use super::super::rows::{Unreadable, get, text};
use super::rows::hex;
use crate::queue::StoreError;
use crate::queue::moving::{ASIDE_SLICE, Aside, AsideKind};

type Parameter = Box<dyn ToSql + Sync + Send>;

/// The rows of a kind behind `after`, in the order of the table's key.
pub(super) async fn read(
    client: &Client,
    kind: AsideKind,
    after: Option<&Aside>,
) -> Result<Vec<Aside>, StoreError> {
    let (table, columns, keys) = match kind {
        AsideKind::Suppressions => {
            ("suppressions", "mailbox, address, reason, note, since", "mailbox")
        }
        AsideKind::Usage => ("usage", "hour, provider, recipients", "hour, provider"),
        AsideKind::Counters => (
            "statistics",
            "grain, at, provider, received, delivered, failed, cancelled, attempts, latency",
            "grain, at, provider",
        ),
        AsideKind::Submissions => ("submissions", "key, request, message, at", "key"),
    };
    let last = after.map(place).unwrap_or_default();
    let marks: Vec<String> = (1..=last.len()).map(|n| format!("${n}")).collect();
    let condition = if last.is_empty() {
        String::new()
    } else {
        format!("WHERE ({keys}) > ({})", marks.join(", "))
    };
    let sql =
        format!("SELECT {columns} FROM {table} {condition} ORDER BY {keys} LIMIT {ASIDE_SLICE}");
    let last: Vec<&(dyn ToSql + Sync)> =
        last.iter().map(|value| &**value as &(dyn ToSql + Sync)).collect();
    let found = client.query(&sql, &last).await.map_err(|error| unavailable(&error))?;
    found.iter().map(|row| Ok(take(kind, row)?)).collect()
}

/// The values of a row's key.
fn place(row: &Aside) -> Vec<Parameter> {
    match row.clone() {
        Aside::Suppression { mailbox, .. } => vec![Box::new(mailbox)],
        Aside::Usage { hour, provider, .. } => vec![Box::new(hour), Box::new(provider)],
        Aside::Counter { grain, at, provider, .. } => {
            vec![Box::new(grain), Box::new(at), Box::new(provider)]
        }
        Aside::Submission { key, .. } => vec![Box::new(key.to_vec())],
    }
}

fn take(kind: AsideKind, row: &Row) -> Result<Aside, Unreadable> {
    Ok(match kind {
        AsideKind::Suppressions => Aside::Suppression {
            mailbox: get(row, 0)?,
            address: get(row, 1)?,
            reason: get(row, 2)?,
            note: get(row, 3)?,
            since: get(row, 4)?,
        },
        AsideKind::Usage => {
            Aside::Usage { hour: get(row, 0)?, provider: get(row, 1)?, recipients: get(row, 2)? }
        }
        AsideKind::Counters => Aside::Counter {
            grain: get(row, 0)?,
            at: get(row, 1)?,
            provider: get(row, 2)?,
            received: get(row, 3)?,
            delivered: get(row, 4)?,
            failed: get(row, 5)?,
            cancelled: get(row, 6)?,
            attempts: get(row, 7)?,
            latency: get(row, 8)?,
        },
        AsideKind::Submissions => {
            let message: Uuid = get(row, 2)?;
            Aside::Submission {
                key: digest(get(row, 0)?),
                request: digest(get(row, 1)?),
                message: message.into_bytes(),
                at: get(row, 3)?,
            }
        }
    })
}

/// A digest has just so many octets; of something else there is nothing to lose.
fn digest(kept: &[u8]) -> [u8; 32] {
    kept.try_into().unwrap_or_default()
}

/// What keeps rows of each kind, unless the one that is there says more.
const SUPPRESSIONS: &str = "\
    INSERT INTO suppressions AS old (mailbox, address, reason, note, since) \
    SELECT mailbox, address, reason, note, since \
    FROM json_populate_recordset(NULL::suppressions, $1::text::json) \
    ON CONFLICT (mailbox) DO UPDATE SET address = excluded.address, reason = excluded.reason, \
    note = excluded.note, since = excluded.since WHERE excluded.since >= old.since";
const USAGE: &str = "\
    INSERT INTO usage AS old (hour, provider, recipients) \
    SELECT hour, provider, recipients FROM json_populate_recordset(NULL::usage, $1::text::json) \
    ON CONFLICT (hour, provider) DO UPDATE SET recipients = greatest(old.recipients, excluded.recipients)";
const COUNTERS: &str = "\
    INSERT INTO statistics AS old \
    (grain, at, provider, received, delivered, failed, cancelled, attempts, latency) \
    SELECT grain, at, provider, received, delivered, failed, cancelled, attempts, latency \
    FROM json_populate_recordset(NULL::statistics, $1::text::json) \
    ON CONFLICT (grain, at, provider) DO UPDATE SET received = excluded.received, \
    delivered = excluded.delivered, failed = excluded.failed, cancelled = excluded.cancelled, \
    attempts = excluded.attempts, latency = excluded.latency \
    WHERE excluded.received + excluded.delivered + excluded.failed + excluded.cancelled \
    >= old.received + old.delivered + old.failed + old.cancelled";
const SUBMISSIONS: &str = "\
    INSERT INTO submissions AS old (key, request, message, at) \
    SELECT key, request, message, at FROM json_populate_recordset(NULL::submissions, $1::text::json) \
    ON CONFLICT (key) DO UPDATE SET request = excluded.request, message = excluded.message, \
    at = excluded.at WHERE excluded.at >= old.at";

/// Keeps a slice.
pub(super) async fn write(step: &Transaction<'_>, slice: &[Aside]) -> Result<(), Error> {
    for (kind, sql) in [
        (AsideKind::Suppressions, SUPPRESSIONS),
        (AsideKind::Usage, USAGE),
        (AsideKind::Counters, COUNTERS),
        (AsideKind::Submissions, SUBMISSIONS),
    ] {
        let rows: Vec<Value> =
            slice.iter().filter(|row| row.kind() == kind).map(row_json).collect();
        if !rows.is_empty() {
            step.execute(sql, &[&Value::Array(rows).to_string()]).await?;
        }
    }
    Ok(())
}

fn row_json(row: &Aside) -> Value {
    match row {
        Aside::Suppression { mailbox, address, reason, note, since } => json!({
            "mailbox": text(mailbox),
            "address": text(address),
            "reason": text(reason),
            "note": note.as_deref().map(text),
            "since": since,
        }),
        Aside::Usage { hour, provider, recipients } => {
            json!({ "hour": hour, "provider": text(provider), "recipients": recipients })
        }
        Aside::Counter {
            grain,
            at,
            provider,
            received,
            delivered,
            failed,
            cancelled,
            attempts,
            latency,
        } => json!({
            "grain": grain,
            "at": at,
            "provider": text(provider),
            "received": received,
            "delivered": delivered,
            "failed": failed,
            "cancelled": cancelled,
            "attempts": text(attempts),
            "latency": text(latency),
        }),
        Aside::Submission { key, request, message, at } => json!({
            "key": hex(key),
            "request": hex(request),
            "message": Uuid::from_bytes(*message),
            "at": at,
        }),
    }
}
