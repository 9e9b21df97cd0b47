//! A message on its way out.

use std::sync::Arc;
use std::time::Duration;

use super::brought::Way;
use super::doubt::{self, Answer, Doubt};
use super::lane::LaneId;
use super::memory::{Room, is_large};
use super::parts::Parts;
use crate::clock::Timestamp;
use crate::config::OnUnclear;
use crate::message::{Address, Email};
use crate::queue::{
    Attempt, Claim, Lease, Next, Outcome, Place, RecipientState, RecipientStatus, Turn, Usage,
};

/// No call is begun when less than this is left of the lease: what is due again goes to somebody else as well.
const LEASE_MARGIN: Duration = Duration::from_mins(2);

/// A claimed message with what this instance knows about it beyond the queue's record.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) claim: Claim,
    /// The name under which this instance has claimed it.
    pub(super) owner: Arc<str>,
    /// When the queue would hand the message to somebody else.
    pub(super) lease_expires: Timestamp,
    /// By which way it goes.
    pub(super) way: Way,
    /// Which of its recipients take which route; the board sees to it.
    pub(super) parts: Parts,
    /// The parsed message, from when somebody needed it until nobody does.
    pub(super) email: Option<Arc<Email>>,
    /// Calls that are not recorded in the queue yet.
    pub(super) attempts: Vec<Attempt>,
    /// What counts for quotas and is not recorded in the queue yet.
    pub(super) usage: Vec<Usage>,
    /// What providers called the message in this delivery.
    pub(super) receipts: Vec<String>,
    /// Providers that cannot or shall not be asked again for this message, by name.
    pub(super) passed_over: Vec<String>,
    /// Whose turn it takes.
    pub(super) turn: Turn,
    /// The provider that the queue's record says it is being tried by.
    pub(super) begun: Option<String>,
    /// A call whose outcome is not known.
    pub(super) doubt: Option<Doubt>,
    /// Who may have sent it already, when it goes all the same.
    pub(super) second_copy: Option<String>,
    /// The only lane that it may take now, because of the doubt.
    pub(super) bound: Option<LaneId>,
    /// When the call that it has its slot for was counted.
    pub(super) counted: Timestamp,
    /// It cannot travel together with others.
    pub(super) alone: bool,
    /// Others come at the same time, with which it could travel.
    pub(super) in_company: bool,
    /// The memory that the delivery occupies; given back when the job is dropped.
    pub(super) room: Option<Room>,
}

/// Providers that have said that the request for this message is malformed. It will not get better by itself, but an
/// operator who names the provider wants to see for himself.
fn malformed_at(claim: &Claim) -> Vec<String> {
    let malformed = claim.history.iter().filter(|(provider, outcome)| {
        *outcome == Outcome::Bug && claim.pinned_provider.as_ref() != Some(provider)
    });
    malformed.map(|(provider, _)| provider.clone()).collect()
}

impl Job {
    pub(super) fn new(claim: Claim, lease: Lease, way: Way, room: Option<Room>) -> Self {
        let doubt = claim.doubt.clone().map(Doubt::from);
        let passed_over = malformed_at(&claim);
        Self {
            turn: Turn::of(&claim.message),
            begun: doubt.as_ref().map(|doubt| doubt.provider.clone()),
            doubt,
            second_copy: None,
            bound: None,
            counted: Timestamp::MIN,
            alone: false,
            in_company: false,
            claim,
            owner: lease.owner,
            lease_expires: lease.expires,
            way,
            parts: Parts::default(),
            email: None,
            attempts: Vec::new(),
            usage: Vec::new(),
            receipts: Vec::new(),
            passed_over,
            room,
        }
    }

    /// Divided already.
    pub(super) fn in_parts(self, parts: Parts) -> Self {
        Self { parts, ..self }
    }

    /// Octets of the message.
    pub(super) fn size(&self) -> usize {
        self.claim.message.raw.len()
    }

    /// True when it may go to the provider of this name together with other messages, as far as one can see from
    /// outside. What that provider has refused before was perhaps refused because of its company, or spoilt it.
    pub(super) fn may_join(&self, provider: &str) -> bool {
        let refused = |past: &(String, Outcome)| past.0 == provider && past.1 == Outcome::Rejected;
        let sent_anew = self.claim.recipients.iter().any(|recipient| recipient.again > 0);
        !self.alone
            && !sent_anew
            && self.parts.is_one()
            && self.doubt.is_none()
            && !is_large(self.size())
            && !self.claim.history.iter().any(refused)
    }

    /// Takes down what a call to this provider says about whether it has the message.
    pub(super) fn heard(&mut self, provider: &str, at: Timestamp, answer: Answer) {
        let same = self.doubt.as_ref().is_some_and(|doubt| doubt.provider == provider);
        let shared = self.doubt.as_ref().is_some_and(|doubt| doubt.is_shared);
        match answer {
            Answer::Taken | Answer::Refused if same && !shared => self.doubt = None,
            // Without a note in the record there is nothing to keep.
            Answer::Unclear if !same && self.begun.as_deref() == Some(provider) => {
                self.doubt = Some(Doubt::new(provider, at));
            }
            Answer::Taken | Answer::Refused | Answer::Unclear | Answer::Silent => {}
        }
    }

    /// Its place in a batch that is to be repeated.
    pub(super) fn place(&self) -> Option<Place> {
        self.doubt.as_ref().and_then(|doubt| doubt.place)
    }

    /// True when nobody is settled yet, so that records of a call to all others need not name them.
    pub(super) fn is_whole(&self) -> bool {
        self.parts.is_one()
            && self.claim.recipients.iter().all(|it| it.state == RecipientState::Queued)
    }

    /// The call whose outcome is not known cannot be made again; the record still says of which request it was.
    pub(super) fn lose_request(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.place = None;
            doubt.is_lost = true;
            self.begun = None;
        }
    }

    /// True when the call whose outcome is not known cannot be made again.
    pub(super) fn has_lost_request(&self) -> bool {
        self.doubt.as_ref().is_some_and(|doubt| doubt.is_lost)
    }

    /// The provider that may have the message cannot carry it as it is. With `retry` the note of a call may have been
    /// written ahead of one that was never made; unless an attempt is on record. Else it could be carried, under settings
    /// that have been changed.
    pub(super) fn cannot_repeat(&mut self, provider: &str, on_unclear: OnUnclear) {
        let of_it = |past: &(String, Outcome)| past.0 == provider && past.1 != Outcome::Unfit;
        let Some(doubt) = self.doubt.as_ref().filter(|doubt| doubt.provider == provider) else {
            return;
        };
        let called = on_unclear == OnUnclear::Hold || self.claim.history.iter().any(of_it);
        if called || doubt.is_shared {
            self.lose_request();
        } else {
            self.doubt = None;
        }
    }

    /// Its batch cannot be repeated; the record still says that it is in it.
    pub(super) fn lose_batch(&mut self) {
        if let Some(doubt) = &mut self.doubt {
            doubt.lose_batch();
        }
        self.begun = None;
    }

    /// True when the lease does not last for another call.
    pub(super) fn lease_ends(&self, now: Timestamp) -> bool {
        now > self.begins_until()
    }

    /// Until when a call may be begun.
    pub(super) fn begins_until(&self) -> Timestamp {
        self.lease_expires - LEASE_MARGIN
    }

    /// The recipients that are still to be served, in the order of the envelope; of a message that goes in parts, those
    /// of the part whose turn it is.
    pub(super) fn pending(&self) -> Vec<Address> {
        let waiting = |state| state == RecipientState::Queued;
        let recipients = self.claim.recipients.iter().enumerate();
        let now = recipients.filter(|(at, r)| waiting(r.state) && self.parts.is_now(*at));
        now.map(|(_, r)| r.address.clone()).collect()
    }

    /// The message, or the part of it whose turn it is, ends so. Returns what follows for the message, or `None` when
    /// another part has its turn in the same delivery.
    pub(super) fn end_part(&mut self, next: Next) -> Option<Next> {
        let next = if self.parts.is_one() { next } else { self.with_doubt(next) };
        let next = self.parts.end(next, &mut self.claim.recipients);
        if next.is_none() {
            // What was refused of one part says little about another.
            self.passed_over = malformed_at(&self.claim);
            if self.second_copy.take().is_some() {
                // It was about the part that went elsewhere after all.
                self.doubt.take_if(|doubt| !doubt.is_aside && !doubt.is_shared);
            }
        }
        next
    }

    /// What the doubt means when a part ends so, and there are others: the record has room for one note.
    fn with_doubt(&mut self, next: Next) -> Next {
        let Some(doubt) = self.doubt.as_ref().filter(|doubt| !doubt.is_aside) else { return next };
        match next {
            Next::Failed { error } => {
                let error = doubt::doubtful(&doubt.provider, error);
                // One that was in the record may be about another part.
                let noted = self.claim.doubt.as_ref();
                if noted.is_none_or(|noted| noted.since != doubt.since) {
                    self.doubt = None;
                }
                Next::Failed { error }
            }
            Next::Queue { .. } => {
                if self.bound.is_some() {
                    // Another part's call would overwrite it.
                    self.parts.close();
                }
                next
            }
            Next::Continue | Next::Delivered => next,
        }
    }

    /// Who may have a message that fails all the same, where the record does not say so, or says it of its batch.
    pub(super) fn doubtful_end(&self, next: &Next) -> Option<&str> {
        let fails = match next {
            Next::Continue | Next::Queue { .. } => false,
            Next::Delivered => self.failure().is_some(),
            Next::Failed { .. } => true,
        };
        match &self.doubt {
            _ if !fails => None,
            Some(doubt) => {
                let is_noted =
                    self.begun.as_ref() == Some(&doubt.provider) && doubt.place.is_none();
                Some(&*doubt.provider).filter(|_| !is_noted)
            }
            None => {
                let failed = |it: &&RecipientStatus| it.state == RecipientState::Failed;
                let failed = self.claim.recipients.iter().filter(failed);
                failed.filter_map(|it| it.reason.as_deref()).find_map(doubt::suspected)
            }
        }
    }

    /// How often these have had the message sent anew: what makes the call another than the earlier ones.
    pub(super) fn times_anew<'a>(&self, addresses: impl Iterator<Item = &'a str>) -> u32 {
        let mut anew =
            self.claim.recipients.iter().filter(|recipient| recipient.again > 0).peekable();
        if anew.peek().is_none() {
            return 0;
        }
        let addresses: Vec<&str> = addresses.collect();
        let meant = |recipient: &&RecipientStatus| {
            addresses.iter().any(|address| recipient.address.same_mailbox(address))
        };
        anew.filter(meant).map(|recipient| recipient.again).max().unwrap_or(0)
    }

    /// How many recipients are still to be served.
    pub(super) fn waiting(&self) -> usize {
        let recipients = self.claim.recipients.iter();
        recipients.filter(|recipient| recipient.state == RecipientState::Queued).count()
    }

    /// Settles all recipients that are among `addresses`.
    pub(super) fn settle_recipients<'a>(
        &mut self,
        addresses: impl Iterator<Item = &'a str>,
        state: RecipientState,
        reason: Option<&str>,
    ) {
        let addresses: Vec<&str> = addresses.collect();
        for recipient in &mut self.claim.recipients {
            let meant = recipient.state == RecipientState::Queued
                && addresses.iter().any(|address| recipient.address.same_mailbox(address));
            if meant {
                recipient.state = state;
                recipient.reason = reason.map(str::to_owned);
            }
        }
    }

    /// Fails everybody who is not settled yet.
    pub(super) fn fail_pending(&mut self, reason: &str) {
        for recipient in &mut self.claim.recipients {
            if recipient.state == RecipientState::Queued {
                recipient.state = RecipientState::Failed;
                recipient.reason = Some(reason.to_owned());
            }
        }
    }

    /// The reason of the first recipient that failed.
    pub(super) fn failure(&self) -> Option<&str> {
        let mut recipients = self.claim.recipients.iter();
        let failed = recipients.find(|recipient| recipient.state == RecipientState::Failed)?;
        Some(failed.reason.as_deref().unwrap_or("refused"))
    }

    /// How often any provider gave an answer of this class, counting this delivery.
    pub(super) fn times(&self, outcome: Outcome) -> usize {
        let earlier = self.claim.history.iter().filter(|(_, past)| *past == outcome).count();
        earlier + self.attempts.iter().filter(|attempt| attempt.outcome == outcome).count()
    }

    /// The provider that was asked last.
    pub(super) fn last_provider(&self) -> Option<&str> {
        let earlier = || self.claim.history.last().map(|(name, _)| name.as_str());
        self.attempts.last().map(|attempt| attempt.provider.as_str()).or_else(earlier)
    }

    /// The number of the next attempt, from 1.
    pub(super) fn next_attempt(&self) -> usize {
        self.claim.history.len() + self.attempts.len() + 1
    }
}
