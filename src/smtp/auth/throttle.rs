//! Counts failed logins by client, so that guessing becomes slow and then stops.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::smtp::session::Peer;
use crate::stranger::{FAILURES_MAX, FORGOTTEN_AFTER, Failures, network};

/// Clients that are remembered: some megabytes.
const CLIENTS_MAX: usize = 20_000;

/// Users of one client that are remembered to have logged in.
const USERS_MAX: usize = 16;

/// Whom failures are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::smtp) enum Guesser {
    /// An app of ours, by its address and the hash of the user name. Many apps may come by one address (the bridge of
    /// containers, NAT): one with a wrong password must not lock out the others.
    Trusted(IpAddr, u64),
    /// By its [`network`]. Whatever names it tries, it is one.
    Stranger(IpAddr),
}

/// The failures of all clients.
#[derive(Debug, Default)]
pub(super) struct Throttle {
    records: Mutex<HashMap<Guesser, Record>>,
    names: RandomState,
}

/// What is known of one client.
#[derive(Debug)]
struct Record {
    failures: Failures,
    /// Hashes of the names of those who have logged in from here, and not failed since. An app with a wrong password
    /// must not lock out its neighbours behind the same address; who guesses a known name loses it by the first try.
    known: Vec<u64>,
}

impl Throttle {
    /// Whom a failure of this peer with this user name is counted for.
    pub(super) fn guesser(&self, peer: Peer, username: &str) -> Guesser {
        if peer.trusted {
            Guesser::Trusted(peer.address, self.hash(username))
        } else {
            Guesser::Stranger(network(peer.address))
        }
    }

    /// True when this client has failed so often that `username` is not to be looked at.
    pub(super) fn refuses(&self, guesser: Guesser, username: &str) -> bool {
        let name = self.hash(username);
        let records = self.records();
        records.get(&guesser).is_some_and(|record| {
            record.failures.count(Instant::now()) >= FAILURES_MAX && !record.known.contains(&name)
        })
    }

    /// The failures of this client that are not forgotten yet.
    pub(super) fn failures(&self, guesser: Guesser) -> u32 {
        let records = self.records();
        records.get(&guesser).map_or(0, |record| record.failures.count(Instant::now()))
    }

    /// Counts a failure.
    pub(super) fn failed(&self, guesser: Guesser, username: &str) {
        let name = self.hash(username);
        self.with_record(guesser, |record| {
            record.failures.add(Instant::now(), 2 * FAILURES_MAX);
            record.known.retain(|known| *known != name);
        });
    }

    /// Remembers who has logged in.
    pub(super) fn succeeded(&self, guesser: Guesser, username: &str) {
        let name = self.hash(username);
        self.with_record(guesser, |record| {
            record.known.retain(|known| *known != name);
            if record.known.len() == USERS_MAX {
                record.known.remove(0);
            }
            record.known.push(name);
        });
    }

    fn with_record(&self, guesser: Guesser, change: impl FnOnce(&mut Record)) {
        let now = Instant::now();
        let mut records = self.records();
        if records.len() >= CLIENTS_MAX && !records.contains_key(&guesser) {
            make_room(&mut records, now);
        }
        let record = records.entry(guesser).or_insert_with(|| Record {
            failures: Failures::none(now, FORGOTTEN_AFTER),
            known: Vec::new(),
        });
        change(record);
    }

    /// Names are kept as hashes with a key of this process: they may be tokens.
    fn hash(&self, username: &str) -> u64 {
        self.names.hash_one(username)
    }

    fn records(&self) -> MutexGuard<'_, HashMap<Guesser, Record>> {
        // Nothing panics while it is held, and a record is valid after every step.
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Drops a tenth of the clients, those with the fewest failures first: whoever has many addresses pushes out records
/// with as few failures as its own, and not those of persistent guessers.
fn make_room(records: &mut HashMap<Guesser, Record>, now: Instant) {
    let mut failures: Vec<u32> =
        records.values().map(|record| record.failures.count(now)).collect();
    let tenth = failures.len() / 10;
    let (_, most, _) = failures.select_nth_unstable(tenth);
    let most = *most;
    let mut left = tenth.max(1);
    records.retain(|_, record| {
        let goes = left > 0 && record.failures.count(now) <= most;
        left -= usize::from(goes);
        !goes
    });
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};
    use std::time::Duration;

    use super::*;

    const ADDRESS: Guesser = Guesser::Stranger(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));

    fn guesser(throttle: &Throttle, address: &str, trusted: bool, name: &str) -> Guesser {
        let peer = Peer { address: address.parse().unwrap(), trusted, secure: true };
        throttle.guesser(peer, name)
    }

    fn failed(throttle: &Throttle, guesser: Guesser, times: u32) {
        for _ in 0..times {
            throttle.failed(guesser, "ada");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn many_failures_lock_the_address_until_they_are_forgotten() {
        let throttle = Throttle::default();
        failed(&throttle, ADDRESS, FAILURES_MAX - 1);
        assert!(!throttle.refuses(ADDRESS, "ada"));
        failed(&throttle, ADDRESS, 1);
        assert!(throttle.refuses(ADDRESS, "ada"));
        let other = guesser(&throttle, "2001:db8::1", false, "ada");
        assert!(!throttle.refuses(other, "ada"));
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
        for host in 0..FAILURES_MAX {
            let address = format!("2001:db8:0:1::{host:x}");
            throttle.failed(guesser(&throttle, &address, false, "ada"), "ada");
        }
        let refused = |address| throttle.refuses(guesser(&throttle, address, false, "eve"), "eve");
        assert!(refused("2001:db8:0:1:ffff::1"));
        assert!(!refused("2001:db8:0:2::1"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_trusted_app_with_a_wrong_password_locks_out_itself_only() {
        let throttle = Throttle::default();
        let app = |address, name| guesser(&throttle, address, true, name);
        failed(&throttle, app("172.18.0.1", "ada"), FAILURES_MAX);
        failed(&throttle, app("fd00::1", "ada"), FAILURES_MAX);
        assert!(throttle.refuses(app("172.18.0.1", "ada"), "ada"));
        assert!(throttle.refuses(app("fd00::1", "ada"), "ada"));
        assert!(!throttle.refuses(app("172.18.0.1", "bob"), "bob"), "of the same address");
        assert!(!throttle.refuses(app("fd00::2", "ada"), "ada"), "of the same /64");
    }

    #[tokio::test(start_paused = true)]
    async fn the_table_is_bounded_and_keeps_the_worst() {
        let throttle = Throttle::default();
        failed(&throttle, ADDRESS, FAILURES_MAX);
        for host in 0..3 * u32::try_from(CLIENTS_MAX).unwrap() {
            let base = 0x2001_0db8_u128 << 96;
            let address = Ipv6Addr::from_bits(base | u128::from(host) << 64).into();
            throttle.failed(Guesser::Stranger(address), "ada");
        }
        assert!(throttle.records().len() <= CLIENTS_MAX);
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
