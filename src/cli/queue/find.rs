//! Messages by the names that people have at hand: the queue's id, the Message-ID, what a provider called them.

use crate::message::QueueId;
use crate::queue::{Details, Filter, Store, StoreError};

/// How many messages of one name are shown.
const NAMED_MAX: usize = 20;

/// The messages of this name, newest first: one by its id in the queue, maybe several by a Message-ID.
pub(super) async fn all(store: &dyn Store, name: &str) -> Result<Vec<Details>, StoreError> {
    // The ids of some providers look like ours.
    if let Ok(id) = name.trim().parse()
        && let Some(details) = store.show(id).await?
    {
        return Ok(vec![details]);
    }
    let mut found = Vec::new();
    for id in named(store, name).await? {
        found.extend(store.show(id).await?);
    }
    Ok(found)
}

/// The one message of this name, for something that is done to it; else why there is none.
pub(super) async fn one(store: &dyn Store, name: &str) -> Result<QueueId, String> {
    if let Ok(id) = name.trim().parse()
        && store.show(id).await.map_err(|error| error.to_string())?.is_some()
    {
        return Ok(id);
    }
    let found = named(store, name).await.map_err(|error| error.to_string())?;
    match found.as_slice() {
        [] => Err(none(name)),
        [only] => Ok(*only),
        [newest, ..] => {
            let count = found.len();
            let count = if count < NAMED_MAX { count.to_string() } else { "many".to_owned() };
            Err(format!(
                "{count} messages are called {name}, the newest is {newest}: \
                 `mailferry queue show` has them all, use the id of one"
            ))
        }
    }
}

/// That there is nobody of this name.
pub(super) fn none(name: &str) -> String {
    format!("there is no message {}", crate::cli::output::tidy(name, 200))
}

async fn named(store: &dyn Store, name: &str) -> Result<Vec<QueueId>, StoreError> {
    // A blank name is no condition, and would find everything.
    if name.trim().is_empty() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    let mut filter = Filter { name: Some(name.to_owned()), ..Filter::default() };
    loop {
        filter.limit = NAMED_MAX - found.len();
        let page = store.list(filter.clone()).await?;
        found.extend(page.messages.iter().map(|summary| summary.id));
        // A page may be short and have a next one: who acts on the only one of a name must know that it is.
        if page.next.is_none() || found.len() >= NAMED_MAX {
            return Ok(found);
        }
        filter.before = page.next;
    }
}
