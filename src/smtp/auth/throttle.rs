//! Counts failed logins by address, so that guessing becomes slow and then stops.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::smtp::network;

/// Failures after which an address must wait. An app with a wrong password that sends a burst of mail gets there, and so
/// does whoever guesses.
const FAILURES_MAX: u32 = 20;

/// How long it takes until one failure is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// How long the first failure is held back. It doubles with each.
const DELAY_MIN: Duration = Duration::from_millis(250);
const DELAY_MAX: Duration = Duration::from_secs(15);

/// Addresses that are remembered: some megabytes.
const ADDRESSES_MAX: usize = 20_000;

/// Users of one address that are remembered to have logged in.
const USERS_MAX: usize = 16;

/// How long the answer to the last of so many failures is held back.
pub(in crate::smtp) fn delay(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (DELAY_MIN * (1 << doublings)).min(DELAY_MAX)
}

/// The failures of all addresses. Addresses count by their [`network`].
#[derive(Debug, Default)]
pub(super) struct Throttle {
    records: Mutex<HashMap<IpAddr, Record>>,
    names: RandomState,
}

/// What is known of one address.
#[derive(Debug)]
struct Record {
    failures: u32,
    /// Since when `failures` is right: one less for each [`FORGOTTEN_AFTER`] since then.
    since: Instant,
    /// Hashes of the names of those who have logged in from here, and not failed since. An app with a wrong password
    /// must not lock out its neighbours behind the same address; who guesses a known name loses it by the first try.
    known: Vec<u64>,
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

impl Throttle {
    /// True when this address has failed so often that `username` is not to be looked at.
    pub(super) fn refuses(&self, address: IpAddr, username: &str) -> bool {
        let name = self.hash(username);
        let records = self.records();
        records.get(&network::of(address)).is_some_and(|record| {
            record.failures(Instant::now()) >= FAILURES_MAX && !record.known.contains(&name)
        })
    }

    /// The failures of this address that are not forgotten yet.
    pub(super) fn failures(&self, address: IpAddr) -> u32 {
        let records = self.records();
        records.get(&network::of(address)).map_or(0, |record| record.failures(Instant::now()))
    }

    /// Counts a failure.
    pub(super) fn failed(&self, address: IpAddr, username: &str) {
        let name = self.hash(username);
        self.with_record(address, |record| {
            record.failures = record.failures.saturating_add(1).min(2 * FAILURES_MAX);
            record.known.retain(|known| *known != name);
        });
    }

    /// Remembers who has logged in.
    pub(super) fn succeeded(&self, address: IpAddr, username: &str) {
        let name = self.hash(username);
        self.with_record(address, |record| {
            record.known.retain(|known| *known != name);
            if record.known.len() == USERS_MAX {
                record.known.remove(0);
            }
            record.known.push(name);
        });
    }

    fn with_record(&self, address: IpAddr, change: impl FnOnce(&mut Record)) {
        let now = Instant::now();
        let mut records = self.records();
        let network = network::of(address);
        if records.len() >= ADDRESSES_MAX && !records.contains_key(&network) {
            make_room(&mut records, now);
        }
        let record = records.entry(network).or_insert_with(|| Record {
            failures: 0,
            since: now,
            known: Vec::new(),
        });
        record.forget(now);
        change(record);
    }

    /// Names are kept as hashes with a key of this process: they may be tokens.
    fn hash(&self, username: &str) -> u64 {
        self.names.hash_one(username)
    }

    fn records(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        // Nothing panics while it is held, and a record is valid after every step.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops a tenth of the addresses, those with the fewest failures first: whoever has many addresses pushes out records
/// with as few failures as its own, and not those of persistent guessers.
fn make_room(records: &mut HashMap<IpAddr, Record>, now: Instant) {
    let mut failures: Vec<u32> = records.values().map(|record| record.failures(now)).collect();
    let tenth = failures.len() / 10;
    let (_, most, _) = failures.select_nth_unstable(tenth);
    let most = *most;
    let mut left = tenth.max(1);
    records.retain(|_, record| {
        let goes = left > 0 && record.failures(now) <= most;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

    fn v6(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn failed(throttle: &Throttle, address: IpAddr, times: u32) {
        for _ in 0..times {
            throttle.failed(address, "ada");
        }
    }

    #[test]
    fn the_delay_doubles_up_to_a_limit() {
        let delays: Vec<u128> = (1..=8).map(|failures| delay(failures).as_millis()).collect();
        assert_eq!(delays, [250, 500, 1000, 2000, 4000, 8000, 15_000, 15_000]);
        assert_eq!(delay(u32::MAX), DELAY_MAX);
        assert_eq!(delay(0), DELAY_MIN);
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_lock_the_address_until_they_are_forgotten() {
        let throttle = Throttle::default();
        failed(&throttle, ADDRESS, FAILURES_MAX - 1);
        assert!(!throttle.refuses(ADDRESS, "ada"));
        failed(&throttle, ADDRESS, 1);
        assert!(throttle.refuses(ADDRESS, "ada"));
        assert!(!throttle.refuses(v6("2001:db8::1"), "ada"));
        tokio::time::advance(FORGOTTEN_AFTER - Duration::from_secs(1)).await;
        assert!(throttle.refuses(ADDRESS, "ada"));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!throttle.refuses(ADDRESS, "ada"));
        assert_eq!(throttle.failures(ADDRESS), FAILURES_MAX - 1);
        tokio::time::advance(FORGOTTEN_AFTER * FAILURES_MAX).await;
        assert_eq!(throttle.failures(ADDRESS), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_further_failure_does_not_stop_the_forgetting() {
        let throttle = Throttle::default();
        failed(&throttle, ADDRESS, 3);
        for _ in 0..3 {
            tokio::time::advance(FORGOTTEN_AFTER * 3 / 2).await;
            failed(&throttle, ADDRESS, 1);
        }
        // Four and a half minutes: four of six failures are gone.
        assert_eq!(throttle.failures(ADDRESS), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_lock_does_not_last_longer_than_twice_its_failures() {
        let throttle = Throttle::default();
        failed(&throttle, ADDRESS, 10_000);
        tokio::time::advance(FORGOTTEN_AFTER * (FAILURES_MAX + 1)).await;
        assert!(!throttle.refuses(ADDRESS, "ada"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_neighbour_who_has_logged_in_is_not_locked_out() {
        let throttle = Throttle::default();
        throttle.succeeded(ADDRESS, "bob");
        failed(&throttle, ADDRESS, FAILURES_MAX);
        assert!(throttle.refuses(ADDRESS, "ada"));
        assert!(!throttle.refuses(ADDRESS, "bob"));
        throttle.failed(ADDRESS, "bob");
        assert!(throttle.refuses(ADDRESS, "bob"), "one guess is not many");
    }

    #[tokio::test(start_paused = true)]
    async fn ipv6_counts_by_the_64() {
        let throttle = Throttle::default();
        for host in 0..u128::from(FAILURES_MAX) {
            let base = 0x2001_0db8_0000_0001_u128 << 64;
            throttle.failed(Ipv6Addr::from_bits(base | host).into(), "ada");
        }
        assert!(throttle.refuses(v6("2001:db8:0:1:ffff::1"), "ada"));
        assert!(!throttle.refuses(v6("2001:db8:0:2::1"), "ada"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_keeps_the_worst() {
        let throttle = Throttle::default();
        failed(&throttle, ADDRESS, FAILURES_MAX);
        for host in 0..3 * u32::try_from(ADDRESSES_MAX).unwrap() {
            let base = 0x2001_0db8_u128 << 96;
            throttle.failed(Ipv6Addr::from_bits(base | u128::from(host) << 64).into(), "ada");
        }
        assert!(throttle.records().len() <= ADDRESSES_MAX);
        assert!(throttle.refuses(ADDRESS, "ada"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_users_of_an_address_are_remembered() {
        let throttle = Throttle::default();
        for number in 0..100 {
            throttle.succeeded(ADDRESS, &format!("user-{number}"));
        }
        failed(&throttle, ADDRESS, FAILURES_MAX);
        let spared = (0..100).filter(|n| !throttle.refuses(ADDRESS, &format!("user-{n}"))).count();
        assert_eq!(spared, USERS_MAX);
    }
}
