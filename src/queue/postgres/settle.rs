//! Recording how claims ended.

use std::borrow::Cow;
use std::collections::HashSet;

use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

use super::rows::{list_json, millis, recipients_json, signed, sure, text, uuid};
use crate::queue::rules::{Change, LastError};
use crate::queue::{Attempt, Next, Settlement, Usage, WayKey};

/// Writes the new states under the leases that are expected, the attempts, and what counts for quotas. A delivered message
/// needs the account that its client brought no more. What goes on under the same lease may be written twice, when nobody
/// knows whether the first commit went through: an attempt that is there already is not added again.
pub(super) const SETTLE: &str = "WITH held AS (UPDATE messages AS m SET state = g.state, due_at = coalesce(g.due_at, m.due_at), \
     deferrals = m.deferrals + g.deferrals, finished_at = g.finished_at, recipients = g.recipients, \
     provider = coalesce(g.provider, m.provider), \
     provider_message_id = coalesce(g.provider_message_id, m.provider_message_id), \
     error = CASE WHEN g.keeps_error THEN m.error ELSE g.error END, \
     lease_owner = CASE WHEN g.state = 1 THEN m.lease_owner END, \
     account = CASE WHEN g.state <> 2 THEN m.account END, \
     begun_by = CASE WHEN g.suspect IS NOT NULL THEN g.suspect WHEN g.keeps_doubt THEN m.begun_by END, \
     begun_at = CASE WHEN g.suspect IS NULL THEN m.begun_at ELSE g.at END, \
     batch = CASE WHEN g.keeps_doubt AND g.suspect IS NULL THEN m.batch END, way = coalesce(g.way, m.way) \
     FROM unnest($1::uuid[], $2::int8[], $3::int2[], $4::int8[], $5::int4[], $6::int8[], $7::text[], $8::text[], \
     $9::text[], $10::bool[], $11::text[], $12::bool[], $13::text[], $14::text[], $15::int8[]) \
     AS g(id, lease, state, due_at, deferrals, finished_at, recipients, provider, provider_message_id, keeps_error, \
     error, keeps_doubt, way, suspect, at) \
     WHERE m.id = g.id AND m.state = 1 AND m.lease = g.lease RETURNING m.id), \
     called AS (INSERT INTO attempts (message, n, at, provider, outcome, error, provider_message_id, latency_ms, \
     recipients, losses, together) \
     SELECT a.message, a.nth + coalesce((SELECT max(n) FROM attempts AS o WHERE o.message = a.message), 0), \
     a.at, a.provider, a.outcome, a.error, a.provider_message_id, a.latency_ms, a.recipients, a.losses, a.together \
     FROM unnest($16::uuid[], $17::int4[], $18::int8[], $19::text[], $20::text[], $21::text[], $22::text[], $23::int8[], \
     $24::text[], $25::text[], $26::int4[]) AS a(message, nth, at, provider, outcome, error, provider_message_id, \
     latency_ms, recipients, losses, together) WHERE (a.message IN (SELECT id FROM held)) IS TRUE \
     AND NOT EXISTS (SELECT FROM attempts AS o WHERE o.message = a.message AND o.at = a.at AND o.provider = a.provider \
     AND o.outcome = a.outcome AND o.recipients IS NOT DISTINCT FROM a.recipients \
     AND o.provider_message_id IS NOT DISTINCT FROM a.provider_message_id)), \
     served AS (INSERT INTO usage AS u (hour, provider, recipients) \
     SELECT s.hour, s.provider, sum(s.recipients) \
     FROM unnest($27::uuid[], $28::int8[], $29::text[], $30::int8[]) AS s(message, hour, provider, recipients) \
     WHERE (s.message IN (SELECT id FROM held)) IS TRUE GROUP BY s.hour, s.provider ORDER BY s.hour, s.provider \
     ON CONFLICT (hour, provider) DO UPDATE SET recipients = u.recipients + excluded.recipients) \
     SELECT id FROM held";

/// Does so for these, of which none is about a message that another one is about. Returns for each whether it was
/// held.
pub(super) async fn settle(
    client: &Client,
    statement: &Statement,
    settlements: &[&Settlement],
) -> Result<Vec<bool>, Error> {
    let mut changes = Changes::default();
    let mut calls = Calls::default();
    let mut served = Served::default();
    for settlement in settlements {
        changes.add(settlement);
        let message = uuid(settlement.id);
        for (attempt, nth) in settlement.attempts.iter().zip(1_i32..) {
            calls.add(message, nth, attempt);
        }
        for usage in &settlement.usage {
            served.add(message, usage);
        }
    }
    let (c, a, s) = (&changes, &calls, &served);
    let held = client
        .query(
            statement,
            &[
                &c.id,
                &c.lease,
                &c.state,
                &c.due_at,
                &c.deferrals,
                &c.finished_at,
                &c.recipients,
                &c.provider,
                &c.provider_message_id,
                &c.keeps_error,
                &c.error,
                &c.keeps_doubt,
                &c.way,
                &c.suspect,
                &c.at,
                &a.message,
                &a.nth,
                &a.at,
                &a.provider,
                &a.outcome,
                &a.error,
                &a.provider_message_id,
                &a.latency_ms,
                &a.recipients,
                &a.losses,
                &a.together,
                &s.message,
                &s.hour,
                &s.provider,
                &s.recipients,
            ],
        )
        .await?;
    let held: HashSet<Uuid> =
        held.iter().map(|row| row.try_get(0)).collect::<Result<_, Error>>()?;
    Ok(c.id.iter().map(|id| held.contains(id)).collect())
}

/// What becomes of messages, by column.
#[derive(Default)]
struct Changes<'a> {
    id: Vec<Uuid>,
    lease: Vec<i64>,
    state: Vec<i16>,
    due_at: Vec<Option<i64>>,
    deferrals: Vec<i32>,
    finished_at: Vec<Option<i64>>,
    recipients: Vec<String>,
    provider: Vec<Option<&'a str>>,
    provider_message_id: Vec<Option<Cow<'a, str>>>,
    keeps_error: Vec<bool>,
    error: Vec<Option<Cow<'a, str>>>,
    keeps_doubt: Vec<bool>,
    way: Vec<Option<&'a str>>,
    suspect: Vec<Option<&'a str>>,
    at: Vec<i64>,
}

impl<'a> Changes<'a> {
    fn add(&mut self, settlement: &'a Settlement) {
        let change = Change::of(settlement);
        let (keeps_error, error) = match change.error {
            LastError::Keep => (true, None),
            LastError::Clear => (false, None),
            LastError::Set(error) => (false, Some(text(error))),
        };
        self.id.push(uuid(settlement.id));
        self.lease.push(settlement.lease);
        self.state.push(change.state as i16);
        self.due_at.push(change.due.map(millis));
        self.deferrals.push(i32::try_from(change.deferrals).unwrap_or(i32::MAX));
        self.finished_at.push(change.finished.map(millis));
        self.recipients.push(sure(recipients_json(&settlement.recipients)));
        self.provider.push(change.provider);
        self.provider_message_id.push(change.provider_message_id.map(text));
        self.keeps_error.push(keeps_error);
        self.error.push(error);
        self.keeps_doubt.push(settlement.unclear || settlement.next == Next::Continue);
        self.way.push(settlement.way.as_ref().map(WayKey::as_str));
        self.suspect.push(settlement.suspect.as_deref());
        self.at.push(millis(settlement.at));
    }
}

/// Attempts, by column.
#[derive(Default)]
struct Calls<'a> {
    message: Vec<Uuid>,
    /// Counted from the last one that is there.
    nth: Vec<i32>,
    at: Vec<i64>,
    provider: Vec<&'a str>,
    outcome: Vec<&'static str>,
    error: Vec<Option<Cow<'a, str>>>,
    provider_message_id: Vec<Option<Cow<'a, str>>>,
    latency_ms: Vec<i64>,
    recipients: Vec<Option<String>>,
    losses: Vec<Option<String>>,
    together: Vec<Option<i32>>,
}

impl<'a> Calls<'a> {
    fn add(&mut self, message: Uuid, nth: i32, attempt: &'a Attempt) {
        self.message.push(message);
        self.nth.push(nth);
        self.at.push(millis(attempt.at));
        self.provider.push(&attempt.provider);
        self.outcome.push(attempt.outcome.name());
        self.error.push(attempt.error.as_deref().map(text));
        self.provider_message_id.push(attempt.provider_message_id.as_deref().map(text));
        self.latency_ms.push(signed(attempt.latency_ms));
        self.recipients.push(sure(list_json(&attempt.recipients)));
        self.losses.push(sure(list_json(&attempt.losses)));
        let together = attempt.together.map(|together| i32::try_from(together).unwrap_or(i32::MAX));
        self.together.push(together);
    }
}

/// What counts for quotas, by column.
#[derive(Default)]
struct Served<'a> {
    message: Vec<Uuid>,
    hour: Vec<i64>,
    provider: Vec<&'a str>,
    recipients: Vec<i64>,
}

impl<'a> Served<'a> {
    fn add(&mut self, message: Uuid, usage: &'a Usage) {
        self.message.push(message);
        self.hour.push(usage.hour);
        self.provider.push(&usage.provider);
        self.recipients.push(signed(usage.recipients));
    }
}
