//! Brevo. <https://developers.brevo.com/reference/send-transac-email>
//!
//! A structured API, and a narrow one: no inline images, one reply address, files of listed types only, header fields in
//! ASCII. Every request carries a key; a repeat within half an hour is refused when the first try was taken, so nothing is
//! doubled for that long.

mod answer;
mod files;
mod options;
mod page;
mod people;
mod request;

use std::future::Future;
use std::time::Duration;

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

/// Questions about the account may come 100 times an hour, from all who use it together
/// (<https://developers.brevo.com/docs/api-limits>).
const QUESTION_INTERVAL: Duration = Duration::from_mins(2);

/// An account at Brevo.
#[derive(Debug)]
pub(super) struct Brevo {
    capabilities: Capabilities,
    email: Uri,
    account: Uri,
    key: ApiKey,
}

impl Brevo {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let endpoint = Endpoint::of(config, || "https://api.brevo.com".to_owned())?;
        Ok(Self {
            capabilities: Capabilities {
                form: Form::Structured,
                // 20 MB with content and attachments
                // (<https://help.brevo.com/hc/en-us/articles/4402811730962>), taken as they travel.
                request_bytes_max: 20_000_000,
                recipients_per_call: 99,
                // <https://developers.brevo.com/docs/heterogenous-versions-batch-emails>
                idempotency: Idempotency::Refuses { window: Duration::from_mins(30) },
                // 1000 per second: far above what matters.
                rate: None,
                quota_day: QuotaDay::Utc,
                non_ascii_local_parts: false,
                // It has one for variants of one message only.
                batch: None,
                message_id: request::FIELDS.message_id,
            },
            email: endpoint.at("/v3/smtp/email")?,
            account: endpoint.at("/v3/account")?,
            key: ApiKey::in_field(config, "api-key")?,
        })
    }
}

impl Api for Brevo {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn request(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        request::build(letter)
    }

    /// The key is in the body already.
    fn dispatch(&self, call: &Call, _: &IdempotencyKey) -> Request<Bytes> {
        post(&self.email, call)
    }

    fn heard(&self, answer: &Answer, _: Timestamp) -> Option<Heard> {
        answer::limits(answer)
    }

    fn question(&self) -> Request<Bytes> {
        get(&self.account)
    }

    fn question_interval(&self) -> Duration {
        QUESTION_INTERVAL
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
        answer::read_account(answer, now)
    }

    fn shows_life(&self, answer: &Answer) -> bool {
        answer::is_of_a_known_key(answer)
    }

    fn secrets(&self) -> Vec<&str> {
        vec![self.key.text()]
    }
}
