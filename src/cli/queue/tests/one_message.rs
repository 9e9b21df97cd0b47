//! A queue with one message.

use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

use crate::clock::Timestamp;
use crate::message::{
    Address, Dsn, IndexFields, Loss, Notify, OriginalRecipient, QueueId, RecipientDsn, Ret,
};
use crate::queue::{
    Attempt, Claim, Counts, Details, Entry, Filter, Lease, MemoryStore, Outcome, Page, Portion,
    RecipientState, RecipientStatus, Retried, Retry, Settlement, Start, State, Statistics, Store,
    StoreError, Summary, Suppressions, Usage, WayKey,
};

pub(super) const ID: &str = "01937b5e-8f00-7000-8000-000000000001";
pub(super) const OTHER: &str = "01937b5e-8f00-7000-8000-000000000002";
/// What Resend called it.
pub(super) const AT_RESEND: &str = "49a3999c-0ce1-4ea6-ab68-afcd6dc2e794";

/// The message as it is stored, octets that are no text included.
pub(super) const RAW: &[u8] = b"Subject: x\r\n\r\n\xff\x00\r\n.\r\n";

/// A queue with one failed message, which remembers what it was asked.
#[derive(Default)]
pub(super) struct OneMessage {
    pub(super) asked: Mutex<Vec<String>>,
    /// How many further messages have its Message-ID.
    pub(super) namesakes: usize,
    /// Who may have the message, when nobody knows.
    pub(super) maybe_at: Option<&'static str>,
    /// What slices of a retry of all that failed bring, the last first.
    pub(super) slices: Mutex<Vec<Retried>>,
    pub(super) content_gone: bool,
    pub(super) lists: MemoryStore,
}

impl OneMessage {
    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }

    fn summary(&self) -> Summary {
        let maybe_at = self.maybe_at.map(str::to_owned);
        Summary { in_doubt: maybe_at.is_some(), maybe_at, ..summary() }
    }

    pub(super) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

pub(super) fn id() -> QueueId {
    ID.parse().unwrap()
}

pub(super) fn summary() -> Summary {
    Summary {
        id: id(),
        state: State::Failed,
        received_at: "2026-11-21T10:00:00Z".parse().unwrap(),
        sender: Some("app@example.org".parse().unwrap()),
        recipients: vec![
            RecipientStatus {
                address: "ada@example.com".parse().unwrap(),
                state: RecipientState::Failed,
                reason: Some("no such user".to_owned()),
                again: 0,
            },
            RecipientStatus::queued("bob@example.com".parse().unwrap()),
        ],
        index: IndexFields {
            header_from: "App <app@example.org>".to_owned(),
            subject: "Verify\u{1b}[2J\r\nyour mail".to_owned(),
            message_id: "1@example.org".to_owned(),
            bulk: false,
        },
        size: 4096,
        user: None,
        provider: Some("resend".to_owned()),
        provider_message_id: None,
        next_attempt_at: None,
        error: Some("422: no such user".to_owned()),
        way: WayKey::new("bulk", 7),
        in_doubt: false,
        maybe_at: None,
    }
}

#[async_trait]
impl Store for OneMessage {
    fn suppressions(&self) -> &dyn Suppressions {
        self.lists.suppressions()
    }

    fn statistics(&self) -> &dyn Statistics {
        self.lists.statistics()
    }

    async fn list(&self, filter: Filter) -> Result<Page, StoreError> {
        self.note(format!("list {:?} {:?} {}", filter.state, filter.text, filter.limit));
        let next = filter.before.is_none().then(id);
        // Whoever looks for a name comes upon it on the second page.
        if filter.name.is_some() && next.is_some() {
            return Ok(Page { messages: Vec::new(), next });
        }
        let known = filter.name.is_none_or(|name| ["<1@example.org>", AT_RESEND].contains(&&*name));
        let summary = || self.summary();
        let mut messages = if known { vec![summary()] } else { Vec::new() };
        messages.extend(std::iter::repeat_with(summary).take(self.namesakes));
        Ok(Page { messages, next })
    }

    async fn show(&self, wanted: QueueId) -> Result<Option<Details>, StoreError> {
        let attempts = vec![Attempt {
            at: "2026-11-21T10:00:01Z".parse().unwrap(),
            provider: "resend".to_owned(),
            outcome: Outcome::Rejected,
            error: Some("422: no such user".to_owned()),
            provider_message_id: None,
            latency_ms: 87,
            recipients: Vec::new(),
            together: Some(1),
            losses: vec![Loss::slight("header X", "reserved")],
        }];
        let bob = "bob@example.com".parse::<Address>().unwrap();
        let ada = "ada@example.com".parse::<Address>().unwrap();
        let original = OriginalRecipient {
            address_type: "rfc822".to_owned(),
            address: "all@example.com".to_owned(),
        };
        let notify = Some(vec![Notify::Failure, Notify::Delay]);
        let dsn = Some(Box::new(Dsn {
            ret: Some(Ret::Hdrs),
            envelope_id: Some("QQ314159".to_owned()),
            recipients: vec![
                RecipientDsn { notify, original: Some(original), ..bob.into() },
                RecipientDsn { notify: Some(Vec::new()), ..ada.into() },
            ],
        }));
        Ok((wanted == id()).then(|| Details {
            summary: self.summary(),
            attempts,
            dsn,
            smtp_utf8: false,
            may_steer: true,
        }))
    }

    async fn retry(
        &self,
        wanted: QueueId,
        retry: Retry,
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        let to: Vec<&str> = retry.recipients.iter().map(Address::as_str).collect();
        self.note(format!("retry {wanted} {:?} {to:?}", retry.provider));
        if wanted == id() { Ok(()) } else { Err(StoreError::NotFound(wanted)) }
    }

    async fn retry_failed(
        &self,
        before: Option<QueueId>,
        _now: Timestamp,
    ) -> Result<Retried, StoreError> {
        self.note(format!("retry failed before {before:?}"));
        Ok(self.slices.lock().unwrap().pop().unwrap_or_default())
    }

    async fn cancel(&self, wanted: QueueId, _now: Timestamp) -> Result<(), StoreError> {
        self.note(format!("cancel {wanted}"));
        let hint = "only queued messages can be cancelled";
        Err(StoreError::WrongState { id: wanted, state: State::Failed, hint })
    }

    async fn insert(&self, _: Entry) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("not asked for".to_owned()))
    }

    async fn claim(&self, _: Portion, _: Timestamp, _: Lease) -> Result<Vec<Claim>, StoreError> {
        Ok(Vec::new())
    }

    async fn begin(&self, _: Start) -> Result<(), StoreError> {
        Ok(())
    }

    async fn settle_all(
        &self,
        _: Vec<Settlement>,
    ) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        Ok(Vec::new())
    }

    async fn next_due(&self, _: &Portion) -> Result<Option<Timestamp>, StoreError> {
        Ok(None)
    }

    async fn usage(&self, _: i64) -> Result<Vec<Usage>, StoreError> {
        Ok(Vec::new())
    }

    async fn content(&self, wanted: QueueId) -> Result<Option<Bytes>, StoreError> {
        let kept = wanted == id() && !self.content_gone;
        Ok(kept.then(|| Bytes::from_static(RAW)))
    }

    async fn counts(&self) -> Result<Counts, StoreError> {
        Ok(Counts::default())
    }

    async fn sweep(&self, _: Duration, _: Duration, _: Timestamp) -> Result<usize, StoreError> {
        Ok(0)
    }
}
