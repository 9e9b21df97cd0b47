//! Many connections, from one address or from many. Trusted is 127.0.0.1 only.

use super::*;

fn config(seats: usize, per_address: usize) -> SmtpConfig {
    SmtpConfig {
        trusted_networks: vec!["127.0.0.1/32".parse().unwrap()],
        max_connections: NonZeroUsize::new(seats).unwrap(),
        max_connections_per_ip: NonZeroUsize::new(per_address).unwrap(),
        ..super::config()
    }
}

#[tokio::test]
async fn a_flood_from_one_address_keeps_no_other_out() {
    let running = Running::with(&config(16, 1000));
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(running.connect_from(66).await);
    }
    running.connect_from(67).await.expect(&["220 "]).await;
    running.connect().await.expect(&["220 "]).await;
    running.stop().await;
}

#[tokio::test]
async fn a_flood_from_many_strangers_does_not_keep_the_app_out() {
    let running = Running::with(&config(16, 4));
    let mut flood = Vec::new();
    for last in 10..200 {
        flood.push(running.connect_from(last).await);
    }
    let mut app = running.connect().await;
    app.send("HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<bob@example.net>\r\nDATA\r\nhi\r\n.\r\n").await;
    app.expect(&["220 ", "250 ", "250 ", "250 ", "354 ", "250 "]).await;
    let mut stranger = running.connect_from(201).await;
    stranger.expect(&["421 4.3.2 ", ""]).await;
    drop(app);
    assert_eq!(running.stop().await.contents(), ["hi\r\n"]);
}

#[tokio::test]
async fn a_refused_client_that_talks_at_once_reads_why() {
    let running = Running::with(&config(1, 1));
    let mut first = running.connect().await;
    first.expect(&["220 "]).await;
    for _ in 0..50 {
        let mut refused = running.connect().await;
        refused.send("EHLO client.example\r\nMAIL FROM:<>\r\n").await;
        refused.expect(&["421 4.3.2 ", ""]).await;
    }
    running.stop().await;
}

#[tokio::test]
async fn refused_clients_that_stay_hold_up_nobody() {
    let running = Running::with(&config(4, 2));
    let mut refused = Vec::new();
    for _ in 0..300 {
        refused.push(running.connect_from(66).await);
    }
    running.connect().await.expect(&["220 "]).await;
    // Every one of them has been told.
    let mut greeted = 0;
    for client in &mut refused {
        let line = client.line().await;
        greeted += usize::from(line.starts_with("220 "));
        assert!(line.starts_with("220 ") || line.starts_with("421 "), "{line:?}");
    }
    assert_eq!(greeted, 1, "of three seats for strangers, one address has half");
    running.stop().await;
}

#[tokio::test]
async fn clients_that_come_and_go_leave_nothing() {
    let running = Running::with(&config(8, 8));
    for round in 0..500_u16 {
        let mut client = running.connect_from(10 + u8::try_from(round % 100).unwrap()).await;
        if round % 3 == 0 {
            client.send("EHLO").await;
        }
    }
    running.until_open(0).await;
    running.connect_from(7).await.expect(&["220 "]).await;
    running.stop().await;
}
