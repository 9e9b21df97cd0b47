//! The program under systemd: sockets that are open before it starts, and what it says of itself.
//!
//! A few lines of Perl play systemd's part: they open sockets and become the relay.

use std::net::{IpAddr, Ipv4Addr};

use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::support::relay::{Relay, Setup};
use crate::support::smtp::Session;
use crate::support::{tool, wait};

/// Where the opened sockets are; the relay itself opens none there.
const HANDED: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 3));

/// Opens a socket for each of the names in its first argument and hands them on to the program in the others. The second
/// argument is what to say about whom they are for: `own` or `another` process. A name that ends in `/udp` is no stream.
const SYSTEMD: &str = r#"
    use strict; use warnings; use Socket; use Fcntl; use POSIX ();
    my ($names, $for) = splice @ARGV, 0, 2;
    my ($next, @kept, @names) = (3);
    for my $name (split /:/, $names) {
        my $type = $name =~ s{/udp$}{} ? SOCK_DGRAM : SOCK_STREAM;
        socket(my $socket, AF_INET, $type, 0) or die $!;
        bind($socket, pack_sockaddr_in(0, inet_aton("127.0.0.3"))) or die $!;
        if ($type == SOCK_STREAM) { listen($socket, 16) or die $! }
        my $copy = fcntl($socket, F_DUPFD, 100) or die $!;
        push @kept, $copy; push @names, $name; close $socket;
    }
    for my $copy (@kept) { POSIX::dup2($copy, $next++) or die $!; POSIX::close($copy) }
    $ENV{LISTEN_FDS} = @kept;
    $ENV{LISTEN_FDNAMES} = join ":", @names;
    $ENV{LISTEN_PID} = $for eq "own" ? $$ : $$ + 1;
    exec @ARGV or die $!;
"#;

fn activated(names: &str, process: &str) -> Setup {
    Setup::bare()
        .env("RESEND_API_KEY", "re_test_Secret123")
        .through(&["perl", "-e", SYSTEMD, names, process])
}

async fn is_served(relay: &Relay) {
    let mut session = Session::open(relay.smtp).await.unwrap();
    assert_eq!(session.command("QUIT").await.unwrap().code, 221);
    assert_eq!(relay.http.get("/health").await.status, 200);
}

#[tokio::test]
async fn sockets_that_systemd_has_opened_are_served() {
    if !tool::present("sockets_that_systemd_has_opened_are_served", &["perl"]) {
        return;
    }
    let relay = activated("http:smtp", "own").start().await;
    assert_eq!(relay.smtp.ip(), HANDED);
    assert!(relay.http.url("/").starts_with("http://127.0.0.3:"));
    is_served(&relay).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_kind_that_systemd_has_not_opened_is_opened_as_configured() {
    if !tool::present("a_kind_that_systemd_has_not_opened_is_opened_as_configured", &["perl"]) {
        return;
    }
    // Without a name that says what it is for, it is for SMTP.
    let relay = activated("mailferry.socket", "own").start().await;
    assert_eq!(relay.smtp.ip(), HANDED);
    assert!(relay.http.url("/").starts_with("http://127.0.0.1:"));
    is_served(&relay).await;
    relay.stop().await;
}

#[tokio::test]
async fn sockets_for_another_process_are_left_alone() {
    if !tool::present("sockets_for_another_process_are_left_alone", &["perl"]) {
        return;
    }
    let relay = activated("smtp:http", "another").start().await;
    assert_eq!(relay.smtp.ip(), Ipv4Addr::LOCALHOST);
    is_served(&relay).await;
    relay.stop().await;
}

#[tokio::test]
async fn a_socket_of_another_kind_stops_the_start_with_an_explanation() {
    if !tool::present("a_socket_of_another_kind_stops_the_start", &["perl"]) {
        return;
    }
    let ended = activated("smtp:smtp/udp", "own").run_to_end().await;
    assert_eq!(ended.status.code(), Some(1));
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(said.contains("socket 1 that systemd has opened cannot be used"), "{said}");
}

#[tokio::test]
async fn systemd_is_told_when_the_ports_are_open_and_when_the_end_begins() {
    let setup = Setup::bare().env("RESEND_API_KEY", "re_test_Secret123");
    let path = setup.home().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    let heard = async || {
        let mut message = [0; 4096];
        let length = timeout(wait::PATIENCE, systemd.recv(&mut message)).await.unwrap().unwrap();
        String::from_utf8_lossy(&message[..length]).trim().to_owned()
    };
    let relay = setup.env("NOTIFY_SOCKET", &path.to_string_lossy()).start().await;
    assert_eq!(heard().await, "READY=1");
    is_served(&relay).await;
    relay.sighup().await;
    let reloading = heard().await;
    let began = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
    assert!(began.parse::<u64>().unwrap() > 0);
    assert_eq!(heard().await, "READY=1");
    relay.stop().await;
    assert_eq!(heard().await, "STOPPING=1");
}
