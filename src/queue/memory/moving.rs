//! Moving from or to the store in memory, for tests.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::MemoryStore;
use super::aside::{Counters, List, hold};
use super::record::Record as Kept;
use crate::clock::Timestamp;
use crate::message::{Address, Envelope, IndexFields, Message, QueueId, SealedAccount};
use crate::queue::moving::{
    ASIDE_SLICE, Aside, AsideKind, Call, ENDED_ELSEWHERE, Judgement, Mark, Movable, Passage,
    Record, Sketch, StoreId, Taken, judge,
};
use crate::queue::{
    Attempt, BatchId, Doubt, Once, Outcome, Place, RecipientStatus, Sample, Spread, State,
    StoreError, Suppression, Turn, WayKey, rules,
};

/// A store in memory, opened to be moved.
#[derive(Debug)]
pub(in crate::queue) struct MemoryMover {
    store: Arc<MemoryStore>,
    id: StoreId,
    place: String,
    mark: Mutex<Option<Mark>>,
}

impl MemoryMover {
    /// Under this name and number.
    pub(in crate::queue) fn new(store: Arc<MemoryStore>, number: u8) -> Self {
        let place = format!("memory:{number}");
        Self { store, id: StoreId([number; 16]), place, mark: Mutex::default() }
    }

    fn held(&self) -> MutexGuard<'_, Option<Mark>> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Movable for MemoryMover {
    fn id(&self) -> StoreId {
        self.id
    }

    fn place(&self) -> &str {
        &self.place
    }

    async fn mark(&self) -> Result<Option<Mark>, StoreError> {
        Ok(self.held().clone())
    }

    async fn set_mark(&self, mark: Option<Mark>) -> Result<(), StoreError> {
        match mark.as_ref().map(|mark| mark.passage) {
            Some(Passage::Leaving | Passage::Gone) => {
                self.store.restart();
            }
            Some(Passage::Returning) => {
                hold(&self.store.list.0).clear();
                hold(&self.store.counters.0).clear();
                let mut queue = self.store.queue();
                queue.usage.clear();
                queue.once.clear();
            }
            Some(Passage::Arriving) | None => {}
        }
        *self.held() = mark;
        Ok(())
    }

    async fn in_use(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn count(&self) -> Result<u64, StoreError> {
        Ok(self.store.queue().records.len() as u64)
    }

    async fn sketches(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<Sketch>, StoreError> {
        let queue = self.store.queue();
        let behind = queue.records.iter().filter(|(id, _)| after.is_none_or(|after| **id > after));
        behind.take(limit).map(|(_, kept)| Ok(give(kept)?.sketch())).collect()
    }

    async fn sketches_of(&self, ids: Vec<QueueId>) -> Result<Vec<Sketch>, StoreError> {
        Ok(self.read(ids).await?.iter().map(Record::sketch).collect())
    }

    async fn read(&self, ids: Vec<QueueId>) -> Result<Vec<Record>, StoreError> {
        let queue = self.store.queue();
        ids.iter().filter_map(|id| queue.records.get(id)).map(give).collect()
    }

    async fn write(&self, records: Vec<Record>) -> Result<Taken, StoreError> {
        let mut queue = self.store.queue();
        let mut taken = Taken::default();
        for record in records {
            let there = queue.records.get(&record.id).map(give).transpose()?;
            match judge(&record.sketch(), there.as_ref().map(Record::sketch).as_ref()) {
                Judgement::Add => {
                    queue.add(take(record)?);
                    taken.added += 1;
                }
                Judgement::Replace => {
                    let kept = take(record)?;
                    queue.change(kept.message.id, |there| *there = kept);
                    taken.updated += 1;
                }
                Judgement::Keep => {}
            }
        }
        Ok(taken)
    }

    async fn end_others(
        &self,
        after: Option<QueueId>,
        upto: Option<QueueId>,
        known: Vec<QueueId>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let known: HashSet<QueueId> = known.into_iter().collect();
        let mut queue = self.store.queue();
        let is_between =
            |id: &QueueId| after.is_none_or(|a| *id > a) && upto.is_none_or(|b| *id <= b);
        let others: Vec<QueueId> = queue.open.iter().copied().filter(is_between).collect();
        let mut ended = 0;
        for id in others.into_iter().filter(|id| !known.contains(id)) {
            queue.change(id, |kept| {
                rules::stop(&mut kept.recipients);
                kept.state = State::Cancelled;
                kept.finished = Some(now);
                kept.error = Some(ENDED_ELSEWHERE.to_owned());
                kept.begun = None;
            });
            ended += 1;
        }
        Ok(ended)
    }

    async fn read_aside(
        &self,
        kind: AsideKind,
        after: Option<Aside>,
    ) -> Result<Vec<Aside>, StoreError> {
        let mut all = match kind {
            AsideKind::Suppressions => give_list(&self.store.list),
            AsideKind::Counters => give_counters(&self.store.counters)?,
            AsideKind::Usage => {
                let usage = self.store.queue().usage.clone();
                let row = |((hour, provider), recipients): ((i64, String), u64)| Aside::Usage {
                    hour,
                    provider,
                    recipients: i64::try_from(recipients).unwrap_or(i64::MAX),
                };
                usage.into_iter().map(row).collect()
            }
            AsideKind::Submissions => {
                let queue = self.store.queue();
                let mut rows: Vec<_> = queue.once.values().cloned().collect();
                rows.sort_by_key(|(once, _)| once.key);
                let row = |(once, id): (Once, QueueId)| Aside::Submission {
                    key: once.key,
                    request: once.request,
                    message: *id.as_bytes(),
                    at: once.at.as_millisecond(),
                };
                rows.into_iter().map(row).collect()
            }
        };
        let begin = after.and_then(|last| all.iter().position(|row| *row == last));
        let rest = all.split_off(begin.map_or(0, |at| at + 1));
        Ok(rest.into_iter().take(ASIDE_SLICE).collect())
    }

    async fn write_aside(&self, slice: Vec<Aside>) -> Result<(), StoreError> {
        for row in slice {
            match row {
                Aside::Suppression { mailbox, address, reason, note, since } => {
                    let entry = Suppression {
                        address: address.parse().map_err(|_| unreadable(&address))?,
                        reason: reason.parse().map_err(|_| unreadable(&reason))?,
                        note,
                        since: time(since)?,
                    };
                    let mut list = hold(&self.store.list.0);
                    if list.get(&mailbox).is_none_or(|there| there.since <= entry.since) {
                        list.insert(mailbox, entry);
                    }
                }
                Aside::Counter { grain, ref provider, at, .. } => {
                    let (key, coming) = ((grain, at, provider.clone()), take_counter(row)?);
                    let mut counters = hold(&self.store.counters.0);
                    let messages =
                        |one: &Sample| one.received + one.delivered + one.failed + one.cancelled;
                    if counters.get(&key).is_none_or(|it| messages(it) <= messages(&coming)) {
                        counters.insert(key, coming);
                    }
                }
                Aside::Usage { hour, provider, recipients } => {
                    let mut queue = self.store.queue();
                    let there = queue.usage.entry((hour, provider)).or_default();
                    *there = (*there).max(u64::try_from(recipients).unwrap_or_default());
                }
                Aside::Submission { key, request, message, at } => {
                    let once = Once { key, request, at: time(at)? };
                    let mut queue = self.store.queue();
                    let there = queue.once.get(&key);
                    if there.is_none_or(|(there, _)| there.at <= once.at) {
                        queue.once.insert(key, (once, QueueId::from_bytes(message)));
                    }
                }
            }
        }
        Ok(())
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A record as a row.
fn give(kept: &Kept) -> Result<Record, StoreError> {
    let Kept { message, begun, .. } = kept;
    let place = begun.as_ref().and_then(|doubt| doubt.place);
    let calls = kept.attempts.iter().map(|attempt| {
        Ok(Call {
            at: attempt.at.as_millisecond(),
            provider: attempt.provider.clone(),
            outcome: attempt.outcome.name().to_owned(),
            error: attempt.error.clone(),
            provider_message_id: attempt.provider_message_id.clone(),
            latency_ms: i64::try_from(attempt.latency_ms).unwrap_or(i64::MAX),
            recipients: list(&attempt.recipients)?,
            losses: list(&attempt.losses)?,
            together: attempt.together,
        })
    });
    Ok(Record {
        id: message.id,
        state: kept.state,
        due_at: kept.due.as_millisecond(),
        lease: kept.lease,
        deferrals: kept.deferrals,
        received_at: message.received_at.as_millisecond(),
        trying_since: kept.trying_since.as_millisecond(),
        finished_at: kept.finished.map(Timestamp::as_millisecond),
        sender: message.envelope.sender.as_ref().map(|sender| sender.as_str().to_owned()),
        recipients: json(&kept.recipients)?,
        smtp_utf8: message.envelope.smtp_utf8,
        header_from: message.index.header_from.clone(),
        subject: message.index.subject.clone(),
        message_id: message.index.message_id.clone(),
        size: i64::try_from(kept.size).unwrap_or(i64::MAX),
        user: message.user.clone(),
        provider: kept.provider.clone(),
        provider_message_id: kept.provider_message_id.clone(),
        error: kept.error.clone(),
        pinned_provider: kept.pinned_provider.clone(),
        dsn: message.envelope.dsn.as_deref().map(json).transpose()?,
        account: message.account.as_ref().map(|account| account.0.to_vec()),
        may_steer: message.may_steer,
        way: kept.way.as_str().to_owned(),
        bulk: kept.turn.bulk,
        share: kept.turn.share,
        begun_by: begun.as_ref().map(|doubt| doubt.provider.clone()),
        begun_at: begun.as_ref().map(|doubt| doubt.since.as_millisecond()),
        batch: place.map(|place| *place.batch.0.as_bytes()),
        place: place.map(|place| place.number),
        batch_of: place.map(|place| place.of),
        content: kept.has_content.then(|| message.raw.clone()),
        attempts: calls.collect::<Result<_, StoreError>>()?,
    })
}

/// A row as a record.
fn take(row: Record) -> Result<Kept, StoreError> {
    let recipients: Vec<RecipientStatus> = parsed(&row.recipients)?;
    let addresses = recipients.iter().map(|recipient| recipient.address.clone()).collect();
    let attempts = row.attempts.into_iter().map(|call| {
        Ok(Attempt {
            at: time(call.at)?,
            provider: call.provider,
            outcome: Outcome::from_name(&call.outcome).ok_or_else(|| unreadable(&call.outcome))?,
            error: call.error,
            provider_message_id: call.provider_message_id,
            latency_ms: u64::try_from(call.latency_ms).unwrap_or_default(),
            recipients: call.recipients.as_deref().map(parsed).transpose()?.unwrap_or_default(),
            losses: call.losses.as_deref().map(parsed).transpose()?.unwrap_or_default(),
            together: call.together,
        })
    });
    let place = row.batch.zip(row.place).zip(row.batch_of).map(|((batch, number), of)| Place {
        batch: BatchId(QueueId::from_bytes(batch)),
        number,
        of,
    });
    let begun = row
        .begun_by
        .zip(row.begun_at)
        .map(|(provider, at)| Ok::<_, StoreError>(Doubt { provider, since: time(at)?, place }));
    let sender = row.sender.as_deref().map(str::parse::<Address>).transpose();
    Ok(Kept {
        size: u64::try_from(row.size).unwrap_or_default(),
        has_content: row.content.is_some(),
        state: row.state,
        due: time(row.due_at)?,
        lease: row.lease,
        deferrals: row.deferrals,
        trying_since: time(row.trying_since)?,
        finished: row.finished_at.map(time).transpose()?,
        provider: row.provider,
        provider_message_id: row.provider_message_id,
        error: row.error,
        pinned_provider: row.pinned_provider,
        attempts: attempts.collect::<Result<_, StoreError>>()?,
        way: WayKey::from_text(&row.way),
        turn: Turn { bulk: row.bulk, share: row.share },
        begun: begun.transpose()?,
        message: Arc::new(Message {
            id: row.id,
            received_at: time(row.received_at)?,
            envelope: Envelope {
                sender: sender.map_err(|error| unreadable(&error.to_string()))?,
                recipients: addresses,
                smtp_utf8: row.smtp_utf8,
                dsn: row.dsn.as_deref().map(parsed).transpose()?.map(Box::new),
            },
            raw: row.content.unwrap_or_default(),
            index: IndexFields {
                header_from: row.header_from,
                subject: row.subject,
                message_id: row.message_id,
                bulk: row.bulk,
            },
            user: row.user,
            account: row.account.map(|account| SealedAccount(Bytes::from(account))),
            may_steer: row.may_steer,
        }),
        recipients,
        owner: None,
    })
}

fn give_list(list: &List) -> Vec<Aside> {
    let row = |(mailbox, entry): (&String, &Suppression)| Aside::Suppression {
        mailbox: mailbox.clone(),
        address: entry.address.as_str().to_owned(),
        reason: entry.reason.name().to_owned(),
        note: entry.note.clone(),
        since: entry.since.as_millisecond(),
    };
    hold(&list.0).iter().map(row).collect()
}

fn give_counters(counters: &Counters) -> Result<Vec<Aside>, StoreError> {
    let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let row = |((grain, at, provider), sum): (&(i64, i64, String), &Sample)| {
        let calls: BTreeMap<&str, u64> =
            sum.attempts.iter().map(|(outcome, calls)| (outcome.name(), *calls)).collect();
        let counts = sum.latency.counts();
        let used = counts.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        Ok(Aside::Counter {
            grain: *grain,
            at: *at,
            provider: provider.clone(),
            received: number(sum.received),
            delivered: number(sum.delivered),
            failed: number(sum.failed),
            cancelled: number(sum.cancelled),
            attempts: json(&calls)?,
            latency: json(&counts[..used].to_vec())?,
        })
    };
    hold(&counters.0).iter().map(row).collect()
}

fn take_counter(row: Aside) -> Result<Sample, StoreError> {
    let Aside::Counter {
        at,
        provider,
        received,
        delivered,
        failed,
        cancelled,
        attempts,
        latency,
        ..
    } = row
    else {
        return Err(unreadable("no counter"));
    };
    let number = |count: i64| u64::try_from(count).unwrap_or_default();
    let calls: BTreeMap<String, u64> = parsed(&attempts)?;
    let known = |(name, calls): (String, u64)| Some((Outcome::from_name(&name)?, calls));
    Ok(Sample {
        at,
        provider,
        received: number(received),
        delivered: number(delivered),
        failed: number(failed),
        cancelled: number(cancelled),
        attempts: calls.into_iter().filter_map(known).collect(),
        latency: Spread::from_counts(parsed::<Vec<u64>>(&latency)?),
    })
}

fn time(millis: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_millisecond(millis).map_err(|error| unreadable(&error.to_string()))
}

fn json(value: &impl Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| unreadable(&error.to_string()))
}

fn parsed<T: DeserializeOwned>(text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|error| unreadable(&error.to_string()))
}

fn unreadable(problem: &str) -> StoreError {
    StoreError::Unavailable(format!("a record cannot be read: {problem}"))
}

/// Nothing when it is empty, as the other stores keep it.
fn list<T: Serialize>(list: &[T]) -> Result<Option<String>, StoreError> {
    (!list.is_empty()).then(|| json(&list)).transpose()
}
