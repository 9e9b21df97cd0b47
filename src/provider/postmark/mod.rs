//! Postmark. <https://postmarkapp.com/developer/api/email-api>
//!
//! A structured API without raw MIME and without idempotency: a repeat after an unclear outcome may be a second copy.
//! Mail goes by the server's default stream, "outbound", unless it names another.

mod answer;
mod options;
mod request;

use std::future::Future;

use bytes::Bytes;
use http::{Request, Uri};

use super::api::{Api, Joined};
use super::batch;
use super::endpoint::{BuildError, Endpoint, get, post};
use super::exchange::Answer;
use super::key::ApiKey;
use super::{
    Batch, Call, Capabilities, Form, Idempotency, IdempotencyKey, Letter, QuotaDay, Receipt,
    SendError, Unfit,
};
use crate::clock::Timestamp;
use crate::config::ProviderConfig;

/// A server at Postmark, which is what it calls the accounts within an account.
#[derive(Debug)]
pub(super) struct Postmark {
    capabilities: Capabilities,
    email: Uri,
    batch: Uri,
    server: Uri,
    token: ApiKey,
}

impl Postmark {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let endpoint = Endpoint::of(config, || "https://api.postmarkapp.com".to_owned())?;
        Ok(Self {
            capabilities: Capabilities {
                form: Form::Structured,
                // 10 MB for the whole request, after Base64.
                request_bytes_max: 10_000_000,
                recipients_per_call: 50,
                idempotency: Idempotency::None,
                // Not published; 429 says when it is too much.
                rate: None,
                quota_day: QuotaDay::Utc,
                non_ascii_local_parts: false,
                // <https://postmarkapp.com/developer/user-guide/send-email-with-api/batch-emails>
                batch: Some(Batch { calls_max: 500, request_bytes_max: 50_000_000 }),
                message_id: request::FIELDS.message_id,
            },
            email: endpoint.at("/email")?,
            batch: endpoint.at("/email/batch")?,
            server: endpoint.at("/server")?,
            token: ApiKey::in_field(config, "x-postmark-server-token")?,
        })
    }
}

impl Api for Postmark {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn request(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        request::build(letter)
    }

    fn dispatch(&self, call: &Call, _: &IdempotencyKey) -> Request<Bytes> {
        post(&self.email, call)
    }

    fn join(&self, calls: &[Call]) -> Option<Call> {
        batch::as_list(calls)
    }

    fn can_join(&self, call: &Call) -> bool {
        batch::stands_in_list(call)
    }

    fn dispatch_joined(&self, joined: &Call, _: &IdempotencyKey) -> Request<Bytes> {
        post(&self.batch, joined)
    }

    fn answer_joined(&self, answer: &Answer, members: usize, now: Timestamp) -> Joined {
        answer::read_batch(answer, members, now)
    }

    fn question(&self) -> Request<Bytes> {
        get(&self.server)
    }

    fn authorize(
        &self,
        request: &mut Request<Bytes>,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        self.token.put(request);
        std::future::ready(Ok(()))
    }

    fn answer(&self, answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
        answer::read(answer, now)
    }

    fn refused_for_good(&self, answer: &Answer, now: Timestamp) -> Option<SendError> {
        answer::read_server(answer, now)
    }

    fn secrets(&self) -> Vec<&str> {
        vec![self.token.text()]
    }
}
