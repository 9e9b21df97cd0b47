//! The header fields: addresses and subject as fields of their own, the others as they may travel.

use crate::message::mime::fields::{Field, Fields};
use crate::message::mime::mailboxes::Mailboxes;
use crate::message::{Email, Loss, Mailbox};

/// How many fields travel. More is an attack on whoever reads them.
const FIELDS_MAX: usize = 1000;
/// How many fields are looked at, those that do not travel included.
pub(crate) const LOOKED_AT_MAX: usize = 20_000;
/// How many octets of values are decoded: room for ten thousand addresses.
const VALUES_MAX: usize = 2 * 1024 * 1024;
/// How many orders to a provider count.
const OPTIONS_MAX: usize = 100;

/// Fields that never travel: traces of the way so far, hidden recipients, signatures that a rebuilt message breaks.
const NEVER: [&str; 14] = [
    "Received",
    "Received-SPF",
    "DKIM-Signature",
    "DomainKey-Signature",
    "Return-Path",
    "Bcc",
    "Resent-Bcc",
    "Apparently-To",
    "MIME-Version",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
    "Authentication-Results",
    "Delivered-To",
];

/// Fields that a message has once (RFC 5322 §3.6), besides those that become fields of [`Email`].
const SINGLE: [&str; 4] = ["Date", "Message-ID", "In-Reply-To", "References"];

/// Fields that steer a provider's SMTP server (SPEC 4.3 and those of further services): whole names.
pub(crate) const OPTIONS: [&str; 5] =
    ["Resend-Idempotency-Key", "X-SMTPAPI", "X-MSYS-API", "X-Mailjet-Campaign", "X-Sib-Sandbox"];
/// Likewise: beginnings of names.
pub(crate) const OPTION_PREFIXES: [&str; 7] =
    ["X-PM-", "X-Mailgun-", "X-SES-", "X-Mailin-", "X-MJ-", "X-Mailjet-", "X-MC-"];

/// True for a field that is an instruction to a provider and no part of the message.
pub(crate) fn is_provider_option(name: &str) -> bool {
    OPTIONS.iter().any(|option| name.eq_ignore_ascii_case(option))
        || OPTION_PREFIXES.iter().any(|prefix| {
            name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        })
}

fn never_travels(name: &str) -> bool {
    let content = name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("Content-"));
    content || NEVER.iter().any(|never| name.eq_ignore_ascii_case(never))
}

/// Reads the header of the message into `email`.
pub(super) fn read(raw: &[u8], hint: Option<&str>, email: &mut Email) {
    let mut subject = None;
    let mut left_out = 0_usize;

    let mut octets = 0;
    let mut fields = Fields::of_message(raw);
    for (number, field) in fields.by_ref().enumerate() {
        let name = field.name;
        if number >= LOOKED_AT_MAX {
            email.note(Loss::grave(
                "the header",
                format!("it has more than {LOOKED_AT_MAX} fields"),
            ));
            break;
        }
        octets += field.value.len();
        if octets > VALUES_MAX {
            octets -= field.value.len();
            let why = format!("the header has more than {VALUES_MAX} octets");
            email.note(Loss::grave(format!("header {name}"), why));
            continue;
        }
        if field.is("From") {
            let list = mailboxes(&field, hint, email);
            first(list, |email| &mut email.from, name, email);
        } else if field.is("Reply-To") {
            let list = mailboxes(&field, hint, email);
            first(list, |email| &mut email.reply_to, name, email);
        } else if field.is("Sender") {
            let sender = mailboxes(&field, hint, email).into_iter().next();
            email.sender = email.sender.take().or(sender);
        } else if field.is("To") {
            // Several are a fault, but dropping one would hide recipients who were shown.
            let list = mailboxes(&field, hint, email);
            email.to.extend(list);
        } else if field.is("Cc") {
            let list = mailboxes(&field, hint, email);
            email.cc.extend(list);
        } else if field.is("Subject") {
            if subject.is_none() {
                subject = Some(field.decoded(hint));
            } else {
                email.lose("header Subject", REPEATED);
            }
        } else if is_provider_option(name) {
            if email.options.len() < OPTIONS_MAX {
                email.options.push((name.to_owned(), field.decoded(hint)));
            }
        } else if never_travels(name) {
            // Nothing of the message is lost with it.
        } else if SINGLE.iter().any(|single| field.is(single))
            && email.headers.iter().any(|(known, _)| field.is(known))
        {
            email.lose(format!("header {name}"), REPEATED);
        } else if email.headers.len() >= FIELDS_MAX {
            left_out += 1;
        } else {
            let value = field.decoded(hint);
            note_damage(name, &value, email);
            email.headers.push((name.to_owned(), value));
        }
    }

    let end = fields.position();
    if end > 0 && end < raw.len() && fields.body() == end {
        email.lose("the header", "a line that is no field ends it; what follows is text");
    }
    email.subject = subject.unwrap_or_default();
    let subject = email.subject.clone();
    note_damage("Subject", &subject, email);
    if left_out > 0 {
        email.lose(
            format!("{left_out} headers"),
            format!("only the first {FIELDS_MAX} are carried"),
        );
    }
}

/// How the reason ends where an entry of an address field is none.
const NO_ADDRESS: &str = "is not an address";

/// Notes replacement characters: grave where most of the text is them, as in a body.
fn note_damage(name: &str, text: &str, email: &mut Email) {
    let lost = text.chars().filter(|c| *c == char::REPLACEMENT_CHARACTER).count();
    if lost > 0 {
        let grave = lost * 10 > text.chars().filter(|c| !c.is_whitespace()).count();
        let why = "some of its bytes cannot be read in any charset it may be in".to_owned();
        email.note(Loss { what: format!("header {name}"), why, grave });
    }
}

pub(crate) const REPEATED: &str = "it stands more than once, and only the first counts";

fn mailboxes(field: &Field<'_>, hint: Option<&str>, email: &mut Email) -> Vec<Mailbox> {
    let read = Mailboxes::read(&field.text(hint));
    for text in read.unreadable {
        email.lose(format!("header {}", field.name), format!("{text:?} {NO_ADDRESS}"));
    }
    for mailbox in &read.list {
        note_damage(field.name, &mailbox.name, email);
    }
    read.list
}

/// Keeps the first of several fields.
fn first(
    list: Vec<Mailbox>,
    place: impl Fn(&mut Email) -> &mut Vec<Mailbox>,
    name: &str,
    email: &mut Email,
) {
    if place(email).is_empty() {
        *place(email) = list;
    } else {
        email.lose(format!("header {name}"), REPEATED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Email {
        Email::parse(format!("{header}\n\nbody\n").replace('\n', "\r\n").as_bytes())
    }

    fn names(email: &Email) -> Vec<&str> {
        email.headers.iter().map(|(name, _)| name.as_str()).collect()
    }

    #[test]
    fn fields_travel_in_their_order_as_they_were_written() {
        let email = parse(
            "Message-ID: <a@x>\nDate: Sat, 21 Nov 2026 10:00:00 +0900\nReferences: <b@x>\n <c@x>\nX-A: 1\nX-A: 2\n\
             List-Unsubscribe: <https://x.org/u?a=b>,\n <mailto:u@x.org>\nPrecedence: bulk\nX-K: =?euc-kr?B?vsiz5w==?=",
        );
        let expected = [
            ("Message-ID", "<a@x>"),
            ("Date", "Sat, 21 Nov 2026 10:00:00 +0900"),
            ("References", "<b@x> <c@x>"),
            ("X-A", "1"),
            ("X-A", "2"),
            ("List-Unsubscribe", "<https://x.org/u?a=b>, <mailto:u@x.org>"),
            ("Precedence", "bulk"),
            ("X-K", "안녕"),
        ];
        assert_eq!(
            email.headers,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert_eq!(email.losses, []);
    }

    #[test]
    fn traces_hidden_recipients_and_provider_options_do_not_travel() {
        let email = parse(
            "Received: from a by b\nDKIM-Signature: v=1\nReturn-Path: <a@x>\nBcc: hidden@x.org\nResent-Bcc: h@x\n\
             MIME-Version: 1.0\nContent-Type: text/plain\nContent-Language: ko\nARC-Seal: i=1\nDelivered-To: a@x\n\
             resend-idempotency-key: k\nX-SMTPAPI: {}\nX-PM-Tag: t\nX-Mailgun-Tag: t\nX-SES-CONFIGURATION-SET: c\n\
             X-Mailin-custom: c\nX-Mailer: app\nX-PMX: kept",
        );
        assert_eq!(names(&email), ["X-Mailer", "X-PMX"]);
        let options: Vec<_> = email.options.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "resend-idempotency-key",
            "X-SMTPAPI",
            "X-PM-Tag",
            "X-Mailgun-Tag",
            "X-SES-CONFIGURATION-SET",
            "X-Mailin-custom",
        ];
        assert_eq!(options, expected);
        assert!(!format!("{email:?}").contains("hidden@"));
    }

    #[test]
    fn of_a_field_that_may_stand_once_the_first_counts() {
        let email = parse(
            "Subject: a\nSubject: b\nDate: 1\ndate: 2\nFrom: a@x\nFrom: b@x\nTo: a@x\nTo: b@x",
        );
        assert_eq!(email.subject, "a");
        assert_eq!(email.headers, [("Date".to_owned(), "1".to_owned())]);
        assert_eq!((email.from.len(), email.to.len()), (1, 2));
        let lost: Vec<_> = email.losses.iter().map(|loss| loss.what.as_str()).collect();
        assert_eq!(lost, ["header Subject", "header date", "header From"]);
    }

    #[test]
    fn what_cannot_be_read_in_any_field_is_told() {
        let email = parse(
            "From: =?utf-8?Q?=FF=FF?= <a@x>\nSubject: a few are wrong here, =?utf-8?Q?=FF?=\nX-A: =?euc-kr?Q?=FF=FF=FF?=",
        );
        let told: Vec<_> = email.losses.iter().map(|it| (it.what.as_str(), it.grave)).collect();
        assert_eq!(told, [("header From", true), ("header X-A", true), ("header Subject", false)]);
    }

    #[test]
    fn a_line_that_is_no_field_ends_the_header_and_is_told() {
        let email = Email::parse(b"Subject: a\r\nHello there\r\n\r\nbody\r\n");
        assert_eq!(email.text.as_deref(), Some("Hello there\n\nbody\n"));
        assert!(email.losses.len() == 1 && email.losses[0].what == "the header");
        assert_eq!(Email::parse(b"Just text.\r\n").losses, []);
        assert_eq!(Email::parse(b"Subject: a\r\n").losses, []);
    }

    #[test]
    fn an_address_that_is_none_is_a_loss() {
        let email = parse("From: root\nTo: Ada <ada@x.org>, everybody");
        assert_eq!(email.from, []);
        assert_eq!(email.to.len(), 1);
        assert_eq!(email.losses.len(), 2);
        assert_eq!(email.losses[1].why, "\"everybody\" is not an address");
    }
}
