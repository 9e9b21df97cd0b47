//! What waits, as far as it has been read: the walk of a claim goes over it, and says what it has to know besides.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::round::{Facts, Head, Member, Shelf};
use crate::queue::{BatchId, State, WayKey};

/// Behind the last share.
const END: u32 = 1 << 16;

/// What the walk has to know before it can go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The ways behind those that are known.
    Ways,
    /// Who is due in the groups of a way from this share on.
    Groups { way: WayKey, bulk: bool, share: u16 },
    /// Who is due in the groups of a way behind those that are known.
    Behind { way: WayKey, bulk: bool },
    /// The members of batches in doubt.
    Members,
}

/// Messages that are due in the groups of one way and kind.
#[derive(Debug, Default)]
struct Strip {
    /// The shares whose groups have been read.
    read: Vec<Range<u32>>,
    groups: BTreeMap<u16, Group>,
}

/// Those of one share, the longest due first.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) heads: Vec<Head>,
    /// There may be more behind them.
    pub(super) has_more: bool,
}

/// Messages that are due, and locked for this claim.
#[derive(Debug, Default)]
pub(super) struct HeldShelf {
    expired: Vec<(QueueId, WayKey)>,
    ways: BTreeSet<WayKey>,
    has_all_ways: bool,
    strips: HashMap<(WayKey, bool), Strip>,
    facts: HashMap<QueueId, Facts>,
    members: HashMap<BatchId, Vec<Member>>,
    /// Enough has been read: what is not known is not there.
    pub(super) is_final: bool,
}

impl HeldShelf {
    /// A lease that ran out; to be added in their order.
    pub(super) fn add_expired(&mut self, id: QueueId, way: WayKey, facts: Facts) {
        self.expired.push((id, way));
        self.facts.insert(id, facts);
    }

    /// The next ways in their order, and whether these are the last ones.
    pub(super) fn add_ways(&mut self, ways: impl Iterator<Item = WayKey>, are_all: bool) {
        self.ways.extend(ways);
        self.has_all_ways = are_all;
    }

    pub(super) fn last_way(&self) -> Option<&WayKey> {
        self.ways.last()
    }

    /// The ways from this one on that are known, around the circle; so many at the most.
    pub(super) fn ways_from(&self, way: &WayKey) -> impl Iterator<Item = &WayKey> {
        self.ways.range(way.clone()..).chain(self.ways.range(..way.clone()))
    }

    pub(super) fn has_strip(&self, way: &WayKey, bulk: bool) -> bool {
        self.strips.contains_key(&(way.clone(), bulk))
    }

    /// What was found around the circle from this share on: the shares in that order with what is due there. Without
    /// `is_cut` the circle is complete.
    pub(super) fn add_groups(
        &mut self,
        way: WayKey,
        bulk: bool,
        from: u16,
        groups: Vec<(u16, Group)>,
        is_cut: bool,
    ) {
        let strip = self.strips.entry((way, bulk)).or_default();
        let from = u32::from(from);
        match groups.last() {
            Some((last, _)) if is_cut => {
                let end = u32::from(*last) + 1;
                if end > from {
                    strip.read.push(from..end);
                } else {
                    strip.read.extend([from..END, 0..end]);
                }
            }
            _ => {
                strip.read.clear();
                strip.read.push(0..END);
            }
        }
        for (share, group) in groups {
            // A group that is known already may be known deeper.
            strip.groups.entry(share).or_insert(group);
        }
    }

    /// What was found behind the last one of a group.
    pub(super) fn add_behind(
        &mut self,
        way: &WayKey,
        bulk: bool,
        share: u16,
        heads: Vec<Head>,
        has_more: bool,
    ) {
        let strip = self.strips.entry((way.clone(), bulk)).or_default();
        let group = strip.groups.entry(share).or_default();
        group.heads.extend(heads);
        group.has_more = has_more;
    }

    pub(super) fn add_facts(&mut self, id: QueueId, facts: Facts) {
        self.facts.insert(id, facts);
    }

    /// The groups that may have more, with the last that is known of each.
    pub(super) fn unfinished(&self, way: &WayKey, bulk: bool) -> Vec<Head> {
        let strip = self.strips.get(&(way.clone(), bulk));
        let groups = strip.iter().flat_map(|strip| strip.groups.values());
        groups.filter(|group| group.has_more).filter_map(|it| it.heads.last().copied()).collect()
    }

    /// Batches whose members are not known.
    pub(super) fn unknown_batches(&self) -> BTreeSet<BatchId> {
        let batches = self.facts.values().filter_map(|facts| facts.batch);
        batches.filter(|batch| !self.members.contains_key(batch)).collect()
    }

    /// The open members of these batches, in their order.
    pub(super) fn add_members(
        &mut self,
        batches: impl IntoIterator<Item = BatchId>,
        members: impl IntoIterator<Item = (BatchId, Member)>,
    ) {
        self.members.extend(batches.into_iter().map(|batch| (batch, Vec::new())));
        for (batch, member) in members {
            self.members.entry(batch).or_default().push(member);
        }
    }

    fn miss<T: Default>(&self, missing: Missing) -> Result<T, Missing> {
        if self.is_final { Ok(T::default()) } else { Err(missing) }
    }
}

/// A member that another one has in hand: it counts as held, whatever it was.
pub(super) fn in_other_hands(id: QueueId) -> Member {
    Member { id, state: State::Sending, due: Timestamp::MAX }
}

impl Shelf for HeldShelf {
    type Error = Missing;

    fn expired(
        &mut self,
        _now: Timestamp,
        limit: usize,
    ) -> Result<Vec<(QueueId, WayKey)>, Missing> {
        Ok(self.expired.iter().take(limit).cloned().collect())
    }

    /// A claim does not ask.
    fn first_expiry(
        &mut self,
        _wanted: &dyn Fn(&WayKey) -> bool,
    ) -> Result<Option<Timestamp>, Missing> {
        Ok(None)
    }

    fn way_after(&mut self, way: Option<&WayKey>) -> Result<Option<WayKey>, Missing> {
        let next = match way {
            None => self.ways.first(),
            Some(way) => self.ways.range(way.clone()..).find(|other| *other > way),
        };
        match next {
            Some(next) => Ok(Some(next.clone())),
            None if self.has_all_ways => Ok(None),
            None => self.miss(Missing::Ways),
        }
    }

    fn first(&mut self, way: &WayKey, bulk: bool, share: u16) -> Result<Option<Head>, Missing> {
        let mut at = u32::from(share);
        let strip = self.strips.get(&(way.clone(), bulk));
        let read = |at| {
            let mut read = strip.iter().flat_map(|strip| &strip.read);
            read.find(|range| range.contains(&at))
        };
        while let Some(range) = read(at) {
            let groups = strip.iter().flat_map(|it| &it.groups);
            let heads = groups
                .filter(|(share, _)| (at..range.end).contains(&u32::from(**share)))
                .find_map(|(_, group)| group.heads.first());
            if let Some(head) = heads {
                return Ok(Some(*head));
            }
            if range.end == END {
                return Ok(None);
            }
            at = range.end;
        }
        let share = u16::try_from(at).unwrap_or_default();
        self.miss(Missing::Groups { way: way.clone(), bulk, share })
    }

    fn behind(&mut self, way: &WayKey, bulk: bool, last: Head) -> Result<Option<Head>, Missing> {
        let strip = self.strips.get(&(way.clone(), bulk));
        let Some(group) = strip.and_then(|strip| strip.groups.get(&last.share)) else {
            return Ok(None);
        };
        let next = group.heads.partition_point(|it| (it.due, it.id) <= (last.due, last.id));
        match group.heads.get(next) {
            Some(head) => Ok(Some(*head)),
            None if group.has_more => self.miss(Missing::Behind { way: way.clone(), bulk }),
            None => Ok(None),
        }
    }

    fn facts(&mut self, id: QueueId) -> Result<Option<Facts>, Missing> {
        Ok(self.facts.get(&id).copied())
    }

    fn members(&mut self, batch: BatchId) -> Result<Vec<Member>, Missing> {
        match self.members.get(&batch) {
            Some(members) => Ok(members.clone()),
            // Nothing is taken out of a batch that nobody has seen.
            None if self.is_final => Ok(vec![in_other_hands(batch.0)]),
            None => Err(Missing::Members),
        }
    }
}
