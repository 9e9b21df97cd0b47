//! What is counted of a dialogue.

use super::*;
use crate::metrics::{Format, Now};

impl Bench {
    /// Panics unless the figures have each of these lines, behind what all names begin with.
    fn assert_counted(&self, lines: &[&str]) {
        let text = self.metrics.render(Now::default(), Format::Text);
        for line in lines {
            let line = format!("mailferry_{line}");
            assert!(text.lines().any(|own| own == line), "{line} is not in\n{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_is_counted_once_and_timed_from_its_last_octet_to_its_250() {
    let mut bench = Bench::greeted(Recorder::gated()).await;
    bench.send(ENVELOPE).await;
    bench.expect(&["250 ", "250 ", "354 "]).await;
    // The client's own time does not count.
    tokio::time::sleep(IDLE / 2).await;
    bench.send("one\r\n.\r\n").await;
    tokio::time::sleep(Duration::from_millis(20)).await;
    bench.intake.let_through();
    bench.expect(&["250 2.0.0 Ok: queued"]).await;
    bench.assert_counted(&[
        r#"messages_received_total{result="accepted"} 1"#,
        r#"messages_received_total{result="no_room"} 0"#,
        r#"accept_seconds_bucket{le="0.01"} 0"#,
        r#"accept_seconds_bucket{le="0.025"} 1"#,
        "accept_seconds_count 1",
        r#"smtp_replies_total{code="220"} 1"#,
        r#"smtp_replies_total{code="250"} 4"#,
        r#"smtp_replies_total{code="354"} 1"#,
    ]);
}

#[tokio::test(start_paused = true)]
async fn every_refusal_of_the_intake_has_its_result() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    for (refusal, reply, result) in [
        (Refusal::NoRoom("full".into()), "452 ", "no_room"),
        (Refusal::TryAgain("busy".into()), "451 ", "try_again"),
        (Refusal::Rejected("no".into()), "554 ", "rejected"),
    ] {
        bench.intake.refuse(refusal);
        bench.send(&format!("{ENVELOPE}one\r\n.\r\n")).await;
        bench.expect(&["250 ", "250 ", "354 ", reply]).await;
        bench.assert_counted(&[&format!("messages_received_total{{result=\"{result}\"}} 1")]);
    }
    bench.assert_counted(&[
        r#"messages_received_total{result="accepted"} 0"#,
        "accept_seconds_count 0",
        r#"smtp_replies_total{code="554"} 1"#,
    ]);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_too_large_is_counted_once_whichever_way_it_comes() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    bench.send("MAIL FROM:<ada@example.org> SIZE=200000\r\n").await;
    bench.expect(&["552 "]).await;
    bench.send(&format!("{ENVELOPE}{}.\r\n", "0123456789\r\n".repeat(20_000))).await;
    bench.expect(&["250 ", "250 ", "354 ", "552 "]).await;
    // Three chunks, of which the second is one too many.
    let chunk = "0123456789".repeat(10_000);
    bench.send(&ENVELOPE.replace("DATA\r\n", "")).await;
    for last in ["", "", " LAST"] {
        bench.send(&format!("BDAT 100000{last}\r\n{chunk}")).await;
    }
    bench.expect(&["250 ", "250 ", "250 ", "552 ", "552 "]).await;
    bench.assert_counted(&[
        r#"messages_received_total{result="too_large"} 3"#,
        r#"messages_received_total{result="accepted"} 0"#,
    ]);
}

#[tokio::test(start_paused = true)]
async fn who_may_not_send_is_counted_and_a_plain_error_is_not() {
    let authenticator = Authenticator::new(AuthMode::Auto, Vec::new(), None);
    let stranger = Peer { trusted: false, ..PEER };
    let way = (AuthMode::Auto, authenticator);
    let mut bench = Bench::connected_as(Recorder::open(), 64 * 1024, stranger, way);
    bench.send("HELO client.example\r\nNONSENSE\r\nMAIL FROM:<ada@example.org>\r\n").await;
    bench.expect(&["220 ", "250 ", "500 ", "550 "]).await;
    bench.assert_counted(&[
        r#"messages_received_total{result="forbidden"} 1"#,
        r#"smtp_replies_total{code="500"} 1"#,
        r#"smtp_replies_total{code="550"} 1"#,
    ]);
}

#[tokio::test(start_paused = true)]
async fn content_without_memory_is_counted_as_without_room() {
    let mut bench = Bench::greeted(Recorder::open()).await;
    let mut others = bench.memory.reservation(0);
    assert!(others.cover(BUDGET - 32 * 1024, Duration::ZERO).await);
    bench.send(&format!("{ENVELOPE}{}.\r\n", "0123456789\r\n".repeat(8000))).await;
    bench.expect(&["250 ", "250 ", "354 ", "452 4.3.1 "]).await;
    bench.assert_counted(&[r#"messages_received_total{result="no_room"} 1"#]);
}
