//! What the two stores of a move say of it, and what may be moved where.
//!
//! In this order, each step durable before the next: the target says that something is arriving; the source says that it
//! is leaving; everything is copied; the source says that it has gone; the target says nothing any more. A daemon uses a
//! store that says nothing, and no other.

use std::fmt;

use crate::clock::Timestamp;

/// Which store it is, wherever it lies and however it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoreId(pub [u8; 16]);

/// What a store is in the middle of, or has behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// It is being copied to the other one.
    Leaving,
    /// All that it has is in the other one, and goes on there.
    Gone,
    /// It is being filled from the other one.
    Arriving,
    /// The same, of one that had gone there: what it has are old copies.
    Returning,
}

impl Passage {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Leaving, Self::Gone, Self::Arriving, Self::Returning];

    /// As the stores keep it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Leaving => "leaving",
            Self::Gone => "gone",
            Self::Arriving => "arriving",
            Self::Returning => "returning",
        }
    }

    /// The passage of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|passage| passage.name() == name)
    }

    /// True where nothing may be changed any more.
    pub fn is_away(self) -> bool {
        matches!(self, Self::Leaving | Self::Gone)
    }
}

/// What a store says of a move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    pub passage: Passage,
    /// The other store.
    pub other: StoreId,
    /// Where that was, for people.
    pub place: String,
    pub since: Timestamp,
}

impl fmt::Display for Mark {
    /// Why no daemon may use the store that says so, and what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { passage, place, since, .. } = self;
        match passage {
            Passage::Gone => write!(
                f,
                "this queue was moved to {place} on {since:.0}, and its mail is sent from there: set queue.url to that \
                 one, or bring it back with `mailferry queue migrate --from {place} --to` this one"
            ),
            Passage::Leaving => write!(
                f,
                "since {since:.0} this queue is being moved to {place}, and that is not finished: run the same \
                 `mailferry queue migrate` again, or bring back what is there already with `mailferry queue migrate \
                 --from {place} --to` this one"
            ),
            Passage::Arriving | Passage::Returning => write!(
                f,
                "since {since:.0} the queue of {place} is being moved here, and that is not finished: run the same \
                 `mailferry queue migrate` again, or bring back what is here already with `mailferry queue migrate \
                 --from` this one `--to {place}`"
            ),
        }
    }
}

/// Why nothing was moved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMoved {
    #[error("--from and --to are the same queue, {0}")]
    Same(String),
    #[error(
        "{source_place} {}: its mail is there; move it from there, or, if that queue is lost, run this with --again: what \
         was sent from there is then sent once more",
        been(.mark)
    )]
    Elsewhere { source_place: String, mark: Mark },
    #[error(
        "{target_place} {}, and what it has are old copies; name another queue, an empty one for instance",
        been(.mark)
    )]
    TargetTaken { target_place: String, mark: Mark },
    #[error(
        "{0} and {1} each say that their mail is in the other one: one of them was restored from a backup. Run this with \
         --again if {0} is the one that was used last"
    )]
    BothGone(String, String),
}

fn been(mark: &Mark) -> String {
    let Mark { passage, place, since, .. } = mark;
    match passage {
        Passage::Gone => format!("was moved to {place} on {since:.0}"),
        Passage::Leaving => format!("is on its way to {place} since {since:.0}"),
        Passage::Arriving | Passage::Returning => {
            format!("is being filled from {place} since {since:.0}, which is not finished")
        }
    }
}

/// One end of a move as it stands before.
#[derive(Clone, Debug)]
pub(super) struct End {
    pub(super) id: StoreId,
    pub(super) place: String,
    pub(super) mark: Option<Mark>,
}

impl End {
    /// What it says, if that is about `other`.
    fn says_of(&self, other: &Self) -> Option<Passage> {
        self.mark.as_ref().filter(|mark| mark.other == other.id).map(|mark| mark.passage)
    }
}

/// Whether `source` has got everything that `target` had, so that nothing but its last mark is missing: an earlier move
/// the other way round was broken off there.
pub(super) fn has_arrived(source: &End, target: &End) -> bool {
    matches!(source.says_of(target), Some(Passage::Arriving | Passage::Returning))
        && target.says_of(source) == Some(Passage::Gone)
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// It was done before.
    Nothing,
    /// The target has everything; only the marks are left to be set.
    Settle,
    /// The target is filled, under this passage.
    Copy(Passage),
}

/// What a move from `source` to `target` has to do. `again`: the operator says that what the source says of another
/// store does not count.
pub(super) fn plan(source: &End, target: &End, again: bool) -> Result<Plan, NotMoved> {
    if source.id == target.id {
        return Err(NotMoved::Same(source.place.clone()));
    }
    match (source.says_of(target), &source.mark) {
        // The target was whole when this one began to be filled from it, and nothing has been sent from here since.
        (Some(Passage::Returning), _) => return Ok(Plan::Settle),
        (Some(Passage::Gone), _) => match target.says_of(source) {
            Some(Passage::Gone) | None if again => {}
            Some(Passage::Gone) => {
                return Err(NotMoved::BothGone(source.place.clone(), target.place.clone()));
            }
            Some(Passage::Leaving | Passage::Arriving | Passage::Returning) => {
                return Ok(Plan::Settle);
            }
            None => return Ok(Plan::Nothing),
        },
        (Some(Passage::Leaving | Passage::Arriving), _) | (None, None) => {}
        (None, Some(_)) if again => {}
        (None, Some(mark)) => {
            let (source_place, mark) = (source.place.clone(), mark.clone());
            return Err(NotMoved::Elsewhere { source_place, mark });
        }
    }
    match (target.says_of(source), &target.mark) {
        (Some(Passage::Gone | Passage::Returning), _) => Ok(Plan::Copy(Passage::Returning)),
        (Some(Passage::Leaving | Passage::Arriving), _) | (None, None) => {
            Ok(Plan::Copy(Passage::Arriving))
        }
        (None, Some(mark)) => {
            let (target_place, mark) = (target.place.clone(), mark.clone());
            Err(NotMoved::TargetTaken { target_place, mark })
        }
    }
}
