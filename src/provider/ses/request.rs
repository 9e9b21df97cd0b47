//! From a letter to the body of `SendEmail`.

use serde::Serialize;

use super::options::{self, Options};
use crate::message::raw::{RawEdits, Untouchable, prepare_raw, to_seven_bit, with_own_reference};
use crate::message::{Address, Loss, Mailbox};
use crate::provider::encoded::{self, InBase64};
use crate::provider::people::{self, wire_address};
use crate::provider::{Call, Letter, Unfit};

/// `SendEmailRequest`, with the members that a raw message needs. `FromEmailAddress` is left out: it would replace the
/// From header.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Body<'a> {
    destination: Destination,
    content: Content<'a>,
    #[serde(flatten)]
    options: Options,
}

/// The envelope. The header fields stay as they are in the message.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Destination {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    to_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    cc_addresses: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    bcc_addresses: Vec<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Content<'a> {
    raw: Raw<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Raw<'a> {
    data: InBase64<'a>,
}

/// Builds the body. The same letter gives the same bytes.
pub(super) fn build(letter: &Letter<'_>) -> Result<Call, Unfit> {
    // SES demands a From with an address that it can take.
    people::author(letter, &mut Vec::new())?;
    let addressing = letter.addressing;
    let visible = |mailboxes: &[Mailbox]| {
        mailboxes.iter().map(|mailbox| destination(&mailbox.address)).collect::<Result<_, _>>()
    };
    let hidden = addressing.bcc.iter().map(Address::as_str).map(destination);
    let edits = RawEdits {
        id: letter.id,
        received_at: letter.received_at,
        envelope: letter.envelope,
        email: letter.email,
    };
    // The message as SES takes it: only the edits that every raw provider needs, and those that its 7-bit way needs.
    let prepared = prepare_raw(letter.raw, &edits);
    let prepared = with_own_reference(&prepared, letter.email);
    let mime = to_seven_bit(&prepared).map_err(|Untouchable { reason }| Unfit { reason })?;
    let mut losses = Vec::new();
    if letter.email.dkim.is_some() && mime != prepared {
        losses.push(Loss::grave(
            "the DKIM signature",
            "octets above 127 or lines above 998 octets are written anew for SES",
        ));
    }
    let body = Body {
        destination: Destination {
            to_addresses: visible(&addressing.to)?,
            cc_addresses: visible(&addressing.cc)?,
            bcc_addresses: hidden.collect::<Result<_, _>>()?,
        },
        content: Content { raw: Raw { data: InBase64(&mime) } },
        options: options::read(letter, &mut losses),
    };
    // An address has up to 320 octets, and stands in quotes.
    let size = encoded::length(mime.len()) + addressing.recipients().count() * 324 + 1024;
    Call::json(&body, size, losses)
}

/// Whether a body made here names something that the account must have: a configuration set, a tenant, a contact list.
/// Within a JSON text every quotation mark has a backslash before it, so these octets can only be members.
pub(super) fn names_something(body: &[u8]) -> bool {
    let members: [&[u8]; 3] =
        [b",\"ConfigurationSetName\":", b",\"TenantName\":", b",\"ListManagementOptions\":"];
    members.iter().any(|member| memchr::memmem::find(body, member).is_some())
}

fn destination(address: &str) -> Result<String, Unfit> {
    wire_address(address).map_err(|reason| Unfit { reason: format!("the address {reason}") })
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde_json::{Value, json};

    use super::*;
    use crate::message::Protection;
    use crate::provider::samples::Sample;

    fn built(sample: &Sample) -> (Value, Vec<Loss>) {
        let call = build(&sample.letter()).unwrap();
        (serde_json::from_slice(&call.body).unwrap(), call.losses)
    }

    fn data(body: &Value) -> Vec<u8> {
        STANDARD.decode(body["Content"]["Raw"]["Data"].as_str().unwrap()).unwrap()
    }

    #[test]
    fn the_message_travels_as_it_is_beside_its_recipients() {
        let sample = Sample::plain();
        let (body, losses) = built(&sample);
        assert_eq!(body["Destination"], json!({"ToAddresses": ["bob@example.net"]}));
        assert_eq!(body.get("FromEmailAddress"), None);
        // SES writes its own Message-ID; this one stays findable.
        let text = String::from_utf8(data(&body)).unwrap();
        let without = text.replacen("References: <1@example.org>\r\n", "", 1);
        assert_eq!((without.as_bytes(), text != without), (&sample.raw[..], true));
        assert!(losses.is_empty());
    }

    #[test]
    fn all_recipients_are_named_with_ascii_domains() {
        let (body, _) = built(&Sample::rich());
        assert_eq!(
            body["Destination"],
            json!({
                "ToAddresses": ["kim@xn--vv4b11d.xn--3e0b707e"],
                "CcAddresses": ["jane@example.com"],
                "BccAddresses": ["hidden@example.net"]
            })
        );
    }

    #[test]
    fn bcc_and_orders_to_ses_do_not_travel() {
        let mut sample = Sample::plain();
        sample.email.headers.clear();
        let kept = "From: a@x.org\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\n\
            Message-ID: <1@x.org>\r\nSubject: bcc:\r\n\r\nBcc: stays\r\n";
        let orders = "BCC: h@x.org,\r\n i@x.org\r\nX-SES-Source-ARN: arn:a\r\nX-PM-Tag: t\r\n";
        sample.raw = [orders, kept].concat().into_bytes();
        sample.email.options = vec![("X-SES-Source-ARN".to_owned(), "arn:a".to_owned())];
        let (body, losses) = built(&sample);
        assert_eq!(data(&body), kept.as_bytes());
        assert_eq!(body["FromEmailAddressIdentityArn"], "arn:a");
        assert!(losses.is_empty());
    }

    #[test]
    fn only_an_order_names_something_of_the_account() {
        let mut sample = Sample::plain();
        let names = |sample: &Sample| names_something(&build(&sample.letter()).unwrap().body);
        assert!(!names(&sample));
        let order = |name: &str, value: &str| vec![(name.to_owned(), value.to_owned())];
        sample.email.options = order("X-SES-MESSAGE-TAGS", "TenantName=x");
        assert!(!names(&sample));
        for (name, value) in [
            ("X-SES-CONFIGURATION-SET", "set"),
            ("X-SES-TENANT", "tenant"),
            ("X-SES-LIST-MANAGEMENT-OPTIONS", "list; topic=topic"),
        ] {
            sample.email.options = order(name, value);
            assert!(names(&sample), "{name}");
        }
    }

    #[test]
    fn a_signed_message_is_carried() {
        let mut sample = Sample::plain();
        sample.email.protection = Protection::Signed;
        assert_eq!(data(&built(&sample).0), sample.raw);
    }

    #[test]
    fn an_address_that_ses_refuses_makes_the_message_unfit() {
        let mut sample = Sample::plain();
        sample.addressing.bcc = vec!["한글@example.org".parse().unwrap()];
        assert!(build(&sample.letter()).unwrap_err().reason.contains("ASCII"));
        sample.addressing.bcc.clear();
        sample.email.from.clear();
        assert!(build(&sample.letter()).unwrap_err().reason.contains("sender.address"));
    }
}
