//! What is kept beside the messages: the list of addresses that get no mail, and counters.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use crate::clock::Timestamp;
use crate::message::Address;
use crate::queue::{
    Grain, Sample, Statistics, StoreError, Suppression, SuppressionCursor, SuppressionFilter,
    SuppressionPage, Suppressions, rules,
};

/// The list, by the key of the mailbox.
#[derive(Debug, Default)]
pub(super) struct List(pub(super) Mutex<BTreeMap<String, Suppression>>);

/// The counters, by grain, step and provider.
#[derive(Debug, Default)]
pub(super) struct Counters(pub(super) Mutex<BTreeMap<(i64, i64, String), Sample>>);

impl Counters {
    /// Forgets what is not kept any more at `now`, in seconds since 1970. Returns how many counters that were.
    pub(super) fn forget_old(&self, now: i64) -> usize {
        let mut counters = hold(&self.0);
        let all = counters.len();
        let is_kept = |(seconds, at, _): &(i64, i64, String)| {
            let grain = Grain::ALL.into_iter().find(|grain| grain.seconds() == *seconds);
            grain.is_some_and(|grain| *at >= grain.kept_from(now))
        };
        counters.retain(|key, _| is_kept(key));
        all - counters.len()
    }
}

/// Every change here is a single step: after a panic elsewhere the content is whole.
pub(super) fn hold<T>(kept: &Mutex<T>) -> MutexGuard<'_, T> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl Suppressions for List {
    fn is_empty(&self) -> bool {
        hold(&self.0).is_empty()
    }

    async fn add(&self, entry: Suppression) -> Result<bool, StoreError> {
        // As finely as cursors name the time.
        let since = Timestamp::from_millisecond(entry.since.as_millisecond());
        let entry = Suppression { since: since.unwrap_or(entry.since), ..entry };
        Ok(hold(&self.0).insert(entry.address.suppression_key(), entry).is_none())
    }

    async fn remove(&self, address: &Address) -> Result<bool, StoreError> {
        Ok(hold(&self.0).remove(&address.suppression_key()).is_some())
    }

    async fn list(&self, filter: SuppressionFilter) -> Result<SuppressionPage, StoreError> {
        let length = rules::page_length(filter.limit);
        let text = rules::search_text(filter.text.as_deref()).map(|text| text.to_ascii_lowercase());
        let list = hold(&self.0);
        let place = |key: &String, entry: &Suppression| (entry.since, key.clone());
        let before = filter.before.map(|cursor| (cursor.since, cursor.key));
        let mut found: Vec<(&String, &Suppression)> = list
            .iter()
            .filter(|(_, entry)| filter.reason.is_none_or(|reason| entry.reason == reason))
            .filter(|(_, entry)| {
                let address = entry.address.as_str().to_ascii_lowercase();
                text.as_ref().is_none_or(|text| address.contains(text))
            })
            .filter(|(key, entry)| before.as_ref().is_none_or(|end| place(key, entry) < *end))
            .collect();
        found.sort_by_key(|(key, entry)| std::cmp::Reverse(place(key, entry)));
        let more = found.len() > length;
        found.truncate(length);
        let next = found
            .last()
            .filter(|_| more)
            .map(|(key, entry)| SuppressionCursor { since: entry.since, key: (*key).clone() });
        Ok(SuppressionPage { entries: found.into_iter().map(|(_, it)| it.clone()).collect(), next })
    }

    async fn among(&self, addresses: Vec<Address>) -> Result<Vec<Suppression>, StoreError> {
        let list = hold(&self.0);
        Ok(addresses.iter().filter_map(|it| list.get(&it.suppression_key()).cloned()).collect())
    }
}

#[async_trait]
impl Statistics for Counters {
    async fn add(&self, samples: Vec<Sample>) -> Result<(), StoreError> {
        let mut counters = hold(&self.0);
        for sample in samples {
            for grain in Grain::ALL {
                let at = grain.begin(sample.at);
                let key = (grain.seconds(), at, sample.provider.clone());
                let empty =
                    || Sample { at, provider: sample.provider.clone(), ..Sample::default() };
                counters.entry(key).or_insert_with(empty).merge(&sample);
            }
        }
        Ok(())
    }

    async fn read(&self, grain: Grain, from: i64, to: i64) -> Result<Vec<Sample>, StoreError> {
        let counters = hold(&self.0);
        let seconds = grain.seconds();
        let range = (seconds, from, String::new())..(seconds, to.max(from), String::new());
        Ok(counters.range(range).map(|(_, sample)| sample.clone()).collect())
    }
}
