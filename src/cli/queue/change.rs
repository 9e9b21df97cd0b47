//! Retry and cancellation.

use super::{Answer, find, json};
use crate::cli::RetryArgs;
use crate::clock::Clock;
use crate::message::Address;
use crate::queue::{Filter, Retried, Retry, State, Store, StoreError, is_only_suppressed};

/// How many messages are read at a time, so that a long queue needs little memory.
const PAGE: usize = 500;

/// What a retry of everything that failed has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AllFailed {
    pub(super) retried: u64,
    pub(super) in_doubt: u64,
    pub(super) without_content: u64,
    /// Left alone for another reason, which was said.
    pub(super) refused: u64,
}

pub(super) async fn retry(
    args: &RetryArgs,
    store: &dyn Store,
    clock: &dyn Clock,
    as_json: bool,
) -> Answer {
    let mut answer = Answer::default();
    if args.failed {
        let mut done = AllFailed::default();
        let read = match &args.provider {
            None => retry_failed(store, clock, &mut done).await,
            Some(name) => retry_failed_by(name, store, clock, &mut done, &mut answer.errors).await,
        };
        answer.errors.extend(read.err().map(|error| error.to_string()));
        done.tell(&mut answer, as_json);
        return answer;
    }
    let retry =
        Retry { provider: args.provider.clone(), recipients: Address::distinct(args.to.clone()) };
    for name in &args.id {
        match find::one(store, name).await {
            Ok(id) => {
                let done = store.retry(id, retry.clone(), clock.now()).await;
                answer.acted(
                    &id.to_string(),
                    done.map_err(|e| e.to_string()),
                    "is due now",
                    as_json,
                );
            }
            Err(error) => answer.acted(name, Err(error), "", as_json),
        }
    }
    answer
}

pub(super) async fn cancel(
    names: &[String],
    store: &dyn Store,
    clock: &dyn Clock,
    as_json: bool,
) -> Answer {
    let mut answer = Answer::default();
    for name in names {
        match find::one(store, name).await {
            Ok(id) => {
                let done = store.cancel(id, clock.now()).await.map_err(|error| error.to_string());
                answer.acted(&id.to_string(), done, "is cancelled", as_json);
            }
            Err(error) => answer.acted(name, Err(error), "", as_json),
        }
    }
    answer
}

/// By their routes, slice by slice.
async fn retry_failed(
    store: &dyn Store,
    clock: &dyn Clock,
    done: &mut AllFailed,
) -> Result<(), StoreError> {
    let mut before = None;
    loop {
        let Retried { retried, in_doubt, without_content, next } =
            store.retry_failed(before, clock.now()).await?;
        done.retried += retried;
        done.in_doubt += in_doubt;
        done.without_content += without_content;
        before = next;
        if before.is_none() {
            return Ok(());
        }
    }
}

/// By this provider, one after the other. A message that fails anew meanwhile is not found again: the way is from the
/// newest to the oldest.
async fn retry_failed_by(
    provider: &str,
    store: &dyn Store,
    clock: &dyn Clock,
    done: &mut AllFailed,
    errors: &mut Vec<String>,
) -> Result<(), StoreError> {
    let mut before = None;
    loop {
        let filter =
            Filter { state: Some(State::Failed), before, limit: PAGE, ..Filter::default() };
        let page = store.list(filter).await?;
        for summary in &page.messages {
            if summary.in_doubt {
                done.in_doubt += 1;
                continue;
            }
            if is_only_suppressed(&summary.recipients) {
                continue;
            }
            let retry = Retry { provider: Some(provider.to_owned()), ..Retry::default() };
            match store.retry(summary.id, retry, clock.now()).await {
                Ok(()) => done.retried += 1,
                Err(StoreError::ContentGone(_)) => done.without_content += 1,
                Err(error @ StoreError::Unavailable(_)) => return Err(error),
                // Somebody else was faster.
                Err(StoreError::NotFound(_)) => {}
                Err(
                    error @ (StoreError::WrongState { .. }
                    | StoreError::LeaseLost(_)
                    | StoreError::Seen(_)
                    | StoreError::Full(_)),
                ) => {
                    done.refused += 1;
                    errors.push(error.to_string());
                }
            }
        }
        before = page.next;
        if before.is_none() {
            return Ok(());
        }
    }
}

impl AllFailed {
    /// What was done goes to standard output, what was not is an error: the caller asked for all.
    fn tell(&self, answer: &mut Answer, as_json: bool) {
        if self.in_doubt > 0 {
            answer.errors.push(format!(
                "{} may have arrived and {} left alone: `mailferry queue list --state failed` shows which; \
                 retry one by its id to have it sent nevertheless",
                messages(self.in_doubt),
                was(self.in_doubt)
            ));
        }
        if self.without_content > 0 {
            answer.errors.push(format!(
                "{} {} left alone: the content is not kept any more",
                messages(self.without_content),
                was(self.without_content)
            ));
        }
        let ok = answer.errors.is_empty();
        if as_json {
            answer.text.push_str(&json::all_failed(self, ok));
        } else if *self == Self::default() && ok {
            answer.text.push_str("no message has failed\n");
        } else {
            let verb = if self.retried == 1 { "is" } else { "are" };
            answer.text.push_str(&format!("{} {verb} due now\n", messages(self.retried)));
        }
    }
}

/// `1 failed message`, `3 failed messages`.
fn messages(count: u64) -> String {
    format!("{count} failed message{}", if count == 1 { "" } else { "s" })
}

fn was(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}
