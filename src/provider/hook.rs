//! Posts what happens to an address of the operator's (`delivery.on_failure_webhook`): signed, once, within bounds.
//!
//! The same client as for mail: no redirect is followed, every wait and every answer is bounded. Repeating is
//! `delivery`'s.

use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Request, Uri};

use super::exchange::{Answer, HttpClient};
use super::refusal::{other_words, retry_after, without_secrets};
use crate::clock::SharedClock;
use crate::config::{HookConfig, webhook_problem};
use crate::secret::Secret;
use crate::signature::{ID, SIGNATURE, Signer, TIMESTAMP};

/// From connecting to the last octet of the answer; the specification of the signature advises 15 to 30 s.
const TIMEOUT: Duration = Duration::from_secs(15);

/// An address that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("delivery.{key} {problem}")]
pub struct InvalidHook {
    key: &'static str,
    problem: String,
}

/// A post that was not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPosted {
    /// It may be taken later; not before this time is over, if the receiver said so.
    Later { reason: String, wait: Option<Duration> },
    /// It will never be.
    Refused { reason: String },
}

/// An address of the operator's, and the secret that its receiver has as well.
#[derive(Debug)]
pub struct Hook {
    uri: Uri,
    signer: Signer,
    secret: Secret,
    client: HttpClient,
    clock: SharedClock,
}

impl Hook {
    /// Sets it up. Nothing is posted yet.
    pub fn new(
        config: &HookConfig,
        client: HttpClient,
        clock: SharedClock,
    ) -> Result<Self, InvalidHook> {
        let url =
            |problem: &str| InvalidHook { key: "on_failure_webhook", problem: problem.to_owned() };
        if let Some(problem) = webhook_problem(&config.url) {
            return Err(url(problem));
        }
        let uri = config.url.as_str().parse().map_err(|_| url("is not a usable URL"))?;
        let signer = Signer::new(&config.secret).map_err(|problem| InvalidHook {
            key: "on_failure_webhook_secret",
            problem: problem.to_string(),
        })?;
        Ok(Self { uri, signer, secret: config.secret.clone(), client, clock })
    }

    /// Posts JSON once, signed for this moment. A repeat has the id of the first try.
    pub async fn post(&self, id: &str, body: Bytes) -> Result<(), NotPosted> {
        let result = match self.request(id, body) {
            Some(request) => match self.client.exchange(request, TIMEOUT).await {
                Ok(answer) => self.read(&answer),
                Err(error) => Err(NotPosted::Later { reason: error.reason, wait: None }),
            },
            None => Err(NotPosted::Refused { reason: "it cannot be written as a request".into() }),
        };
        result.map_err(|fault| self.censored(fault))
    }

    fn request(&self, id: &str, body: Bytes) -> Option<Request<Bytes>> {
        let now = self.clock.now();
        let signature = HeaderValue::from_str(&self.signer.sign(id, now, &body)).ok()?;
        let id = HeaderValue::from_str(id).ok()?;
        let mut request = Request::post(self.uri.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body)
            .ok()?;
        let headers = request.headers_mut();
        headers.insert(HeaderName::from_static(ID), id);
        headers.insert(HeaderName::from_static(TIMESTAMP), now.as_second().into());
        headers.insert(HeaderName::from_static(SIGNATURE), signature);
        Some(request)
    }

    fn read(&self, answer: &Answer) -> Result<(), NotPosted> {
        let words = || {
            let words = other_words(answer);
            let words = if words.is_empty() { "no reason given" } else { &words };
            format!("{}: {words}", answer.status)
        };
        match answer.status {
            200..300 => Ok(()),
            408 | 425 | 429 | 500.. => {
                let wait = retry_after(&answer.headers, self.clock.now());
                Err(NotPosted::Later { reason: words(), wait })
            }
            300..400 => Err(NotPosted::Refused {
                reason: format!("{} (redirects are not followed)", words()),
            }),
            ..200 | 400.. => Err(NotPosted::Refused { reason: words() }),
        }
    }

    fn censored(&self, fault: NotPosted) -> NotPosted {
        let text = self.secret.expose().trim();
        let secrets = || [text, text.strip_prefix("whsec_").unwrap_or(text)];
        match fault {
            NotPosted::Later { reason, wait } => {
                NotPosted::Later { reason: without_secrets(reason, secrets()), wait }
            }
            NotPosted::Refused { reason } => {
                NotPosted::Refused { reason: without_secrets(reason, secrets()) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::{SystemClock, Timestamp};
    use crate::provider::samples::answer;

    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

    fn hook(url: &str, secret: &str) -> Result<Hook, InvalidHook> {
        let config = HookConfig { url: url.parse().unwrap(), secret: Secret::new(secret) };
        Hook::new(&config, HttpClient::new().unwrap(), Arc::new(SystemClock))
    }

    #[test]
    fn an_address_that_cannot_be_used_is_named_without_the_secret() {
        let plain = hook("http://hooks.example.org/", SECRET).unwrap_err().to_string();
        assert!(plain.starts_with("delivery.on_failure_webhook must be https"), "{plain}");
        let short = hook("https://hooks.example.org/", "whsec_c2VjcmV0").unwrap_err().to_string();
        assert!(short.starts_with("delivery.on_failure_webhook_secret must have 24"), "{short}");
        assert!(!short.contains("c2Vj"), "{short}");
        let shown = format!("{:?}", hook("https://hooks.example.org/", SECRET).unwrap());
        assert!(!shown.contains("MfKQ"), "{shown}");
    }

    #[test]
    fn a_post_is_signed_for_its_moment() {
        let hook = hook("https://hooks.example.org/x?y=z", SECRET).unwrap();
        let body = Bytes::from_static(b"{}");
        let request = hook.request("mailferry-event-1", body.clone()).unwrap();
        assert_eq!(request.uri(), "https://hooks.example.org/x?y=z");
        assert_eq!(request.headers()[ID], "mailferry-event-1");
        let second: i64 = request.headers()[TIMESTAMP].to_str().unwrap().parse().unwrap();
        let at = Timestamp::from_second(second).unwrap();
        let expected = hook.signer.sign("mailferry-event-1", at, &body);
        assert_eq!(request.headers()[SIGNATURE], expected);
    }

    #[test]
    fn what_is_repeated_and_what_is_not() {
        let hook = hook("https://hooks.example.org/", SECRET).unwrap();
        for status in [200, 202, 204] {
            assert_eq!(hook.read(&answer(status, "")), Ok(()));
        }
        for status in [408, 425, 429, 500, 502, 503, 599] {
            let fault = hook.read(&answer(status, "")).unwrap_err();
            assert!(matches!(fault, NotPosted::Later { .. }), "{status}: {fault:?}");
        }
        for status in [301, 302, 307, 400, 401, 403, 404, 410, 413, 422] {
            let fault = hook.read(&answer(status, "")).unwrap_err();
            assert!(matches!(fault, NotPosted::Refused { .. }), "{status}: {fault:?}");
        }
    }

    #[test]
    fn the_secret_does_not_come_back_in_a_reason() {
        let hook = hook("https://hooks.example.org/", SECRET).unwrap();
        let fault = hook.read(&answer(401, format!("not signed by {SECRET}"))).unwrap_err();
        let NotPosted::Refused { reason } = hook.censored(fault) else { panic!() };
        assert_eq!(reason, "401: not signed by ***");
    }
}
