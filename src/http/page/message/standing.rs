//! Where a message is, in a sentence, and what a person can do about it.

use super::super::words::{Moment, Words, fill};
use crate::clock::Timestamp;
use crate::queue::{Details, Outcome, RecipientState, State, Summary};

/// The answer to: where is it?
#[derive(Debug)]
pub(in crate::http::page) struct Standing {
    pub(in crate::http::page) sentence: String,
    /// The last error in its own words.
    pub(in crate::http::page) error: Option<String>,
    /// Who said so.
    pub(in crate::http::page) said_by: Option<String>,
    pub(in crate::http::page) todo: Option<&'static str>,
}

impl Standing {
    pub(super) fn new(
        details: &Details,
        catching: bool,
        now: Timestamp,
        t: &'static Words,
    ) -> Self {
        let summary = &details.summary;
        let ended_well = summary.state == State::Delivered;
        let shown = summary.error.as_deref().filter(|_| !ended_well);
        let (said_by, error) = shown.map(|text| whose(text, details)).unzip();
        Self {
            sentence: sentence(details, catching, now, t),
            said_by: said_by.flatten().map(str::to_owned),
            error: error.map(str::to_owned),
            todo: todo(details, t),
        }
    }
}

/// Who said this, and the words without that name. Much is said by nobody that was asked: that a suppression stands in the
/// way, that the time is over, that there is no provider.
fn whose<'a>(text: &'a str, details: &'a Details) -> (Option<&'a str>, &'a str) {
    let Some(last) = details.attempts.last() else { return (None, text) };
    let name = last.provider.as_str();
    let named = text.strip_prefix(name).and_then(|rest| rest.strip_prefix(": "));
    let own = last.error.as_deref().is_some_and(|said| said == named.unwrap_or(text));
    // Some errors begin with who said them.
    if own || named.is_some() { (Some(name), named.unwrap_or(text)) } else { (None, text) }
}

fn sentence(details: &Details, catching: bool, now: Timestamp, t: &Words) -> String {
    let summary = &details.summary;
    if summary.in_doubt {
        return match &summary.maybe_at {
            Some(provider) => fill(t.where_doubt_at, &[provider]),
            None => t.where_doubt.to_owned(),
        };
    }
    match summary.state {
        State::Queued => {
            let due = summary.next_attempt_at.unwrap_or(now);
            fill(t.where_queued, &[&Moment::to_come(due, now, t).short])
        }
        State::Sending => t.where_sending.to_owned(),
        State::Delivered if catching => t.where_caught.to_owned(),
        State::Delivered => {
            let by = summary.provider.as_deref().unwrap_or(t.provider);
            let (some, all) = delivered(summary);
            // Others may be suppressed or left out by an operator.
            if some < all {
                fill(t.where_delivered_some, &[by, &some.to_string(), &all.to_string()])
            } else {
                fill(t.where_delivered, &[by])
            }
        }
        State::Failed => match delivered(summary) {
            (0, _) => t.where_failed.to_owned(),
            (some, all) => fill(t.where_failed_some, &[&some.to_string(), &all.to_string()]),
        },
        State::Cancelled => t.where_cancelled.to_owned(),
    }
}

/// How many recipients have it, and of how many.
fn delivered(summary: &Summary) -> (usize, usize) {
    let recipients = &summary.recipients;
    let some = recipients.iter().filter(|it| is(it, RecipientState::Delivered)).count();
    (some, recipients.len())
}

fn is(recipient: &crate::queue::RecipientStatus, state: RecipientState) -> bool {
    recipient.state == state
}

/// What follows for a person; nothing where nothing is wrong.
fn todo(details: &Details, t: &Words) -> Option<&'static str> {
    let summary = &details.summary;
    if summary.in_doubt {
        return None;
    }
    let last = details.attempts.last().map(|attempt| attempt.outcome);
    match summary.state {
        State::Queued => last.map(|outcome| match outcome {
            Outcome::Misconfigured => t.misconfigured_do,
            Outcome::Delivered
            | Outcome::Throttled
            | Outcome::Exhausted
            | Outcome::Temporary
            | Outcome::Rejected
            | Outcome::Unknown
            | Outcome::Bug
            | Outcome::Unfit => t.do_waiting,
        }),
        State::Failed => {
            let suppressed = |it: &_| is(it, RecipientState::Suppressed);
            if summary.recipients.iter().any(suppressed)
                && !summary.recipients.iter().any(|it| is(it, RecipientState::Failed))
            {
                return Some(t.do_suppressed);
            }
            Some(match last {
                Some(Outcome::Rejected) => t.do_rejected,
                Some(Outcome::Misconfigured) => t.do_misconfigured,
                Some(Outcome::Unfit) => t.do_unfit,
                Some(Outcome::Bug) => t.do_bug,
                Some(Outcome::Unknown) => t.do_unknown,
                Some(
                    Outcome::Throttled
                    | Outcome::Exhausted
                    | Outcome::Temporary
                    | Outcome::Delivered,
                )
                | None => t.do_passing,
            })
        }
        State::Sending | State::Delivered | State::Cancelled => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::words::Lang;
    use super::*;
    use crate::http::tests::sample;

    fn told(details: &Details) -> Standing {
        Standing::new(details, false, sample::now(), Lang::English.words())
    }

    #[test]
    fn a_refused_message_says_for_whom_why_and_what_to_do() {
        let standing = told(&sample::failed());
        assert!(standing.sentence.contains("to 1 of 2 recipients"), "{}", standing.sentence);
        assert_eq!(standing.error.as_deref(), Some("422: no such user"));
        assert_eq!(standing.said_by.as_deref(), Some("resend"));
        assert!(standing.todo.unwrap().contains("send by another provider"));
    }

    #[test]
    fn what_waits_says_until_when() {
        let mut details = sample::failed();
        details.summary.state = State::Queued;
        details.summary.next_attempt_at = Some(sample::now() + std::time::Duration::from_secs(90));
        details.attempts[0].outcome = Outcome::Temporary;
        let standing = told(&details);
        assert!(standing.sentence.contains("in 1 min"), "{}", standing.sentence);
        assert!(standing.todo.unwrap().contains("by itself"));
    }

    #[test]
    fn a_doubt_is_told_with_the_place_to_look_at_and_no_advice_to_send_again() {
        let mut details = sample::failed();
        details.summary.in_doubt = true;
        details.summary.maybe_at = Some("ses".to_owned());
        let standing = told(&details);
        assert!(standing.sentence.contains("whether ses has it"), "{}", standing.sentence);
        assert_eq!(standing.todo, None);
    }

    #[test]
    fn mail_that_arrived_or_was_caught_needs_nothing() {
        let mut details = sample::failed();
        details.summary.state = State::Delivered;
        details.summary.recipients.truncate(1);
        let standing = told(&details);
        let words = "resend has taken it for every recipient";
        assert!(standing.sentence.starts_with(words), "{}", standing.sentence);
        assert_eq!((standing.error, standing.todo), (None, None));
        let caught = Standing::new(&details, true, sample::now(), Lang::Korean.words());
        assert!(caught.sentence.contains("받아 두었습니다"), "{}", caught.sentence);
    }

    #[test]
    fn who_was_left_out_is_not_counted_among_those_who_have_it() {
        for state in [RecipientState::Suppressed, RecipientState::Cancelled] {
            let mut details = sample::failed();
            details.summary.state = State::Delivered;
            details.summary.recipients[1].state = state;
            let sentence = told(&details).sentence;
            assert!(
                sentence.starts_with("resend has taken it for 1 of 2 recipients"),
                "{sentence}"
            );
        }
    }

    #[test]
    fn a_provider_is_named_only_for_what_it_said_itself() {
        let mut details = sample::failed();
        details.summary.error = Some("resend: 500".to_owned());
        let standing = told(&details);
        assert_eq!(standing.said_by.as_deref(), Some("resend"));
        assert_eq!(standing.error.as_deref(), Some("500"));
        details.summary.error = Some("bob@example.org is on the suppression list".to_owned());
        let standing = told(&details);
        assert_eq!((standing.said_by, standing.error), (None, details.summary.error));
    }

    #[test]
    fn a_message_whose_recipients_are_suppressed_points_to_the_list() {
        let mut details = sample::failed();
        for recipient in &mut details.summary.recipients {
            recipient.state = RecipientState::Suppressed;
        }
        details.attempts.clear();
        assert!(told(&details).todo.unwrap().contains("suppressions"));
    }
}
