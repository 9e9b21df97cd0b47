//! Twilio SendGrid. <https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>
//!
//! A structured API without raw MIME and without idempotency: a repeat after an unclear outcome may be a second copy.

mod answer;
mod filters;
mod personal;
mod request;
mod smtpapi;

use std::future::Future;

use bytes::Bytes;
use http::{Request, Uri};

use super::api::Api;
use super::endpoint::{BuildError, Endpoint, get, post};
use super::exchange::Answer;
use super::key::ApiKey;
use super::{
    Call, Capabilities, Form, Heard, Idempotency, IdempotencyKey, Letter, QuotaDay, Receipt,
    SendError, Unfit,
};
use crate::clock::Timestamp;
use crate::config::ProviderConfig;

/// An account at SendGrid. Subusers in the EU set `base_url` to `https://api.eu.sendgrid.com`.
#[derive(Debug)]
pub(super) struct SendGrid {
    capabilities: Capabilities,
    mail: Uri,
    scopes: Uri,
    key: ApiKey,
}

impl SendGrid {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let endpoint = Endpoint::of(config, || "https://api.sendgrid.com".to_owned())?;
        Ok(Self {
            capabilities: Capabilities {
                form: Form::Structured,
                request_bytes_max: 30_000_000,
                recipients_per_call: 1000,
                idempotency: Idempotency::None,
                // Thousands a second; 429 says when it is too much.
                rate: None,
                quota_day: QuotaDay::Utc,
                non_ascii_local_parts: false,
                batch: None,
                message_id: request::FIELDS.message_id,
            },
            mail: endpoint.at("/v3/mail/send")?,
            scopes: endpoint.at("/v3/scopes")?,
            key: ApiKey::bearer(config)?,
        })
    }
}

impl Api for SendGrid {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn request(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        request::build(letter)
    }

    fn dispatch(&self, call: &Call, _: &IdempotencyKey) -> Request<Bytes> {
        post(&self.mail, call)
    }

    fn heard(&self, answer: &Answer, now: Timestamp) -> Option<Heard> {
        answer::limits(answer, now)
    }

    fn question(&self) -> Request<Bytes> {
        get(&self.scopes)
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

    fn refused_for_good(&self, answer: &Answer, now: Timestamp) -> Option<SendError> {
        answer::read_scopes(answer, now)
    }

    fn shows_life(&self, answer: &Answer) -> bool {
        answer::is_of_a_known_key(answer)
    }

    fn secrets(&self) -> Vec<&str> {
        vec![self.key.text()]
    }
}
