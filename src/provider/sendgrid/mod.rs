//! Twilio SendGrid. <https://www.twilio.com/docs/sendgrid/api-reference/mail-send/mail-send>
//!
//! A structured API without raw MIME and without idempotency: a repeat after an unclear outcome may be a second copy.

mod answer;
mod request;

use std::future::Future;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Uri};

use super::api::Api;
use super::endpoint::{BuildError, Endpoint, bearer};
use super::exchange::Answer;
use super::{
    Call, Capabilities, Form, Idempotency, IdempotencyKey, Letter, Receipt, SendError, Unfit,
};
use crate::clock::Timestamp;
use crate::config::ProviderConfig;
use crate::secret::Secret;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// An account at SendGrid. Subusers in the EU set `base_url` to `https://api.eu.sendgrid.com`.
#[derive(Debug)]
pub(super) struct SendGrid {
    capabilities: Capabilities,
    mail: Uri,
    scopes: Uri,
    key: Secret,
    authorization: HeaderValue,
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
                non_ascii_local_parts: false,
            },
            mail: endpoint.at("/v3/mail/send")?,
            scopes: endpoint.at("/v3/scopes")?,
            authorization: bearer(config)?,
            key: config.api_key.clone(),
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
        let mut request = Request::new(call.body.clone());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.mail.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(call.content_type));
        headers.insert(ACCEPT, JSON);
        request
    }

    fn question(&self) -> Request<Bytes> {
        let mut request = Request::new(Bytes::new());
        *request.uri_mut() = self.scopes.clone();
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
        answer::read_scopes(answer, now)
    }

    fn secrets(&self) -> Vec<&str> {
        vec![self.key.expose()]
    }
}
