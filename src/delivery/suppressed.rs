//! Recipients that get no mail: looked for right before a message's calls, for as long as the list is not empty.

use std::collections::HashMap;

use super::doubt::Doubt;
use super::engine::{Engine, StoreHandle};
use super::job::Job;
use super::lane::LaneId;
use crate::message::Address;
use crate::queue::{RecipientState, Suppression};

impl Engine {
    /// The store with the list. Where nothing is recorded there may be one for the list alone.
    pub(super) fn list(&self) -> Option<&StoreHandle> {
        let list = self.store.as_ref().or_else(|| self.suppressions.get())?;
        (!list.0.suppressions().is_empty()).then_some(list)
    }

    /// Takes out those who are on the list. False when it cannot be read: then nothing may be sent.
    ///
    /// A call whose outcome is not known is repeated as it was: it may have arrived, and another request would have another
    /// key.
    pub(super) async fn suppress(&self, job: &mut Job, lane: LaneId) -> bool {
        let Some(list) = self.list().filter(|_| !job.repeats_by(lane)) else { return true };
        let Some(found) = self.among(list, job).await else { return false };
        if found.is_empty() {
            return true;
        }
        let taken_out = job.take_out(&found);
        self.log().suppressed(&job.claim.message, &taken_out.join(", "));
        true
    }

    /// True when one of those who wait is on the list, or may be: then it goes alone.
    pub(super) async fn concerns_the_list(&self, job: &Job) -> bool {
        let Some(list) = self.list() else { return false };
        self.among(list, job).await.is_none_or(|found| !found.is_empty())
    }

    async fn among(&self, list: &StoreHandle, job: &Job) -> Option<Vec<Suppression>> {
        let pending: Vec<Address> = job.pending();
        match list.0.suppressions().among(pending).await {
            Ok(found) => Some(found),
            Err(error) => {
                let id = job.claim.message.id;
                tracing::error!(queue_id = %id, %error, "the suppression list cannot be read; the message waits");
                None
            }
        }
    }
}

impl Job {
    /// True when this lane is to make the same call again. Whatever else goes of a message in doubt is new: to another
    /// provider, of another part, or where nobody would recognise it.
    fn repeats_by(&self, lane: LaneId) -> bool {
        let is_about_it = |doubt: &Doubt| !doubt.is_aside && !doubt.is_shared && !doubt.is_lost;
        self.bound == Some(lane) && self.doubt.as_ref().is_some_and(is_about_it)
    }

    /// Those who wait, of the part whose turn it is, and have one of these entries get nothing. Returns who they are.
    fn take_out(&mut self, entries: &[Suppression]) -> Vec<String> {
        let entries: HashMap<String, &Suppression> =
            entries.iter().map(|entry| (entry.address.suppression_key(), entry)).collect();
        let mut taken_out = Vec::new();
        for (at, recipient) in self.claim.recipients.iter_mut().enumerate() {
            if recipient.state != RecipientState::Queued || !self.parts.is_now(at) {
                continue;
            }
            if let Some(entry) = entries.get(&recipient.address.suppression_key()) {
                recipient.state = RecipientState::Suppressed;
                recipient.reason = Some(words(entry));
                taken_out.push(recipient.address.as_str().to_owned());
            }
        }
        taken_out
    }

    /// Why nobody gets it, where that is because everybody is on the list.
    pub(super) fn suppression(&self) -> Option<String> {
        let recipients = &self.claim.recipients;
        let is = |state: RecipientState| recipients.iter().filter(move |it| it.state == state);
        let others = is(RecipientState::Delivered).next().is_some()
            || is(RecipientState::Failed).next().is_some()
            || is(RecipientState::Queued).next().is_some();
        let first = is(RecipientState::Suppressed).next().filter(|_| !others)?;
        let reason = first.reason.as_deref().unwrap_or_default();
        Some(match is(RecipientState::Suppressed).count() {
            1 => format!("not sent: {} is {reason}", first.address),
            several => format!(
                "not sent: all {several} recipients are on the suppression list; {} is {reason}",
                first.address
            ),
        })
    }
}

/// What the record says of a recipient.
fn words(entry: &Suppression) -> String {
    let reason = entry.reason;
    match &entry.note {
        Some(note) => format!("on the suppression list ({reason}: {note})"),
        None => format!("on the suppression list ({reason})"),
    }
}
