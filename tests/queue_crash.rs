//! A process that is killed in the middle of its work has kept every message that it had acknowledged.
//!
//! The test starts itself a second time as the victim, which puts messages in from many tasks and prints what was
//! acknowledged; then it kills the victim and looks into the file. What the victim had begun to send is in doubt then,
//! and a batch is settled as a whole or not at all.

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
        BatchId, Claim, Entry, Lease, Next, Portion, RecipientState, Settlement, SqliteStore,
        Start, State, Store as _,
    };

    const NAME: &str = "tests::a_killed_process_has_kept_each_acknowledged_message";
    const VICTIM: &str = "QUEUE_CRASH_FILE";
    const ROUNDS: usize = 6;
    /// Members of each batch.
    const MEMBERS: u32 = 5;

    /// What the victim has said of a message, in this order.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
    enum News {
        Kept,
        Begun,
        Delivered,
    }

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
            for (id, word) in news {
                // The later word counts.
                let known = acknowledged.entry(id).or_insert(word);
                *known = word.max(*known);
            }
            runtime.block_on(check(&path, &mut acknowledged));
        }
    }

    /// Starts a victim, kills it after that many acknowledgements, and returns all that it gave.
    fn kill_after(path: &Path, acknowledgements: usize) -> Vec<(QueueId, News)> {
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

    fn read(line: &str) -> Option<(QueueId, News)> {
        let mut words = line.rsplit(' ');
        let word = match words.next()? {
            "kept." => News::Kept,
            "begun." => News::Begun,
            "delivered." => News::Delivered,
            _ => return None,
        };
        Some((words.next()?.parse().ok()?, word))
    }

    async fn check(path: &Path, acknowledged: &mut HashMap<QueueId, News>) {
        let store = SqliteStore::open(path, u64::MAX).unwrap();
        for (id, word) in acknowledged.iter() {
            let details = store.show(*id).await.unwrap().expect("an acknowledged message is there");
            // What was under way when the process died is queued again, or was settled without a word.
            let state = details.summary.state;
            match word {
                News::Delivered => assert_eq!(state, State::Delivered, "{id}"),
                News::Kept => {
                    assert!(matches!(state, State::Queued | State::Delivered), "{id} is {state}");
                }
                News::Begun => assert!(
                    state == State::Delivered || details.summary.in_doubt,
                    "{id} is {state}, and nobody knows that it may have arrived"
                ),
            }
            assert_eq!(store.content(*id).await.unwrap(), Some(content(*id)));
        }
        let counts = store.counts().await.unwrap();
        assert_eq!((counts.sending, counts.failed), (0, 0));
        repeat_batches(&store, acknowledged).await;
        drop(store);
        let file = rusqlite::Connection::open(path).unwrap();
        let verdict: String =
            file.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(verdict, "ok");
    }

    /// Claims all that is left and settles it, as a daemon does after a crash: batches come back whole, in their order.
    async fn repeat_batches(store: &SqliteStore, acknowledged: &mut HashMap<QueueId, News>) {
        let now = SystemClock.now();
        let lease = Lease { owner: Arc::from("heir"), expires: now + Duration::from_secs(300) };
        let portion = Portion::any(100_000, u64::MAX, usize::MAX);
        let claims = store.claim(portion, now, lease).await.unwrap();
        assert_eq!(store.counts().await.unwrap().queued, 0, "all of it");
        let mut claims = claims.iter();
        let mut settlements = Vec::new();
        while let Some(claim) = claims.next() {
            settlements.push(delivered(claim, now));
            let Some(place) = claim.doubt.as_ref().and_then(|doubt| doubt.place) else { continue };
            assert_eq!((place.number, place.of), (0, MEMBERS), "whole, from its beginning");
            for number in 1..place.of {
                let member = claims.next().expect("the batch is whole");
                let of = member.doubt.as_ref().and_then(|doubt| doubt.place).unwrap();
                assert_eq!((of.batch, of.number), (place.batch, number));
                settlements.push(delivered(member, now));
            }
        }
        for settlement in &settlements {
            acknowledged.insert(settlement.id, News::Delivered);
        }
        for settled in store.settle_all(settlements).await.unwrap() {
            settled.unwrap();
        }
    }

    /// The victim: 12 tasks with single messages, 4 with batches. Ends by itself if nobody kills it.
    async fn work_until_killed(path: &Path) {
        let store = Arc::new(SqliteStore::open(path, u64::MAX).unwrap());
        let tasks: Vec<_> = (0..16)
            .map(|n| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    if n % 4 == 0 { batches(&store).await } else { singles(&store).await }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    }

    /// Each message inserted, two of three begun, every third one settled.
    async fn singles(store: &SqliteStore) {
        for n in 0..5_000 {
            let claim = insert(store).await;
            let id = claim.message.id;
            if n % 3 > 0 {
                store.begin(start(std::slice::from_ref(&claim), None)).await.unwrap();
                say(&format!("{id} begun."));
            }
            if n % 3 > 1 {
                store.settle(delivered(&claim, SystemClock.now())).await.unwrap();
                say(&format!("{id} delivered."));
            }
        }
    }

    /// Messages that are begun together and settled together.
    async fn batches(store: &SqliteStore) {
        for _ in 0..1_000 {
            let mut claims = Vec::new();
            for _ in 0..MEMBERS {
                claims.push(insert(store).await);
            }
            let batch = BatchId(claims[0].message.id);
            store.begin(start(&claims, Some(batch))).await.unwrap();
            for claim in &claims {
                say(&format!("{} begun.", claim.message.id));
            }
            let now = SystemClock.now();
            let settlements = claims.iter().map(|claim| delivered(claim, now)).collect();
            for settled in store.settle_all(settlements).await.unwrap() {
                settled.unwrap();
            }
            for claim in &claims {
                say(&format!("{} delivered.", claim.message.id));
            }
        }
    }

    async fn insert(store: &SqliteStore) -> Claim {
        let now = SystemClock.now();
        let message = Arc::new(message(now));
        let expires = now + Duration::from_secs(300);
        let lease = Lease { owner: Arc::from("victim"), expires };
        store.insert(Entry::held(Arc::clone(&message), lease)).await.unwrap();
        say(&format!("{} kept.", message.id));
        Claim::fresh(message, 1)
    }

    fn start(claims: &[Claim], batch: Option<BatchId>) -> Start {
        let claims = claims.iter().map(|claim| (claim.message.id, claim.lease)).collect();
        Start { claims, provider: "resend".to_owned(), batch, at: SystemClock.now() }
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
            suspect: None,
            way: None,
            usage: Vec::new(),
        }
    }
}
