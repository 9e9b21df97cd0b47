//! Email services as they are: each takes, refuses and forgets in its own way, and keeps account of what it was asked.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use fastrand::Rng;

use super::ledger::{Ledger, Member};
use super::plan::{Fault, Spell};
use super::time::TrueTime;
use super::trace::Trace;
use crate::clock::Timestamp;
use crate::provider::{
    Batch, Call, Capabilities, Form, Idempotency, IdempotencyKey, Letter, MessageIdFate, Provider,
    QuotaDay, Rate, Receipt, SendError, Unfit, Verdict,
};

/// How long the client waits for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What makes one service different from the others.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    pub(super) form: Form,
    pub(super) idempotency: Idempotency,
    /// The most calls in a request, and whether one bad one spoils them all.
    pub(super) batch: Option<(usize, bool)>,
    pub(super) recipients_per_call: usize,
    pub(super) rate: Option<Rate>,
    pub(super) quota: Option<u64>,
    pub(super) latency: Duration,
    pub(super) concurrency: usize,
}

impl Kind {
    /// Like Resend: knows repeats, takes batches as a whole or not at all, few calls a second.
    pub(super) fn replays() -> Self {
        Self {
            name: "replays",
            form: Form::Structured,
            idempotency: Idempotency::Replays { window: Duration::from_hours(24) },
            batch: Some((100, true)),
            recipients_per_call: 50,
            rate: Some(Rate { calls: 2, per: Duration::from_secs(1) }),
            quota: None,
            latency: Duration::from_millis(90),
            concurrency: 8,
        }
    }

    /// Like Postmark: knows no repeats, judges each member of a batch.
    pub(super) fn plain() -> Self {
        Self {
            name: "plain",
            idempotency: Idempotency::None,
            batch: Some((500, false)),
            rate: None,
            latency: Duration::from_millis(60),
            ..Self::replays()
        }
    }

    /// Takes messages as they are, for few recipients at a time, slowly.
    pub(super) fn slow() -> Self {
        Self {
            name: "slow",
            form: Form::RawMime,
            batch: None,
            recipients_per_call: 3,
            rate: Some(Rate { calls: 3, per: Duration::from_secs(2) }),
            latency: Duration::from_secs(2),
            concurrency: 3,
            ..Self::plain()
        }
    }

    /// Like Brevo: refuses repeats, for half an hour, and says so. Serves so many recipients a day.
    pub(super) fn quota(recipients: u64) -> Self {
        Self {
            name: "quota",
            idempotency: Idempotency::Refuses { window: Duration::from_mins(30) },
            batch: None,
            rate: None,
            quota: Some(recipients),
            ..Self::plain()
        }
    }

    pub(super) fn concurrency(&self) -> NonZeroUsize {
        NonZeroUsize::new(self.concurrency).unwrap()
    }

    /// For how long it recognises a repeat, if it does.
    fn window(&self) -> Option<Duration> {
        match self.idempotency {
            Idempotency::None => None,
            Idempotency::Replays { window } | Idempotency::Refuses { window } => Some(window),
        }
    }

    pub(super) fn recognises(&self) -> bool {
        self.window().is_some()
    }
}

#[derive(Debug)]
pub(super) struct Service {
    pub(super) kind: Kind,
    capabilities: Capabilities,
    /// How long a key is really remembered, where it is.
    memory: Option<Duration>,
    spells: Vec<Spell>,
    time: Arc<TrueTime>,
    trace: Arc<Trace>,
    ledger: Mutex<Ledger>,
    rng: Mutex<Rng>,
}

impl Service {
    /// `behind`: how far the clock may be set back of those who ask. To them a call seems younger than it is by so much,
    /// and here keys are remembered longer than is promised, by so much.
    pub(super) fn new(
        kind: Kind,
        behind: Duration,
        spells: Vec<Spell>,
        time: Arc<TrueTime>,
        trace: Arc<Trace>,
        rng: Rng,
    ) -> Self {
        let capabilities = Capabilities {
            form: kind.form,
            request_bytes_max: 1 << 20,
            recipients_per_call: kind.recipients_per_call,
            idempotency: kind.idempotency,
            rate: kind.rate,
            quota_day: QuotaDay::Utc,
            non_ascii_local_parts: true,
            batch: kind.batch.map(|(calls_max, _)| Batch { calls_max, request_bytes_max: 1 << 20 }),
            message_id: MessageIdFate::Kept,
        };
        Self {
            memory: kind.window().map(|window| window + behind),
            kind,
            capabilities,
            spells,
            time,
            trace,
            ledger: Mutex::default(),
            rng: Mutex::new(rng),
        }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap()
    }

    /// What happens to a call that arrives now.
    fn fault(&self) -> Option<Fault> {
        let now = self.time.now();
        let mut rng = self.rng.lock().unwrap();
        let spell = self.spells.iter().find(|it| (it.from..it.until).contains(&now));
        spell.filter(|spell| rng.u8(..100) < spell.percent).map(|spell| spell.fault)
    }

    async fn serve(
        &self,
        body: &Bytes,
        key: &IdempotencyKey,
    ) -> Result<Vec<Result<Receipt, SendError>>, SendError> {
        let members = Member::read(body);
        let mut visit = Visit::begin(self, members, key);
        let fault = self.fault();
        let latency = match fault {
            Some(Fault::Slow(latency)) => latency,
            Some(Fault::Away) => Duration::from_millis(3),
            _ => self.kind.latency.mul_f64(0.5 + self.rng.lock().unwrap().f64()),
        };
        tokio::time::sleep(latency / 2).await;
        let result = match fault {
            None | Some(Fault::Slow(_)) => visit.take(body),
            Some(Fault::LosesAnswer) => {
                let taken = visit.take(body).is_ok();
                tokio::time::sleep(latency / 2).await;
                Err(unclear(if taken { "the answer was lost" } else { "the refusal was lost" }))
            }
            Some(Fault::Silent) => {
                tokio::time::sleep(TIMEOUT).await;
                Err(unclear("no answer"))
            }
            Some(Fault::Away) => Err(error(PASSING, None)),
            Some(Fault::Breaks) => Err(error(PASSING, Some(500))),
            Some(Fault::RefusesKey) => Err(error(Verdict::Misconfigured, Some(401))),
            Some(Fault::Throttles(retry_after)) => {
                Err(error(Verdict::Throttled { retry_after }, Some(429)))
            }
        };
        tokio::time::sleep(latency / 2).await;
        visit.end(&result);
        result
    }
}

const PASSING: Verdict = Verdict::Temporary { retry_after: None };

fn error(verdict: Verdict, status: Option<u16>) -> SendError {
    SendError { verdict, status, reason: format!("{verdict:?}"), unclear: false }
}

fn unclear(reason: &str) -> SendError {
    SendError { verdict: PASSING, status: None, reason: reason.to_owned(), unclear: true }
}

/// One call, from its begin to its answer. Dropped before that, nobody has heard the answer.
struct Visit<'a> {
    service: &'a Service,
    members: Vec<Member>,
    key: String,
    ended: bool,
    /// It has the key for itself.
    first: bool,
}

impl<'a> Visit<'a> {
    fn begin(service: &'a Service, members: Vec<Member>, key: &IdempotencyKey) -> Self {
        let now = service.time.now();
        let key = key.as_str().to_owned();
        let mut ledger = service.ledger();
        ledger.call(now, service.kind.rate);
        ledger.asked.extend(members.iter().map(|member| member.number));
        let first = service.kind.recognises() && ledger.in_flight.insert(key.clone());
        service.trace.note(format_args!("{}: call {}", service.kind.name, names(&members)));
        drop(ledger);
        Self { service, members, key, ended: false, first }
    }

    /// What the service does when nothing is wrong with it.
    fn take(&self, body: &Bytes) -> Result<Vec<Result<Receipt, SendError>>, SendError> {
        let kind = &self.service.kind;
        let mut ledger = self.service.ledger();
        if let Some(memory) = self.service.memory {
            if !self.first {
                return Err(error(PASSING, Some(409)));
            }
            let now = self.service.time.now();
            if let Some(receipts) = ledger.replay(&self.key, body, now, memory) {
                return Ok(receipts.into_iter().map(|it| Ok(repeated(kind, it))).collect());
            }
        }
        let rejected = || error(Verdict::Rejected, Some(422));
        let spoils = kind.batch.is_none_or(|(_, spoils)| spoils) || self.members.len() == 1;
        if spoils && self.members.iter().any(Member::is_poisoned) {
            return Err(rejected());
        }
        if let Some(quota) = kind.quota {
            let recipients = self.members.iter().map(|it| it.recipients.len() as u64).sum();
            if let Err(until) = ledger.count(self.service.time.date(), recipients, quota) {
                return Err(error(Verdict::Exhausted { until: Some(until) }, Some(429)));
            }
        }
        let mut results = Vec::new();
        for member in &self.members {
            if member.is_poisoned() {
                results.push(Err(rejected()));
            } else {
                results.push(Ok(ledger.keep(kind.name, member)));
            }
        }
        if kind.recognises() {
            let receipts = results.iter().filter_map(|it| it.as_ref().ok().cloned()).collect();
            ledger.remember(&self.key, body, receipts, self.service.time.now());
        }
        Ok(results)
    }

    fn end(&mut self, result: &Result<Vec<Result<Receipt, SendError>>, SendError>) {
        self.ended = true;
        let Service { kind, time, trace, .. } = self.service;
        let names = names(&self.members);
        match result {
            Ok(_) => trace.note(format_args!("{}: took {names}", kind.name)),
            Err(error) => {
                trace.note(format_args!("{}: {error} for {names}", kind.name));
                let mut ledger = self.service.ledger();
                if error.unclear {
                    ledger.lost(time.date(), &self.members);
                }
                if let Verdict::Throttled { retry_after: Some(wait) } = error.verdict {
                    ledger.rest_until(time.now() + wait);
                }
            }
        }
    }
}

impl Drop for Visit<'_> {
    fn drop(&mut self) {
        let mut ledger = self.service.ledger();
        if self.first {
            ledger.in_flight.remove(&self.key);
        }
        if !self.ended {
            ledger.lost(self.service.time.date(), &self.members);
        }
    }
}

/// What is said about a message that this service has already. Who refuses it does not know any more what it was called.
fn repeated(kind: &Kind, receipt: Receipt) -> Receipt {
    match kind.idempotency {
        Idempotency::Refuses { .. } => Receipt { provider_message_id: None, ..receipt },
        Idempotency::Replays { .. } | Idempotency::None => receipt,
    }
}

fn names(members: &[Member]) -> String {
    let names: Vec<_> = members.iter().map(ToString::to_string).collect();
    names.join("; ")
}

#[async_trait]
impl Provider for Service {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn prepare(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        let subject = letter.email.subject.as_str();
        if subject.contains("signed") && self.kind.form == Form::Structured {
            return Err(Unfit { reason: "it is signed".to_owned() });
        }
        let number = subject.split(' ').next().unwrap_or_default();
        let recipients: Vec<&str> = letter.addressing.recipients().collect();
        let body = format!("{number} {}", recipients.join(","));
        let key = subject.contains("key").then(|| format!("own {body}"));
        Ok(Call { key, ..Call::new(body, "text/plain") })
    }

    async fn send(&self, call: &Call, key: &IdempotencyKey) -> Result<Receipt, SendError> {
        let mut results = self.serve(&call.body, key).await?;
        results.pop().unwrap()
    }

    fn join(&self, calls: &[Call]) -> Option<Call> {
        let (calls_max, _) = self.kind.batch?;
        assert!(calls.len() <= calls_max, "{} calls are joined", calls.len());
        let bodies: Vec<&[u8]> = calls.iter().map(|call| call.body.as_ref()).collect();
        let own = calls.iter().any(|call| call.key.is_some());
        (!own).then(|| Call::new(bodies.join(&b'\n'), "text/plain"))
    }

    async fn send_joined(
        &self,
        joined: &Call,
        members: usize,
        key: &IdempotencyKey,
    ) -> Result<Vec<Result<Receipt, SendError>>, SendError> {
        assert_eq!(Member::read(&joined.body).len(), members);
        self.serve(&joined.body, key).await
    }

    async fn probe(&self) -> Result<(), SendError> {
        self.ledger().call(self.time.now(), self.kind.rate);
        tokio::time::sleep(Duration::from_millis(20)).await;
        match self.fault() {
            Some(Fault::Away | Fault::Silent) => Err(error(PASSING, None)),
            Some(Fault::Breaks) => Err(error(PASSING, Some(500))),
            Some(Fault::RefusesKey) => Err(error(Verdict::Misconfigured, Some(401))),
            Some(Fault::Throttles(_) | Fault::LosesAnswer | Fault::Slow(_)) | None => Ok(()),
        }
    }
}

/// The next midnight, UTC.
pub(super) fn midnight_after(date: Timestamp) -> Timestamp {
    let day = date.as_second().div_euclid(86_400);
    Timestamp::from_second((day + 1) * 86_400).unwrap()
}
