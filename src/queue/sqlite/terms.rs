//! What the index holds of a message, and what is asked of it.
//!
//! The index knows parts of three characters, and folds their case further than a search does: what it finds is looked at
//! again, what it does not find is not there. Marks that no text has tell whole names, providers and states from texts.

use aws_lc_rs::digest;

use crate::message::QueueId;
use crate::queue::State;

/// Bits of an id that are not part of its row's number.
const REST: u32 = 65;

/// Encloses the provider of the last attempt.
const PROVIDER: char = '\u{1}';
/// Encloses the state.
const STATE: char = '\u{2}';
/// Stands between other texts, and for control characters in all of them.
const GAP: char = '\u{3}';

/// The first of the characters that stand for whole names; no text has them, but for private ones.
const NAMES: u32 = 0xF_0000;

/// Parts of a question that the index is asked for.
const RAREST: usize = 6;

/// Parts of a text that are asked for at the most: more would hardly narrow it down, and each is one more list to read.
const PARTS_MAX: usize = 16;

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
pub(super) struct Text {
    texts: String,
    names: String,
}

impl Text {
    pub(super) fn state(&mut self, state: State) {
        self.enclosed(STATE, letter(state));
    }

    pub(super) fn provider(&mut self, provider: &str) {
        self.enclosed(PROVIDER, provider);
    }

    /// A name, which is found as a whole, and in parts like any text.
    pub(super) fn name(&mut self, name: &str) {
        self.names.push_str(&of_name(name));
        self.text(name);
    }

    pub(super) fn text(&mut self, text: &str) {
        self.enclosed(GAP, text);
    }

    pub(super) fn texts(&self) -> &str {
        &self.texts
    }

    pub(super) fn names(&self) -> &str {
        &self.names
    }

    /// Octets.
    pub(super) fn len(&self) -> usize {
        self.texts.len() + self.names.len()
    }

    fn enclosed(&mut self, mark: char, text: &str) {
        // One mark stands for the end of one and the beginning of the next.
        if !self.texts.ends_with(mark) {
            self.texts.push(mark);
        }
        self.texts.extend(text.chars().map(|c| if is_mark(c) { GAP } else { c }));
        self.texts.push(mark);
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

    /// A whole name.
    pub(super) fn name(&mut self, name: &str) {
        self.0.push(of_name(name));
    }

    pub(super) fn text(&mut self, text: &str) {
        self.parts(text, |c| is_mark(*c));
    }

    /// In the language of the index. Of many parts the rarest only, as `newest` tells them: how new the messages are that
    /// have the part, nothing when there are few. What everybody has narrows nothing down, and is a long list to read.
    pub(super) fn query<E>(
        &self,
        newest: impl Fn(&str) -> Result<Option<i64>, E>,
    ) -> Result<String, E> {
        let mut parts: Vec<String> = self.0.iter().map(|part| quoted(part)).collect();
        if parts.len() > RAREST {
            let known: Result<Vec<_>, E> =
                parts.into_iter().map(|part| Ok((newest(&part)?, part))).collect();
            let mut known = known?;
            known.sort();
            parts = known.into_iter().take(RAREST).map(|(_, part)| part).collect();
        }
        Ok(parts.join(" AND "))
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
        // Spread over all of it: texts that begin alike differ somewhere, often near the end. Every second one has every
        // character of a short text.
        let last = all.len().saturating_sub(3);
        let few = last.div_ceil(2).min(PARTS_MAX - 1);
        for n in (0..=few).filter(|_| all.len() >= 3) {
            let at = n * last / few.max(1);
            let part: String = all[at..at + 3].iter().collect();
            if !self.0.contains(&part) {
                self.0.push(part);
            }
        }
    }
}

/// A part in the language of the index.
fn quoted(part: &str) -> String {
    format!("\"{}\"", part.replace('"', "\"\""))
}

/// What stands for a whole name: one part, which hardly any other name has. The thirty parts of a Message-ID are in very
/// many messages each.
fn of_name(name: &str) -> String {
    let hash = digest::digest(&digest::SHA256, name.as_bytes());
    let pairs = hash.as_ref().chunks_exact(2).take(3);
    let number = |pair: &[u8]| pair.iter().fold(0, |number, octet| number << 8 | u32::from(*octet));
    // 15 bits: all of them are characters.
    pairs.filter_map(|pair| char::from_u32(NAMES + (number(pair) & 0x7FFF))).collect()
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
    fn a_whole_name_is_one_part_that_other_names_do_not_have() {
        let (mut text, mut terms) = (Text::default(), Terms::default());
        let names: Vec<String> = (0..10_000).map(|n| format!("<{n}@example.org>")).collect();
        names.iter().for_each(|name| text.name(name));
        terms.name(&names[7]);
        let [part] = terms.0.as_slice() else { panic!("{terms:?}") };
        assert_eq!(part.chars().count(), 3);
        assert_eq!(text.names().matches(part.as_str()).count(), 1);
        assert_eq!(text.names().chars().count(), 3 * names.len());
        // It is in files: another hash would be another index.
        assert_eq!(of_name("<a@example.org>"), "\u{F48CA}\u{F6375}\u{F6F05}");
    }

    #[test]
    fn the_parts_of_a_long_text_are_spread_over_it() {
        for (length, parts) in
            [(0, 0), (2, 0), (3, 1), (4, 2), (5, 2), (6, 3), (32, 16), (1_000, 16)]
        {
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
    fn of_many_parts_the_rarest_are_asked_for() {
        let mut terms = Terms::default();
        terms.text("kim@shop.example");
        assert_eq!(terms.0.len(), 8);
        let newest = |part: &str| match part {
            "\"kim\"" => Ok(None),
            "\"@sh\"" => Ok(Some(7)),
            _ => Ok::<_, ()>(Some(100_000)),
        };
        let query = terms.query(newest).unwrap();
        assert!(query.starts_with("\"kim\" AND \"@sh\" AND "), "{query}");
        assert_eq!(query.matches(" AND ").count(), RAREST - 1, "{query}");
        assert_eq!(terms.query(|_| Err("the store is away")), Err("the store is away"));
    }

    #[test]
    fn a_question_is_made_of_parts_that_the_text_has() {
        let mut terms = Terms::default();
        terms.text("a\"b\"");
        terms.provider("x");
        terms.text("주문");
        terms.text("with\ttab");
        let query = terms.query(|_| Err("few are not chosen from"));
        assert_eq!(query.unwrap(), "\"a\"\"b\" AND \"\"\"b\"\"\" AND \"\u{1}x\u{1}\"");

        let mut text = Text::default();
        text.state(State::Sending);
        text.text("a\u{1}b");
        text.name("c");
        assert_eq!(text.texts(), "\u{2}o\u{2}\u{3}a\u{3}b\u{3}c\u{3}");
    }
}
