//! What is to be read from the queue: of each way as much as its lanes have room for, and nothing of a way that is closed.
//!
//! Reads are few: a lane asks when there is room for many, or when it has nothing to do. What a read had no room for, and
//! which lanes were closed, is remembered, so that the next one comes as soon as that changes and not before.

use std::collections::BTreeMap;

use super::board::Board;
use super::lane::{Lane, LaneId};
use super::waiting::Batching;
use crate::clock::Timestamp;
use crate::queue::{Portion, WayKey};

/// A lane asks for messages when this many fit, so that one read brings many.
const ROOM_MIN: usize = 32;
/// Messages of brought accounts that one read brings, and how many may be in memory.
const ACCOUNT_ROOM: usize = 72;
const ACCOUNT_JOBS_MAX: usize = 2_048;
/// Messages of a way of several routes that one read brings.
const MIXED_ROOM: usize = 16;
/// Messages that are looked at in one go when they may have waited too long.
const GIVEN_UP_PER_READ: usize = 64;

/// How many messages a lane asks for. One that has a little room and enough to do waits until there is more.
fn asks_for(lane: &Lane, batching: Batching, now: Timestamp) -> usize {
    let room = lane.room(batching, now);
    if room >= ROOM_MIN || lane.jobs() == 0 { room } else { 0 }
}

impl Board {
    /// What to read now; `None` when it is not worth it. `bytes` and `large` are what the memory has room for.
    pub(super) fn portion(&mut self, now: Timestamp, bytes: u64, large: usize) -> Option<Portion> {
        let asked = self.asked(now);
        let others = self.others(now, asked.values().copied().max().unwrap_or_default());
        let worth_it = others > 0 || asked.values().any(|asked| *asked > 0);
        if !worth_it {
            return None;
        }
        let mut ways = BTreeMap::new();
        // Routes that prefer the same lane share its room.
        let preferred: Vec<Option<LaneId>> =
            self.orders.iter().map(|order| self.first_open(order, now)).collect();
        for (route, lane) in preferred.iter().enumerate() {
            let room = lane.map_or(0, |lane| {
                let sharing = preferred.iter().filter(|other| **other == Some(lane)).count();
                asked.get(&lane).map_or(0, |room| room.div_ceil(sharing.max(1)))
            });
            ways.insert(self.routing.key(&[route]), room);
        }
        for (key, routes) in &self.mixed {
            let rooms = routes.iter().filter_map(|route| preferred.get(*route).copied().flatten());
            let room = rooms.filter_map(|lane| asked.get(&lane)).max().copied().unwrap_or(0);
            ways.insert(key.clone(), room.min(MIXED_ROOM));
        }
        for (_, lane) in self.roster.all() {
            if asks_for(lane, self.batching, now) == 0 {
                ways.insert(lane.way.clone(), 0);
            }
        }
        Some(Portion { ways, others, bytes, large })
    }

    /// How many messages each lane of a route asks for.
    fn asked(&self, now: Timestamp) -> BTreeMap<LaneId, usize> {
        let asked = |id: &LaneId| (*id, asks_for(self.roster.lane(*id), self.batching, now));
        self.routed.iter().map(asked).collect()
    }

    /// Messages of ways that nothing is known about.
    fn others(&self, now: Timestamp, routed: usize) -> usize {
        let may = self.reads_for_accounts() && self.roster.account_jobs() < ACCOUNT_JOBS_MAX;
        // An operator may have named a provider that is in no route.
        let named =
            || self.roster.configured().map(|lane| asks_for(lane, self.batching, now)).max();
        let others = routed.max(if may { ACCOUNT_ROOM } else { 0 });
        if others > 0 { others } else { named().unwrap_or(0) }
    }

    /// The lane that mail of this order goes to now.
    pub(super) fn first_open(&self, order: &[LaneId], now: Timestamp) -> Option<LaneId> {
        order.iter().copied().find(|id| self.is_open(*id, now))
    }

    /// The queue holds nothing more of what was asked for: only what there was no room for may be due.
    pub(super) fn has_read_all(&mut self, now: Timestamp) {
        let state = |(id, lane): (LaneId, &Lane)| {
            (id, lane.is_open(now), asks_for(lane, self.batching, now) == 0)
        };
        let states: Vec<_> = self.roster.all().map(state).collect();
        self.shut.clear();
        for (id, is_open, is_full) in states {
            if !is_open {
                self.shut.insert(id);
            }
            self.roster.note_left_out(id, is_open && is_full);
        }
    }

    /// True once when a lane takes mail again that was closed at the last read.
    pub(super) fn has_opened(&mut self, now: Timestamp) -> bool {
        let roster = &self.roster;
        let opened = |id: &LaneId| roster.contains(*id) && roster.lane(*id).is_open(now);
        let opened = self.shut.iter().any(opened);
        if opened {
            self.shut.clear();
        }
        opened
    }

    /// True when the queue may hold mail for this lane that there was no room for, and now there is.
    pub(super) fn is_hungry(&self, id: LaneId, now: Timestamp) -> bool {
        let roster = &self.roster;
        roster.contains(id) && {
            let lane = roster.lane(id);
            lane.left_out && asks_for(lane, self.batching, now) > 0
        }
    }

    /// True when a read would ask for something.
    pub(super) fn wants_more(&self, now: Timestamp) -> bool {
        let asks = |id: &LaneId| asks_for(self.roster.lane(*id), self.batching, now) > 0;
        self.routed.iter().any(asks) || self.others(now, 0) > 0
    }

    /// What may be waiting in vain: mail of ways of which every provider is down. `None` when there is no such way.
    pub(super) fn portion_in_vain(&self, bytes: u64) -> Option<Portion> {
        let room = |down: bool| if down { GIVEN_UP_PER_READ } else { 0 };
        let mut ways: BTreeMap<WayKey, usize> = BTreeMap::new();
        let is_down = |order: &Vec<LaneId>| self.down_since(order.iter().copied()).is_some();
        let down: Vec<bool> = self.orders.iter().map(is_down).collect();
        for (route, down) in down.iter().enumerate() {
            ways.insert(self.routing.key(&[route]), room(*down));
        }
        for (key, routes) in &self.mixed {
            let any = routes.iter().any(|route| down.get(*route).copied().unwrap_or_default());
            ways.insert(key.clone(), room(any));
        }
        for (id, lane) in self.roster.all() {
            let down = self.down_since([id].into_iter()).is_some();
            ways.insert(lane.way.clone(), room(down));
        }
        let any = ways.values().any(|room| *room > 0);
        any.then_some(Portion { ways, others: GIVEN_UP_PER_READ, bytes, large: 1 })
    }
}
