//! What is told about messages and providers: the log line of each message event (SPEC 10), counters, and notices to the
//! operator's address. Each event comes here once, and goes to all three.

use std::time::Duration;

use super::failover::Moved;
use super::job::Job;
use super::notices::{self, Notices, RECIPIENTS_MAX};
use super::tally::Tally;
use crate::clock::Timestamp;
use crate::message::{Address, Message};
use crate::metrics::Metrics;
use crate::queue::RecipientState;

/// Who is told besides the log.
#[derive(Clone, Debug, Default)]
pub(super) struct Observers {
    pub(super) metrics: Metrics,
    pub(super) tally: Tally,
    pub(super) notices: Notices,
}

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

/// Tells what happens.
#[derive(Clone, Copy, Debug)]
pub(super) struct EventLog<'a> {
    /// Whether lines and notices carry the subject.
    pub(super) subject: bool,
    pub(super) observers: &'a Observers,
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

impl EventLog<'_> {
    /// The message is safe in the queue.
    pub(super) fn accepted(self, message: &Message) {
        self.observers.tally.received();
        let event = Event { outcome: "queued", ..Event::default() };
        line!(info, self, message, event, "accepted");
    }

    /// These of its recipients are on the list of addresses that get no mail.
    pub(super) fn suppressed(self, message: &Message, recipients: &str) {
        let event = Event {
            outcome: RecipientState::Suppressed.name(),
            recipients: Some(recipients),
            ..Event::default()
        };
        line!(info, self, message, event, "not sent");
    }

    /// A provider took it.
    pub(super) fn delivered(self, message: &Message, event: Event<'_>) {
        self.count(event);
        line!(info, self, message, event, "delivered");
    }

    /// A call did not end well; the message goes on.
    pub(super) fn not_delivered(self, message: &Message, event: Event<'_>) {
        self.count(event);
        line!(warn, self, message, event, "not delivered");
    }

    /// Everybody has the message.
    pub(super) fn finished(self, job: &Job, now: Timestamp) {
        let took = Duration::try_from(now.duration_since(job.claim.message.received_at));
        let (provider, took) = (job.last_provider().unwrap_or(""), took.unwrap_or_default());
        self.observers.metrics.delivered(provider, took);
        self.observers.tally.delivered(provider, took);
    }

    /// The message is over, with a reason; what became of each recipient is in the job.
    pub(super) fn failed(self, job: &Job, error: &str, now: Timestamp) {
        let message = &*job.claim.message;
        let event = Event { outcome: "failed", error: Some(error), ..Event::default() };
        line!(error, self, message, event, "failed");
        let provider = job.last_provider();
        self.observers.metrics.failed(provider);
        self.observers.tally.failed(provider);
        if !self.observers.notices.wanted() {
            return;
        }
        let recipients = &job.claim.recipients;
        // Those that did not get it stand first: there may be more than are named.
        let mut named: Vec<_> = recipients.iter().collect();
        named.sort_by_key(|recipient| recipient.state == RecipientState::Delivered);
        named.truncate(RECIPIENTS_MAX);
        let event = notices::Event::MessageFailed {
            id: message.id,
            from: message.envelope.sender_text(),
            recipients: named,
            recipients_total: recipients.len(),
            subject: self.subject.then_some(message.index.subject.as_str()),
            message_id: &message.index.message_id,
            user: message.user.as_deref(),
            provider,
            error,
        };
        self.observers.notices.tell(&event, now);
    }

    /// The message is over, because all who were left are on the list of addresses that get no mail. That was wanted: no
    /// failure, though its state is that.
    pub(super) fn ended_suppressed(self, job: &Job, error: &str) {
        let outcome = RecipientState::Suppressed.name();
        let event = Event { outcome, error: Some(error), ..Event::default() };
        line!(info, self, &*job.claim.message, event, "nobody is left to send it to");
        let provider = job.last_provider();
        self.observers.metrics.suppressed(provider);
        self.observers.tally.failed(provider);
    }

    /// Mail of a route goes by another way than before.
    pub(super) fn moved(self, moved: &Moved, now: Timestamp) {
        let event = match moved {
            Moved::Began { route, from, to, reason } => {
                let reason = reason.name();
                tracing::warn!(
                    route,
                    from_provider = from,
                    provider = to,
                    reason,
                    "failover began"
                );
                self.observers.metrics.failover(from, to);
                notices::Event::FailoverBegan { route, from, to, reason }
            }
            Moved::Recovered { route, provider, from } => {
                tracing::info!(
                    route,
                    from_provider = from,
                    provider,
                    "failover is over: the preferred provider delivers again"
                );
                notices::Event::FailoverRecovered { route, provider, from }
            }
        };
        self.observers.notices.tell(&event, now);
    }

    fn count(self, event: Event<'_>) {
        let took = event.latency_ms.map(Duration::from_millis);
        let provider = event.provider.unwrap_or("");
        self.observers.metrics.attempt(provider, event.outcome, took);
        self.observers.tally.attempt(provider, event.outcome, took);
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
