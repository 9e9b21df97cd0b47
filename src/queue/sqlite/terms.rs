//! What the index holds of a message, and what is asked of it.
//!
//! The index knows parts of three characters, and folds their case further than a search does: what it finds is looked at
//! again, what it does not find is not there. Marks that no text has tell whole names, providers and states from texts.

use crate::message::QueueId;
use crate::queue::State;

/// Bits of an id that are not part of its row's number.
const REST: u32 = 65;

/// Encloses the provider of the last attempt.
const PROVIDER: char = '\u{1}';
/// Encloses the state.
const STATE: char = '\u{2}';
/// Encloses each name of the message.
const NAME: char = '\u{3}';
/// Stands between other texts, and for control characters in all of them.
const GAP: char = '\u{4}';

/// Parts of a text that are asked for at the most: more would hardly narrow it down.
const PARTS_MAX: usize = 32;

/// The number of the row in the index that this message is in.
pub(super) fn row(id: u128) -> i64 {
    // 63 bits are left: it always fits.
    i64::try_from(id >> REST).unwrap_or(i64::MAX)
}

/// The smallest and the largest id of the messages in a row.
pub(super) fn ids(row: i64) -> (u128, u128) {
    let low = u128::from(row.unsigned_abs()) << REST;
    (low, low | ((1 << REST) - 1))
}

/// An id as a number, in the order in which ids sort.
pub(super) fn number(id: QueueId) -> u128 {
    u128::from_be_bytes(*id.as_bytes())
}

/// The id of that number.
pub(super) fn id(number: u128) -> QueueId {
    QueueId::from_bytes(number.to_be_bytes())
}

/// What is written into the index, put together piece by piece.
#[derive(Debug, Default)]
pub(super) struct Text(String);

impl Text {
    pub(super) fn state(&mut self, state: State) {
        self.enclosed(STATE, letter(state));
    }

    pub(super) fn provider(&mut self, provider: &str) {
        self.enclosed(PROVIDER, provider);
    }

    pub(super) fn name(&mut self, name: &str) {
        self.enclosed(NAME, name);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.enclosed(GAP, text);
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    fn enclosed(&mut self, mark: char, text: &str) {
        // One mark stands for the end of one and the beginning of the next.
        if !self.0.ends_with(mark) {
            self.0.push(mark);
        }
        self.0.extend(text.chars().map(|c| if is_mark(c) { GAP } else { c }));
        self.0.push(mark);
    }
}

/// A question to the index: all of these parts.
#[derive(Debug, Default)]
pub(super) struct Terms(Vec<String>);

impl Terms {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn state(&mut self, state: State) {
        self.enclosed(STATE, letter(state));
    }

    pub(super) fn provider(&mut self, provider: &str) {
        self.enclosed(PROVIDER, provider);
    }

    pub(super) fn name(&mut self, name: &str) {
        self.enclosed(NAME, name);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.parts(text, |c| is_mark(*c));
    }

    /// In the language of the index.
    pub(super) fn query(&self) -> String {
        let quoted: Vec<String> =
            self.0.iter().map(|part| format!("\"{}\"", part.replace('"', "\"\""))).collect();
        quoted.join(" AND ")
    }

    fn enclosed(&mut self, mark: char, text: &str) {
        if !text.contains(is_mark) {
            self.parts(&format!("{mark}{text}{mark}"), |_| false);
        }
    }

    /// A text that the index cannot know as it is adds nothing: then more is looked at again.
    fn parts(&mut self, text: &str, is_unknown: impl Fn(&char) -> bool) {
        let all: Vec<char> = text.chars().collect();
        if all.iter().any(is_unknown) {
            return;
        }
        // Spread over all of it: texts that begin alike differ somewhere, often near the end.
        let last = all.len().saturating_sub(3);
        let few = last.min(PARTS_MAX - 1);
        for n in (0..=few).filter(|_| all.len() >= 3) {
            let at = n * last / few.max(1);
            let part: String = all[at..at + 3].iter().collect();
            if !self.0.contains(&part) {
                self.0.push(part);
            }
        }
    }
}

fn is_mark(c: char) -> bool {
    c < ' '
}

/// Open messages change between waiting and being sent too often to tell the index.
fn letter(state: State) -> &'static str {
    match state {
        State::Queued | State::Sending => "o",
        State::Delivered => "d",
        State::Failed => "f",
        State::Cancelled => "c",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn rows_follow_the_ids() {
        let at = |millis| QueueId::new(Timestamp::from_millisecond(millis).unwrap());
        let ids_in_order: Vec<u128> = (0..100).map(|n| number(at(1_790_000_000_000 + n))).collect();
        for pair in ids_in_order.windows(2) {
            assert!(row(pair[0]) < row(pair[1]));
        }
        for number in [0, u128::MAX, ids_in_order[0]] {
            let (low, high) = ids(row(number));
            assert!((low..=high).contains(&number));
            assert_eq!((row(low), row(high)), (row(number), row(number)));
            assert_eq!(super::number(id(number)), number);
        }
        assert!(row(u128::MAX) > 0);
    }

    #[test]
    fn the_parts_of_a_long_text_are_spread_over_it() {
        for (length, parts) in [(0, 0), (2, 0), (3, 1), (4, 2), (34, 32), (35, 32), (1_000, 32)] {
            let text: String = ('\u{1000}'..).take(length).collect();
            let mut terms = Terms::default();
            terms.text(&text);
            assert_eq!(terms.0.len(), parts, "{length}");
            assert!(terms.0.iter().all(|part| text.contains(part.as_str())));
            assert!(terms.0.first().is_none_or(|part| text.starts_with(part.as_str())));
            assert!(terms.0.last().is_none_or(|part| text.ends_with(part.as_str())));
        }
    }

    #[test]
    fn a_question_is_made_of_parts_that_the_text_has() {
        let mut terms = Terms::default();
        terms.text("a\"b\"");
        terms.name("x");
        terms.text("주문");
        terms.text("with\ttab");
        assert_eq!(terms.query(), "\"a\"\"b\" AND \"\"\"b\"\"\" AND \"\u{3}x\u{3}\"");

        let mut text = Text::default();
        text.state(State::Sending);
        text.name("a\u{3}b");
        text.name("c");
        assert_eq!(text.as_str(), "\u{2}o\u{2}\u{3}a\u{4}b\u{3}c\u{3}");
    }
}
