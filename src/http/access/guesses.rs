//! Counts wrong tokens by client, so that guessing becomes slow and then stops: as `AUTH` of the SMTP side does.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::stranger::{FAILURES_MAX, FORGOTTEN_AFTER, Failures, delay, network};

/// Failures of all whom one proxy speaks for. Whoever is in a trusted network may say that it is a proxy, and name another
/// client with each guess.
const FAILURES_OF_PROXY_MAX: u32 = 200;

/// How long it takes until one of these is forgotten.
const FORGOTTEN_OF_PROXY_AFTER: Duration = Duration::from_secs(6);

/// Clients and proxies that are remembered: about a megabyte.
const RECORDS_MAX: usize = 8192;

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
    failures: Failures,
    /// The hash of the last wrong token. A program with an old token, which sends it again and again, learns nothing by
    /// that, and must not lock out the person behind the same address.
    last: u64,
}

impl Guesses {
    /// How many seconds this client must wait before a token of its is looked at. `None`: not at all.
    pub(in crate::http) fn wait(&self, guesser: Guesser, now: Instant) -> Option<u64> {
        let records = self.records();
        let of = |whom: Whom| records.get(&whom)?.failures.wait(now, whom.failures_max());
        of(guesser.client).max(guesser.proxy.and_then(of))
    }

    /// Counts a failure, and says how long the answer is to be held back.
    pub(in crate::http) fn failed(&self, guesser: Guesser, token: &str, now: Instant) -> Duration {
        let last = self.hasher.hash_one(token);
        let mut records = self.records();
        let record = record(&mut records, guesser.client, now);
        let counts = record.failures.count(now) == 0 || record.last != last;
        if counts {
            record.failures.add(now, guesser.client.failures_max());
            record.last = last;
        }
        let delay = delay(record.failures.count(now));
        if counts && let Some(proxy) = guesser.proxy {
            self::record(&mut records, proxy, now).failures.add(now, proxy.failures_max());
        }
        delay
    }

    fn records(&self) -> MutexGuard<'_, HashMap<Whom, Record>> {
        // What a panicking thread left behind is still a count.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The record of `whom`.
fn record(records: &mut HashMap<Whom, Record>, whom: Whom, now: Instant) -> &mut Record {
    if records.len() >= RECORDS_MAX && !records.contains_key(&whom) {
        make_room(records, now);
    }
    let none = || Failures::none(now, whom.forgotten_after());
    records.entry(whom).or_insert_with(|| Record { failures: none(), last: 0 })
}

/// Lets go of all who have nothing to be remembered, else of the one with the fewest failures.
fn make_room(records: &mut HashMap<Whom, Record>, now: Instant) {
    records.retain(|_, record| record.failures.count(now) > 0);
    if records.len() < RECORDS_MAX {
        return;
    }
    let mildest = records.iter().min_by_key(|(_, record)| record.failures.count(now));
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
        assert_eq!(guess(&guesses, "192.0.2.2", 1, now), delay(1), "another client");
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
            assert_eq!(guesses.failed(address("192.0.2.1"), "old", now), delay(1));
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
