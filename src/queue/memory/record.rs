//! One message with all that is known of it.

use std::sync::Arc;

use bytes::Bytes;

use crate::clock::Timestamp;
use crate::message::{Message, QueueId};
use crate::queue::rules::{self, Change, HISTORY_MAX, LastError};
use crate::queue::{
    Attempt, BatchId, Claim, Doubt, Entry, Filter, Lease, Next, RecipientStatus, Retry, Settlement,
    State, Summary, Turn, WayKey,
};

#[derive(Debug)]
pub(super) struct Record {
    pub(super) message: Arc<Message>,
    pub(super) size: u64,
    pub(super) has_content: bool,
    pub(super) state: State,
    pub(super) due: Timestamp,
    pub(super) lease: i64,
    /// The instance that has claimed it last.
    pub(super) owner: Option<Arc<str>>,
    pub(super) deferrals: u32,
    pub(super) trying_since: Timestamp,
    pub(super) finished: Option<Timestamp>,
    pub(super) recipients: Vec<RecipientStatus>,
    pub(super) provider: Option<String>,
    pub(super) provider_message_id: Option<String>,
    pub(super) error: Option<String>,
    pub(super) pinned_provider: Option<String>,
    pub(super) attempts: Vec<Attempt>,
    pub(super) way: WayKey,
    pub(super) turn: Turn,
    /// The call that is under way, or whose outcome is unknown.
    pub(super) begun: Option<Doubt>,
}

impl Record {
    pub(super) fn new(entry: Entry) -> Self {
        let Entry { message, way, lease, provider, once: _ } = entry;
        let addresses = message.envelope.recipients.iter().cloned();
        let since = message.received_at;
        Self {
            way,
            turn: Turn::of(&message),
            begun: provider.map(|provider| Doubt { provider, since, place: None }),
            size: message.raw.len() as u64,
            has_content: true,
            state: if lease.is_some() { State::Sending } else { State::Queued },
            due: lease.as_ref().map_or(message.received_at, |lease| lease.expires),
            lease: i64::from(lease.is_some()),
            owner: lease.map(|lease| lease.owner),
            deferrals: 0,
            trying_since: message.received_at,
            finished: None,
            recipients: addresses.map(RecipientStatus::queued).collect(),
            provider: None,
            provider_message_id: None,
            error: None,
            pinned_provider: None,
            attempts: Vec::new(),
            message,
        }
    }

    /// Where it stands while it waits.
    pub(super) fn place(&self) -> (WayKey, bool, u16, Timestamp, QueueId) {
        let Turn { bulk, share } = self.turn;
        (self.way.clone(), bulk, share, self.due, self.message.id)
    }

    /// The batch in doubt that it belongs to.
    pub(super) fn batch(&self) -> Option<BatchId> {
        let place = self.begun.as_ref().and_then(|begun| begun.place);
        place.map(|place| place.batch)
    }

    pub(super) fn claim(&mut self, lease: &Lease) -> Claim {
        self.state = State::Sending;
        self.lease += 1;
        self.owner = Some(Arc::clone(&lease.owner));
        self.due = lease.expires;
        let earlier = self.attempts.len().saturating_sub(HISTORY_MAX);
        let latest = self.attempts.iter().skip(earlier);
        Claim {
            message: Arc::clone(&self.message),
            lease: self.lease,
            recipients: self.recipients.clone(),
            deferrals: self.deferrals,
            trying_since: self.trying_since,
            pinned_provider: self.pinned_provider.clone(),
            history: latest.map(|attempt| (attempt.provider.clone(), attempt.outcome)).collect(),
            doubt: self.begun.clone(),
        }
    }

    pub(super) fn settle(&mut self, settlement: &Settlement) {
        let change = Change::of(settlement);
        self.state = change.state;
        self.due = change.due.unwrap_or(self.due);
        self.deferrals += change.deferrals;
        self.finished = change.finished;
        self.recipients.clone_from(&settlement.recipients);
        match change.error {
            LastError::Keep => {}
            LastError::Clear => self.error = None,
            LastError::Set(error) => self.error = Some(error.to_owned()),
        }
        if let Some(provider) = change.provider {
            self.provider = Some(provider.to_owned());
        }
        if let Some(name) = change.provider_message_id {
            self.provider_message_id = Some(name.to_owned());
        }
        self.attempts.extend(settlement.attempts.iter().cloned());
        if !settlement.unclear && settlement.next != Next::Continue {
            self.begun = None;
        }
        if let Some(provider) = &settlement.suspect {
            let provider = provider.clone();
            self.begun = Some(Doubt { provider, since: settlement.at, place: None });
        }
        if let Some(way) = &settlement.way {
            self.way = way.clone();
        }
        if self.state == State::Delivered && self.message.account.is_some() {
            let message = Message { account: None, ..Message::clone(&self.message) };
            self.message = Arc::new(message);
        }
    }

    pub(super) fn retry(&mut self, retry: Retry, now: Timestamp) {
        if !rules::keeps_doubt(self.state, self.batch().is_some(), &retry) {
            self.begun = None;
        }
        let in_doubt = self.begun.is_some();
        rules::reopen(&mut self.recipients, self.state, &retry.recipients, in_doubt);
        if self.recipients.len() > self.message.envelope.recipients.len() {
            let mut message = Message::clone(&self.message);
            let addresses = self.recipients.iter().map(|recipient| recipient.address.clone());
            message.envelope.recipients = addresses.collect();
            self.message = Arc::new(message);
        }
        self.state = State::Queued;
        self.due = now;
        self.trying_since = now;
        self.deferrals = 0;
        self.finished = None;
        self.pinned_provider = retry.provider;
        self.way = WayKey::default();
    }

    pub(super) fn forget_content(&mut self) {
        self.has_content = false;
        let message = Message { raw: Bytes::new(), account: None, ..Message::clone(&self.message) };
        self.message = Arc::new(message);
    }

    pub(super) fn summary(&self) -> Summary {
        // Of a message on its way, this is the call that is being made.
        let begun = self.begun.as_ref().filter(|_| self.state != State::Sending);
        Summary {
            id: self.message.id,
            state: self.state,
            received_at: self.message.received_at,
            sender: self.message.envelope.sender.clone(),
            recipients: self.recipients.clone(),
            index: self.message.index.clone(),
            size: self.size,
            user: self.message.user.clone(),
            provider: self.provider.clone(),
            provider_message_id: self.provider_message_id.clone(),
            next_attempt_at: (self.state == State::Queued).then_some(self.due),
            error: self.error.clone(),
            way: self.way.clone(),
            in_doubt: begun.is_some(),
            maybe_at: begun.map(|doubt| doubt.provider.clone()),
        }
    }

    pub(super) fn matches(&self, filter: &Filter) -> bool {
        filter.state.is_none_or(|state| state == self.state)
            && filter.provider.as_ref().is_none_or(|name| self.provider.as_ref() == Some(name))
    }

    pub(super) fn has_text(&self, filter: &Filter) -> bool {
        rules::search_text(filter.text.as_deref()).is_none_or(|text| self.contains(&text))
    }

    pub(super) fn is_called(&self, name: &str) -> bool {
        let mut attempts = self.attempts.iter();
        self.message.index.message_id == name
            || attempts.any(|attempt| attempt.provider_message_id.as_deref() == Some(name))
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        let text = text.to_ascii_lowercase();
        let has = |field: &str| field.to_ascii_lowercase().contains(&text);
        let index = &self.message.index;
        has(self.message.envelope.sender_text())
            || self.recipients.iter().any(|recipient| has(recipient.address.as_str()))
            || has(&index.header_from)
            || has(&index.subject)
            || has(&index.message_id)
            || self.provider_message_id.as_deref().is_some_and(has)
    }
}
