//! The log line of each message event (SPEC 10).

use crate::message::{Address, Message};

/// What a line says besides the message.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Event<'a> {
    pub(super) provider: Option<&'a str>,
    pub(super) provider_message_id: Option<&'a str>,
    pub(super) outcome: &'static str,
    pub(super) attempt: Option<usize>,
    pub(super) latency_ms: Option<u64>,
    pub(super) error: Option<&'a str>,
    /// The recipients concerned; `None`: all of the envelope.
    pub(super) recipients: Option<&'a str>,
}

/// Recipients named in one line; a count stands for the others.
const RECIPIENTS_SHOWN: usize = 10;

/// Writes message-event lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventLog {
    /// Whether lines carry the subject.
    pub(super) subject: bool,
}

macro_rules! line {
    ($level:ident, $log:expr, $message:expr, $event:expr, $text:literal) => {{
        let (message, event) = ($message, $event);
        let to = event.recipients.map_or_else(|| recipients(message), str::to_owned);
        tracing::$level!(
            message_id = message.index.message_id,
            queue_id = %message.id,
            from = message.envelope.sender_text(),
            to,
            subject = $log.subject.then_some(message.index.subject.as_str()),
            size = message.raw.len(),
            user = message.user,
            provider = event.provider,
            provider_message_id = event.provider_message_id,
            outcome = event.outcome,
            attempt = event.attempt,
            latency_ms = event.latency_ms,
            error = event.error,
            $text
        );
    }};
}

impl EventLog {
    /// The message is safe in the queue.
    pub(super) fn accepted(self, message: &Message) {
        let event = Event { outcome: "queued", ..Event::default() };
        line!(info, self, message, event, "accepted");
    }

    /// A provider took it.
    pub(super) fn delivered(self, message: &Message, event: Event<'_>) {
        line!(info, self, message, event, "delivered");
    }

    /// A call did not end well; the message goes on.
    pub(super) fn not_delivered(self, message: &Message, event: Event<'_>) {
        line!(warn, self, message, event, "not delivered");
    }

    /// The message is over, with a reason.
    pub(super) fn failed(self, message: &Message, event: Event<'_>) {
        line!(error, self, message, event, "failed");
    }
}

fn recipients(message: &Message) -> String {
    let all = &message.envelope.recipients;
    if let [only] = all.as_slice() {
        return only.as_str().to_owned();
    }
    let shown: Vec<&str> = all.iter().take(RECIPIENTS_SHOWN).map(Address::as_str).collect();
    match all.len().saturating_sub(RECIPIENTS_SHOWN) {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
