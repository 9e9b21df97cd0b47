//! The other instances on the same queue: whose claims are whose, and what they tell.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio_util::sync::CancellationToken;

use super::board::Board;
use super::engine::{Engine, LEASE, StoreHandle};
use super::job::Job;
use super::lane::LaneId;
use super::notices;
use crate::clock::Timestamp;
use crate::queue::{AccountStanding, Lease, News, Shared};

/// How often somebody who is not sure whether a claim holds looks again.
const SURE_LOOK: Duration = Duration::from_millis(100);

/// How long the start waits for what the others know.
const MEETING_MAX: Duration = Duration::from_secs(5);

/// Between two tries to tell the others while the database is away.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// So many changes are kept until they are told; of very many the oldest are dropped.
const TELLING_MAX: usize = 1_000;

/// What the operator's address is told of a change that this instance has found out.
#[derive(Debug)]
pub(super) enum Found {
    SetAside { state: &'static str, error: String, advice: &'static str },
    Recovered,
}

/// How an account stands, and what this instance has found out.
#[derive(Debug)]
struct Telling {
    standing: AccountStanding,
    found: Option<Found>,
    at: Timestamp,
}

/// What is to be told to the other instances.
#[derive(Debug, Default)]
pub(super) struct Tellings {
    waiting: Mutex<VecDeque<Telling>>,
    filled: Notify,
}

impl Tellings {
    fn push(&self, telling: Telling) {
        let mut waiting = self.waiting();
        if waiting.len() >= TELLING_MAX {
            waiting.pop_front();
        }
        waiting.push_back(telling);
        drop(waiting);
        self.filled.notify_one();
    }

    fn next(&self) -> Option<Telling> {
        self.waiting().pop_front()
    }

    fn put_back(&self, telling: Telling) {
        self.waiting().push_front(telling);
    }

    /// No code that holds the lock can panic half-way through a change, so a poisoned one is taken over.
    fn waiting(&self) -> MutexGuard<'_, VecDeque<Telling>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// What this instance shares with others; `None` where there can be no others.
    pub(super) fn shared(&self) -> Option<&dyn Shared> {
        let StoreHandle(store) = self.store.as_ref()?;
        store.shared()
    }

    /// A claim by this instance, from now.
    pub(super) fn lease(&self) -> Lease {
        let owner = match self.shared() {
            Some(shared) => shared.presence().owner(),
            None => Arc::clone(&self.owner),
        };
        Lease { owner, expires: self.now() + LEASE }
    }

    /// True while the others leave alone what this instance claims now.
    pub(super) fn is_present(&self) -> bool {
        self.shared().is_none_or(|shared| {
            let presence = shared.presence();
            presence.holds(&presence.owner(), self.now())
        })
    }

    /// True while the message is surely this instance's: to be asked right before each call.
    pub(super) fn holds(&self, job: &Job) -> bool {
        let holds = |shared: &dyn Shared| shared.presence().holds(&job.owner, self.now());
        self.shared().is_none_or(holds)
    }

    /// The same, but while the others cannot be reached, the answer is waited for: they may have lost the database as well.
    pub(super) async fn still_holds(&self, job: &Job) -> bool {
        let Some(shared) = self.shared() else { return true };
        loop {
            let (presence, now) = (shared.presence(), self.now());
            if presence.holds(&job.owner, now) {
                return true;
            }
            let lost = *presence.owner() != *job.owner;
            if lost || job.lease_ends(now) || self.closing.load(Ordering::Relaxed) {
                return false;
            }
            tokio::time::sleep(SURE_LOOK).await;
        }
    }

    /// Begins to hear what the other instances tell, and learns what they know, before the first call is made.
    pub(super) async fn meet_others(self: &Arc<Self>) -> Option<Receiver<News>> {
        let shared = self.shared()?;
        let news = shared.listen();
        let reading = self.read_standings(shared);
        if tokio::time::timeout(MEETING_MAX, reading).await.is_err() {
            tracing::warn!("how accounts stand with the other instances is not known yet");
        }
        Some(news)
    }

    /// Hears what the other instances tell, until `stop`.
    pub(super) async fn follow_others(
        self: Arc<Self>,
        mut news: Receiver<News>,
        stop: CancellationToken,
    ) {
        let Some(shared) = self.shared() else { return };
        let mut again = false;
        loop {
            let heard = tokio::select! {
                () = stop.cancelled() => {
                    // What was found out last is worth a try.
                    self.tell_all(shared).await;
                    return;
                }
                heard = news.recv() => heard,
                () = self.telling.filled.notified() => {
                    again = !self.tell_all(shared).await;
                    continue;
                }
                () = tokio::time::sleep(TELL_AGAIN), if again => {
                    again = !self.tell_all(shared).await;
                    continue;
                }
            };
            match heard {
                Ok(News::Standing(standing)) => self.hear(&standing, false),
                Ok(News::Due) => self.look_at_queue(),
                Ok(News::Renamed) => self.drop_lost(),
                Ok(News::Missed) | Err(RecvError::Lagged(_)) => {
                    self.read_standings(shared).await;
                    self.drop_lost();
                    self.look_at_queue();
                }
                Ok(News::Changed(_) | News::Suppressions) => {}
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn look_at_queue(&self) {
        self.backlog.store(true, Ordering::Relaxed);
        self.pump.notify_one();
    }

    async fn read_standings(self: &Arc<Self>, shared: &dyn Shared) {
        match shared.standings().await {
            Ok(standings) => standings.iter().for_each(|standing| self.hear(standing, true)),
            Err(error) => {
                tracing::warn!(%error, "how accounts stand with the other instances is not known yet");
            }
        }
    }

    /// Another instance has found out how an account stands. `is_old`: perhaps long ago.
    fn hear(self: &Arc<Self>, standing: &AccountStanding, is_old: bool) {
        let now = self.now();
        let heard = self.board().hear(standing, is_old, now);
        let Some(lane) = heard else { return };
        let (provider, by) = (&*standing.account, &*standing.by);
        let condition = standing.condition.name();
        tracing::info!(
            provider,
            instance = by,
            condition,
            error = standing.error,
            "another instance has found out how the provider stands"
        );
        let displaced = self.board().displaced(now);
        self.dispatch_all(displaced);
        if self.board().is_open(lane, now) {
            self.backlog.store(true, Ordering::Relaxed);
        }
        self.pump.notify_one();
    }

    /// Returns to the queue what waits here and is not this instance's any more.
    fn drop_lost(self: &Arc<Self>) {
        let waiting = self.board().drain();
        let (ours, lost): (Vec<_>, Vec<_>) = waiting.into_iter().partition(|job| self.holds(job));
        if !lost.is_empty() {
            tracing::warn!(
                messages = lost.len(),
                "messages that waited here are left to the other instances"
            );
        }
        lost.into_iter().for_each(|job| self.hand_back(job));
        self.dispatch_all(ours);
        self.start_ready();
        self.pump.notify_one();
    }

    /// Has the other instances told how a lane stands, where that is news; `still`: also where it is not. What was found out
    /// is for the operator's address, unless another instance has found out the same.
    pub(super) fn tell_others(
        &self,
        board: &mut Board,
        lane: LaneId,
        found: Option<Found>,
        still: bool,
        now: Timestamp,
    ) {
        let by = self.shared().map(|shared| shared.presence().owner());
        let force = still || found.is_some();
        match (by.and_then(|by| board.news(lane, by, force, now)), found) {
            (Some(standing), found) => self.telling.push(Telling { standing, found, at: now }),
            (None, Some(found)) => self.tell_operator(board.name(lane), &found, now),
            (None, None) => {}
        }
    }

    /// Tells what is to be told. False when the others cannot be told now.
    async fn tell_all(&self, shared: &dyn Shared) -> bool {
        while let Some(Telling { standing, found, at }) = self.telling.next() {
            let told = shared.tell(standing.clone()).await;
            let provider = &*standing.account;
            // Better twice than not at all.
            if let Some(found) = found.filter(|_| !matches!(told, Ok(false))) {
                self.tell_operator(provider, &found, at);
            }
            if let Err(error) = told {
                tracing::warn!(provider, %error, "the other instances are not told yet how the provider stands");
                self.telling.put_back(Telling { standing, found: None, at });
                return false;
            }
        }
        true
    }

    fn tell_operator(&self, provider: &str, found: &Found, now: Timestamp) {
        let event = match found {
            Found::SetAside { state, error, advice } => {
                notices::Event::SetAside { provider, state, error, advice }
            }
            Found::Recovered => notices::Event::ProviderRecovered { provider },
        };
        self.observers.notices.tell(&event, now);
    }

    /// All work is done: the others need not wait for this instance.
    pub(super) async fn leave_others(&self) {
        if let Some(shared) = self.shared() {
            shared.leave().await;
        }
    }
}
