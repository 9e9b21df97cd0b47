//! Whose turn it is among those that wait for one provider: urgent mail before bulk mail, and the senders in each of the
//! two by turns, so that a flood of one keeps nobody else waiting. Pure.

use std::collections::{HashMap, VecDeque};

use crate::queue::Turn;

/// So many urgent ones go before a bulk one that waits, which never waits for ever by that.
const URGENT_IN_A_ROW: u32 = 15;

/// What waits, in the order in which it has its turn.
#[derive(Debug)]
pub(super) struct Fair<T> {
    /// What had its turn already.
    front: VecDeque<T>,
    urgent: Class<T>,
    bulk: Class<T>,
    /// Urgent ones that have gone while bulk ones waited.
    in_a_row: u32,
    len: usize,
}

impl<T> Fair<T> {
    pub(super) fn new() -> Self {
        Self {
            front: VecDeque::new(),
            urgent: Class::new(),
            bulk: Class::new(),
            in_a_row: 0,
            len: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when something of the same sender and kind waits for its turn.
    pub(super) fn has(&self, turn: Turn) -> bool {
        self.class(turn.bulk).waiting.contains_key(&turn.share)
    }

    /// Behind what its sender has waiting.
    pub(super) fn push(&mut self, turn: Turn, item: T) {
        let class = if turn.bulk { &mut self.bulk } else { &mut self.urgent };
        class.push(turn.share, item);
        self.len += 1;
    }

    /// Back before all others: it had its turn and could not use it.
    pub(super) fn put_back(&mut self, items: Vec<T>) {
        self.len += items.len();
        for item in items.into_iter().rev() {
            self.front.push_front(item);
        }
    }

    /// Whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.front.pop_front().or_else(|| self.pop_in_turn())?;
        self.len = self.len.saturating_sub(1);
        Some(item)
    }

    fn pop_in_turn(&mut self) -> Option<T> {
        if self.bulk.is_empty() {
            self.in_a_row = 0;
            return self.urgent.pop();
        }
        if !self.urgent.is_empty() && self.in_a_row < URGENT_IN_A_ROW {
            self.in_a_row += 1;
            return self.urgent.pop();
        }
        self.in_a_row = 0;
        self.bulk.pop()
    }

    /// Takes out what stands first of each sender, as long as `over` holds for it.
    pub(super) fn take_first_while(&mut self, over: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken: Vec<T> = Vec::new();
        while let Some(item) = self.front.pop_front_if(|item| over(item)) {
            taken.push(item);
        }
        self.urgent.take_first_while(&over, &mut taken);
        self.bulk.take_first_while(&over, &mut taken);
        self.len = self.len.saturating_sub(taken.len());
        taken
    }

    /// Takes out everything, in its order.
    pub(super) fn drain(&mut self) -> Vec<T> {
        std::iter::from_fn(|| self.pop()).collect()
    }

    fn class(&self, bulk: bool) -> &Class<T> {
        if bulk { &self.bulk } else { &self.urgent }
    }
}

/// What is equally urgent: the shares that have something waiting, in the order of their turns.
#[derive(Debug)]
struct Class<T> {
    round: VecDeque<u16>,
    waiting: HashMap<u16, VecDeque<T>>,
}

impl<T> Class<T> {
    fn new() -> Self {
        Self { round: VecDeque::new(), waiting: HashMap::new() }
    }

    fn is_empty(&self) -> bool {
        self.round.is_empty()
    }

    fn push(&mut self, share: u16, item: T) {
        let waiting = self.waiting.entry(share).or_default();
        if waiting.is_empty() {
            self.round.push_back(share);
        }
        waiting.push_back(item);
    }

    fn pop(&mut self) -> Option<T> {
        let share = self.round.pop_front()?;
        let waiting = self.waiting.get_mut(&share)?;
        let item = waiting.pop_front();
        if waiting.is_empty() {
            self.waiting.remove(&share);
        } else {
            self.round.push_back(share);
        }
        item
    }

    fn take_first_while(&mut self, over: &impl Fn(&T) -> bool, taken: &mut Vec<T>) {
        for waiting in self.waiting.values_mut() {
            while let Some(item) = waiting.pop_front_if(|item| over(item)) {
                taken.push(item);
            }
        }
        self.waiting.retain(|_, waiting| !waiting.is_empty());
        let waiting = &self.waiting;
        self.round.retain(|share| waiting.contains_key(share));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(share: u16, bulk: bool) -> Turn {
        Turn { bulk, share }
    }

    fn popped(fair: &mut Fair<u32>, count: usize) -> Vec<u32> {
        (0..count).filter_map(|_| fair.pop()).collect()
    }

    #[test]
    fn a_flood_of_one_sender_keeps_nobody_waiting() {
        let mut fair = Fair::new();
        (0..1_000).for_each(|n| fair.push(turn(7, false), n));
        assert_eq!(popped(&mut fair, 3), [0, 1, 2]);
        fair.push(turn(8, false), 5_000);
        fair.push(turn(8, false), 5_001);
        assert_eq!(popped(&mut fair, 5), [3, 5_000, 4, 5_001, 5]);
    }

    #[test]
    fn urgent_mail_goes_first_and_bulk_mail_goes_too() {
        let mut fair = Fair::new();
        (0..100).for_each(|n| fair.push(turn(1, true), 1_000 + n));
        (0..40).for_each(|n| fair.push(turn(2, false), n));
        let order = fair.drain();
        let bulk: Vec<_> = (0..50).filter(|place| order[*place] >= 1_000).collect();
        assert_eq!(bulk, [15, 31, 42, 43, 44, 45, 46, 47, 48, 49]);
        assert_eq!((order.len(), fair.len()), (140, 0));
    }

    #[test]
    fn what_is_put_back_has_its_turn_again() {
        let mut fair = Fair::new();
        (0..6).for_each(|n| fair.push(turn(1, false), n));
        let all = popped(&mut fair, 4);
        fair.put_back(all[1..3].to_vec());
        assert_eq!(fair.len(), 4);
        assert_eq!(fair.drain(), [1, 2, 4, 5]);
    }

    #[test]
    fn what_has_waited_too_long_is_taken_off_the_front_of_each_sender() {
        let mut fair = Fair::new();
        for (share, item) in [(1, 1), (1, 9), (1, 2), (2, 3), (3, 8)] {
            fair.push(turn(share, false), item);
        }
        let mut taken = fair.take_first_while(|item| *item < 5);
        taken.sort_unstable();
        assert_eq!(taken, [1, 3]);
        assert!(!fair.has(turn(2, false)) && fair.has(turn(1, false)));
        assert_eq!(fair.drain(), [9, 8, 2]);
        assert!(fair.is_empty());
    }
}
