//! The parameters after the path of MAIL and RCPT (RFC 5321 §4.1.2, `esmtp-param`).

use crate::message::{Address, RecipientDsn, Ret};

use super::{Fault, dsn};

/// No number that we take has more digits: enough for a petabyte, too few to wrap.
const DIGITS_MAX: usize = 15;

/// What MAIL said besides the sender.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailParameters {
    /// SIZE= (RFC 1870): the size in octets that the client expects.
    pub size: Option<u64>,
    /// SMTPUTF8 (RFC 6531): addresses and header may be UTF-8.
    pub smtp_utf8: bool,
    /// BODY=BINARYMIME (RFC 3030). The other values make no difference: content is kept octet by octet anyway.
    pub binary: bool,
    /// RET= (RFC 3461).
    pub ret: Option<Ret>,
    /// ENVID= (RFC 3461), decoded.
    pub envelope_id: Option<String>,
}

impl MailParameters {
    /// Reads them.
    pub(super) fn parse(text: &str) -> Result<Self, Fault> {
        let mut parameters = Self::default();
        let mut body = None;
        let mut submitter = None;
        for (keyword, value) in words(text) {
            check_shape(keyword, value)?;
            match keyword.to_ascii_uppercase().as_str() {
                "SIZE" => {
                    let size = value.and_then(number).ok_or(Fault::BadSize)?;
                    once(&mut parameters.size, size)?;
                }
                "BODY" => {
                    let kind = value.and_then(BodyKind::parse).ok_or(Fault::BadBody)?;
                    once(&mut body, kind)?;
                }
                "SMTPUTF8" => {
                    if value.is_some() || parameters.smtp_utf8 {
                        return Err(Fault::BadParameter);
                    }
                    parameters.smtp_utf8 = true;
                }
                "RET" => {
                    let ret = value.and_then(dsn::ret).ok_or(Fault::BadRet)?;
                    once(&mut parameters.ret, ret)?;
                }
                "ENVID" => {
                    let id = value.and_then(dsn::envelope_id).ok_or(Fault::BadEnvelopeId)?;
                    once(&mut parameters.envelope_id, id)?;
                }
                "AUTH" => {
                    // RFC 4954 §5: who submitted the message first. Nothing here trusts it, so it is checked and forgotten.
                    let value = value.filter(|value| is_submitter(value));
                    once(&mut submitter, value.ok_or(Fault::BadParameter)?)?;
                }
                _ => return Err(unknown(keyword)),
            }
        }
        parameters.binary = body == Some(BodyKind::Binary);
        Ok(parameters)
    }
}

/// Reads what RCPT said besides the address.
pub(super) fn of_recipient(address: Address, text: &str) -> Result<RecipientDsn, Fault> {
    let mut recipient = RecipientDsn::from(address);
    for (keyword, value) in words(text) {
        check_shape(keyword, value)?;
        match keyword.to_ascii_uppercase().as_str() {
            "NOTIFY" => {
                let notify = value.and_then(dsn::notify).ok_or(Fault::BadNotify)?;
                once(&mut recipient.notify, notify)?;
            }
            "ORCPT" => {
                let original = value.and_then(dsn::original_recipient);
                once(&mut recipient.original, original.ok_or(Fault::BadOriginalRecipient)?)?;
            }
            _ => return Err(unknown(keyword)),
        }
    }
    Ok(recipient)
}

/// BODY= (RFC 6152, RFC 3030).
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyKind {
    SevenBit,
    EightBit,
    Binary,
}

impl BodyKind {
    fn parse(value: &str) -> Option<Self> {
        [("7BIT", Self::SevenBit), ("8BITMIME", Self::EightBit), ("BINARYMIME", Self::Binary)]
            .into_iter()
            .find_map(|(name, kind)| name.eq_ignore_ascii_case(value).then_some(kind))
    }
}

/// Fills `place`, which nothing may have filled before.
fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(Fault::BadParameter),
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
    use crate::message::{Notify, OriginalRecipient};

    fn recipient(text: &str) -> Result<RecipientDsn, Fault> {
        of_recipient("bob@example.net".parse().unwrap(), text)
    }

    #[test]
    fn the_parameters_of_a_recipient_are_kept_with_it() {
        let nothing = RecipientDsn::from("bob@example.net".parse::<Address>().unwrap());
        assert_eq!(recipient("  ").as_ref(), Ok(&nothing));
        let original = OriginalRecipient {
            address_type: String::from("rfc822"),
            address: String::from("all@example.net"),
        };
        let notify = Some(vec![Notify::Failure, Notify::Delay]);
        let expected = RecipientDsn { notify, original: Some(original), ..nothing };
        for text in [
            " NOTIFY=FAILURE,DELAY ORCPT=rfc822;all@example.net",
            " orcpt=rfc822;all@example.net  Notify=failure,delay ",
        ] {
            assert_eq!(recipient(text).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn a_bad_value_is_told_by_the_name_of_its_parameter() {
        let mail = |text| MailParameters::parse(text).unwrap_err();
        assert_eq!(mail(" RET=BODY"), Fault::BadRet);
        assert_eq!(mail(" RET"), Fault::BadRet);
        assert_eq!(mail(" ENVID=+0D+0A"), Fault::BadEnvelopeId);
        assert_eq!(recipient(" NOTIFY=SOMETIMES"), Err(Fault::BadNotify));
        assert_eq!(recipient(" ORCPT=all"), Err(Fault::BadOriginalRecipient));
    }

    #[test]
    fn only_binarymime_makes_content_binary() {
        let binary = |text| MailParameters::parse(text).unwrap().binary;
        assert!(binary(" body=BinaryMime"));
        assert!(!binary(" BODY=8BITMIME") && !binary(" BODY=7bit") && !binary(""));
    }

    #[test]
    fn the_parameters_of_mail_are_read_in_any_order_and_case() {
        let expected = MailParameters {
            size: Some(42),
            smtp_utf8: true,
            ret: Some(Ret::Hdrs),
            envelope_id: Some(String::from("a b")),
            ..MailParameters::default()
        };
        for text in [
            " SIZE=42 SMTPUTF8 RET=HDRS ENVID=a+20b",
            " envid=a+20b smtputf8  size=42 ret=hdrs ",
            " BODY=8BITMIME Ret=Hdrs EnvId=a+20b SMTPUTF8 Size=42",
        ] {
            assert_eq!(MailParameters::parse(text).as_ref(), Ok(&expected), "{text}");
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
        assert_eq!(MailParameters::parse(" NOTIFY=NEVER").map(drop), unknown("NOTIFY"));
        assert_eq!(recipient(" ENVID=1").map(drop), unknown("ENVID"));
        assert_eq!(recipient(" SIZE=1").map(drop), unknown("SIZE"));
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
        for bad in [
            " =1",
            " SI/ZE=1",
            " SIZE=",
            " SIZE=1 SIZE=1",
            " SMTPUTF8=1",
            " BODY=7BIT BODY=7BIT",
            " RET=FULL RET=FULL",
            " ENVID=1 envid=1",
        ] {
            assert_eq!(MailParameters::parse(bad), Err(Fault::BadParameter), "{bad}");
        }
        for bad in [" BODY=BINARY", " BODY"] {
            assert_eq!(MailParameters::parse(bad), Err(Fault::BadBody), "{bad}");
        }
        for bad in
            [" 한", " NOTIFY=NEVER NOTIFY=NEVER", " ORCPT=rfc822;a ORCPT=rfc822;a", " NOTIFY="]
        {
            assert_eq!(recipient(bad), Err(Fault::BadParameter), "{bad}");
        }
    }
}
