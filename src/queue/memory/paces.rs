//! The row of calls and the quotas that instances have in common.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::queue::Queue;
use crate::queue::row::{places, take};
use crate::queue::{CallPlaces, CallsWanted, Quota, RecipientsWanted, Reserved};

/// The place that was given out last, of each account, microseconds.
#[derive(Debug, Default)]
pub(super) struct Paces(Mutex<HashMap<String, Option<i64>>>);

impl Paces {
    pub(super) fn reserve_calls(&self, wanted: &CallsWanted) -> CallPlaces {
        // Whatever a panic elsewhere has left is a place that was given out.
        let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (first, given) = take(rows.entry(wanted.account.clone()).or_default(), wanted);
        places(wanted, first, given)
    }
}

pub(super) fn reserve_recipients(queue: &mut Queue, wanted: &RecipientsWanted) -> Reserved {
    let of_it = |from_hour: i64| -> u64 {
        let since = queue.usage.range((from_hour, String::new())..);
        since.filter(|((_, name), _)| *name == wanted.provider).map(|(_, served)| *served).sum()
    };
    let fits =
        |quota: &Quota| of_it(quota.from_hour).saturating_add(wanted.recipients) <= quota.limit;
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
