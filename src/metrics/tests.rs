use super::*;

fn metrics() -> Metrics {
    let metrics = Metrics::new();
    metrics.set_providers(["resend", "ses"]);
    metrics
}

fn now() -> Now {
    let provider = |name: &str, up, state| ProviderNow { name: name.to_owned(), up, state };
    Now {
        providers: vec![provider("resend", false, "misconfigured"), provider("ses", true, "up")],
        queue: Some(QueueNow {
            messages: vec![("queued", 3), ("sending", 0)],
            messages_max: 1_000,
            oldest_seconds: 60,
        }),
        smtp_connections: 2,
        process: Some(Process::read(1.5)),
    }
}

/// Panics unless the text has each of these lines.
fn assert_says(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|own| own == *line), "{line} is not in\n{text}");
    }
}

#[test]
fn what_is_counted_is_shown_under_the_names_of_the_contract() {
    let metrics = metrics();
    metrics.attempt("resend", "temporary", Some(Duration::from_millis(200)));
    metrics.attempt("ses", "unfit", None);
    metrics.attempt("ses", "delivered", Some(Duration::from_secs(2)));
    metrics.delivered("ses", Duration::from_secs(3));
    metrics.failed(Some("resend"));
    metrics.failed(None);
    metrics.cancelled(Some("ses"));
    metrics.cancelled(None);
    metrics.suppressed(None);
    metrics.failover("resend", "ses");
    let text = metrics.render(now(), Format::OpenMetrics);
    assert_says(
        &text,
        &[
            "# TYPE mailferry_attempts counter",
            r#"mailferry_attempts_total{provider="resend",outcome="temporary"} 1"#,
            r#"mailferry_attempts_total{provider="resend",outcome="delivered"} 0"#,
            r#"mailferry_attempts_total{provider="ses",outcome="unfit"} 1"#,
            r#"mailferry_attempt_seconds_count{provider="ses"} 1"#,
            r#"mailferry_attempt_seconds_bucket{le="0.25",provider="resend"} 1"#,
            r#"mailferry_messages_finished_total{provider="ses",state="delivered"} 1"#,
            r#"mailferry_messages_finished_total{provider="resend",state="failed"} 1"#,
            r#"mailferry_messages_finished_total{provider="",state="failed"} 1"#,
            r#"mailferry_messages_finished_total{provider="ses",state="cancelled"} 1"#,
            r#"mailferry_messages_finished_total{provider="",state="cancelled"} 1"#,
            r#"mailferry_messages_finished_total{provider="",state="suppressed"} 1"#,
            r#"mailferry_messages_finished_total{provider="ses",state="suppressed"} 0"#,
            "mailferry_delivery_seconds_sum 3.0",
            r#"mailferry_failovers_total{from="resend",to="ses"} 1"#,
            r#"mailferry_provider_up{provider="resend"} 0"#,
            r#"mailferry_provider_up{provider="ses"} 1"#,
            r#"mailferry_queue_messages{state="queued"} 3"#,
            "mailferry_queue_oldest_seconds 60",
            "mailferry_queue_messages_max 1000",
            r#"mailferry_provider_state{provider="resend",state="misconfigured"} 1"#,
            r#"mailferry_provider_state{provider="resend",state="up"} 0"#,
            "process_start_time_seconds 1.5",
            concat!("mailferry_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
            "# EOF",
        ],
    );
}

#[test]
fn names_from_outside_make_no_label() {
    let metrics = metrics();
    let before = metrics.render(now(), Format::OpenMetrics).lines().count();
    for number in 0..100 {
        for name in [
            format!("resend:{number:08x}"),
            format!("\"}} 1\nevil{{number=\"{number}"),
            format!("{}\\\u{202e}{number}", "x".repeat(10_000)),
            String::new(),
        ] {
            metrics.attempt(&name, "delivered", Some(Duration::from_millis(1)));
            metrics.delivered(&name, Duration::ZERO);
            metrics.failed(Some(&name));
            metrics.cancelled(Some(&name));
            metrics.failover(&name, "ses");
        }
    }
    let text = metrics.render(now(), Format::OpenMetrics);
    assert_says(
        &text,
        &[
            r#"mailferry_attempts_total{provider="brought",outcome="delivered"} 400"#,
            r#"mailferry_failovers_total{from="brought",to="ses"} 400"#,
        ],
    );
    // The one failover by strangers was not there before.
    assert_eq!(text.lines().count(), before + 1, "{text}");
    assert!(!text.contains("evil") && text.is_ascii());
}

#[test]
fn counts_go_on_when_the_providers_change() {
    let metrics = metrics();
    metrics.attempt("resend", "delivered", None);
    metrics.set_providers(["resend", "postmark"]);
    metrics.attempt("resend", "delivered", None);
    let text = metrics.render(Now::default(), Format::OpenMetrics);
    assert_says(&text, &[r#"mailferry_attempts_total{provider="resend",outcome="delivered"} 2"#]);
}

#[test]
fn what_cannot_be_known_is_not_shown() {
    let metrics = metrics();
    metrics.render(now(), Format::OpenMetrics);
    let text = metrics.render(Now::default(), Format::OpenMetrics);
    for gone in
        ["queue_messages", "queue_oldest_seconds", "provider_up{", "provider_state{", "process_"]
    {
        assert!(!text.contains(gone), "{gone} is in\n{text}");
    }
}

#[test]
fn what_comes_in_is_counted_by_result_and_code() {
    let metrics = metrics();
    let arrivals = metrics.arrivals().clone();
    arrivals.received(Received::Accepted);
    arrivals.received(Received::TooLarge);
    arrivals.accept_took(Duration::from_millis(2));
    for code in [250, 250, 421, 530, 999] {
        arrivals.replied(code);
    }
    assert_says(
        &metrics.render(now(), Format::OpenMetrics),
        &[
            "# TYPE mailferry_messages_received counter",
            r#"mailferry_messages_received_total{result="accepted"} 1"#,
            r#"mailferry_messages_received_total{result="too_large"} 1"#,
            r#"mailferry_messages_received_total{result="forbidden"} 0"#,
            "# TYPE mailferry_accept_seconds histogram",
            r#"mailferry_accept_seconds_bucket{le="0.001"} 0"#,
            r#"mailferry_accept_seconds_bucket{le="0.0025"} 1"#,
            r#"mailferry_accept_seconds_bucket{le="+Inf"} 1"#,
            "mailferry_accept_seconds_count 1",
            "mailferry_accept_seconds_sum 0.002",
            r#"mailferry_smtp_replies_total{code="250"} 2"#,
            r#"mailferry_smtp_replies_total{code="530"} 1"#,
            r#"mailferry_smtp_replies_total{code="550"} 0"#,
            "mailferry_smtp_connections 2",
        ],
    );
}

#[test]
fn a_failover_can_be_seen_from_the_first_one_on() {
    let metrics = metrics();
    let pair =
        |count: u64| format!("mailferry_failovers_total{{from=\"ses\",to=\"resend\"}} {count}");
    assert_says(&metrics.render(Now::default(), Format::Text), &[&pair(0)]);
    metrics.failover("ses", "resend");
    assert_says(&metrics.render(Now::default(), Format::Text), &[&pair(1)]);
    let names: Vec<String> = (0..=PAIRS_SHOWN_MAX).map(|number| format!("p{number}")).collect();
    metrics.set_providers(names.iter().map(String::as_str));
    assert!(!metrics.render(Now::default(), Format::Text).contains("to=\"p1\""));
}
