//! The contract of every provider.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::digest;
use bytes::Bytes;
use serde::Serialize;

use super::{Capabilities, Heard, Receipt, SendError, Shown, encoded};
use crate::clock::Timestamp;
use crate::message::{Addressing, Email, Envelope, Loss, QueueId};

/// Everything a provider needs to build one call: the message, and the recipients of this call.
#[derive(Clone, Copy, Debug)]
pub struct Letter<'a> {
    /// The message's name in the queue.
    pub id: QueueId,
    /// The whole envelope; the recipients of this call are in `addressing`.
    pub envelope: &'a Envelope,
    /// When it was accepted: the Date of a message that has none.
    pub received_at: Timestamp,
    /// The bytes as submitted.
    pub raw: &'a [u8],
    /// The parsed message, From rules applied.
    pub email: &'a Email,
    /// Who gets this call.
    pub addressing: &'a Addressing,
}

impl Letter<'_> {
    /// About how many octets a JSON request for this message has: the bodies, escaped, the attachments in base64, and
    /// what is around them. A body that has to grow while it is written takes up to twice the memory.
    pub(super) fn json_size(&self) -> usize {
        let email = self.email;
        let texts = email.text.iter().chain(&email.html).map(String::len).sum::<usize>();
        let header = email.headers.iter().map(|(name, value)| name.len() + value.len() + 32);
        let header = header.sum::<usize>() + email.subject.len();
        let files = email.attachments.iter();
        let files = files.map(|file| encoded::length(file.bytes.len()) + file.filename.len() + 256);
        texts + texts / 8 + header + files.sum::<usize>() + 2048
    }
}

/// One call, ready to be sent. The same letter gives the same bytes on every attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The request body.
    pub body: Bytes,
    /// Its media type.
    pub content_type: Cow<'static, str>,
    /// What of the message is not in it.
    pub losses: Vec<Loss>,
    /// Who sends, and who of the message's recipients gets this call: for providers that are told so beside the body.
    pub envelope: Option<Envelope>,
    /// The app's own key for the request (`Resend-Idempotency-Key`), instead of one that is made from the body.
    pub key: Option<String>,
}

impl Call {
    /// A call with this body, and nothing beside it.
    pub fn new(body: impl Into<Bytes>, content_type: impl Into<Cow<'static, str>>) -> Self {
        let (body, content_type) = (body.into(), content_type.into());
        Self { body, content_type, losses: Vec::new(), envelope: None, key: None }
    }

    /// A call with a JSON body of about `size` octets.
    pub(super) fn json(
        body: &impl Serialize,
        size: usize,
        losses: Vec<Loss>,
    ) -> Result<Self, Unfit> {
        let mut bytes = Vec::with_capacity(size);
        serde_json::to_writer(&mut bytes, body)
            .map_err(|error| Unfit { reason: error.to_string() })?;
        Ok(Self { losses, ..Self::new(bytes, "application/json") })
    }
}

/// This provider cannot carry this message; another may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unfit {
    /// Why, for an operator.
    pub reason: String,
}

/// The longest key, in characters, all of them ASCII.
const KEY_CHARS_MAX: usize = 256;

/// Names a request, so that a provider can recognise a repeat.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey {
    message: QueueId,
    text: String,
}

impl IdempotencyKey {
    /// The key for this body of this message: the same after a crash, another when the configuration changed the body.
    pub fn new(id: QueueId, body: &[u8]) -> Self {
        let hash = digest::digest(&digest::SHA256, body);
        let mut text = format!("mailferry-{id}-");
        for byte in &hash.as_ref()[..8] {
            use fmt::Write as _;
            // Writing to a String does not fail.
            let _ = write!(text, "{byte:02x}");
        }
        Self { message: id, text }
    }

    /// The key of this call of the message: the app's own where it gave one, else [`IdempotencyKey::new`].
    pub fn of(id: QueueId, call: &Call) -> Self {
        match &call.key {
            Some(key) => Self { message: id, text: key.clone() },
            None => Self::new(id, &call.body),
        }
    }

    /// The key of the same call when it is made anew on purpose, for the `times`th time, so that the provider does not
    /// take it for a repeat. The same key where it is 0.
    #[must_use]
    pub fn anew(mut self, times: u32) -> Self {
        if times > 0 {
            let suffix = format!("-anew-{times}");
            self.text.truncate(KEY_CHARS_MAX.saturating_sub(suffix.len()));
            self.text.push_str(&suffix);
        }
        self
    }

    /// The text of the key: 1 to 256 ASCII characters.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The message that the request carries.
    pub fn message(&self) -> QueueId {
        self.message
    }
}

/// One configured account at an email service. Implementations pass `provider::conformance`.
#[async_trait]
pub trait Provider: fmt::Debug + Send + Sync {
    /// What it can carry.
    fn capabilities(&self) -> &Capabilities;

    /// Builds the call. Pure: no clock, no chance, no network.
    fn prepare(&self, letter: &Letter<'_>) -> Result<Call, Unfit>;

    /// Offers the call to the remote API exactly once.
    ///
    /// Waiting and trying again belong to `delivery`. The key stays the same from one attempt to the next, for
    /// APIs that can recognise a repeated request.
    async fn send(&self, call: &Call, key: &IdempotencyKey) -> Result<Receipt, SendError>;

    /// What [`Provider::send`] would offer, as a person may see it. Nothing is asked of the service. The error says why there
    /// is nothing to be seen.
    async fn show(&self, call: &Call, key: &IdempotencyKey) -> Result<Shown, Unfit> {
        let _ = (call, key);
        Err(Unfit { reason: "it keeps the mail and asks nobody".to_owned() })
    }

    /// Joins prepared calls, which may be of different messages, into one; `None` when they cannot travel together.
    /// Pure. Only providers with [`Capabilities::batch`] have it; at most `calls_max` calls are handed in.
    fn join(&self, calls: &[Call]) -> Option<Call> {
        let _ = calls;
        None
    }

    /// True when the call may be joined with others, as far as one can see from this one. Cheap and pure.
    fn can_join(&self, call: &Call) -> bool {
        let _ = call;
        false
    }

    /// Offers joined calls to the remote API exactly once. `Ok` is the outcome of each member, in their order. An error
    /// is about the whole: when it says that the request is refused, none of the members has been sent.
    async fn send_joined(
        &self,
        joined: &Call,
        members: usize,
        key: &IdempotencyKey,
    ) -> Result<Vec<Result<Receipt, SendError>>, SendError> {
        let _ = members;
        self.send(joined, key).await.map(|receipt| vec![Ok(receipt)])
    }

    /// What the service said of its limits beside its newest answer; once.
    fn heard(&self) -> Option<Heard> {
        None
    }

    /// Asks, without sending mail, whether the account works again. `Ok` means that it may; only a clear sign that
    /// the key is still refused, or no answer at all, is an error.
    async fn probe(&self) -> Result<(), SendError>;

    /// The least time between two probes that the service bears; zero where it makes no difference.
    fn probe_interval(&self) -> Duration {
        Duration::ZERO
    }

    /// Asks, without sending mail, whether the service knows this account. Where `probe` gives the benefit of the doubt,
    /// this does not: `Ok` is a clear yes, `Misconfigured` a clear no, and everything else cannot be told now.
    async fn vouch(&self) -> Result<(), SendError> {
        self.probe().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_made_anew_has_a_key_of_its_own_that_is_not_too_long() {
        let id: QueueId = "01937b5e-8f00-7000-8000-000000000001".parse().unwrap();
        let call = Call::new("x", "text/plain");
        let first = IdempotencyKey::of(id, &call);
        assert_eq!(first.clone().anew(0), first);
        let (second, third) = (first.clone().anew(1), first.clone().anew(2));
        assert!(first != second && second != third && first != third);
        let own = Call { key: Some("k".repeat(256)), ..call };
        let anew = IdempotencyKey::of(id, &own).anew(u32::MAX);
        assert_eq!(anew.as_str().len(), 256);
        assert!(anew.as_str().ends_with("k-anew-4294967295"));
    }
}
