//! Tells the operator's address what happens (`delivery.on_failure_webhook`; the format is in `docs/webhook.md`).
//!
//! Whoever has something to tell puts it into a bounded box and goes on; one task posts what is in it. Neither delivery
//! nor the shutdown waits for the receiver.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::outbox::{After, Item, Notice, Outbox};
use crate::clock::{SharedClock, Timestamp};
use crate::message::QueueId;
use crate::provider::{Hook, NotPosted};
use crate::queue::RecipientStatus;

/// How long the shutdown waits for what can be posted at once.
const GRACE: Duration = Duration::from_secs(5);

/// Recipients that one notice names.
pub(super) const RECIPIENTS_MAX: usize = 50;

/// What is told.
#[derive(Debug, Serialize)]
#[serde(tag = "type", content = "data")]
pub(super) enum Event<'a> {
    /// A message is over, and did not reach everybody.
    #[serde(rename = "message.failed")]
    MessageFailed {
        id: QueueId,
        from: &'a str,
        recipients: Vec<&'a RecipientStatus>,
        /// How many there are in all.
        recipients_total: usize,
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<&'a str>,
        message_id: &'a str,
        user: Option<&'a str>,
        /// Who was asked last.
        provider: Option<&'a str>,
        error: &'a str,
    },
    /// A provider gets no mail until it works again.
    #[serde(rename = "provider.set_aside")]
    SetAside { provider: &'a str, state: &'static str, error: &'a str, advice: &'a str },
    /// It takes mail again.
    #[serde(rename = "provider.recovered")]
    ProviderRecovered { provider: &'a str },
    /// Mail of a route goes to another provider.
    #[serde(rename = "failover.began")]
    FailoverBegan { route: &'a str, from: &'a str, to: &'a str, reason: &'static str },
    /// It goes to the preferred one again.
    #[serde(rename = "failover.recovered")]
    FailoverRecovered { route: &'a str, provider: &'a str, from: &'a str },
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(flatten)]
    event: &'a Event<'a>,
    timestamp: Timestamp,
}

impl Event<'_> {
    fn kind(&self) -> &'static str {
        match self {
            Self::MessageFailed { .. } => "message.failed",
            Self::SetAside { .. } => "provider.set_aside",
            Self::ProviderRecovered { .. } => "provider.recovered",
            Self::FailoverBegan { .. } => "failover.began",
            Self::FailoverRecovered { .. } => "failover.recovered",
        }
    }
}

/// The box, and where its content goes. Cloning shares it.
#[derive(Clone, Debug)]
pub(super) struct Notices(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    outbox: Mutex<Outbox>,
    hook: ArcSwapOption<Hook>,
    /// Something to post, or another address.
    changed: Notify,
    /// Tests keep what is told without anybody to post it to.
    kept: AtomicBool,
}

impl Notices {
    /// To nobody yet.
    pub(super) fn new() -> Self {
        Self(Arc::new(Inner {
            outbox: Mutex::new(Outbox::new()),
            hook: ArcSwapOption::empty(),
            changed: Notify::new(),
            kept: AtomicBool::new(false),
        }))
    }

    /// From now on keeps what is told.
    #[cfg(test)]
    pub(super) fn keep(&self) {
        self.0.kept.store(true, Ordering::Relaxed);
    }

    /// From now on to this address, also what waits. Without one, what waits is forgotten.
    pub(super) fn set_hook(&self, hook: Option<Arc<Hook>>, now: Timestamp) {
        let some = hook.is_some();
        self.0.hook.store(hook);
        let mut outbox = self.outbox();
        if some {
            outbox.forget_failures(now);
        } else {
            outbox.clear();
        }
        drop(outbox);
        self.0.changed.notify_one();
    }

    /// True when somebody wants to know.
    pub(super) fn wanted(&self) -> bool {
        self.0.kept.load(Ordering::Relaxed) || self.0.hook.load().is_some()
    }

    /// Puts an event into the box.
    pub(super) fn tell(&self, event: &Event<'_>, now: Timestamp) {
        if !self.wanted() {
            return;
        }
        let body = match serde_json::to_vec(&Body { event, timestamp: now }) {
            Ok(body) => body.into(),
            Err(error) => {
                tracing::error!(%error, event = event.kind(), "an event cannot be written as JSON");
                return;
            }
        };
        let common = matches!(event, Event::MessageFailed { .. });
        let id = format!("mailferry-event-{}", QueueId::new(now));
        let notice = Notice { id, kind: event.kind(), body, at: now, common };
        if let Some(dropped) = self.outbox().push(notice, now) {
            tracing::warn!(
                dropped,
                "delivery.on_failure_webhook does not keep up; the oldest events are dropped"
            );
        }
        self.0.changed.notify_one();
    }

    /// Posts what is told until `stop`, then what can be posted at once.
    pub(super) async fn run(&self, clock: SharedClock, stop: CancellationToken) {
        let mut posts: JoinSet<(Item, Result<(), NotPosted>)> = JoinSet::new();
        let mut deadline: Option<Instant> = None;
        loop {
            self.post_due(&mut posts, clock.now());
            let now = clock.now();
            let due = self.outbox().next_due().filter(|_| self.0.hook.load().is_some());
            let nothing_now = posts.is_empty() && due.is_none_or(|due| due > now);
            if deadline.is_some_and(|deadline| nothing_now || deadline <= Instant::now()) {
                break;
            }
            let wait =
                due.map(|due| Duration::try_from(due.duration_since(now)).unwrap_or_default());
            tokio::select! {
                Some(ended) = posts.join_next(), if !posts.is_empty() => {
                    if let Ok((item, result)) = ended {
                        self.note(item, result, clock.now());
                    } else {
                        // A panic: this one is lost, and the next has its place.
                        self.outbox().refused(clock.now());
                    }
                }
                () = self.0.changed.notified() => {}
                () = tokio::time::sleep(wait.unwrap_or_default()), if wait.is_some() => {}
                () = sleep_until(deadline), if deadline.is_some() => {}
                () = stop.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + GRACE);
                }
            }
        }
        let left = self.outbox().len();
        if left > 0 {
            tracing::warn!(
                left,
                "events were not posted to delivery.on_failure_webhook before the end"
            );
        }
    }

    fn post_due(&self, posts: &mut JoinSet<(Item, Result<(), NotPosted>)>, now: Timestamp) {
        let Some(hook) = self.0.hook.load_full() else { return };
        while let Some(item) = self.next(now) {
            let hook = Arc::clone(&hook);
            posts.spawn(async move {
                let result = hook.post(&item.notice.id, item.notice.body.clone()).await;
                (item, result)
            });
        }
    }

    fn next(&self, now: Timestamp) -> Option<Item> {
        self.outbox().next(now)
    }

    fn note(&self, item: Item, result: Result<(), NotPosted>, now: Timestamp) {
        let (id, event) = (item.notice.id.clone(), item.notice.kind);
        match result {
            Ok(()) => {
                self.outbox().taken(now);
                tracing::debug!(id, event, "posted to delivery.on_failure_webhook");
            }
            Err(NotPosted::Refused { reason }) => {
                self.outbox().refused(now);
                tracing::error!(
                    id,
                    event,
                    error = reason,
                    "delivery.on_failure_webhook refuses an event; it is dropped"
                );
            }
            Err(NotPosted::Later { reason, wait }) => {
                match self.outbox().put_off(item, wait, now) {
                    After::Again { due, first: true } => tracing::warn!(
                        id,
                        event,
                        error = reason,
                        %due,
                        "delivery.on_failure_webhook does not take an event; it is posted again"
                    ),
                    After::Again { due, first: false } => {
                        tracing::debug!(id, event, error = reason, %due, "not posted");
                    }
                    After::GivenUp => tracing::error!(
                        id,
                        event,
                        error = reason,
                        "delivery.on_failure_webhook has not taken an event for a day; it is dropped"
                    ),
                }
            }
        }
    }

    /// What has been told and not been posted, as JSON, the oldest first.
    #[cfg(test)]
    pub(super) fn told(&self, now: Timestamp) -> Vec<serde_json::Value> {
        let mut outbox = self.outbox();
        let mut told = Vec::new();
        while let Some(item) = outbox.next(now) {
            outbox.taken(now);
            told.push(serde_json::from_slice(&item.notice.body).unwrap());
        }
        told
    }

    /// No code that holds the lock can panic half-way through a change, so a poisoned one is taken over.
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.0.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Notices {
    fn default() -> Self {
        Self::new()
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
