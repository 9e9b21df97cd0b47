//! Everything that the page says, in every language that it speaks. A word that one of them lacks does not compile.
//!
//! What providers say, and the errors of the API, stay in the words that they came in.

mod en;
mod ko;
mod language;
mod table;
mod time;

pub(super) use language::COOKIE_NAME;
pub(in crate::http) use language::Lang;
pub(in crate::http) use table::{Plural, Words};
pub(super) use time::{Moment, size, span};

/// Puts values in the places of a text, `{}`, one after the other.
pub(super) fn fill(text: &str, values: &[&str]) -> String {
    let mut values = values.iter();
    let mut filled = String::with_capacity(text.len() + 32);
    for (n, piece) in text.split("{}").enumerate() {
        if n > 0 {
            filled.push_str(values.next().unwrap_or(&""));
        }
        filled.push_str(piece);
    }
    filled
}

impl Plural {
    /// The text for so many.
    pub(super) fn of(self, n: u64) -> String {
        fill(if n == 1 { self.one } else { self.many }, &[&grouped(n)])
    }
}

/// A number with its thousands apart.
pub(super) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_take_their_places() {
        assert_eq!(fill("{} of {}", &["1", "2"]), "1 of 2");
        assert_eq!(fill("nothing", &["1"]), "nothing");
        assert_eq!(fill("{} and {}", &["a"]), "a and ");
        let filled = fill("<{}>", &["{}"]);
        assert_eq!(filled, "<{}>", "a value is no text to be filled");
    }

    #[test]
    fn one_and_many_differ_where_the_language_does() {
        let en = Lang::English.words();
        assert_eq!(en.recipients_n.of(1), "1 recipient");
        assert_eq!(en.recipients_n.of(1_234), "1,234 recipients");
        let ko = Lang::Korean.words();
        assert_eq!(ko.recipients_n.of(1), "수신자 1명");
    }

    #[test]
    fn numbers_are_grouped() {
        for (n, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(grouped(n), text);
        }
    }
}
