//! One simulation: processes that live and die over the same store and the same services.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use super::plan::{BEHIND_MAX, End, Event, HORIZON, Mail, PROVIDERS, Plan};
use super::provider::{Kind, Service};
use super::store::FaultyStore;
use super::time::{MachineClock, TrueTime};
use super::trace::Trace;
use crate::clock::SharedClock;
use crate::config::{RouteConditions, RouteConfig};
use crate::delivery::tests::routes::route;
use crate::delivery::tests::scripted::{Scripted, settings};
use crate::delivery::tests::ways::routes;
use crate::delivery::{Backoff, Delivery, LaneSetup, QuotaSetup, RetryRules, Settings, SetupMark};
use crate::message::{Envelope, QueueId, Submission};
use crate::provider::Provider;
use crate::queue::{Filter, Intake, MemoryStore, State, Store};

/// After the horizon everything must end within this time.
const PATIENCE: Duration = Duration::from_hours(72);
/// Nothing is open and nothing happens: longer rests are not lived through second by second.
const DOZE: Duration = Duration::from_secs(90);
/// How long a process that is told to stop gets.
const GRACE: Duration = Duration::from_secs(30);
/// Mail for some recipients takes a route of its own.
const COM: &str = "[[routes]]\nname = 'com'\nproviders = 'ses'\nrecipient_domain = 'example.com'\n";
/// What the service with the quota takes in a day.
const QUOTA: u64 = 60;

pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) time: Arc<TrueTime>,
    pub(super) trace: Arc<Trace>,
    pub(super) store: Arc<MemoryStore>,
    pub(super) services: Vec<Arc<Service>>,
    /// Accepted: what each was and what it is called.
    pub(super) accepted: Arc<Mutex<BTreeMap<QueueId, Mail>>>,
    /// Messages in whose calls a process ended, or its clock was set forwards, which ends its hold on them; how often.
    /// Also those of which an answer had come that was not written down yet.
    pub(super) interrupted: BTreeMap<QueueId, usize>,
    pub(super) all_ended: bool,
    /// Everything that was handed in, accepted or not.
    pub(super) sent: Vec<Mail>,
    machine: Arc<MachineClock>,
    pub(super) faulty: Arc<FaultyStore>,
    /// Which settings hold.
    variant: u8,
    /// What is asked of recipients who have a route of their own.
    com: RouteConditions,
    seed: u64,
}

impl World {
    pub(super) fn new(seed: u64, print: bool) -> Self {
        let mut plan = Plan::new(seed);
        let mut rng = Rng::with_seed(seed ^ 0x5eed);
        let time = Arc::new(TrueTime::default());
        let trace = Arc::new(Trace::new(Arc::clone(&time), print));
        let store = Arc::new(MemoryStore::new(50_000));
        let kinds = [Kind::replays(), Kind::plain(), Kind::slow(), Kind::quota(QUOTA)];
        let behind = if plan.clock_jumps { BEHIND_MAX } else { Duration::ZERO };
        let services =
            kinds.into_iter().zip(std::mem::take(&mut plan.faults)).map(|(kind, spells)| {
                let (time, trace) = (Arc::clone(&time), Arc::clone(&trace));
                Arc::new(Service::new(kind, behind, spells, time, trace, rng.fork()))
            });
        let services: Vec<_> = services.collect();
        let outages = std::mem::take(&mut plan.store);
        let faulty = FaultyStore::new(
            Arc::clone(&store),
            Arc::clone(&time),
            Arc::clone(&trace),
            outages,
            rng.fork(),
        );
        Self {
            machine: Arc::new(MachineClock::new(Arc::clone(&time))),
            faulty: Arc::new(faulty),
            accepted: Arc::default(),
            interrupted: BTreeMap::new(),
            all_ended: false,
            sent: Vec::new(),
            variant: 0,
            com: routes(COM).remove(0).conditions,
            plan,
            time,
            trace,
            store,
            services,
            seed,
        }
    }

    /// Lives through everything that is planned, and on until nothing is open.
    pub(super) fn run(&mut self) {
        // The names of messages are of chance; here they are not.
        fastrand::seed(self.seed);
        let events = std::mem::take(&mut self.plan.events);
        let mut events = events.as_slice();
        let ends: Vec<Option<End>> =
            std::mem::take(&mut self.plan.ends).into_iter().map(Some).chain([None]).collect();
        for (life, end) in ends.into_iter().enumerate() {
            if end.is_some_and(|end| end.at <= self.time.now()) {
                continue;
            }
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .unwrap();
            runtime.block_on(self.live(life, end, &mut events));
            // Whatever runs is gone where it stands.
            drop(runtime);
            for service in &self.services {
                service.ledger().new_client();
            }
            self.store.restart();
            if let Some(end) = end {
                self.time.skip(end.pause);
            }
        }
    }

    /// One process.
    async fn live(&mut self, life: usize, end: Option<End>, events: &mut &[(Duration, Event)]) {
        self.time.begin();
        let rng = Rng::with_seed(self.seed.wrapping_add(life as u64));
        let clock: SharedClock = Arc::clone(&self.machine) as SharedClock;
        let store = Arc::clone(&self.faulty) as Arc<dyn Store>;
        let delivery = Delivery::new(self.settings(), Some(store), clock, rng);
        let intake = delivery.queue_first();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (delivery, shutdown) = (delivery.clone(), shutdown.clone());
            async move { delivery.run(shutdown, GRACE).await }
        });
        self.trace.note(format_args!("process {life} begins"));
        let until = end.map_or(Duration::MAX, |end| end.at);
        while let Some((at, event)) = events.first().filter(|(at, _)| *at < until) {
            self.pass_until(*at).await;
            *events = &events[1..];
            self.happen(event, &intake, &delivery).await;
        }
        match end {
            Some(end) => {
                self.pass_until(end.at).await;
                if !end.crash {
                    shutdown.cancel();
                    running.await.unwrap();
                }
                self.trace.note(format_args!("process {life} ends, crash: {}", end.crash));
                self.note_interrupted().await;
            }
            None => self.until_all_is_over().await,
        }
        self.time.end();
    }

    /// Waits; while nothing is open it is as if the machine had slept.
    async fn pass_until(&self, at: Duration) {
        let mut dozed = false;
        for _ in 0..100_000 {
            let left = at.saturating_sub(self.time.now());
            if left.is_zero() {
                return;
            }
            if left > DOZE && !dozed && self.is_idle().await {
                tokio::time::sleep(DOZE / 2).await;
                if self.is_idle().await {
                    self.time.skip(left - DOZE);
                    dozed = true;
                }
                continue;
            }
            tokio::time::sleep(left.min(DOZE)).await;
        }
        panic!("time does not pass");
    }

    async fn is_idle(&self) -> bool {
        let counts = self.store.counts().await.unwrap();
        counts.queued + counts.sending == 0
    }

    async fn until_all_is_over(&mut self) {
        self.pass_until(HORIZON).await;
        let deadline = self.time.now() + PATIENCE;
        while self.time.now() < deadline {
            if self.is_idle().await {
                self.all_ended = true;
                return;
            }
            tokio::time::sleep(DOZE).await;
        }
    }

    async fn happen(&mut self, event: &Event, intake: &Arc<dyn Intake>, delivery: &Delivery) {
        match event {
            Event::Mail(mail) => {
                let submission = submission(mail);
                self.sent.push(mail.clone());
                let (intake, mail) = (Arc::clone(intake), mail.clone());
                let (accepted, trace) = (Arc::clone(&self.accepted), Arc::clone(&self.trace));
                tokio::spawn(async move {
                    let result = intake.accept(submission).await;
                    trace.note(format_args!("mail {}: {}", mail.number, result.is_ok()));
                    if let Ok(id) = result {
                        accepted.lock().unwrap().insert(id, mail);
                    }
                });
            }
            Event::Clock(seconds) => {
                self.trace.note(format_args!("the clock is set by {seconds} s"));
                self.machine.set(*seconds);
                if *seconds > 0 {
                    self.note_interrupted().await;
                    for service in &self.services {
                        service.ledger().client_leaps();
                    }
                }
            }
            Event::Reload(variant) => {
                self.trace.note(format_args!("settings {variant}"));
                self.variant = *variant;
                delivery.reload(self.settings());
            }
        }
    }

    async fn note_interrupted(&mut self) {
        for state in [State::Queued, State::Sending] {
            // More than a page is never on its way.
            let filter = Filter { state: Some(state), ..Filter::default() };
            let page = self.store.list(filter).await.unwrap();
            let sending = page.messages.into_iter().filter(|it| it.state == State::Sending);
            for id in sending.map(|it| it.id) {
                if self.was_asked(id) {
                    *self.interrupted.entry(id).or_default() += 1;
                }
            }
        }
    }

    /// Whether the process that lives has brought this message to a provider.
    fn was_asked(&self, id: QueueId) -> bool {
        let number = self.accepted.lock().unwrap().get(&id).map(|mail| mail.number);
        let asked = |number| self.services.iter().any(|it| it.ledger().asked.contains(&number));
        number.is_some_and(asked)
    }

    /// Four configurations that an operator may change between.
    fn settings(&self) -> Settings {
        let template = Arc::new(Scripted::new());
        let base = settings(&[("template", &template)], rules());
        let [lane] = base.lanes.as_slice() else { unreachable!("one was given") };
        let setup = |service: &Arc<Service>| LaneSetup {
            name: service.kind.name.to_owned(),
            provider: Arc::clone(service) as Arc<dyn Provider>,
            concurrency: service.kind.concurrency(),
            rate: service.kind.rate,
            quotas: QuotaSetup {
                daily: service.kind.quota.and_then(NonZeroU64::new),
                ..QuotaSetup::default()
            },
            mark: SetupMark::of([
                service.kind.name,
                if self.variant.is_multiple_of(2) { "a" } else { "b" },
            ]),
            account: SetupMark::of([service.kind.name]),
            ..lane.clone()
        };
        let mut lanes: Vec<_> = self.services.iter().map(setup).collect();
        lanes.rotate_left(usize::from(self.variant));
        let batch_max = NonZeroUsize::new([100, 100, 7, 1][usize::from(self.variant)]).unwrap();
        // Users have routes of their own.
        let of = |name: &str, places: &[usize]| {
            let providers: Vec<_> = places.iter().map(|it| PROVIDERS[*it]).collect();
            route(name, &providers, RouteConditions::default())
        };
        // Some mail goes in parts.
        let com = RouteConfig { conditions: self.com.clone(), ..of("com", &[1, 3]) };
        let routes = vec![com, of("two", &[0, 1]), of("one", &[0]), of("bulk", &[3, 0, 2])];
        let users = [("lemmy", "two"), ("gitea", "one"), ("news", "bulk")];
        let user_routes = users.map(|(user, route)| (user.to_owned(), route.to_owned())).into();
        let on_unclear = self.plan.on_unclear;
        Settings { lanes, routes, user_routes, batch_max, on_unclear, ..base }
    }
}

/// As short as the simulation of hours needs it.
fn rules() -> RetryRules {
    RetryRules {
        backoff: Backoff::new(Duration::from_secs(2), Duration::from_mins(15)),
        give_up_after: Duration::from_hours(8),
    }
}

fn submission(mail: &Mail) -> Submission {
    let mut raw = format!("From: app@example.org\r\nSubject: {}", mail.number);
    if mail.signed {
        raw += " signed";
    }
    if mail.own_key {
        raw += " key";
    }
    let to = if mail.visible { mail.recipients.join(", ") } else { "undisclosed:;".to_owned() };
    // Writing to a String does not fail.
    let _ = write!(raw, "\r\nTo: {to}\r\nMessage-ID: <{}@example.org>\r\n\r\nhi\r\n", mail.number);
    Submission {
        envelope: Envelope {
            sender: Some("app@example.org".parse().unwrap()),
            recipients: mail.recipients.iter().map(|it| it.parse().unwrap()).collect(),
            smtp_utf8: false,
            dsn: None,
        },
        raw: Bytes::from(raw),
        user: mail.user.map(str::to_owned),
        peer: None,
        account: None,
        may_steer: true,
    }
}
