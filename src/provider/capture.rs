//! Takes everything and sends nothing: what `mailferry dev` delivers to.

use async_trait::async_trait;
use bytes::Bytes;

use super::{
    Call, Capabilities, Form, Idempotency, IdempotencyKey, Letter, MessageIdFate, Provider,
    QuotaDay, Receipt, SendError, Unfit,
};

/// A provider without a service behind it. The mail stays in the queue's records, where it can be read.
#[derive(Debug)]
pub(super) struct Capture {
    capabilities: Capabilities,
}

impl Capture {
    pub(super) fn new() -> Self {
        Self {
            capabilities: Capabilities {
                form: Form::RawMime,
                request_bytes_max: usize::MAX,
                recipients_per_call: usize::MAX,
                idempotency: Idempotency::None,
                rate: None,
                quota_day: QuotaDay::Utc,
                non_ascii_local_parts: true,
                batch: None,
                message_id: MessageIdFate::Kept,
            },
        }
    }
}

#[async_trait]
impl Provider for Capture {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    /// The message as it was submitted.
    fn prepare(&self, letter: &Letter<'_>) -> Result<Call, Unfit> {
        Ok(Call::new(Bytes::copy_from_slice(letter.raw), "message/rfc822"))
    }

    async fn send(&self, _: &Call, key: &IdempotencyKey) -> Result<Receipt, SendError> {
        Ok(Receipt::named(&format!("capture-{}", key.message())))
    }

    async fn probe(&self) -> Result<(), SendError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::samples::Sample;

    #[tokio::test]
    async fn everything_is_taken_under_the_name_of_the_message() {
        let sample = Sample::rich();
        let capture = Capture::new();
        let call = capture.prepare(&sample.letter()).unwrap();
        assert_eq!(call.body, sample.raw);
        assert!(call.losses.is_empty());
        let key = IdempotencyKey::new(sample.id, &call.body);
        let receipt = capture.send(&call, &key).await.unwrap();
        let expected = format!("capture-{}", sample.id);
        assert_eq!(receipt.provider_message_id, Some(expected));
        assert!(capture.probe().await.is_ok());
    }
}
