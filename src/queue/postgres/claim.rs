//! Handing out what is due, and saying when there will be something.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};
use uuid::Uuid;

use super::due;
use super::line::{Answer, Job};
use super::rows::{self, Unreadable, get, millis, signed, uuid};
use super::walk;
use super::writer::Trade;
use crate::clock::Timestamp;
use crate::message::{Envelope, IndexFields, Message, QueueId, SealedAccount};
use crate::queue::round::Rounds;
use crate::queue::rules::HISTORY_MAX;
use crate::queue::{BatchId, Claim, Doubt, Lease, Place, Portion, RecipientStatus, StoreError};

/// A question about what is due.
#[derive(Debug)]
pub(super) enum Wanted {
    Claim { portion: Portion, now: Timestamp, lease: Lease, answer: Answer<Vec<Claim>> },
    NextDue { portion: Portion, answer: Answer<Option<Timestamp>> },
}

impl Job for Wanted {
    fn bytes(&self) -> usize {
        0
    }

    fn is_unwanted(&self) -> bool {
        match self {
            Self::Claim { answer, .. } => answer.is_unwanted(),
            Self::NextDue { answer, .. } => answer.is_unwanted(),
        }
    }

    fn finish(self, verdict: Result<(), &StoreError>) {
        match self {
            Self::Claim { answer, .. } => answer.send(verdict),
            Self::NextDue { answer, .. } => answer.send(verdict),
        }
    }
}

/// Messages that are being made ours.
#[derive(Debug)]
struct Taking {
    ids: Vec<Uuid>,
    owner: Arc<str>,
    expires: i64,
    now: i64,
}

/// Hands out what is due.
#[derive(Default)]
pub(super) struct Claims {
    /// Whose turn it is at the next claim.
    rounds: Rounds,
    taking: Option<Taking>,
    /// What may have become ours without anybody knowing.
    doubted: Vec<Taking>,
}

/// The statements.
pub(super) struct Tools {
    walk: walk::Tools,
    take: Statement,
    commit: Statement,
    next_due: Statement,
}

/// Makes messages ours under the next number, and reads them as they are handed out.
pub(super) const TAKE: &str = "WITH ours AS (UPDATE messages SET state = 1, due_at = $2, lease = lease + 1, \
     lease_owner = $3 WHERE id = ANY($1::uuid[]) \
     RETURNING id, lease, deferrals, trying_since, pinned_provider, received_at, sender, recipients, smtp_utf8, \
     header_from, subject, message_id, \"user\", size, dsn, account, may_steer, bulk, begun_by, begun_at, batch, \
     place, batch_of) \
     SELECT o.*, b.raw, h.providers, h.outcomes FROM ours AS o LEFT JOIN bodies AS b ON b.message = o.id \
     LEFT JOIN LATERAL (SELECT array_agg(a.provider ORDER BY a.n) AS providers, \
     array_agg(a.outcome ORDER BY a.n) AS outcomes FROM (SELECT n, provider, outcome FROM attempts \
     WHERE message = o.id ORDER BY n DESC LIMIT $4) AS a) AS h ON true";

const FAIL: &str = "UPDATE messages SET state = 3, finished_at = $2, error = $3, lease_owner = NULL \
     WHERE id = $1 AND state = 1 AND lease_owner = $4 AND due_at = $5";

/// They are due at once, as if their leases had run out.
const LET_GO: &str = "UPDATE messages SET due_at = $4 WHERE id = ANY($1::uuid[]) AND state = 1 \
     AND lease_owner = $2 AND due_at = $3";

impl Trade for Claims {
    type Job = Wanted;
    type Tools = Tools;

    async fn prepare(client: &Client) -> Result<Tools, Error> {
        let (walk, take, commit, next_due) = tokio::join!(
            walk::Tools::prepare(client),
            client.prepare(TAKE),
            client.prepare("COMMIT"),
            client.prepare(due::NEXT_DUE),
        );
        Ok(Tools { walk: walk?, take: take?, commit: commit?, next_due: next_due? })
    }

    fn portion(&self, _jobs: &[Wanted]) -> usize {
        1
    }

    async fn write(
        &mut self,
        client: &mut Client,
        tools: &Tools,
        jobs: &mut [Wanted],
    ) -> Result<(), Error> {
        for job in jobs {
            match job {
                Wanted::Claim { portion, now, lease, answer } => {
                    let claims = self.claim(client, tools, portion, *now, lease).await;
                    if claims.is_err() {
                        self.taking = None;
                        // The error says more than a failure to take back what has failed.
                        let _ = client.batch_execute("ROLLBACK").await;
                    }
                    answer.keep(Ok(claims?));
                }
                Wanted::NextDue { portion, answer } => {
                    answer.keep(Ok(due::next_due(client, &tools.next_due, portion).await?));
                }
            }
        }
        Ok(())
    }

    fn doubt(&mut self, _jobs: &[Wanted]) {
        self.doubted.extend(self.taking.take());
    }

    async fn mend(&mut self, client: &mut Client) -> Result<(), Error> {
        for Taking { ids, owner, expires, now } in &self.doubted {
            client.execute(LET_GO, &[ids, &&**owner, expires, now]).await?;
        }
        self.doubted.clear();
        Ok(())
    }
}

impl Claims {
    /// Claims what is due, in turns.
    async fn claim(
        &mut self,
        client: &Client,
        tools: &Tools,
        portion: &Portion,
        now: Timestamp,
        lease: &Lease,
    ) -> Result<Vec<Claim>, Error> {
        if portion.messages() == 0 {
            return Ok(Vec::new());
        }
        let mut rounds = self.rounds.clone();
        let chosen = walk::choose(client, &tools.walk, &mut rounds, portion, now).await?;
        self.rounds = rounds;
        if chosen.is_empty() {
            client.batch_execute("ROLLBACK").await?;
            return Ok(Vec::new());
        }
        let ids: Vec<Uuid> = chosen.iter().map(|chosen| uuid(chosen.id)).collect();
        let (expires, owner) = (millis(lease.expires), &*lease.owner);
        let taking = Taking { ids, owner: Arc::clone(&lease.owner), expires, now: millis(now) };
        let ids = &self.taking.insert(taking).ids;
        let history = signed(HISTORY_MAX);
        let parameters: [&(dyn ToSql + Sync); 4] = [ids, &expires, &owner, &history];
        let (taken, commit) = tokio::join!(
            client.query(&tools.take, &parameters),
            client.execute(&tools.commit, &[]),
        );
        let taken = taken?;
        commit?;
        self.taking = None;

        let mut found: HashMap<QueueId, Result<Claim, Unreadable>> = HashMap::new();
        for row in &taken {
            let id: Uuid = row.try_get(0)?;
            let id = QueueId::from_bytes(*id.as_bytes());
            found.insert(id, read(id, row));
        }
        let mut claims = Vec::with_capacity(chosen.len());
        for id in chosen.iter().map(|chosen| chosen.id) {
            match found.remove(&id) {
                Some(Ok(claim)) => claims.push(claim),
                // A record that cannot be read must not stand in the way of all others for ever: it fails, with the reason.
                Some(Err(error)) => {
                    let problem = error.to_string();
                    tracing::error!(queue_id = %id, error = problem, "message failed");
                    let failed = client
                        .execute(FAIL, &[&uuid(id), &millis(now), &problem, &owner, &expires])
                        .await;
                    if let Err(error) = failed {
                        // Its lease runs out, and it is looked at again.
                        tracing::warn!(queue_id = %id, %error, "the failure was not recorded");
                    }
                }
                // Removed in this moment.
                None => {}
            }
        }
        Ok(claims)
    }
}

/// Reads a message as it is handed out.
fn read(id: QueueId, row: &Row) -> Result<Claim, Unreadable> {
    let raw: Option<&[u8]> = get(row, 23)?;
    let size = rows::unsigned(row, 13)?;
    // A message of which a piece is missing must not go out as if it were the message.
    let raw = raw
        .filter(|raw| raw.len() as u64 == size)
        .ok_or_else(|| Unreadable::new("its content is missing in the queue, or a part of it"))?;
    read_record(id, row, Bytes::copy_from_slice(raw))
        .map_err(|error| Unreadable::new(format!("its record cannot be read: {error}")))
}

fn read_record(id: QueueId, row: &Row, raw: Bytes) -> Result<Claim, Unreadable> {
    let recipients: Vec<RecipientStatus> = rows::json(row, 7)?;
    let deferrals: i32 = get(row, 2)?;
    let account: Option<Vec<u8>> = get(row, 15)?;
    let addresses = recipients.iter().map(|recipient| recipient.address.clone()).collect();
    Ok(Claim {
        lease: get(row, 1)?,
        deferrals: u32::try_from(deferrals).unwrap_or_default(),
        trying_since: rows::time(row, 3)?,
        pinned_provider: get(row, 4)?,
        history: history(row)?,
        message: Arc::new(Message {
            id,
            received_at: rows::time(row, 5)?,
            envelope: Envelope {
                sender: rows::sender(row, 6)?,
                recipients: addresses,
                smtp_utf8: get(row, 8)?,
                dsn: rows::json_or_none(row, 14)?.map(Box::new),
            },
            raw,
            index: IndexFields {
                header_from: get(row, 9)?,
                subject: get(row, 10)?,
                message_id: get(row, 11)?,
                bulk: get(row, 17)?,
            },
            user: get(row, 12)?,
            account: account.map(|seal| SealedAccount(seal.into())),
            may_steer: get(row, 16)?,
        }),
        recipients,
        doubt: doubt(row)?,
    })
}

fn doubt(row: &Row) -> Result<Option<Doubt>, Unreadable> {
    let Some(provider) = get(row, 18)? else { return Ok(None) };
    let batch: Option<Uuid> = get(row, 20)?;
    let place = match batch {
        Some(batch) => {
            let (number, of): (i32, i32) = (get(row, 21)?, get(row, 22)?);
            let count = |number: i32| u32::try_from(number).unwrap_or_default();
            let batch = BatchId(QueueId::from_bytes(*batch.as_bytes()));
            Some(Place { batch, number: count(number), of: count(of) })
        }
        None => None,
    };
    Ok(Some(Doubt { provider, since: rows::time(row, 19)?, place }))
}

/// The latest attempts, the oldest of them first.
fn history(row: &Row) -> Result<Vec<(String, crate::queue::Outcome)>, Unreadable> {
    let providers: Option<Vec<String>> = get(row, 24)?;
    let outcomes: Option<Vec<&str>> = get(row, 25)?;
    let pairs = providers.into_iter().flatten().zip(outcomes.into_iter().flatten());
    pairs.map(|(provider, outcome)| Ok((provider, rows::outcome(outcome)?))).collect()
}
