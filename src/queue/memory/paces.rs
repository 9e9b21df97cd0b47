//! The row of calls and the quotas that instances have in common.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::queue::Queue;
use crate::clock::Timestamp;
use crate::queue::{CallsWanted, RecipientsWanted, Reserved};

/// The next free place of each account.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<String, Timestamp>>);

impl Paces {
    pub(super) fn reserve_calls(&self, wanted: &CallsWanted) -> Vec<Timestamp> {
        let mut next = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let calls = wanted.calls.max(1);
        let apart = wanted.per.saturating_add(wanted.tolerance).div_f64(f64::from(calls));
        let first = next.entry(wanted.account.clone()).or_insert(Timestamp::MIN);
        let mut places = Vec::new();
        for _ in 0..wanted.places {
            let place = (*first).max(wanted.now);
            places.push(place);
            *first =
                place.checked_add(apart.max(Duration::from_nanos(1))).unwrap_or(Timestamp::MAX);
        }
        places
    }
}

pub(super) fn reserve_recipients(queue: &mut Queue, wanted: &RecipientsWanted) -> Reserved {
    let of_it = |from_hour: i64| -> u64 {
        let since = queue.usage.range((from_hour, String::new())..);
        since.filter(|((_, name), _)| *name == wanted.provider).map(|(_, served)| *served).sum()
    };
    let fits = |quota: &crate::queue::Quota| {
        of_it(quota.from_hour).saturating_add(wanted.recipients) <= quota.limit
    };
    if !wanted.quotas.iter().all(fits) {
        return Reserved::Full;
    }
    *queue.usage.entry((wanted.hour, wanted.provider.clone())).or_default() += wanted.recipients;
    Reserved::Yes
}

pub(super) fn return_recipients(queue: &mut Queue, provider: &str, hour: i64, recipients: u64) {
    if let Some(served) = queue.usage.get_mut(&(hour, provider.to_owned())) {
        *served = served.saturating_sub(recipients);
    }
}
