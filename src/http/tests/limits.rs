//! What a caller cannot take from the relay.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::client::{ask, read};
use super::store::Fault;
use super::{FakeStore, Setup};
use crate::config::{HttpConfig, RateLimit, SenderConfig};
use crate::http::patient::PATIENCE;

const JSON: (&str, &str) = ("Content-Type", "application/json");

#[tokio::test]
async fn test_mails_are_limited_for_each_caller() {
    let server = Setup::default().start().await;
    for n in 0..30 {
        let answer = server.post("/send-test-email", &[JSON], b"{}").await;
        assert_eq!(answer.status, 400, "request {n}");
    }
    let answer = server.post("/send-test-email", &[JSON], b"{}").await;
    assert_eq!((answer.status, answer.code()), (429, "too_many_requests".to_owned()));
    let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    assert_eq!(server.get("/api/v1/messages").await.status, 200);
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let server = Setup::default().start().await;
    let body = vec![b' '; 256 * 1024 + 1];
    let answer = server.post("/send-test-email", &[JSON], &body).await;
    assert_eq!((answer.status, answer.code()), (413, "payload_too_large".to_owned()));
    let answer = server.post("/send-test-email", &[JSON], &body[1..]).await;
    assert_eq!((answer.status, answer.code()), (400, "malformed_json".to_owned()));
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let server = Setup::default().start().await;
    let long = "a".repeat(40 * 1024);
    let answer = server.get_with("/health", &[("X-Long", &long)]).await;
    assert_eq!(answer.status, 431);
}

#[tokio::test(start_paused = true)]
async fn a_silent_store_keeps_nobody_waiting_for_long() {
    let store = FakeStore { fault: Fault::Silent, ..FakeStore::default() };
    let server = Setup { store, ..Setup::default() }.start().await;
    let start = Instant::now();
    assert_eq!(server.get("/health").await.status, 503);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    let start = Instant::now();
    let answer = server.get("/api/v1/messages").await;
    assert_eq!((answer.status, answer.code()), (503, "store_unavailable".to_owned()));
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_never_ends_ends_the_connection() {
    let server = Setup::default().start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
    let start = Instant::now();
    let mut rest = Vec::new();
    let _ = tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest).await;
    assert!(start.elapsed() <= Duration::from_secs(16), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_never_comes_is_not_waited_for() {
    let server = Setup::default().start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = "POST /send-test-email HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Content-Type: application/json\r\nContent-Length: 10\r\n\r\n{";
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read(&mut stream).await;
    assert_eq!((answer.status, answer.code()), (408, "body_timeout".to_owned()));
}

#[tokio::test]
async fn shutdown_closes_idle_connections_and_the_port() {
    let server = Setup::default().start().await;
    let mut kept = TcpStream::connect(server.address).await.unwrap();
    kept.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
    let mut first = [0_u8; 1];
    tokio::io::AsyncReadExt::read_exact(&mut kept, &mut first).await.unwrap();
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert!(TcpStream::connect(server.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_running_request_is_answered_before_the_end() {
    let store = FakeStore { fault: Fault::Silent, ..FakeStore::default() };
    let server = Setup { store, ..Setup::default() }.start().await;
    let address = server.address;
    let request = tokio::spawn(async move { ask(address, "GET", "/health", &[], b"").await });
    // The server has taken the request once its two seconds for the store run.
    tokio::time::sleep(Duration::from_secs(1)).await;
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert_eq!(request.await.unwrap().status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_never_asked_does_not_hold_up_the_end() {
    let server = Setup::default().start().await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    // An answer on a later connection shows that the silent one has been taken.
    assert_eq!(server.get("/health").await.status, 200);
    let start = Instant::now();
    server.shutdown.cancel();
    server.task.await.unwrap();
    assert!(start.elapsed() <= Duration::from_secs(16), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_does_not_read_is_cut_off() {
    let server = Setup::default().start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // More than the system keeps for a connection.
    let request = "GET /style.css HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let asked = 1_000;
    stream.write_all(request.repeat(asked).as_bytes()).await.unwrap();
    tokio::time::sleep(PATIENCE * 3).await;
    let mut got = Vec::new();
    let _ = stream.read_to_end(&mut got).await;
    let answers = got.windows(17).filter(|at| at == b"HTTP/1.1 200 OK\r\n").count();
    assert!((1..asked).contains(&answers), "{answers} answers");
    assert_eq!(server.get("/style.css").await.status, 200, "who reads is served");
}

#[tokio::test]
async fn submissions_and_retries_are_limited_together() {
    let server = Setup::default().start().await;
    let rate = RateLimit { calls: 2, per: Duration::from_hours(1) };
    let config = HttpConfig { submit_rate: rate, ..super::config() };
    server.control.change(&config, SenderConfig::default(), 3, 1 << 20, false);
    let retry = "/api/v1/messages/019a7f00-0000-7000-8000-000000000000/retry";
    assert_eq!(server.post(retry, &[], b"").await.status, 404);
    assert_eq!(server.post("/api/v1/messages", &[JSON], b"{}").await.status, 400);
    for path in ["/api/v1/messages", retry, "/api/v1/messages/retry-failed"] {
        let answer = server.post(path, &[JSON], b"").await;
        assert_eq!((answer.status, answer.code()), (429, "too_many_requests".to_owned()), "{path}");
        let seconds: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((3500..=3600).contains(&seconds), "{seconds}");
    }
    assert_eq!(server.post("/send-test-email", &[JSON], b"{}").await.status, 400, "its own limit");
}
