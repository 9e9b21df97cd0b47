//! How many streams are open, and whose.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::http::access::Account;

/// Streams that are open at the same time, of all callers together. Each holds one of the server's connections.
pub(super) const STREAMS_MAX: usize = 32;

/// Those of one caller: as many windows as a person looks at, so that nobody takes all.
pub(super) const STREAMS_OF_ONE_MAX: usize = 8;

/// The open streams of each caller who has any.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<Account, usize>>);

/// A place that is taken until this goes away.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    account: Account,
}

/// There is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// Others have them.
    All,
    /// The caller itself has all that it may have.
    OfCaller,
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => write!(f, "there are {STREAMS_MAX} streams already, which is the most"),
            Self::OfCaller => {
                write!(f, "you have {STREAMS_OF_ONE_MAX} streams already, which is the most")
            }
        }
    }
}

impl Places {
    /// Takes one for `account`.
    pub(super) fn take(places: &Arc<Self>, account: Account) -> Result<Place, Full> {
        let mut taken = places.taken();
        let own = taken.get(&account).copied().unwrap_or(0);
        if own >= STREAMS_OF_ONE_MAX {
            return Err(Full::OfCaller);
        }
        if taken.values().sum::<usize>() >= STREAMS_MAX {
            return Err(Full::All);
        }
        taken.insert(account, own + 1);
        Ok(Place { places: Arc::clone(places), account })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<Account, usize>> {
        // What a panicking thread left behind is still a count.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        if let Some(own) = taken.get_mut(&self.account) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                taken.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn account(n: u32) -> Account {
        Account::Address(IpAddr::V4(n.into()))
    }

    #[test]
    fn one_caller_leaves_places_to_others_and_all_together_have_so_many() {
        let places = Arc::default();
        let mut taken = Vec::new();
        for n in 0..4 {
            for _ in 0..STREAMS_OF_ONE_MAX {
                taken.push(Places::take(&places, account(n)).unwrap());
            }
            assert_eq!(Places::take(&places, account(n)).unwrap_err(), Full::OfCaller);
        }
        assert_eq!(taken.len(), STREAMS_MAX);
        assert_eq!(Places::take(&places, account(9)).unwrap_err(), Full::All);
        drop(taken.pop());
        drop(Places::take(&places, account(9)).unwrap());
        assert!(Places::take(&places, account(3)).is_ok());
        taken.clear();
        assert!(places.taken().is_empty(), "nobody is remembered who has none");
    }
}
