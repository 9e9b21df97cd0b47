//! What clients were told, held against what the provider got.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::support::fake::{FakeProvider, Recorded};

/// A mail that was refused for now.
#[derive(Clone, Debug)]
pub(crate) struct Deferred {
    /// From the end of the mail to the reply.
    pub(crate) took: Duration,
    pub(crate) reply: String,
}

/// What clients were told. All of them write into the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger(Arc<Mutex<Books>>);

#[derive(Debug, Default)]
struct Books {
    /// Subjects that had their 250, with the queue id and how long it took.
    taken: BTreeMap<String, (String, Duration)>,
    deferred: Vec<Deferred>,
    /// Connections that ended before the answer.
    broken: usize,
}

impl Ledger {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap()
    }

    pub(crate) fn note_taken(&self, subject: String, id: String, took: Duration) {
        self.books().taken.insert(subject, (id, took));
    }

    pub(crate) fn note_deferred(&self, deferred: Deferred) {
        self.books().deferred.push(deferred);
    }

    pub(crate) fn note_broken(&self) {
        self.books().broken += 1;
    }

    /// Subjects that had their 250.
    pub(crate) fn taken(&self) -> BTreeSet<String> {
        self.books().taken.keys().cloned().collect()
    }

    /// How many had their 250.
    pub(crate) fn count(&self) -> usize {
        self.books().taken.len()
    }

    pub(crate) fn deferred(&self) -> Vec<Deferred> {
        self.books().deferred.clone()
    }

    pub(crate) fn broken(&self) -> usize {
        self.books().broken
    }

    /// The longest that a client waited for an answer to its mail, whatever it was.
    pub(crate) fn longest_wait(&self) -> Duration {
        let books = self.books();
        let taken = books.taken.values().map(|(_, took)| *took);
        taken.chain(books.deferred.iter().map(|it| it.took)).max().unwrap_or_default()
    }
}

/// The subjects within one call that sends: one, or those of a batch.
pub(crate) fn subjects(call: &Recorded) -> Vec<String> {
    let json = call.json();
    let mails = json.as_array().cloned().unwrap_or_else(|| vec![json]);
    let subject = |mail: &serde_json::Value| mail["subject"].as_str().map(str::to_owned);
    mails.iter().filter_map(subject).collect()
}

/// How often each subject has left.
pub(crate) fn copies(fake: &FakeProvider) -> BTreeMap<String, usize> {
    let mut copies = BTreeMap::new();
    for mail in fake.mails() {
        *copies.entry(mail.subject().to_owned()).or_default() += 1;
    }
    copies
}

/// Everything that had a 250 has left. The subjects that have left more than once.
pub(crate) fn none_lost(ledger: &Ledger, fake: &FakeProvider, context: &str) -> Vec<String> {
    let copies = copies(fake);
    let promised = ledger.taken();
    assert!(!promised.is_empty(), "{context}: no mail was acknowledged");
    let lost: Vec<_> = promised.iter().filter(|it| !copies.contains_key(*it)).collect();
    assert!(lost.is_empty(), "{context}: {} of {} lost: {lost:?}", lost.len(), promised.len());
    copies.into_iter().filter(|(_, count)| *count > 1).map(|(subject, _)| subject).collect()
}

/// Everything that had a 250 has left, and nothing twice.
pub(crate) fn exactly_once(ledger: &Ledger, fake: &FakeProvider, context: &str) {
    let doubled = none_lost(ledger, fake, context);
    assert!(doubled.is_empty(), "{context}: left more than once: {doubled:?}");
}
