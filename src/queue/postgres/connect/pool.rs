//! Connections that go from hand to hand.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::ClientWrapper;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::line::Beat;
use crate::queue::postgres::fault::Fault;

/// How long one may wait for a connection that others have.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// One that owes an answer for this long is not handed on.
const SILENCE_MAX: Duration = Duration::from_millis(500);

/// The connections that nobody has, and how many may be had at a time.
#[derive(Debug)]
pub(super) struct Pool {
    free: Mutex<Vec<Held>>,
    places: Arc<Semaphore>,
    /// How long somebody may keep one.
    longest: Duration,
}

/// A connection and how it does.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) client: ClientWrapper,
    pub(super) beat: Arc<Beat>,
}

/// One of the pool; goes back by itself.
#[derive(Debug)]
pub(in crate::queue::postgres) struct Pooled {
    /// There until it is dropped.
    held: Option<Held>,
    pool: Arc<Pool>,
    _place: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(size: usize, longest: Duration) -> Self {
        let places = Arc::new(Semaphore::new(size));
        Self { free: Mutex::new(Vec::with_capacity(size)), places, longest }
    }

    /// A place, and the connection that was used last, if one is free.
    pub(super) async fn place(&self) -> Result<(OwnedSemaphorePermit, Option<Held>), Fault> {
        let place = timeout(WAIT_MAX, Arc::clone(&self.places).acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(Fault::away("all connections to the database are in use"));
        };
        let mut free = self.free();
        while let Some(held) = free.pop() {
            if !held.client.is_closed() && held.beat.silence() < SILENCE_MAX {
                return Ok((place, Some(held)));
            }
        }
        Ok((place, None))
    }

    /// Hands a connection out.
    pub(super) fn lend(self: &Arc<Self>, place: OwnedSemaphorePermit, held: Held) -> Pooled {
        held.beat.lend(self.longest);
        Pooled { held: Some(held), pool: Arc::clone(self), _place: place }
    }

    fn free(&self) -> std::sync::MutexGuard<'_, Vec<Held>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Pooled {
    type Target = ClientWrapper;

    #[expect(clippy::expect_used, reason = "it is taken out by drop only")]
    fn deref(&self) -> &ClientWrapper {
        &self.held.as_ref().expect("there until it is dropped").client
    }
}

impl DerefMut for Pooled {
    #[expect(clippy::expect_used, reason = "it is taken out by drop only")]
    fn deref_mut(&mut self) -> &mut ClientWrapper {
        &mut self.held.as_mut().expect("there until it is dropped").client
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(held) = self.held.take().filter(|held| !held.client.is_closed()) {
            held.beat.give_back();
            self.pool.free().push(held);
        }
    }
}
