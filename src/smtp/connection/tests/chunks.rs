//! Content that comes by BDAT.

use super::*;
use crate::message::Submission;

const ADDRESSED: &str = "MAIL FROM:<ada@example.org>\r\nRCPT TO:<bob@example.net>\r\n";

/// A connection whose transaction waits for its first chunk.
async fn addressed(intake: Recorder) -> Bench {
    let mut bench = Bench::greeted(intake).await;
    bench.send(ADDRESSED).await;
    bench.expect(&["250 2.1.0", "250 2.1.5"]).await;
    bench
}

async fn settle() {
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn replies_to_pipelined_chunks_leave_in_one_write() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let before = bench.writes.load(Ordering::Relaxed);
    bench.send(&format!("{ADDRESSED}BDAT 5\r\none\r\nBDAT 5 LAST\r\ntwo\r\nQUIT\r\n")).await;
    bench.expect(&["250 2.1.0", "250 2.1.5", "250 2.0.0 5 octets", "250 2.0.0 Ok", "221 "]).await;
    assert_eq!(bench.writes.load(Ordering::Relaxed), before + 1);
    assert_eq!(bench.expect_end().await.contents(), ["one\r\ntwo\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_waits_for_replies_before_it_sends_the_chunk_gets_them() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send(&format!("{ADDRESSED}BDAT 5 LAST\r\n")).await;
    bench.expect(&["250 2.1.0", "250 2.1.5"]).await;
    bench.send("one\r\n").await;
    bench.expect(&["250 2.0.0 Ok"]).await;
    bench.send("QUIT\r\n").await;
    bench.expect(&["221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), ["one\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn an_octet_at_a_time_is_as_good_as_any_chunk() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let wire = format!("{ADDRESSED}BDAT 4\r\nQUIT\r\nBDAT 2\r\n\r\nBDAT 0 LAST\r\nQUIT\r\n");
    let wire = wire.replacen("QUIT\r\n", "QUIT", 1);
    for octet in wire.chars() {
        bench.send(&octet.to_string()).await;
        tokio::task::yield_now().await;
    }
    bench.expect(&["250 ", "250 ", "250 2.0.0 4", "250 2.0.0 2", "250 2.0.0 Ok", "221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), ["QUIT\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn between_chunks_the_content_is_counted() {
    let mut bench = addressed(Recorder::open()).await;
    let chunk = format!("BDAT 60000\r\n{}", "0123456789".repeat(6000));
    bench.send(&chunk).await;
    bench.expect(&["250 2.0.0 60000 octets"]).await;
    assert!(BUDGET - bench.memory.available() >= 60_000);
    bench.send(&chunk).await;
    bench.expect(&["250 2.0.0 60000 octets"]).await;
    assert!(BUDGET - bench.memory.available() >= 120_000);
    bench.send("BDAT 2 LAST\r\n\r\n").await;
    bench.expect(&["250 2.0.0 Ok"]).await;
    settle().await;
    assert_eq!(bench.memory.available(), BUDGET);
    bench.send("QUIT\r\n").await;
    bench.expect(&["221 "]).await;
    assert_eq!(bench.expect_end().await.taken()[0].raw.len(), 120_002);
}

#[tokio::test(start_paused = true)]
async fn whatever_ends_the_transaction_gives_its_memory_back() {
    for line in ["RSET\r\n", "EHLO again\r\n", "HELO again\r\n", "BDAT 999999\r\n"] {
        let mut bench = addressed(Recorder::open()).await;
        bench.send("BDAT 5\r\none\r\n").await;
        bench.expect(&["250 2.0.0 5 octets"]).await;
        assert_ne!(bench.memory.available(), BUDGET);
        bench.send(line).await;
        settle().await;
        assert_eq!(bench.memory.available(), BUDGET, "{line:?}");
        drop(bench.client);
        bench.served.await.unwrap();
        assert!(bench.intake.taken().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_of_any_size_holds_no_memory_before_it_comes() {
    let mut bench = addressed(Recorder::open()).await;
    bench.send("BDAT 131072\r\nx").await;
    settle().await;
    assert!(BUDGET - bench.memory.available() <= 64 * 1024);
    drop(bench.client);
    bench.served.await.unwrap();

    let mut bench = addressed(Recorder::open()).await;
    bench.send(&format!("BDAT 999999999999999 LAST\r\n{}", "RSET\r\n".repeat(20_000))).await;
    settle().await;
    assert_eq!(bench.memory.available(), BUDGET);
    bench.expect(&["421 4.4.2 "]).await;
    assert!(bench.expect_end().await.taken().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_memory_every_chunk_is_swallowed_and_deferred() {
    let mut bench = addressed(Recorder::open()).await;
    let mut others = bench.memory.reservation(0);
    assert!(others.cover(BUDGET - 32 * 1024, Duration::ZERO).await);
    let begun = Instant::now();
    bench.send(&format!("BDAT 100000\r\n{}", "0123456789".repeat(10_000))).await;
    bench.expect(&["452 4.3.1 "]).await;
    assert_eq!(begun.elapsed().as_secs(), MEMORY_PATIENCE.as_secs());
    bench.send("BDAT 6\r\nQUIT\r\nBDAT 6 LAST\r\nRSET\r\n").await;
    bench.expect(&["452 4.3.1 ", "452 4.3.1 "]).await;
    drop(others);
    bench.send(&format!("{ADDRESSED}BDAT 7 LAST\r\nlater\r\nQUIT\r\n")).await;
    bench.expect(&["250 ", "250 ", "250 2.0.0 Ok: queued", "221 "]).await;
    assert_eq!(bench.expect_end().await.contents(), ["later\r\n"]);
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_transaction_goes_on_over_its_chunks() {
    // Another chunk, or octets of the one that is swallowed.
    for (chunk, more) in
        [("BDAT 1\r\nx", String::from("BDAT 1\r\nx")), ("BDAT 999999\r\n", "x".repeat(20_000))]
    {
        let mut bench = addressed(Recorder::open()).await;
        let begun = Instant::now();
        let step = IDLE / 2;
        bench.send(chunk).await;
        for _ in 1..TRANSACTION_TIME_MAX.as_secs() / step.as_secs() {
            tokio::time::sleep(step).await;
            bench.send(&more).await;
        }
        let mut last = String::new();
        while !last.starts_with("421") {
            last = bench.line().await;
        }
        assert!(last.starts_with("421 4.4.2 The transaction takes too long"), "{last}");
        assert_eq!(begun.elapsed().as_secs(), TRANSACTION_TIME_MAX.as_secs());
        assert!(bench.expect_end().await.taken().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn octets_without_a_transaction_have_their_time_too() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let begun = Instant::now();
    bench.send("BDAT 999999\r\n").await;
    for _ in 1..TRANSACTION_TIME_MAX.as_secs() / (IDLE / 2).as_secs() {
        tokio::time::sleep(IDLE / 2).await;
        bench.send(&"RSET\r\n".repeat(4000)).await;
    }
    bench.expect(&["421 4.4.2 The transaction takes too long"]).await;
    assert_eq!(begun.elapsed().as_secs(), TRANSACTION_TIME_MAX.as_secs());
    bench.expect_end().await;
}

#[tokio::test(start_paused = true)]
async fn chunks_and_data_go_the_same_way() {
    let mut bench = addressed(Recorder::open()).await;
    bench.intake.refuse(Refusal::NoRoom("the disk is full".into()));
    bench.send("BDAT 3 LAST\r\nx\r\n").await;
    bench.expect(&["452 4.3.1 the disk is full"]).await;
    bench.send(&format!("{ADDRESSED}BDAT 3 LAST\r\nx\r\n{ENVELOPE}x\r\n.\r\nQUIT\r\n")).await;
    bench.expect(&["250 ", "250 ", "250 2.0.0 Ok", "250 ", "250 ", "354 ", "250 2.0.0 Ok"]).await;
    bench.expect(&["221 "]).await;
    let taken = bench.expect_end().await.taken();
    let parts = |it: &Submission| (it.envelope.clone(), it.raw.clone(), it.peer);
    assert_eq!(parts(&taken[0]), parts(&taken[1]));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_between_chunks_has_sent_nothing() {
    let mut bench = addressed(Recorder::open()).await;
    bench.send("BDAT 3\r\nx\r\n").await;
    bench.expect(&["250 2.0.0 3 octets"]).await;
    bench.client.shutdown().await.unwrap();
    assert!(bench.expect_end().await.taken().is_empty());
}
