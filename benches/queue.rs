//! What the queue in a file costs: messages accepted and settled per second, the time and the CPU of each, and how a
//! large backlog starts and is handed out. `cargo bench --bench queue [FOLDER]`; the folder chooses the disk. With
//! `-- --million` only the last part is run: 1,000,000 messages of 1,000 senders that wait; with `-- --questions` what
//! lists and searches cost among 1,000, 100,000 and 1,000,000 messages.

mod questions;

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mailferry::clock::Timestamp;
use mailferry::message::{Envelope, IndexFields, Message, QueueId};
use mailferry::queue::{
    Attempt, Claim, Entry, Filter, Lease, Next, Outcome, Portion, RecipientState, Settlement,
    SqliteStore, State, Store, WayKey,
};
use tokio::time::Instant;

type Fault = Box<dyn std::error::Error + Send + Sync>;

const CONTENT: usize = 4096;
const BACKLOG: usize = 100_000;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result<(), Fault> {
    // `cargo test --all-targets` starts benchmarks as well, without this flag; it measures nothing.
    if !std::env::args().any(|argument| argument == "--bench") {
        return Ok(());
    }
    // Cargo adds flags of its own; the folder is the argument that is none.
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(folder)?;
    let mut out = io::stdout();
    if std::env::args().any(|argument| argument == "--million") {
        return crowd(&folder.path().join("crowd.db"), &mut out).await;
    }
    if std::env::args().any(|argument| argument == "--questions") {
        for messages in [1_000, 100_000, 1_000_000] {
            let path = folder.path().join(format!("{messages}.db"));
            questions::ask(&path, messages, &mut out).await?;
        }
        return Ok(());
    }

    let fsync = fdatasync_time(folder.path())?;
    writeln!(out, "fdatasync of 4 KiB: {fsync:?}")?;
    for (tasks, pairs) in [(1, 3_000), (16, 60_000), (100, 150_000)] {
        let path = folder.path().join(format!("{tasks}.db"));
        let store = Arc::new(SqliteStore::open(&path, 1_000_000)?);
        let (started, cpu) = (Instant::now(), cpu_time());
        let mut times = run(&store, tasks, pairs).await?;
        let (elapsed, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
        times.sort_unstable();
        writeln!(
            out,
            "{tasks:>3} tasks: {:>6.0} insert+settle/s, cpu {:>5.1} us each, insert p50 {:?} p99 {:?} max {:?}",
            times.len() as f64 / elapsed.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / times.len() as f64,
            times[times.len() / 2],
            times[times.len() * 99 / 100],
            times[times.len() - 1],
        )?;
    }
    steady(&folder.path().join("steady.db"), fsync, &mut out).await?;
    backlog(&folder.path().join("backlog.db"), &mut out).await
}

/// Inserts and settles `pairs` messages from that many tasks. Returns how long each insert took.
async fn run(store: &Arc<SqliteStore>, tasks: usize, pairs: usize) -> Result<Vec<Duration>, Fault> {
    let tasks: Vec<_> = (0..tasks)
        .map(|_| {
            let store = Arc::clone(store);
            tokio::spawn(async move {
                let mut times = Vec::new();
                for _ in 0..pairs / tasks {
                    let message = Arc::new(message());
                    let started = Instant::now();
                    store.insert(Entry::held(Arc::clone(&message), lease())).await?;
                    times.push(started.elapsed());
                    store.settle(delivered(&Claim::fresh(message, 1))).await?;
                }
                Ok::<_, Fault>(times)
            })
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.append(&mut task.await??);
    }
    Ok(times)
}

/// A calm load: 200 messages a second, however long each takes.
async fn steady(path: &Path, fsync: Duration, out: &mut impl io::Write) -> Result<(), Fault> {
    let store = Arc::new(SqliteStore::open(path, 1_000_000)?);
    let mut beat = tokio::time::interval(Duration::from_millis(5));
    let mut tasks = Vec::new();
    for _ in 0..3_000 {
        beat.tick().await;
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move { run(&store, 1, 1).await }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.append(&mut task.await??);
    }
    times.sort_unstable();
    let (p50, p99) = (times[times.len() / 2], times[times.len() * 99 / 100]);
    let ratio = p99.as_secs_f64() / fsync.as_secs_f64();
    writeln!(out, "200/s: insert p50 {p50:?} p99 {p99:?}, {ratio:.1} fdatasyncs")?;
    Ok(())
}

/// Fills a queue, starts it again and drains it.
async fn backlog(path: &Path, out: &mut impl io::Write) -> Result<(), Fault> {
    let store = Arc::new(SqliteStore::open(path, 1_000_000)?);
    let tasks: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                for _ in 0..BACKLOG / 100 {
                    store.insert(Entry::waiting(Arc::new(message()))).await?;
                }
                Ok::<_, Fault>(())
            })
        })
        .collect();
    for task in tasks {
        task.await??;
    }
    drop(store);

    let (started, memory) = (Instant::now(), resident_kib());
    let store = SqliteStore::open(path, 1_000_000)?;
    let elapsed = started.elapsed();
    writeln!(
        out,
        "open with {BACKLOG} waiting: {elapsed:?}, resident {memory} -> {} KiB",
        resident_kib()
    )?;
    let started = Instant::now();
    let counts = store.counts().await?;
    writeln!(out, "counts: {:?} ({} queued)", started.elapsed(), counts.queued)?;
    for (name, filter) in [
        ("newest", Filter { limit: 50, ..Filter::default() }),
        ("queued", Filter { state: Some(State::Queued), limit: 50, ..Filter::default() }),
        ("search", Filter { text: Some("nothing".to_owned()), ..Filter::default() }),
    ] {
        let started = Instant::now();
        let page = store.list(filter).await?;
        writeln!(out, "list {name}: {:?} ({} shown)", started.elapsed(), page.messages.len())?;
    }
    let filter = Filter { name: Some("nobody@app.example.org".to_owned()), ..Filter::default() };
    let started = Instant::now();
    store.list(filter).await?;
    writeln!(out, "search by name: {:?}", started.elapsed())?;
    drain(&store, &Portion::any(200, 4 << 20, 0), usize::MAX, "drain", out).await
}

/// Claims and settles up to so many messages.
async fn drain(
    store: &SqliteStore,
    portion: &Portion,
    messages: usize,
    name: &str,
    out: &mut impl io::Write,
) -> Result<(), Fault> {
    let (started, cpu) = (Instant::now(), cpu_time());
    let (mut drained, mut longest) = (0, Duration::ZERO);
    while drained < messages {
        let asked = Instant::now();
        let claims = store.claim(portion.clone(), future(), lease()).await?;
        longest = longest.max(asked.elapsed());
        if claims.is_empty() {
            break;
        }
        drained += claims.len();
        let settlements = claims.iter().map(|claim| store.settle(delivered(claim)));
        for settled in join_all(settlements).await {
            settled?;
        }
    }
    let (elapsed, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
    writeln!(
        out,
        "{name}: {:.0} claim+settle/s, cpu {:.1} us each, longest claim {longest:?}, resident {} KiB",
        f64::from(u32::try_from(drained)?) / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / drained as f64,
        resident_kib()
    )?;
    Ok(())
}

/// A million messages wait in one way: for a provider that is down, then to be handed out; beside a thousand in another
/// file, which is what it is compared with.
async fn crowd(path: &Path, out: &mut impl io::Write) -> Result<(), Fault> {
    let down = WayKey::new("down", 1);
    for waiting in [1_000, 1_000_000] {
        let path = path.with_extension(format!("{waiting}.db"));
        drop(SqliteStore::open(&path, 2_000_000)?);
        fill(&path, waiting, &down)?;
        let (started, memory) = (Instant::now(), resident_kib());
        let store = Arc::new(SqliteStore::open(&path, 2_000_000)?);
        writeln!(out, "{waiting} waiting: open {:?}", started.elapsed())?;
        for _ in 0..2 {
            let started = Instant::now();
            store.counts().await?;
            writeln!(out, "counts {:?}", started.elapsed())?;
        }
        let ways = BTreeMap::from([(down.clone(), 0)]);
        let closed = Portion { ways, ..Portion::any(200, 4 << 20, 0) };
        let started = Instant::now();
        store.claim(closed.clone(), now(), lease()).await?;
        writeln!(out, "claim, way closed: {:?}", started.elapsed())?;
        let any = Portion::any(200, 4 << 20, 0);
        let early = Timestamp::UNIX_EPOCH;
        for _ in 0..2 {
            let started = Instant::now();
            store.claim(any.clone(), early, lease()).await?;
            writeln!(out, "claim, nothing due: {:?}", started.elapsed())?;
        }
        let started = Instant::now();
        store.next_due(&any).await?;
        writeln!(out, "next_due: {:?}", started.elapsed())?;
        let (started, cpu) = (Instant::now(), cpu_time());
        let pairs = run(&store, 100, 50_000).await?.len();
        let (elapsed, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
        writeln!(
            out,
            "100 tasks: {:.0} insert+settle/s, cpu {:.1} us each",
            pairs as f64 / elapsed.as_secs_f64(),
            cpu.as_secs_f64() * 1e6 / pairs as f64
        )?;
        let some = usize::try_from(waiting)?.min(20_000);
        drain(&store, &any, some, "drain", out).await?;
        let started = Instant::now();
        store.counts().await?;
        writeln!(
            out,
            "counts after it {:?}, resident {memory} -> {} KiB",
            started.elapsed(),
            resident_kib()
        )?;
    }
    Ok(())
}

/// Writes so many messages of a thousand senders past the store, which would take its time.
fn fill(path: &Path, messages: u32, way: &WayKey) -> Result<(), Fault> {
    let file = rusqlite::Connection::open(path)?;
    let received_at = now().as_millisecond() - 3_600_000;
    file.execute_batch("PRAGMA synchronous = OFF; BEGIN")?;
    file.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) \
         INSERT INTO bodies (n, message, raw) SELECT i, \
         unhex(format('%012x7%03x8%015x', ?2 + i, i % 4096, i)), zeroblob(300) FROM n",
        (messages, received_at),
    )?;
    file.execute(
        "INSERT INTO messages (id, state, due_at, lease, deferrals, received_at, trying_since, sender, recipients, \
         smtp_utf8, header_from, subject, message_id, size, body, body_rows, way, bulk, share) \
         SELECT message, 0, ?1 + n, 0, 0, ?1 + n, ?1 + n, 'app@example.org', \
         '[{\"address\":\"ada.lovelace@example.net\",\"state\":\"queued\"}]', 0, \
         'The App <app@example.org>', 'Please confirm your address', n || '@app.example.org', 300, n, 1, \
         ?2, 0, (n * 7919) % 1000 FROM bodies",
        (received_at, way.as_str()),
    )?;
    file.execute_batch("COMMIT; PRAGMA wal_checkpoint(TRUNCATE)")?;
    Ok(())
}

/// Runs the futures together on this task.
async fn join_all<T>(futures: impl Iterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut done: Vec<Option<T>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, done) in futures.iter_mut().zip(&mut done) {
            if done.is_none()
                && let std::task::Poll::Ready(value) = future.as_mut().poll(context)
            {
                *done = Some(value);
            }
        }
        if done.iter().all(Option::is_some) {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    done.into_iter().flatten().collect()
}

#[expect(clippy::disallowed_methods, reason = "a measurement has real time")]
fn now() -> Timestamp {
    Timestamp::now()
}

fn future() -> Timestamp {
    now() + Duration::from_secs(3_600)
}

fn lease() -> Lease {
    Lease { owner: Arc::from("bench"), expires: now() + Duration::from_secs(300) }
}

fn message() -> Message {
    let received_at = now();
    let id = QueueId::new(received_at);
    Message {
        id,
        received_at,
        envelope: Envelope {
            sender: "app@example.org".parse().ok(),
            recipients: "ada.lovelace@example.net".parse().into_iter().collect(),
            smtp_utf8: false,
            dsn: None,
        },
        raw: Bytes::from(vec![b'x'; CONTENT]),
        index: IndexFields {
            header_from: "The App <app@example.org>".to_owned(),
            subject: "Please confirm your address".to_owned(),
            message_id: format!("{id}@app.example.org"),
            bulk: false,
        },
        user: None,
        account: None,
        may_steer: true,
    }
}

fn delivered(claim: &Claim) -> Settlement {
    let at = now();
    let mut recipients = claim.recipients.clone();
    for recipient in &mut recipients {
        recipient.state = RecipientState::Delivered;
    }
    Settlement {
        id: claim.message.id,
        lease: claim.lease,
        attempts: vec![Attempt {
            at,
            provider: "resend".to_owned(),
            outcome: Outcome::Delivered,
            error: None,
            provider_message_id: Some("49a3999c-0ce1-4ea6-ab68-afcd6dc2e794".to_owned()),
            latency_ms: 120,
            recipients: Vec::new(),
            together: Some(1),
            losses: Vec::new(),
        }],
        recipients,
        next: Next::Delivered,
        at,
        unclear: false,
        suspect: None,
        way: None,
        usage: Vec::new(),
    }
}

/// The median time of one small synced append: what a lone message cannot be faster than.
fn fdatasync_time(folder: &Path) -> io::Result<Duration> {
    let mut file = std::fs::File::create(folder.join("fsync"))?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        file.write_all(&[0; CONTENT])?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

/// CPU time of this process, user and system; zero where `/proc` is absent.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
    let ticks: u64 = fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

/// Resident memory of this process; zero where `/proc` is absent.
fn resident_kib() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: Option<u64> = statm.split_whitespace().nth(1).and_then(|pages| pages.parse().ok());
    pages.unwrap_or(0) * 4
}
