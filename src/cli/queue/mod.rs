//! `mailferry queue`: looks at and acts on the queue, beside the running server.

mod change;
mod export;
mod find;
mod json;
mod migrate;
mod table;

pub use self::migrate::{Way, run as migrate};

use std::sync::Arc;

use bytes::Bytes;

use super::{Exit, QueueAction, QueueArgs, complain, out, out_raw};
use crate::clock::{Clock, SharedClock};
use crate::config::{self, Config, QueueUrl};
use crate::queue::{Filter, Store, StoreError};

/// Whether this can be asked of this configuration; if not, says why.
///
/// Looking must not make an empty queue where there is none: a wrong file name would look like "no mail".
pub fn check(args: &QueueArgs, config: &Config) -> Result<(), Exit> {
    if let Err(error) = check_usage(args, config) {
        complain(&format!("mailferry: {error}\n"));
        return Err(Exit::Usage);
    }
    let file = match &config.queue.url {
        QueueUrl::Sqlite(file) if !file.exists() => file,
        // A database says itself what is missing.
        QueueUrl::Sqlite(_) | QueueUrl::Postgres(_) => return Ok(()),
    };
    complain(&format!(
        "mailferry: there is no queue at {} (queue.url); is this the server's configuration and directory? \
         What `mailferry dev` catches is there only with --store\n",
        file.display()
    ));
    Err(Exit::Failed)
}

fn check_usage(args: &QueueArgs, config: &Config) -> Result<(), String> {
    match &args.action {
        QueueAction::Retry(retry) => {
            let known: Vec<&str> = config.providers.iter().map(|own| own.name.as_str()).collect();
            match retry.provider.as_deref().filter(|name| !known.contains(name)) {
                Some(name) => Err(config::unknown_name("provider", name, &known)),
                None => Ok(()),
            }
        }
        QueueAction::Export(args_of_it) => {
            export::usage(args_of_it, args.json).map_or(Ok(()), |fault| Err(fault.to_owned()))
        }
        QueueAction::List(_)
        | QueueAction::Show { .. }
        | QueueAction::Cancel { .. }
        | QueueAction::Migrate(_) => Ok(()),
    }
}

/// Does what is asked, and prints it. `opening` brings the store, and the clock that it goes by.
pub fn run(
    args: &QueueArgs,
    opening: impl Future<Output = Result<(Arc<dyn Store>, SharedClock), StoreError>>,
) -> Result<(), Exit> {
    let mut done = super::wait(async {
        match opening.await {
            Ok((store, clock)) => act(args, store.as_ref(), clock.as_ref()).await,
            Err(error) => Answer { errors: vec![error.to_string()], ..Answer::default() },
        }
    })?;
    if let Some(raw) = &done.raw
        && let Err(error) = out_raw(raw)
    {
        done.errors.push(format!("standard output cannot be written: {error}"));
    }
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
    /// A message as it is.
    raw: Option<Bytes>,
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
                Ok(page) => answer.text = table::page(&page, usize::from(list.limit)),
                Err(error) => answer.errors.push(error.to_string()),
            }
        }
        QueueAction::Show { id } => match find::all(store, id).await {
            Ok(found) if found.is_empty() => answer.errors.push(find::none(id)),
            Ok(found) if args.json => answer.text = found.iter().map(json::details).collect(),
            Ok(found) => {
                let texts = found.iter().map(|details| table::details(details, clock.now()));
                answer.text = texts.collect::<Vec<_>>().join("\n");
            }
            Err(error) => answer.errors.push(error.to_string()),
        },
        QueueAction::Retry(retry) => answer = change::retry(retry, store, clock, args.json).await,
        QueueAction::Cancel { id } => answer = change::cancel(id, store, clock, args.json).await,
        QueueAction::Export(all) => answer = export::export(all, store, args.json).await,
        // It opens two stores of its own, see `migrate`.
        QueueAction::Migrate(_) => {}
    }
    answer
}

impl Answer {
    /// One line for one message that was acted on.
    fn acted(&mut self, id: &str, done: Result<(), String>, what: &str, as_json: bool) {
        match (&done, as_json) {
            (Ok(()), false) => self.text.push_str(&format!("{id} {what}\n")),
            (Ok(()) | Err(_), true) => {
                self.text.push_str(&json::acted(id, done.as_ref().err().map(String::as_str)));
            }
            (Err(_), false) => {}
        }
        self.errors.extend(done.err());
    }
}

#[cfg(test)]
mod tests;
