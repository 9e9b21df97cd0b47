//! What is said in one transaction: the commands with their parameters, and the content in a form that the server
//! takes. Pure.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::content;
use super::fault::Fault;
use super::offer::Offer;
use crate::message::raw::to_seven_bit;
use crate::message::{Address, Dsn, Envelope, Notify, OriginalRecipient, RecipientDsn, Ret};

/// The longest value of ORCPT (RFC 3461 §4.2).
const ORIGINAL_MAX: usize = 500;

/// One transaction.
#[derive(Debug)]
pub(super) struct Order<'a> {
    /// MAIL FROM, with its line end.
    pub(super) sender: String,
    /// RCPT TO for each recipient, with its line end.
    pub(super) recipients: Vec<(&'a Address, String)>,
    /// Lines that end with CRLF.
    pub(super) content: Cow<'a, [u8]>,
}

impl<'a> Order<'a> {
    /// For a server that offers this, or why the message cannot go there.
    pub(super) fn new(
        envelope: &'a Envelope,
        body: &'a [u8],
        offer: &Offer,
    ) -> Result<Self, Fault> {
        let addresses = envelope.sender.iter().chain(&envelope.recipients);
        let foreign = addresses.into_iter().find(|address| !address.local_part().is_ascii());
        let wide_header = !content::header(body).is_ascii();
        let wants_utf8 = foreign.is_some() || (envelope.smtp_utf8 && wide_header);
        if let Some(address) = foreign
            && !offer.utf8
        {
            return Err(Fault::not_this_way(format!(
                "{address} has letters outside ASCII before the @, and the server does not offer SMTPUTF8"
            )));
        }
        let lacking = if !offer.eight_bit && !body.is_ascii() {
            Some("8BITMIME")
        } else if wants_utf8 && !offer.utf8 {
            Some("SMTPUTF8")
        } else {
            None
        };
        let content = match lacking {
            None => Cow::Borrowed(body),
            Some(extension) => seven_bit(body, extension)?,
        };
        check_size(content.len(), offer)?;

        let dsn = envelope.dsn.as_deref().filter(|_| offer.dsn);
        let mut sender = String::from("MAIL FROM:<");
        if let Some(address) = &envelope.sender {
            sender += &wire_address(address)?;
        }
        sender.push('>');
        if offer.size.is_some() {
            // Writing to a String does not fail.
            let _ = write!(sender, " SIZE={}", content.len());
        }
        if !content.is_ascii() {
            sender += " BODY=8BITMIME";
        }
        if wants_utf8 && offer.utf8 {
            sender += " SMTPUTF8";
        }
        sender += &dsn.map(of_message).unwrap_or_default();
        sender += "\r\n";

        let command = |address: &'a Address| {
            let wish = dsn.and_then(|dsn| dsn.recipients.iter().find(|it| it.address == *address));
            let wish = wish.map(of_recipient).unwrap_or_default();
            Ok((address, format!("RCPT TO:<{}>{wish}\r\n", wire_address(address)?)))
        };
        let recipients = envelope.recipients.iter().map(command).collect::<Result<_, Fault>>()?;
        Ok(Self { sender, recipients, content })
    }
}

/// The content in 7-bit lines, because the server lacks an extension.
fn seven_bit<'a>(body: &'a [u8], extension: &str) -> Result<Cow<'a, [u8]>, Fault> {
    let refused = |why: &str| {
        Fault::not_this_way(format!("{why}, and the server does not offer {extension}"))
    };
    if content::is_dkim_signed(body) {
        return Err(refused("the message is signed (DKIM) and not 7-bit"));
    }
    to_seven_bit(body).map_err(|untouchable| refused(&untouchable.reason))
}

fn check_size(size: usize, offer: &Offer) -> Result<(), Fault> {
    let max = offer.size.flatten().and_then(|max| usize::try_from(max).ok());
    match max {
        Some(max) if size > max => Err(Fault::not_this_way(format!(
            "the message has {size} octets, the server takes {max} (SIZE)"
        ))),
        Some(_) | None => Ok(()),
    }
}

/// The address with its domain in ASCII, which every server understands.
fn wire_address(address: &Address) -> Result<Cow<'_, str>, Fault> {
    if address.domain().is_ascii() {
        return Ok(address.as_str().into());
    }
    // Some letters become others on the way: a full-width `>` would end the path.
    let wire = idna::domain_to_ascii(address.domain())
        .map(|domain| format!("{}@{domain}", address.local_part()))
        .ok()
        .filter(|wire| {
            wire.parse::<Address>().is_ok_and(|wire| wire.local_part() == address.local_part())
        });
    wire.map(Cow::Owned).ok_or_else(|| {
        Fault::not_this_way(format!(
            "{address} has a domain that is not a valid international name"
        ))
    })
}

/// RET and ENVID (RFC 3461 §4.3, §4.4).
fn of_message(dsn: &Dsn) -> String {
    let mut parameters = String::new();
    match dsn.ret {
        Some(Ret::Full) => parameters += " RET=FULL",
        Some(Ret::Hdrs) => parameters += " RET=HDRS",
        None => {}
    }
    if let Some(id) = &dsn.envelope_id {
        parameters += " ENVID=";
        parameters += &xtext(id);
    }
    parameters
}

/// NOTIFY and ORCPT (RFC 3461 §4.1, §4.2).
fn of_recipient(wish: &RecipientDsn) -> String {
    let mut parameters = String::new();
    if let Some(notify) = &wish.notify {
        let words: Vec<&str> = notify
            .iter()
            .map(|condition| match condition {
                Notify::Success => "SUCCESS",
                Notify::Failure => "FAILURE",
                Notify::Delay => "DELAY",
            })
            .collect();
        parameters += " NOTIFY=";
        parameters += &if words.is_empty() { "NEVER".to_owned() } else { words.join(",") };
    }
    if let Some(original) = wish.original.as_ref().and_then(original) {
        parameters += " ORCPT=";
        parameters += &original;
    }
    parameters
}

fn original(original: &OriginalRecipient) -> Option<String> {
    let OriginalRecipient { address_type, address } = original;
    let written = if address_type.eq_ignore_ascii_case("utf-8") {
        // utf-8-addr-xtext (RFC 6533 §3), which needs no SMTPUTF8.
        let mut text = String::new();
        for c in address.chars() {
            if c.is_ascii_graphic() && !"\\+=".contains(c) {
                text.push(c);
            } else {
                let _ = write!(text, "\\x{{{:X}}}", u32::from(c));
            }
        }
        text
    } else if address.is_ascii() {
        xtext(address)
    } else {
        return None;
    };
    let value = format!("{address_type};{written}");
    (value.len() <= ORIGINAL_MAX).then_some(value)
}

/// xtext (RFC 3461 §4).
fn xtext(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_graphic() && !b"+=".contains(&octet) {
            written.push(char::from(octet));
        } else {
            let _ = write!(written, "+{octet:02X}");
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Verdict;

    const PLAIN: &[u8] = b"Subject: x\r\n\r\nx\r\n";
    const WIDE: &[u8] =
        "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
        Content-Transfer-Encoding: 8bit\r\n\r\n한글\r\n"
            .as_bytes();

    fn everything() -> Offer {
        Offer { eight_bit: true, utf8: true, dsn: true, size: Some(None), ..Offer::default() }
    }

    fn envelope(sender: &str, recipients: &[&str]) -> Envelope {
        Envelope {
            sender: sender.parse().ok(),
            recipients: recipients.iter().map(|it| it.parse().unwrap()).collect(),
            ..Envelope::default()
        }
    }

    fn reason(fault: Fault) -> String {
        let Fault::Own(error) = fault else { panic!("{fault:?}") };
        assert_eq!(error.verdict, Verdict::Unknown, "another provider may take it");
        error.reason
    }

    #[test]
    fn only_what_is_offered_is_used() {
        let envelope = envelope("ada@example.org", &["bob@example.net"]);
        for (offer, body, expected) in [
            (Offer::default(), PLAIN, "MAIL FROM:<ada@example.org>\r\n"),
            (everything(), PLAIN, "MAIL FROM:<ada@example.org> SIZE=17\r\n"),
            (everything(), WIDE, "MAIL FROM:<ada@example.org> SIZE=115 BODY=8BITMIME\r\n"),
        ] {
            let order = Order::new(&envelope, body, &offer).unwrap();
            assert_eq!(order.sender, expected);
            assert_eq!(order.content, body, "unchanged");
            assert_eq!(order.recipients[0].1, "RCPT TO:<bob@example.net>\r\n");
        }
    }

    #[test]
    fn the_null_sender_stays_null() {
        let order = envelope("", &["bob@example.net"]);
        let order = Order::new(&order, PLAIN, &Offer::default()).unwrap();
        assert_eq!(order.sender, "MAIL FROM:<>\r\n");
    }

    #[test]
    fn eight_bit_content_is_encoded_for_a_server_of_the_old_kind() {
        let envelope = envelope("ada@example.org", &["bob@example.net"]);
        let order = Order::new(&envelope, WIDE, &Offer::default()).unwrap();
        assert!(order.content.is_ascii() && !order.sender.contains("BODY"));
        let text = String::from_utf8(order.content.into_owned()).unwrap();
        assert!(text.contains("Content-Transfer-Encoding: base64"), "{text}");
    }

    #[test]
    fn what_is_signed_is_not_encoded_anew_but_goes_elsewhere() {
        let envelope = envelope("ada@example.org", &["bob@example.net"]);
        let signed = [
            b"Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\r\n\r\n--b\r\n\r\n",
            WIDE,
            b"\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n",
        ]
        .concat();
        let dkim = [b"DKIM-Signature: v=1\r\n", WIDE].concat();
        for body in [signed, dkim] {
            let fault = Order::new(&envelope, &body, &Offer::default()).unwrap_err();
            let reason = reason(fault);
            assert!(
                reason.contains("signed") && reason.ends_with("not offer 8BITMIME"),
                "{reason}"
            );
            let order = Order::new(&envelope, &body, &everything()).unwrap();
            assert_eq!(*order.content, body, "as it is");
        }
    }

    #[test]
    fn letters_outside_ascii_need_smtputf8_before_the_at_only() {
        let offer = everything();
        let order = envelope("ada@example.org", &["hong@예시.한국"]);
        let order = Order::new(&order, PLAIN, &offer).unwrap();
        assert_eq!(order.recipients[0].1, "RCPT TO:<hong@xn--vv4b11d.xn--3e0b707e>\r\n");
        assert!(!order.sender.contains("SMTPUTF8"));

        let foreign = envelope("ada@example.org", &["한글@예시.한국"]);
        let order = Order::new(&foreign, PLAIN, &offer).unwrap();
        assert!(order.sender.ends_with(" SMTPUTF8\r\n"), "{}", order.sender);
        assert_eq!(order.recipients[0].1, "RCPT TO:<한글@xn--vv4b11d.xn--3e0b707e>\r\n");
        let without = Offer { utf8: false, ..everything() };
        let reason = reason(Order::new(&foreign, PLAIN, &without).unwrap_err());
        assert!(reason.contains("한글@예시.한국") && reason.contains("SMTPUTF8"), "{reason}");
    }

    #[test]
    fn a_header_in_utf_8_is_announced_or_encoded_where_the_app_announced_it() {
        let body = "Subject: 한글\r\n\r\nx\r\n".as_bytes();
        let mut envelope = envelope("ada@example.org", &["bob@example.net"]);
        let order = Order::new(&envelope, body, &everything()).unwrap();
        assert!(!order.sender.contains("SMTPUTF8"), "sent as plain 8-bit, so it goes on as that");
        envelope.smtp_utf8 = true;
        let order = Order::new(&envelope, body, &everything()).unwrap();
        assert!(order.sender.ends_with(" BODY=8BITMIME SMTPUTF8\r\n"), "{}", order.sender);
        let without = Offer { utf8: false, ..everything() };
        let order = Order::new(&envelope, body, &without).unwrap();
        assert!(order.content.starts_with(b"Subject: =?utf-8?"), "{:?}", order.content);
    }

    #[test]
    fn a_message_above_the_limit_of_the_server_names_both_sizes() {
        let envelope = envelope("ada@example.org", &["bob@example.net"]);
        let of = |max| Offer { size: Some(Some(max)), ..Offer::default() };
        assert!(Order::new(&envelope, PLAIN, &of(17)).is_ok());
        let reason = reason(Order::new(&envelope, PLAIN, &of(16)).unwrap_err());
        assert_eq!(reason, "the message has 17 octets, the server takes 16 (SIZE)");
    }

    #[test]
    fn wishes_about_notifications_are_passed_on_where_they_are_understood() {
        let mut envelope = envelope("ada@example.org", &["bob@example.net", "kim@example.com"]);
        let original = |address_type: &str, address: &str| {
            Some(OriginalRecipient {
                address_type: address_type.to_owned(),
                address: address.to_owned(),
            })
        };
        let (bob, kim) = (envelope.recipients[0].clone(), envelope.recipients[1].clone());
        let notify = Some(vec![Notify::Success, Notify::Delay]);
        let bob = RecipientDsn { address: bob, notify, original: original("rfc822", "a+b@x.org") };
        let kim = RecipientDsn {
            address: kim,
            notify: Some(vec![]),
            original: original("utf-8", "한@x\\y"),
        };
        let (ret, envelope_id) = (Some(Ret::Hdrs), Some("a=b c".to_owned()));
        envelope.dsn = Some(Box::new(Dsn { ret, envelope_id, recipients: vec![bob, kim] }));

        let order = Order::new(&envelope, PLAIN, &everything()).unwrap();
        assert!(order.sender.ends_with(" RET=HDRS ENVID=a+3Db+20c\r\n"), "{}", order.sender);
        let said: Vec<&str> = order.recipients.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(
            said,
            [
                "RCPT TO:<bob@example.net> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;a+2Bb@x.org\r\n",
                "RCPT TO:<kim@example.com> NOTIFY=NEVER ORCPT=utf-8;\\x{D55C}@x\\x{5C}y\r\n",
            ]
        );
        let order = Order::new(&envelope, PLAIN, &Offer::default()).unwrap();
        assert_eq!(order.sender, "MAIL FROM:<ada@example.org>\r\n");
        assert_eq!(order.recipients[0].1, "RCPT TO:<bob@example.net>\r\n");
    }
}
