//! Counts wrong tokens by client, so that guessing becomes slow and then stops: as `AUTH` of the SMTP side does.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::super::limiter::network;

/// Failures after which nothing more is compared.
pub(in crate::http) const FAILURES_MAX: u32 = 20;

/// How long it takes until one failure is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// How long the answer to the first failure is held back. It doubles with each.
const DELAY_MIN: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(15);

/// Clients that are remembered: less than a megabyte.
const CLIENTS_MAX: usize = 8192;

/// How long the answer to the last of so many failures is held back.
fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (DELAY_MIN * (1 << doublings)).min(DELAY_MAX)
}

/// The failures of all clients.
#[derive(Debug, Default)]
pub(in crate::http) struct Guesses {
    records: Mutex<HashMap<IpAddr, Record>>,
    hasher: RandomState,
}

#[derive(Debug)]
struct Record {
    failures: u32,
    /// Since when `failures` is right: one less for each [`FORGOTTEN_AFTER`] since then.
    since: Instant,
    /// The hash of the last wrong token. A program with an old token, which sends it again and again, learns nothing by
    /// that, and must not lock out the person behind the same address.
    last: u64,
}

impl Record {
    fn failures(&self, now: Instant) -> u32 {
        let forgotten =
            now.saturating_duration_since(self.since).as_secs() / FORGOTTEN_AFTER.as_secs();
        self.failures.saturating_sub(u32::try_from(forgotten).unwrap_or(u32::MAX))
    }

    /// Brings `failures` up to date; what has passed of the next minute stays passed.
    fn forget(&mut self, now: Instant) {
        let left = self.failures(now);
        if left == 0 {
            self.since = now;
        } else {
            self.since += FORGOTTEN_AFTER * (self.failures - left);
        }
        self.failures = left;
    }
}

impl Guesses {
    /// How many seconds this client must wait before a token of its is looked at. `None`: not at all.
    pub(in crate::http) fn wait(&self, client: IpAddr, now: Instant) -> Option<u64> {
        let records = self.records();
        let record = records.get(&network(client))?;
        if record.failures(now) < FAILURES_MAX {
            return None;
        }
        let passed = now.saturating_duration_since(record.since).as_secs();
        // As many minutes as failures are too many, less what has passed of them.
        let surplus = u64::from(record.failures - FAILURES_MAX) + 1;
        Some((surplus * FORGOTTEN_AFTER.as_secs()).saturating_sub(passed).max(1))
    }

    /// Counts a failure, and says how long the answer is to be held back.
    pub(in crate::http) fn failed(&self, client: IpAddr, token: &str, now: Instant) -> Duration {
        let last = self.hasher.hash_one(token);
        let mut records = self.records();
        let client = network(client);
        if records.len() >= CLIENTS_MAX && !records.contains_key(&client) {
            make_room(&mut records, now);
        }
        let record = records.entry(client).or_insert(Record { failures: 0, since: now, last });
        record.forget(now);
        if record.failures == 0 || record.last != last {
            record.failures = (record.failures + 1).min(FAILURES_MAX);
            record.last = last;
        }
        delay(record.failures)
    }

    fn records(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        // What a panicking thread left behind is still a count.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of all who have nothing to be remembered, else of the one with the fewest failures.
fn make_room(records: &mut HashMap<IpAddr, Record>, now: Instant) {
    records.retain(|_, record| record.failures(now) > 0);
    if records.len() < CLIENTS_MAX {
        return;
    }
    let mildest = records.iter().min_by_key(|(_, record)| record.failures(now));
    if let Some(client) = mildest.map(|(client, _)| *client) {
        records.remove(&client);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
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
        for n in 0..u32::try_from(CLIENTS_MAX + 10).unwrap() {
            guesses.failed(IpAddr::V4(n.into()), "guess", now);
        }
        assert_eq!(guesses.records().len(), CLIENTS_MAX);
        assert!(guesses.wait(address("203.0.113.1"), now).is_some());
    }
}
