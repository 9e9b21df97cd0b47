//! The line to the other instances: signs of life, news from them, news to them. One connection, one task.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::time::{
    Instant, MissedTickBehavior, interval, interval_at, sleep, sleep_until, timeout,
};
use tokio_postgres::{Client, Error};
use tokio_util::sync::CancellationToken;

use super::connect::{Connections, Role};
use super::fault::unavailable;
use super::words::{self, Said};
use super::{presence, standings};
use crate::clock::Timestamp;
use crate::message::QueueId;
use crate::queue::{Change, News, Presence, State, StoreError};

/// An instance says that it lives this often in the time after which it is taken for dead.
const BEATS: u32 = 6;
/// The net below the news: how often the versions are looked at.
const POLL: Duration = Duration::from_secs(1);
/// What is due is told at most so often.
const DUE_EVERY: Duration = Duration::from_millis(50);
/// What has changed is told at most so often.
const CHANGED_EVERY: Duration = Duration::from_millis(500);
/// Changes that are named in one piece of news; more are "many".
const CHANGES_MAX: usize = 128;
/// A standing of which nobody has said anything for so long is forgotten: longer than any rest.
const STANDINGS_KEPT: Duration = Duration::from_hours(40 * 24);
/// How much news a slow listener may be behind; then it is told that it has missed some.
const BEHIND_MAX: usize = 1_024;
/// Between two tries to connect.
const RETRY_MIN: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
/// A question to the database that takes longer has no answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long the start waits for the first connection.
const START_MAX: Duration = Duration::from_secs(5);

/// This instance among the others.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) connections: Connections,
    pub(super) presence: Presence,
    pub(super) news: broadcast::Sender<News>,
    /// Before the number of the life.
    name: Arc<str>,
    takeover_after: Duration,
    outbox: Mutex<Outbox>,
    filled: Notify,
    /// Somebody looks on at another instance.
    watched: AtomicBool,
    /// Somebody looks on here.
    watching: AtomicBool,
    /// It has ended its work, and says nothing of life any more.
    has_left: AtomicBool,
    stop: CancellationToken,
}

/// What the others are to be told.
#[derive(Debug, Default)]
struct Outbox {
    due: bool,
    watch: bool,
    changes: BTreeMap<QueueId, State>,
    many: bool,
}

/// A connection, and how far this instance has heard.
struct Talk {
    client: Client,
    heard: mpsc::Receiver<String>,
    standings: i64,
    suppressions: i64,
    /// Since when it is connected.
    since: Instant,
    /// Before then nothing else of this kind is told.
    due_after: Instant,
    changes_after: Instant,
}

/// Why a connection is given up.
enum End {
    Stopped,
    Lost(StoreError),
}

impl Line {
    pub(super) fn new(connections: Connections, name: Arc<str>, takeover_after: Duration) -> Self {
        Self {
            connections,
            presence: Presence::new(Arc::from(""), Timestamp::MIN),
            news: broadcast::Sender::new(BEHIND_MAX),
            name,
            takeover_after,
            outbox: Mutex::default(),
            filled: Notify::new(),
            watched: AtomicBool::new(false),
            watching: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            stop: CancellationToken::new(),
        }
    }

    /// Begins to live. Returns when the first try to connect has ended, well or not.
    pub(super) async fn start(self: &Arc<Self>) {
        let (tried, first_try) = oneshot::channel();
        tokio::spawn(Arc::clone(self).live(tried));
        // Without an answer it goes on trying.
        let _ = timeout(START_MAX, first_try).await;
    }

    /// Ends the task.
    pub(super) fn stop(&self) {
        self.stop.cancel();
    }

    /// Something is due that nobody has in memory.
    pub(super) fn due(&self) {
        self.outbox().due = true;
        self.filled.notify_one();
    }

    /// Somebody looks on at another instance.
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    pub(super) fn changed(&self, change: Change) {
        if !self.is_watched() {
            return;
        }
        let mut outbox = self.outbox();
        match change {
            Change::Message { id, state } => {
                outbox.changes.insert(id, state);
            }
            Change::Many => outbox.many = true,
        }
        if outbox.many || outbox.changes.len() > CHANGES_MAX {
            outbox.many = true;
            outbox.changes.clear();
        }
        drop(outbox);
        self.filled.notify_one();
    }

    pub(super) fn watch(&self, watching: bool) {
        if self.watching.swap(watching, Ordering::Relaxed) != watching {
            self.outbox().watch = true;
            self.filled.notify_one();
        }
    }

    /// Ends the life of this instance, and lets others have what it has claimed.
    pub(super) async fn leave(&self) {
        self.has_left.store(true, Ordering::Relaxed);
        let owner = self.presence.owner();
        self.presence.renew(Arc::clone(&owner), Timestamp::MIN);
        let leaving = async {
            let client = self.connections.get().await?;
            let leave = async {
                presence::part(&client, &owner).await?;
                presence::release(&client).await?;
                words::tell(&client, words::DUE).await
            };
            leave.await.map_err(|error| unavailable(&error))
        };
        match timeout(PATIENCE, leaving).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "this instance could not sign off; the others notice it later");
            }
            Err(_) => {
                tracing::warn!("this instance could not sign off; the others notice it later");
            }
        }
    }

    /// Stays connected until it is stopped.
    async fn live(self: Arc<Self>, tried: oneshot::Sender<()>) {
        let mut tried = Some(tried);
        let mut hear_all = false;
        let mut wait = RETRY_MIN;
        // Others must come back as well, before anybody is taken for dead.
        let wait_max = RETRY_MAX.min(self.takeover_after / BEATS);
        loop {
            let connected = timeout(PATIENCE, self.connect(hear_all)).await;
            let connected = connected.unwrap_or_else(|_| Err(no_answer()));
            let signal = tried.take();
            let end = match connected {
                Ok(mut talk) => {
                    // Nobody may wait for it any more.
                    let _ = signal.map(|signal| signal.send(()));
                    if hear_all {
                        tracing::info!("connected again to the other instances");
                    }
                    wait = RETRY_MIN;
                    self.talk(&mut talk).await
                }
                Err(error) => {
                    let _ = signal.map(|signal| signal.send(()));
                    End::Lost(error)
                }
            };
            let End::Lost(error) = end else { return };
            hear_all = true;
            if wait == RETRY_MIN {
                tracing::warn!(%error, "the connection to the other instances is lost; trying again");
            } else {
                tracing::debug!(%error, "not connected to the other instances");
            }
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = sleep(wait) => {}
            }
            wait = (wait * 2).min(wait_max).max(RETRY_MIN);
        }
    }

    /// `hear_all`: something may have been missed since the last connection.
    async fn connect(&self, hear_all: bool) -> Result<Talk, StoreError> {
        let (client, heard) = self.connections.listening(Role::Listener).await?;
        let beginning = async {
            client.batch_execute("LISTEN mailferry").await?;
            let (standings, suppressions) = words::versions(&client).await?;
            let now = Instant::now();
            let mut talk = Talk {
                client,
                heard,
                standings,
                suppressions,
                since: now,
                due_after: now,
                changes_after: now,
            };
            self.beat(&mut talk).await?;
            Ok(talk)
        };
        let talk = beginning.await.map_err(|error: Error| unavailable(&error))?;
        if hear_all {
            self.tell(News::Missed);
        }
        Ok(talk)
    }

    async fn talk(&self, talk: &mut Talk) -> End {
        let mut beats = interval(self.takeover_after / BEATS);
        let mut polls = interval(POLL);
        let often = self.takeover_after / 2;
        let mut releases = interval_at(Instant::now() + often, often);
        for ticks in [&mut beats, &mut polls, &mut releases] {
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        }
        loop {
            let step = tokio::select! {
                () = self.stop.cancelled() => return End::Stopped,
                _ = beats.tick() => timeout(PATIENCE, self.beat_and_bury(talk)).await,
                _ = polls.tick() => timeout(PATIENCE, self.poll(talk)).await,
                _ = releases.tick() => timeout(PATIENCE, self.tidy(talk)).await,
                heard = talk.heard.recv() => match heard {
                    Some(words) => timeout(PATIENCE, self.hear(talk, &words)).await,
                    None => return End::Lost(no_answer()),
                },
                () = self.has_to_say(talk.due_after, talk.changes_after) => {
                    timeout(PATIENCE, self.say(talk)).await
                }
            };
            match step {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return End::Lost(unavailable(&error)),
                Err(_) => return End::Lost(no_answer()),
            }
        }
    }

    async fn beat_and_bury(&self, talk: &mut Talk) -> Result<(), Error> {
        self.beat(talk).await?;
        // Who has been away itself, with the database perhaps, gives the others time to come back.
        if talk.since.elapsed() < self.takeover_after / 2 || self.has_left.load(Ordering::Relaxed) {
            return Ok(());
        }
        let dead =
            presence::bury(&talk.client, &self.presence.owner(), self.takeover_after).await?;
        if dead.is_empty() {
            return Ok(());
        }
        tracing::warn!(
            instances = dead.join(", "),
            silent_ms = self.takeover_after.as_millis(),
            "instances have given no sign of life; what they were sending is taken over"
        );
        self.release(talk).await
    }

    /// Says that this instance lives; takes another name when it was buried meanwhile.
    async fn beat(&self, talk: &mut Talk) -> Result<(), Error> {
        if self.has_left.load(Ordering::Relaxed) {
            return Ok(());
        }
        let watching = self.watching.load(Ordering::Relaxed);
        let owner = self.presence.owner();
        let beat = presence::beat(&talk.client, &owner, watching).await?;
        let beat = match beat {
            Some(beat) => beat,
            None => {
                if !owner.is_empty() {
                    tracing::warn!(
                        instance = &*owner,
                        "the others have taken this instance for dead; it goes on under another name"
                    );
                }
                let joined = presence::join(&talk.client, &self.name, watching).await?;
                // Whether somebody looks on is known with the next sign of life.
                presence::beat(&talk.client, &joined.owner, watching).await?.unwrap_or(joined)
            }
        };
        // Sure of nothing before the others are.
        let until = beat.seen_at + (self.takeover_after - self.takeover_after / BEATS);
        self.watched.store(beat.watched, Ordering::Relaxed);
        let renamed = *beat.owner != *owner;
        if self.has_left.load(Ordering::Relaxed) {
            // It has signed off meanwhile.
            return if renamed { presence::part(&talk.client, &beat.owner).await } else { Ok(()) };
        }
        self.presence.renew(beat.owner.into(), until);
        if renamed && !owner.is_empty() {
            self.tell(News::Renamed);
        }
        Ok(())
    }

    /// What is done now and then by each.
    async fn tidy(&self, talk: &mut Talk) -> Result<(), Error> {
        if let Ok(before) = self.presence.until().checked_sub(STANDINGS_KEPT) {
            standings::forget(&talk.client, before).await?;
        }
        self.release(talk).await
    }

    /// Makes due what is claimed in the name of nobody who lives.
    async fn release(&self, talk: &mut Talk) -> Result<(), Error> {
        let released = presence::release(&talk.client).await?;
        if released > 0 {
            tracing::info!(messages = released, "claims of instances that are gone are due again");
            words::tell(&talk.client, words::DUE).await?;
        }
        Ok(())
    }

    /// Looks whether something has been told that was not heard.
    async fn poll(&self, talk: &mut Talk) -> Result<(), Error> {
        let (standings, suppressions) = words::versions(&talk.client).await?;
        if suppressions != talk.suppressions {
            talk.suppressions = suppressions;
            self.tell(News::Suppressions);
        }
        if standings != talk.standings {
            self.read_standings(talk).await?;
            // What turned out to be no news was counted all the same.
            talk.standings = talk.standings.max(standings);
        }
        Ok(())
    }

    async fn read_standings(&self, talk: &mut Talk) -> Result<(), Error> {
        let told = standings::since(&talk.client, talk.standings).await?;
        talk.standings = talk.standings.max(told.version);
        told.standings.into_iter().for_each(|standing| self.tell(News::Standing(standing)));
        Ok(())
    }

    async fn hear(&self, talk: &mut Talk, words: &str) -> Result<(), Error> {
        match Said::read(words) {
            Said::Due => self.tell(News::Due),
            Said::Standings => self.read_standings(talk).await?,
            Said::Suppressions => self.tell(News::Suppressions),
            Said::Watch => self.beat(talk).await?,
            Said::Changed { by, changes } => {
                if self.watching.load(Ordering::Relaxed) && *by != *self.presence.owner() {
                    changes.into_iter().for_each(|change| self.tell(News::Changed(change)));
                }
            }
            Said::Unknown => {}
        }
        Ok(())
    }

    /// Waits until something is to be told and may be told.
    async fn has_to_say(&self, due_after: Instant, changes_after: Instant) {
        loop {
            let at = {
                let outbox = self.outbox();
                let changes = outbox.has_changes().then_some(changes_after);
                let due = (outbox.due || outbox.watch).then_some(due_after);
                due.into_iter().chain(changes).min()
            };
            match at {
                Some(at) if at <= Instant::now() => return,
                Some(at) => tokio::select! {
                    () = sleep_until(at) => {}
                    () = self.filled.notified() => {}
                },
                None => self.filled.notified().await,
            }
        }
    }

    async fn say(&self, talk: &mut Talk) -> Result<(), Error> {
        let now = Instant::now();
        let (due, watch, changes) = {
            let mut outbox = self.outbox();
            let changes = (talk.changes_after <= now && outbox.has_changes()).then(|| {
                let changes = std::mem::take(&mut outbox.changes);
                (!std::mem::take(&mut outbox.many)).then_some(changes)
            });
            (std::mem::take(&mut outbox.due), std::mem::take(&mut outbox.watch), changes)
        };
        talk.due_after = now + DUE_EVERY;
        if due {
            words::tell(&talk.client, words::DUE).await?;
        }
        if watch {
            // The others read it from the table.
            self.beat(talk).await?;
            words::tell(&talk.client, words::WATCH).await?;
        }
        if let Some(changes) = changes {
            talk.changes_after = now + CHANGED_EVERY;
            let words = words::changed(&self.presence.owner(), changes.as_ref());
            words::tell(&talk.client, &words).await?;
        }
        Ok(())
    }

    fn tell(&self, news: News) {
        // Nobody may be listening.
        let _ = self.news.send(news);
    }

    /// No code that holds the lock can panic half-way through a change, so a poisoned one is taken over.
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Outbox {
    fn has_changes(&self) -> bool {
        self.many || !self.changes.is_empty()
    }
}

fn no_answer() -> StoreError {
    StoreError::Unavailable("the database does not answer".to_owned())
}
