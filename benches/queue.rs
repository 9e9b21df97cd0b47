//! What the queue in a file costs: messages accepted and settled per second, the time and the CPU of each, and how a
//! large backlog starts and is handed out. `cargo bench --bench queue [FOLDER]`; the folder chooses the disk.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mailferry::clock::Timestamp;
use mailferry::message::{Envelope, IndexFields, Message, QueueId};
use mailferry::queue::{
    Attempt, Claim, Entry, Filter, Lease, Next, Outcome, Portion, RecipientState, Settlement,
    SqliteStore, State, Store,
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
    let (started, cpu) = (Instant::now(), cpu_time());
    let mut drained = 0;
    let portion = Portion::any(200, 4 << 20, 0);
    loop {
        let claims = store.claim(portion.clone(), future(), lease()).await?;
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
        "drain: {:.0} claim+settle/s, cpu {:.1} us each, resident {} KiB",
        f64::from(u32::try_from(drained)?) / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / drained as f64,
        resident_kib()
    )?;
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
            losses: Vec::new(),
        }],
        recipients,
        next: Next::Delivered,
        at,
        unclear: false,
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
