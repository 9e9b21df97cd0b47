//! Resend. <https://resend.com/docs/api-reference/emails/send-email>
//!
//! A structured API without raw MIME. A repeat with the same key and the same body within 24 hours gets the first
//! answer again, so nothing is doubled as long as the bytes stay the same.

mod answer;
mod key;
mod request;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Uri};

use super::api::{Api, Joined};
use super::batch;
use super::endpoint::{BuildError, Endpoint, get, post};
use super::exchange::Answer;
use super::key::ApiKey;
use super::{
    Batch, Call, Capabilities, Form, Heard, Idempotency, IdempotencyKey, Letter, QuotaDay, Rate,
    Receipt, SendError, Unfit,
};
use crate::clock::Timestamp;
use crate::config::ProviderConfig;

/// <https://resend.com/docs/api-reference/introduction#rate-limit>: per team, whatever the number of keys.
const RATE: Rate = Rate { calls: 10, per: Duration::from_secs(1) };

/// An account at Resend.
#[derive(Debug)]
pub(super) struct Resend {
    capabilities: Capabilities,
    emails: Uri,
    batch: Uri,
    domains: Uri,
    key: ApiKey,
}

impl Resend {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let endpoint = Endpoint::of(config, || "https://api.resend.com".to_owned())?;
        Ok(Self {
            capabilities: Capabilities {
                form: Form::Structured,
                // 40 MB after Base64, for the whole message.
                request_bytes_max: 40_000_000,
                recipients_per_call: 50,
                idempotency: Idempotency::Replays { window: Duration::from_hours(24) },
                rate: endpoint.is_default.then_some(RATE),
                quota_day: QuotaDay::Utc,
                non_ascii_local_parts: false,
                // <https://resend.com/docs/api-reference/emails/send-batch-emails>
                batch: Some(Batch { calls_max: 100, request_bytes_max: 40_000_000 }),
                message_id: request::FIELDS.message_id,
            },
            emails: endpoint.at("/emails")?,
            batch: endpoint.at("/emails/batch")?,
            domains: endpoint.at("/domains")?,
            key: ApiKey::bearer(config)?,
        })
    }
}

impl Api for Resend {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn request(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        request::build(letter)
    }

    fn dispatch(&self, call: &Call, key: &IdempotencyKey) -> Request<Bytes> {
        with_key(post(&self.emails, call), key)
    }

    /// Not what has attachments: the API refuses it.
    fn join(&self, calls: &[Call]) -> Option<Call> {
        if calls.iter().any(|call| request::has_attachments(&call.body)) {
            return None;
        }
        batch::as_list(calls)
    }

    fn can_join(&self, call: &Call) -> bool {
        batch::stands_in_list(call) && !request::has_attachments(&call.body)
    }

    fn dispatch_joined(&self, joined: &Call, key: &IdempotencyKey) -> Request<Bytes> {
        with_key(post(&self.batch, joined), key)
    }

    fn answer_joined(&self, answer: &Answer, members: usize, now: Timestamp) -> Joined {
        answer::read_batch(answer, members, now)
    }

    fn heard(&self, answer: &Answer, _: Timestamp) -> Option<Heard> {
        answer::limits(answer)
    }

    /// One limit holds for all requests of a team.
    fn heard_of_account(&self, answer: &Answer, _: Timestamp) -> Option<Heard> {
        answer::limits(answer)
    }

    fn question(&self) -> Request<Bytes> {
        get(&self.domains)
    }

    fn authorize(
        &self,
        request: &mut Request<Bytes>,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        self.key.put(request);
        std::future::ready(Ok(()))
    }

    fn answer(&self, answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
        answer::read(answer, now)
    }

    fn answer_to(
        &self,
        call: &Call,
        answer: &Answer,
        now: Timestamp,
    ) -> Result<Receipt, SendError> {
        let outcome = answer::read(answer, now);
        match &call.key {
            Some(_) => outcome.map_err(|error| answer::of_the_apps_key(answer, error)),
            None => outcome,
        }
    }

    fn refused_for_good(&self, answer: &Answer, now: Timestamp) -> Option<SendError> {
        answer::read_domains(answer, now)
    }

    fn shows_life(&self, answer: &Answer) -> bool {
        answer::is_of_a_known_key(answer)
    }

    fn secrets(&self) -> Vec<&str> {
        vec![self.key.text()]
    }
}

fn with_key(mut request: Request<Bytes>, key: &IdempotencyKey) -> Request<Bytes> {
    if let Ok(key) = HeaderValue::from_str(key.as_str()) {
        request.headers_mut().insert("idempotency-key", key);
    }
    request
}
