//! Sends mail at a steady pace and says how long each 250 took.
//!
//!     pace ADDRESS RATE SECONDS SESSIONS OCTETS
//!
//! RATE messages per second in all, spread evenly over SESSIONS kept-open connections. What is measured is the promise: from the
//! last octet of the content to the 250. A message whose turn came while its session still waited for the 250 before
//! has waited as well, and that time is added; otherwise a server that stalls would be measured
//! only once per session.
//!
//! Only the standard library, so that plain `rustc -O` builds it. Prints one JSON object.

use std::env;
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, rate, seconds, sessions, octets] = arguments.as_slice() else {
        return Err("usage: pace ADDRESS RATE SECONDS SESSIONS OCTETS".into());
    };
    let (rate, seconds): (f64, f64) = (rate.parse()?, seconds.parse()?);
    let (sessions, octets): (u32, usize) = (sessions.parse()?, octets.parse()?);

    let content = content(octets);
    let interval = Duration::from_secs_f64(f64::from(sessions) / rate);
    let turns = (seconds * rate / f64::from(sessions)) as u32;
    let mut clients = Vec::new();
    for _ in 0..sessions {
        clients.push(Client::connect(address)?);
    }

    let start = Instant::now() + Duration::from_millis(100);
    let running: Vec<_> = clients
        .into_iter()
        .zip(0..)
        .map(|(client, place)| {
            let content = content.clone();
            let first = start + interval / sessions * place;
            thread::spawn(move || client.keep_pace(first, interval, turns, &content))
        })
        .collect();

    let mut waits = Vec::new();
    for session in running {
        waits.extend(session.join().map_err(|_| "a session panicked")??);
    }
    waits.sort();
    let elapsed = start.elapsed().as_secs_f64();
    let at = |share: f64| {
        let place = (waits.len() as f64 * share) as usize;
        waits.get(place.min(waits.len().saturating_sub(1))).map_or(0, Duration::as_micros)
    };
    println!(
        r#"{{"sent": {}, "per_second": {:.1}, "p50_us": {}, "p90_us": {}, "p99_us": {}, "max_us": {}}}"#,
        waits.len(),
        waits.len() as f64 / elapsed,
        at(0.5),
        at(0.9),
        at(0.99),
        at(1.0),
    );
    Ok(())
}

/// A small message of about this size, with the end of data.
fn content(octets: usize) -> Vec<u8> {
    let mut content = Vec::from(
        "From: a@example.org\r\nTo: b@example.org\r\nSubject: pace\r\n\
         Date: Sat, 21 Nov 2026 12:00:00 +0000\r\nMessage-ID: <pace@example.org>\r\n\r\n",
    );
    while content.len() < octets {
        content.extend_from_slice(
            b"The quick brown fox jumps over the lazy dog, and over the fence.\r\n",
        );
    }
    content.extend_from_slice(b".\r\n");
    content
}

/// One SMTP session.
struct Client {
    read: BufReader<TcpStream>,
    write: TcpStream,
}

impl Client {
    fn connect(address: &str) -> io::Result<Self> {
        let write = TcpStream::connect(address)?;
        write.set_nodelay(true)?;
        write.set_read_timeout(Some(ANSWER_TIME_MAX))?;
        let mut client = Self { read: BufReader::new(write.try_clone()?), write };
        client.expect("220")?;
        client.write.write_all(b"EHLO pace.example\r\n")?;
        client.expect("250")?;
        Ok(client)
    }

    /// Sends `turns` messages, one per interval, and returns how long each had to wait for its 250.
    fn keep_pace(
        mut self,
        first: Instant,
        interval: Duration,
        turns: u32,
        content: &[u8],
    ) -> io::Result<Vec<Duration>> {
        let mut waits = Vec::new();
        let mut free = first;
        for turn in 0..turns {
            let due = first + interval * turn;
            thread::sleep(due.saturating_duration_since(Instant::now()));
            let held_up = free.saturating_duration_since(due);
            waits.push(held_up + self.send(content)?);
            free = Instant::now();
        }
        self.write.write_all(b"QUIT\r\n")?;
        self.expect("221")?;
        Ok(waits)
    }

    /// One transaction; the time from the end of the content to the 250.
    fn send(&mut self, content: &[u8]) -> io::Result<Duration> {
        self.write
            .write_all(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\nDATA\r\n")?;
        self.expect("250")?;
        self.expect("250")?;
        self.expect("354")?;
        self.write.write_all(content)?;
        let sent = Instant::now();
        self.expect("250")?;
        Ok(sent.elapsed())
    }

    /// Reads one reply, of one or more lines.
    fn expect(&mut self, code: &str) -> io::Result<()> {
        loop {
            let mut line = String::new();
            if self.read.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if !line.starts_with(code) {
                return Err(io::Error::other(format!("expected {code}, got {}", line.trim_end())));
            }
            if line.as_bytes().get(3) != Some(&b'-') {
                return Ok(());
            }
        }
    }
}
