//! The message as it may leave towards another mail server: lines that end with CRLF and nothing that could be taken
//! for the end of one. Pure.

use bytes::Bytes;

use crate::message::raw::{RawEdits, prepare_raw, to_seven_bit, with_own_reference};
use crate::message::{Address, Envelope};
use crate::provider::{Letter, MessageIdFate, Unfit};

/// Trace fields of a message that goes round in a circle (RFC 5321 §6.3).
const RECEIVED_MAX: usize = 100;
/// The longest line, without its end (RFC 5321 §4.5.3.1.6).
const LINE_MAX: usize = 998;

/// Builds what is sent after DATA. Where the server writes a Message-ID of its own, the app's goes to References.
pub(super) fn build(letter: &Letter<'_>, message_id: MessageIdFate) -> Result<Bytes, Unfit> {
    let edits = RawEdits {
        id: letter.id,
        received_at: letter.received_at,
        envelope: letter.envelope,
        email: letter.email,
    };
    let prepared = prepare_raw(letter.raw, &edits);
    let prepared = match message_id {
        MessageIdFate::Kept => prepared,
        MessageIdFate::Replaced => with_own_reference(&prepared, letter.email).into_owned().into(),
    };
    if field_count(&prepared, "received") >= RECEIVED_MAX {
        return Err(Unfit {
            reason: format!(
                "it has passed {RECEIVED_MAX} servers, so it goes round in a circle: the smarthost must not send \
                 mail back to here"
            ),
        });
    }
    Ok(match lines(&prepared) {
        Lines::Good => prepared,
        // It is for the server to take them; most do. Signed, they must stay.
        Lines::Long if is_dkim_signed(&prepared) => prepared,
        Lines::Long => match to_seven_bit(&prepared) {
            Ok(encoded) => encoded.into_owned().into(),
            Err(_) => prepared,
        },
        Lines::Broken => safe(&prepared)?.into(),
    }
    .into_owned()
    .into())
}

/// What the lines of a message are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lines {
    Good,
    /// Some have more than 998 octets.
    Long,
    /// There is a CR or LF of its own, or a NUL: another server may see the end of a line, or of the message, where there
    /// is none.
    Broken,
}

fn lines(bytes: &[u8]) -> Lines {
    if memchr::memchr(0, bytes).is_some() {
        return Lines::Broken;
    }
    let mut found = Lines::Good;
    let mut start = 0;
    for at in memchr::memchr2_iter(b'\r', b'\n', bytes) {
        match (bytes[at], bytes.get(at + 1)) {
            (b'\r', Some(b'\n')) => {
                if at - start > LINE_MAX {
                    found = Lines::Long;
                }
                start = at + 2;
            }
            // Its CR has been seen.
            (b'\n', _) if at + 1 == start => {}
            _ => return Lines::Broken,
        }
    }
    if bytes.len() - start > LINE_MAX { Lines::Long } else { found }
}

/// Writes the parts anew that have a CR, LF or NUL of their own (binary ones, RFC 3030).
fn safe(bytes: &[u8]) -> Result<Vec<u8>, Unfit> {
    let refused = |why: &str| Unfit {
        reason: format!("it has line ends that a mail server could misread, and {why}"),
    };
    if is_dkim_signed(bytes) {
        return Err(refused("it is signed (DKIM), so that they must not be changed"));
    }
    let mut encoded =
        to_seven_bit(bytes).map_err(|untouchable| refused(&untouchable.reason))?.into_owned();
    if !encoded.contains(&b'\r') {
        // The whole message has LF for its line ends.
        encoded = crlf(&encoded);
    }
    match lines(&encoded) {
        Lines::Good | Lines::Long => Ok(encoded),
        Lines::Broken => Err(refused("its parts cannot be told apart")),
    }
}

fn crlf(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() + bytes.len() / 32);
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                out.extend_from_slice(text);
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// The header section of a message.
pub(super) fn header(bytes: &[u8]) -> &[u8] {
    if bytes.starts_with(b"\r\n") {
        return &[];
    }
    let end = memchr::memmem::find(bytes, b"\r\n\r\n").map_or(bytes.len(), |at| at + 2);
    bytes.get(..end).unwrap_or(bytes)
}

/// Whether the app has signed the message; the signature is over its very octets.
pub(super) fn is_dkim_signed(bytes: &[u8]) -> bool {
    field_count(bytes, "dkim-signature") > 0
}

fn field_count(bytes: &[u8], name: &str) -> usize {
    let is_field = |line: &&[u8]| {
        let start = line.get(..name.len()).unwrap_or_default();
        let rest = line.get(name.len()..).unwrap_or_default();
        start.eq_ignore_ascii_case(name.as_bytes()) && rest.trim_ascii_start().starts_with(b":")
    };
    header(bytes).split(|byte| *byte == b'\n').filter(is_field).count()
}

/// Who sends, and who gets this call, as the envelope spells them.
pub(super) fn envelope(letter: &Letter<'_>) -> Result<Envelope, Unfit> {
    let whole = letter.envelope;
    let recipient = |address: &str| -> Result<Address, Unfit> {
        let own = whole.recipients.iter().find(|own| own.as_str() == address);
        let own = own.or_else(|| whole.recipients.iter().find(|own| own.same_mailbox(address)));
        own.cloned().map_or_else(
            || address.parse().map_err(|_| Unfit { reason: format!("{address:?} is no address") }),
            Ok,
        )
    };
    let recipients = letter.addressing.recipients().map(recipient).collect::<Result<_, _>>()?;
    Ok(Envelope {
        sender: sender(letter),
        recipients,
        smtp_utf8: whole.smtp_utf8,
        dsn: whole.dsn.clone(),
    })
}

/// The envelope sender of the app. Where `sender.rewrite` has put another domain into From, the smarthost would refuse
/// the old one beside it, and bounces to it would be lost: the new author's address then. `<>` stays.
fn sender(letter: &Letter<'_>) -> Option<Address> {
    let own = letter.envelope.sender.as_ref()?;
    let author = letter.email.from.first().filter(|_| letter.email.from_rewritten);
    let author: Option<Address> = author.and_then(|it| it.address.parse().ok());
    match author {
        Some(author) if !own.is_of_domain(author.domain()) => Some(author),
        Some(_) | None => Some(own.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Email;
    use crate::provider::samples::{Sample, mailbox};

    fn sample(raw: &[u8]) -> Sample {
        Sample { raw: raw.to_vec(), email: Email::parse(raw), ..Sample::plain() }
    }

    const HEAD: &str =
        "From: a@x.org\r\nDate: Sat, 21 Nov 2026 10:00:00 +0000\r\nMessage-ID: <1@x.org>\r\n";

    /// For a server that keeps Message-ID.
    fn build(letter: &Letter<'_>) -> Result<Bytes, Unfit> {
        super::build(letter, MessageIdFate::Kept)
    }

    #[test]
    fn a_message_id_that_will_be_replaced_goes_to_references() {
        let sample = Sample::plain();
        let built = super::build(&sample.letter(), MessageIdFate::Replaced).unwrap();
        let text = String::from_utf8(built.to_vec()).unwrap();
        assert!(text.contains("\r\nReferences: <1@example.org>\r\n"), "{text}");
        assert_eq!(build(&sample.letter()).unwrap(), sample.raw);
    }

    #[test]
    fn good_lines_are_left_alone() {
        for body in ["\r\nx\r\n", "\r\n한글\r\n", "\r\n.\r\n..\r\n", "\r\nno end", ""] {
            let raw = format!("{HEAD}{body}").into_bytes();
            assert_eq!(build(&sample(&raw).letter()).unwrap(), raw, "{body:?}");
        }
    }

    #[test]
    fn no_line_end_of_its_own_leaves() {
        let head = format!(
            "{HEAD}MIME-Version: 1.0\r\nContent-Type: application/octet-stream\r\n\
             Content-Transfer-Encoding: binary\r\n\r\n"
        );
        for data in
            [&b"a\nb"[..], b"a\rb", b"\n.\n", b"\r\n.\n", b"\n.\r\n", b"\r", b"a\0b", b"\r\r\n"]
        {
            let raw = [head.as_bytes(), data].concat();
            let built = build(&sample(&raw).letter()).unwrap();
            assert_eq!(lines(&built), Lines::Good, "{data:?}");
            assert!(built.is_ascii());
            assert_eq!(Email::parse(&built).attachments[0].bytes, data, "{data:?}");
        }
    }

    #[test]
    fn a_message_with_bare_line_feeds_throughout_gets_line_ends() {
        let raw = HEAD.replace("\r\n", "\n") + "\nx\n.\ny\n";
        let built = build(&sample(raw.as_bytes()).letter()).unwrap();
        assert_eq!(built, format!("{HEAD}\r\nx\r\n.\r\ny\r\n").into_bytes());
    }

    #[test]
    fn what_is_signed_and_broken_goes_elsewhere() {
        let dkim = format!("{HEAD}DKIM-Signature: v=1\r\n\r\na\nb\r\n");
        let unfit = build(&sample(dkim.as_bytes()).letter()).unwrap_err();
        assert!(unfit.reason.contains("DKIM"), "{unfit}");
        let signed = format!(
            "{HEAD}Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\na\nb\r\n--b\r\n\r\nsig\r\n--b--\r\n"
        );
        let unfit = build(&sample(signed.as_bytes()).letter()).unwrap_err();
        assert!(unfit.reason.contains("signed"), "{unfit}");
    }

    #[test]
    fn long_lines_are_encoded_unless_that_would_break_a_signature() {
        let long = "x".repeat(999);
        let raw = format!("{HEAD}\r\n{long}\r\n");
        let built = build(&sample(raw.as_bytes()).letter()).unwrap();
        assert_eq!(lines(&built), Lines::Good);
        assert_eq!(Email::parse(&built).text.unwrap().trim_end(), long);
        let raw = format!("{HEAD}DKIM-Signature: v=1\r\n\r\n{long}\r\n").into_bytes();
        assert_eq!(build(&sample(&raw).letter()).unwrap(), raw);
        let raw = format!("{HEAD}\r\n{}\r\n", "x".repeat(998)).into_bytes();
        assert_eq!(build(&sample(&raw).letter()).unwrap(), raw);
    }

    #[test]
    fn bcc_and_orders_to_services_do_not_leave() {
        let raw = format!("Bcc: h@x.org\r\nX-PM-Tag: t\r\n{HEAD}\r\nBcc: stays\r\n");
        let built = build(&sample(raw.as_bytes()).letter()).unwrap();
        assert_eq!(built, format!("{HEAD}\r\nBcc: stays\r\n").into_bytes());
    }

    #[test]
    fn mail_that_goes_round_in_a_circle_is_stopped() {
        let trace = "Received: from a by b\r\n\twith ESMTP\r\n";
        let of = |count| format!("{}{HEAD}\r\nReceived: x\r\n", trace.repeat(count)).into_bytes();
        assert!(build(&sample(&of(99)).letter()).is_ok());
        let unfit = build(&sample(&of(100)).letter()).unwrap_err();
        assert!(unfit.reason.contains("circle"), "{unfit}");
    }

    #[test]
    fn the_envelope_is_that_of_the_app() {
        let mut sample = Sample::rich();
        sample.envelope.smtp_utf8 = true;
        let envelope = envelope(&sample.letter()).unwrap();
        assert_eq!(envelope, sample.envelope);
        sample.addressing.to = vec![mailbox("", "KIM@예시.한국")];
        sample.addressing.to[0].address = "kim@xn--vv4b11d.xn--3e0b707e".to_owned();
        let envelope = super::envelope(&sample.letter()).unwrap();
        assert_eq!(envelope.recipients[0].as_str(), "kim@예시.한국", "its own spelling");
    }

    #[test]
    fn a_foreign_sender_gives_way_with_a_foreign_author_only() {
        let mut sample = Sample::plain();
        let text = |sample: &Sample| {
            envelope(&sample.letter()).unwrap().sender.map(|it| it.as_str().to_owned())
        };
        sample.envelope.sender = Some("root@localhost".parse().unwrap());
        assert_eq!(text(&sample).unwrap(), "root@localhost");
        sample.email.from_rewritten = true;
        assert_eq!(text(&sample).unwrap(), "ada@example.org");
        sample.envelope.sender = Some("bounce+1@Example.org".parse().unwrap());
        assert_eq!(text(&sample).unwrap(), "bounce+1@Example.org");
        sample.envelope.sender = None;
        assert_eq!(text(&sample), None);
    }
}
