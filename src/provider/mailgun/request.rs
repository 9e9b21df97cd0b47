//! From a letter to the form of `messages.mime`.

use super::options;
use crate::message::raw::{RawEdits, prepare_raw};
use crate::provider::multipart::FormData;
use crate::provider::people::{self, wire_address};
use crate::provider::{Call, Letter, Unfit};

/// The largest message, octets ("25MB"). The request around it may be larger.
const MESSAGE_MAX: usize = 25_000_000;

/// How the file's place in the form begins.
const FILE: &[u8] = b"; name=\"message\"; filename=";

/// Builds the form. The same letter gives the same bytes.
pub(super) fn build(letter: &Letter<'_>) -> Result<Call, Unfit> {
    // Mailgun takes the sender from the header, and damages one outside ASCII.
    people::author(letter, &mut Vec::new())?;
    let edits = RawEdits {
        id: letter.id,
        received_at: letter.received_at,
        envelope: letter.envelope,
        email: letter.email,
    };
    let mime = prepare_raw(letter.raw, &edits);
    if mime.len() > MESSAGE_MAX {
        return Err(Unfit {
            reason: format!(
                "the message has {} MB, Mailgun takes {} MB",
                mime.len().div_ceil(1_000_000),
                MESSAGE_MAX / 1_000_000
            ),
        });
    }

    let mut losses = Vec::new();
    let mut fields = Vec::new();
    let mut recipients = Vec::new();
    for address in letter.addressing.recipients() {
        let wire = wire_address(address)
            .map_err(|reason| Unfit { reason: format!("the address {reason}") })?;
        fields.push(("to".to_owned(), wire.clone()));
        recipients.push(wire);
    }
    fields.extend(options::fields(&letter.email.options, &recipients, &mut losses));

    let form = FormData { fields: &fields, name: "message", filename: "message.mime", file: &mime };
    let (body, content_type) = form.encode();
    Ok(Call { losses, ..Call::new(body, content_type) })
}

/// Whether a body made here names the address that the message is to be sent from. The fields stand before the file,
/// which may hold anything.
pub(super) fn names_an_address(body: &[u8]) -> bool {
    let file = memchr::memmem::find(body, FILE).unwrap_or(body.len());
    let fields = body.get(..file).unwrap_or(body);
    memchr::memmem::find(fields, b"; name=\"o:sending-ip\"\r\n").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Protection;
    use crate::provider::samples::{Sample, mailbox};

    fn built(sample: &Sample) -> Call {
        build(&sample.letter()).unwrap()
    }

    /// The text between the boundaries.
    fn parts(call: &Call) -> Vec<String> {
        let boundary = call.content_type.split_once("boundary=").unwrap().1;
        let text = String::from_utf8_lossy(&call.body);
        let boundary = format!("--{boundary}");
        let parts = text.split(&boundary).map(|it| it.trim_start_matches("\r\n"));
        let parts: Vec<_> =
            parts.map(|it| it.strip_suffix("\r\n").unwrap_or(it).to_owned()).collect();
        assert_eq!(parts.last().unwrap(), "--");
        parts[1..parts.len() - 1].to_vec()
    }

    fn to(call: &Call) -> Vec<String> {
        let name = "Content-Disposition: form-data; name=\"to\"\r\n\r\n";
        parts(call).iter().filter_map(|part| Some(part.strip_prefix(name)?.to_owned())).collect()
    }

    #[test]
    fn only_a_field_names_the_address_to_send_from() {
        let mut sample = Sample::plain();
        sample.raw.extend_from_slice(b"; name=\"o:sending-ip\"\r\n");
        assert!(!names_an_address(&built(&sample).body));
        let order = ("X-Mailgun-Sending-Ip".to_owned(), "192.0.2.1".to_owned());
        sample.email.options.push(order);
        assert!(names_an_address(&built(&sample).body));
    }

    #[test]
    fn the_message_travels_as_it_is_beside_its_recipients() {
        let mut sample = Sample::plain();
        sample
            .raw
            .extend_from_slice("8-bit: 한글 \u{0}\r\n".repeat(200).replace("\r\n", " ").as_bytes());
        let call = built(&sample);
        let raw = String::from_utf8(sample.raw.clone()).unwrap();
        let file = "Content-Disposition: form-data; name=\"message\"; filename=\"message.mime\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n";
        assert_eq!(
            parts(&call),
            [
                "Content-Disposition: form-data; name=\"to\"\r\n\r\nbob@example.net".to_owned(),
                format!("{file}{raw}")
            ]
        );
        assert!(call.losses.is_empty());
    }

    #[test]
    fn all_recipients_are_named_with_ascii_domains_and_no_others() {
        let mut sample = Sample::rich();
        sample.raw = b"To: x@y.org\r\nBcc: z@y.org\r\n\r\n".to_vec();
        let call = built(&sample);
        assert_eq!(
            to(&call),
            ["kim@xn--vv4b11d.xn--3e0b707e", "jane@example.com", "hidden@example.net"]
        );
        assert!(!String::from_utf8_lossy(&call.body).contains("z@y.org"));
    }

    #[test]
    fn a_signed_message_is_carried() {
        let mut sample = Sample::plain();
        sample.email.protection = Protection::Signed;
        assert!(parts(&built(&sample))[1].ends_with("Five o'clock?\r\n"));
    }

    #[test]
    fn what_mailgun_would_damage_or_refuse_makes_the_message_unfit() {
        let reason = |sample: &Sample| build(&sample.letter()).unwrap_err().reason;
        let mut sample = Sample::plain();
        sample.email.from = vec![mailbox("", "한글@example.org")];
        assert!(reason(&sample).contains("From address"));
        sample.email.from.clear();
        assert!(reason(&sample).contains("sender.address"));

        let mut sample = Sample::plain();
        sample.addressing.bcc = vec!["한글@example.org".parse().unwrap()];
        assert!(reason(&sample).contains("ASCII"));

        let mut sample = Sample::plain();
        let header = sample.raw.len();
        sample.raw.resize(MESSAGE_MAX, b'x');
        assert_eq!(built(&sample).losses, []);
        assert!(sample.raw.len() > header);
        sample.raw.push(b'x');
        assert_eq!(reason(&sample), "the message has 26 MB, Mailgun takes 25 MB");
    }

    #[test]
    fn orders_become_fields_and_leave_the_message() {
        let mut sample = Sample::plain();
        let header = b"X-Mailgun-Tag: welcome\r\nX-PM-Tag: other\r\n";
        sample.raw.splice(0..0, header.iter().copied());
        sample.email.options = vec![
            ("X-Mailgun-Tag".to_owned(), "welcome".to_owned()),
            ("X-PM-Tag".to_owned(), "other".to_owned()),
        ];
        let parts = parts(&built(&sample));
        assert_eq!(parts[1], "Content-Disposition: form-data; name=\"o:tag\"\r\n\r\nwelcome");
        assert!(!parts.concat().contains("X-Mailgun-Tag") && !parts.concat().contains("other"));
    }
}
