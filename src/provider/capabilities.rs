//! What a provider can carry, as data. The rest of the program asks this, never the provider's name.

use std::time::Duration;

/// How a provider takes a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The MIME bytes with the recipients beside them.
    RawMime,
    /// Fields: addresses, subject, bodies, attachments. Everybody in to, cc and bcc gets the mail.
    Structured,
}

/// Whether repeating a request is safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idempotency {
    /// A repeat may be a second copy.
    None,
    /// The same key and body give the first answer again, for this long.
    Replays { window: Duration },
    /// A repeat of a request that was taken is refused for this long, which shows that the message is out; what the
    /// service calls it stays unknown.
    Refuses { window: Duration },
}

/// Calls per time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    /// How many calls…
    pub calls: u32,
    /// …in this time.
    pub per: Duration,
}

/// How many calls one request can hold ([`super::Provider::join`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Calls in one request.
    pub calls_max: usize,
    /// The largest body of such a request, octets.
    pub request_bytes_max: usize,
}

/// What becomes of the Message-ID that the app wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageIdFate {
    /// It arrives.
    Kept,
    /// The service writes its own. The app's goes into References, where mail programs look for the thread.
    Replaced,
}

/// When the day ends over which a service counts a daily quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaDay {
    /// At 00:00 UTC.
    #[default]
    Utc,
    /// It counts the last 24 hours.
    Rolling,
}

/// What a provider can do and bear.
#[derive(Clone, Debug)]
pub struct Capabilities {
    /// Raw or structured.
    pub form: Form,
    /// The largest request body that it takes, octets, after encoding.
    pub request_bytes_max: usize,
    /// Recipients of one call, to, cc and bcc together.
    pub recipients_per_call: usize,
    /// Whether repeats are recognised.
    pub idempotency: Idempotency,
    /// The published limit; `None` where the account decides or it is far above what matters.
    pub rate: Option<Rate>,
    /// When its day ends. UTC is documented for Resend, the rolling day for SES; others do not say, or have no daily quota,
    /// and count as UTC.
    pub quota_day: QuotaDay,
    /// Whether local parts outside ASCII (SMTPUTF8) are taken.
    pub non_ascii_local_parts: bool,
    /// Whether calls can be joined, and how many.
    pub batch: Option<Batch>,
    /// What becomes of the Message-ID that the app wrote.
    pub message_id: MessageIdFate,
}
