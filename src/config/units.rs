//! Sizes, durations and rates as people write them.

use std::time::Duration;

/// A number of octets; in the file `"25 MiB"` or a plain number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

/// A rate as the file writes it: `"5/s"`, `"100/m"`, `"1000/h"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// How many calls…
    pub calls: u32,
    /// …in this time.
    pub per: Duration,
}

const SIZE_UNITS: [(&str, u64); 8] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

const TIME_UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// The longest duration: a hundred years. Beyond it, times could no longer be reckoned.
const DURATION_MAX_MS: u64 = 36_500 * 86_400_000;

const RATE_UNITS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 3_600), ("d", 86_400)];

impl Size {
    /// Reads `"25 MiB"`, `"25MB"`, `"1024"`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (number, unit) = split_number(text)?;
        let unit = unit.trim();
        let (_, factor) = SIZE_UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
        number.checked_mul(*factor).map(Self)
    }

    /// Writes what [`Size::parse`] reads, in the largest binary unit that loses nothing.
    pub(super) fn show(self) -> String {
        let units = [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        match units.into_iter().find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => format!("{} {unit}", self.0 / factor),
            None => self.0.to_string(),
        }
    }
}

/// Reads `"30s"`, `"1h30m"`, `"250ms"`; a bare number only when it is 0.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut coarsest = 0;
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, remaining) = after.split_at(end);
        // From the coarse to the fine, each once: `5s1h` is a slip rather than a duration.
        let position = TIME_UNITS.iter().position(|(name, _)| *name == unit)?;
        if position < coarsest {
            return None;
        }
        coarsest = position + 1;
        let (_, factor) = TIME_UNITS.get(position)?;
        total = total.checked_add(number.checked_mul(*factor)?)?;
        rest = remaining.trim_start();
    }
    (!text.is_empty() && total <= DURATION_MAX_MS).then(|| Duration::from_millis(total))
}

/// Writes what [`parse_duration`] reads.
pub(super) fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    // Hours are easier to compare than one day and some hours.
    let whole_days = rest.is_multiple_of(86_400_000) && rest > 86_400_000;
    let mut text = String::new();
    for (unit, factor) in TIME_UNITS {
        if unit == "d" && !whole_days {
            continue;
        }
        if rest >= factor {
            text.push_str(&format!("{}{unit}", rest / factor));
            rest %= factor;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

impl RateLimit {
    /// Reads `"5/s"`, `"100/m"`, `"1000/h"`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (calls, unit) = text.split_once('/')?;
        let (calls, unit) = (calls.trim(), unit.trim());
        let (calls, rest) = split_number(calls)?;
        let (_, seconds) = RATE_UNITS.iter().find(|(name, _)| *name == unit)?;
        let calls = u32::try_from(calls).ok().filter(|calls| *calls > 0)?;
        rest.is_empty().then(|| Self { calls, per: Duration::from_secs(*seconds) })
    }

    /// Writes what [`RateLimit::parse`] reads.
    pub(super) fn show(self) -> String {
        let seconds = self.per.as_secs();
        let unit = RATE_UNITS.iter().find(|(_, length)| *length == seconds);
        format!("{}/{}", self.calls, unit.map_or("s", |(name, _)| name))
    }
}

/// The digits at the start, and what follows them.
fn split_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (text, octets) in [
            ("1024", 1024),
            ("25 MiB", 25 << 20),
            ("25MiB", 25 << 20),
            ("25MB", 25_000_000),
            ("10 kb", 10_000),
            ("1 GiB", 1 << 30),
            ("0", 0),
        ] {
            assert_eq!(Size::parse(text), Some(Size(octets)), "{text}");
        }
        for bad in [
            "",
            "MiB",
            "-1",
            "25 M",
            "1.5 MiB",
            "25 MiB!",
            "99999999999999999999",
            "9999999999999 GiB",
        ] {
            assert_eq!(Size::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ms) in [
            ("30s", 30_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("7d", 604_800_000),
            ("0s", 0),
            ("0ms", 0),
            ("0", 0),
            ("250ms", 250),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("5 m", 300_000),
        ] {
            assert_eq!(parse_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "30",
            "s",
            "5x",
            "-5s",
            "1.5h",
            "5s1h",
            "5m5m",
            "1h30",
            "40000d",
            "99999999999999999999s",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn rates_read_as_people_write_them() {
        let rate = |calls, seconds| RateLimit { calls, per: Duration::from_secs(seconds) };
        assert_eq!(RateLimit::parse("5/s"), Some(rate(5, 1)));
        assert_eq!(RateLimit::parse("100/m"), Some(rate(100, 60)));
        assert_eq!(RateLimit::parse("1000 / h"), Some(rate(1000, 3600)));
        for bad in ["", "5", "/s", "0/s", "5/", "5/w", "-5/s", "5x/s", "5/s/s"] {
            assert_eq!(RateLimit::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_reads_back() {
        for text in ["25 MiB", "1000", "3 KiB", "1 GiB", "0"] {
            assert_eq!(Size::parse(text).unwrap().show(), text);
        }
        for text in ["30s", "5m", "24h", "7d", "0s", "250ms", "1h30m", "36h", "1m1s5ms"] {
            assert_eq!(show_duration(parse_duration(text).unwrap()), text);
        }
        for text in ["5/s", "100/m", "1000/h"] {
            assert_eq!(RateLimit::parse(text).unwrap().show(), text);
        }
    }
}
