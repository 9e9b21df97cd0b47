//! One request to a provider, with one call in it or several, and what it means for the recipients and for the lane.

use tokio::time::Instant;

use super::course::{self, Obstacle};
use super::doubt::{self, Answer};
use super::engine::Engine;
use super::events::Event;
use super::job::Job;
use super::lane::{Edition, LaneId};
use super::limits::{Permit, served, served_of_joined};
use crate::clock::Timestamp;
use crate::config::OnUnclear;
use crate::message::{Address, Addressing, Email};
use crate::provider::{
    Batch, Call, Idempotency, IdempotencyKey, Provider, Receipt, SendError, Verdict,
};
use crate::queue::{Attempt, Outcome, RecipientState};

/// Octets of calls that are joined here. More of them go in several requests, because each is in memory twice, and of a
/// small message only its content is counted there. Calls of a large one go singly.
const JOINED_BYTES_MAX: usize = 1024 * 1024;

/// Where the calls of a delivery go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lane<'a> {
    pub(super) lane: LaneId,
    pub(super) provider: &'a dyn Provider,
    /// The provider's configured name.
    pub(super) name: &'a str,
    /// By which of its settings it is called.
    pub(super) edition: Edition,
    /// One call serves everybody in the envelope, so that records need not name them.
    pub(super) whole: bool,
}

/// When a request was made, and how long it took.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    pub(super) at: Timestamp,
    latency_ms: u64,
    /// Calls that the request carried.
    together: u32,
}

impl Engine {
    /// How much of one message may go to the provider in one request.
    ///
    /// A provider that has refused something of this message gets the rest of it singly, also after a restart: the
    /// request that was refused may have been a batch, and what went singly must not be repeated within another one,
    /// where its key would not be known again.
    pub(super) fn batch_limit(&self, lane: &Lane<'_>, job: &Job) -> Batch {
        let mut history = job.claim.history.iter();
        let refused = history.any(|(name, past)| name == lane.name && *past == Outcome::Rejected);
        match lane.provider.capabilities().batch {
            Some(batch) if !refused => Batch {
                calls_max: batch.calls_max.min(self.policy().batch_max.get()),
                request_bytes_max: batch.request_bytes_max.min(JOINED_BYTES_MAX),
            },
            Some(_) | None => Batch { calls_max: 1, request_bytes_max: 0 },
        }
    }

    /// Prepares the first of these calls, and those behind it that may travel together with it, to so many recipients at
    /// the most. When they may not, there is no further try for the others.
    pub(super) fn prepare_some(
        &self,
        lane: &Lane<'_>,
        job: &Job,
        email: &Email,
        calls: &[Addressing],
        together: &mut Batch,
        recipients_max: usize,
    ) -> Result<Vec<Call>, Obstacle> {
        let mut prepared: Vec<Call> = Vec::new();
        let (mut bytes, mut recipients) = (0, 0);
        for addressing in calls.iter().take(together.calls_max.max(1)) {
            // The next one is about as large as the last.
            let last = prepared.last().map_or(0, |call| call.body.len());
            recipients += addressing.recipients().count();
            let too_much = bytes + last > together.request_bytes_max || recipients > recipients_max;
            if !prepared.is_empty() && too_much {
                break;
            }
            match self.prepare(lane.provider, job, email, addressing) {
                Ok(call) => {
                    bytes += call.body.len();
                    prepared.push(call);
                }
                Err(obstacle) if prepared.is_empty() => return Err(obstacle),
                // It will be the first of the next request.
                Err(_) => break,
            }
            if prepared.len() == 2 && lane.provider.join(&prepared).is_none() {
                together.calls_max = 1;
                prepared.truncate(1);
                break;
            }
        }
        Ok(prepared)
    }

    /// Makes the request. Returns why some of its recipients must wait, although the message was taken for the others;
    /// or `None` when the provider has refused to take the calls together, and they have to go singly.
    pub(super) async fn make(
        &self,
        lane: &Lane<'_>,
        job: &mut Job,
        calls: &[Call],
        addressings: &[Addressing],
        permit: &mut Permit,
    ) -> Result<Option<Vec<SendError>>, Obstacle> {
        if let ([call], [addressing]) = (calls, addressings) {
            let later = self.make_one(lane, job, call, addressing, permit).await?;
            return Ok(Some(later.into_iter().collect()));
        }
        let Some(joined) = lane.provider.join(calls) else { return Ok(None) };
        let leave = self.leave(lane.lane, addressings, permit).await?;
        if !self.holds(job) {
            return Err(Obstacle::Interrupted);
        }
        let anew = job.times_anew(addressings.iter().flat_map(Addressing::recipients));
        let key = IdempotencyKey::of(job.claim.message.id, &joined).anew(anew);
        let (timing, result) =
            self.timed(calls.len(), lane.provider.send_joined(&joined, calls.len(), &key)).await;
        leave.used(job, lane.name, served_of_joined(lane.provider, &result, addressings));
        match result {
            Ok(mut results) => {
                results.resize_with(calls.len(), || Err(silence()));
                self.note_results(lane, &results);
                job.heard(lane.name, timing.at, of_all(&results));
                let unclear = |it: &Result<_, SendError>| it.as_ref().is_err_and(|it| it.unclear);
                if results.iter().any(unclear) && !results.iter().all(unclear) {
                    // The others are through: the request cannot be made again.
                    job.lose_request();
                }
                self.record_all(lane, job, calls, addressings, results, timing).map(Some)
            }
            Err(error) if is_refusal(&error) => {
                job.heard(lane.name, timing.at, Answer::Refused);
                let text = format!("a batch of {}: {error}; they go singly", calls.len());
                let outcome = Outcome::Rejected;
                self.record_batch(lane, job, addressings, outcome, text, timing);
                Ok(None)
            }
            Err(error) => {
                self.note_failure(*lane, &error);
                job.heard(lane.name, timing.at, doubt::answer(&error));
                let words = self.words(lane, job.has_lost_request(), &error);
                let text = format!("a batch of {}: {words}", calls.len());
                let outcome = course::outcome(&error);
                self.record_batch(lane, job, addressings, outcome, text, timing);
                Err(Obstacle::Error(error))
            }
        }
    }

    async fn make_one(
        &self,
        lane: &Lane<'_>,
        job: &mut Job,
        call: &Call,
        addressing: &Addressing,
        permit: &mut Permit,
    ) -> Result<Option<SendError>, Obstacle> {
        let leave = self.leave(lane.lane, std::slice::from_ref(addressing), permit).await?;
        if !self.holds(job) {
            return Err(Obstacle::Interrupted);
        }
        let anew = job.times_anew(addressing.recipients());
        let key = IdempotencyKey::of(job.claim.message.id, call).anew(anew);
        let (timing, result) = self.timed(1, lane.provider.send(call, &key)).await;
        leave.used(job, lane.name, served(lane.provider, &result, addressing));
        let answer = match &result {
            Ok(_) => {
                self.note_success(*lane);
                Answer::Taken
            }
            Err(error) => {
                self.note_failure(*lane, error);
                doubt::answer(error)
            }
        };
        job.heard(lane.name, timing.at, answer);
        self.record(lane, job, call, addressing, result, timing)
    }

    /// Makes a request of so many calls.
    pub(super) async fn timed<T>(
        &self,
        calls: usize,
        request: impl Future<Output = T>,
    ) -> (Timing, T) {
        let at = self.now();
        let begun = Instant::now();
        let result = request.await;
        let latency_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let together = u32::try_from(calls).unwrap_or(u32::MAX);
        (Timing { at, latency_ms, together }, result)
    }

    /// What one answer about several calls says of the provider: not more than one success and one fault.
    pub(super) fn note_results(&self, lane: &Lane<'_>, results: &[Result<Receipt, SendError>]) {
        let some_taken = results.iter().any(Result::is_ok);
        if some_taken {
            self.note_success(*lane);
        }
        let errors = || results.iter().filter_map(|result| result.as_ref().err());
        // That all are refused shows that the provider works.
        let refused = || errors().next().filter(|_| !some_taken);
        if let Some(error) = errors().find(|error| !is_refusal(error)).or_else(refused) {
            self.note_failure(*lane, error);
        }
    }

    /// Records the outcome of every call, each in its own attempt. What stops the delivery is the first error that does,
    /// an unclear one before others: nobody else may be asked for that message.
    fn record_all(
        &self,
        lane: &Lane<'_>,
        job: &mut Job,
        calls: &[Call],
        addressings: &[Addressing],
        results: Vec<Result<Receipt, SendError>>,
        timing: Timing,
    ) -> Result<Vec<SendError>, Obstacle> {
        let mut put_off = Vec::new();
        let mut obstacles = Vec::new();
        for ((call, addressing), result) in calls.iter().zip(addressings).zip(results) {
            match self.record(lane, job, call, addressing, result, timing) {
                Ok(later) => put_off.extend(later),
                Err(obstacle) => obstacles.push(obstacle),
            }
        }
        let unclear = |it: &Obstacle| matches!(it, Obstacle::Error(error) if error.unclear);
        let worst = obstacles.iter().position(unclear).unwrap_or(0);
        match obstacles.into_iter().nth(worst) {
            Some(obstacle) => Err(obstacle),
            None => Ok(put_off),
        }
    }

    /// Records the outcome of one call, and settles its recipients. Returns why some of them must wait, although the
    /// message was taken for the others.
    pub(super) fn record(
        &self,
        lane: &Lane<'_>,
        job: &mut Job,
        call: &Call,
        addressing: &Addressing,
        result: Result<Receipt, SendError>,
        timing: Timing,
    ) -> Result<Option<SendError>, Obstacle> {
        let Lane { name, whole, .. } = *lane;
        let recipients = if whole {
            Vec::new()
        } else {
            addresses(job, &addressing.recipients().collect::<Vec<_>>())
        };
        let shown = (!whole).then(|| joined(&recipients));
        let mut event = Event {
            provider: Some(name),
            attempt: Some(job.next_attempt()),
            latency_ms: Some(timing.latency_ms),
            recipients: shown.as_deref(),
            ..Event::default()
        };
        let mut attempt = Attempt {
            at: timing.at,
            provider: name.to_owned(),
            outcome: Outcome::Delivered,
            error: None,
            provider_message_id: None,
            latency_ms: timing.latency_ms,
            recipients,
            losses: call.losses.clone(),
            together: Some(timing.together),
        };
        match result {
            Ok(Receipt { provider_message_id, left_out }) => {
                event.outcome = Outcome::Delivered.name();
                event.provider_message_id = provider_message_id.as_deref();
                self.log().delivered(&job.claim.message, event);
                attempt.error = job.second_copy.as_deref().map(doubt::second_copy);
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
                let text = self.words(lane, job.has_lost_request(), &error);
                attempt.outcome = course::outcome(&error);
                event.outcome = attempt.outcome.name();
                event.error = Some(&text);
                self.log().not_delivered(&job.claim.message, event);
                attempt.error = Some(text);
                job.attempts.push(attempt);
                self.after_error(job, name, addressing, error).map(|()| None)
            }
        }
    }

    /// What is recorded of an error. Where nothing else would tell that the next try may be a second copy, this does.
    /// `is_lost`: the request cannot be made again as it was.
    pub(super) fn words(&self, lane: &Lane<'_>, is_lost: bool, error: &SendError) -> String {
        let recognised = lane.provider.capabilities().idempotency != Idempotency::None && !is_lost;
        if error.unclear && !recognised && self.policy().on_unclear == OnUnclear::Retry {
            return format!("{error}; {}", doubt::MAY_HAVE_ARRIVED);
        }
        error.to_string()
    }

    /// Records a request that brought nothing to any of its recipients.
    pub(super) fn record_batch(
        &self,
        lane: &Lane<'_>,
        job: &mut Job,
        addressings: &[Addressing],
        outcome: Outcome,
        text: String,
        timing: Timing,
    ) {
        let all: Vec<&str> = addressings.iter().flat_map(Addressing::recipients).collect();
        let recipients = if lane.whole { Vec::new() } else { addresses(job, &all) };
        let event = Event {
            provider: Some(lane.name),
            attempt: Some(job.next_attempt()),
            outcome: outcome.name(),
            latency_ms: Some(timing.latency_ms),
            error: Some(&text),
            ..Event::default()
        };
        self.log().not_delivered(&job.claim.message, event);
        job.attempts.push(Attempt {
            at: timing.at,
            provider: lane.name.to_owned(),
            outcome,
            error: Some(text),
            provider_message_id: None,
            latency_ms: timing.latency_ms,
            recipients,
            losses: Vec::new(),
            together: Some(timing.together),
        });
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
}

/// The provider has taken nothing of what it was offered, and the account is not at fault.
pub(super) fn is_refusal(error: &SendError) -> bool {
    doubt::answer(error) == Answer::Refused
}

/// A provider that answers for fewer has broken its contract; nothing is known of the others.
pub(super) fn silence() -> SendError {
    SendError {
        verdict: Verdict::Temporary { retry_after: None },
        status: None,
        reason: "the provider says nothing about this message of the batch".to_owned(),
        unclear: true,
    }
}

/// What the answers to several calls say of their message: the worst of them.
fn of_all(results: &[Result<Receipt, SendError>]) -> Answer {
    let answers = || {
        let answer = |error: &SendError| doubt::answer(error);
        results.iter().map(move |result| result.as_ref().err().map_or(Answer::Taken, answer))
    };
    let worst = [Answer::Unclear, Answer::Silent, Answer::Refused].into_iter();
    worst.into_iter().find(|it| answers().any(|answer| answer == *it)).unwrap_or(Answer::Taken)
}

/// The envelope's spelling of these recipients.
fn addresses(job: &Job, of_call: &[&str]) -> Vec<Address> {
    let envelope = job.claim.message.envelope.recipients.iter();
    envelope.filter(|own| of_call.iter().any(|a| own.same_mailbox(a))).cloned().collect()
}

fn joined(addresses: &[Address]) -> String {
    addresses.iter().map(Address::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::memory::is_large;

    #[test]
    fn what_is_joined_is_small() {
        assert!(is_large(JOINED_BYTES_MAX) && !is_large(JOINED_BYTES_MAX - 1));
    }
}
