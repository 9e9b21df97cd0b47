//! What comes in: messages taken and refused, how long taking them took, and every reply of the SMTP side.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;

use super::histogram::Histogram;

/// Upper bounds in seconds. Without load it is the time of an fsync: under a millisecond on a good disk, tens of them on a
/// bad one. In direct mode it is a provider's call.
const ACCEPT_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0];

/// Codes that the SMTP side may say: three digits, the first 2 to 5.
const CODE_MIN: u16 = 200;
const CODES: usize = 400;

/// Codes that are there from the beginning, so that a rate over them begins at zero. The others come when they are said.
const CODES_SHOWN: [u16; 13] = [220, 221, 250, 354, 421, 451, 452, 501, 503, 535, 550, 552, 554];

/// What became of a message that somebody wanted to hand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// It was taken over.
    Accepted,
    /// Its sender may not send, or not as the one that it names.
    Forbidden,
    /// It is larger than `smtp.max_message_size`.
    TooLarge,
    /// The queue is full, or cannot store it; or there was no memory for its content.
    NoRoom,
    /// Direct mode: no provider takes it now.
    TryAgain,
    /// Direct mode: the provider refused it for good.
    Rejected,
}

impl Received {
    const ALL: [Self; 6] = [
        Self::Accepted,
        Self::Forbidden,
        Self::TooLarge,
        Self::NoRoom,
        Self::TryAgain,
        Self::Rejected,
    ];

    /// The value of the label.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Forbidden => "forbidden",
            Self::TooLarge => "too_large",
            Self::NoRoom => "no_room",
            Self::TryAgain => "try_again",
            Self::Rejected => "rejected",
        }
    }
}

/// The counters of what comes in. Cloning shares them.
#[derive(Clone, Debug)]
pub struct Arrivals(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    received: [AtomicU64; Received::ALL.len()],
    accept_seconds: Histogram,
    /// By code, from [`CODE_MIN`] on.
    replies: [AtomicU64; CODES],
}

impl Default for Arrivals {
    fn default() -> Self {
        Self(Arc::new(Inner {
            received: [const { AtomicU64::new(0) }; Received::ALL.len()],
            accept_seconds: Histogram::new(&ACCEPT_SECONDS),
            replies: [const { AtomicU64::new(0) }; CODES],
        }))
    }
}

impl Arrivals {
    /// A message was taken or refused.
    pub fn received(&self, result: Received) {
        // The order of `ALL` is that of the variants; a test holds it.
        if let Some(counter) = self.0.received.get(result as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// From the last octet of a message that was accepted to its 250.
    pub fn accept_took(&self, took: Duration) {
        self.0.accept_seconds.observe(took);
    }

    /// An SMTP reply with this code was said.
    pub fn replied(&self, code: u16) {
        let place = code.checked_sub(CODE_MIN).map(usize::from);
        if let Some(counter) = place.and_then(|at| self.0.replies.get(at)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Collector for Arrivals {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let Inner { received, accept_seconds, replies } = &*self.0;
        let text = "Messages that were handed in, by what became of them.";
        let mut own =
            encoder.encode_descriptor("messages_received", text, None, MetricType::Counter)?;
        for (result, counter) in Received::ALL.iter().zip(received) {
            let count = ConstCounter::new(counter.load(Ordering::Relaxed));
            count.encode(own.encode_family(&[("result", result.name())])?)?;
        }

        let text = "From the last octet of a message to its 250.";
        let own = encoder.encode_descriptor("accept_seconds", text, None, MetricType::Histogram)?;
        accept_seconds.encode(own)?;

        let text = "Replies of the SMTP side, by their code.";
        let mut own = encoder.encode_descriptor("smtp_replies", text, None, MetricType::Counter)?;
        for (code, counter) in (CODE_MIN..).zip(replies) {
            let said = counter.load(Ordering::Relaxed);
            if said > 0 || CODES_SHOWN.contains(&code) {
                let count = ConstCounter::new(said);
                count.encode(own.encode_family(&[("code", u32::from(code))])?)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_results_is_in_the_order_of_its_places() {
        for (place, result) in Received::ALL.into_iter().enumerate() {
            assert_eq!(result as usize, place);
        }
    }

    #[test]
    fn a_code_that_there_is_not_is_counted_nowhere() {
        let arrivals = Arrivals::default();
        for code in [0, 199, 600, u16::MAX] {
            arrivals.replied(code);
        }
        assert!(arrivals.0.replies.iter().all(|count| count.load(Ordering::Relaxed) == 0));
        arrivals.replied(200);
        arrivals.replied(599);
        assert_eq!(arrivals.0.replies[0].load(Ordering::Relaxed), 1);
        assert_eq!(arrivals.0.replies[CODES - 1].load(Ordering::Relaxed), 1);
    }
}
