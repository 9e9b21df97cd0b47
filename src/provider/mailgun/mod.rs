//! Mailgun. <https://documentation.mailgun.com/docs/mailgun/api-reference/send/mailgun/messages>
//!
//! Takes raw MIME with the recipients beside it (`messages.mime`), so nothing of a message is lost. 8-bit content and
//! long lines go as they are. There is no idempotency: a repeat after an unclear outcome may be a second copy.

mod answer;
mod options;
mod request;

use std::future::Future;

use bytes::Bytes;
use http::{Method, Request, Uri};

use self::answer::is_refusal_of_a_right;
use super::api::Api;
use super::endpoint::{BuildError, Endpoint, get, post};
use super::exchange::Answer;
use super::key::ApiKey;
use super::{
    Call, Capabilities, Form, Idempotency, IdempotencyKey, Letter, MessageIdFate, QuotaDay,
    Receipt, SendError, Unfit,
};
use crate::clock::Timestamp;
use crate::config::{ProviderConfig, sending_domain};

/// A sending domain at Mailgun, in the region where it was set up.
#[derive(Debug)]
pub(super) struct Mailgun {
    capabilities: Capabilities,
    mime: Uri,
    /// Where mail is sent as fields. Asked with none of them, it sends nothing.
    fields: Uri,
    domain: Uri,
    key: ApiKey,
}

impl Mailgun {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let domain = config.domain.as_deref().unwrap_or_default();
        if domain.trim().is_empty() {
            return Err(BuildError::setting(config, "domain", "is not set, e.g. mg.example.org"));
        }
        let domain = sending_domain(domain).ok_or_else(|| {
            BuildError::setting(config, "domain", "is not a domain name such as mg.example.org")
        })?;
        let own = match config.region.as_deref().map(str::trim).unwrap_or_default() {
            "" | "us" => "https://api.mailgun.net",
            "eu" => "https://api.eu.mailgun.net",
            _ => {
                let problem = "is not a region of Mailgun: \"us\" or \"eu\"";
                return Err(BuildError::setting(config, "region", problem));
            }
        };
        let endpoint = Endpoint::of(config, || own.to_owned())?;
        Ok(Self {
            capabilities: Capabilities {
                form: Form::RawMime,
                // For the request. The message within has a limit of its own, see `request`.
                request_bytes_max: 52_428_800,
                recipients_per_call: 1000,
                idempotency: Idempotency::None,
                // The account decides; 429 says when it is too much, and until when.
                rate: None,
                quota_day: QuotaDay::Utc,
                non_ascii_local_parts: false,
                batch: None,
                message_id: MessageIdFate::Kept,
            },
            mime: endpoint.at(&format!("/v3/{domain}/messages.mime"))?,
            fields: endpoint.at(&format!("/v3/{domain}/messages"))?,
            domain: endpoint.at(&format!("/v4/domains/{domain}"))?,
            key: ApiKey::basic(config, "api")?,
        })
    }
}

impl Api for Mailgun {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn request(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        request::build(letter)
    }

    fn dispatch(&self, call: &Call, _: &IdempotencyKey) -> Request<Bytes> {
        post(&self.mime, call)
    }

    fn question(&self) -> Request<Bytes> {
        get(&self.domain)
    }

    /// A key that may send and nothing else (a domain sending key) is refused the first question, in the words that a
    /// dead key gets. So it is asked for what it may do: an empty request to send names no recipient, and is refused
    /// for that with a living key only.
    fn further_question(&self, answer: &Answer) -> Option<Request<Bytes>> {
        is_refusal_of_a_right(answer).then(|| {
            let mut request = get(&self.fields);
            *request.method_mut() = Method::POST;
            request
        })
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
        if request::names_an_address(&call.body) {
            return outcome.map_err(|error| answer::of_the_apps_address(answer, error));
        }
        outcome
    }

    fn refused_for_good(&self, answer: &Answer, now: Timestamp) -> Option<SendError> {
        answer::read_domain(answer, now)
    }

    fn shows_life(&self, answer: &Answer) -> bool {
        answer::is_of_a_known_key(answer)
    }

    fn secrets(&self) -> Vec<&str> {
        vec![self.key.text(), self.key.encoded()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderKind;
    use crate::provider::samples::config;

    #[test]
    fn region_and_domain_are_parts_of_the_address() {
        let mut config = config(ProviderKind::Mailgun);
        let mime = |config: &ProviderConfig| Mailgun::new(config).unwrap().mime.to_string();
        for (region, host) in [
            (None, "api.mailgun.net"),
            (Some(""), "api.mailgun.net"),
            (Some("us"), "api.mailgun.net"),
            (Some("eu"), "api.eu.mailgun.net"),
        ] {
            config.region = region.map(str::to_owned);
            assert_eq!(mime(&config), format!("https://{host}/v3/mg.example.org/messages.mime"));
        }
        config.base_url = Some("http://127.0.0.1:9/proxy/".parse().unwrap());
        config.domain = Some("예시.한국".to_owned());
        assert_eq!(
            mime(&config),
            "http://127.0.0.1:9/proxy/v3/xn--vv4b11d.xn--3e0b707e/messages.mime"
        );
    }

    #[test]
    fn a_setting_that_cannot_be_used_is_named() {
        let error = |change: fn(&mut ProviderConfig)| {
            let mut config = config(ProviderKind::Mailgun);
            change(&mut config);
            Mailgun::new(&config).unwrap_err().to_string()
        };
        assert!(error(|it| it.region = Some("asia".to_owned())).contains("mailgun.region is not"));
        assert!(error(|it| it.domain = None).contains("mailgun.domain is not set"));
        assert!(error(|it| it.domain = Some("a/b".to_owned())).contains("mailgun.domain is not a"));
        assert!(error(|it| it.api_key = crate::secret::Secret::default()).contains("api_key"));
    }
}
