mod chunks;
mod counts;
mod login;

use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{DuplexStream, ReadBuf, duplex};
use tokio::task::JoinHandle;

use super::*;
use crate::config::AuthMode;
use crate::metrics::Metrics;
use crate::queue::Refusal;
use crate::smtp::auth::Authenticator;
use crate::smtp::session::{Peer, TlsRule};
use crate::smtp::testing::Recorder;

mod attack;

const IDLE: Duration = Duration::from_secs(300);
const PEER: Peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), trusted: true, secure: false };
const BUDGET: usize = 256 * 1024;
const ENVELOPE: &str = "MAIL FROM:<ada@example.org>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n";

/// A client and what it talks to.
struct Bench {
    client: DuplexStream,
    writes: Arc<AtomicUsize>,
    intake: Arc<Recorder>,
    memory: Arc<MemoryBudget>,
    metrics: Metrics,
    shutdown: CancellationToken,
    served: JoinHandle<()>,
}

impl Bench {
    /// A connection whose client has read the greeting and the answer to EHLO.
    async fn greeted(intake: Recorder) -> Self {
        let mut bench = Self::connected(intake, 64 * 1024);
        assert!(bench.line().await.starts_with("220 relay.example ESMTP"));
        bench.send("EHLO client.example\r\n").await;
        while bench.line().await.starts_with("250-") {}
        bench
    }

    fn connected(intake: Recorder, pipe: usize) -> Self {
        let authenticator = Authenticator::new(AuthMode::Auto, Vec::new(), None);
        Self::connected_as(intake, pipe, PEER, (AuthMode::Auto, authenticator))
    }

    fn connected_as(
        intake: Recorder,
        pipe: usize,
        peer: Peer,
        (auth, authenticator): (AuthMode, Authenticator),
    ) -> Self {
        let intake = Arc::new(intake);
        let memory = Arc::new(MemoryBudget::new(BUDGET));
        let shutdown = CancellationToken::new();
        let metrics = Metrics::new();
        let policy = Policy {
            hostname: String::from("relay.example"),
            max_message_size: 128 * 1024,
            max_recipients: 2000,
            tls: TlsRule::Absent,
            auth,
            has_users: auth != AuthMode::Auto,
        };
        let service = Service {
            policy: Arc::new(policy),
            idle_timeout: IDLE,
            intake: Arc::clone(&intake) as Arc<dyn Intake>,
            authenticator,
            tls: None,
            memory: Arc::clone(&memory),
            notices: Arc::default(),
            arrivals: metrics.arrivals().clone(),
            shutdown: shutdown.clone(),
        };
        let (client, server) = duplex(pipe);
        let writes = Arc::new(AtomicUsize::new(0));
        let server = CountingWrites { stream: server, writes: Arc::clone(&writes) };
        let served = tokio::spawn(async move { serve(server, peer, &service).await });
        Self { client, writes, intake, memory, metrics, shutdown, served }
    }

    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// The next reply line without its CRLF; empty at the end.
    async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while let Ok(octet) = self.client.read_u8().await {
            line.push(octet);
            if line.ends_with(b"\r\n") {
                break;
            }
        }
        String::from_utf8(line).unwrap().trim_end().to_owned()
    }

    async fn expect(&mut self, starts: &[&str]) {
        for start in starts {
            let line = self.line().await;
            assert!(line.starts_with(start), "expected {start}, got {line:?}");
        }
    }

    /// The connection has been closed, and the server has nothing left to do.
    async fn expect_end(mut self) -> Arc<Recorder> {
        assert_eq!(self.line().await, "");
        self.served.await.unwrap();
        assert_eq!(self.memory.available(), BUDGET);
        self.intake
    }
}

/// Counts the writes that would be system calls.
struct CountingWrites {
    stream: DuplexStream,
    writes: Arc<AtomicUsize>,
}

impl AsyncRead for CountingWrites {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for CountingWrites {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        self.writes.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[tokio::test(start_paused = true)]
async fn replies_to_pipelined_commands_leave_in_one_write() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let before = bench.writes.load(Ordering::Relaxed);
    bench.send(&format!("NOOP\r\n{ENVELOPE}")).await;
    bench.expect(&["250 2.0.0", "250 2.1.0", "250 2.1.5", "354 "]).await;
    assert_eq!(bench.writes.load(Ordering::Relaxed), before + 1);
    bench.send("one\r\n.\r\nNOOP\r\nQUIT\r\n").await;
    bench.expect(&["250 2.0.0 Ok: queued as ", "250 2.0.0", "221 2.0.0"]).await;
    assert_eq!(bench.writes.load(Ordering::Relaxed), before + 2);
    assert_eq!(bench.expect_end().await.contents(), ["one\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn replies_do_not_wait_for_the_intake_of_a_later_message() {
    let mut bench = Bench::greeted(Recorder::gated()).await;
    bench.send(&format!("{ENVELOPE}one\r\n.\r\n{ENVELOPE}two\r\n.\r\nQUIT\r\n")).await;
    bench.expect(&["250 2.1.0", "250 2.1.5", "354 "]).await;
    bench.intake.let_through();
    bench.expect(&["250 2.0.0 Ok: queued", "250 2.1.0", "250 2.1.5", "354 "]).await;
    bench.intake.let_through();
    bench.expect(&["250 2.0.0 Ok: queued", "221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), ["one\r\n", "two\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_talks_before_the_greeting_is_served() {
    let mut bench = Bench::connected(Recorder::open(), 64 * 1024);
    bench.send("HELO client.example\r\nQUIT\r\n").await;
    bench.expect(&["220 ", "250 relay.example", "221 "]).await;
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn silence_is_answered_and_ended() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let begun = Instant::now();
    bench.expect(&["421 4.4.2 "]).await;
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn octets_that_make_no_line_do_not_prolong_the_wait() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let begun = Instant::now();
    for _ in 0..2 {
        tokio::time::advance(IDLE / 3).await;
        bench.send("N").await;
        tokio::task::yield_now().await;
    }
    bench.expect(&["421 4.4.2 "]).await;
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn silence_within_the_content_ends_the_connection_and_takes_nothing() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send(&format!("{ENVELOPE}half\r\n")).await;
    bench.expect(&["250 ", "250 ", "354 ", "421 4.4.2 "]).await;
    assert!(bench.expect_end().await.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_transaction_has_an_end_however_busy_the_client_is() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send(ENVELOPE).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    let begun = Instant::now();
    let step = IDLE / 2;
    let slowly = "slowly\r\n".repeat(2500);
    for _ in 1..TRANSACTION_TIME_MAX.as_secs() / step.as_secs() {
        tokio::time::sleep(step).await;
        bench.send(&slowly).await;
    }
    bench.expect(&["421 4.4.2 The transaction takes too long"]).await;
    assert_eq!(begun.elapsed().as_secs(), TRANSACTION_TIME_MAX.as_secs());
    assert!(bench.expect_end().await.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_reads_is_left() {
    let mut bench = Bench::connected(Recorder::open(), 8);
    let begun = Instant::now();
    (&mut bench.served).await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), IDLE.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_within_the_content_has_sent_nothing() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send(&format!("{ENVELOPE}almost\r\n.\r")).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    bench.client.shutdown().await.unwrap();
    assert!(bench.expect_end().await.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn content_is_counted_until_the_intake_has_answered() {
    let mut bench = Bench::greeted(Recorder::gated()).await;
    let line = "x".repeat(998);
    let content = format!("{line}\r\n").repeat(100);
    bench.send(ENVELOPE).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    bench.send(&format!("{content}.\r\n")).await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    let held = BUDGET - bench.memory.available();
    assert!((100_000..=128 * 1024 + 2048).contains(&held), "{held} octets are held");
    bench.intake.let_through();
    bench.expect(&["250 2.0.0 Ok: queued"]).await;
    assert_eq!(bench.memory.available(), BUDGET);
    bench.send("QUIT\r\n").await;
    bench.expect(&["221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), [content]);
}

#[tokio::test(start_paused = true)]
async fn content_waits_for_memory_that_others_hold() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let mut others = bench.memory.reservation(0);
    assert!(others.cover(BUDGET, Duration::ZERO).await);
    bench.send(&format!("{ENVELOPE}patient\r\n.\r\nQUIT\r\n")).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    tokio::time::sleep(MEMORY_PATIENCE / 2).await;
    assert!(bench.intake.taken().is_empty());
    drop(others);
    bench.expect(&["250 2.0.0 Ok: queued", "221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), ["patient\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn without_memory_the_message_is_read_to_its_end_and_deferred() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let mut others = bench.memory.reservation(0);
    assert!(others.cover(BUDGET - 32 * 1024, Duration::ZERO).await);
    bench.send(ENVELOPE).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    let begun = Instant::now();
    bench.send(&"0123456789\r\n".repeat(8000)).await;
    bench.send(".\r\n").await;
    bench.expect(&["452 4.3.1 "]).await;
    assert_eq!(begun.elapsed().as_secs(), MEMORY_PATIENCE.as_secs());
    drop(others);
    bench.send(&format!("{ENVELOPE}later\r\n.\r\nQUIT\r\n")).await;
    bench.expect(&["250 ", "250 ", "354 ", "250 2.0.0 Ok: queued", "221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), ["later\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_grows_too_large_is_read_to_its_end_and_refused() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send(ENVELOPE).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    bench.send(&"0123456789\r\n".repeat(20_000)).await;
    assert_eq!(bench.memory.available(), BUDGET, "nothing is held for it any more");
    bench.send(&format!(".\r\n{ENVELOPE}small\r\n.\r\nQUIT\r\n")).await;
    bench.expect(&["552 5.3.4 ", "250 ", "250 ", "354 ", "250 2.0.0", "221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), ["small\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn content_of_bare_line_feeds_is_counted_at_its_true_size() {
    let mut bench = Bench::greeted(Recorder::gated()).await;
    bench.send(ENVELOPE).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    bench.send(&"\n".repeat(60_000)).await;
    bench.send("\r\n.\r\n").await;
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(BUDGET - bench.memory.available() >= 120_000);
    bench.intake.let_through();
    bench.expect(&["250 2.0.0"]).await;
    bench.send("QUIT\r\n").await;
    bench.expect(&["221 "]).await;
    assert_eq!(bench.expect_end().await.taken()[0].raw.len(), 120_002);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_is_told_and_the_connection_goes_on() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.intake.refuse(Refusal::NoRoom("the disk is full".into()));
    bench.intake.refuse(Refusal::TryAgain("resend: 503".into()));
    bench.intake.refuse(Refusal::Rejected("resend: bad\r\n250 ok".into()));
    for reply in [
        "452 4.3.1 the disk is full",
        "451 4.4.1 resend: 503",
        "554 5.0.0 resend: bad 250 ok",
        "250 2.0.0 Ok: queued as ",
    ] {
        bench.send(&format!("{ENVELOPE}x\r\n.\r\n")).await;
        bench.expect(&["250 ", "250 ", "354 ", reply]).await;
    }
    bench.send("QUIT\r\n").await;
    bench.expect(&["221 "]).await;
    assert_eq!(bench.expect_end().await.taken().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_a_waiting_connection_at_once() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let begun = Instant::now();
    bench.shutdown.cancel();
    bench.expect(&["421 4.3.2 "]).await;
    bench.expect_end().await;
    assert!(begun.elapsed() < Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn shutting_down_lets_a_running_message_finish() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send(&format!("{ENVELOPE}first half\r\n")).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    bench.shutdown.cancel();
    tokio::time::sleep(IDLE / 2).await;
    bench.send(&format!("second half\r\n.\r\n{ENVELOPE}")).await;
    bench.expect(&["250 2.0.0 Ok: queued", "421 4.3.2 "]).await;
    let intake = bench.expect_end().await;
    assert_eq!(intake.contents(), ["first half\r\nsecond half\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn an_announced_size_is_believed_only_so_far() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let mail = "MAIL FROM:<ada@example.org> SIZE=131072\r\nRCPT TO:<bob@example.net>\r\nDATA\r\n";
    bench.send(mail).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    bench.send("x\r\n").await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(BUDGET - bench.memory.available(), 64 * 1024);
    bench.send(".\r\nQUIT\r\n").await;
    bench.expect(&["250 2.0.0", "221 "]).await;
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn another_protocol_is_told_and_cut_off() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send(&format!("POST /x HTTP/1.1\r\nHost: localhost\r\n\r\n{ENVELOPE}x\r\n.\r\n")).await;
    bench.expect(&["421 4.7.0 "]).await;
    drop(bench.client);
    bench.served.await.unwrap();
    assert!(bench.intake.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn an_octet_at_a_time_is_as_good_as_any() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    for octet in format!("{ENVELOPE}..a\r\n.\r\nQUIT\r\n").chars() {
        bench.send(&octet.to_string()).await;
        tokio::task::yield_now().await;
    }
    bench.expect(&["250 ", "250 ", "354 ", "250 2.0.0", "221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), [".a\r\n"]);
}
