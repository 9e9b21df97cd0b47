//! What all HTTP providers have in common.
//!
//! An [`Api`] is the peculiar part of a provider and has no I/O; [`HttpProvider`] carries its requests.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;

use super::exchange::{Answer, HttpClient};
use super::form;
use super::refusal::{json, without_secrets};
use super::{
    Call, Capabilities, Heard, IdempotencyKey, Letter, Provider, Receipt, SendError, Shown, Unfit,
    Verdict,
};
use crate::clock::{SharedClock, Timestamp};

/// A provider's API: how it is asked, and what its answers mean. Pure but for `authorize`, which may read the time.
pub(super) trait Api: fmt::Debug + Send + Sync + 'static {
    /// What it can carry.
    fn capabilities(&self) -> &Capabilities;

    /// Builds the request body.
    fn request(&self, letter: &Letter<'_>) -> Result<Call, Unfit>;

    /// The request that offers the call, without credentials.
    fn dispatch(&self, call: &Call, key: &IdempotencyKey) -> Request<Bytes>;

    /// Joins prepared calls, as many as a batch may have at the most ([`Provider::join`]).
    fn join(&self, calls: &[Call]) -> Option<Call> {
        let _ = calls;
        None
    }

    /// Whether a call may be joined with others at all ([`Provider::can_join`]).
    fn can_join(&self, call: &Call) -> bool {
        let _ = call;
        false
    }

    /// The request that offers joined calls, without credentials.
    fn dispatch_joined(&self, joined: &Call, key: &IdempotencyKey) -> Request<Bytes> {
        self.dispatch(joined, key)
    }

    /// What the answer to joined calls means, for each of them.
    fn answer_joined(&self, answer: &Answer, members: usize, now: Timestamp) -> Joined {
        let _ = members;
        self.answer(answer, now).map(|receipt| vec![Ok(receipt)])
    }

    /// What the answer to a call says of the limits of such calls.
    fn heard(&self, answer: &Answer, now: Timestamp) -> Option<Heard> {
        let _ = (answer, now);
        None
    }

    /// What the answer to the question about the account's health says of the limits of calls; not of those of such
    /// questions.
    fn heard_of_account(&self, answer: &Answer, now: Timestamp) -> Option<Heard> {
        let _ = (answer, now);
        None
    }

    /// The request that asks for the account's health, without credentials.
    fn question(&self) -> Request<Bytes>;

    /// What to ask besides, where this answer can mean a dead key as well as one with few rights. The answer to it then
    /// counts, if there is one.
    fn further_question(&self, answer: &Answer) -> Option<Request<Bytes>> {
        let _ = answer;
        None
    }

    /// The least time between two such questions ([`Provider::probe_interval`]).
    fn question_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// Puts the credentials into a request.
    fn authorize(
        &self,
        request: &mut Request<Bytes>,
    ) -> impl Future<Output = Result<(), SendError>> + Send;

    /// What the answer to a call means.
    fn answer(&self, answer: &Answer, now: Timestamp) -> Result<Receipt, SendError>;

    /// What an accepted call is called where the answer gives it no name.
    fn own_name(&self, key: &IdempotencyKey) -> Option<String> {
        let _ = key;
        None
    }

    /// The same, where the call says more about what the answer means.
    fn answer_to(
        &self,
        call: &Call,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        let _ = call;
        self.answer(answer, now)
    }

    /// Whether the answer to the question is a clear sign that the account cannot send.
    fn refused_for_good(&self, answer: &Answer, now: Timestamp) -> Option<SendError>;

    /// Whether the answer to the question can only be had with a key that the service knows.
    fn shows_life(&self, answer: &Answer) -> bool {
        answer.status == 200 && json(answer).is_some()
    }

    /// Texts that must not appear in an error, should the provider repeat them.
    fn secrets(&self) -> Vec<&str>;
}

/// The outcomes of joined calls, in their order; or what happened to all of them together.
pub(super) type Joined = Result<Vec<Result<Receipt, SendError>>, SendError>;

/// A provider that is reached by HTTP.
#[derive(Debug)]
pub(super) struct HttpProvider<A> {
    pub(super) api: A,
    pub(super) client: HttpClient,
    pub(super) clock: SharedClock,
    /// For one call, from connecting to the last octet of the answer.
    pub(super) timeout: Duration,
    /// What the newest answer has said of limits, until somebody asks.
    pub(super) heard: Mutex<Option<Heard>>,
}

impl<A: Api> HttpProvider<A> {
    async fn ask(&self, mut request: Request<Bytes>) -> Result<Answer, SendError> {
        self.api.authorize(&mut request).await?;
        self.client.exchange(request, self.timeout).await
    }

    /// Offers a call, single or joined.
    async fn offer(&self, request: Request<Bytes>) -> Result<Answer, SendError> {
        let answer = self.ask(request).await?;
        self.keep(self.api.heard(&answer, self.clock.now()));
        Ok(answer)
    }

    fn keep(&self, heard: Option<Heard>) {
        if heard.is_some() {
            *self.newest() = heard;
        }
    }

    /// No code that holds it can panic, so a poisoned lock is taken over.
    fn newest(&self) -> MutexGuard<'_, Option<Heard>> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks about the account's health.
    async fn ask_for_health(&self) -> Result<Answer, SendError> {
        let answer = self.ask(self.api.question()).await?;
        self.keep(self.api.heard_of_account(&answer, self.clock.now()));
        match self.api.further_question(&answer) {
            Some(further) => Ok(self.ask(further).await.unwrap_or(answer)),
            None => Ok(answer),
        }
    }

    fn censored(&self, mut error: SendError) -> SendError {
        error.reason = without_secrets(error.reason, self.api.secrets());
        error
    }
}

#[async_trait]
impl<A: Api> Provider for HttpProvider<A> {
    fn capabilities(&self) -> &Capabilities {
        self.api.capabilities()
    }

    fn prepare(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        let limits = self.api.capabilities();
        let recipients = letter.addressing.recipients().count();
        if recipients > limits.recipients_per_call {
            return Err(Unfit {
                reason: format!(
                    "{recipients} recipients in one call, the provider takes {}",
                    limits.recipients_per_call
                ),
            });
        }
        let mut call = self.api.request(letter)?;
        for loss in form::losses(letter, limits) {
            // A provider may know more about one of them.
            if !call.losses.iter().any(|known| known.what.eq_ignore_ascii_case(&loss.what)) {
                call.losses.push(loss);
            }
        }
        if call.body.len() > limits.request_bytes_max {
            return Err(Unfit {
                reason: format!(
                    "the message takes {:.1} MB when encoded, the provider takes {:.1} MB",
                    megabytes(call.body.len()),
                    megabytes(limits.request_bytes_max)
                ),
            });
        }
        Ok(call)
    }

    async fn send(&self, call: &Call, key: &IdempotencyKey) -> Result<Receipt, SendError> {
        let outcome = match self.offer(self.api.dispatch(call, key)).await {
            Ok(answer) => self.api.answer_to(call, &answer, self.clock.now()),
            Err(error) => Err(error),
        };
        let named = |mut receipt: Receipt| {
            let own = || self.api.own_name(key);
            receipt.provider_message_id = receipt.provider_message_id.or_else(own);
            receipt
        };
        outcome.map(named).map_err(|error| self.censored(error))
    }

    async fn show(&self, call: &Call, key: &IdempotencyKey) -> Result<Shown, Unfit> {
        let mut request = self.api.dispatch(call, key);
        let before = request.headers().clone();
        let authorized = self.api.authorize(&mut request).await;
        authorized.map_err(|error| Unfit { reason: self.censored(error).reason })?;
        Ok(Shown::of(&request, &before, &self.api.secrets()))
    }

    fn join(&self, calls: &[Call]) -> Option<Call> {
        let batch = self.api.capabilities().batch?;
        if calls.is_empty() || calls.len() > batch.calls_max {
            return None;
        }
        self.api.join(calls).filter(|joined| joined.body.len() <= batch.request_bytes_max)
    }

    fn can_join(&self, call: &Call) -> bool {
        let batch = self.api.capabilities().batch;
        // The brackets of the list.
        batch.is_some_and(|batch| call.body.len() + 2 <= batch.request_bytes_max)
            && self.api.can_join(call)
    }

    async fn send_joined(&self, joined: &Call, members: usize, key: &IdempotencyKey) -> Joined {
        let outcome = match self.offer(self.api.dispatch_joined(joined, key)).await {
            Ok(answer) => self.api.answer_joined(&answer, members, self.clock.now()),
            Err(error) => Err(error),
        };
        let each = |result: Result<_, _>| result.map_err(|error| self.censored(error));
        outcome
            .map(|results| results.into_iter().map(each).collect())
            .map_err(|error| self.censored(error))
    }

    fn heard(&self) -> Option<Heard> {
        self.newest().take()
    }

    async fn probe(&self) -> Result<(), SendError> {
        let refused = match self.ask_for_health().await {
            Ok(answer) => self.api.refused_for_good(&answer, self.clock.now()),
            // Nothing was asked of the provider that could be unclear.
            Err(error) => Some(SendError { unclear: false, ..error }),
        };
        refused.map_or(Ok(()), |error| Err(self.censored(error)))
    }

    fn probe_interval(&self) -> Duration {
        self.api.question_interval()
    }

    async fn vouch(&self) -> Result<(), SendError> {
        let error = match self.ask_for_health().await {
            Ok(answer) => match self.api.refused_for_good(&answer, self.clock.now()) {
                Some(error) => error,
                None if self.api.shows_life(&answer) => return Ok(()),
                None => SendError {
                    verdict: Verdict::Temporary { retry_after: None },
                    status: Some(answer.status),
                    reason: format!("{}: the answer does not tell about the key", answer.status),
                    unclear: false,
                },
            },
            Err(error) => SendError { unclear: false, ..error },
        };
        Err(self.censored(error))
    }
}

#[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
fn megabytes(octets: usize) -> f64 {
    octets as f64 / 1e6
}

/// The plain rule for a probe: a refusal of the account, with a status that refuses an account, in the API's own
/// form. Everything else may work, and one mail will tell.
pub(super) fn clear_refusal(
    answer: &Answer,
    meaning: Result<Receipt, SendError>,
) -> Option<SendError> {
    let error = meaning.err()?;
    let clear = matches!(answer.status, 400 | 401 | 403) && error.verdict == Verdict::Misconfigured;
    clear.then_some(error)
}
