//! Brings messages from the queue to the lanes: backlog, retries, and what a restart left.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::board::earlier;
use super::engine::{Engine, StoreHandle};
use super::job::Job;
use super::memory::{Seat, is_large};
use super::placing::Placement;
use crate::clock::Timestamp;
use crate::queue::{Claim, Lease, Next, Portion};

/// The net below the wake-ups: another process (`mailferry queue retry`) may have made something due.
const POLL: Duration = Duration::from_secs(2);
/// Reads in a row before the rest, a shutdown for instance, gets its look.
const READS_PER_TURN: usize = 8;
/// Memory that must be free before the queue is read.
const MEMORY_FREE_MIN: u64 = 1 << 20;

impl Engine {
    /// Runs until `shutdown`, then returns what waits in memory to the queue.
    pub(super) async fn pump(self: Arc<Self>, shutdown: CancellationToken) {
        let mut queue_due = None;
        let mut poll = Instant::now() + POLL;
        loop {
            let due = self.turn(&mut queue_due).await;
            let wait = due.map_or(POLL, |at| at.duration_since(self.now()).unsigned_abs());
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = self.pump.notified() => {}
                () = tokio::time::sleep_until(poll.min(Instant::now() + wait.min(POLL))) => {}
            }
            // Also when it is woken up all the time.
            if poll <= Instant::now() {
                poll = Instant::now() + POLL;
                self.backlog.store(true, Ordering::Relaxed);
            }
        }
        self.closing.store(true, Ordering::Relaxed);
        self.memory.close();
        self.empty();
    }

    /// For the shutdown: returns all that waits on the board to the queue.
    pub(super) fn empty(self: &Arc<Self>) {
        let waiting = self.board().drain();
        waiting.into_iter().for_each(|job| self.hand_back(job));
    }

    /// One look at everything; returns when the next is due. `queue_due` remembers when the queue has something, so that
    /// it is not asked before.
    async fn turn(self: &Arc<Self>, queue_due: &mut Option<Timestamp>) -> Option<Timestamp> {
        self.learn_usage(None).await;
        let (checks, outstayed, displaced) = {
            let now = self.now();
            if queue_due.is_some_and(|due| due <= now) {
                self.backlog.store(true, Ordering::Relaxed);
            }
            let mut board = self.board();
            board.drop_unused(now);
            if board.has_opened(now) {
                self.backlog.store(true, Ordering::Relaxed);
            }
            (board.due_checks(now), board.outstayed(now), board.displaced(now))
        };
        for lane in checks {
            self.tasks.spawn(Arc::clone(self).check(lane));
        }
        outstayed.into_iter().for_each(|job| self.hand_back(job));
        self.dispatch_all(displaced);
        self.start_ready();
        if let Some(read) = self.read_queue().await {
            *queue_due = read;
        }
        // The time first: what comes of age from here on is named as the next change.
        let now = self.now();
        self.start_ready();
        let ahead = queue_due.filter(|due| *due > now);
        earlier(ahead, self.board().next_change(now))
    }

    /// Claims what is due while there is room. When it has read to the end, returns when the queue's next message is due,
    /// if there is one.
    async fn read_queue(self: &Arc<Self>) -> Option<Option<Timestamp>> {
        let StoreHandle(store) = self.store.as_ref()?;
        for _ in 0..READS_PER_TURN {
            let now = self.now();
            let memory = self.memory.small_free();
            if !self.backlog.load(Ordering::Relaxed) || memory < MEMORY_FREE_MIN {
                // A message that ends, or a provider that opens, asks again.
                return None;
            }
            let mut seat = self.memory.seat();
            let portion = self.board().portion(now, memory, usize::from(seat.is_some()));
            let portion = portion?;
            // Cleared before the read: what comes in meanwhile sets it again.
            self.backlog.store(false, Ordering::Relaxed);
            if !self.is_present() {
                // What was claimed now might go to others at once.
                return Some(Some(now + POLL));
            }
            let lease = self.lease();
            let claims = match store.claim(portion.clone(), now, lease.clone()).await {
                Ok(claims) => claims,
                Err(error) => {
                    tracing::error!(error = %error, "the queue cannot be read");
                    return Some(Some(now + POLL));
                }
            };
            if claims.is_empty() && seat.is_some() {
                self.board().has_read_all(now);
                return Some(self.next_due(&portion, now).await);
            }
            self.backlog.store(true, Ordering::Relaxed);
            if claims.is_empty() {
                // Large ones may be due that were passed over. The one that waits for room asks again when it has it.
                return None;
            }
            let (large, small): (Vec<_>, Vec<_>) =
                claims.into_iter().partition(|claim| is_large(claim.message.raw.len()));
            for claim in large {
                self.offer_large(claim, lease.clone(), seat.take());
            }
            self.offer_all(small, &lease).await;
        }
        self.pump.notify_one();
        None
    }

    /// Starts a large message that was read from the queue, when there is room for it. Until then none is read behind it.
    fn offer_large(self: &Arc<Self>, claim: Claim, lease: Lease, seat: Option<Seat>) {
        let size = claim.message.raw.len();
        if let Some(room) = self.memory.try_take(size) {
            return self.offer(claim, lease, Some(room));
        }
        let engine = Arc::clone(self);
        self.tasks.spawn(async move {
            let room = engine.memory.take(size).await;
            drop(seat);
            if room.is_some() && !engine.closing.load(Ordering::Relaxed) {
                engine.offer(claim, lease, room);
                engine.pump.notify_one();
            } else {
                let way = engine.way(&claim.message);
                engine.hand_back(Job::new(claim, lease, way, room));
            }
        });
    }

    /// While every provider of a route is down its messages are not tried. Those that have waited too long end all the same.
    pub(super) async fn give_up_waiting(self: &Arc<Self>) {
        let Some(StoreHandle(store)) = &self.store else { return };
        let give_up_after = self.policy().rules.give_up_after;
        for _ in 0..READS_PER_TURN {
            let now = self.now();
            let oldest = store.counts().await.ok().and_then(|counts| counts.oldest);
            let overdue =
                |oldest: Timestamp| now.duration_since(oldest).unsigned_abs() >= give_up_after;
            if !oldest.is_some_and(overdue) || self.closing.load(Ordering::Relaxed) {
                return;
            }
            let portion = self.board().portion_in_vain(MEMORY_FREE_MIN);
            let Some(portion) = portion else { return };
            if !self.is_present() {
                return;
            }
            let lease = self.lease();
            let Ok(claims) = store.claim(portion, now, lease.clone()).await else {
                return;
            };
            // Batches that are to be repeated are given up as a whole, or not at all.
            let (members, claims): (Vec<_>, Vec<_>) = claims.into_iter().partition(is_member);
            self.offer_all(members, &lease).await;
            let mut given_up = 0;
            for claim in claims {
                let way = self.way(&claim.message);
                let job = Job::new(claim, lease.clone(), way, None);
                let placement = self.board().assign(job, now);
                if let Placement::Back { job, due, why } = placement {
                    let next = self.after_waiting(&job, due, why);
                    given_up += usize::from(matches!(next, Next::Failed { .. }));
                    self.conclude(*job, next).await;
                } else {
                    self.carry_out(placement);
                }
            }
            if given_up == 0 {
                return;
            }
        }
    }

    async fn next_due(&self, portion: &Portion, now: Timestamp) -> Option<Timestamp> {
        let StoreHandle(store) = self.store.as_ref()?;
        match store.next_due(portion).await {
            // Due already: it became so after the claim; a moment later it is claimed.
            Ok(due) => due.map(|due| due.max(now + Duration::from_millis(1))),
            Err(error) => {
                tracing::error!(error = %error, "the queue cannot be read");
                Some(now + POLL)
            }
        }
    }
}

/// True for one of a batch whose outcome is not known.
fn is_member(claim: &Claim) -> bool {
    claim.doubt.as_ref().is_some_and(|doubt| doubt.place.is_some())
}
