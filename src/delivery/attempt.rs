//! The calls that bring one message to one provider.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::calls::Lane;
use super::caught::caught;
use super::course::Obstacle;
use super::engine::Engine;
use super::events::Event;
use super::job::Job;
use super::lane::LaneId;
use super::limits::Permit;
use super::memory::is_large;
use crate::config::{OnLoss, SenderConfig};
use crate::message::{Addressing, Email, Loss, Message};
use crate::provider::{Call, Form, Letter, Provider, SendError, Verdict};
use crate::queue::{Attempt, Next, Outcome};

impl Engine {
    /// Makes the calls for all recipients that are not settled yet, one after the other, or several in one request where
    /// the provider has that. Whatever happens is noted in the job; a rejection settles the recipients of its call and
    /// the others go on.
    ///
    /// A message at which a provider's code or the parser panics costs neither the slot nor the message.
    pub(super) async fn attempt(&self, job: &mut Job, lane: LaneId) -> Result<(), Obstacle> {
        if !self.suppress(job, lane).await {
            return Err(Obstacle::Unlisted);
        }
        if job.suppression().is_some() {
            return Ok(());
        }
        match caught(self.deliver(job, lane)).await {
            Some(result) => result,
            None => Err(self.note_panic(job, lane)),
        }
    }

    async fn deliver(&self, job: &mut Job, lane: LaneId) -> Result<(), Obstacle> {
        let (provider, name, edition, per_call, recipients_max) = {
            let board = self.board();
            let (provider, name, edition) = board.account(lane);
            let limits = board.limits(lane);
            let per_call = limits.recipients_per_call(provider.capabilities().recipients_per_call);
            (provider, name, edition, per_call, limits.recipients_per_request(per_call))
        };
        let capabilities = provider.capabilities();
        let pending = job.pending();
        let structured = capabilities.form == Form::Structured;
        let size = job.claim.message.raw.len();
        let mut turn = Some(self.memory.turn(size).await);
        let email = self.parsed(job);
        let calls = Addressing::split(&email, &pending, per_call, structured);
        let whole = calls.len() == 1 && pending.len() == job.claim.recipients.len();
        let way = Lane { lane, provider: &*provider, name: &name, edition, whole };
        drop(email);

        let mut together = self.batch_limit(&way, job);
        let mut permit = Permit { counted: job.counted, until: job.begins_until() };
        let mut put_off = None;
        let mut rest = calls.as_slice();
        let mut first = true;
        while !rest.is_empty() {
            if !first {
                let counted = self.wait_for_pace(lane, permit.until).await;
                permit.counted = counted.ok_or(Obstacle::Interrupted)?;
                turn = Some(self.memory.turn(size).await);
            }
            // Also before the first: the message may have waited long for its slot.
            let stopping = !first && self.closing.load(Ordering::Relaxed);
            if stopping || job.lease_ends(self.now()) || !self.still_holds(job).await {
                return Err(Obstacle::Interrupted);
            }
            first = false;
            let prepared = {
                let email = self.parsed(job);
                self.prepare_some(&way, job, &email, rest, &mut together, recipients_max)
            };
            if prepared.as_ref().is_ok_and(|calls| calls.len() == rest.len()) || is_large(size) {
                // Calls take long, and what is decoded is no small part of what a message takes.
                job.email = None;
            }
            drop(turn.take());
            let prepared =
                prepared.inspect_err(|obstacle| self.note_unfit(job, &name, obstacle))?;
            if !self.note_start(job, &way).await {
                return Err(Obstacle::Interrupted);
            }
            let (now, others) = rest.split_at(prepared.len());
            let Some(later) = self.make(&way, job, &prepared, now, &mut permit).await? else {
                // The provider refuses the batch, which says nothing about its members.
                together.calls_max = 1;
                // Known before one of them goes singly: what went must not be repeated within a batch after a crash.
                if !self.settle(job, Next::Continue).await {
                    return Err(Obstacle::Interrupted);
                }
                continue;
            };
            put_off = put_off.or(later.into_iter().next());
            rest = others;
            // The record must not wait for the rest: a crash would repeat what has been done.
            if !rest.is_empty() && !self.settle(job, Next::Continue).await {
                return Err(Obstacle::Interrupted);
            }
        }
        put_off.map_or(Ok(()), |error| Err(Obstacle::Error(error)))
    }

    /// The call, unless something of the message would be missing from it that must not be.
    pub(super) fn prepare(
        &self,
        provider: &dyn Provider,
        job: &Job,
        email: &Email,
        addressing: &Addressing,
    ) -> Result<Call, Obstacle> {
        let message = &job.claim.message;
        let letter = Letter {
            id: message.id,
            envelope: &message.envelope,
            received_at: message.received_at,
            raw: &message.raw,
            email,
            addressing,
        };
        let unfit = |reason| Obstacle::Unfit { reason, losses: Vec::new() };
        let call = provider.prepare(&letter).map_err(|error| unfit(error.reason))?;
        let max = provider.capabilities().request_bytes_max;
        if call.body.len() > max {
            let mib = |bytes: usize| bytes.div_ceil(1 << 20);
            return Err(unfit(format!(
                "the request would have {} MiB, the provider takes {} MiB",
                mib(call.body.len()),
                mib(max)
            )));
        }
        match (self.policy().on_loss, call.losses.iter().find(|loss| loss.grave)) {
            (OnLoss::Send, _) | (_, None) => Ok(call),
            (OnLoss::Next, Some(loss)) => {
                Err(Obstacle::Unfit { reason: reason_of(loss), losses: call.losses })
            }
            (OnLoss::Refuse, Some(loss)) => {
                Err(Obstacle::Refused { reason: reason_of(loss), losses: call.losses })
            }
        }
    }

    /// The parsed message with the From rules applied; parsed once, however many providers are asked.
    pub(super) fn parsed(&self, job: &mut Job) -> Arc<Email> {
        let message = &job.claim.message;
        let parse = || Arc::new(parse(message, &self.policy().sender));
        Arc::clone(job.email.get_or_insert_with(parse))
    }

    fn note_unfit(&self, job: &mut Job, name: &str, obstacle: &Obstacle) {
        // Once is enough, however often the message comes round while it waits for a provider that can.
        if job.claim.history.iter().any(|past| past.0 == name && past.1 == Outcome::Unfit) {
            return;
        }
        let losses = match obstacle {
            Obstacle::Unfit { losses, .. } | Obstacle::Refused { losses, .. } => losses.clone(),
            Obstacle::Error(_)
            | Obstacle::Stopped(_)
            | Obstacle::Unlisted
            | Obstacle::Interrupted => Vec::new(),
        };
        self.note_no_call(job, name, Outcome::Unfit, obstacle.text(name), losses);
    }

    fn note_panic(&self, job: &mut Job, lane: LaneId) -> Obstacle {
        let name = self.board().name(lane).to_owned();
        let error = SendError {
            verdict: Verdict::Bug,
            status: None,
            reason: "mailferry itself failed at this message; its log says where, please report it"
                .to_owned(),
            unclear: true,
        };
        tracing::error!(queue_id = %job.claim.message.id, provider = name, error = %error, "a fault of mailferry");
        self.note_no_call(job, &name, Outcome::Bug, error.to_string(), Vec::new());
        Obstacle::Error(error)
    }

    /// Records what stopped a delivery before there was an answer.
    fn note_no_call(
        &self,
        job: &mut Job,
        name: &str,
        outcome: Outcome,
        text: String,
        losses: Vec<Loss>,
    ) {
        let event = Event {
            provider: Some(name),
            attempt: Some(job.next_attempt()),
            outcome: outcome.name(),
            error: Some(&text),
            ..Event::default()
        };
        self.log().not_delivered(&job.claim.message, event);
        job.attempts.push(Attempt {
            at: self.now(),
            provider: name.to_owned(),
            outcome,
            error: Some(text),
            provider_message_id: None,
            latency_ms: 0,
            recipients: Vec::new(),
            losses,
            together: None,
        });
    }
}

/// The message as providers get it, by these From rules.
pub(super) fn parse(message: &Message, rules: &SenderConfig) -> Email {
    let mut email = Email::parse(&message.raw);
    email.apply_sender_rules(rules, &message.envelope);
    if !message.may_steer {
        email.options.clear();
    }
    email
}

fn reason_of(Loss { what, why, .. }: &Loss) -> String {
    format!("{what} would be lost: {why}; delivery.on_loss = \"send\" would send it nevertheless")
}
