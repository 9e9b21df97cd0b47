//! The move itself, in slices.

use super::knowledge::{Judgement, Sketch, judge};
use super::marks::{End, Mark, NotMoved, Passage, Plan, has_arrived, plan};
use super::{AsideKind, Movable};
use crate::clock::Clock;
use crate::message::QueueId;
use crate::queue::StoreError;

use std::collections::HashMap;

/// Messages that are compared at a time.
const SLICE: usize = 1_000;

/// What is copied at a time: messages, and octets of their contents. One message always fits.
const PORTION: usize = 250;
const PORTION_OCTETS: u64 = 16 << 20;

/// What is moved where.
#[derive(Clone, Copy)]
pub struct Ends<'a> {
    pub source: &'a dyn Movable,
    pub target: &'a dyn Movable,
    /// Although the source was moved elsewhere before: that store is lost.
    pub again: bool,
}

impl std::fmt::Debug for Ends<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ends").field("again", &self.again).finish_non_exhaustive()
    }
}

/// How far a move has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many of so many messages have been looked at.
    Messages { done: u64, of: u64 },
    /// What is kept beside them: so many rows of this kind are there.
    Aside { kind: AsideKind, done: u64 },
}

/// What a move has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Everything had been moved before; nothing was left to do.
    pub was_done: bool,
    /// Messages of the source.
    pub messages: u64,
    /// Of them still open.
    pub open: u64,
    /// Of them were not in the target.
    pub added: u64,
    /// Of them were in the target, which knew less.
    pub updated: u64,
    /// Messages that were open in the target alone, as old copies; they are cancelled there.
    pub ended: u64,
    /// Octets of contents that were copied.
    pub octets: u64,
    /// Of the messages still open: those that go by an account that their client brought.
    pub accounts: u64,
    pub suppressions: u64,
    pub usage: u64,
    pub counters: u64,
    pub submissions: u64,
}

/// Why a move has ended early. It can be run again.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MoveError {
    #[error(transparent)]
    NotMoved(#[from] NotMoved),
    #[error("{place}: {who}")]
    InUse { place: String, who: String },
    /// One of the two failed.
    #[error("{place}: {error}")]
    Store { place: String, error: StoreError },
}

/// Moves everything.
pub async fn migrate(
    ends: Ends<'_>,
    clock: &dyn Clock,
    tell: &mut (dyn FnMut(Step) + Send),
) -> Result<Summary, MoveError> {
    let Ends { source, target, again } = ends;
    let (mut from, to) = (end(source).await?, end(target).await?);
    nobody_uses(source).await?;
    nobody_uses(target).await?;
    if has_arrived(&from, &to) {
        source.set_mark(None).await.of(source)?;
        from.mark = None;
    }
    let plan = plan(&from, &to, again)?;
    let mark = |passage, other: &End| Mark {
        passage,
        other: other.id,
        place: other.place.clone(),
        since: clock.now(),
    };
    let mut summary = Summary { was_done: plan == Plan::Nothing, ..Summary::default() };
    match plan {
        Plan::Nothing => return Ok(summary),
        Plan::Settle => {}
        Plan::Copy(passage) => {
            target.set_mark(Some(mark(passage, &from))).await.of(target)?;
            source.set_mark(Some(mark(Passage::Leaving, &to))).await.of(source)?;
            copy_messages(ends, passage, clock, tell, &mut summary).await?;
            copy_aside(ends, tell, &mut summary).await?;
            nobody_uses(source).await?;
            nobody_uses(target).await?;
        }
    }
    source.set_mark(Some(mark(Passage::Gone, &to))).await.of(source)?;
    let is_about_this = target.mark().await.of(target)?.is_some_and(|mark| mark.other == from.id);
    if is_about_this {
        target.set_mark(None).await.of(target)?;
    }
    Ok(summary)
}

async fn end(store: &dyn Movable) -> Result<End, MoveError> {
    let mark = store.mark().await.of(store)?;
    Ok(End { id: store.id(), place: store.place().to_owned(), mark })
}

async fn nobody_uses(store: &dyn Movable) -> Result<(), MoveError> {
    match store.in_use().await.of(store)? {
        Some(who) => Err(MoveError::InUse { place: store.place().to_owned(), who }),
        None => Ok(()),
    }
}

/// Walks through the source, and copies what the target does not know.
async fn copy_messages(
    ends: Ends<'_>,
    passage: Passage,
    clock: &dyn Clock,
    tell: &mut (dyn FnMut(Step) + Send),
    summary: &mut Summary,
) -> Result<(), MoveError> {
    let Ends { source, target, .. } = ends;
    let of = source.count().await.of(source)?;
    let mut after = None;
    loop {
        tell(Step::Messages { done: summary.messages, of });
        let slice = source.sketches(after, SLICE).await.of(source)?;
        let ids: Vec<QueueId> = slice.iter().map(|sketch| sketch.id).collect();
        let upto = ids.last().copied().filter(|_| ids.len() == SLICE);
        for sketch in slice.iter().filter(|sketch| sketch.state.is_open()) {
            summary.open += 1;
            summary.accounts += u64::from(sketch.has_account);
        }
        summary.messages += slice.len() as u64;
        for portion in portions(lacking(target, slice).await?) {
            let wanted = portion.iter().map(|sketch| sketch.id).collect();
            let records = source.read(wanted).await.of(source)?;
            let taken = target.write(records).await.of(target)?;
            summary.added += taken.added;
            summary.updated += taken.updated;
            summary.octets += portion.iter().map(|sketch| sketch.octets).sum::<u64>();
        }
        if passage == Passage::Returning {
            let ended = target.end_others(after, upto, ids, clock.now()).await;
            summary.ended += ended.of(target)?;
        }
        if upto.is_none() {
            tell(Step::Messages { done: summary.messages, of });
            return Ok(());
        }
        after = upto;
    }
}

/// Those that the target does not have, or of which it knows less.
async fn lacking(target: &dyn Movable, slice: Vec<Sketch>) -> Result<Vec<Sketch>, MoveError> {
    let ids = slice.iter().map(|sketch| sketch.id).collect();
    let there = target.sketches_of(ids).await.of(target)?;
    let there: HashMap<QueueId, Sketch> =
        there.into_iter().map(|sketch| (sketch.id, sketch)).collect();
    let lacks = |sketch: &Sketch| judge(sketch, there.get(&sketch.id)) != Judgement::Keep;
    Ok(slice.into_iter().filter(lacks).collect())
}

/// What is copied at a time.
fn portions(sketches: Vec<Sketch>) -> Vec<Vec<Sketch>> {
    let mut portions: Vec<Vec<Sketch>> = Vec::new();
    let mut octets = 0_u64;
    for sketch in sketches {
        octets = octets.saturating_add(sketch.octets);
        match portions.last_mut() {
            Some(last) if last.len() < PORTION && octets <= PORTION_OCTETS => last.push(sketch),
            Some(_) | None => {
                octets = sketch.octets;
                portions.push(vec![sketch]);
            }
        }
    }
    portions
}

async fn copy_aside(
    Ends { source, target, .. }: Ends<'_>,
    tell: &mut (dyn FnMut(Step) + Send),
    summary: &mut Summary,
) -> Result<(), MoveError> {
    for kind in AsideKind::ALL {
        let mut done = 0;
        let mut slice = source.read_aside(kind, None).await.of(source)?;
        while let Some(last) = slice.last().cloned() {
            done += slice.len() as u64;
            target.write_aside(slice).await.of(target)?;
            tell(Step::Aside { kind, done });
            slice = source.read_aside(kind, Some(last)).await.of(source)?;
        }
        *match kind {
            AsideKind::Suppressions => &mut summary.suppressions,
            AsideKind::Usage => &mut summary.usage,
            AsideKind::Counters => &mut summary.counters,
            AsideKind::Submissions => &mut summary.submissions,
        } = done;
    }
    Ok(())
}

/// Says which of the two it was.
trait Of<T> {
    fn of(self, store: &dyn Movable) -> Result<T, MoveError>;
}

impl<T> Of<T> for Result<T, StoreError> {
    fn of(self, store: &dyn Movable) -> Result<T, MoveError> {
        self.map_err(|error| MoveError::Store { place: store.place().to_owned(), error })
    }
}
