//! `mailferry queue`: looks at and acts on the queue, beside the running server.

mod json;
mod table;

use std::sync::Arc;

use super::{Exit, QueueAction, QueueArgs, complain, out};
use crate::clock::Clock;
use crate::config::{Config, QueueUrl};
use crate::message::QueueId;
use crate::queue::{Details, Filter, Retry, State, Store, StoreError};

/// How many messages are read at a time, so that a long queue needs little memory.
const PAGE: usize = 500;

/// How many messages of one name are shown.
const NAMED_MAX: usize = 20;

/// Looking must not make an empty queue where there is none: a wrong file name would look like "no mail".
pub fn must_exist(config: &Config) -> Result<(), Exit> {
    let QueueUrl::Sqlite(file) = &config.queue.url;
    if file.exists() {
        return Ok(());
    }
    complain(&format!(
        "mailferry: there is no queue at {} (queue.url); is this the server's configuration and directory? \
         What `mailferry dev` catches is there only with --store\n",
        file.display()
    ));
    Err(Exit::Failed)
}

/// Does what is asked, and prints it.
pub fn run(
    args: &QueueArgs,
    store: Result<Arc<dyn Store>, StoreError>,
    clock: &dyn Clock,
) -> Result<(), Exit> {
    let done = match store {
        Ok(store) => super::wait(act(args, store.as_ref(), clock))?,
        Err(error) => Answer { text: String::new(), errors: vec![error.to_string()] },
    };
    out(&done.text);
    for error in &done.errors {
        complain(&format!("mailferry: {error}\n"));
    }
    if done.errors.is_empty() { Ok(()) } else { Err(Exit::Failed) }
}

/// What goes to standard output, and what went wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answer {
    text: String,
    errors: Vec<String>,
}

async fn act(args: &QueueArgs, store: &dyn Store, clock: &dyn Clock) -> Answer {
    let mut answer = Answer::default();
    match &args.action {
        QueueAction::List(list) => {
            let filter = Filter {
                state: list.state,
                provider: list.provider.clone(),
                name: None,
                text: list.search.clone(),
                before: list.before,
                limit: usize::from(list.limit),
            };
            match store.list(filter).await {
                Ok(page) if args.json => answer.text = json::page(&page),
                Ok(page) => answer.text = table::page(&page),
                Err(error) => answer.errors.push(error.to_string()),
            }
        }
        QueueAction::Show { id } => match named(store, id).await {
            Ok(found) if found.is_empty() => {
                answer.errors.push(format!("there is no message {id}"));
            }
            Ok(found) if args.json => answer.text = found.iter().map(json::details).collect(),
            Ok(found) => {
                let texts = found.iter().map(|details| table::details(details, clock.now()));
                answer.text = texts.collect::<Vec<_>>().join("\n");
            }
            Err(error) => answer.errors.push(error.to_string()),
        },
        QueueAction::Retry { id: ids, failed, provider } => {
            let ids = if *failed { all_failed(store).await } else { Ok(ids.clone()) };
            let ids = ids.unwrap_or_else(|error| {
                answer.errors.push(error.to_string());
                Vec::new()
            });
            for id in ids {
                let retry = Retry { provider: provider.clone(), ..Retry::default() };
                let done = store.retry(id, retry, clock.now()).await;
                answer.add(id, done, "is due now", args.json);
            }
        }
        QueueAction::Cancel { id: ids } => {
            for id in ids {
                let done = store.cancel(*id, clock.now()).await;
                answer.add(*id, done, "is cancelled", args.json);
            }
        }
    }
    answer
}

/// The messages of this name, newest first: one by its id in the queue, maybe several by a Message-ID.
async fn named(store: &dyn Store, name: &str) -> Result<Vec<Details>, StoreError> {
    // The ids of some providers look like ours.
    if let Ok(id) = name.parse()
        && let Some(details) = store.show(id).await?
    {
        return Ok(vec![details]);
    }
    let filter = Filter { name: Some(name.to_owned()), limit: NAMED_MAX, ..Filter::default() };
    let mut found = Vec::new();
    for summary in store.list(filter).await?.messages {
        found.extend(store.show(summary.id).await?);
    }
    Ok(found)
}

/// Every message that has failed, oldest first: the order in which they were to leave.
async fn all_failed(store: &dyn Store) -> Result<Vec<QueueId>, StoreError> {
    let mut ids = Vec::new();
    let mut before = None;
    loop {
        let filter =
            Filter { state: Some(State::Failed), before, limit: PAGE, ..Filter::default() };
        let page = store.list(filter).await?;
        ids.extend(page.messages.iter().map(|message| message.id));
        before = page.next;
        if before.is_none() {
            ids.reverse();
            return Ok(ids);
        }
    }
}

impl Answer {
    /// One line for one message that was acted on.
    fn add(&mut self, id: QueueId, done: Result<(), StoreError>, what: &str, as_json: bool) {
        match (&done, as_json) {
            (Ok(()), false) => self.text.push_str(&format!("{id} {what}\n")),
            (Ok(()) | Err(_), true) => self.text.push_str(&json::acted(id, done.as_ref().err())),
            (Err(_), false) => {}
        }
        if let Err(error) = done {
            self.errors.push(error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
