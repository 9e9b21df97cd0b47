//! The program when it has run out of what the system gives it.

use crate::support::relay::Setup;
use crate::support::smtp::Session;
use crate::support::wait;

use tokio::net::TcpStream;

/// Files and sockets that the relay may have open: enough for itself and a few clients.
const FILES_MAX: usize = 64;

#[tokio::test]
async fn without_file_descriptors_clients_wait_and_the_log_stays_small() {
    let limited = format!("ulimit -n {FILES_MAX}; exec \"$@\"");
    let setup = Setup::bare()
        .env("RESEND_API_KEY", "re_test_Secret123")
        .through(&["sh", "-c", &limited, "sh"]);
    let relay = setup.start().await;
    let mut idle = Vec::new();
    for _ in 0..2 * FILES_MAX {
        idle.push(TcpStream::connect(relay.smtp).await.unwrap());
    }
    let lines = || relay.log().matches("cannot accept an SMTP connection").count();
    // More than one line: it goes on trying, and pauses in between.
    wait::until_true("it has no more descriptors", || lines() >= 5).await;
    drop(idle);
    let mut session = Session::open(relay.smtp).await.unwrap();
    assert_eq!(session.command("NOOP").await.unwrap().code, 250);
    assert!(lines() <= 10, "{}", relay.log());
    relay.stop().await;
}
