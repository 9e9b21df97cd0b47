//! Many moves between three stores, broken off anywhere, with work in between: nothing is sent twice, nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use fastrand::Rng;

use super::*;
use crate::clock::Clock;
use crate::queue::conformance::{at, delivered, lease, message, refused, settlement, up_to};
use crate::queue::memory::MemoryMover;
use crate::queue::{Entry, MemoryStore, Next, Retry, State, Store};

const STORES: usize = 3;
const SEEDS: u64 = 400;

#[derive(Debug)]
struct Now(Timestamp);

impl Clock for Now {
    fn now(&self) -> Timestamp {
        self.0
    }
}

struct World {
    rng: Rng,
    second: i64,
    spots: Vec<(Arc<MemoryStore>, MemoryMover)>,
    /// Every message, and how often it was sent.
    sent: BTreeMap<QueueId, u32>,
    /// Those that were refused or cancelled and not tried again.
    over: BTreeSet<QueueId>,
}

impl World {
    fn new(seed: u64) -> Self {
        let spot = |number| {
            let store = Arc::new(MemoryStore::new(100_000));
            (Arc::clone(&store), MemoryMover::new(store, number))
        };
        Self {
            rng: Rng::with_seed(seed),
            second: 0,
            spots: (1..=3).map(spot).collect(),
            sent: BTreeMap::new(),
            over: BTreeSet::new(),
        }
    }

    async fn mark(&self, spot: usize) -> Option<Mark> {
        self.spots[spot].1.mark().await.unwrap()
    }

    /// What a daemon and an operator do, where they may.
    async fn work(&mut self, spot: usize) {
        if self.mark(spot).await.is_some() {
            return;
        }
        let store = Arc::clone(&self.spots[spot].0);
        for _ in 0..self.rng.u32(0..4) {
            self.second += 1;
            let message = Arc::new(message(self.second));
            self.sent.insert(message.id, 0);
            store.insert(Entry::waiting(message)).await.unwrap();
        }
        for _ in 0..self.rng.u32(0..6) {
            self.second += 1;
            self.claim_and_settle(&store).await;
        }
        self.second += 1;
        let now = at(self.second);
        match self.rng.u32(0..6) {
            0 => self.retry_one(&store).await,
            1 => self.cancel_one(&store).await,
            2 => {
                let long = std::time::Duration::from_secs(self.rng.u64(0..30));
                while store.sweep(long, long, now).await.unwrap() > 0 {}
            }
            _ => {}
        }
        // The daemon has ended, properly or not.
        store.restart();
    }

    async fn claim_and_settle(&mut self, store: &MemoryStore) {
        let now = at(self.second);
        let claims = store.claim(up_to(1), now, lease(self.second + 600)).await.unwrap();
        for claim in claims {
            let id = claim.message.id;
            let next = match self.rng.u32(0..5) {
                0 | 1 => {
                    *self.sent.get_mut(&id).unwrap() += 1;
                    delivered(&claim, "resend", self.second)
                }
                2 => {
                    self.over.insert(id);
                    refused(&claim, "ses", self.second)
                }
                3 => {
                    let next = Next::Queue { due: now, error: None, deferred: true };
                    settlement(&claim, next, self.second)
                }
                // It crashes before the call.
                _ => continue,
            };
            store.settle(next).await.unwrap();
        }
    }

    async fn one_in(&mut self, store: &MemoryStore, state: State) -> Option<QueueId> {
        let filter = crate::queue::Filter { state: Some(state), ..Default::default() };
        let page = store.list(filter).await.unwrap();
        self.rng.choice(page.messages).map(|summary| summary.id)
    }

    async fn retry_one(&mut self, store: &MemoryStore) {
        if let Some(id) = self.one_in(store, State::Failed).await {
            store.retry(id, Retry::default(), at(self.second)).await.unwrap();
            self.over.remove(&id);
        }
    }

    async fn cancel_one(&mut self, store: &MemoryStore) {
        if let Some(id) = self.one_in(store, State::Queued).await {
            store.cancel(id, at(self.second)).await.unwrap();
            self.over.insert(id);
        }
    }

    async fn migrate(
        &mut self,
        from: usize,
        to: usize,
        changes: i64,
        again: bool,
    ) -> Result<Summary, MoveError> {
        self.second += 1;
        let left = AtomicI64::new(changes);
        let last_is_made = self.rng.bool();
        let source = Fused { inner: &self.spots[from].1, left: &left, last_is_made };
        let target = Fused { inner: &self.spots[to].1, left: &left, last_is_made };
        let ends = Ends { source: &source, target: &target, again };
        migrate(ends, &Now(at(self.second)), &mut |_| {}).await
    }

    fn spot_of(&self, id: StoreId) -> usize {
        self.spots.iter().position(|(_, mover)| mover.id() == id).unwrap()
    }

    /// Brings every move to its end.
    async fn finish(&mut self) {
        for from in 0..STORES {
            let Some(mark) = self.mark(from).await else { continue };
            let other = self.spot_of(mark.other);
            let own = self.spots[from].1.id();
            let answer = self.mark(other).await.filter(|it| it.other == own);
            match (mark.passage, answer.map(|mark| mark.passage)) {
                (Passage::Leaving, _) => {
                    self.migrate(from, other, i64::MAX, false).await.unwrap();
                }
                (Passage::Gone, Some(Passage::Gone) | None) => {}
                (Passage::Gone, Some(_)) => {
                    self.migrate(from, other, i64::MAX, false).await.unwrap();
                }
                (Passage::Arriving, _) => {
                    let to = match self.mark(other).await {
                        Some(mark) if mark.other == self.spots[from].1.id() => other,
                        None => other,
                        // That one has gone elsewhere and has left nothing here: what this one had of its own waits here.
                        Some(_) => {
                            let mut free = Vec::new();
                            for to in (0..STORES).filter(|to| *to != from) {
                                if self.mark(to).await.is_none() {
                                    free.push(to);
                                }
                            }
                            free[0]
                        }
                    };
                    self.migrate(from, to, i64::MAX, to != other).await.unwrap();
                }
                // All that it has is where it came from.
                (Passage::Returning, None) => {}
                (Passage::Returning, Some(_)) => {
                    self.migrate(from, other, i64::MAX, false).await.unwrap();
                }
            }
        }
        // What was settled above may have changed what was looked at before.
        for spot in 0..STORES {
            if let Some(mark) = self.mark(spot).await {
                assert!(matches!(mark.passage, Passage::Gone | Passage::Returning), "{mark:?}");
            }
        }
    }

    /// Sends everything that still waits anywhere.
    async fn send_all(&mut self) {
        self.second += 10_000;
        for spot in 0..STORES {
            if self.mark(spot).await.is_some() {
                continue;
            }
            let store = Arc::clone(&self.spots[spot].0);
            let claims = store
                .claim(up_to(10_000), at(self.second), lease(self.second + 600))
                .await
                .unwrap();
            for claim in claims {
                *self.sent.get_mut(&claim.message.id).unwrap() += 1;
                store.settle(delivered(&claim, "resend", self.second)).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn nothing_is_sent_twice_or_lost_wherever_moves_break_off() {
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..40 {
            let (one, other) = (world.rng.usize(0..STORES), world.rng.usize(0..STORES));
            if world.rng.bool() {
                world.work(one).await;
            } else {
                let changes = if world.rng.bool() { i64::MAX } else { world.rng.i64(0..9) };
                // Refused, broken off or done: all of it may happen.
                let _ = world.migrate(one, other, changes, false).await;
            }
        }
        world.finish().await;
        world.send_all().await;
        for (id, sent) in &world.sent {
            let wanted = u32::from(!world.over.contains(id));
            assert_eq!(*sent, wanted, "seed {seed}, message {id}");
        }
    }
}
