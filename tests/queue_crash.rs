//! A process that is killed in the middle of its work has kept every message that it had acknowledged.
//!
//! The test starts itself a second time as the victim, which puts messages in from many tasks and prints what was
//! acknowledged; then it kills the victim and looks into the file.

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::path::Path;
    use std::process::{Command, Stdio};
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;
    use mailferry::clock::{Clock as _, SystemClock, Timestamp};
    use mailferry::message::{Envelope, IndexFields, Message, QueueId};
    use mailferry::queue::{
        Claim, Entry, Lease, Next, RecipientState, Settlement, SqliteStore, State, Store as _,
    };

    const NAME: &str = "tests::a_killed_process_has_kept_each_acknowledged_message";
    const VICTIM: &str = "QUEUE_CRASH_FILE";
    const ROUNDS: usize = 6;

    #[test]
    fn a_killed_process_has_kept_each_acknowledged_message() {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        if let Some(path) = std::env::var_os(VICTIM) {
            return runtime.block_on(work_until_killed(Path::new(&path)));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("queue.db");
        let mut acknowledged = HashMap::new();
        for round in 0..ROUNDS {
            let news = kill_after(&path, 50 + round * 130);
            assert!(news.len() >= 50, "the victim worked");
            for (id, state) in news {
                // A settlement is acknowledged after its insert: the later word counts.
                let known = acknowledged.entry(id).or_insert(state);
                if state == State::Delivered {
                    *known = state;
                }
            }
            runtime.block_on(check(&path, &acknowledged));
        }
    }

    /// Starts a victim, kills it after that many acknowledgements, and returns all that it gave.
    fn kill_after(path: &Path, acknowledgements: usize) -> Vec<(QueueId, State)> {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", NAME, "--nocapture"])
            .env(VICTIM, path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(victim.stdout.take().unwrap()).lines();
        let mut news = Vec::new();
        for line in lines {
            // The test runner's own words, and a line that was cut by the kill, do not read as news.
            if let Some(entry) = read(&line.unwrap()) {
                news.push(entry);
                if news.len() == acknowledgements {
                    victim.kill().unwrap();
                }
            }
        }
        victim.wait().unwrap();
        news
    }

    fn read(line: &str) -> Option<(QueueId, State)> {
        let mut words = line.rsplit(' ');
        let state = match words.next()? {
            "kept." => State::Queued,
            "delivered." => State::Delivered,
            _ => return None,
        };
        Some((words.next()?.parse().ok()?, state))
    }

    async fn check(path: &Path, acknowledged: &HashMap<QueueId, State>) {
        let store = SqliteStore::open(path, u64::MAX).unwrap();
        for (id, state) in acknowledged {
            let details = store.show(*id).await.unwrap().expect("an acknowledged message is there");
            // What was under way when the process died is queued again, or was settled without a word.
            assert!(
                details.summary.state == *state || details.summary.state == State::Delivered,
                "{id} is {}",
                details.summary.state
            );
            assert_eq!(store.content(*id).await.unwrap(), Some(content(*id)));
        }
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.sending, counts.failed), (0, 0));
        drop(store);
        let file = rusqlite::Connection::open(path).unwrap();
        let verdict: String =
            file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }

    /// The victim: 16 tasks, each message inserted, every other one settled. Ends by itself if nobody kills it.
    async fn work_until_killed(path: &Path) {
        let store = Arc::new(SqliteStore::open(path, u64::MAX).unwrap());
        let tasks: Vec<_> = (0..16)
            .map(|_| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for n in 0..5_000 {
                        let now = SystemClock.now();
                        let message = Arc::new(message(now));
                        let expires = now + Duration::from_secs(300);
                        let lease = Lease { owner: Arc::from("victim"), expires };
                        store.insert(Entry::held(Arc::clone(&message), lease)).await.unwrap();
                        say(&format!("{} kept.", message.id));
                        if n % 2 == 0 {
                            let id = message.id;
                            let claim = Claim::fresh(message, 1);
                            store.settle(delivered(&claim, now)).await.unwrap();
                            say(&format!("{id} delivered."));
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }

    fn say(line: &str) {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").unwrap();
        out.flush().unwrap();
    }

    /// What only this message contains, of a length of its own.
    fn content(id: QueueId) -> Bytes {
        let line = format!("{id}\r\n");
        Bytes::from(line.repeat(1 + usize::from(id.as_bytes()[15])))
    }

    fn message(now: Timestamp) -> Message {
        let id = QueueId::new(now);
        Message {
            id,
            received_at: now,
            envelope: Envelope {
                sender: None,
                recipients: vec!["ada@example.net".parse().unwrap()],
                smtp_utf8: false,
                dsn: None,
            },
            raw: content(id),
            index: IndexFields::default(),
            user: None,
            account: None,
            may_steer: true,
        }
    }

    fn delivered(claim: &Claim, at: Timestamp) -> Settlement {
        let mut recipients = claim.recipients.clone();
        recipients[0].state = RecipientState::Delivered;
        Settlement {
            id: claim.message.id,
            lease: claim.lease,
            attempts: Vec::new(),
            recipients,
            next: Next::Delivered,
            at,
            unclear: false,
            way: None,
            usage: Vec::new(),
        }
    }
}
