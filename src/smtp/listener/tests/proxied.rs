//! Clients behind a load balancer, which is at 127.0.0.5.

use super::*;

const BALANCER: u8 = 5;

/// Only 10.0.0.0/8 is trusted; strangers have two seats for each address.
fn config() -> SmtpConfig {
    SmtpConfig {
        trusted_networks: vec!["10.0.0.0/8".parse().unwrap()],
        proxy_networks: vec!["127.0.0.5/32".parse().unwrap()],
        max_connections: NonZeroUsize::new(8).unwrap(),
        ..super::config()
    }
}

fn header(client: &str) -> String {
    format!("PROXY TCP4 {client} 192.0.2.25 40000 25\r\n")
}

const MESSAGE: &str = "HELO x\r\nMAIL FROM:<ada@example.org>\r\nRCPT TO:<bob@example.net>\r\n\
                       DATA\r\nhi\r\n.\r\nQUIT\r\n";

#[tokio::test]
async fn the_address_in_the_header_is_the_client() {
    let running = Running::with(&config());
    let mut client = running.connect_from(BALANCER).await;
    // The dialogue comes in the same segment.
    client.send(&format!("{}{MESSAGE}", header("10.1.2.3"))).await;
    client.expect(&["220 ", "250 ", "250 ", "250 ", "354 ", "250 ", "221 "]).await;
    client.expect_end().await;
    let taken = running.stop().await.taken();
    assert_eq!(taken[0].peer, Some("10.1.2.3".parse().unwrap()));
    assert_eq!(&taken[0].raw[..], b"hi\r\n");
}

#[tokio::test]
async fn version_2_is_understood_in_any_pieces() {
    let running = Running::with(&config());
    let mut octets = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    octets.extend([10, 1, 2, 3, 192, 0, 2, 25, 0x9c, 0x40, 0, 25]);
    octets.extend(MESSAGE.as_bytes());
    let mut client = running.connect_from(BALANCER).await;
    client.0.get_ref().set_nodelay(true).unwrap();
    for octet in octets {
        client.0.write_all(&[octet]).await.unwrap();
        client.0.flush().await.unwrap();
    }
    client.expect(&["220 ", "250 ", "250 ", "250 ", "354 ", "250 ", "221 "]).await;
    assert_eq!(running.stop().await.contents(), ["hi\r\n"]);
}

#[tokio::test]
async fn a_stranger_behind_the_balancer_is_a_stranger() {
    let running = Running::with(&config());
    let mut client = running.connect_from(BALANCER).await;
    client.send(&format!("{}HELO x\r\nMAIL FROM:<>\r\n", header("203.0.113.7"))).await;
    client.expect(&["220 ", "250 ", "550 5.7.1"]).await;
    drop(client);
    running.stop().await;
}

#[tokio::test]
async fn a_balancer_that_speaks_for_itself_is_trusted_as_it_is() {
    let mut config = config();
    for (trusted, answer) in [("127.0.0.5/32", "250 2.1.0"), ("10.0.0.0/8", "550 5.7.1")] {
        config.trusted_networks = vec![trusted.parse().unwrap()];
        let running = Running::with(&config);
        for header in ["PROXY UNKNOWN\r\n", "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"] {
            let mut client = running.connect_from(BALANCER).await;
            client.send(&format!("{header}HELO x\r\nMAIL FROM:<>\r\n")).await;
            client.expect(&["220 ", "250 ", answer]).await;
        }
        running.stop().await;
    }
}

#[tokio::test]
async fn a_balancer_without_a_header_is_closed_without_a_word() {
    let running = Running::with(&config());
    for text in ["EHLO x\r\n", "PROXY TCP4 nonsense\r\n", "\r\n\r\nQUIT\r\n"] {
        let mut client = running.connect_from(BALANCER).await;
        client.send(text).await;
        client.expect_end().await;
    }
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_balancer_that_says_nothing_is_closed_and_its_seat_is_free() {
    let running = Running::with(&config());
    let mut client = running.connect_from(BALANCER).await;
    client.expect_end().await;
    running.until_open(0).await;
    running.stop().await;
}

#[tokio::test]
async fn seats_are_counted_for_the_clients_not_for_the_balancer() {
    let running = Running::with(&config());
    let connect = async |client: &str| {
        let mut connection = running.connect_from(BALANCER).await;
        connection.send(&header(client)).await;
        connection
    };
    let mut greeted = Vec::new();
    for client in ["203.0.113.7", "203.0.113.7", "203.0.113.8", "10.1.1.1", "10.1.1.1"] {
        let mut connection = connect(client).await;
        connection.expect(&["220 "]).await;
        greeted.push(connection);
    }
    for client in ["203.0.113.7", "10.1.1.1"] {
        connect(client).await.expect(&["421 4.7.0", ""]).await;
    }
    running.until_open(greeted.len()).await;
    running.stop().await;
}

#[tokio::test]
async fn others_must_not_send_a_header() {
    let running = Running::with(&config());
    let mut client = running.connect_from(6).await;
    client.send(&format!("{}{MESSAGE}", header("10.1.2.3"))).await;
    client.expect(&["220 ", "421 4.7.0 A PROXY header came from an address"]).await;
    client.expect_end().await;
    assert!(running.stop().await.taken().is_empty());
}

#[tokio::test]
async fn stopping_does_not_wait_for_headers() {
    let running = Running::with(&config());
    let mut client = running.connect_from(BALANCER).await;
    running.until_open(1).await;
    running.stop().await;
    client.expect_end().await;
}

#[tokio::test]
async fn whoever_has_come_may_hand_in_a_message_while_the_door_is_closed() {
    let running = Running::with(&config());
    let mut early = running.connect_from(BALANCER).await;
    early.send(&header("10.1.2.3")).await;
    early.expect(&["220 "]).await;
    // The system has connected this one; whether it has been accepted is all the same.
    let mut late = running.connect_from(BALANCER).await;
    running.shutdown.cancel();
    let refused = async || TcpStream::connect(running.address).await.is_err();
    for _ in 0..100_000 {
        if refused().await {
            break;
        }
        tokio::task::yield_now().await;
    }
    assert!(refused().await, "the balancer must find the door closed, and go to another");
    late.send(&format!("{}{MESSAGE}", header("10.1.2.4"))).await;
    late.expect(&["220 ", "250 ", "250 ", "250 ", "354 ", "250 ", "221 "]).await;
    early.send(MESSAGE.trim_end_matches("QUIT\r\n")).await;
    early.expect(&["250 ", "250 ", "250 ", "354 ", "250 "]).await;
    // It would stay; that is what the reply is for.
    early.expect(&["421 4.3.2 "]).await;
    early.expect_end().await;
    assert_eq!(running.stop().await.taken().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_connection_of_a_pool_is_sent_away_soon_after_the_door_is_closed() {
    let running = Running::with(&config());
    let mut client = running.connect_from(BALANCER).await;
    client.send(&header("10.1.2.3")).await;
    client.expect(&["220 "]).await;
    let begun = tokio::time::Instant::now();
    running.shutdown.cancel();
    client.expect(&["421 4.3.2 "]).await;
    let waited = begun.elapsed();
    assert!((FAREWELL..FAREWELL * 2).contains(&waited), "{waited:?}");
    running.stop().await;
}
