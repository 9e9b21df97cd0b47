//! Moving a queue from one store to another, whatever the two are.
//!
//! A move can be interrupted anywhere and run again, and what was moved can be moved back. Two things make that safe.
//! [`marks`] say in each of the two stores what is under way, so that no daemon uses the one that has been left, nor the
//! one that has not got everything yet: at any moment at most one of them is in use. [`knowledge`] says which of two
//! records of one message is the younger, so that nothing that has happened is undone. [`course`] is the move itself.

mod course;
mod knowledge;
mod marks;
mod record;
#[cfg(test)]
pub(super) mod tests;

pub use course::{Ends, MoveError, Step, Summary, migrate};
pub use knowledge::Sketch;
pub(super) use knowledge::{Judgement, judge};
pub use marks::{Mark, NotMoved, Passage, StoreId};
pub use record::{Aside, AsideKind, Call, Record};

use async_trait::async_trait;

use super::store::StoreError;
use crate::clock::Timestamp;
use crate::message::QueueId;

/// What a slice of records became in the store that took it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// Were not there.
    pub added: u64,
    /// Were there, and less was known of them.
    pub updated: u64,
}

/// A store that was opened to be moved from or to: nobody else uses it. It decides nothing.
#[async_trait]
pub trait Movable: Send + Sync {
    /// Which store this is.
    fn id(&self) -> StoreId;

    /// Where it is, for people: without a password.
    fn place(&self) -> &str;

    /// What it says of a move.
    async fn mark(&self) -> Result<Option<Mark>, StoreError>;

    /// Writes that down, and what follows from it, in one step. [`Passage::Leaving`] and [`Passage::Gone`]: claims are
    /// void, and from now on nothing in it can be changed by anybody. [`Passage::Returning`]: what is kept beside the
    /// messages goes, because it is old.
    async fn set_mark(&self, mark: Option<Mark>) -> Result<(), StoreError>;

    /// Whether somebody uses it after all, in words.
    async fn in_use(&self) -> Result<Option<String>, StoreError>;

    /// How many messages it has.
    async fn count(&self) -> Result<u64, StoreError>;

    /// The messages behind this one, in the order of their ids.
    async fn sketches(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<Sketch>, StoreError>;

    /// Those of these messages that it has, in any order.
    async fn sketches_of(&self, ids: Vec<QueueId>) -> Result<Vec<Sketch>, StoreError>;

    /// These messages with all that is kept of them.
    async fn read(&self, ids: Vec<QueueId>) -> Result<Vec<Record>, StoreError>;

    /// Keeps them in one step, but for those of which it [knows](judge) as much or more.
    async fn write(&self, records: Vec<Record>) -> Result<Taken, StoreError>;

    /// Ends what is open behind `after` and up to `upto` and is none of these: cancelled, with the reason. Returns how
    /// many that were.
    async fn end_others(
        &self,
        after: Option<QueueId>,
        upto: Option<QueueId>,
        known: Vec<QueueId>,
        now: Timestamp,
    ) -> Result<u64, StoreError>;

    /// What is kept beside the messages: one slice of a kind, behind `after`, in an order of its own.
    async fn read_aside(
        &self,
        kind: AsideKind,
        after: Option<Aside>,
    ) -> Result<Vec<Aside>, StoreError>;

    /// Keeps it, in one step. What is there already stays where it says more.
    async fn write_aside(&self, slice: Vec<Aside>) -> Result<(), StoreError>;

    /// Finishes, and lets go of it.
    async fn close(&self) -> Result<(), StoreError>;
}

/// How many items a slice of what is beside the messages has.
pub(super) const ASIDE_SLICE: usize = 1_000;

/// The error of messages that [`Movable::end_others`] has ended.
pub(super) const ENDED_ELSEWHERE: &str = "it was finished where this queue was in the meantime, and its record was not kept there any more";
