//! The list of addresses that get no mail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::timeout;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use tokio_util::task::AbortOnDropHandle;

use super::change::{Fault, change};
use super::connect::Connections;
use super::rows::{self, Unreadable};
use super::search::pattern;
use crate::clock::Timestamp;
use crate::message::Address;
use crate::queue::{
    News, StoreError, Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage,
    SuppressionReason, Suppressions, rules,
};

const IS_FILLED: &str = "SELECT EXISTS (SELECT FROM suppressions)";

/// True when it is new.
const ADD: &str = "INSERT INTO suppressions AS s (mailbox, address, reason, note, since) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (mailbox) DO UPDATE SET address = excluded.address, reason = excluded.reason, note = excluded.note, \
     since = excluded.since RETURNING xmax = 0";

const REMOVE: &str = "DELETE FROM suppressions WHERE mailbox = $1";

/// Tells all instances, with the commit.
const TELL: &str = "WITH told AS \
     (UPDATE versions SET version = version + 1 WHERE topic = 'suppressions' RETURNING version) \
     SELECT pg_notify('mailferry', 'suppressions') FROM told";

const AMONG: &str =
    "SELECT mailbox, address, reason, note, since FROM suppressions WHERE mailbox = ANY($1)";

/// Between two looks whether there is anything on the list, when nobody says that it has changed.
const LOOK: Duration = Duration::from_secs(1);

/// The list in the database.
#[derive(Debug)]
pub(super) struct List {
    connections: Connections,
    known: Arc<Known>,
    follower: OnceLock<AbortOnDropHandle<()>>,
}

/// What is known of the list without a look at it.
#[derive(Debug)]
struct Known {
    is_filled: AtomicBool,
    /// Counts what this instance has put there, so that a look that began before does not say that there is nothing.
    added: Mutex<u64>,
}

impl Known {
    fn added(&self) -> u64 {
        *self.added.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self) {
        *self.added.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.is_filled.store(true, Ordering::Release);
    }

    /// What a look has found that began when so many had been added.
    fn seen(&self, is_filled: bool, begun_at: u64) {
        let added = self.added.lock().unwrap_or_else(PoisonError::into_inner);
        if is_filled || *added == begun_at {
            self.is_filled.store(is_filled, Ordering::Release);
        }
    }
}

impl List {
    /// Until it was looked at, there may be something on it.
    pub(super) fn new(connections: Connections) -> Self {
        let known = Known { is_filled: AtomicBool::new(true), added: Mutex::new(0) };
        Self { connections, known: Arc::new(known), follower: OnceLock::new() }
    }

    /// Looks whether there is anything on the list.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        Ok(look(&self.connections, &self.known).await?)
    }

    /// From now on it is known within a second whether there is anything on the list.
    pub(super) fn follow(&self, news: broadcast::Receiver<News>) {
        let (connections, known) = (self.connections.clone(), Arc::clone(&self.known));
        self.follower
            .get_or_init(|| AbortOnDropHandle::new(tokio::spawn(follow(connections, known, news))));
    }

    async fn write(&self, entry: &Suppression) -> Result<bool, StoreError> {
        let Suppression { address, reason, note, since } = entry;
        let note = note.as_deref().map(rows::text);
        let parameters: &[&(dyn ToSql + Sync); 5] = &[
            &address.suppression_key(),
            &address.as_str(),
            &reason.name(),
            &note.as_deref(),
            &rows::millis(*since),
        ];
        change(move || {
            Box::pin(async move {
                let mut client = self.connections.get().await?;
                let transaction = client.transaction().await?;
                let add = transaction.prepare_cached(ADD).await?;
                let row = transaction.query_one(&add, parameters).await?;
                transaction.query_one(&transaction.prepare_cached(TELL).await?, &[]).await?;
                transaction.commit().await?;
                Ok(rows::get(&row, 0)?)
            })
        })
        .await
    }

    async fn delete(&self, mailbox: &str) -> Result<bool, StoreError> {
        change(move || {
            Box::pin(async move {
                let mut client = self.connections.get().await?;
                let transaction = client.transaction().await?;
                let remove = transaction.prepare_cached(REMOVE).await?;
                if transaction.execute(&remove, &[&mailbox]).await? == 0 {
                    return Ok(false);
                }
                transaction.query_one(&transaction.prepare_cached(TELL).await?, &[]).await?;
                transaction.commit().await?;
                Ok(true)
            })
        })
        .await
    }

    async fn page(&self, filter: &SuppressionFilter) -> Result<SuppressionPage, Fault> {
        let length = rules::page_length(filter.limit);
        // One more than the page holds tells whether there is another.
        let limit = rows::signed(length + 1);
        let mut conditions = String::new();
        let mut parameters: Vec<&(dyn ToSql + Sync)> = vec![&limit];
        let reason = filter.reason.map(SuppressionReason::name);
        if let Some(reason) = &reason {
            parameters.push(reason);
            conditions.push_str(&format!(" AND reason = ${}", parameters.len()));
        }
        let text = rules::search_text(filter.text.as_deref()).map(|text| pattern(&text));
        if let Some(text) = &text {
            parameters.push(text);
            let number = parameters.len();
            conditions.push_str(&format!(" AND lower(address COLLATE \"C\") LIKE ${number}"));
        }
        let before = filter
            .before
            .as_ref()
            .map(|cursor| (rows::millis(cursor.since), rows::text(&cursor.key)));
        if let Some((since, key)) = &before {
            parameters.push(since);
            parameters.push(key);
            let (since, key) = (parameters.len() - 1, parameters.len());
            conditions.push_str(&format!(" AND (since, mailbox) < (${since}, ${key})"));
        }
        let sql = format!(
            "SELECT mailbox, address, reason, note, since FROM suppressions WHERE true{conditions} \
             ORDER BY since DESC, mailbox DESC LIMIT $1"
        );
        let client = self.connections.get().await?;
        let found = client.query(&client.prepare_cached(&sql).await?, &parameters).await?;
        let mut found: Vec<(String, Suppression)> =
            found.iter().map(entry).collect::<Result<_, _>>()?;
        let more = found.len() > length;
        found.truncate(length);
        let next = found
            .last()
            .filter(|_| more)
            .map(|(key, entry)| SuppressionCursor { since: entry.since, key: key.clone() });
        Ok(SuppressionPage { entries: found.into_iter().map(|(_, entry)| entry).collect(), next })
    }

    async fn find(&self, addresses: &[Address]) -> Result<Vec<Suppression>, Fault> {
        let keys: Vec<String> = addresses.iter().map(Address::suppression_key).collect();
        let client = self.connections.get().await?;
        let found = client.query(&client.prepare_cached(AMONG).await?, &[&keys]).await?;
        let mut entries = Vec::new();
        for (address, key) in addresses.iter().zip(&keys) {
            for row in &found {
                if rows::get::<&str>(row, 0)? == key {
                    // What it says may be unreadable, written by a later version perhaps; that it is there is certain.
                    entries.push(entry(row).map_or_else(|_| bare(address), |(_, entry)| entry));
                }
            }
        }
        Ok(entries)
    }
}

#[async_trait]
impl Suppressions for List {
    fn is_empty(&self) -> bool {
        !self.known.is_filled.load(Ordering::Acquire)
    }

    async fn add(&self, entry: Suppression) -> Result<bool, StoreError> {
        let is_new = self.write(&entry).await;
        // Whether or not it is known that it is there: a look that began before must not say that there is nothing.
        self.known.add();
        is_new
    }

    async fn remove(&self, address: &Address) -> Result<bool, StoreError> {
        let was_there = self.delete(&address.suppression_key()).await?;
        if was_there && let Err(error) = self.look().await {
            // It is looked at again and again; until then every recipient is looked for.
            tracing::debug!(%error, "list of suppressed addresses not looked at");
        }
        Ok(was_there)
    }

    async fn list(&self, filter: SuppressionFilter) -> Result<SuppressionPage, StoreError> {
        Ok(self.page(&filter).await?)
    }

    async fn among(&self, addresses: Vec<Address>) -> Result<Vec<Suppression>, StoreError> {
        Ok(self.find(&addresses).await?)
    }
}

/// Looks again and again, and whenever somebody has changed something.
async fn follow(connections: Connections, known: Arc<Known>, mut news: broadcast::Receiver<News>) {
    loop {
        if let Err(error) = look(&connections, &known).await {
            // What was known stays; who needs the database says so himself.
            let error = StoreError::from(error);
            tracing::debug!(%error, "list of suppressed addresses not looked at");
        }
        let changed = async {
            loop {
                match news.recv().await {
                    Ok(News::Suppressions | News::Missed) | Err(RecvError::Lagged(_)) => return,
                    Ok(News::Standing(_) | News::Due | News::Changed(_) | News::Renamed) => {}
                    Err(RecvError::Closed) => std::future::pending().await,
                }
            }
        };
        // The time over is as good a reason as any.
        let _ = timeout(LOOK, changed).await;
    }
}

/// Looks whether there is anything on the list.
async fn look(connections: &Connections, known: &Known) -> Result<(), Fault> {
    let begun_at = known.added();
    let client = connections.get().await?;
    let row = client.query_one(&client.prepare_cached(IS_FILLED).await?, &[]).await?;
    known.seen(rows::get(&row, 0)?, begun_at);
    Ok(())
}

/// An entry of this address that says nothing.
fn bare(address: &Address) -> Suppression {
    Suppression {
        address: address.clone(),
        reason: SuppressionReason::Manual,
        note: Some("the entry cannot be read".to_owned()),
        since: Timestamp::default(),
    }
}

/// An entry with its key.
fn entry(row: &Row) -> Result<(String, Suppression), Unreadable> {
    let suppression = Suppression {
        address: rows::parsed(row, 1, "an address")?,
        reason: rows::parsed(row, 2, "a reason")?,
        note: rows::get(row, 3)?,
        since: rows::time(row, 4)?,
    };
    Ok((rows::get(row, 0)?, suppression))
}
