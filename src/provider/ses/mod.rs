//! Amazon SES, API version 2.
//! <https://docs.aws.amazon.com/ses/latest/APIReference-V2/API_SendEmail.html>
//!
//! Takes raw MIME with the recipients beside it, so nothing of a message is lost. There is no idempotency: a repeat after
//! an unclear outcome may be a second copy.

mod answer;
mod options;
mod request;
mod sign;

use std::future::Future;

use bytes::Bytes;
use http::{Request, Uri};

use self::sign::Signer;
use super::api::Api;
use super::endpoint::{BuildError, Endpoint, get, post};
use super::exchange::Answer;
use super::{
    Call, Capabilities, Form, Heard, Idempotency, IdempotencyKey, Letter, MessageIdFate, QuotaDay,
    Receipt, SendError, Unfit,
};
use crate::clock::Timestamp;
use crate::config::ProviderConfig;

/// An account at Amazon SES, in one region.
#[derive(Debug)]
pub(super) struct Ses {
    capabilities: Capabilities,
    outbound: Uri,
    account: Uri,
    signer: Signer,
}

impl Ses {
    pub(super) fn new(config: &ProviderConfig) -> Result<Self, BuildError> {
        let region = config.region.as_deref().map(str::trim).unwrap_or_default();
        if region.is_empty() {
            return Err(BuildError::setting(config, "region", "is not set, e.g. eu-west-1"));
        }
        if !region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(BuildError::setting(config, "region", "is not the name of an AWS region"));
        }
        let endpoint = Endpoint::of(config, || own_address(region))?;
        Ok(Self {
            capabilities: Capabilities {
                form: Form::RawMime,
                // 40 MB after Base64, for the message; the recipients come on top.
                request_bytes_max: 40_000_000,
                recipients_per_call: 50,
                idempotency: Idempotency::None,
                // The account decides, from one a second in the sandbox; a refusal says when it is too much.
                rate: None,
                quota_day: QuotaDay::Rolling,
                non_ascii_local_parts: false,
                batch: None,
                message_id: MessageIdFate::Replaced,
            },
            outbound: endpoint.at("/v2/email/outbound-emails")?,
            account: endpoint.at("/v2/email/account")?,
            signer: Signer::new(config, region)?,
        })
    }
}

/// The endpoint of a region; the regions in China have a domain of their own.
fn own_address(region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("https://email.{region}.{suffix}")
}

impl Api for Ses {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn request(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        request::build(letter)
    }

    fn dispatch(&self, call: &Call, _: &IdempotencyKey) -> Request<Bytes> {
        post(&self.outbound, call)
    }

    fn heard_of_account(&self, answer: &Answer, _: Timestamp) -> Option<Heard> {
        answer::limits(answer)
    }

    fn question(&self) -> Request<Bytes> {
        get(&self.account)
    }

    fn authorize(
        &self,
        request: &mut Request<Bytes>,
    ) -> impl Future<Output = Result<(), SendError>> + Send {
        self.signer.sign(request)
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
        if request::names_something(&call.body) {
            return outcome.map_err(|error| answer::of_the_apps_names(answer, error));
        }
        outcome
    }

    fn refused_for_good(&self, answer: &Answer, now: Timestamp) -> Option<SendError> {
        answer::read_account(answer, now)
    }

    fn secrets(&self) -> Vec<&str> {
        self.signer.secrets()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ProviderKind;
    use crate::provider::samples::config;

    #[test]
    fn the_region_is_part_of_the_address() {
        let mut config = config(ProviderKind::Ses);
        let outbound = |config: &ProviderConfig| Ses::new(config).unwrap().outbound.to_string();
        assert_eq!(
            outbound(&config),
            "https://email.eu-west-1.amazonaws.com/v2/email/outbound-emails"
        );
        config.region = Some("cn-north-1".to_owned());
        assert!(outbound(&config).starts_with("https://email.cn-north-1.amazonaws.com.cn/"));
    }

    #[test]
    fn a_region_or_key_that_is_missing_is_named() {
        let mut config = config(ProviderKind::Ses);
        config.access_key_id = None;
        let error = Ses::new(&config).unwrap_err().to_string();
        assert_eq!(error, "providers.ses.access_key_id is not set");
        config.region = Some("x.evil.example/".to_owned());
        assert!(Ses::new(&config).unwrap_err().to_string().contains("providers.ses.region"));
        config.region = None;
        assert!(Ses::new(&config).unwrap_err().to_string().contains("region is not set"));
    }
}
