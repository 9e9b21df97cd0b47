//! Clients that take what they can: time, seats, memory.

use super::*;

const STRANGER: Peer =
    Peer { address: IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7)), trusted: false, secure: false };

/// A connection of a stranger, through a pipe of so many octets.
fn connected(pipe: usize) -> Bench {
    let authenticator = Authenticator::new(AuthMode::Auto, Vec::new(), None);
    Bench::connected_as(Recorder::open(), pipe, STRANGER, (AuthMode::Auto, authenticator))
}

async fn stranger() -> Bench {
    let mut bench = connected(64 * 1024);
    bench.expect(&["220 "]).await;
    bench
}

async fn in_content() -> Bench {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send(ENVELOPE).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    bench
}

#[tokio::test(start_paused = true)]
async fn a_silent_stranger_is_sent_away_early() {
    let mut bench = stranger().await;
    let begun = Instant::now();
    bench.expect(&["421 4.4.2 "]).await;
    assert_eq!(begun.elapsed(), STRANGER_IDLE_MAX);
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_dribbles_a_command_gets_no_more_time() {
    let mut bench = stranger().await;
    let begun = Instant::now();
    for octet in ["E", "H", "L", "O", " "] {
        tokio::time::sleep(STRANGER_IDLE_MAX / 6).await;
        bench.send(octet).await;
    }
    bench.expect(&["421 4.4.2 "]).await;
    assert_eq!(begun.elapsed(), STRANGER_IDLE_MAX);
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_busy_stranger_that_never_authenticates_has_an_end() {
    let mut bench = stranger().await;
    let begun = Instant::now();
    let step = STRANGER_IDLE_MAX / 2;
    for _ in 1..STRANGER_TIME_MAX.as_secs() / step.as_secs() {
        tokio::time::sleep(step).await;
        bench.send("NOOP\r\n").await;
        bench.expect(&["250 "]).await;
    }
    bench.expect(&["421 4.7.0 Too much time has passed without authentication"]).await;
    assert_eq!(begun.elapsed(), STRANGER_TIME_MAX);
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_never_reads_is_left_early() {
    let mut bench = connected(8);
    let begun = Instant::now();
    (&mut bench.served).await.unwrap();
    assert_eq!(begun.elapsed(), STRANGER_IDLE_MAX);
}

#[tokio::test(start_paused = true)]
async fn a_trusted_client_may_be_silent_for_the_configured_time() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    for _ in 0..20 {
        tokio::time::sleep(IDLE - Duration::from_secs(1)).await;
        bench.send("NOOP\r\n").await;
        bench.expect(&["250 "]).await;
    }
    bench.send("QUIT\r\n").await;
    bench.expect(&["221 "]).await;
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn content_that_drips_is_not_waited_for() {
    let mut bench = in_content().await;
    let begun = Instant::now();
    let step = Duration::from_secs(60);
    for _ in 1..IDLE.as_secs() / step.as_secs() {
        tokio::time::sleep(step).await;
        bench.send("x").await;
    }
    bench.expect(&["421 4.4.2 "]).await;
    assert_eq!(begun.elapsed(), IDLE);
    assert!(bench.expect_end().await.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_slowest_way_that_mail_is_sent_over_is_fast_enough() {
    let mut bench = in_content().await;
    // 2400 bit/s, and an interruption of minutes.
    let line = format!("{}\r\n", "x".repeat(298));
    for second in 0..400 {
        bench.send(&line).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if second == 200 {
            tokio::time::sleep(Duration::from_secs(150)).await;
        }
    }
    bench.send(".\r\nQUIT\r\n").await;
    bench.expect(&["250 2.0.0 Ok: queued", "221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), [line.repeat(400)]);
}

#[tokio::test(start_paused = true)]
async fn content_that_never_pauses_has_an_end() {
    let mut bench = in_content().await;
    let flood = "0123456789\r\n".repeat(5000);
    let step = Duration::from_secs(10);
    let mut ended = false;
    for _ in 0..2 * TRANSACTION_TIME_MAX.as_secs() / step.as_secs() {
        // The clock goes on, and there is something to read whenever the server looks.
        tokio::time::advance(step).await;
        ended = bench.client.write_all(flood.as_bytes()).await.is_err();
        if ended {
            break;
        }
    }
    assert!(ended);
    bench.expect(&["421 4.4.2 The transaction takes too long"]).await;
    assert!(bench.expect_end().await.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn endless_commands_end() {
    for line in ["NOOP\r\n", "RSET\r\n", "EHLO x\r\n", "RCPT TO:<nobody>\r\n", "VRFY x\r\n"] {
        let mut bench = Bench::greeted(Recorder::open()).await;
        let mut last = String::new();
        let mut sent = 0;
        while !last.starts_with("421 ") {
            bench.send(&line.repeat(100)).await;
            sent += 100;
            for _ in 0..100 {
                last = bench.line().await;
                while last.get(3..4) == Some("-") {
                    last = bench.line().await;
                }
                if last.starts_with("421 ") {
                    break;
                }
            }
            assert!(sent <= 20_000, "{line}");
        }
        assert!(last.starts_with("421 4.7.0 "), "{last}");
        drop(bench.client);
        bench.served.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn replies_to_a_deep_pipeline_do_not_pile_up() {
    let mut bench = Bench::connected(Recorder::open(), 4096);
    let pipeline = "EHLO x\r\nNOOP\r\n".repeat(75_000);
    assert!(pipeline.len() > 1 << 20);
    let mut sent = 0;
    // It reads nothing. What the server takes in meanwhile is what it holds.
    for _ in 0..10_000 {
        tokio::select! {
            biased;
            written = bench.client.write(&pipeline.as_bytes()[sent..]) => sent += written.unwrap(),
            () = tokio::task::yield_now() => {}
        }
    }
    assert!(sent < 32 * 1024, "{sent} octets were taken");
    drop(bench.client);
    bench.served.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deep_pipeline_is_answered_whole_when_it_is_read() {
    let bench = Bench::greeted(Recorder::open()).await;
    let (mut from, mut to) = tokio::io::split(bench.client);
    let count = 9_000;
    let writing = tokio::spawn(async move {
        to.write_all("NOOP\r\n".repeat(count).as_bytes()).await.unwrap();
        to.write_all(b"QUIT\r\n").await.unwrap();
        to
    });
    let mut replies = String::new();
    from.read_to_string(&mut replies).await.unwrap();
    assert_eq!(replies.matches("250 2.0.0 Ok\r\n").count(), count);
    assert!(replies.ends_with("221 2.0.0 Bye\r\n"));
    writing.await.unwrap();
    bench.served.await.unwrap();
    assert!(bench.writes.load(Ordering::Relaxed) < 100, "they leave together");
}

#[tokio::test(start_paused = true)]
async fn a_long_list_of_recipients_is_counted_as_memory() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send("MAIL FROM:<ada@example.org>\r\n").await;
    bench.expect(&["250 "]).await;
    let domain = format!("{0}.{0}.{0}.example", "d".repeat(60));
    let mut taken = 0;
    for number in 0..2000 {
        bench.send(&format!("RCPT TO:<recipient-{number}@{domain}>\r\n")).await;
        let line = bench.line().await;
        if line.starts_with("452 4.3.1 ") {
            break;
        }
        assert!(line.starts_with("250 2.1.5"), "{line}");
        taken += 1;
    }
    assert!((500..1500).contains(&taken), "{taken} recipients fit");
    assert!(bench.memory.available() < 1024);
    // Those that were taken stand, if there is room for the content.
    bench.send("RSET\r\n").await;
    bench.expect(&["250 "]).await;
    assert_eq!(bench.memory.available(), BUDGET);
    bench.send(&format!("{ENVELOPE}x\r\n.\r\nQUIT\r\n")).await;
    bench.expect(&["250 ", "250 ", "354 ", "250 2.0.0 Ok: queued", "221 "]).await;
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn many_bad_recipients_cost_nothing_and_have_an_end() {
    let mut bench = stranger().await;
    bench.send("EHLO x\r\nMAIL FROM:<ada@example.org>\r\n").await;
    while !bench.line().await.starts_with("550 5.7.1 ") {}
    bench.send(&"RCPT TO:<bob@example.net>\r\n".repeat(1000)).await;
    let mut answers = 0;
    while bench.line().await.starts_with("503 ") {
        answers += 1;
        assert!(answers < 100);
    }
    drop(bench.client);
    bench.served.await.unwrap();
}

#[test]
fn an_idle_connection_is_small() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let _entered = runtime.enter();
    let memory = Arc::new(MemoryBudget::new(BUDGET));
    let service = Service {
        policy: Arc::new(Policy {
            hostname: String::new(),
            max_message_size: 1,
            max_recipients: 1,
            tls: TlsRule::Absent,
            auth: AuthMode::Auto,
            has_users: false,
        }),
        idle_timeout: IDLE,
        intake: Arc::new(Recorder::open()),
        authenticator: Authenticator::new(AuthMode::Auto, Vec::new(), None),
        tls: None,
        memory,
        notices: Arc::default(),
        arrivals: Arrivals::default(),
        shutdown: CancellationToken::new(),
    };
    let (_, server) = duplex(1);
    let connection = serve(server, PEER, &service);
    let octets = size_of_val(&connection);
    assert!(octets <= 2048, "{octets} octets");
}
