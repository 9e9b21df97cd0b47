//! What may become of a message: the rules that all stores share, as plain functions.

use std::collections::HashSet;
use std::time::Duration;

use super::model::{Next, RecipientState, RecipientStatus, Retry, Settlement, State, WayKey};
use super::store::{LARGE, Portion, StoreError};
use crate::clock::Timestamp;
use crate::message::{Address, QueueId};

/// The longest page of a list; longer ones are cut to it, and a limit of 0 means it.
pub(super) const PAGE_MAX: usize = 500;

/// The longest search text, in characters; what is beyond is not looked at.
pub(super) const SEARCH_MAX: usize = 200;

/// How many earlier attempts a claim carries: the latest ones.
pub(super) const HISTORY_MAX: usize = 100;

/// How many messages one slice of a sweep looks after at the most.
pub(super) const SWEEP_MAX: usize = 500;

/// How long it is kept what providers have taken: the longest quota is a month's.
const USAGE_KEPT: Duration = Duration::from_secs(35 * 24 * 3_600);

/// The first hour of those that are kept for quotas, counted from 1970.
pub(super) fn usage_from(now: Timestamp) -> i64 {
    now.checked_sub(USAGE_KEPT).unwrap_or(Timestamp::MIN).as_second().div_euclid(3_600)
}

/// The number of messages on a page.
pub(super) fn page_length(limit: usize) -> usize {
    if limit == 0 { PAGE_MAX } else { limit.min(PAGE_MAX) }
}

/// The name that a text may be: without blanks in it, and without the angle brackets that a Message-ID has.
pub(super) fn name(text: Option<&str>) -> Option<&str> {
    let text = text?.trim();
    let text = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    (!text.is_empty() && !text.contains(char::is_whitespace)).then_some(text)
}

/// What a list is searched for, or nothing when the text is blank.
pub(super) fn search_text(text: Option<&str>) -> Option<String> {
    let text: String = text?.trim().chars().take(SEARCH_MAX).collect();
    (!text.is_empty()).then_some(text)
}

/// How many large messages a claim passes over before it gives up.
pub(super) const PASSED_OVER_MAX: usize = 256;

impl Portion {
    /// How many messages of this way are wanted.
    pub(super) fn wants(&self, way: &WayKey) -> usize {
        self.ways.get(way).copied().unwrap_or(self.others)
    }

    /// How many messages are wanted at the most.
    pub(super) fn messages(&self) -> usize {
        self.ways.values().fold(self.others, |sum, room| sum.saturating_add(*room))
    }
}

/// A claim that is being made up.
#[derive(Debug)]
pub(super) struct Helping {
    /// What there is still room for.
    portion: Portion,
    small: usize,
    large: usize,
    bytes: u64,
    passed_over: usize,
}

/// What a claim does with a message that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pick {
    Take,
    PassOver,
    /// The claim is complete without it.
    End,
}

impl Helping {
    pub(super) fn new(portion: Portion) -> Self {
        Self { portion, small: 0, large: 0, bytes: 0, passed_over: 0 }
    }

    /// True while there is room for another message of this way.
    pub(super) fn wants(&self, way: &WayKey) -> bool {
        self.portion.wants(way) > 0
    }

    /// True when there is no room for more of any way.
    pub(super) fn is_complete(&self) -> bool {
        self.portion.others == 0 && self.portion.ways.values().all(|room| *room == 0)
    }

    /// About a message of `size` octets that is due and of a way that is wanted.
    pub(super) fn pick(&mut self, way: &WayKey, size: u64) -> Pick {
        let pick = self.by_size(size);
        if pick == Pick::Take {
            self.takes_along(way, 1);
        }
        pick
    }

    /// So many more messages of the way go with one that was taken.
    pub(super) fn takes_along(&mut self, way: &WayKey, messages: usize) {
        let left = self.portion.ways.get_mut(way).unwrap_or(&mut self.portion.others);
        *left = left.saturating_sub(messages);
    }

    fn by_size(&mut self, size: u64) -> Pick {
        if size >= LARGE {
            if self.large < self.portion.large {
                self.large += 1;
                return Pick::Take;
            }
            self.passed_over += 1;
            return if self.passed_over > PASSED_OVER_MAX { Pick::End } else { Pick::PassOver };
        }
        self.bytes = self.bytes.saturating_add(size);
        if self.bytes > self.portion.bytes && self.small > 0 {
            return Pick::End;
        }
        self.small += 1;
        Pick::Take
    }
}

/// What becomes of the error that a message shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LastError<'a> {
    /// It stays as it is.
    Keep,
    /// There is none any more.
    Clear,
    /// This one.
    Set(&'a str),
}

/// What a settlement does to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Change<'a> {
    pub(super) state: State,
    /// The new due time; `None` leaves it as it is.
    pub(super) due: Option<Timestamp>,
    /// How many steps of the back-off to add.
    pub(super) deferrals: u32,
    /// When it was over, if it is.
    pub(super) finished: Option<Timestamp>,
    pub(super) error: LastError<'a>,
    /// The provider of the last attempt; `None` leaves it as it is.
    pub(super) provider: Option<&'a str>,
    /// The last name that a provider gave; `None` leaves it as it is.
    pub(super) provider_message_id: Option<&'a str>,
}

impl<'a> Change<'a> {
    /// Reads it from the settlement.
    pub(super) fn of(settlement: &'a Settlement) -> Self {
        let (state, due, deferrals, error) = match &settlement.next {
            Next::Continue => (State::Sending, None, 0, LastError::Keep),
            Next::Queue { due, error, deferred } => {
                let error = error.as_deref().map_or(LastError::Keep, LastError::Set);
                (State::Queued, Some(*due), u32::from(*deferred), error)
            }
            Next::Delivered => (State::Delivered, None, 0, LastError::Clear),
            Next::Failed { error } => (State::Failed, None, 0, LastError::Set(error)),
        };
        let attempts = || settlement.attempts.iter().rev();
        let error = match (error, attempts().find_map(|attempt| attempt.error.as_deref())) {
            (LastError::Keep, Some(error)) => LastError::Set(error),
            (error, _) => error,
        };
        Self {
            state,
            due,
            deferrals,
            finished: (!state.is_open()).then_some(settlement.at),
            error,
            provider: attempts().next().map(|attempt| attempt.provider.as_str()),
            provider_message_id: attempts()
                .find_map(|attempt| attempt.provider_message_id.as_deref()),
        }
    }
}

/// Whether an operator may have a message of this state tried again.
pub(super) fn may_retry(id: QueueId, state: State, retry: &Retry) -> Result<(), StoreError> {
    match state {
        State::Delivered if !retry.recipients.is_empty() => Ok(()),
        State::Queued | State::Failed | State::Cancelled => Ok(()),
        State::Sending => Err(StoreError::WrongState {
            id,
            state,
            hint: "it is on its way to a provider right now, wait for the outcome",
        }),
        State::Delivered => Err(StoreError::WrongState {
            id,
            state,
            hint: "there is nothing left to try; to have it sent again, name the recipients",
        }),
    }
}

/// Whether a retry may name this provider: what a client wants to have sent by its own account goes by no other.
pub(super) fn may_name(
    id: QueueId,
    state: State,
    provider: Option<&str>,
    has_account: bool,
) -> Result<(), StoreError> {
    if provider.is_some() && has_account {
        return Err(StoreError::WrongState {
            id,
            state,
            hint: "it goes only by the provider account that its client brought: retry it without naming a provider",
        });
    }
    Ok(())
}

/// Whether a retry may change anything of a message that is in doubt as a member of a batch: the batch is repeated as it was.
pub(super) fn may_leave_batch(
    id: QueueId,
    state: State,
    in_batch: bool,
    retry: &Retry,
) -> Result<(), StoreError> {
    if in_batch && *retry != Retry::default() {
        return Err(StoreError::WrongState { id, state, hint: IN_BATCH });
    }
    Ok(())
}

/// Whether a message that is tried again stays in doubt. An operator who looks at one that waits only wants it now; who has
/// it sent after its end, elsewhere, or to others, has decided. A batch stays one.
pub(super) fn keeps_doubt(state: State, in_batch: bool, retry: &Retry) -> bool {
    in_batch || (state == State::Queued && *retry == Retry::default())
}

const IN_BATCH: &str = "it went out together with others and nobody knows yet whether it arrived: wait until the provider \
                        has answered the repeat";

/// Whether an operator may stop a message of this state.
pub(super) fn may_cancel(id: QueueId, state: State, in_batch: bool) -> Result<(), StoreError> {
    let hint = match state {
        State::Queued if in_batch => IN_BATCH,
        State::Queued => return Ok(()),
        State::Sending => "it is on its way to a provider right now, wait for the outcome",
        State::Delivered | State::Failed | State::Cancelled => {
            "only a message that waits in the queue can be cancelled"
        }
    };
    Err(StoreError::WrongState { id, state, hint })
}

/// A retry of a message in this state: those who are named wait again, also who was not among the recipients; without
/// names everybody who has not got the message.
///
/// With names the others are out of it, who failed as well (their reason stays): whoever corrects an address does not want
/// to see the message fail for the wrong one. Later retries without names leave them out, too, unless the whole message
/// was cancelled.
///
/// `stays_in_doubt`: what is left of it is repeated as it was, see [`keeps_doubt`]. Who was suppressed was not in that call,
/// and stays out of it.
pub(super) fn reopen(
    recipients: &mut Vec<RecipientStatus>,
    state: State,
    named: &[Address],
    stays_in_doubt: bool,
) {
    if !named.is_empty() {
        return reopen_for(recipients, named);
    }
    let failed_or_waits = |state| {
        use RecipientState::{Failed, Queued, Suppressed};
        matches!(state, Failed | Queued | Suppressed)
    };
    let also_cancelled = state == State::Cancelled
        || !recipients.iter().any(|recipient| failed_or_waits(recipient.state));
    for recipient in recipients {
        match recipient.state {
            // Who is still on the list when it goes is suppressed again.
            RecipientState::Failed | RecipientState::Queued => wait_again(recipient),
            RecipientState::Suppressed if stays_in_doubt => {}
            RecipientState::Suppressed => wait_again(recipient),
            RecipientState::Cancelled if also_cancelled => wait_again(recipient),
            RecipientState::Cancelled | RecipientState::Delivered => {}
        }
    }
}

/// True when nobody is left but who is on the list of addresses that get no mail: tried again, it would end as it has.
pub fn is_only_suppressed(recipients: &[RecipientStatus]) -> bool {
    let has = |state| recipients.iter().any(|recipient| recipient.state == state);
    has(RecipientState::Suppressed) && !has(RecipientState::Queued) && !has(RecipientState::Failed)
}

fn reopen_for(recipients: &mut Vec<RecipientStatus>, named: &[Address]) {
    let named_keys: HashSet<String> = named.iter().map(Address::mailbox_key).collect();
    let mut found = HashSet::new();
    for recipient in recipients.iter_mut() {
        let key = recipient.address.mailbox_key();
        let is_named = named_keys.contains(&key);
        found.insert(key);
        match recipient.state {
            RecipientState::Delivered if is_named => {
                recipient.again = recipient.again.saturating_add(1);
                wait_again(recipient);
            }
            _ if is_named => wait_again(recipient),
            RecipientState::Queued | RecipientState::Failed => {
                recipient.state = RecipientState::Cancelled;
            }
            RecipientState::Delivered | RecipientState::Cancelled | RecipientState::Suppressed => {}
        }
    }
    for address in named {
        if found.insert(address.mailbox_key()) {
            recipients.push(RecipientStatus::queued(address.clone()));
        }
    }
}

fn wait_again(recipient: &mut RecipientStatus) {
    recipient.state = RecipientState::Queued;
    recipient.reason = None;
}

/// A cancellation: nobody waits any more.
pub(super) fn stop(recipients: &mut [RecipientStatus]) {
    for recipient in recipients {
        match recipient.state {
            RecipientState::Queued => recipient.state = RecipientState::Cancelled,
            RecipientState::Delivered
            | RecipientState::Failed
            | RecipientState::Cancelled
            | RecipientState::Suppressed => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_text_is_trimmed_and_cut_short() {
        assert_eq!(search_text(None), None);
        assert_eq!(search_text(Some("  ")), None);
        assert_eq!(search_text(Some(" 확인 ")).as_deref(), Some("확인"));
        let long = "한".repeat(SEARCH_MAX + 1);
        assert_eq!(search_text(Some(&long)).map(|text| text.chars().count()), Some(SEARCH_MAX));
    }

    #[test]
    fn a_retry_reopens_who_is_named_and_adds_who_was_not_there() {
        let recipient = |address: &str, state| RecipientStatus {
            state,
            ..RecipientStatus::queued(address.parse().unwrap())
        };
        let mut recipients = vec![
            recipient("has@x.kr", RecipientState::Delivered),
            recipient("failed@x.kr", RecipientState::Failed),
            recipient("waits@x.kr", RecipientState::Queued),
        ];
        let named: Vec<Address> =
            ["has@X.KR", "new@x.kr", "new@X.kr"].iter().map(|a| a.parse().unwrap()).collect();
        reopen(&mut recipients, State::Failed, &named, false);
        let shown: Vec<_> =
            recipients.iter().map(|r| (r.address.as_str(), r.state, r.again)).collect();
        assert_eq!(
            shown,
            [
                ("has@x.kr", RecipientState::Queued, 1),
                ("failed@x.kr", RecipientState::Cancelled, 0),
                ("waits@x.kr", RecipientState::Cancelled, 0),
                ("new@x.kr", RecipientState::Queued, 0),
            ]
        );
        recipients[3].state = RecipientState::Failed;
        let states = |recipients: &[RecipientStatus]| {
            recipients.iter().map(|recipient| recipient.state).collect::<Vec<_>>()
        };
        let (waits, out) = (RecipientState::Queued, RecipientState::Cancelled);

        reopen(&mut recipients, State::Failed, &[], false);
        assert_eq!(states(&recipients), [waits, out, out, waits], "who was left out stays out");
        assert_eq!(recipients[0].again, 1, "it has not got it yet: this is no sending anew");
        stop(&mut recipients);
        reopen(&mut recipients, State::Cancelled, &[], false);
        assert_eq!(states(&recipients), [waits; 4]);
    }

    #[test]
    fn a_page_has_between_one_and_500_messages() {
        assert_eq!(page_length(0), 500);
        assert_eq!(page_length(1), 1);
        assert_eq!(page_length(usize::MAX), 500);
    }
}
