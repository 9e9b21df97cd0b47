//! What the instances on one store know of each other.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::broadcast;

use crate::clock::Timestamp;
use crate::queue::{AccountStanding, Change, Condition, News};

/// How much news a slow listener may be behind; then it is told that it has missed some.
const BEHIND_MAX: usize = 1_024;

#[derive(Debug, Default)]
pub(super) struct Ground(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Who lives, and until when without another sign of life.
    alive: HashMap<Arc<str>, Timestamp>,
    standings: BTreeMap<(String, u16), AccountStanding>,
    /// Where each instance hears, for as long as it is there, and whether anybody looks on there.
    hearing: Vec<Ear>,
    next: usize,
}

#[derive(Debug)]
struct Ear {
    number: usize,
    news: broadcast::Sender<News>,
    watching: bool,
}

impl Ground {
    /// No code that holds the lock can panic half-way through a change, so a poisoned one is taken over.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another instance comes. Its number, and where it hears.
    pub(super) fn join(&self) -> (usize, broadcast::Sender<News>) {
        let mut known = self.known();
        let (number, news) = (known.next, broadcast::Sender::new(BEHIND_MAX));
        known.next += 1;
        known.hearing.push(Ear { number, news: news.clone(), watching: false });
        (number, news)
    }

    /// It hears nothing any more.
    pub(super) fn part(&self, number: usize) {
        self.known().hearing.retain(|ear| ear.number != number);
    }

    /// This one lives until then without another sign of life. False when it was taken for dead before: it needs another
    /// name.
    pub(super) fn lives(&self, owner: &Arc<str>, until: Timestamp, is_new: bool) -> bool {
        let mut known = self.known();
        let known_before = known.alive.contains_key(owner);
        if known_before || is_new {
            known.alive.insert(Arc::clone(owner), until);
        }
        known_before || is_new
    }

    /// Forgets who has given no sign of life until `now`.
    pub(super) fn bury(&self, now: Timestamp) {
        self.known().alive.retain(|_, until| *until > now);
    }

    /// Forgets this one.
    pub(super) fn forget(&self, owner: &str) {
        self.known().alive.remove(owner);
    }

    pub(super) fn is_alive(&self, owner: &str) -> bool {
        self.known().alive.contains_key(owner)
    }

    /// Keeps how an account stands, unless something younger is kept.
    /// True when it is another condition.
    pub(super) fn keep(&self, standing: AccountStanding) -> bool {
        let mut known = self.known();
        let key = (standing.account.clone(), standing.mark);
        let kept = known.standings.get(&key);
        if kept.is_some_and(|kept| kept.at > standing.at) {
            return false;
        }
        let before = kept.map_or(Condition::Up, |kept| kept.condition);
        let is_news = before.name() != standing.condition.name();
        known.standings.insert(key, standing.clone());
        known.tell(&News::Standing(standing));
        is_news
    }

    pub(super) fn standings(&self) -> Vec<AccountStanding> {
        self.known().standings.values().cloned().collect()
    }

    /// Tells everybody.
    pub(super) fn tell(&self, news: &News) {
        self.known().tell(news);
    }

    /// Tells those others where somebody looks on.
    pub(super) fn changed(&self, number: usize, change: Change) {
        let known = self.known();
        for ear in known.hearing.iter().filter(|ear| ear.watching && ear.number != number) {
            // Nobody may be listening there.
            let _ = ear.news.send(News::Changed(change));
        }
    }

    /// Whether somebody looks on at another than this one.
    pub(super) fn is_watched(&self, number: usize) -> bool {
        self.known().hearing.iter().any(|ear| ear.watching && ear.number != number)
    }

    pub(super) fn watch(&self, number: usize, watching: bool) {
        let mut known = self.known();
        for ear in known.hearing.iter_mut().filter(|ear| ear.number == number) {
            ear.watching = watching;
        }
    }
}

impl Known {
    fn tell(&self, news: &News) {
        for ear in &self.hearing {
            // Nobody may be listening there.
            let _ = ear.news.send(news.clone());
        }
    }
}
