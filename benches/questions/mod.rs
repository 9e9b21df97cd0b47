//! What people ask of a large queue: lists, searches, one message, counters. Most messages are delivered, a few thousand
//! wait or have failed; one provider had a handful.

use std::io;
use std::path::Path;
use std::time::Duration;

use mailferry::message::QueueId;
use mailferry::queue::{Filter, Grain, Outcome, Sample, Spread, SqliteStore, State, Store};
use tokio::time::Instant;

use super::{Fault, cpu_time, now, resident_kib};

/// How often each question is asked.
const TIMES: u32 = 20;

/// Asks them, first in front of the index, then behind it.
pub(super) async fn ask(path: &Path, messages: u32, out: &mut impl io::Write) -> Result<(), Fault> {
    drop(SqliteStore::open(path, 2_000_000)?);
    fill(path, messages)?;
    let before = std::fs::metadata(path)?.len();
    let store = SqliteStore::open(path, 2_000_000)?;
    writeln!(out, "{messages} messages, {} MiB; nothing is indexed", before >> 20)?;
    lists(&store, messages, out).await?;
    let (started, cpu) = (Instant::now(), cpu_time());
    indexed(path, messages).await?;
    let (elapsed, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
    writeln!(
        out,
        "indexed in {elapsed:.0?}, cpu {:.1} us each, resident {} KiB",
        cpu.as_secs_f64() * 1e6 / f64::from(messages),
        resident_kib()
    )?;
    lists(&store, messages, out).await?;
    counters(&store, out).await?;
    store.close().await;
    let after = std::fs::metadata(path)?.len();
    writeln!(
        out,
        "the index has {} octets for each message",
        (after - before) / u64::from(messages)
    )?;
    Ok(())
}

async fn lists(store: &SqliteStore, messages: u32, out: &mut impl io::Write) -> Result<(), Fault> {
    let page = || Filter { limit: 50, ..Filter::default() };
    let text = |text: &str| Filter { text: Some(text.to_owned()), ..page() };
    let by = |provider: &str| Filter { provider: Some(provider.to_owned()), ..page() };
    let is = |state| Filter { state: Some(state), ..page() };
    let middle = id(messages / 2);
    let questions = [
        ("newest", page()),
        (
            "1,000 pages deep",
            Filter { before: Some(id(messages.saturating_sub(50_000))), ..page() },
        ),
        ("queued", is(State::Queued)),
        ("failed", is(State::Failed)),
        ("delivered", is(State::Delivered)),
        ("delivered, from the middle", Filter { before: Some(middle), ..is(State::Delivered) }),
        ("provider, common", by("resend")),
        ("provider, rare", by("ses")),
        ("provider, unknown", by("nobody")),
        ("text of all", text("confirm")),
        ("text of all, from the middle", Filter { before: Some(middle), ..text("confirm") }),
        ("text of all and failed", Filter { state: Some(State::Failed), ..text("confirm") }),
        ("text of all and rare provider", Filter { text: text("confirm").text, ..by("ses") }),
        ("text of one", text("customer 123457 ")),
        ("text of none", text("no such thing")),
        ("text of none, common parts", text("example.net.example.org")),
        ("two characters, of none", text("zq")),
        ("Message-ID", text(&format!("<{}@app.example.org>", messages / 3))),
        ("part of a provider's id", text(&format!("-4ea6-{:012}", messages / 4))),
    ];
    for (name, filter) in questions {
        let (mut longest, started) = (Duration::ZERO, Instant::now());
        let mut answer = "";
        for _ in 0..TIMES {
            let asked = Instant::now();
            let page = store.list(filter.clone()).await?;
            longest = longest.max(asked.elapsed());
            answer = match (page.messages.len(), page.next) {
                (50, _) => "full",
                (0, None) => "none",
                (0, Some(_)) => "none so far",
                (_, None) => "all there are",
                (_, Some(_)) => "some so far",
            };
        }
        let mean = started.elapsed() / TIMES;
        writeln!(out, "  {name:<30} {mean:>10.2?}, longest {longest:>10.2?}  {answer}")?;
    }
    let started = Instant::now();
    for n in 0..TIMES {
        store.show(id(messages / 2 + n)).await?;
    }
    writeln!(out, "  {:<30} {:>10.2?}", "one message", started.elapsed() / TIMES)?;
    let started = Instant::now();
    for _ in 0..TIMES {
        store.counts().await?;
    }
    writeln!(out, "  {:<30} {:>10.2?}", "counts", started.elapsed() / TIMES)?;
    Ok(())
}

/// Counters of three providers, by the minute for a day and by the hour for a month.
async fn counters(store: &SqliteStore, out: &mut impl io::Write) -> Result<(), Fault> {
    let to = now().as_second();
    let mut latency = Spread::default();
    (0..200).for_each(|n| latency.add(n * 7));
    let sample = |at, provider: &str| Sample {
        at,
        provider: provider.to_owned(),
        delivered: 200,
        attempts: vec![(Outcome::Delivered, 200), (Outcome::Temporary, 3)],
        latency: latency.clone(),
        ..Sample::default()
    };
    let (day, month) = (24 * 3_600, 30 * 24 * 3_600);
    let minutes = (to - day..to).step_by(60);
    let hours = (to - month..to - day).step_by(3_600);
    let steps: Vec<i64> = hours.chain(minutes).collect();
    for steps in steps.chunks(500) {
        let of = |at: &i64| ["", "resend", "ses", "brevo"].map(|name| sample(*at, name));
        store.statistics().add(steps.iter().flat_map(of).collect()).await?;
    }
    for (name, grain, from) in
        [("counters of 24 h", Grain::Minute, day), ("counters of 30 d", Grain::Hour, month)]
    {
        let started = Instant::now();
        let mut rows = 0;
        for _ in 0..TIMES {
            rows = store.statistics().read(grain, to - from, to).await?.len();
        }
        writeln!(out, "  {name:<30} {:>10.2?} ({rows} rows)", started.elapsed() / TIMES)?;
    }
    Ok(())
}

/// Waits until all is indexed that will be.
async fn indexed(path: &Path, messages: u32) -> Result<(), Fault> {
    let file = rusqlite::Connection::open(path)?;
    // Less than a slice stays behind.
    let last = id(messages - 300);
    loop {
        let upto: [u8; 16] = file.query_row("SELECT upto FROM indexed", [], |row| row.get(0))?;
        if QueueId::from_bytes(upto) > last {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The id of a message that `fill` has made; one in each ten milliseconds.
fn id(number: u32) -> QueueId {
    let number = u128::from(number);
    let time = 1_790_000_000_000 + number * 10;
    QueueId::from_bytes(((time << 80) | (7 << 76) | (2 << 62) | number).to_be_bytes())
}

/// Writes so many messages past the store, which would take its time.
fn fill(path: &Path, messages: u32) -> Result<(), Fault> {
    let file = rusqlite::Connection::open(path)?;
    file.execute_batch("PRAGMA synchronous = OFF; BEGIN")?;
    file.execute(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1), \
         m AS (SELECT i, unhex(format('%012x70008%015x', 1790000000000 + i * 10, i)) AS id, \
               1790000000000 + i * 10 AS at FROM n) \
         INSERT INTO messages (id, state, due_at, lease, deferrals, received_at, trying_since, finished_at, sender, \
         recipients, smtp_utf8, header_from, subject, message_id, size, body, body_rows, way, bulk, share, provider, \
         provider_message_id) \
         SELECT id, CASE WHEN i % 400 = 0 THEN 0 WHEN i % 300 = 1 THEN 3 ELSE 2 END, at, 1, 0, at, at, \
         iif(i % 400 = 0, NULL, at + 200), 'bounces@app.example.org', \
         '[{\"address\":\"user.' || i || '@example' || i % 97 || '.net\",\"state\":\"delivered\"}]', 0, \
         'The App <app@example.org>', 'Please confirm your address, customer ' || i || ' of ours', \
         i || '@app.example.org', 300, i, 1, 'default', 0, i % 1000, \
         iif(i % 200000 = 5, 'ses', 'resend'), \
         format('49a3999c-0ce1-%04x-4ea6-%012d', i * 7919 % 65536, i) FROM m",
        [messages],
    )?;
    file.execute_batch(
        "INSERT INTO attempts (message, n, at, provider, outcome, provider_message_id, latency_ms) \
         SELECT id, 1, received_at, provider, 'delivered', provider_message_id, 120 FROM messages; \
         COMMIT; PRAGMA wal_checkpoint(TRUNCATE)",
    )?;
    Ok(())
}
