//! Resend. <https://resend.com/docs/api-reference/emails/send-email>
//!
//! A structured API without raw MIME. A repeat with the same key and the same body within 24 hours gets the first
//! answer again, so nothing is doubled as long as the bytes stay the same.

mod answer;
mod request;

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};

use super::api::Api;
use super::endpoint::{BuildError, Endpoint, bearer};
use super::exchange::Answer;
use super::{
    Call, Capabilities, Form, Idempotency, IdempotencyKey, Letter, Rate, Receipt, SendError, Unfit,
};
use crate::clock::Timestamp;
use crate::config::ProviderConfig;
use crate::secret::Secret;

/// <https://resend.com/docs/api-reference/introduction#rate-limit>: per team, whatever the number of keys.
const RATE: Rate = Rate { calls: 10, per: Duration::from_secs(1) };

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An account at Resend.
#[derive(Debug)]
pub(super) struct Resend {
    capabilities: Capabilities,
    emails: Uri,
    domains: Uri,
    key: Secret,
    authorization: HeaderValue,
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
                non_ascii_local_parts: false,
            },
            emails: endpoint.at("/emails")?,
            domains: endpoint.at("/domains")?,
            authorization: bearer(config)?,
            key: config.api_key.clone(),
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
        let mut request = Request::new(call.body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.emails.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
        headers.insert(ACCEPT, JSON);
        if let Ok(key) = HeaderValue::from_str(key.as_str()) {
            headers.insert("idempotency-key", key);
        }
        request
    }

    fn question(&self) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.domains.clone();
        request.headers_mut().insert(ACCEPT, JSON);
        request
    }

    fn authorize(
        &self,
        request: &mut Request<Bytes>,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        request.headers_mut().insert(AUTHORIZATION, self.authorization.clone());
        std::future::ready(Ok(()))
    }

    fn answer(&self, answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
        answer::read(answer, now)
    }

    fn refused_for_good(&self, answer: &Answer, now: Timestamp) -> Option<SendError> {
        answer::read_domains(answer, now)
    }

    fn secrets(&self) -> Vec<&str> {
        vec![self.key.expose()]
    }
}
