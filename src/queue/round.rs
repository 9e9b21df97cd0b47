//! Whose turn it is when messages are claimed: the walk over what waits, the same for all stores.
//!
//! Messages stand on a [`Shelf`] in groups of the same way, kind and share. The walk goes from group to group and never
//! through one, so that it costs the same however many messages wait. It looks into so many groups at the most, and
//! goes on at the next claim where it has ended.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::rules::{Helping, PASSED_OVER_MAX, Pick};
use super::{BatchId, Portion, State, WayKey};
use crate::clock::Timestamp;
use crate::message::QueueId;

/// After so many messages that somebody may wait for a bulk message has its turn.
const PROMPT_IN_A_ROW: u8 = 15;

/// The most looks of one claim: enough for all groups of one way, and some milliseconds.
pub(super) const LOOKS_MAX: usize = 2_500;

/// So many ways are remembered; a way that is forgotten begins with the first share again.
const WAYS_KEPT_MAX: usize = 1_000;

/// A message that waits, with its place in its group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) share: u16,
    pub(super) due: Timestamp,
    pub(super) id: QueueId,
}

/// What is asked about a message before it is taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Facts {
    pub(super) size: u64,
    /// The batch in doubt that it belongs to.
    pub(super) batch: Option<BatchId>,
}

/// One of a batch in doubt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) id: QueueId,
    pub(super) state: State,
    pub(super) due: Timestamp,
}

/// A store's open messages as the walk sees them. Each question is a single look at an index.
pub(super) trait Shelf {
    type Error;

    /// Leases that ran out until `now`, the longest over first, with the ways of their messages; so many at the most.
    fn expired(
        &mut self,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(QueueId, WayKey)>, Self::Error>;

    /// When the first lease of a way that is `wanted` runs out.
    fn first_expiry(
        &mut self,
        wanted: &dyn Fn(&WayKey) -> bool,
    ) -> Result<Option<Timestamp>, Self::Error>;

    /// The next way behind this one in which messages wait; without one, the first of all.
    fn way_after(&mut self, way: Option<&WayKey>) -> Result<Option<WayKey>, Self::Error>;

    /// What is due first in the group of this share; where nothing waits in it, in the one of the next share.
    fn first(&mut self, way: &WayKey, bulk: bool, share: u16) -> Result<Option<Head>, Self::Error>;

    /// What is due behind this one in the same group.
    fn behind(&mut self, way: &WayKey, bulk: bool, head: Head)
    -> Result<Option<Head>, Self::Error>;

    /// `None` when it is gone.
    fn facts(&mut self, id: QueueId) -> Result<Option<Facts>, Self::Error>;

    /// The members of a batch that are still open, in their order.
    fn members(&mut self, batch: BatchId) -> Result<Vec<Member>, Self::Error>;
}

/// A message that is to be handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) id: QueueId,
    /// The state that it is in now.
    pub(super) from: State,
}

/// Where the next claim goes on. Kept in memory only: after a restart it begins anew.
#[derive(Clone, Debug, Default)]
pub(super) struct Rounds {
    /// The next claim begins behind this way.
    after: Option<WayKey>,
    ways: BTreeMap<WayKey, Round>,
}

/// How far the turns of a way have come.
#[derive(Clone, Copy, Debug, Default)]
struct Round {
    /// The share that is next, of prompt messages and of bulk messages.
    prompt: u16,
    bulk: u16,
    /// Prompt messages since the last bulk message.
    in_a_row: u8,
}

impl Rounds {
    /// The shares at which the next claim begins in this way: of prompt messages, and of bulk messages.
    #[cfg(feature = "postgres")]
    pub(super) fn next_shares(&self, way: &WayKey) -> (u16, u16) {
        let round = self.round(way);
        (round.prompt, round.bulk)
    }

    fn round(&self, way: &WayKey) -> Round {
        self.ways.get(way).copied().unwrap_or_default()
    }

    fn keep(&mut self, way: &WayKey, round: Round) {
        if let Some(kept) = self.ways.get_mut(way) {
            *kept = round;
            return;
        }
        if self.ways.len() >= WAYS_KEPT_MAX {
            self.ways.clear();
        }
        self.ways.insert(way.clone(), round);
    }
}

/// Chooses what a claim hands out: leases that ran out first, then what waits.
pub(super) fn choose<S: Shelf>(
    shelf: &mut S,
    rounds: &mut Rounds,
    portion: &Portion,
    now: Timestamp,
) -> Result<Vec<Chosen>, S::Error> {
    let mut choice = Choice {
        shelf,
        helping: Helping::new(portion.clone()),
        chosen: Vec::new(),
        members: HashSet::new(),
        looks: LOOKS_MAX,
        now,
    };
    if choice.helping.is_complete() {
        return Ok(Vec::new());
    }
    if choice.take_expired(portion)? {
        choice.take_waiting(rounds)?;
    }
    Ok(choice.chosen)
}

/// When there is something to claim next: what becomes due, or a lease that runs out.
pub(super) fn next_due<S: Shelf>(
    shelf: &mut S,
    portion: &Portion,
) -> Result<Option<Timestamp>, S::Error> {
    let wanted = |way: &WayKey| portion.wants(way) > 0;
    let mut earliest = shelf.first_expiry(&wanted)?;
    let mut at = None;
    while let Some(way) = shelf.way_after(at.as_ref())? {
        for bulk in [false, true].into_iter().filter(|_| wanted(&way)) {
            let mut share = 0;
            while let Some(head) = shelf.first(&way, bulk, share)? {
                if earliest.is_none_or(|earliest| head.due < earliest) {
                    earliest = Some(head.due);
                }
                let Some(next) = head.share.checked_add(1) else { break };
                share = next;
            }
        }
        at = Some(way);
    }
    Ok(earliest)
}

/// A claim that is being made up.
struct Choice<'a, S> {
    shelf: &'a mut S,
    helping: Helping,
    chosen: Vec<Chosen>,
    /// Those of `chosen` that are members of batches: the walk meets them again.
    members: HashSet<QueueId>,
    /// Looks that are left.
    looks: usize,
    now: Timestamp,
}

impl<S: Shelf> Choice<'_, S> {
    /// Returns whether there is room for more.
    fn take_expired(&mut self, portion: &Portion) -> Result<bool, S::Error> {
        let limit = portion.messages().saturating_add(PASSED_OVER_MAX);
        for (id, way) in self.shelf.expired(self.now, limit)? {
            if self.consider(&way, id, State::Sending)? == Pick::End {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Visits the ways one after the other, each once.
    fn take_waiting(&mut self, rounds: &mut Rounds) -> Result<(), S::Error> {
        let begin = rounds.after.clone();
        let mut at = begin.clone();
        let mut is_second_half = begin.is_none();
        while self.look() {
            let Some(way) = self.shelf.way_after(at.as_ref())? else {
                if is_second_half {
                    return Ok(());
                }
                is_second_half = true;
                at = None;
                continue;
            };
            if is_second_half && begin.as_ref().is_some_and(|begin| way > *begin) {
                return Ok(());
            }
            if self.helping.wants(&way) {
                let mut round = rounds.round(&way);
                let goes_on = self.take_of(&way, &mut round);
                rounds.keep(&way, round);
                if !goes_on? {
                    rounds.after = Some(way);
                    return Ok(());
                }
            }
            at = Some(way);
        }
        rounds.after = at;
        Ok(())
    }

    /// Takes messages of one way in their turns. Returns whether other ways may follow.
    fn take_of(&mut self, way: &WayKey, round: &mut Round) -> Result<bool, S::Error> {
        let mut prompt = Lap::new(false, round.prompt);
        let mut bulk = Lap::new(true, round.bulk);
        while self.helping.wants(way) {
            let is_turn_of_bulk = round.in_a_row >= PROMPT_IN_A_ROW;
            let (first, second) =
                if is_turn_of_bulk { (&mut bulk, &mut prompt) } else { (&mut prompt, &mut bulk) };
            let (head, lap) = match first.next(self, way)? {
                Some(head) => (head, first),
                None => match second.next(self, way)? {
                    Some(head) => (head, second),
                    None => break,
                },
            };
            match self.consider(way, head.id, State::Queued)? {
                Pick::Take if lap.bulk => round.in_a_row = 0,
                Pick::Take => round.in_a_row = (round.in_a_row + 1).min(PROMPT_IN_A_ROW),
                Pick::PassOver => {}
                Pick::End => {
                    // It has not had its turn.
                    lap.from = head.share;
                    (round.prompt, round.bulk) = (prompt.from, bulk.from);
                    return Ok(false);
                }
            }
        }
        (round.prompt, round.bulk) = (prompt.from, bulk.from);
        Ok(self.looks > 0 && !self.helping.is_complete())
    }

    /// Takes a message that is due, with its whole batch, when it is wanted.
    fn consider(&mut self, way: &WayKey, id: QueueId, from: State) -> Result<Pick, S::Error> {
        if self.members.contains(&id) {
            return Ok(Pick::PassOver);
        }
        if !self.helping.wants(way) {
            return Ok(if self.helping.is_complete() { Pick::End } else { Pick::PassOver });
        }
        let Some(facts) = self.shelf.facts(id)? else { return Ok(Pick::PassOver) };
        let batch = match facts.batch {
            Some(batch) => self.shelf.members(batch)?,
            None => Vec::new(),
        };
        let is_held = |member: &Member| member.state == State::Sending && member.due > self.now;
        if batch.iter().any(is_held) {
            // Somebody is about to repeat it, or to say what became of it.
            return Ok(Pick::PassOver);
        }
        let pick = self.helping.pick(way, facts.size);
        if pick != Pick::Take {
            return Ok(pick);
        }
        if batch.is_empty() {
            self.chosen.push(Chosen { id, from });
        } else {
            self.helping.takes_along(way, batch.len() - 1);
            self.members.extend(batch.iter().map(|member| member.id));
            let members = batch.iter().map(|member| Chosen { id: member.id, from: member.state });
            self.chosen.extend(members);
        }
        Ok(pick)
    }

    /// Counts a look; false when there have been enough.
    fn look(&mut self) -> bool {
        let goes_on = self.looks > 0;
        self.looks = self.looks.saturating_sub(1);
        goes_on
    }
}

/// A walk over the groups of one way and kind: first from share to share, then again and again over those in which
/// something is due.
struct Lap {
    bulk: bool,
    /// Where it began.
    begin: u16,
    /// Where the next claim begins.
    from: u16,
    /// The share that is looked at next; `None` after the first time around.
    at: Option<u16>,
    is_second_half: bool,
    /// The last message of each group that has more.
    ring: VecDeque<Head>,
}

impl Lap {
    fn new(bulk: bool, begin: u16) -> Self {
        Self {
            bulk,
            begin,
            from: begin,
            at: Some(begin),
            is_second_half: false,
            ring: VecDeque::new(),
        }
    }

    /// Whose turn it is; `None` when nobody's is, or when there have been enough looks.
    fn next<S: Shelf>(
        &mut self,
        choice: &mut Choice<'_, S>,
        way: &WayKey,
    ) -> Result<Option<Head>, S::Error> {
        while let Some(at) = self.at {
            if !choice.look() {
                return Ok(None);
            }
            match choice.shelf.first(way, self.bulk, at)? {
                Some(head) if self.is_second_half && head.share >= self.begin => self.at = None,
                Some(head) => {
                    self.at = head.share.checked_add(1);
                    self.from = self.at.unwrap_or(0);
                    if head.due <= choice.now {
                        self.ring.push_back(head);
                        return Ok(Some(head));
                    }
                }
                None if self.is_second_half || self.begin == 0 => self.at = None,
                None => {
                    self.is_second_half = true;
                    self.at = Some(0);
                }
            }
        }
        while let Some(last) = self.ring.pop_front() {
            if !choice.look() {
                return Ok(None);
            }
            if let Some(head) = choice.shelf.behind(way, self.bulk, last)?
                && head.due <= choice.now
            {
                self.from = head.share.saturating_add(1);
                self.ring.push_back(head);
                return Ok(Some(head));
            }
        }
        Ok(None)
    }
}
