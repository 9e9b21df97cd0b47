//! The calls that bring one message to one provider.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::caught::caught;
use super::course::{self, Obstacle};
use super::engine::Engine;
use super::events::Event;
use super::job::Job;
use super::lane::LaneId;
use super::memory::is_large;
use crate::config::OnLoss;
use crate::message::{Address, Addressing, Email, Loss};
use crate::provider::{Call, Form, IdempotencyKey, Letter, Provider, Receipt, SendError, Verdict};
use crate::queue::{Attempt, Next, Outcome, RecipientState};

impl Engine {
    /// Makes the calls for all recipients that are not settled yet, one after the other. Whatever happens is
    /// noted in the job; a rejection settles the recipients of its call and the others go on.
    ///
    /// A message at which a provider's code or the parser panics costs neither the slot nor the message.
    pub(super) async fn attempt(&self, job: &mut Job, lane: LaneId) -> Result<(), Obstacle> {
        match caught(self.deliver(job, lane)).await {
            Some(result) => result,
            None => Err(self.note_panic(job, lane)),
        }
    }

    async fn deliver(&self, job: &mut Job, lane: LaneId) -> Result<(), Obstacle> {
        let (provider, name) = {
            let board = self.board();
            (board.provider(lane), board.name(lane).to_owned())
        };
        let capabilities = provider.capabilities();
        let pending = job.pending();
        let structured = capabilities.form == Form::Structured;
        let size = job.claim.message.raw.len();
        let mut turn = Some(self.memory.turn(size).await);
        let email = self.parsed(job);
        let calls =
            Addressing::split(&email, &pending, capabilities.recipients_per_call, structured);
        drop(email);

        let last = calls.len().saturating_sub(1);
        let mut put_off = None;
        for (number, addressing) in calls.iter().enumerate() {
            if number > 0 {
                self.wait_for_pace(lane).await;
                turn = Some(self.memory.turn(size).await);
            }
            // Also before the first: the message may have waited long for its slot.
            let stopping = number > 0 && self.closing.load(Ordering::Relaxed);
            if stopping || job.lease_ends(self.now()) {
                return Err(Obstacle::Interrupted);
            }
            let call = {
                let email = self.parsed(job);
                self.prepare(&*provider, job, &email, addressing)
            };
            if number == last || is_large(size) {
                // Calls take long, and what is decoded is no small part of what a message takes.
                job.email = None;
            }
            drop(turn.take());
            let call = call.inspect_err(|obstacle| self.note_unfit(job, &name, obstacle))?;
            let whole = calls.len() == 1 && pending.len() == job.claim.recipients.len();
            let later = self.call(job, lane, &*provider, &name, &call, addressing, whole).await?;
            put_off = put_off.or(later);
            // The record must not wait for the rest: a crash would repeat what has been done.
            if number < last && !self.settle(job, Next::Continue).await {
                return Err(Obstacle::Interrupted);
            }
        }
        put_off.map_or(Ok(()), |error| Err(Obstacle::Error(error)))
    }

    /// One call and what it means for its recipients and for the lane. Returns why some of them must wait, although the
    /// message was taken for the others.
    #[expect(clippy::too_many_arguments, reason = "the parts of one call, each needed once")]
    async fn call(
        &self,
        job: &mut Job,
        lane: LaneId,
        provider: &dyn Provider,
        name: &str,
        call: &Call,
        addressing: &Addressing,
        whole: bool,
    ) -> Result<Option<SendError>, Obstacle> {
        let key = IdempotencyKey::of(job.claim.message.id, call);
        let at = self.now();
        let begun = Instant::now();
        let result = provider.send(call, &key).await;
        let latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);

        let recipients = if whole { Vec::new() } else { addresses(job, addressing) };
        let shown = (!whole).then(|| joined(&recipients));
        let mut event = Event {
            provider: Some(name),
            attempt: Some(job.next_attempt()),
            latency_ms: Some(latency_ms),
            recipients: shown.as_deref(),
            ..Event::default()
        };
        let mut attempt = Attempt {
            at,
            provider: name.to_owned(),
            outcome: Outcome::Delivered,
            error: None,
            provider_message_id: None,
            latency_ms,
            recipients,
            losses: call.losses.clone(),
        };
        match result {
            Ok(Receipt { provider_message_id, left_out }) => {
                self.note_success(lane);
                event.outcome = Outcome::Delivered.name();
                event.provider_message_id = provider_message_id.as_deref();
                self.log.delivered(&job.claim.message, event);
                job.receipts.extend(provider_message_id.clone());
                attempt.provider_message_id = provider_message_id;
                job.attempts.push(attempt);
                let (later, gone): (Vec<_>, Vec<_>) =
                    left_out.into_iter().partition(|left_out| left_out.later);
                for gone in gone {
                    let reason = format!("{name}: {}", gone.reason);
                    let recipients = addressing.recipients().filter(|it| gone.is(it));
                    job.settle_recipients(recipients, RecipientState::Failed, Some(&reason));
                }
                let served =
                    addressing.recipients().filter(|it| !later.iter().any(|wait| wait.is(it)));
                job.settle_recipients(served, RecipientState::Delivered, None);
                Ok(later.into_iter().next().map(|first| SendError {
                    verdict: Verdict::Temporary { retry_after: None },
                    status: None,
                    reason: first.reason,
                    unclear: false,
                }))
            }
            Err(error) => {
                self.note_failure(lane, &error);
                let text = error.to_string();
                attempt.outcome = course::outcome(&error);
                event.outcome = attempt.outcome.name();
                event.error = Some(&text);
                self.log.not_delivered(&job.claim.message, event);
                attempt.error = Some(text);
                job.attempts.push(attempt);
                self.after_error(job, name, addressing, error).map(|()| None)
            }
        }
    }

    fn after_error(
        &self,
        job: &mut Job,
        name: &str,
        addressing: &Addressing,
        error: SendError,
    ) -> Result<(), Obstacle> {
        match error.verdict {
            Verdict::Rejected => {
                let reason = format!("{name}: {error}");
                let recipients = addressing.recipients();
                job.settle_recipients(recipients, RecipientState::Failed, Some(&reason));
                Ok(())
            }
            Verdict::Bug => {
                tracing::error!(
                    queue_id = %job.claim.message.id,
                    provider = name,
                    error = %error,
                    "the provider says that our request is malformed; this is a fault of mailferry, please report it"
                );
                Err(Obstacle::Error(error))
            }
            Verdict::Throttled { .. }
            | Verdict::Exhausted { .. }
            | Verdict::Temporary { .. }
            | Verdict::Misconfigured
            | Verdict::Unknown => Err(Obstacle::Error(error)),
        }
    }

    /// The call, unless something of the message would be missing from it that must not be.
    fn prepare(
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
        match (self.on_loss, call.losses.iter().find(|loss| loss.grave)) {
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
    fn parsed(&self, job: &mut Job) -> Arc<Email> {
        let message = &job.claim.message;
        let email = job.email.get_or_insert_with(|| {
            let mut email = Email::parse(&message.raw);
            email.apply_sender_rules(&self.sender, &message.envelope);
            if !message.may_steer {
                email.options.clear();
            }
            Arc::new(email)
        });
        Arc::clone(email)
    }

    fn note_unfit(&self, job: &mut Job, name: &str, obstacle: &Obstacle) {
        // Once is enough, however often the message comes round while it waits for a provider that can.
        if job.claim.history.iter().any(|past| past.0 == name && past.1 == Outcome::Unfit) {
            return;
        }
        let losses = match obstacle {
            Obstacle::Unfit { losses, .. } | Obstacle::Refused { losses, .. } => losses.clone(),
            Obstacle::Error(_) | Obstacle::Interrupted => Vec::new(),
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
        self.log.not_delivered(&job.claim.message, event);
        job.attempts.push(Attempt {
            at: self.now(),
            provider: name.to_owned(),
            outcome,
            error: Some(text),
            provider_message_id: None,
            latency_ms: 0,
            recipients: Vec::new(),
            losses,
        });
    }
}

fn reason_of(Loss { what, why, .. }: &Loss) -> String {
    format!("{what} would be lost: {why}; delivery.on_loss = \"send\" would send it nevertheless")
}

/// The envelope's spelling of the recipients of a call.
fn addresses(job: &Job, addressing: &Addressing) -> Vec<Address> {
    let of_call: Vec<&str> = addressing.recipients().collect();
    let envelope = job.claim.message.envelope.recipients.iter();
    envelope.filter(|own| of_call.iter().any(|a| own.same_mailbox(a))).cloned().collect()
}

fn joined(addresses: &[Address]) -> String {
    addresses.iter().map(Address::as_str).collect::<Vec<_>>().join(", ")
}
