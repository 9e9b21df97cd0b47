//! A message as a row of a list.

use super::words::{Moment, Words, fill};
use crate::clock::Timestamp;
use crate::message::Address;
use crate::queue::{RecipientState, State, Summary};

/// A message of the list.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) received: Moment,
    /// The header's From, or the envelope's where there is none.
    pub(super) from: String,
    /// The display name in it, or the whole of it.
    pub(super) author: String,
    pub(super) to: String,
    /// `+2`, when there are more recipients.
    pub(super) more: Option<String>,
    pub(super) subject: String,
    pub(super) provider: String,
    pub(super) error: Option<String>,
}

impl Row {
    pub(super) fn new(summary: &Summary, now: Timestamp, t: &'static Words) -> Self {
        let sender = || summary.sender.as_ref().map_or("<>", Address::as_str);
        let header = Some(summary.index.header_from.as_str()).filter(|from| !from.is_empty());
        let from = header.unwrap_or_else(sender);
        let name =
            from.rsplit_once('<').map(|(name, _)| name.trim()).filter(|name| !name.is_empty());
        let to = summary.recipients.first().map_or("", |recipient| recipient.address.as_str());
        let others = summary.recipients.len().saturating_sub(1);
        let (tone, state) = if summary.in_doubt {
            ("busy", t.in_doubt)
        } else {
            (tone(summary.state), state(summary.state, t))
        };
        Self {
            id: summary.id.to_string(),
            state,
            tone,
            received: Moment::past(summary.received_at, now, t),
            from: from.to_owned(),
            author: name.unwrap_or(from).to_owned(),
            to: to.to_owned(),
            more: (others > 0).then(|| fill(t.and_more, &[&others.to_string()])),
            subject: summary.index.subject.clone(),
            provider: summary.provider.clone().unwrap_or_default(),
            error: summary.error.clone().filter(|_| summary.state != State::Delivered),
        }
    }
}

/// A class of the style.
pub(super) fn tone(state: State) -> &'static str {
    match state {
        State::Queued => "wait",
        State::Sending => "wait",
        State::Delivered => "good",
        State::Failed => "bad",
        State::Cancelled => "calm",
    }
}

/// The name of a state.
pub(super) fn state(state: State, t: &'static Words) -> &'static str {
    match state {
        State::Queued => t.queued,
        State::Sending => t.sending,
        State::Delivered => t.delivered,
        State::Failed => t.failed,
        State::Cancelled => t.cancelled,
    }
}

/// Class of the style and name of a recipient's state.
pub(super) fn recipient(state: RecipientState, t: &'static Words) -> (&'static str, &'static str) {
    match state {
        RecipientState::Queued => ("wait", t.queued),
        RecipientState::Delivered => ("good", t.delivered),
        RecipientState::Failed => ("bad", t.failed),
        RecipientState::Cancelled => ("calm", t.cancelled),
        RecipientState::Suppressed => ("calm", t.suppressed),
    }
}

#[cfg(test)]
mod tests {
    use super::super::words::Lang;
    use super::*;
    use crate::http::tests::sample;

    #[test]
    fn a_row_shows_the_name_of_who_sends_and_the_first_of_the_recipients() {
        let row = Row::new(&sample::failed().summary, sample::now(), Lang::English.words());
        assert_eq!(row.author, "Oratio");
        assert_eq!((row.to.as_str(), row.more.as_deref()), ("ada@example.org", Some("+1")));
        assert_eq!((row.tone, row.state), ("bad", "failed"));
        let bounce = Row::new(&sample::bounce(), sample::now(), Lang::Korean.words());
        assert_eq!((bounce.author.as_str(), bounce.state), ("<>", "대기"));
        assert_eq!((bounce.subject.as_str(), bounce.more), ("", None));
    }

    #[test]
    fn what_is_in_doubt_is_not_called_failed() {
        let mut summary = sample::failed().summary;
        summary.in_doubt = true;
        let row = Row::new(&summary, sample::now(), Lang::English.words());
        assert_eq!((row.tone, row.state), ("busy", "in doubt"));
    }
}
