//! A message on its way out.

use std::sync::Arc;
use std::time::Duration;

use super::brought::Way;
use super::memory::Room;
use super::parts::Parts;
use crate::clock::Timestamp;
use crate::message::{Address, Email};
use crate::queue::{Attempt, Claim, Next, Outcome, RecipientState, RecipientStatus, Usage};

/// No call is begun when less than this is left of the lease: what is due again goes to somebody else as well.
const LEASE_MARGIN: Duration = Duration::from_mins(2);

/// A claimed message with what this instance knows about it beyond the queue's record.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) claim: Claim,
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
    pub(super) fn new(
        claim: Claim,
        lease_expires: Timestamp,
        way: Way,
        room: Option<Room>,
    ) -> Self {
        let passed_over = malformed_at(&claim);
        Self {
            claim,
            lease_expires,
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

    /// True when the lease does not last for another call.
    pub(super) fn lease_ends(&self, now: Timestamp) -> bool {
        now + LEASE_MARGIN > self.lease_expires
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
        let next = self.parts.end(next, &mut self.claim.recipients);
        if next.is_none() {
            // What was refused of one part says little about another.
            self.passed_over = malformed_at(&self.claim);
        }
        next
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

    /// The number of the next attempt, from 1.
    pub(super) fn next_attempt(&self) -> usize {
        self.claim.history.len() + self.attempts.len() + 1
    }
}
