//! A place among the calls of a lane that are in flight.

use super::board::Board;
use super::engine::Engine;
use super::lane::LaneId;

/// The slot that a call has. Dropped, it is free again: the work for which it was taken may panic, or nobody may wait for
/// it any more.
#[derive(Debug)]
pub(super) struct Slot<'a> {
    engine: &'a Engine,
    lane: LaneId,
    held: bool,
}

impl<'a> Slot<'a> {
    /// The board has taken the slot for whoever asks.
    pub(super) fn taken(engine: &'a Engine, lane: LaneId) -> Self {
        Self { engine, lane, held: true }
    }

    /// The slot is free again.
    pub(super) fn give_back(mut self, board: &mut Board) {
        self.held = false;
        board.release(self.lane);
    }

    /// Somebody else has it from now on.
    pub(super) fn hand_on(mut self) {
        self.held = false;
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if self.held {
            self.engine.board().release(self.lane);
            // Whoever waits for it.
            self.engine.pump.notify_one();
        }
    }
}
