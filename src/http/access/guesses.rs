//! Counts wrong tokens by client, so that guessing becomes slow and then stops: as `AUTH` of the SMTP side does.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::limiter::network;

/// Failures of one client after which nothing more of it is compared.
const FAILURES_MAX: u32 = 20;

/// Failures of all whom one proxy speaks for. Whoever is in a trusted network may say that it is a proxy, and name another
/// client with each guess.
const FAILURES_OF_PROXY_MAX: u32 = 200;

/// How long it takes until one failure is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);
const FORGOTTEN_OF_PROXY_AFTER: Duration = Duration::from_secs(6);

/// How long the answer to the first failure is held back. It doubles with each.
const DELAY_MIN: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(15);

/// Clients and proxies that are remembered: less than a megabyte.
const RECORDS_MAX: usize = 8192;

/// How long the answer to the last of so many failures is held back.
fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (DELAY_MIN * (1 << doublings)).min(DELAY_MAX)
}

/// Whose guess it is: the client's that it is counted for, and the TCP peer's.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Guesser {
    client: Whom,
    /// Who speaks for the client, if that is not itself.
    proxy: Option<Whom>,
}

impl Guesser {
    pub(in crate::http) fn new(peer: IpAddr, client: IpAddr) -> Self {
        let (peer, client) = (network(peer), network(client));
        let proxy = (peer != client).then_some(Whom::Proxy(peer));
        Self { client: Whom::Client(client), proxy }
    }
}

/// Whom failures are counted for. IPv6: a network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Whom {
    Client(IpAddr),
    Proxy(IpAddr),
}

impl Whom {
    fn failures_max(self) -> u32 {
        match self {
            Self::Client(_) => FAILURES_MAX,
            Self::Proxy(_) => FAILURES_OF_PROXY_MAX,
        }
    }

    fn forgotten_after(self) -> Duration {
        match self {
            Self::Client(_) => FORGOTTEN_AFTER,
            Self::Proxy(_) => FORGOTTEN_OF_PROXY_AFTER,
        }
    }
}

/// The failures of all clients.
#[derive(Debug, Default)]
pub(in crate::http) struct Guesses {
    records: Mutex<HashMap<Whom, Record>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Record {
    whom: Whom,
    failures: u32,
    /// Since when `failures` is right: one less for each `forgotten_after` since then.
    since: Instant,
    /// The hash of the last wrong token. A program with an old token, which sends it again and again, learns nothing by
    /// that, and must not lock out the person behind the same address.
    last: u64,
}

impl Record {
    fn failures(&self, now: Instant) -> u32 {
        let passed = now.saturating_duration_since(self.since).as_secs();
        let forgotten = passed / self.whom.forgotten_after().as_secs();
        self.failures.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    /// Brings `failures` up to date; what has passed of the time of the next stays passed.
    fn forget(&mut self, now: Instant) {
        let left = self.failures(now);
        if left == 0 {
            self.since = now;
        } else {
            self.since += self.whom.forgotten_after() * (self.failures - left);
        }
        self.failures = left;
    }

    fn count(&mut self) {
        self.failures = (self.failures + 1).min(self.whom.failures_max());
    }

    /// Seconds until it is one failure below the most.
    fn wait(&self, now: Instant) -> Option<u64> {
        let max = self.whom.failures_max();
        if self.failures(now) < max {
            return None;
        }
        let passed = now.saturating_duration_since(self.since).as_secs();
        // As many steps as failures are too many, less what has passed of them.
        let surplus = u64::from(self.failures.saturating_sub(max)) + 1;
        let step = self.whom.forgotten_after().as_secs();
        Some((surplus * step).saturating_sub(passed).max(1))
    }
}

impl Guesses {
    /// How many seconds this client must wait before a token of its is looked at. `None`: not at all.
    pub(in crate::http) fn wait(&self, guesser: Guesser, now: Instant) -> Option<u64> {
        let records = self.records();
        let of = |whom: Whom| records.get(&whom)?.wait(now);
        of(guesser.client).max(guesser.proxy.and_then(of))
    }

    /// Counts a failure, and says how long the answer is to be held back.
    pub(in crate::http) fn failed(&self, guesser: Guesser, token: &str, now: Instant) -> Duration {
        let last = self.hasher.hash_one(token);
        let mut records = self.records();
        let record = record(&mut records, guesser.client, now);
        let counts = record.failures == 0 || record.last != last;
        if counts {
            record.count();
            record.last = last;
        }
        let delay = delay(record.failures);
        if counts && let Some(proxy) = guesser.proxy {
            self::record(&mut records, proxy, now).count();
        }
        delay
    }

    fn records(&self) -> MutexGuard<'_, HashMap<Whom, Record>> {
        // What a panicking thread left behind is still a count.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record of `whom`, brought up to date.
fn record(records: &mut HashMap<Whom, Record>, whom: Whom, now: Instant) -> &mut Record {
    if records.len() >= RECORDS_MAX && !records.contains_key(&whom) {
        make_room(records, now);
    }
    let record = records.entry(whom).or_insert(Record { whom, failures: 0, since: now, last: 0 });
    record.forget(now);
    record
}

/// Lets go of all who have nothing to be remembered, else of the one with the fewest failures.
fn make_room(records: &mut HashMap<Whom, Record>, now: Instant) {
    records.retain(|_, record| record.failures(now) > 0);
    if records.len() < RECORDS_MAX {
        return;
    }
    let mildest = records.iter().min_by_key(|(_, record)| record.failures(now));
    if let Some(whom) = mildest.map(|(whom, _)| *whom) {
        records.remove(&whom);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who speaks for himself.
    fn address(text: &str) -> Guesser {
        behind(text, text)
    }

    fn behind(peer: &str, client: &str) -> Guesser {
        Guesser::new(peer.parse().unwrap(), client.parse().unwrap())
    }

    fn guess(guesses: &Guesses, client: &str, count: u32, now: Instant) -> Duration {
        let each = |n| guesses.failed(address(client), &format!("guess {n}"), now);
        (0..count).map(each).last().unwrap()
    }

    #[test]
    fn each_failure_is_answered_later_than_the_one_before() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let delays = (0..8).map(|n| guesses.failed(address("192.0.2.1"), &n.to_string(), now));
        let delays: Vec<u128> = delays.map(|delay| delay.as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        assert_eq!(guess(&guesses, "192.0.2.2", 1, now), DELAY_MIN, "another client");
    }

    #[test]
    fn a_guesser_is_stopped_and_let_go_on_slowly() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let wait =
            |after| guesses.wait(address("2001:db8::ffff"), now + Duration::from_secs(after));
        guess(&guesses, "2001:db8::1", FAILURES_MAX - 1, now);
        assert_eq!(wait(0), None);
        guesses.failed(address("2001:db8::2"), "another", now);
        assert_eq!((wait(0), wait(59), wait(60)), (Some(60), Some(1), None));
        assert_eq!(guesses.wait(address("2001:db8:0:1::1"), now), None, "another network");
    }

    #[test]
    fn a_program_with_an_old_token_locks_nobody_out() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for _ in 0..1000 {
            assert_eq!(guesses.failed(address("192.0.2.1"), "old", now), DELAY_MIN);
        }
        assert_eq!(guesses.wait(address("192.0.2.1"), now), None);
    }

    #[test]
    fn who_guesses_most_is_remembered_when_there_is_no_room() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        guess(&guesses, "203.0.113.1", FAILURES_MAX, now);
        for n in 0..u32::try_from(RECORDS_MAX + 10).unwrap() {
            let client = IpAddr::V4(n.into());
            guesses.failed(Guesser::new(client, client), "guess", now);
        }
        assert_eq!(guesses.records().len(), RECORDS_MAX);
        assert!(guesses.wait(address("203.0.113.1"), now).is_some());
    }

    #[test]
    fn who_names_another_client_with_each_guess_is_stopped_too() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        let claim = |n: u32| Guesser::new([192, 168, 1, 7].into(), IpAddr::V4(n.into()));
        for n in 0..FAILURES_OF_PROXY_MAX {
            assert_eq!(guesses.wait(claim(n), now), None, "{n}");
            guesses.failed(claim(n), &format!("guess {n}"), now);
        }
        let after = |seconds| guesses.wait(claim(9999), now + Duration::from_secs(seconds));
        assert_eq!((after(0), after(5), after(6)), (Some(6), Some(1), None));
        assert_eq!(guesses.wait(behind("192.168.1.8", "203.0.113.1"), now), None, "another proxy");
        assert_eq!(guesses.wait(address("192.168.1.7"), now), None, "the proxy's own");
    }

    #[test]
    fn programs_with_old_tokens_lock_nobody_out_behind_their_proxy() {
        let (guesses, now) = (Guesses::default(), Instant::now());
        for n in 0..1000 {
            let client = ["203.0.113.1", "203.0.113.2"][n % 2];
            guesses.failed(behind("10.0.0.1", client), client, now);
        }
        assert_eq!(guesses.wait(behind("10.0.0.1", "203.0.113.3"), now), None);
    }
}
