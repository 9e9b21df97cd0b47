//! Who gets a connection: counts them, in all and by address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::reply::Reply;

/// The limits and what has been given out of them.
#[derive(Debug)]
pub(super) struct Admission {
    open: Arc<AtomicUsize>,
    by_address: Mutex<HashMap<IpAddr, usize>>,
    max: usize,
    max_per_address: usize,
}

impl Admission {
    pub(super) fn new(max: usize, max_per_address: usize) -> Self {
        let open = Arc::new(AtomicUsize::new(0));
        Self { open, by_address: Mutex::default(), max, max_per_address }
    }

    /// The number of open connections, kept up to date.
    pub(super) fn open(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.open)
    }

    /// A seat for a connection from `address`, or what to tell it instead.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Seat, Reply> {
        let mut by_address = self.by_address();
        // Changed under the lock only, so that the two counts agree.
        if self.open.load(Ordering::Relaxed) >= self.max {
            return Err(Reply::TOO_MANY_CONNECTIONS);
        }
        let count = by_address.entry(address).or_default();
        if *count >= self.max_per_address {
            return Err(Reply::TOO_MANY_FROM_ADDRESS);
        }
        *count += 1;
        self.open.fetch_add(1, Ordering::Relaxed);
        Ok(Seat { admission: Arc::clone(self), address })
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Nothing panics while it is held, and counts are valid after every step.
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be connected; dropping it makes room.
#[derive(Debug)]
pub(super) struct Seat {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut by_address = self.admission.by_address();
        if let Some(count) = by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                by_address.remove(&self.address);
            }
        }
        self.admission.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[test]
    fn one_address_cannot_take_every_seat() {
        let admission = Arc::new(Admission::new(3, 2));
        let _first = admission.admit(address(1)).unwrap();
        let second = admission.admit(address(1)).unwrap();
        assert_eq!(admission.admit(address(1)).unwrap_err(), Reply::TOO_MANY_FROM_ADDRESS);
        let _other = admission.admit(address(2)).unwrap();
        assert_eq!(admission.admit(address(3)).unwrap_err(), Reply::TOO_MANY_CONNECTIONS);
        drop(second);
        assert!(admission.admit(address(1)).is_ok());
    }

    #[test]
    fn nothing_is_left_when_all_have_gone() {
        let admission = Arc::new(Admission::new(3, 2));
        let seats = [admission.admit(address(1)).unwrap(), admission.admit(address(2)).unwrap()];
        assert_eq!(admission.open().load(Ordering::Relaxed), 2);
        drop(seats);
        assert_eq!(admission.open().load(Ordering::Relaxed), 0);
        assert!(admission.by_address().is_empty());
    }
}
