//! What the messages on their way out may hold in memory.
//!
//! There are two shares, and one for what travels together, so that small mail never waits behind large mail, nor the other way round. Of small messages the
//! content is counted: what a call makes of it is small as well, and gone in a moment. A large message ([`LARGE`]) is
//! counted with all that its delivery holds: its content and the body of a request. It holds its room from before it
//! is read until it is over, so no call ever waits for room with a slot in its hand, and nobody waits in a circle. Large
//! messages get room in the order in which they ask for it; one that is larger than the share takes all of it and goes
//! alone.
//!
//! While a request is made from it, a large message takes about as much again (decoded parts, the edited content): that is
//! done for one at a time.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::queue::LARGE;

/// Content of small messages, in KiB.
const SMALL_KIB: usize = 32 * 1024;
/// All that large messages hold, in KiB: two of 25 MiB at a time, five of 10 MiB, eight of 6 MiB.
const LARGE_KIB: usize = 128 * 1024;
/// What becomes of small messages that travel together, in KiB.
const JOINED_KIB: usize = 32 * 1024;
/// What a large message holds, in fifths of its size: its content, and the body of a request, which is base64 of all of
/// it at the worst (7/5).
const HELD_FIFTHS: usize = 12;

/// The memory of delivery.
#[derive(Debug)]
pub(super) struct Memory {
    small: Arc<Semaphore>,
    large: Arc<Semaphore>,
    joined: Arc<Semaphore>,
    /// Who makes a request from a large message.
    converting: Arc<Semaphore>,
    /// The one large message that has been read from the queue and waits for room.
    next: Arc<Semaphore>,
}

/// Room that a message has; given back when dropped.
#[derive(Debug)]
pub(super) struct Room(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit);

/// The seat of the large message that is read from the queue next; free again when dropped.
#[derive(Debug)]
pub(super) struct Seat(#[expect(dead_code, reason = "held, not looked at")] OwnedSemaphorePermit);

/// The turn of a message to be made into a request; over when dropped.
#[derive(Debug)]
pub(super) struct Turn(
    #[expect(dead_code, reason = "held, not looked at")] Option<OwnedSemaphorePermit>,
);

/// True for a message of so many octets that counts as large.
pub(super) fn is_large(bytes: usize) -> bool {
    bytes as u64 >= LARGE
}

impl Memory {
    pub(super) fn new() -> Self {
        Self {
            small: Arc::new(Semaphore::new(SMALL_KIB)),
            large: Arc::new(Semaphore::new(LARGE_KIB)),
            joined: Arc::new(Semaphore::new(JOINED_KIB)),
            converting: Arc::new(Semaphore::new(1)),
            next: Arc::new(Semaphore::new(1)),
        }
    }

    /// Room for a message of `bytes` octets, if there is some and nobody waits for it.
    pub(super) fn try_take(&self, bytes: usize) -> Option<Room> {
        let (share, kib) = self.share(bytes);
        Arc::clone(share).try_acquire_many_owned(kib).ok().map(Room)
    }

    /// Room for a message of `bytes` octets, when there is some; `None` when delivery ends.
    pub(super) async fn take(&self, bytes: usize) -> Option<Room> {
        let (share, kib) = self.share(bytes);
        Arc::clone(share).acquire_many_owned(kib).await.ok().map(Room)
    }

    /// Room for a small message that is in memory already: as much as there is.
    pub(super) fn take_what_is_left(&self, bytes: usize) -> Option<Room> {
        self.try_take(bytes).or_else(|| {
            let free = u32::try_from(self.small.available_permits()).unwrap_or(u32::MAX);
            Arc::clone(&self.small).try_acquire_many_owned(free).ok().map(Room)
        })
    }

    /// Room for calls of `bytes` octets in all and for the one that they are joined to. It is held by calls only, so that
    /// whoever waits for it with a slot in its hand waits for no other message.
    pub(super) async fn joined(&self, bytes: usize) -> Option<Room> {
        let kib = (2 * bytes / 1024 + 1).min(JOINED_KIB);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        Arc::clone(&self.joined).acquire_many_owned(kib).await.ok().map(Room)
    }

    /// Octets of small messages for which there is room.
    pub(super) fn small_free(&self) -> u64 {
        (self.small.available_permits() as u64) * 1024
    }

    /// The right to read a large message from the queue, unless one that was read waits for room.
    pub(super) fn seat(&self) -> Option<Seat> {
        Arc::clone(&self.next).try_acquire_owned().ok().map(Seat)
    }

    /// Waits until a message of `bytes` octets may be made into a request. The turn must not be kept over anything that
    /// takes its time.
    pub(super) async fn turn(&self, bytes: usize) -> Turn {
        if !is_large(bytes) {
            return Turn(None);
        }
        // It is never closed.
        Turn(Arc::clone(&self.converting).acquire_owned().await.ok())
    }

    /// Nobody gets room any more, and nobody waits for it.
    pub(super) fn close(&self) {
        self.small.close();
        self.large.close();
    }

    fn share(&self, bytes: usize) -> (&Arc<Semaphore>, u32) {
        let (share, kib, all) = if is_large(bytes) {
            let held = (bytes / 1024 + 1).saturating_mul(HELD_FIFTHS) / 5;
            (&self.large, held, LARGE_KIB)
        } else {
            (&self.small, bytes / 1024 + 1, SMALL_KIB)
        };
        (share, u32::try_from(kib.min(all)).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[tokio::test]
    async fn two_of_the_largest_usual_size_go_at_a_time() {
        let memory = Memory::new();
        let first = memory.try_take(25 * MIB).unwrap();
        let _second = memory.try_take(25 * MIB).unwrap();
        assert!(memory.try_take(25 * MIB).is_none());
        assert!(memory.try_take(4096).is_some(), "small mail has room of its own");
        drop(first);
        assert!(memory.try_take(25 * MIB).is_some());
    }

    #[tokio::test]
    async fn small_mail_leaves_large_mail_its_room() {
        let memory = Memory::new();
        let all: Vec<_> = std::iter::from_fn(|| memory.try_take(MIB - 1)).collect();
        assert_eq!(all.len(), SMALL_KIB / 1024);
        assert!(memory.try_take(25 * MIB).is_some());
        assert_eq!(memory.small_free(), 0);
    }

    #[tokio::test]
    async fn what_is_larger_than_the_share_goes_alone() {
        let memory = Arc::new(Memory::new());
        let first = memory.try_take(MIB).unwrap();
        let giant = tokio::spawn({
            let memory = Arc::clone(&memory);
            async move { memory.take(500 * MIB).await.unwrap() }
        });
        tokio::task::yield_now().await;
        assert!(!giant.is_finished());
        assert!(memory.try_take(MIB).is_none(), "nobody overtakes the one that waits");
        drop(first);
        let giant = giant.await.unwrap();
        assert!(memory.try_take(MIB).is_none());
        drop(giant);
        assert!(memory.try_take(MIB).is_some());
    }

    #[tokio::test]
    async fn who_waits_at_the_end_is_told() {
        let memory = Arc::new(Memory::new());
        let _held = memory.try_take(500 * MIB).unwrap();
        let waiting = tokio::spawn({
            let memory = Arc::clone(&memory);
            async move { memory.take(MIB).await }
        });
        tokio::task::yield_now().await;
        memory.close();
        assert!(waiting.await.unwrap().is_none());
    }

    #[tokio::test]
    async fn one_large_message_at_a_time_becomes_a_request() {
        let memory = Memory::new();
        let turn = memory.turn(MIB).await;
        memory.turn(4096).await;
        let second = memory.turn(MIB);
        tokio::pin!(second);
        tokio::select! {
            biased;
            _ = &mut second => panic!("two at a time"),
            () = tokio::task::yield_now() => {}
        }
        drop(turn);
        second.await;
    }
}
