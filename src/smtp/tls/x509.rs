//! The few facts of a certificate (RFC 5280 §4.1) that rustls does not tell: until when it holds, and whether it has
//! signed itself.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0]`, which holds the version.
const VERSION: u8 = 0xa0;

/// What is said about a certificate in its signed part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The first moment at which it holds.
    pub(super) begins: Timestamp,
    /// The last one.
    pub(super) expires: Timestamp,
    /// Its issuer has the name of its subject.
    pub(super) self_issued: bool,
}

/// Reads a DER certificate; `None` when it is none.
pub(super) fn facts(certificate: &[u8]) -> Option<Facts> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (signed, _) = expect(SEQUENCE, certificate)?;
    let rest = expect(VERSION, signed).map_or(signed, |(_, rest)| rest);
    let (_serial, rest) = expect(INTEGER, rest)?;
    let (_algorithm, rest) = expect(SEQUENCE, rest)?;
    let (issuer, rest) = expect(SEQUENCE, rest)?;
    let (validity, rest) = expect(SEQUENCE, rest)?;
    let (subject, _) = expect(SEQUENCE, rest)?;
    let (begins, rest) = time(validity)?;
    let (expires, _) = time(rest)?;
    Some(Facts { begins, expires, self_issued: issuer == subject })
}

/// The content of the element at the front, if it has this tag, and what follows it.
fn expect(tag: u8, input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(input)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content and what follows. Tags of one octet and lengths of at most four, which is all that certificates have.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = input.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(first & 0x0f))?;
            let value = octets.iter().fold(0_u64, |sum, octet| (sum << 8) | u64::from(*octet));
            (usize::try_from(value).ok()?, rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// A point in time, to the second and in UTC as RFC 5280 §4.1.2.5 wants it.
fn time(input: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (tag, content, rest) = element(input)?;
    let digits = content.strip_suffix(b"Z").filter(|text| text.iter().all(u8::is_ascii_digit))?;
    let (year, digits) = match (tag, digits.len()) {
        (UTC_TIME, 12) => match number(digits.get(..2)?)? {
            year @ 0..50 => (2000 + year, digits.get(2..)?),
            year => (1900 + year, digits.get(2..)?),
        },
        (GENERALIZED_TIME, 14) => (number(digits.get(..4)?)?, digits.get(4..)?),
        _ => return None,
    };
    let mut pairs = digits.chunks_exact(2).map(number);
    let mut next = || pairs.next().flatten().and_then(|value| i8::try_from(value).ok());
    let (month, day, hour, minute, second) = (next()?, next()?, next()?, next()?, next()?);
    let moment = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    // "99991231235959Z" says that there is no end; it is a little beyond our last timestamp.
    Some((TimeZone::UTC.to_timestamp(moment).unwrap_or(Timestamp::MAX), rest))
}

fn number(digits: &[u8]) -> Option<i16> {
    str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_time_are_read() {
        let read = |tag: u8, text: &str| {
            let mut octets = vec![tag, u8::try_from(text.len()).unwrap()];
            octets.extend_from_slice(text.as_bytes());
            time(&octets).map(|(moment, _)| moment.to_string())
        };
        assert_eq!(read(UTC_TIME, "261121140015Z").unwrap(), "2026-11-21T14:00:15Z");
        assert_eq!(read(UTC_TIME, "500101000000Z").unwrap(), "1950-01-01T00:00:00Z");
        assert_eq!(read(GENERALIZED_TIME, "20610228235959Z").unwrap(), "2061-02-28T23:59:59Z");
        assert_eq!(read(GENERALIZED_TIME, "99991231235959Z"), Some(Timestamp::MAX.to_string()));
        for bad in ["261121140015", "2611211400Z", "261321140015Z", "26112114001xZ", "", "Z"] {
            assert_eq!(read(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn a_certificate_says_when_it_holds() {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![String::from("a.example")]).unwrap();
        params.not_before = rcgen::date_time_ymd(2026, 1, 2);
        params.not_after = rcgen::date_time_ymd(2061, 3, 4);
        let der = params.self_signed(&key).unwrap();
        let facts = facts(der.der()).unwrap();
        assert_eq!(facts.begins.to_string(), "2026-01-02T00:00:00Z");
        assert_eq!(facts.expires.to_string(), "2061-03-04T00:00:00Z");
        assert!(facts.self_issued);
    }

    #[test]
    fn what_is_no_certificate_is_refused_at_every_length() {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec![String::from("a.example")]).unwrap();
        let der = params.self_signed(&key).unwrap();
        let der = der.der().as_ref();
        for length in 0..der.len() {
            assert_eq!(facts(&der[..length]), None, "the first {length} octets");
        }
        assert_eq!(facts(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00]), None);
        assert_eq!(facts(&[0x30, 0x80, 0x00, 0x00]), None);
    }
}
