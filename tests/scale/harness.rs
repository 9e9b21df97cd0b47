//! The means of the other tests: that a wire is cut, that a clock is wrong, that a standby has what its server has.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

use super::cut::{Cut, Wire};
use super::fleet::has_postgres;
use super::postgres::Server;

/// Says back what it hears.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

/// Says something and hears it again.
async fn ask(stream: &mut TcpStream) -> std::io::Result<()> {
    stream.write_all(b"hello").await?;
    let mut heard = [0; 5];
    stream.read_exact(&mut heard).await?;
    assert_eq!(&heard, b"hello");
    Ok(())
}

#[tokio::test]
async fn a_wire_is_cut_and_mended() {
    let cut = Cut::before(echo().await).await;
    let mut stream = TcpStream::connect(cut.address).await.unwrap();
    ask(&mut stream).await.unwrap();

    cut.becomes(Wire::Slow(Duration::from_millis(60)));
    let begun = Instant::now();
    ask(&mut stream).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(120), "{:?}", begun.elapsed());

    for wire in [Wire::Silent, Wire::Unanswered] {
        cut.becomes(wire);
        let silence = timeout(Duration::from_millis(200), ask(&mut stream)).await;
        assert!(silence.is_err(), "{wire:?} let something pass");
        cut.becomes(Wire::Whole);
        // What was under way arrives.
        let mut late = [0; 5];
        stream.read_exact(&mut late).await.unwrap();
        ask(&mut stream).await.unwrap();
    }

    cut.becomes(Wire::Reset);
    ask(&mut stream).await.unwrap_err();
    let again = async { ask(&mut TcpStream::connect(cut.address).await?).await };
    again.await.unwrap_err();
    cut.becomes(Wire::Whole);
    ask(&mut TcpStream::connect(cut.address).await.unwrap()).await.unwrap();
}

#[test]
fn a_promoted_standby_has_what_was_committed() {
    if !has_postgres("a_promoted_standby_has_what_was_committed") {
        return;
    }
    let mut primary = Server::start(&[]);
    let standby = primary.standby(&[]);
    primary.wait_for_standby();
    primary.sql("postgres", "CREATE TABLE kept (number integer)");
    primary.sql("postgres", "INSERT INTO kept VALUES (7)");
    assert_eq!(standby.sql("postgres", "SELECT pg_is_in_recovery()"), "t");
    primary.stop("immediate");
    standby.promote();
    assert_eq!(standby.sql("postgres", "SELECT number FROM kept"), "7");
    standby.sql("postgres", "INSERT INTO kept VALUES (8)");
}
