//! What a provider's answer means for the message and for the provider.

use std::fmt;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::message::Address;

/// The provider has the message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// What the provider calls the message; unknown where a repeat was refused because the first try had arrived.
    pub provider_message_id: Option<String>,
    /// Recipients of the call who get nothing although the message was taken.
    pub left_out: Vec<LeftOut>,
}

impl Receipt {
    /// For everybody, under this name of the provider's.
    pub(super) fn named(id: &str) -> Self {
        Self { provider_message_id: Some(id.chars().take(ID_MAX).collect()), left_out: Vec::new() }
    }
}

/// The longest name of a message that is kept, in characters.
const ID_MAX: usize = 256;

/// A recipient whom the provider does not serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// As the provider writes it, which may be in lower case.
    pub address: String,
    /// The provider's own words, shortened.
    pub reason: String,
    /// It may be served later: the refusal passes by itself.
    pub later: bool,
}

impl LeftOut {
    /// True for this recipient of the call, in whatever spelling.
    pub fn is(&self, recipient: &str) -> bool {
        let recipient: Result<Address, _> = recipient.to_lowercase().parse();
        recipient.is_ok_and(|recipient| recipient.same_mailbox(&self.address.to_lowercase()))
    }
}

/// What a failed attempt means: the classes of SPEC 5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Too fast. The provider rests for as long as it asked.
    Throttled { retry_after: Option<Duration> },
    /// A quota or the credits are used up, until the time if it is known.
    Exhausted { until: Option<Timestamp> },
    /// Passes by itself.
    Temporary { retry_after: Option<Duration> },
    /// The account must be mended; no message is at fault.
    Misconfigured,
    /// This message will never be taken.
    Rejected,
    /// A refusal that no table knows.
    Unknown,
    /// We asked wrongly.
    Bug,
}

/// An attempt that did not end with a receipt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct SendError {
    /// What it means.
    pub verdict: Verdict,
    /// The HTTP status or the SMTP reply code, when there was an answer.
    pub status: Option<u16>,
    /// The provider's own words, shortened; or what happened to the connection. Never a secret.
    pub reason: String,
    /// The request may have arrived: the connection was lost after the body had been sent, or timed out.
    pub unclear: bool,
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.status {
            Some(status) => write!(f, "{status}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_left_out_is_known_in_every_spelling() {
        let address = "kim@xn--vv4b11d.xn--3e0b707e".to_owned();
        let left_out = LeftOut { address, reason: String::new(), later: false };
        assert!(left_out.is("Kim@예시.한국") && left_out.is("kim@XN--VV4B11D.xn--3e0b707e"));
        assert!(!left_out.is("kim@example.net") && !left_out.is("kim"));
    }
}
