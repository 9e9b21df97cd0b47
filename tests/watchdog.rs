//! `contrib/health-watchdog.sh` against a server that says what the test wants to hear.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/contrib/health-watchdog.sh");

/// Answers the next `checks` requests with this status, one after the other.
fn health_says(status: &'static str, checks: usize) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = thread::spawn(move || {
        for _ in 0..checks {
            let (mut client, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let read = client.read(&mut buffer).unwrap();
                assert_ne!(read, 0, "the request breaks off");
                request.extend_from_slice(&buffer[..read]);
            }
            assert!(request.starts_with(b"GET /health HTTP/1."));
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{{}}");
            client.write_all(answer.as_bytes()).unwrap();
        }
    });
    (address, server)
}

/// The script's world: its state, its log, and a restart command that only leaves a mark.
struct Cron {
    folder: TempDir,
}

impl Cron {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// One run, as cron makes it; a restart is due at the third failure.
    fn run(&self, address: SocketAddr) -> Output {
        self.run_with(address, "echo again >> restarts")
    }

    fn run_with(&self, address: SocketAddr, restart: &str) -> Output {
        Command::new("sh")
            .arg(SCRIPT)
            .current_dir(self.folder.path())
            .env("WATCHDOG_URL", format!("http://{address}/health"))
            .env("WATCHDOG_TIMEOUT", "1")
            .env("WATCHDOG_FAILURES", "3")
            .env("WATCHDOG_STATE", self.folder.path())
            .env("WATCHDOG_LOG", self.path("log"))
            .env("WATCHDOG_RESTART", restart)
            .output()
            .unwrap()
    }

    fn restarts(&self) -> usize {
        read(&self.path("restarts")).lines().count()
    }

    fn log(&self) -> String {
        read(&self.path("log"))
    }
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

#[test]
fn the_service_is_restarted_at_the_third_failure_in_a_row() {
    let (address, server) = health_says("503 Service Unavailable", 3);
    let cron = Cron::new();
    for restarts_expected in [0, 0, 1] {
        assert_eq!(cron.run(address).status.code(), Some(1));
        assert_eq!(cron.restarts(), restarts_expected, "{}", cron.log());
    }
    server.join().unwrap();
    assert!(cron.log().contains("restarting: echo again"), "{}", cron.log());
}

#[test]
fn no_answer_counts_as_a_failure() {
    // Bound and never accepted: connections succeed, answers never come.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let cron = Cron::new();
    fs::write(cron.path("failures"), "2\n").unwrap();
    assert_eq!(cron.run(listener.local_addr().unwrap()).status.code(), Some(1));
    assert_eq!(cron.restarts(), 1, "{}", cron.log());
}

#[test]
fn a_degraded_service_is_left_alone_and_ends_a_row_of_failures() {
    // /health answers 200 when degraded.
    let (address, server) = health_says("200 OK", 1);
    let cron = Cron::new();
    fs::write(cron.path("failures"), "2\n").unwrap();
    assert_eq!(cron.run(address).status.code(), Some(0));
    server.join().unwrap();
    assert_eq!(cron.restarts(), 0);
    assert!(!cron.path("failures").exists());
}

#[test]
fn an_answer_that_is_not_ours_restarts_nothing() {
    let (address, server) = health_says("404 Not Found", 1);
    let cron = Cron::new();
    fs::write(cron.path("failures"), "9\n").unwrap();
    assert_eq!(cron.run(address).status.code(), Some(1));
    server.join().unwrap();
    assert_eq!(cron.restarts(), 0);
    assert!(cron.log().contains("answered 404"), "{}", cron.log());
}

#[test]
fn a_second_restart_waits_for_the_cooldown() {
    let (address, server) = health_says("503 Service Unavailable", 6);
    let cron = Cron::new();
    for _ in 0..6 {
        cron.run(address);
    }
    server.join().unwrap();
    assert_eq!(cron.restarts(), 1, "{}", cron.log());

    // Long ago: the time of the last restart, in seconds since 1970.
    let (address, server) = health_says("503 Service Unavailable", 1);
    fs::write(cron.path("restarted"), "1000\n").unwrap();
    cron.run(address);
    server.join().unwrap();
    assert_eq!(cron.restarts(), 2, "{}", cron.log());
}

#[test]
fn a_run_that_meets_another_does_nothing() {
    let (address, server) = health_says("503 Service Unavailable", 1);
    let cron = Cron::new();
    let lock = fs::File::create(cron.path("lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(cron.run(address).status.code(), Some(0));
    assert!(!cron.path("failures").exists());
    lock.unlock().unwrap();

    cron.run(address);
    server.join().unwrap();
    assert_eq!(read(&cron.path("failures")), "1\n");
}

#[test]
fn a_failed_restart_command_is_logged_with_its_words() {
    let (address, server) = health_says("503 Service Unavailable", 1);
    let cron = Cron::new();
    fs::write(cron.path("failures"), "2\n").unwrap();
    let output = cron.run_with(address, "echo no such unit >&2; exit 5");
    server.join().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(cron.log().contains("restart command failed: no such unit"), "{}", cron.log());
}

#[test]
fn a_setting_that_is_no_number_is_refused() {
    let cron = Cron::new();
    let output = Command::new("sh")
        .arg(SCRIPT)
        .env("WATCHDOG_FAILURES", "three")
        .env("WATCHDOG_STATE", cron.folder.path())
        .env("WATCHDOG_LOG", cron.path("log"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(cron.log().contains("WATCHDOG_FAILURES must be a whole number"), "{}", cron.log());
}
