//! An address of the operator's own: each message is posted there as JSON, with the raw message in it.
//!
//! Posts are signed after the Standard Webhooks specification (`crate::signature`). The format is in `docs/webhook.md`.

mod answer;
mod request;

use std::future::Future;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Uri};
use serde_json::json;

use super::api::Api;
use super::endpoint::{BuildError, post};
use super::exchange::Answer;
use super::{
    Call, Capabilities, Form, Idempotency, IdempotencyKey, Letter, MessageIdFate, QuotaDay,
    Receipt, SendError, Unfit, Verdict,
};
use crate::clock::{SharedClock, Timestamp};
use crate::config::{ProviderConfig, webhook_problem};
use crate::secret::Secret;
use crate::signature::{ID, SIGNATURE, Signer, TIMESTAMP};

/// What begins the id of a post that carries no message.
const PING: &str = "mailferry-ping-";

/// A receiver of mail at an address of the operator's own.
#[derive(Debug)]
pub(super) struct Webhook {
    capabilities: Capabilities,
    uri: Uri,
    signer: Signer,
    clock: SharedClock,
    secret: Secret,
}

impl Webhook {
    pub(super) fn new(config: &ProviderConfig, clock: SharedClock) -> Result<Self, BuildError> {
        let Some(url) = &config.url else {
            return Err(BuildError::setting(config, "url", "is not set"));
        };
        if let Some(problem) = webhook_problem(url) {
            return Err(BuildError::setting(config, "url", problem));
        }
        let uri = url.as_str().parse();
        let uri = uri.map_err(|_| BuildError::setting(config, "url", "is not a usable URL"))?;
        let signer = Signer::new(&config.secret)
            .map_err(|problem| BuildError::setting(config, "secret", problem.to_string()))?;
        Ok(Self {
            capabilities: Capabilities {
                form: Form::RawMime,
                request_bytes_max: request::POST_MAX,
                // Ours. There is no reason to split what one post can name.
                recipients_per_call: 1000,
                // Every repeat has the webhook-id of the first try, by which a receiver can know it. Whether this one
                // does, nobody here can say, so nothing is built on it.
                idempotency: Idempotency::None,
                rate: None,
                quota_day: QuotaDay::Utc,
                // The envelope is handed on letter by letter.
                non_ascii_local_parts: true,
                batch: None,
                message_id: MessageIdFate::Kept,
            },
            uri,
            signer,
            clock,
            secret: config.secret.clone(),
        })
    }

    /// A post under this id, not yet signed.
    fn posted(&self, call: &Call, id: &str) -> Request<Bytes> {
        let mut request = post(&self.uri, call);
        // Made here, of letters, digits and hyphens.
        if let Ok(id) = HeaderValue::from_str(id) {
            request.headers_mut().insert(HeaderName::from_static(ID), id);
        }
        request
    }

    /// Signs a post for this moment.
    fn sign(&self, request: &mut Request<Bytes>) -> Result<(), SendError> {
        let unusable = || SendError {
            verdict: Verdict::Bug,
            status: None,
            reason: "the post cannot be signed: it has no id".to_owned(),
            unclear: false,
        };
        let now = self.clock.now();
        let id = request.headers().get(ID).and_then(|id| id.to_str().ok()).ok_or_else(unusable)?;
        let signature = self.signer.sign(id, now, request.body());
        let signature = HeaderValue::from_str(&signature).map_err(|_| unusable())?;
        let headers = request.headers_mut();
        headers.insert(HeaderName::from_static(TIMESTAMP), HeaderValue::from(now.as_second()));
        headers.insert(HeaderName::from_static(SIGNATURE), signature);
        Ok(())
    }
}

impl Api for Webhook {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn request(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        request::build(letter)
    }

    fn dispatch(&self, call: &Call, key: &IdempotencyKey) -> Request<Bytes> {
        self.posted(call, key.as_str())
    }

    /// A post like any other, signed likewise, of type `ping` and without a message. Only so can be told whether the
    /// receiver is there and has the same secret: it need not know HEAD or OPTIONS, and those cannot be signed.
    fn question(&self) -> Request<Bytes> {
        let now = self.clock.now();
        let body = json!({"type": "ping", "timestamp": now, "data": {}});
        let id = format!("{PING}{}", now.as_nanosecond());
        self.posted(&Call::new(body.to_string(), "application/json"), &id)
    }

    fn authorize(
        &self,
        request: &mut Request<Bytes>,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        std::future::ready(self.sign(request))
    }

    fn answer(&self, answer: &Answer, now: Timestamp) -> Result<Receipt, SendError> {
        answer::read(answer, now)
    }

    fn own_name(&self, key: &IdempotencyKey) -> Option<String> {
        Some(key.as_str().to_owned())
    }

    fn refused_for_good(&self, answer: &Answer, now: Timestamp) -> Option<SendError> {
        answer::read_ping(answer, now)
    }

    fn shows_life(&self, answer: &Answer) -> bool {
        (200..300).contains(&answer.status)
    }

    fn secrets(&self) -> Vec<&str> {
        let text = self.secret.expose().trim();
        vec![text, text.strip_prefix("whsec_").unwrap_or(text)]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::Clock;
    use crate::config::ProviderKind;
    use crate::provider::samples::{Sample, config};

    /// Shows one moment only.
    #[derive(Debug)]
    struct At(Timestamp);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            self.0
        }
    }

    fn webhook(second: i64) -> Webhook {
        let clock = Arc::new(At(Timestamp::from_second(second).unwrap()));
        Webhook::new(&config(ProviderKind::Webhook), clock).unwrap()
    }

    async fn signed(webhook: &Webhook, mut request: Request<Bytes>) -> Request<Bytes> {
        webhook.authorize(&mut request).await.unwrap();
        request
    }

    #[tokio::test]
    async fn a_repeat_has_the_id_of_the_first_try_and_a_time_of_its_own() {
        let sample = Sample::plain();
        let post = async |second: i64| {
            let webhook = webhook(second);
            let call = webhook.request(&sample.letter()).unwrap();
            let key = IdempotencyKey::of(sample.id, &call);
            signed(&webhook, webhook.dispatch(&call, &key)).await
        };
        let (first, second) = (post(1_795_255_200).await, post(1_795_255_260).await);
        assert_eq!(first.body(), second.body());
        assert_eq!(first.headers()[ID], second.headers()[ID]);
        assert_eq!(first.headers()[TIMESTAMP], "1795255200");
        assert_eq!(second.headers()[TIMESTAMP], "1795255260");
        assert_ne!(first.headers()[SIGNATURE], second.headers()[SIGNATURE]);
        let id = first.headers()[ID].to_str().unwrap();
        assert!(id.starts_with("mailferry-0198c0de-") && !id.contains('.'), "{id}");
    }

    #[tokio::test]
    async fn a_ping_is_signed_as_mail_is_and_carries_none() {
        let webhook = webhook(1_795_255_200);
        let ping = signed(&webhook, webhook.question()).await;
        assert_eq!(ping.method(), "POST");
        let body: serde_json::Value = serde_json::from_slice(ping.body()).unwrap();
        assert_eq!(body, json!({"type": "ping", "timestamp": "2026-11-21T10:00:00Z", "data": {}}));
        let id = ping.headers()[ID].to_str().unwrap();
        let expected = webhook.signer.sign(id, webhook.clock.now(), ping.body());
        assert_eq!(ping.headers()[SIGNATURE], expected);
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        let error = |change: fn(&mut ProviderConfig)| {
            let mut config = config(ProviderKind::Webhook);
            change(&mut config);
            let clock = Arc::new(At(Timestamp::UNIX_EPOCH));
            Webhook::new(&config, clock).unwrap_err().to_string()
        };
        assert!(error(|it| it.url = None).contains("providers.webhook.url is not set"));
        let plain = error(|it| it.url = Some("http://hooks.example.org/".parse().unwrap()));
        assert!(plain.contains("webhook.url must be https://"), "{plain}");
        let short = error(|it| it.secret = Secret::new("whsec_c2VjcmV0"));
        assert!(
            short.contains("webhook.secret must have 24") && !short.contains("c2Vj"),
            "{short}"
        );
    }
}
