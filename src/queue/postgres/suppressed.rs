//! The list of addresses that get no mail.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::change::{Fault, change};
use super::connect::Connections;
use super::rows::{self, Unreadable};
use super::search::pattern;
use crate::clock::Timestamp;
use crate::message::Address;
use crate::queue::{
    StoreError, Suppression, SuppressionCursor, SuppressionFilter, SuppressionPage,
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

/// The list in the database.
#[derive(Debug)]
pub(super) struct List {
    connections: Connections,
    known: Known,
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
        Self { connections, known }
    }

    /// Looks whether there is anything on the list: at the start, and whenever somebody may have changed it.
    pub(super) async fn refresh(&self) -> Result<(), StoreError> {
        Ok(self.look().await?)
    }

    async fn look(&self) -> Result<(), Fault> {
        let begun_at = self.known.added();
        let client = self.connections.get().await?;
        let row = client.query_one(&client.prepare_cached(IS_FILLED).await?, &[]).await?;
        self.known.seen(rows::get(&row, 0)?, begun_at);
        Ok(())
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
        // Before the commit: afterwards nobody here may think that the list is empty.
        self.known.add();
        self.write(&entry).await
    }

    async fn remove(&self, address: &Address) -> Result<bool, StoreError> {
        let was_there = self.delete(&address.suppression_key()).await?;
        if was_there && let Err(error) = self.refresh().await {
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
