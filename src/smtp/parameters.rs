//! The parameters after the path of MAIL and RCPT (RFC 5321 §4.1.2, `esmtp-param`).

use super::Fault;

/// No number that we take has more digits: enough for a petabyte, too few to wrap.
const DIGITS_MAX: usize = 15;

/// What MAIL said besides the sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MailParameters {
    /// SIZE= (RFC 1870): the size in octets that the client expects.
    pub(super) size: Option<u64>,
    /// SMTPUTF8 (RFC 6531): addresses and header may be UTF-8.
    pub(super) smtp_utf8: bool,
}

impl MailParameters {
    /// Reads them. BODY= is checked and forgotten: content is kept octet by octet anyway.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut parameters = Self::default();
        let mut body = None;
        let mut submitter = None;
        for (keyword, value) in words(text) {
            check_shape(keyword, value)?;
            if keyword.eq_ignore_ascii_case("SIZE") {
                let size = value.and_then(number).ok_or(Fault::BadSize)?;
                if parameters.size.replace(size).is_some() {
                    return Err(Fault::BadParameter);
                }
            } else if keyword.eq_ignore_ascii_case("BODY") {
                let value = value.ok_or(Fault::BadBody)?;
                if !value.eq_ignore_ascii_case("7BIT") && !value.eq_ignore_ascii_case("8BITMIME") {
                    return Err(Fault::BadBody);
                }
                if body.replace(value).is_some() {
                    return Err(Fault::BadParameter);
                }
            } else if keyword.eq_ignore_ascii_case("SMTPUTF8") {
                if value.is_some() || parameters.smtp_utf8 {
                    return Err(Fault::BadParameter);
                }
                parameters.smtp_utf8 = true;
            } else if keyword.eq_ignore_ascii_case("AUTH") {
                // RFC 4954 §5: who submitted the message first. Nothing here trusts it, so it is checked and forgotten.
                let value = value.filter(|value| is_submitter(value)).ok_or(Fault::BadParameter)?;
                if submitter.replace(value).is_some() {
                    return Err(Fault::BadParameter);
                }
            } else {
                return Err(unknown(keyword));
            }
        }
        Ok(parameters)
    }
}

/// RCPT has none: those of DSN would have to be kept, and are not offered.
pub(super) fn refuse_all(text: &str) -> Result<(), Fault> {
    match words(text).next() {
        None => Ok(()),
        Some((keyword, value)) => {
            check_shape(keyword, value)?;
            Err(unknown(keyword))
        }
    }
}

fn words(text: &str) -> impl Iterator<Item = (&str, Option<&str>)> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    })
}

fn check_shape(keyword: &str, value: Option<&str>) -> Result<(), Fault> {
    let keyword_reads = keyword.starts_with(|c: char| c.is_ascii_alphanumeric())
        && keyword.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let value_reads = value.is_none_or(|value| !value.is_empty() && !value.contains('='));
    if keyword_reads && value_reads { Ok(()) } else { Err(Fault::BadParameter) }
}

/// `<>`, or a mailbox in xtext: printable ASCII, in which `+` begins a number of two hexadecimal digits.
fn is_submitter(value: &str) -> bool {
    let mut pieces = value.split('+');
    let printable = |text: &str| text.bytes().all(|octet| octet.is_ascii_graphic());
    pieces.next().is_some_and(printable)
        && pieces.all(|piece| match piece.split_at_checked(2) {
            Some((digits, rest)) => {
                digits.bytes().all(|octet| octet.is_ascii_hexdigit()) && printable(rest)
            }
            None => false,
        })
}

fn unknown(keyword: &str) -> Fault {
    const SHOWN_MAX: usize = 32;
    Fault::UnknownParameter(keyword.chars().take(SHOWN_MAX).collect())
}

/// A number of at most [`DIGITS_MAX`] digits.
pub(super) fn number(digits: &str) -> Option<u64> {
    let reads =
        (1..=DIGITS_MAX).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if reads { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parameters_of_mail_are_read_in_any_order_and_case() {
        let expected = MailParameters { size: Some(42), smtp_utf8: true };
        for text in [" SIZE=42 SMTPUTF8", " smtputf8  size=42 ", " BODY=8BITMIME SMTPUTF8 Size=42"]
        {
            assert_eq!(MailParameters::parse(text), Ok(expected), "{text}");
        }
        assert_eq!(MailParameters::parse(""), Ok(MailParameters::default()));
    }

    #[test]
    fn a_size_has_at_most_fifteen_digits_and_does_not_wrap() {
        let size = |text| MailParameters::parse(text).map(|parameters| parameters.size);
        assert_eq!(size(" SIZE=999999999999999"), Ok(Some(999_999_999_999_999)));
        assert_eq!(size(" SIZE=0"), Ok(Some(0)));
        for bad in [
            " SIZE=1000000000000000",
            " SIZE=18446744073709551617",
            " SIZE=-1",
            " SIZE=+1",
            " SIZE=1k",
            " SIZE",
        ] {
            assert_eq!(size(bad), Err(Fault::BadSize), "{bad}");
        }
    }

    #[test]
    fn what_was_not_offered_is_refused_by_name() {
        let unknown = |name: &str| Err(Fault::UnknownParameter(name.to_owned()));
        assert_eq!(MailParameters::parse(" RET=HDRS").map(drop), unknown("RET"));
        assert_eq!(refuse_all(" ORCPT=rfc822;ada@example.org"), unknown("ORCPT"));
        assert_eq!(refuse_all("  "), Ok(()));
    }

    #[test]
    fn who_submitted_first_is_checked_and_forgotten() {
        for good in [" AUTH=<>", " auth=ada+40example.org", " AUTH=e+3Dmc2@example.org SIZE=1"] {
            assert!(MailParameters::parse(good).is_ok(), "{good}");
        }
        for bad in [" AUTH", " AUTH=", " AUTH=a+4", " AUTH=a+4x", " AUTH=한", " AUTH=<> AUTH=<>"] {
            assert_eq!(MailParameters::parse(bad), Err(Fault::BadParameter), "{bad}");
        }
    }

    #[test]
    fn a_parameter_without_shape_is_a_syntax_error() {
        for bad in
            [" =1", " SI/ZE=1", " SIZE=", " SIZE=1 SIZE=1", " SMTPUTF8=1", " BODY=7BIT BODY=7BIT"]
        {
            assert_eq!(MailParameters::parse(bad), Err(Fault::BadParameter), "{bad}");
        }
        for bad in [" BODY=BINARYMIME", " BODY"] {
            assert_eq!(MailParameters::parse(bad), Err(Fault::BadBody), "{bad}");
        }
        assert_eq!(refuse_all(" 한"), Err(Fault::BadParameter));
    }
}
