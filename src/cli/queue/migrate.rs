//! `mailferry queue migrate`: the whole queue goes to another store.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::{Exit, MigrateArgs, complain, out, wait};
use super::json;
use crate::clock::{Clock, Timestamp};
use crate::config::QueueUrl;
use crate::queue::StoreError;
use crate::queue::moving::{AsideKind, Ends, Movable, MoveError, Step, Summary, migrate};

/// A line about the progress is written after so many seconds.
const TELL_EVERY: i64 = 2;

/// From where to where.
#[derive(Clone, Debug)]
pub struct Way {
    pub from: QueueUrl,
    pub to: QueueUrl,
    again: bool,
    as_json: bool,
}

impl Way {
    /// Reads it; if it makes no sense, says why.
    pub fn read(args: &MigrateArgs, as_json: bool) -> Result<Self, Exit> {
        let read = |option: &str, url: &str| {
            QueueUrl::read(url).map_err(|problem| {
                complain(&format!("mailferry: {option}: {problem}\n"));
                Exit::Usage
            })
        };
        let (from, to) = (read("--from", args.from.expose())?, read("--to", args.to.expose())?);
        if from == to {
            complain("mailferry: --from and --to are the same queue\n");
            return Err(Exit::Usage);
        }
        Ok(Self { from, to, again: args.again, as_json })
    }
}

/// Moves everything, and says what was done and what is left to be done by hand. The target is not opened, and so not
/// made, when the source cannot be.
pub fn run(
    way: &Way,
    source: impl Future<Output = Result<Box<dyn Movable>, StoreError>>,
    target: impl Future<Output = Result<Box<dyn Movable>, StoreError>>,
    clock: &dyn Clock,
) -> Result<(), Exit> {
    let moving = async {
        let failed = |option: &str, error: StoreError| format!("{option}: {}", bare(&error));
        let source = source.await.map_err(|error| failed("--from", error))?;
        let target = target.await.map_err(|error| failed("--to", error))?;
        let (source_place, target_place) = (source.place().to_owned(), target.place().to_owned());
        let mut progress = Progress { told: clock.now(), clock };
        let ends = Ends { source: &*source, target: &*target, again: way.again };
        let done = migrate_and_close(ends, clock, &mut progress).await;
        let summary = done.map_err(|error| explain(&error))?;
        Ok((source_place, target_place, summary))
    };
    let done: Result<_, String> = wait(moving)?;
    match done {
        Ok((from, to, summary)) => {
            if way.as_json {
                out(&json::line(&MovedJson::new(&from, &to, &summary)));
            } else {
                out(&told(&from, &to, &summary));
            }
            if summary.accounts > 0 {
                complain(&about_keys(way, summary.accounts));
            }
            Ok(())
        }
        Err(error) => {
            if way.as_json {
                out(&json::line(&FailedJson { ok: false, error: &error }));
            }
            complain(&format!("mailferry: {error}\n"));
            Err(Exit::Failed)
        }
    }
}

async fn migrate_and_close(
    ends: Ends<'_>,
    clock: &dyn Clock,
    progress: &mut Progress<'_>,
) -> Result<Summary, MoveError> {
    let summary = migrate(ends, clock, &mut |step| progress.tell(step)).await?;
    for store in [ends.source, ends.target] {
        let place = store.place().to_owned();
        store.close().await.map_err(|error| MoveError::Store { place, error })?;
    }
    Ok(summary)
}

/// The cause without the words that say once more that the store cannot be used.
fn bare(error: &StoreError) -> String {
    match error {
        StoreError::Unavailable(cause) => cause.clone(),
        error @ (StoreError::NotFound(_)
        | StoreError::WrongState { .. }
        | StoreError::ContentGone(_)
        | StoreError::LeaseLost(_)
        | StoreError::Seen(_)
        | StoreError::Full(_)) => error.to_string(),
    }
}

fn explain(error: &MoveError) -> String {
    match error {
        MoveError::NotMoved(_) | MoveError::InUse { .. } => error.to_string(),
        MoveError::Store { place, error } => {
            format!("{place}: {}; what was copied is kept: run this again to go on", bare(error))
        }
    }
}

/// Says now and then how far it is.
struct Progress<'a> {
    told: Timestamp,
    clock: &'a dyn Clock,
}

impl Progress<'_> {
    fn tell(&mut self, step: Step) {
        let now = self.clock.now();
        if now.as_second().saturating_sub(self.told.as_second()) < TELL_EVERY {
            return;
        }
        self.told = now;
        complain(&match step {
            Step::Messages { done, of } => format!("mailferry: {done} of {of} messages\n"),
            Step::Aside { kind, done } => format!("mailferry: {done} {}\n", named(kind)),
        });
    }
}

fn named(kind: AsideKind) -> &'static str {
    match kind {
        AsideKind::Suppressions => "suppressed addresses",
        AsideKind::Usage => "hours of quotas",
        AsideKind::Counters => "counters",
        AsideKind::Submissions => "idempotency keys",
    }
}

/// What was done, for a person.
fn told(from: &str, to: &str, summary: &Summary) -> String {
    if summary.was_done {
        return format!("{from} was moved to {to} before; there is nothing left to do\n");
    }
    let Summary { messages, open, added, updated, ended, suppressions, .. } = *summary;
    let is = if messages == 1 { "message is" } else { "messages are" };
    let mut text = format!(
        "{messages} {is} in {to}, {open} of them still to be sent; {added} new there, {updated} brought up to date, \
         {suppressions} suppressed addresses\n"
    );
    if ended > 0 {
        text.push_str(&format!(
            "{ended} that waited there are cancelled: they were finished here, and are not kept any more\n"
        ));
    }
    text.push_str(&format!(
        "No server starts on {from} any more. Set queue.url to {to}, and start it there.\n"
    ));
    text
}

/// What to do that credentials which clients have brought can be read in the new place.
fn about_keys(way: &Way, accounts: u64) -> String {
    let key_of = |url: &QueueUrl| match url {
        QueueUrl::Sqlite(file) => Some(beside(file)),
        QueueUrl::Postgres(_) => None,
    };
    let source = key_of(&way.from).filter(|file| file.exists());
    let what = match (source, key_of(&way.to)) {
        (Some(here), Some(there)) => {
            format!("copy {} to {}, unless queue.seal_key is set", here.display(), there.display())
        }
        (Some(here), None) => format!(
            "set queue.seal_key to what `base64 -w0 {}` prints, unless it is set already",
            here.display()
        ),
        (None, _) => "keep queue.seal_key in the configuration as it is".to_owned(),
    };
    let hold = if accounts == 1 { "message that waits holds" } else { "messages that wait hold" };
    format!(
        "warning: {accounts} {hold} the credentials of their clients under lock; the key has to come along: {what}\n"
    )
}

/// The key file that a queue in a file has.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".key");
    name.into()
}

#[derive(Serialize)]
struct MovedJson<'a> {
    ok: bool,
    from: &'a str,
    to: &'a str,
    already_moved: bool,
    messages: u64,
    open: u64,
    added: u64,
    updated: u64,
    ended: u64,
    bytes: u64,
    accounts: u64,
    suppressions: u64,
    usage: u64,
    counters: u64,
    idempotency_keys: u64,
}

impl<'a> MovedJson<'a> {
    fn new(from: &'a str, to: &'a str, summary: &Summary) -> Self {
        Self {
            ok: true,
            from,
            to,
            already_moved: summary.was_done,
            messages: summary.messages,
            open: summary.open,
            added: summary.added,
            updated: summary.updated,
            ended: summary.ended,
            bytes: summary.octets,
            accounts: summary.accounts,
            suppressions: summary.suppressions,
            usage: summary.usage,
            counters: summary.counters,
            idempotency_keys: summary.submissions,
        }
    }
}

#[derive(Serialize)]
struct FailedJson<'a> {
    ok: bool,
    error: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn way(from: &str, to: &str) -> Result<Way, Exit> {
        let args = MigrateArgs { from: Secret::new(from), to: Secret::new(to), again: false };
        Way::read(&args, false)
    }

    #[test]
    fn what_is_no_queue_is_a_fault_of_usage() {
        assert_eq!(way("sqlite:", "sqlite:b.db").unwrap_err(), Exit::Usage);
        assert_eq!(way("sqlite:a.db", "mysql://db/x").unwrap_err(), Exit::Usage);
        assert_eq!(way("sqlite:a.db", "sqlite:a.db").unwrap_err(), Exit::Usage);
        assert!(way("sqlite:a.db", "sqlite:b.db").is_ok());
    }

    #[test]
    fn what_was_done_is_told_in_numbers_and_says_what_comes_next() {
        let summary =
            Summary { messages: 12, open: 3, added: 10, updated: 2, ..Summary::default() };
        let text = told("sqlite:/a.db", "sqlite:/b.db", &summary);
        assert!(
            text.starts_with("12 messages are in sqlite:/b.db, 3 of them still to be sent"),
            "{text}"
        );
        assert!(text.contains("10 new there, 2 brought up to date"), "{text}");
        assert!(text.contains("Set queue.url to sqlite:/b.db"), "{text}");
        assert!(!text.contains("cancelled"), "{text}");
        let before = Summary { was_done: true, ..Summary::default() };
        assert!(told("a", "b", &before).contains("nothing left to do"));
    }

    #[test]
    fn the_key_has_to_come_along() {
        let folder = tempfile::tempdir().unwrap();
        let url = |name: &str| format!("sqlite:{}", folder.path().join(name).display());
        let here = way(&url("a.db"), &url("b.db")).unwrap();
        assert!(about_keys(&here, 1).contains("keep queue.seal_key"), "no key file is there");
        std::fs::write(folder.path().join("a.db.key"), [7; 32]).unwrap();
        let text = about_keys(&here, 2);
        assert!(text.contains("a.db.key to ") && text.contains("b.db.key"), "{text}");
    }
}
