//! A provider that says yes to everything.

use async_trait::async_trait;
use bytes::Bytes;

use crate::provider::{
    Call, Capabilities, Form, Idempotency, IdempotencyKey, Letter, MessageIdFate, Provider,
    QuotaDay, Receipt, SendError, Unfit,
};

#[derive(Debug)]
pub(super) struct Willing(Capabilities);

impl Default for Willing {
    fn default() -> Self {
        Self(Capabilities {
            form: Form::RawMime,
            request_bytes_max: 1024 * 1024,
            recipients_per_call: 50,
            idempotency: Idempotency::None,
            rate: None,
            quota_day: QuotaDay::Utc,
            non_ascii_local_parts: true,
            batch: None,
            message_id: MessageIdFate::Kept,
        })
    }
}

#[async_trait]
impl Provider for Willing {
    fn capabilities(&self) -> &Capabilities {
        &self.0
    }

    fn prepare(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        Ok(Call::new(Bytes::copy_from_slice(letter.raw), "message/rfc822"))
    }

    async fn send(&self, _: &Call, _: &IdempotencyKey) -> Result<Receipt, SendError> {
        Ok(Receipt { provider_message_id: Some("pigeon-1".to_owned()), left_out: Vec::new() })
    }

    async fn probe(&self) -> Result<(), SendError> {
        Ok(())
    }
}
