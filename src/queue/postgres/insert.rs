//! Keeping messages.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use tokio_postgres::{Client, Error, Statement};
use uuid::Uuid;

use super::fault::unavailable;
use super::line::{Answer, Job};
use super::rows::{self, millis, signed, sure, text, uuid};
use super::tally;
use super::writer::{GROUP_BYTES_MAX, GROUP_JOBS_MAX, Trade};
use crate::message::{Address, QueueId};
use crate::queue::{Entry, Once, REMEMBERED, State, StoreError, Turn};

/// One message that wants to be kept.
#[derive(Debug)]
pub(super) struct Insert {
    pub(super) entry: Entry,
    pub(super) answer: Answer<()>,
}

impl Job for Insert {
    fn bytes(&self) -> usize {
        self.entry.message.raw.len()
    }

    fn is_unwanted(&self) -> bool {
        self.answer.is_unwanted()
    }

    fn finish(self, verdict: Result<(), &StoreError>) {
        self.answer.send(verdict);
    }
}

/// Keeps messages, many at a time.
pub(super) struct Inserts {
    messages_max: u64,
    /// Told after a commit that has brought mail that waits.
    due: Box<dyn Fn() + Send + Sync>,
    /// What was refused although it may have been kept, as it will come again; with the name in which it was claimed.
    doubted: Vec<(Uuid, Option<Arc<str>>)>,
}

impl Inserts {
    pub(super) fn new(messages_max: u64, due: impl Fn() + Send + Sync + 'static) -> Self {
        Self { messages_max, due: Box::new(due), doubted: Vec::new() }
    }
}

/// The statements.
pub(super) struct Tools {
    insert: Statement,
    seen: Statement,
}

/// One statement, so that it is one transaction and one round trip. A key that is remembered keeps its message out.
fn insert_sql() -> String {
    format!(
        "WITH room AS MATERIALIZED (SELECT $23::int8 - {open} AS n), \
         given AS MATERIALIZED (SELECT * FROM unnest($1::uuid[], $2::int2[], $3::int8[], $4::int8[], $5::text[], \
         $6::int8[], $7::text[], $8::text[], $9::bool[], $10::text[], $11::text[], $12::text[], $13::int8[], \
         $14::text[], $15::text[], $16::bytea[], $17::bool[], $18::text[], $19::bool[], $20::int2[], $21::text[], \
         $24::bytea[], $25::bytea[], $26::int8[]) WITH ORDINALITY AS g(id, state, due_at, lease, lease_owner, \
         received_at, sender, recipients, smtp_utf8, header_from, subject, message_id, size, \"user\", dsn, account, \
         may_steer, way, bulk, share, begun_by, key, request, asked_at, nr)), \
         keys AS (INSERT INTO submissions AS s (key, request, message, at) \
         SELECT key, request, id, asked_at FROM given WHERE key IS NOT NULL AND nr <= (SELECT n FROM room) \
         ORDER BY key \
         ON CONFLICT (key) DO UPDATE SET request = excluded.request, message = excluded.message, at = excluded.at \
         WHERE abs(s.at - excluded.at) >= {remembered} RETURNING message), \
         kept AS (INSERT INTO messages (id, state, due_at, lease, lease_owner, deferrals, received_at, trying_since, \
         sender, recipients, smtp_utf8, header_from, subject, message_id, size, \"user\", dsn, account, may_steer, \
         way, bulk, share, begun_by, begun_at) \
         SELECT id, state, due_at, lease, lease_owner, 0, received_at, received_at, sender, recipients, smtp_utf8, \
         header_from, subject, message_id, size, \"user\", dsn, account, may_steer, way, bulk, share, begun_by, \
         CASE WHEN begun_by IS NOT NULL THEN received_at END FROM given \
         WHERE nr <= (SELECT n FROM room) AND (key IS NULL OR id IN (SELECT message FROM keys)) \
         ON CONFLICT (id) DO NOTHING RETURNING id), \
         content AS (INSERT INTO bodies (message, raw) \
         SELECT c.id, c.raw FROM unnest($1::uuid[], $22::bytea[], $24::bytea[]) WITH ORDINALITY AS c(id, raw, key, nr) \
         WHERE c.nr <= (SELECT n FROM room) AND (c.key IS NULL OR c.id IN (SELECT message FROM keys)) \
         ON CONFLICT (message) DO NOTHING) \
         SELECT room.n, kept.id FROM room LEFT JOIN kept ON true",
        open = tally::OPEN,
        remembered = REMEMBERED.as_millis(),
    )
}

const SEEN: &str = "SELECT key, request, message, at FROM submissions WHERE key = ANY($1::bytea[])";

/// Nobody has got it: it waits, or is claimed in the name in which it was born. What another instance has on its way
/// cannot be called back.
const FORGET: &str = "WITH gone AS (DELETE FROM messages AS m USING unnest($1::uuid[], $2::text[]) AS d(id, owner) \
     WHERE m.id = d.id AND (m.state = 0 OR (m.state = 1 AND m.lease = 1 AND m.lease_owner = d.owner)) RETURNING m.id), \
     keys AS (DELETE FROM submissions WHERE message IN (SELECT id FROM gone)) \
     DELETE FROM bodies WHERE message IN (SELECT id FROM gone)";

impl Trade for Inserts {
    type Job = Insert;
    type Tools = Tools;

    async fn prepare(client: &Client) -> Result<Tools, Error> {
        let sql = insert_sql();
        let (insert, seen) = tokio::join!(client.prepare(&sql), client.prepare(SEEN));
        Ok(Tools { insert: insert?, seen: seen? })
    }

    /// One of a key or an id at a time.
    fn portion(&self, jobs: &[Insert]) -> usize {
        let (mut ids, mut keys, mut bytes) = (HashSet::new(), HashSet::new(), 0);
        let fitting = jobs.iter().take(GROUP_JOBS_MAX).take_while(|job| {
            bytes += job.bytes();
            let once = job.entry.once.as_ref();
            bytes <= GROUP_BYTES_MAX
                && ids.insert(job.entry.message.id)
                && once.is_none_or(|once| keys.insert(once.key))
        });
        fitting.count().max(1)
    }

    async fn write(
        &mut self,
        client: &mut Client,
        tools: &Tools,
        jobs: &mut [Insert],
    ) -> Result<(), Error> {
        let (room, kept) = insert(client, &tools.insert, jobs, self.messages_max).await?;
        let earlier = seen(client, &tools.seen, jobs, &kept).await;
        let mut has_waiting = false;
        for (number, Insert { entry, answer }) in (1_i64..).zip(jobs) {
            let id = entry.message.id;
            // What was kept stays so, whatever became of the second question.
            answer.keep(if kept.contains(&id) {
                has_waiting |= entry.lease.is_none();
                Ok(())
            } else if let Some(answer) = entry.once.as_ref().and_then(|it| repeat(it, &earlier)) {
                Err(answer)
            } else if number > room {
                Err(StoreError::Full(self.messages_max))
            } else {
                Err(StoreError::Unavailable(format!("there is a message {id} already")))
            });
        }
        if has_waiting {
            (self.due)();
        }
        Ok(())
    }

    fn doubt(&mut self, jobs: &[Insert]) {
        self.doubted.extend(jobs.iter().map(|Insert { entry, .. }| {
            let owner = entry.lease.as_ref().map(|lease| Arc::clone(&lease.owner));
            (uuid(entry.message.id), owner)
        }));
    }

    async fn mend(&mut self, client: &mut Client) -> Result<(), Error> {
        if self.doubted.is_empty() {
            return Ok(());
        }
        let (ids, owners): (Vec<Uuid>, Vec<Option<&str>>) =
            self.doubted.iter().map(|(id, owner)| (*id, owner.as_deref())).unzip();
        let forgotten = client.execute(FORGET, &[&ids, &owners]).await?;
        if forgotten > 0 {
            tracing::warn!(messages = forgotten, "messages that nobody was promised were removed");
        }
        self.doubted.clear();
        Ok(())
    }
}

/// The columns of a group, as the statement takes them.
#[derive(Default)]
struct Columns<'a> {
    id: Vec<Uuid>,
    state: Vec<i16>,
    due_at: Vec<i64>,
    lease: Vec<i64>,
    lease_owner: Vec<Option<&'a str>>,
    received_at: Vec<i64>,
    sender: Vec<Option<&'a str>>,
    recipients: Vec<String>,
    smtp_utf8: Vec<bool>,
    header_from: Vec<Cow<'a, str>>,
    subject: Vec<Cow<'a, str>>,
    message_id: Vec<Cow<'a, str>>,
    size: Vec<i64>,
    user: Vec<Option<Cow<'a, str>>>,
    dsn: Vec<Option<String>>,
    account: Vec<Option<&'a [u8]>>,
    may_steer: Vec<bool>,
    way: Vec<&'a str>,
    bulk: Vec<bool>,
    share: Vec<i16>,
    begun_by: Vec<Option<&'a str>>,
    raw: Vec<&'a [u8]>,
    key: Vec<Option<&'a [u8]>>,
    request: Vec<Option<&'a [u8]>>,
    asked_at: Vec<Option<i64>>,
}

impl<'a> Columns<'a> {
    fn add(&mut self, entry: &'a Entry) {
        let Entry { message, way, lease, provider, once } = entry;
        let turn = Turn::of(message);
        let (state, number, due) = match lease {
            Some(lease) => (State::Sending, 1, lease.expires),
            None => (State::Queued, 0, message.received_at),
        };
        self.id.push(uuid(message.id));
        self.state.push(state as i16);
        self.due_at.push(millis(due));
        self.lease.push(number);
        self.lease_owner.push(lease.as_ref().map(|lease| &*lease.owner));
        self.received_at.push(millis(message.received_at));
        self.sender.push(message.envelope.sender.as_ref().map(Address::as_str));
        self.recipients.push(sure(rows::waiting_json(&message.envelope.recipients)));
        self.smtp_utf8.push(message.envelope.smtp_utf8);
        self.header_from.push(text(&message.index.header_from));
        self.subject.push(text(&message.index.subject));
        self.message_id.push(text(&message.index.message_id));
        self.size.push(signed(message.raw.len()));
        self.user.push(message.user.as_deref().map(text));
        self.dsn.push(message.envelope.dsn.as_deref().map(|dsn| sure(rows::to_json(dsn))));
        self.account.push(message.account.as_ref().map(|account| &*account.0));
        self.may_steer.push(message.may_steer);
        self.way.push(way.as_str());
        self.bulk.push(turn.bulk);
        // It is below SHARES.
        self.share.push(i16::try_from(turn.share).unwrap_or(i16::MAX));
        self.begun_by.push(provider.as_deref());
        self.raw.push(&message.raw);
        self.key.push(once.as_ref().map(|once| once.key.as_slice()));
        self.request.push(once.as_ref().map(|once| once.request.as_slice()));
        self.asked_at.push(once.as_ref().map(|once| millis(once.at)));
    }
}

/// Writes them. Returns for how many there was room, and which were kept.
async fn insert(
    client: &Client,
    statement: &Statement,
    jobs: &[Insert],
    messages_max: u64,
) -> Result<(i64, HashSet<QueueId>), Error> {
    let mut c = Columns::default();
    for job in jobs {
        c.add(&job.entry);
    }
    let messages_max = signed(messages_max);
    let found = client
        .query(
            statement,
            &[
                &c.id,
                &c.state,
                &c.due_at,
                &c.lease,
                &c.lease_owner,
                &c.received_at,
                &c.sender,
                &c.recipients,
                &c.smtp_utf8,
                &c.header_from,
                &c.subject,
                &c.message_id,
                &c.size,
                &c.user,
                &c.dsn,
                &c.account,
                &c.may_steer,
                &c.way,
                &c.bulk,
                &c.share,
                &c.begun_by,
                &c.raw,
                &messages_max,
                &c.key,
                &c.request,
                &c.asked_at,
            ],
        )
        .await?;
    let mut room = 0;
    let mut kept = HashSet::with_capacity(found.len());
    for row in &found {
        room = row.try_get(0)?;
        let id: Option<Uuid> = row.try_get(1)?;
        kept.extend(id.map(|id| QueueId::from_bytes(*id.as_bytes())));
    }
    Ok((room, kept))
}

/// Why a submission of this key was not kept, if the key is the reason.
fn repeat(once: &Once, earlier: &Result<Vec<(Once, QueueId)>, Error>) -> Option<StoreError> {
    match earlier {
        Ok(earlier) => {
            let (other, id) = earlier.iter().find(|(other, _)| other.key == once.key)?;
            once.seen(other, *id).map(StoreError::Seen)
        }
        Err(error) => Some(unavailable(error)),
    }
}

/// What is known of the keys of those that were not kept.
async fn seen(
    client: &Client,
    statement: &Statement,
    jobs: &[Insert],
    kept: &HashSet<QueueId>,
) -> Result<Vec<(Once, QueueId)>, Error> {
    let left = jobs.iter().filter(|job| !kept.contains(&job.entry.message.id));
    let keys: Vec<&[u8]> =
        left.filter_map(|job| Some(job.entry.once.as_ref()?.key.as_slice())).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut earlier = Vec::new();
    for row in client.query(statement, &[&keys]).await? {
        let (key, request): (&[u8], &[u8]) = (row.try_get(0)?, row.try_get(1)?);
        let (id, at): (Uuid, i64) = (row.try_get(2)?, row.try_get(3)?);
        // What is no digest is no key of ours.
        if let (Ok(key), Ok(request)) = (key.try_into(), request.try_into()) {
            let once = Once { key, request, at: rows::nearest_time(at) };
            earlier.push((once, QueueId::from_bytes(*id.as_bytes())));
        }
    }
    Ok(earlier)
}
