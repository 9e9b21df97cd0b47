//! Moves between all kinds of stores.

pub(in crate::queue) mod round_trip;
mod simulation;

use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;

use super::*;

/// A store that fails after so many changes: the process was killed there. The last change has been made or not.
pub(in crate::queue) struct Fused<'a> {
    pub(in crate::queue) inner: &'a dyn Movable,
    /// Changes left over both ends of the move.
    pub(in crate::queue) left: &'a AtomicI64,
    pub(in crate::queue) last_is_made: bool,
}

impl Fused<'_> {
    fn blown() -> StoreError {
        StoreError::Unavailable("killed".to_owned())
    }

    /// True when the change may be made; the answer may get lost all the same.
    fn burn(&self) -> Result<bool, StoreError> {
        let left = self.left.fetch_sub(1, Ordering::Relaxed);
        if left <= 0 && !(left == 0 && self.last_is_made) {
            return Err(Self::blown());
        }
        Ok(left == 0)
    }
}

#[async_trait]
impl Movable for Fused<'_> {
    fn id(&self) -> StoreId {
        self.inner.id()
    }

    fn place(&self) -> &str {
        self.inner.place()
    }

    async fn mark(&self) -> Result<Option<Mark>, StoreError> {
        self.inner.mark().await
    }

    async fn set_mark(&self, mark: Option<Mark>) -> Result<(), StoreError> {
        let is_last = self.burn()?;
        self.inner.set_mark(mark).await?;
        if is_last { Err(Self::blown()) } else { Ok(()) }
    }

    async fn in_use(&self) -> Result<Option<String>, StoreError> {
        self.inner.in_use().await
    }

    async fn count(&self) -> Result<u64, StoreError> {
        self.inner.count().await
    }

    async fn sketches(
        &self,
        after: Option<QueueId>,
        limit: usize,
    ) -> Result<Vec<Sketch>, StoreError> {
        self.inner.sketches(after, limit).await
    }

    async fn sketches_of(&self, ids: Vec<QueueId>) -> Result<Vec<Sketch>, StoreError> {
        self.inner.sketches_of(ids).await
    }

    async fn read(&self, ids: Vec<QueueId>) -> Result<Vec<Record>, StoreError> {
        self.inner.read(ids).await
    }

    async fn write(&self, mut records: Vec<Record>) -> Result<Taken, StoreError> {
        let is_last = self.burn()?;
        // Slices are much larger than these tests: cut one in two.
        if is_last {
            records.truncate(records.len() / 2);
        }
        let taken = self.inner.write(records).await?;
        if is_last { Err(Self::blown()) } else { Ok(taken) }
    }

    async fn end_others(
        &self,
        after: Option<QueueId>,
        upto: Option<QueueId>,
        known: Vec<QueueId>,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let is_last = self.burn()?;
        let ended = self.inner.end_others(after, upto, known, now).await?;
        if is_last { Err(Self::blown()) } else { Ok(ended) }
    }

    async fn read_aside(
        &self,
        kind: AsideKind,
        after: Option<Aside>,
    ) -> Result<Vec<Aside>, StoreError> {
        self.inner.read_aside(kind, after).await
    }

    async fn write_aside(&self, slice: Vec<Aside>) -> Result<(), StoreError> {
        let is_last = self.burn()?;
        self.inner.write_aside(slice).await?;
        if is_last { Err(Self::blown()) } else { Ok(()) }
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.inner.close().await
    }
}
