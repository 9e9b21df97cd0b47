//! What is kept beside the messages, row by row, as it is moved.

use rusqlite::{Connection, Row, ToSql, params, params_from_iter};

use crate::queue::moving::{ASIDE_SLICE, Aside, AsideKind};

/// The rows of a kind behind `after`, in the order of the table's key.
pub(super) fn read(
    connection: &Connection,
    kind: AsideKind,
    after: Option<&Aside>,
) -> rusqlite::Result<Vec<Aside>> {
    let (table, columns, key): (_, _, &[&str]) = match kind {
        AsideKind::Suppressions => {
            ("suppressions", "mailbox, address, reason, note, since", &["mailbox"])
        }
        AsideKind::Usage => ("usage", "hour, provider, recipients", &["hour", "provider"]),
        AsideKind::Counters => (
            "statistics",
            "grain, at, provider, received, delivered, failed, cancelled, attempts, latency",
            &["grain", "at", "provider"],
        ),
        AsideKind::Submissions => ("submissions", "key, request, message, at", &["key"]),
    };
    let last = after.map(place).unwrap_or_default();
    let keys = key.join(", ");
    let condition = if last.is_empty() {
        String::new()
    } else {
        format!("WHERE ({keys}) > ({})", vec!["?"; last.len()].join(", "))
    };
    let sql =
        format!("SELECT {columns} FROM {table} {condition} ORDER BY {keys} LIMIT {ASIDE_SLICE}");
    connection
        .prepare_cached(&sql)?
        .query_map(params_from_iter(last), |row| take(kind, row))?
        .collect()
}

/// The values of a row's key.
fn place(row: &Aside) -> Vec<Box<dyn ToSql>> {
    match row.clone() {
        Aside::Suppression { mailbox, .. } => vec![Box::new(mailbox)],
        Aside::Usage { hour, provider, .. } => vec![Box::new(hour), Box::new(provider)],
        Aside::Counter { grain, at, provider, .. } => {
            vec![Box::new(grain), Box::new(at), Box::new(provider)]
        }
        Aside::Submission { key, .. } => vec![Box::new(key)],
    }
}

fn take(kind: AsideKind, row: &Row<'_>) -> rusqlite::Result<Aside> {
    Ok(match kind {
        AsideKind::Suppressions => Aside::Suppression {
            mailbox: row.get(0)?,
            address: row.get(1)?,
            reason: row.get(2)?,
            note: row.get(3)?,
            since: row.get(4)?,
        },
        AsideKind::Usage => {
            Aside::Usage { hour: row.get(0)?, provider: row.get(1)?, recipients: row.get(2)? }
        }
        AsideKind::Counters => Aside::Counter {
            grain: row.get(0)?,
            at: row.get(1)?,
            provider: row.get(2)?,
            received: row.get(3)?,
            delivered: row.get(4)?,
            failed: row.get(5)?,
            cancelled: row.get(6)?,
            attempts: row.get(7)?,
            latency: row.get(8)?,
        },
        AsideKind::Submissions => Aside::Submission {
            key: row.get(0)?,
            request: row.get(1)?,
            message: row.get(2)?,
            at: row.get(3)?,
        },
    })
}

/// Keeps a row, unless the one that is there says more.
pub(super) fn write(connection: &Connection, row: &Aside) -> rusqlite::Result<()> {
    match row {
        Aside::Suppression { mailbox, address, reason, note, since } => connection
            .prepare_cached(
                "INSERT INTO suppressions (mailbox, address, reason, note, since) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT DO UPDATE SET address = excluded.address, reason = excluded.reason, \
                 note = excluded.note, since = excluded.since WHERE excluded.since >= since",
            )?
            .execute(params![mailbox, address, reason, note, since])?,
        Aside::Usage { hour, provider, recipients } => connection
            .prepare_cached(
                "INSERT INTO usage (hour, provider, recipients) VALUES (?1, ?2, ?3) \
                 ON CONFLICT DO UPDATE SET recipients = max(recipients, excluded.recipients)",
            )?
            .execute(params![hour, provider, recipients])?,
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
        } => connection
            .prepare_cached(
                "INSERT INTO statistics \
                 (grain, at, provider, received, delivered, failed, cancelled, attempts, latency) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) \
                 ON CONFLICT DO UPDATE SET received = excluded.received, delivered = excluded.delivered, \
                 failed = excluded.failed, cancelled = excluded.cancelled, attempts = excluded.attempts, \
                 latency = excluded.latency \
                 WHERE excluded.received + excluded.delivered + excluded.failed + excluded.cancelled \
                 >= received + delivered + failed + cancelled",
            )?
            .execute(params![
                grain, at, provider, received, delivered, failed, cancelled, attempts, latency
            ])?,
        Aside::Submission { key, request, message, at } => connection
            .prepare_cached(
                "INSERT INTO submissions (key, request, message, at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT DO UPDATE SET request = excluded.request, message = excluded.message, \
                 at = excluded.at WHERE excluded.at >= at",
            )?
            .execute(params![key, request, message, at])?,
    };
    Ok(())
}
