//! Who gets a connection: counts them in all, by address, and by whether they are trusted.
//!
//! A connection through a proxy takes its seat in two steps: one in all when it is accepted, one for its address when the
//! PROXY header has told it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::reply::Reply;
use crate::stranger::network;

/// One seat in so many is kept for trusted networks. An app opens a handful of connections, seldom a hundred: a quarter of
/// the usual thousand is ample for it, and leaves the most to users who log in from elsewhere.
const KEPT_FOR_TRUSTED: usize = 4;

/// The limits and what has been given out of them.
#[derive(Debug)]
pub(super) struct Admission {
    open: Arc<AtomicUsize>,
    named: Mutex<Named>,
}

/// The seats whose client is known, and how many there may be. There are never more entries than seats.
#[derive(Debug)]
struct Named {
    limits: Limits,
    by_client: HashMap<Client, usize>,
    strangers: usize,
}

/// How many seats there are, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Limits {
    max: usize,
    max_strangers: usize,
    max_per_address: usize,
    max_per_stranger: usize,
}

/// Whom seats are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    Trusted(IpAddr),
    /// By its [`network`].
    Stranger(IpAddr),
}

impl Client {
    fn new(address: IpAddr, trusted: bool) -> Self {
        if trusted { Self::Trusted(address) } else { Self::Stranger(network(address)) }
    }
}

impl Limits {
    /// `max` seats in all and `max_per_address` for each address. A share is kept for trusted networks, if there are any.
    pub(super) fn new(max: usize, max_per_address: usize, any_trusted: bool) -> Self {
        // With one seat only, whoever comes first has it.
        let kept = if any_trusted && max > 1 { (max / KEPT_FOR_TRUSTED).max(1) } else { 0 };
        let max_strangers = max - kept;
        Self {
            max,
            max_strangers,
            max_per_address,
            // Whatever the configuration says: one stranger must not keep all others out.
            max_per_stranger: max_per_address.min((max_strangers / 2).max(1)),
        }
    }
}

impl Admission {
    /// With all seats free.
    pub(super) fn new(limits: Limits) -> Self {
        let named = Named { limits, by_client: HashMap::new(), strangers: 0 };
        Self { open: Arc::new(AtomicUsize::new(0)), named: Mutex::new(named) }
    }

    /// From now on these limits hold. Who has a seat keeps it, also above them.
    pub(super) fn limit(&self, limits: Limits) {
        self.named().limits = limits;
    }

    /// The number of open connections, kept up to date.
    pub(super) fn open(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.open)
    }

    /// A seat for a client that is known, or what to tell it instead.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, trusted: bool) -> Result<Seat, Reply> {
        let mut seat = self.enter()?;
        seat.claim(address, trusted)?;
        Ok(seat)
    }

    /// A seat in all, for a client that is not known yet.
    pub(super) fn enter(self: &Arc<Self>) -> Result<Seat, Reply> {
        let named = self.named();
        // Changed under the lock only, so that the counts agree.
        if self.open.load(Ordering::Relaxed) >= named.limits.max {
            return Err(Reply::TOO_MANY_CONNECTIONS);
        }
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Seat { admission: Arc::clone(self), client: None })
    }

    fn named(&self) -> MutexGuard<'_, Named> {
        // Nothing panics while it is held, and counts are valid after every step.
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be connected; dropping it makes room.
#[derive(Debug)]
pub(super) struct Seat {
    admission: Arc<Admission>,
    client: Option<Client>,
}

impl Seat {
    /// Says whose seat it is, or what to tell the client whose it may not be.
    pub(super) fn claim(&mut self, address: IpAddr, trusted: bool) -> Result<(), Reply> {
        let client = Client::new(address, trusted);
        let mut named = self.admission.named();
        let (stranger, max) = match client {
            Client::Trusted(_) => (0, named.limits.max_per_address),
            Client::Stranger(_) => (1, named.limits.max_per_stranger),
        };
        // Only strangers are held up by the number of strangers: after a change of the limits there may be too many.
        if stranger > 0 && named.strangers + stranger > named.limits.max_strangers {
            return Err(Reply::TOO_MANY_CONNECTIONS);
        }
        let count = named.by_client.get(&client).copied().unwrap_or_default();
        if count >= max {
            return Err(Reply::TOO_MANY_FROM_ADDRESS);
        }
        named.by_client.insert(client, count + 1);
        named.strangers += stranger;
        drop(named);
        self.client = Some(client);
        Ok(())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut named = self.admission.named();
        if let Some(client) = self.client {
            if let Some(count) = named.by_client.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    named.by_client.remove(&client);
                }
            }
            if matches!(client, Client::Stranger(_)) {
                named.strangers -= 1;
            }
        }
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(max: usize, max_per_address: usize, any_trusted: bool) -> Arc<Admission> {
        Arc::new(Admission::new(Limits::new(max, max_per_address, any_trusted)))
    }

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    /// Seats for as many different strangers as there are.
    fn strangers(admission: &Arc<Admission>, count: u8) -> Vec<Seat> {
        (0..count).filter_map(|last| admission.admit(address(last), false).ok()).collect()
    }

    #[test]
    fn one_address_cannot_take_every_seat() {
        let admission = admission(3, 2, true);
        let _first = admission.admit(address(1), true).unwrap();
        let second = admission.admit(address(1), true).unwrap();
        assert_eq!(admission.admit(address(1), true).unwrap_err(), Reply::TOO_MANY_FROM_ADDRESS);
        let _other = admission.admit(address(2), true).unwrap();
        assert_eq!(admission.admit(address(3), true).unwrap_err(), Reply::TOO_MANY_CONNECTIONS);
        drop(second);
        assert!(admission.admit(address(1), true).is_ok());
    }

    #[test]
    fn strangers_leave_a_quarter_of_the_seats_to_trusted_networks() {
        let admission = admission(100, 100, true);
        let seats = strangers(&admission, 200);
        assert_eq!(seats.len(), 75);
        let refused = admission.admit(address(250), false).unwrap_err();
        assert_eq!(refused, Reply::TOO_MANY_CONNECTIONS);
        let app: Vec<Seat> =
            (0..30).filter_map(|_| admission.admit(address(9), true).ok()).collect();
        assert_eq!(app.len(), 25);
        drop((seats, app));
        let app: Vec<Seat> =
            (0..200).filter_map(|_| admission.admit(address(9), true).ok()).collect();
        assert_eq!(app.len(), 100, "what strangers do not use is free for all");
    }

    #[test]
    fn where_nobody_is_trusted_nothing_is_kept() {
        assert_eq!(strangers(&admission(8, 8, false), 20).len(), 8);
    }

    #[test]
    fn the_smallest_listeners_work_for_all() {
        assert_eq!(strangers(&admission(1, 1, true), 5).len(), 1);
        assert_eq!(strangers(&admission(2, 9, true), 5).len(), 1);
        assert_eq!(strangers(&admission(3, 9, true), 5).len(), 2);
    }

    #[test]
    fn one_stranger_does_not_keep_another_out_whatever_is_configured() {
        let admission = admission(40, 1000, true);
        let seats: Vec<Seat> =
            (0..1000).filter_map(|_| admission.admit(address(1), false).ok()).collect();
        assert_eq!(seats.len(), 15);
        assert!(admission.admit(address(2), false).is_ok());
    }

    #[test]
    fn strangers_of_one_ipv6_network_are_one_and_trusted_ones_are_not() {
        let network = |last: u16| IpAddr::from([0x2001, 0xdb8, 1, 2, 9, 9, 9, last]);
        let admission = admission(100, 2, true);
        let _seats = [1, 2].map(|last| admission.admit(network(last), false).unwrap());
        assert_eq!(admission.admit(network(3), false).unwrap_err(), Reply::TOO_MANY_FROM_ADDRESS);
        let next = IpAddr::from([0x2001, 0xdb8, 1, 3, 0, 0, 0, 1]);
        assert!(admission.admit(next, false).is_ok());
        let _trusted = [1, 1, 2, 2, 3].map(|last| admission.admit(network(last), true).unwrap());
    }

    #[test]
    fn a_seat_is_counted_for_nobody_until_it_is_claimed() {
        let admission = admission(3, 1, true);
        let mut seats = [admission.enter().unwrap(), admission.enter().unwrap()];
        seats[0].claim(address(1), true).unwrap();
        assert_eq!(seats[1].claim(address(1), true), Err(Reply::TOO_MANY_FROM_ADDRESS));
        seats[1].claim(address(2), false).unwrap();
        let _third = admission.enter().unwrap();
        assert_eq!(admission.enter().unwrap_err(), Reply::TOO_MANY_CONNECTIONS);
    }

    #[test]
    fn other_limits_hold_for_those_who_come_and_let_those_who_are_there_stay() {
        let admission = admission(4, 4, true);
        let mut seats: Vec<Seat> =
            (0..4).map(|_| admission.admit(address(1), true).unwrap()).collect();
        admission.limit(Limits::new(3, 2, true));
        assert_eq!(admission.admit(address(2), true).unwrap_err(), Reply::TOO_MANY_CONNECTIONS);
        seats.truncate(2);
        assert_eq!(admission.admit(address(1), true).unwrap_err(), Reply::TOO_MANY_FROM_ADDRESS);
        let _other = admission.admit(address(2), true).unwrap();
        admission.limit(Limits::new(9, 9, false));
        assert_eq!(strangers(&admission, 20).len(), 6);
    }

    #[test]
    fn more_strangers_than_there_may_be_are_no_trouble_for_trusted_clients() {
        let admission = admission(8, 8, false);
        let _strangers = strangers(&admission, 4);
        admission.limit(Limits::new(6, 6, true));
        admission.limit(Limits::new(3 + 4, 6, true));
        let _app = admission.admit(address(9), true).unwrap();
    }

    #[test]
    fn nothing_is_left_when_all_have_gone() {
        let admission = admission(4, 2, true);
        for _ in 0..1000 {
            let seats = [
                admission.admit(address(1), true).unwrap(),
                admission.admit(address(2), false).unwrap(),
                admission.enter().unwrap(),
            ];
            assert_eq!(admission.open().load(Ordering::Relaxed), 3);
            assert!(admission.admit(address(2), false).is_err());
            drop(seats);
        }
        assert_eq!(admission.open().load(Ordering::Relaxed), 0);
        let named = admission.named();
        assert_eq!((named.by_client.len(), named.strangers), (0, 0));
    }
}
