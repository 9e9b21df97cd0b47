//! The pace of an account that several instances use: the moments that this one has reserved for its calls, in the one
//! row that all of them share.
//!
//! Pure: what was reserved goes in as a fact. Between the calls a place is in nobody's way: one that is missed is lost,
//! and another is taken.

use std::collections::VecDeque;
use std::time::Duration;

use super::instant::{minus, plus};
use crate::clock::Timestamp;
use crate::provider::Rate;
use crate::queue::{CallPlaces, CallsWanted};

/// How late after its place a call may leave, where the rate's window is not very short.
const TOLERANCE: Duration = Duration::from_millis(20);
/// How long before its place a message may leave the line, so that it is ready for it: at most half of an interval, or it
/// would keep a slot that somebody needs.
const EARLY: Duration = Duration::from_millis(25);
/// For how long places are reserved.
const AHEAD: Duration = Duration::from_millis(250);
/// A place further ahead than this was reserved by a clock that has been set back since.
const FAR: Duration = Duration::from_secs(2);
/// How soon to look again where nothing is known.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// When the answer comes it is heard without looking.
const ANSWER: Duration = Duration::from_secs(1);
/// When to ask again after a failure.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Places of one account.
#[derive(Clone, Debug)]
pub(super) struct Places {
    rate: Rate,
    /// Reserved and not used, in their order.
    held: VecDeque<Timestamp>,
    /// A request is under way.
    asking: bool,
    /// There are none before then.
    ask_at: Timestamp,
    /// How long the last request took: the next one asks for places so much later.
    delay: Duration,
    /// How many are held at the most: fewer after some were missed, because they are missing to all instances.
    most: usize,
    /// Used since that changed.
    used: usize,
}

/// What somebody who is about to call finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::delivery) enum Hold {
    /// It is the time.
    Now,
    /// The place is a moment ahead.
    At(Timestamp),
    /// The place was missed.
    Lost,
}

impl Places {
    /// None is reserved.
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            held: VecDeque::new(),
            asking: false,
            ask_at: Timestamp::MIN,
            delay: Duration::ZERO,
            most: usize::MAX,
            used: 0,
        }
    }

    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// From now on by this rate. Places that lie too close for it are given up.
    pub(super) fn set_rate(&mut self, rate: Rate) {
        if rate == self.rate {
            return;
        }
        let (before, interval) = (self.rate, self.interval());
        self.rate = rate;
        if self.interval() > interval || rate.per != before.per {
            self.held.clear();
        }
        self.ask_at = Timestamp::MIN;
    }

    /// The time between two places.
    pub(super) fn interval(&self) -> Duration {
        self.wanted("", 0, Timestamp::MIN).interval()
    }

    fn tolerance(&self) -> Duration {
        TOLERANCE.min(self.rate.per / 40)
    }

    fn early(&self) -> Duration {
        EARLY.min(self.interval() / 2)
    }

    fn is_good(&self, place: Timestamp, now: Timestamp) -> bool {
        plus(place, self.tolerance()) >= now && place <= plus(now, FAR)
    }

    /// When the next message may leave the line, seen from `now`; the past where it may leave at once. The future, too,
    /// when that has to be found out.
    pub(super) fn next(&self, now: Timestamp) -> Timestamp {
        let place = self.held.iter().find(|place| self.is_good(**place, now));
        match place {
            Some(place) => minus(*place, self.early()),
            None if self.asking => plus(now, ANSWER),
            None if self.ask_at > now => self.ask_at.min(plus(now, ANSWER)),
            None => plus(now, LOOK_AGAIN),
        }
    }

    /// Uses the next place, for a message that leaves the line now. Where there is none, it is as if it had been missed.
    pub(super) fn take(&mut self, now: Timestamp) -> Timestamp {
        self.drop_missed(now);
        let early = self.early();
        match self.held.front().filter(|place| minus(**place, early) <= now) {
            Some(_) => {
                self.used += 1;
                if self.used >= self.most {
                    (self.most, self.used) = (self.most.saturating_mul(2), 0);
                }
                self.held.pop_front().unwrap_or(Timestamp::MIN)
            }
            None => Timestamp::MIN,
        }
    }

    /// Whether the call that this place was used for may be made now.
    pub(super) fn hold(&self, place: Timestamp, now: Timestamp) -> Hold {
        if !self.is_good(place, now) {
            Hold::Lost
        } else if place > now {
            Hold::At(place)
        } else {
            Hold::Now
        }
    }

    /// What to ask for, when so many calls wait; `None` while there are enough places, or it is no use to ask. To be
    /// answered by [`Places::receive`] or [`Places::failed`].
    pub(super) fn ask(
        &mut self,
        account: &str,
        calls: usize,
        now: Timestamp,
    ) -> Option<CallsWanted> {
        if self.asking || (now < self.ask_at && self.ask_at <= plus(now, self.rate.per * 2)) {
            return None;
        }
        self.drop_missed(now);
        let enough = self.enough().min(self.most);
        let missing = calls.min(enough).saturating_sub(self.held.len());
        // Ahead of need: the answer takes its time, and a place that nobody has reserved by its moment is gone for all.
        if missing == 0 || self.held.len() > enough / 2 {
            return None;
        }
        self.asking = true;
        let missing = u32::try_from(missing).unwrap_or(u32::MAX);
        Some(self.wanted(account, missing, plus(now, self.delay)))
    }

    /// Places for as long as they are reserved ahead.
    fn enough(&self) -> usize {
        let enough = AHEAD.as_nanos().div_ceil(self.interval().as_nanos().max(1));
        usize::try_from(enough).unwrap_or(usize::MAX)
    }

    fn wanted(&self, account: &str, places: u32, now: Timestamp) -> CallsWanted {
        CallsWanted {
            account: account.to_owned(),
            calls: self.rate.calls.max(1),
            per: self.rate.per,
            tolerance: self.tolerance(),
            places,
            now,
        }
    }

    /// The answer to what was asked for, after so long.
    pub(super) fn receive(
        &mut self,
        wanted: &CallsWanted,
        places: CallPlaces,
        took: Duration,
        now: Timestamp,
    ) {
        self.asking = false;
        // One slow answer is forgotten slowly.
        self.delay = took.max(self.delay.mul_f64(0.75)).min(AHEAD);
        if (wanted.calls, wanted.per) != (self.rate.calls.max(1), self.rate.per) {
            // The rate has changed meanwhile.
            return;
        }
        self.ask_at = match places.taken.is_empty() {
            true => minus(places.next, AHEAD).max(plus(now, LOOK_AGAIN)),
            false => Timestamp::MIN,
        };
        self.held.extend(places.taken);
    }

    /// The store is away.
    pub(super) fn failed(&mut self, now: Timestamp) {
        (self.asking, self.ask_at) = (false, plus(now, ASK_AGAIN));
    }

    fn drop_missed(&mut self, now: Timestamp) {
        let before = self.held.len();
        while self.held.front().is_some_and(|place| !self.is_good(*place, now)) {
            self.held.pop_front();
        }
        if self.held.len() < before {
            (self.most, self.used) = ((self.most.min(self.enough()) / 2).max(1), 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn start() -> Timestamp {
        "2026-11-22T06:00:00Z".parse().unwrap()
    }

    fn at(ms: u64) -> Timestamp {
        start() + Duration::from_millis(ms)
    }

    fn places(calls: u32) -> Places {
        Places::new(Rate { calls, per: SECOND })
    }

    fn receive(places: &mut Places, wanted: &CallsWanted, taken: &[u64], next: u64) {
        let taken = taken.iter().map(|ms| at(*ms)).collect();
        let answer = CallPlaces { taken, next: at(next) };
        places.receive(wanted, answer, Duration::from_millis(2), start());
    }

    #[test]
    fn nothing_leaves_without_a_place_and_nothing_long_before_it() {
        let mut places = places(2);
        assert!(places.next(start()) > start());
        let wanted = places.ask("resend", 5, start()).unwrap();
        assert_eq!((wanted.places, wanted.now), (1, start()), "no more than is needed soon");
        assert_eq!(places.ask("resend", 5, start()), None, "one request at a time");
        receive(&mut places, &wanted, &[300], 810);
        assert_eq!(places.next(start()), at(275));
        assert_eq!(places.take(at(280)), at(300));
        assert_eq!(places.hold(at(300), at(280)), Hold::At(at(300)));
        assert_eq!(places.hold(at(300), at(300)), Hold::Now);
        assert_eq!(places.hold(at(300), at(320)), Hold::Now);
        assert_eq!(places.hold(at(300), at(321)), Hold::Lost);
        let wanted = places.ask("resend", 4, at(321)).unwrap();
        assert_eq!(wanted.now, at(323), "the answer takes its time");
    }

    #[test]
    fn a_place_that_was_missed_is_passed_over() {
        let mut places = places(100);
        let wanted = places.ask("resend", 3, start()).unwrap();
        assert_eq!(wanted.places, 3, "as many as wait");
        receive(&mut places, &wanted, &[0, 10, 40], 50);
        assert!(places.next(at(31)) <= at(35) && places.next(at(31)) > at(31));
        assert_eq!(places.take(at(36)), at(40));
        assert_eq!(places.take(at(36)), Timestamp::MIN, "there is no other");
        assert_eq!(places.hold(Timestamp::MIN, at(36)), Hold::Lost);
    }

    #[test]
    fn more_are_asked_for_before_the_last_is_used() {
        let mut places = places(100);
        let wanted = places.ask("resend", 500, start()).unwrap();
        assert_eq!(wanted.places, 25);
        let taken: Vec<u64> = (0..25).map(|number| number * 11).collect();
        receive(&mut places, &wanted, &taken, 275);
        let mut asked = None;
        for ms in 0..260 {
            while places.next(at(ms)) <= at(ms) {
                places.take(at(ms));
            }
            asked = places.ask("resend", 400, at(ms)).map(|wanted| (ms, wanted.places));
            if asked.is_some() {
                break;
            }
        }
        assert!(asked.is_some_and(|(ms, places)| ms < 150 && places >= 12), "{asked:?}");
    }

    #[test]
    fn whoever_misses_places_takes_fewer_until_it_uses_them() {
        let mut places = places(100);
        let mut asked = Vec::new();
        for second in 0..8 {
            let now = second * 1_000;
            let wanted = places.ask("resend", 500, at(now)).unwrap();
            asked.push(wanted.places);
            let taken: Vec<u64> = (0..u64::from(wanted.places)).map(|it| now + it * 11).collect();
            receive(&mut places, &wanted, &taken, now + 400);
            // At first it is too slow for all but the first.
            for place in taken.iter().take(if second < 3 { 1 } else { 100 }) {
                assert_eq!(places.take(at(*place)), at(*place));
            }
        }
        assert_eq!(asked[..4], [25, 12, 6, 3]);
        assert!(asked[4..].is_sorted() && asked[7] == 25, "{asked:?}");
    }

    #[test]
    fn where_all_is_given_out_it_asks_when_there_is_more() {
        let mut places = Places::new(Rate { calls: 1, per: SECOND * 60 });
        let wanted = places.ask("resend", 9, start()).unwrap();
        receive(&mut places, &wanted, &[], 30_000);
        assert_eq!(places.ask("resend", 9, at(29_000)), None);
        assert!(places.ask("resend", 9, at(29_750)).is_some());
        places.failed(at(29_800));
        assert_eq!(places.ask("resend", 9, at(30_000)), None, "the store is away");
        assert!(places.ask("resend", 9, at(30_300)).is_some());
    }

    #[test]
    fn a_lower_rate_gives_up_what_lies_too_close() {
        let mut places = places(10);
        let wanted = places.ask("resend", 9, start()).unwrap();
        receive(&mut places, &wanted, &[0, 102, 204], 306);
        places.set_rate(Rate { calls: 20, per: SECOND });
        assert_eq!(places.take(start()), start());
        places.set_rate(Rate { calls: 2, per: SECOND });
        assert_eq!(places.take(at(100)), Timestamp::MIN);
        // What was asked for by another rate does not count.
        let asked = places.ask("resend", 9, at(100)).unwrap();
        places.set_rate(Rate { calls: 1, per: SECOND });
        receive(&mut places, &asked, &[204], 700);
        assert_eq!(places.take(at(204)), Timestamp::MIN);
    }

    #[test]
    fn a_clock_that_is_set_back_loses_places_and_not_time() {
        let mut places = places(2);
        let wanted = places.ask("resend", 9, start()).unwrap();
        receive(&mut places, &wanted, &[400], 910);
        let back = start() - SECOND * 3_600;
        assert!(places.next(back) <= back + SECOND);
        assert!(places.ask("resend", 9, back).is_some());
    }
}
