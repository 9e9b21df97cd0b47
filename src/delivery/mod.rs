//! When and by whom a message leaves.
//!
//! Each provider has a lane, and so has each account that a client brought. Delivery takes due messages from the queue,
//! picks the lane, makes the calls and settles what came of them. Waiting, retrying, failing over and pausing happen here
//! and nowhere else.
//!
//! The decisions are plain functions: [`standing`] (does a provider take mail), [`board`] with [`roster`] and [`lane`]
//! (which lane), [`course`] (what follows for the message), [`limits`] and [`backoff`] (when). `engine`, `attempt`, `calls`,
//! `health`, `pump`, `settle`, `at_once` and `intake` carry them out. [`brought`] says by which way a message goes,
//! `known` whether a provider takes an account.

mod at_once;
mod attempt;
mod backoff;
mod board;
mod brought;
mod calls;
mod caught;
mod circuit;
mod course;
mod crew;
mod demand;
mod doubt;
mod engine;
mod events;
mod failover;
mod fair;
mod health;
mod intake;
mod job;
mod known;
mod lane;
mod limits;
mod mark;
mod memory;
mod notices;
mod offering;
mod others;
mod outbox;
mod parts;
mod placing;
mod policy;
mod pump;
mod roster;
mod route;
mod settle;
mod shown;
mod slot;
mod standing;
mod status;
mod suppressed;
mod tally;
#[cfg(test)]
mod tests;
mod told;
mod units;
mod waiting;
mod ways;

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use tokio_util::sync::CancellationToken;

pub use backoff::Backoff;
pub use brought::{AccountSettings, LaneMaker};
pub use course::RetryRules;
pub use lane::LaneSetup;
pub use limits::QuotaSetup;
pub use mark::SetupMark;
pub use shown::{NotShown, Note, ShownCall, ShownRequest};
pub use status::{Cause, NotSent, ProviderState, ProviderStatus, Sent};

use crate::clock::SharedClock;
use crate::config::{OnLoss, OnUnclear, RouteConfig, SenderConfig};
use crate::message::{QueueId, Submission};
use crate::metrics::{Metrics, Received};
use crate::provider::Hook;
use crate::queue::{Accounts, Entry, Intake, Once, Store, StoreError};
use board::{Board, Ways};
use engine::{Engine, StoreHandle};
use events::Observers;
use known::KnownAccounts;
use policy::Policy;

/// The longest wait between two checks of a closed provider that sets no limit to them.
const CHECK_MAX: Duration = Duration::from_mins(1);

/// What delivery needs to know.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Every configured provider; those of the route in the order of preference.
    pub lanes: Vec<LaneSetup>,
    /// Named orders of providers, and which mail takes them; the first that fits is taken.
    pub routes: Vec<RouteConfig>,
    /// Users whose mail takes a route of their own, before all others: its name.
    pub user_routes: HashMap<String, String>,
    /// How mail is sent whose account came with it; `None`: not at all, and none is accepted.
    pub accounts: Option<AccountSettings>,
    /// How long and how often messages are tried.
    pub rules: RetryRules,
    /// The From rules.
    pub sender: SenderConfig,
    /// What happens to a message of which a provider could carry a part only.
    pub on_loss: OnLoss,
    /// What happens to a message when nobody knows whether its provider has it.
    pub on_unclear: OnUnclear,
    /// Most calls in one request, where a provider takes several; 1: never more than one.
    pub batch_max: NonZeroUsize,
    /// How long a lone message waits for company where a provider takes several calls in one request.
    pub batch_linger: Duration,
    /// Whether log lines carry the subject.
    pub log_subject: bool,
    /// Where events are posted to; `None`: nowhere.
    pub hook: Option<Arc<Hook>>,
    /// This instance's name on its leases.
    pub instance: Arc<str>,
}

impl Settings {
    /// What is the board's: who may use which provider, and how closed ones are checked.
    fn ways(self) -> (Ways, Backoff) {
        let Self { lanes, routes, user_routes, accounts, rules, .. } = self;
        let checks = Backoff::new(rules.backoff.ceiling(0), CHECK_MAX.min(rules.backoff.max()));
        let ways = Ways {
            lanes,
            routes,
            user_routes,
            maker: accounts.as_ref().map(|accounts| accounts.lanes.clone()),
            accounts_expected: accounts.is_some_and(|accounts| accounts.expected),
        };
        (ways, checks)
    }
}

/// The running delivery, as the other parts see it.
#[derive(Clone, Debug)]
pub struct Delivery(Arc<Engine>);

impl Delivery {
    /// Delivery over a queue; without a store (direct mode, the command line) nothing is recorded.
    pub fn new(
        settings: Settings,
        store: Option<Arc<dyn Store>>,
        clock: SharedClock,
        rng: Rng,
    ) -> Self {
        let policy = Policy::of(&settings);
        let (instance, hook) = (Arc::clone(&settings.instance), settings.hook.clone());
        let (ways, checks) = settings.ways();
        let board = Board::new(ways, checks, &policy, rng);
        let delivery = Self(Arc::new(Engine::new(board, store, policy, clock, instance)));
        delivery.observe(hook);
        delivery
    }

    /// Takes over another configuration without a pause. A provider of which nothing has changed keeps its standing, its
    /// limits and what waits for it; one that has changed keeps what is known of the account; one that is gone gets no other
    /// message, and those that it has end. Whatever waits goes by the new routes. This instance keeps its name.
    pub fn reload(&self, settings: Settings) {
        let engine = &self.0;
        engine.set_policy(Policy::of(&settings));
        engine.note_settings();
        let hook = settings.hook.clone();
        let (ways, checks) = settings.ways();
        let waiting = engine.board().reload(ways, checks, engine.now());
        self.observe(hook);
        for job in waiting {
            engine.take_up_again(job);
        }
        self.wake();
    }

    /// Reads the queue and checks closed providers until `shutdown`; then finishes the calls that are under way and
    /// returns what waits to the queue, for at most `grace` in all. What is not finished stays in the queue.
    pub async fn run(&self, shutdown: CancellationToken, grace: Duration) {
        let engine = Arc::clone(&self.0);
        let told = CancellationToken::new();
        let telling = tokio::spawn({
            let (engine, told) = (Arc::clone(&engine), told.clone());
            async move { engine.observers.notices.run(Arc::clone(&engine.clock), told).await }
        });
        let news = engine.meet_others().await;
        let follow = |news| Arc::clone(&engine).follow_others(news, told.clone());
        let following = news.map(|news| tokio::spawn(follow(news)));
        Arc::clone(&engine).pump(shutdown).await;
        engine.tasks.close();
        let ended = tokio::time::timeout(grace, engine.tasks.wait()).await;
        if ended.is_ok() {
            engine.leave_others().await;
        } else {
            tracing::warn!(
                calls = engine.tasks.len(),
                "calls to providers did not end in time; their messages stay in the queue"
            );
        }
        told.cancel();
        // They end by themselves within seconds; a panic in them costs no mail.
        if let Some(following) = following {
            let _ = following.await;
        }
        let _ = telling.await;
    }

    /// The counters that delivery feeds.
    pub fn metrics(&self) -> &Metrics {
        &self.0.observers.metrics
    }

    /// Counts a message that an operator has cancelled; the provider that was asked last, if any was.
    pub fn cancelled(&self, provider: Option<&str>) {
        self.metrics().cancelled(provider);
        self.0.observers.tally.cancelled(provider);
    }

    /// Writes what is counted over time into `store` every few seconds until `shutdown`, and then the rest.
    pub async fn keep_statistics(&self, store: Arc<dyn Store>, shutdown: CancellationToken) {
        let clock = Arc::clone(&self.0.clock);
        self.0.observers.tally.clone().keep(store, clock, shutdown).await;
    }

    /// True where messages are kept in a queue; in direct mode they are not.
    pub fn has_queue(&self) -> bool {
        self.0.store.is_some()
    }

    /// A message has come by another way than SMTP.
    fn received(&self, result: Received) {
        self.metrics().arrivals().received(result);
    }

    /// What is told about the providers that there are now, and to whom.
    fn observe(&self, hook: Option<Arc<Hook>>) {
        let Observers { metrics, tally, notices } = &self.0.observers;
        metrics.set_providers(self.providers().iter().map(String::as_str));
        tally.set_providers(self.providers().iter().map(String::as_str));
        notices.set_hook(hook, self.0.now());
    }

    /// The door for listeners: the message is in the queue before they answer.
    pub fn queue_first(&self) -> Arc<dyn Intake> {
        Arc::new(intake::QueueFirst(Arc::clone(&self.0)))
    }

    /// The door for listeners in direct mode: they answer what the provider says.
    pub fn direct(&self) -> Arc<dyn Intake> {
        Arc::new(intake::Direct(Arc::clone(&self.0)))
    }

    /// Whether providers take the accounts that clients bring; `None` where clients bring none.
    pub fn accounts(&self) -> Option<Arc<dyn Accounts>> {
        let settings = self.0.policy().accounts.clone().filter(|accounts| accounts.expected)?;
        Some(Arc::new(KnownAccounts::new(settings, Arc::clone(&self.0.clock))))
    }

    /// Queues a message that comes with a key by which a repeat is recognised: [`StoreError::Seen`] says what is known of
    /// it. In direct mode there is no queue.
    pub async fn submit(
        &self,
        submission: Submission,
        once: Option<Once>,
    ) -> Result<QueueId, StoreError> {
        let taken = self.0.take_in(submission, once).await;
        match &taken {
            Ok(_) => self.received(Received::Accepted),
            // It has been received before.
            Err(StoreError::Seen(_)) => {}
            Err(
                StoreError::Full(_)
                | StoreError::Unavailable(_)
                | StoreError::NotFound(_)
                | StoreError::WrongState { .. }
                | StoreError::ContentGone(_)
                | StoreError::LeaseLost(_),
            ) => self.received(Received::NoRoom),
        }
        taken
    }

    /// Where nothing is recorded, the list of addresses that get no mail is in this store; the first one stays.
    pub fn suppress_by(&self, store: Arc<dyn Store>) {
        if store.shared().is_some() {
            self.0.board().share();
        }
        // A second one is a fault of whoever puts the stations together, and changes nothing.
        let _ = self.0.suppressions.set(StoreHandle(store));
    }

    /// How each provider does, in the order of preference, and behind them some of the accounts that clients brought, the
    /// worst first.
    pub fn status(&self) -> Vec<ProviderStatus> {
        self.0.board().status(self.0.now())
    }

    /// The names of the configured providers.
    pub fn providers(&self) -> Vec<String> {
        self.0.board().names()
    }

    /// True when a new message could be delivered now: at least one provider is up, or mail comes with accounts against
    /// which nothing is known.
    pub fn ready(&self) -> bool {
        self.0.board().is_ready(self.0.now())
    }

    /// True where clients bring the accounts by which their mail is sent, so that none needs to be configured.
    pub fn expects_accounts(&self) -> bool {
        self.0.board().expects_accounts()
    }

    /// Delivers a message at once through the route, or through the one provider that is named, and records it in
    /// the queue. There is no later try: a message that no provider takes now is recorded as failed.
    pub async fn send_now(
        &self,
        submission: Submission,
        provider: Option<&str>,
    ) -> Result<Sent, NotSent> {
        let engine = &self.0;
        if let Some(name) = provider
            && engine.board().find(name).is_none()
        {
            let names = self.providers().join(", ");
            let error = format!("no provider is called {name:?}; there is {names}");
            return Err(NotSent { id: None, provider: None, error, cause: Cause::NoProvider });
        }
        let now = engine.now();
        let admitted = engine.admit(QueueId::new(now), submission, now);
        let (message, way) = admitted.map_err(|error| NotSent {
            id: None,
            provider: None,
            error,
            cause: Cause::Store,
        })?;
        let message = Arc::new(message);
        if let Some(StoreHandle(store)) = &engine.store {
            let entry = Entry {
                way: match provider {
                    Some(name) => ways::of_provider(name),
                    None => engine.board().fresh(&message, &way, now).way,
                },
                ..Entry::held(Arc::clone(&message), engine.lease())
            };
            store.insert(entry).await.map_err(|error| {
                self.received(Received::NoRoom);
                let error = error.to_string();
                NotSent { id: None, provider: None, error, cause: Cause::Store }
            })?;
        }
        engine.log().accepted(&message);
        self.received(Received::Accepted);
        // In a task of its own: the caller may hang up, the record must be completed all the same.
        let (task, provider) = (Arc::clone(engine), provider.map(str::to_owned));
        let sending = engine
            .tasks
            .spawn(async move { task.at_once(message, way, provider.as_deref()).await });
        sending.await.unwrap_or_else(|_| {
            let error = "the delivery was interrupted".to_owned();
            Err(NotSent { id: None, provider: None, error, cause: Cause::Unavailable })
        })
    }

    /// Says that something in the queue may be due now.
    pub fn wake(&self) {
        self.0.backlog.store(true, std::sync::atomic::Ordering::Relaxed);
        self.0.pump.notify_one();
    }
}
