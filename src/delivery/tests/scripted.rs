//! A provider that answers as it is told, and a delivery around it.

mod service;

use std::collections::{HashMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;
use tokio_util::sync::CancellationToken;

use crate::clock::{SharedClock, TimerClock};
use crate::config::{OnLoss, OnUnclear, SenderConfig};
use crate::delivery::{Backoff, Delivery, LaneSetup, QuotaSetup, RetryRules, Settings, SetupMark};
use crate::message::{Envelope, Loss, QueueId, Submission};
use crate::provider::{
    Batch, Call, Capabilities, Form, Heard, Idempotency, IdempotencyKey, LeftOut, Letter,
    MessageIdFate, Provider, QuotaDay, Receipt, SendError, Unfit, Verdict,
};
use crate::queue::{Details, Intake, MemoryStore, State, Store};

/// One call as the provider saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) key: String,
    pub(super) recipients: Vec<String>,
    pub(super) at: Duration,
}

#[derive(Debug)]
pub(in crate::delivery) struct Scripted {
    capabilities: Capabilities,
    /// Answers to the next calls; `usual` when there are none.
    script: Mutex<VecDeque<Result<(), Verdict>>>,
    usual: Mutex<Result<(), Verdict>>,
    probe: Mutex<Result<(), Verdict>>,
    seen: Mutex<Vec<Seen>>,
    probes: AtomicUsize,
    unfit: bool,
    /// What is missing from every call.
    losses: Vec<Loss>,
    /// Panics while preparing what goes to this recipient.
    fatal: Option<&'static str>,
    /// What its errors say about whether the request has arrived.
    unclear: bool,
    /// Whom it does not serve, of every message that it takes.
    left_out: Vec<LeftOut>,
    latency: Duration,
    /// How many calls are under way, and how many were at the most.
    calls: (AtomicUsize, AtomicUsize),
    started: tokio::time::Instant,
    /// How rarely it wants to be asked whether it works.
    probe_interval: Duration,
    /// What it says of its limits with every answer.
    heard: Mutex<Option<Heard>>,
    /// How the next batches end as a whole; each member has a place in `script` when there is none.
    batches: Mutex<VecDeque<SendError>>,
    /// What it recognises: requests by their key, and what it answered.
    answered: Mutex<HashMap<String, Known>>,
    /// How many copies of each call it has sent.
    copies: Mutex<HashMap<String, usize>>,
    /// So many of the next answers are lost after it has taken what came.
    lost: AtomicUsize,
    /// So many of the next requests are taken and never answered.
    silent: AtomicUsize,
    /// Refuses the call to this recipient; a batch with it as a whole, or only this member.
    poison: Option<(&'static str, bool)>,
    /// So many of its next answers to batches say nothing about the last member.
    forgetful: AtomicUsize,
    /// Writes its requests otherwise.
    in_capitals: bool,
    /// Cannot be joined with others.
    unjoinable: Option<&'static str>,
    /// Panics while it joins calls, or when it is asked whether it can.
    fatal_joins: Option<FatalJoin>,
}

/// Where joining calls panics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FatalJoin {
    Asked,
    Done,
}

/// The body of a request, and what was answered for each of its members.
type Known = (Bytes, Vec<Result<Receipt, SendError>>);

pub(super) fn error(verdict: Verdict) -> SendError {
    SendError { verdict, status: Some(499), reason: format!("{verdict:?}"), unclear: false }
}

impl Scripted {
    pub(in crate::delivery) fn new() -> Self {
        let capabilities = Capabilities {
            form: Form::Structured,
            request_bytes_max: 1 << 20,
            recipients_per_call: 2,
            idempotency: Idempotency::None,
            rate: None,
            quota_day: QuotaDay::Utc,
            non_ascii_local_parts: true,
            batch: None,
            message_id: MessageIdFate::Kept,
        };
        Self {
            capabilities,
            script: Mutex::default(),
            usual: Mutex::new(Ok(())),
            probe: Mutex::new(Ok(())),
            seen: Mutex::default(),
            probes: AtomicUsize::new(0),
            unfit: false,
            losses: Vec::new(),
            fatal: None,
            unclear: false,
            left_out: Vec::new(),
            latency: Duration::from_millis(5),
            calls: Default::default(),
            started: tokio::time::Instant::now(),
            probe_interval: Duration::ZERO,
            heard: Mutex::default(),
            batches: Mutex::default(),
            answered: Mutex::default(),
            copies: Mutex::default(),
            lost: AtomicUsize::new(0),
            silent: AtomicUsize::new(0),
            poison: None,
            forgetful: AtomicUsize::new(0),
            in_capitals: false,
            unjoinable: None,
            fatal_joins: None,
        }
    }

    pub(super) fn that_cannot_carry_it() -> Self {
        Self { unfit: true, ..Self::new() }
    }

    pub(super) fn that_loses(losses: &[Loss]) -> Self {
        Self { losses: losses.to_vec(), ..Self::new() }
    }

    pub(super) fn that_puts_off(recipient: &str) -> Self {
        let address = recipient.to_owned();
        let left_out = LeftOut { address, reason: "greylisted".to_owned(), later: true };
        Self { left_out: vec![left_out], ..Self::new() }
    }

    pub(super) fn that_panics_at(recipient: &'static str) -> Self {
        Self { fatal: Some(recipient), ..Self::new() }
    }

    pub(super) fn panicking_at_joins(self, fatal: FatalJoin) -> Self {
        Self { fatal_joins: Some(fatal), ..self }
    }

    pub(super) fn that_does_not_answer() -> Self {
        Self { unclear: true, ..Self::new() }.always(Err(Verdict::Temporary { retry_after: None }))
    }

    pub(super) fn that_leaves_out(recipient: &str) -> Self {
        let left_out =
            LeftOut { address: recipient.to_owned(), reason: "inactive".to_owned(), later: false };
        Self { left_out: vec![left_out], ..Self::new() }
    }

    pub(super) fn that_is_asked_rarely(probe_interval: Duration) -> Self {
        Self { probe_interval, ..Self::new() }
    }

    pub(super) fn set_latency(&mut self, latency: Duration) {
        self.latency = latency;
    }

    pub(super) fn with_latency(latency: Duration) -> Self {
        Self { latency, ..Self::new() }
    }

    /// One that takes so many calls in one request.
    pub(super) fn with_batches(calls_max: usize) -> Self {
        Self::new().taking_batches(calls_max)
    }

    pub(super) fn taking_batches(mut self, calls_max: usize) -> Self {
        self.capabilities.batch = Some(Batch { calls_max, request_bytes_max: 1 << 20 });
        self
    }

    /// The next batches end so, as a whole.
    pub(super) fn batches_end(self, errors: impl IntoIterator<Item = SendError>) -> Self {
        self.batches.lock().unwrap().extend(errors);
        self
    }

    pub(super) fn answers(self, script: impl IntoIterator<Item = Result<(), Verdict>>) -> Self {
        self.script.lock().unwrap().extend(script);
        self
    }

    pub(super) fn always(self, answer: Result<(), Verdict>) -> Self {
        self.now_answers(answer);
        self
    }

    pub(super) fn now_answers(&self, answer: Result<(), Verdict>) {
        *self.usual.lock().unwrap() = answer;
    }

    pub(super) fn says_of_its_limits(&self, heard: Heard) {
        *self.heard.lock().unwrap() = Some(heard);
    }

    pub(super) fn probe_says(&self, answer: Result<(), Verdict>) {
        *self.probe.lock().unwrap() = answer;
    }

    fn next_answer(&self, id: &str) -> Result<Receipt, SendError> {
        let next = self.script.lock().unwrap().pop_front();
        match next.unwrap_or(*self.usual.lock().unwrap()) {
            Ok(()) => Ok(Receipt {
                provider_message_id: Some(format!("id-{id}")),
                left_out: self.left_out.clone(),
            }),
            Err(verdict) => Err(SendError { unclear: self.unclear, ..error(verdict) }),
        }
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many calls were under way at the same time at the most.
    pub(super) fn calls_at_once(&self) -> usize {
        self.calls.1.load(Ordering::Relaxed)
    }

    pub(super) fn probes(&self) -> usize {
        self.probes.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Provider for Scripted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn prepare(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        if self.unfit {
            return Err(Unfit { reason: "it is signed".to_owned() });
        }
        let recipients: Vec<&str> = letter.addressing.recipients().collect();
        assert!(self.fatal.is_none_or(|fatal| !recipients.contains(&fatal)), "as told");
        let mut body = recipients.join(",");
        if self.in_capitals {
            body.make_ascii_uppercase();
        }
        let body = Bytes::from(body);
        Ok(Call { losses: self.losses.clone(), ..Call::new(body, "text/plain") })
    }

    async fn send(&self, call: &Call, key: &IdempotencyKey) -> Result<Receipt, SendError> {
        let (now, most) = &self.calls;
        most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        tokio::time::sleep(self.latency).await;
        now.fetch_sub(1, Ordering::Relaxed);
        let number = {
            let mut seen = self.seen.lock().unwrap();
            let recipients = String::from_utf8_lossy(&call.body);
            seen.push(Seen {
                key: key.as_str().to_owned(),
                recipients: recipients.split(',').map(str::to_owned).collect(),
                at: self.started.elapsed(),
            });
            seen.len()
        };
        let mut answers = self.answer(call, key, number, false).await?;
        answers.pop().unwrap()
    }

    fn can_join(&self, call: &Call) -> bool {
        assert_ne!(self.fatal_joins, Some(FatalJoin::Asked), "as told");
        self.capabilities.batch.is_some()
            && self.unjoinable.is_none_or(|recipient| call.body != recipient.as_bytes())
    }

    fn join(&self, calls: &[Call]) -> Option<Call> {
        assert_ne!(self.fatal_joins, Some(FatalJoin::Done), "as told");
        let bodies: Vec<&[u8]> = calls.iter().map(|call| call.body.as_ref()).collect();
        // As the real ones: without batches there is no joining.
        self.capabilities.batch.map(|_| Call::new(bodies.join(&b';'), "text/plain"))
    }

    async fn send_joined(
        &self,
        joined: &Call,
        members: usize,
        key: &IdempotencyKey,
    ) -> Result<Vec<Result<Receipt, SendError>>, SendError> {
        tokio::time::sleep(self.latency).await;
        let recipients = String::from_utf8_lossy(&joined.body);
        let recipients: Vec<_> = recipients.split(';').map(str::to_owned).collect();
        assert_eq!(recipients.len(), members);
        let number = {
            let mut seen = self.seen.lock().unwrap();
            let key = key.as_str().to_owned();
            seen.push(Seen { key, recipients, at: self.started.elapsed() });
            seen.len()
        };
        if let Some(error) = self.batches.lock().unwrap().pop_front() {
            return Err(error);
        }
        self.answer(joined, key, number, true).await
    }

    fn heard(&self) -> Option<Heard> {
        *self.heard.lock().unwrap()
    }

    fn probe_interval(&self) -> Duration {
        self.probe_interval
    }

    async fn probe(&self) -> Result<(), SendError> {
        self.probes.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.latency).await;
        self.probe.lock().unwrap().map_err(error)
    }
}

/// A running delivery over the in-memory store.
pub(super) struct World {
    pub(super) store: Arc<MemoryStore>,
    pub(super) delivery: Delivery,
    pub(super) intake: Arc<dyn Intake>,
    pub(super) clock: SharedClock,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

pub(super) fn rules() -> RetryRules {
    RetryRules {
        backoff: Backoff::new(Duration::from_secs(2), Duration::from_mins(15)),
        give_up_after: Duration::from_hours(24),
    }
}

pub(super) fn settings(providers: &[(&str, &Arc<Scripted>)], rules: RetryRules) -> Settings {
    let lane = |(name, provider): &(&str, &Arc<Scripted>)| LaneSetup {
        name: (*name).to_owned(),
        provider: Arc::clone(*provider) as Arc<dyn Provider>,
        concurrency: NonZeroUsize::new(4).unwrap(),
        rate: None,
        quotas: QuotaSetup::default(),
        in_route: true,
        mark: SetupMark::default(),
        account: SetupMark::default(),
    };
    Settings {
        lanes: providers.iter().map(lane).collect(),
        routes: Vec::new(),
        user_routes: HashMap::new(),
        accounts: None,
        rules,
        sender: SenderConfig::default(),
        on_loss: OnLoss::default(),
        on_unclear: OnUnclear::default(),
        batch_max: NonZeroUsize::new(100).unwrap(),
        batch_linger: Duration::ZERO,
        log_subject: true,
        hook: None,
        instance: "test".into(),
    }
}

impl World {
    pub(super) fn new(providers: &[(&str, &Arc<Scripted>)]) -> Self {
        Self::with(settings(providers, rules()))
    }

    pub(super) fn with(settings: Settings) -> Self {
        let start = "2026-11-21T00:00:00Z".parse().unwrap();
        let clock: SharedClock = Arc::new(TimerClock::starting_at(start));
        Self::over(Arc::new(MemoryStore::new(50_000)), clock, settings)
    }

    /// Over a store that there is, for the time after a restart.
    pub(super) fn over(store: Arc<MemoryStore>, clock: SharedClock, settings: Settings) -> Self {
        let recorded = Arc::clone(&store) as Arc<dyn Store>;
        let delivery =
            Delivery::new(settings, Some(recorded), Arc::clone(&clock), Rng::with_seed(7));
        let shutdown = CancellationToken::new();
        let running = tokio::spawn({
            let (delivery, shutdown) = (delivery.clone(), shutdown.clone());
            async move { delivery.run(shutdown, Duration::from_secs(30)).await }
        });
        Self { store, intake: delivery.queue_first(), delivery, clock, shutdown, running }
    }

    pub(super) async fn submit(&self, recipients: &[&str]) -> QueueId {
        self.intake.accept(submission(recipients)).await.unwrap()
    }

    pub(super) async fn show(&self, id: QueueId) -> Details {
        self.store.show(id).await.unwrap().unwrap()
    }

    /// Lets (paused) time pass until the message is in `state`.
    pub(super) async fn until(&self, id: QueueId, state: State) -> Details {
        for _ in 0..200_000 {
            let details = self.show(id).await;
            if details.summary.state == state {
                return details;
            }
            pass(Duration::from_millis(500)).await;
        }
        panic!("{id} is still {}", self.show(id).await.summary.state);
    }

    /// The process dies: whatever was under way never comes to an end.
    pub(super) fn crash(self) -> Arc<MemoryStore> {
        self.running.abort();
        self.store
    }

    pub(super) async fn stop(self) -> Arc<MemoryStore> {
        self.shutdown.cancel();
        self.running.await.unwrap();
        self.store
    }
}

/// Lets paused time pass.
pub(super) async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// One of about so many octets.
pub(super) fn submission_of(size: usize, recipients: &[&str]) -> Submission {
    let mut submission = submission(recipients);
    let mut raw = submission.raw.to_vec();
    raw.resize(raw.len().max(size), b'x');
    submission.raw = raw.into();
    submission
}

pub(super) fn submission(recipients: &[&str]) -> Submission {
    let raw =
        "From: ada@example.org\r\nTo: undisclosed:;\r\nMessage-ID: <1@example.org>\r\n\r\nhi\r\n";
    Submission {
        envelope: Envelope {
            sender: Some("ada@example.org".parse().unwrap()),
            recipients: recipients.iter().map(|r| r.parse().unwrap()).collect(),
            smtp_utf8: false,
            dsn: None,
        },
        raw: Bytes::from(raw),
        user: None,
        peer: None,
        account: None,
        may_steer: true,
    }
}
