//! Notices on their way to the operator's address: which one goes when, and which are dropped. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::Backoff;
use crate::clock::Timestamp;

/// Notices that wait at the most, and their octets.
const WAITING_MAX: usize = 1_000;
const BYTES_MAX: usize = 4 << 20;
/// Posts under way at the same time: a thousand failed messages are told in seconds, and no receiver is flooded.
const POSTS_MAX: usize = 4;
/// Posts that have failed in a row, after which the receiver is taken to be away: one post at a time asks for it.
const AWAY_AFTER: u32 = 3;
const RETRY_MIN: Duration = Duration::from_secs(5);
const RETRY_MAX: Duration = Duration::from_hours(1);
/// What happened longer ago is no news.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// How often it is said that notices were dropped for want of room.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// What is posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Notice {
    /// The same for every try.
    pub(super) id: String,
    /// `message.failed` and the like.
    pub(super) kind: &'static str,
    pub(super) body: Bytes,
    pub(super) at: Timestamp,
    /// Of many of its like: the first to go when there is no room.
    pub(super) common: bool,
}

/// One that waits, or that is being posted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) notice: Notice,
    due: Timestamp,
    tries: u32,
}

/// What follows after a post that was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// It is tried again then. `first`: so far it had gone well.
    Again { due: Timestamp, first: bool },
    /// It is too old.
    GivenUp,
}

#[derive(Debug)]
pub(super) struct Outbox {
    waiting: VecDeque<Item>,
    bytes: usize,
    posts: usize,
    /// Posts that were not taken since the last one that was.
    failures: u32,
    /// While the receiver is away: when it is asked for again.
    resume: Timestamp,
    /// Dropped for want of room, and not told yet.
    dropped: u64,
    told: Option<Timestamp>,
    backoff: Backoff,
}

impl Outbox {
    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            bytes: 0,
            posts: 0,
            failures: 0,
            resume: Timestamp::MIN,
            dropped: 0,
            told: None,
            backoff: Backoff::new(RETRY_MIN, RETRY_MAX),
        }
    }

    /// Takes a notice. For want of room the oldest common one goes; how many have gone so, when it is time to say it.
    pub(super) fn push(&mut self, notice: Notice, now: Timestamp) -> Option<u64> {
        self.bytes += notice.body.len();
        self.waiting.push_back(Item { notice, due: now, tries: 0 });
        while self.waiting.len() > WAITING_MAX || (self.bytes > BYTES_MAX && self.waiting.len() > 1)
        {
            let common = self.waiting.iter().position(|item| item.notice.common).unwrap_or(0);
            self.remove(common);
            self.dropped += 1;
        }
        let quiet = self.told.is_some_and(|told| now < told + TELL_EVERY && told <= now);
        if self.dropped == 0 || quiet {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.dropped))
    }

    /// The next one to be posted now; [`Outbox::taken`], [`Outbox::refused`] or [`Outbox::put_off`] must follow.
    pub(super) fn next(&mut self, now: Timestamp) -> Option<Item> {
        let away = self.is_away();
        if self.posts >= if away { 1 } else { POSTS_MAX } || (away && now < self.resume) {
            return None;
        }
        let at = self.waiting.iter().position(|item| item.due <= now)?;
        let item = self.remove(at)?;
        self.posts += 1;
        Some(item)
    }

    /// It has arrived.
    pub(super) fn taken(&mut self, now: Timestamp) {
        self.posts = self.posts.saturating_sub(1);
        if self.is_away() {
            // It is back: nothing has to wait any longer.
            self.waiting.iter_mut().for_each(|item| item.due = now.min(item.due));
        }
        self.failures = 0;
    }

    /// It will not be taken, which says that somebody is there.
    pub(super) fn refused(&mut self, now: Timestamp) {
        self.taken(now);
    }

    /// It was not taken now; not to be tried before `wait` is over, if the receiver said so.
    pub(super) fn put_off(&mut self, item: Item, wait: Option<Duration>, now: Timestamp) -> After {
        self.posts = self.posts.saturating_sub(1);
        let first = self.failures == 0;
        self.failures = self.failures.saturating_add(1);
        let at_least = wait.unwrap_or_default().min(RETRY_MAX);
        if self.is_away() {
            let wait = self.backoff.ceiling(self.failures - AWAY_AFTER).max(at_least);
            self.resume = now + wait;
        }
        let due = now + self.backoff.ceiling(item.tries).max(at_least);
        if due >= item.notice.at + KEPT_FOR {
            return After::GivenUp;
        }
        self.bytes += item.notice.body.len();
        // In front: it is older than those that wait for the first time.
        self.waiting.push_front(Item { due, tries: item.tries.saturating_add(1), ..item });
        After::Again { due, first }
    }

    /// When the next one may go; `None` when none waits, or a post has to end first.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        let away = self.is_away();
        if self.posts >= if away { 1 } else { POSTS_MAX } {
            return None;
        }
        let due = self.waiting.iter().map(|item| item.due).min()?;
        Some(if away { due.max(self.resume) } else { due })
    }

    /// Notices that wait or are under way.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.posts
    }

    /// Forgets all that wait.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.bytes = 0;
    }

    /// Everything begins anew with another receiver.
    pub(super) fn forget_failures(&mut self, now: Timestamp) {
        self.failures = 0;
        self.waiting.iter_mut().for_each(|item| item.due = now.min(item.due));
    }

    fn is_away(&self) -> bool {
        self.failures >= AWAY_AFTER
    }

    fn remove(&mut self, at: usize) -> Option<Item> {
        let item = self.waiting.remove(at)?;
        self.bytes = self.bytes.saturating_sub(item.notice.body.len());
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> Timestamp {
        "2026-11-21T00:00:00Z".parse().unwrap()
    }

    fn notice(id: usize, common: bool) -> Notice {
        let kind = if common { "message.failed" } else { "failover.began" };
        Notice { id: id.to_string(), kind, body: Bytes::from_static(b"{}"), at: start(), common }
    }

    fn with(count: usize) -> Outbox {
        let mut outbox = Outbox::new();
        for id in 0..count {
            let _ = outbox.push(notice(id, true), start());
        }
        outbox
    }

    #[test]
    fn a_few_are_under_way_at_the_same_time() {
        let mut outbox = with(10);
        let ids: Vec<String> =
            std::iter::from_fn(|| outbox.next(start())).map(|item| item.notice.id).collect();
        assert_eq!(ids, ["0", "1", "2", "3"]);
        assert_eq!(outbox.next_due(), None, "one has to end first");
        outbox.taken(start());
        assert_eq!(outbox.next(start()).unwrap().notice.id, "4");
        assert_eq!(outbox.len(), 9);
    }

    #[test]
    fn tries_come_after_longer_and_longer_waits_and_end_after_a_day() {
        let mut outbox = with(1);
        let mut now = start();
        let mut waits = Vec::new();
        loop {
            let item = outbox.next(now).unwrap();
            match outbox.put_off(item, None, now) {
                After::Again { due, first } => {
                    assert_eq!(first, waits.is_empty());
                    waits.push(due.duration_since(now).as_secs());
                    now = outbox.next_due().unwrap();
                    assert!(now >= due);
                }
                After::GivenUp => break,
            }
            assert!(waits.len() < 100);
        }
        assert_eq!(waits[..5], [5, 10, 20, 40, 80]);
        assert_eq!(waits.iter().max(), Some(&3_600));
        assert!(waits.len() > 20, "{waits:?}");
        assert!(now < start() + KEPT_FOR);
        assert_eq!(outbox.len(), 0);
    }

    #[test]
    fn a_receiver_that_is_away_is_asked_by_one_post_at_a_time() {
        let mut outbox = with(100);
        let mut now = start();
        let mut posts = 0;
        while now < start() + Duration::from_hours(2) {
            let mut under_way: Vec<Item> = Vec::new();
            while let Some(item) = outbox.next(now) {
                under_way.push(item);
            }
            posts += under_way.len();
            for item in under_way {
                let _ = outbox.put_off(item, None, now);
            }
            now = outbox.next_due().unwrap();
        }
        assert!(posts < 30, "{posts} posts in two hours");
        // It is back: the first that arrives sets all the others free.
        let item = outbox.next(now).unwrap();
        assert!(item.tries > 0);
        assert_eq!(outbox.next(now), None);
        outbox.taken(now);
        let free = std::iter::from_fn(|| outbox.next(now)).count();
        assert_eq!(free, POSTS_MAX);
    }

    #[test]
    fn one_that_always_fails_does_not_hold_up_the_others() {
        let mut outbox = with(50);
        let mut now = start();
        let mut arrived = 0;
        for _ in 0..1_000 {
            match outbox.next(now) {
                Some(item) if item.notice.id == "0" => {
                    let _ = outbox.put_off(item, None, now);
                }
                Some(_) => {
                    arrived += 1;
                    outbox.taken(now);
                }
                None => break,
            }
            now += Duration::from_millis(10);
        }
        assert_eq!((arrived, outbox.len()), (49, 1));
    }

    #[test]
    fn the_receiver_may_ask_for_a_longer_wait_but_not_for_more_than_an_hour() {
        for (asked, granted) in [(60, 60), (1, 5), (100_000, 3_600)] {
            let mut outbox = with(1);
            let item = outbox.next(start()).unwrap();
            let after = outbox.put_off(item, Some(Duration::from_secs(asked)), start());
            let due = start() + Duration::from_secs(granted);
            assert_eq!(after, After::Again { due, first: true }, "{asked}");
        }
    }

    #[test]
    fn without_room_the_oldest_failed_message_goes_and_it_is_said_now_and_then() {
        let mut outbox = Outbox::new();
        outbox.push(notice(0, false), start());
        let mut said = Vec::new();
        for (id, at) in (1..=3_000).zip((1_u64..).map(|n| start() + Duration::from_millis(50 * n)))
        {
            said.extend(outbox.push(notice(id, true), at));
        }
        assert_eq!(outbox.len(), WAITING_MAX);
        assert_eq!(said[0], 1);
        assert!(said.len() <= 3, "{said:?}");
        assert_eq!(outbox.next(start()).unwrap().notice.id, "0", "failover is rare, and stays");
        let later = start() + Duration::from_hours(1);
        assert_eq!(outbox.next(later).unwrap().notice.id, "2002");
    }

    #[test]
    fn large_notices_have_a_limit_together() {
        let mut outbox = Outbox::new();
        for id in 0..100 {
            let body = Bytes::from(vec![b'x'; BYTES_MAX / 10]);
            outbox.push(Notice { body, ..notice(id, true) }, start());
        }
        assert_eq!(outbox.len(), 10);
        assert!(outbox.bytes <= BYTES_MAX);
    }
}
