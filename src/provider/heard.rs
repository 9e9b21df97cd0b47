//! What services say of their limits beside their answers.

use std::time::Duration;

use http::HeaderMap;

use super::Rate;

/// The largest figure that is believed: no limit is that high, and no count.
const FIGURE_MAX: u64 = 1_000_000_000;

/// A service's own words about its limits, as far as it said something.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Heard {
    /// How many calls it takes in which time.
    pub limit: Option<Rate>,
    /// How many more it takes until `reset`.
    pub remaining: Option<u32>,
    /// From now until the limit renews.
    pub reset: Option<Duration>,
    /// Recipients that count for the quota of this day.
    pub used_today: Option<u64>,
    /// Recipients that count for the quota of this month.
    pub used_this_month: Option<u64>,
}

impl Heard {
    /// `None` when nothing was said.
    pub(super) fn or_none(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// A header field that is a whole number; of a list of them ("10, 10;w=1") the first.
pub(super) fn figure(headers: &HeaderMap, name: &str) -> Option<u64> {
    let text = headers.get(name)?.to_str().ok()?;
    let first = text.split([',', ';']).next()?.trim();
    first.parse().ok().filter(|figure| *figure <= FIGURE_MAX)
}

/// The same, of what fits into 32 bits.
pub(super) fn small_figure(headers: &HeaderMap, name: &str) -> Option<u32> {
    figure(headers, name).and_then(|figure| u32::try_from(figure).ok())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_figure_is_a_whole_number_or_nothing() {
        for (text, expected) in [
            ("7", Some(7)),
            (" 0 ", Some(0)),
            ("10, 10;w=1", Some(10)),
            ("1000000001", None),
            ("-1", None),
            ("1.5", None),
            ("many", None),
            ("", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("ratelimit-limit", HeaderValue::from_static(text));
            assert_eq!(figure(&headers, "ratelimit-limit"), expected, "{text}");
        }
    }
}
