//! Who writes and who reads, as the structured APIs want it.

use std::collections::HashSet;

use super::{Letter, Unfit};
use crate::message::{Address, Email, Loss, Mailbox, Protection};

/// Stands for an empty subject.
const NO_SUBJECT: &str = "(no subject)";

/// The recipients of a call in the form of an API that mails everybody it is told of. Addresses are as the API wants
/// them: domains in ASCII. There is at least one in `to`.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Recipients {
    pub(super) to: Vec<Mailbox>,
    pub(super) cc: Vec<Mailbox>,
    pub(super) bcc: Vec<Mailbox>,
}

/// What a structured API does to a signed or encrypted message: it takes it apart and puts it together anew.
pub(super) fn loss_of_protection(email: &Email) -> Vec<Loss> {
    const WHY: &str =
        "this API rebuilds messages, which breaks it; a provider that takes raw MIME can carry it";
    let content = match email.protection {
        Protection::None => None,
        Protection::Signed => Some("the signature"),
        Protection::Encrypted => Some("the encrypted form"),
    };
    let dkim = email.dkim.as_ref().map(|_| "the DKIM signature");
    content.into_iter().chain(dkim).map(|what| Loss::grave(what, WHY)).collect()
}

/// The first author. The APIs take one.
pub(super) fn author(letter: &Letter<'_>, losses: &mut Vec<Loss>) -> Result<Mailbox, Unfit> {
    let Some((first, others)) = letter.email.from.split_first() else {
        return Err(Unfit {
            reason: "the message has no From; set sender.address, which fills it in".to_owned(),
        });
    };
    if !others.is_empty() {
        losses.push(Loss::slight(
            format!("header From: {} further authors", others.len()),
            "the API takes one; answers go to all of them",
        ));
    }
    let address = wire_address(&first.address).map_err(|reason| Unfit {
        reason: format!("the From address {reason}; sender.address and sender.rewrite can mend it"),
    })?;
    Ok(Mailbox { name: one_line(&first.name), address })
}

/// Sorts the recipients of the call.
///
/// The APIs demand somebody in `to`. Where the message shows nobody in To, the first of Cc moves there; where it shows
/// nobody at all, the call must have a single recipient, who then reads their own address and no other.
pub(super) fn recipients(letter: &Letter<'_>, losses: &mut Vec<Loss>) -> Result<Recipients, Unfit> {
    let addressing = letter.addressing;
    let mut sorted = Recipients {
        to: addressing.to.iter().map(wire_mailbox).collect::<Result<_, _>>()?,
        cc: addressing.cc.iter().map(wire_mailbox).collect::<Result<_, _>>()?,
        bcc: addressing.bcc.iter().map(wire_hidden).collect::<Result<_, _>>()?,
    };
    if sorted.to.is_empty() {
        if !sorted.cc.is_empty() {
            sorted.to.push(sorted.cc.remove(0));
        } else if sorted.bcc.len() == 1 {
            sorted.to.append(&mut sorted.bcc);
        } else {
            // One of them would be shown to the others.
            return Err(Unfit {
                reason: format!(
                    "{} hidden recipients cannot share a call in which nobody is visible",
                    sorted.bcc.len()
                ),
            });
        }
    }
    let shown: HashSet<String> = addressing.to.iter().chain(&addressing.cc).map(spelling).collect();
    // Moved here, or where the recipients were divided into calls.
    let first = addressing.to.first().or(addressing.cc.first()).map(spelling);
    let stands_in = |field: &[Mailbox]| field.iter().any(|it| Some(spelling(it)) == first);
    if stands_in(&letter.email.cc) && !stands_in(&letter.email.to) {
        losses.push(Loss::slight(
            "header Cc: the first address is shown in To",
            "the API demands one there",
        ));
    }
    note_unseen("To", &letter.email.to, &shown, losses);
    note_unseen("Cc", &letter.email.cc, &shown, losses);
    Ok(sorted)
}

/// Reply-To, each address once. One that is none is a loss; one that the API refuses makes the message unfit, because
/// replies would go astray.
pub(super) fn reply_to(letter: &Letter<'_>, losses: &mut Vec<Loss>) -> Result<Vec<Mailbox>, Unfit> {
    let mut seen = HashSet::new();
    let mut replies = Vec::new();
    let email = letter.email;
    // Of several authors the APIs show the first; answers go to all of them nevertheless (RFC 5322 §3.6.3).
    let joint = email.reply_to.is_empty() && email.from.len() > 1;
    for mailbox in if joint { &email.from } else { &email.reply_to } {
        if mailbox.address.parse::<Address>().is_err() {
            losses.push(Loss::slight("header Reply-To: an entry", "it is not an address"));
            continue;
        }
        let wire = wire_mailbox(mailbox)?;
        if seen.insert(wire.address.to_ascii_lowercase()) {
            replies.push(wire);
        }
    }
    Ok(replies)
}

/// The subject. The APIs demand one; a message without gets the words that mail programs show for none.
pub(super) fn subject(letter: &Letter<'_>, losses: &mut Vec<Loss>) -> String {
    let subject = one_line(&letter.email.subject);
    if !subject.is_empty() {
        return subject;
    }
    losses.push(Loss::slight(
        "the empty subject",
        format!("the API demands one; sent as {NO_SUBJECT:?}"),
    ));
    NO_SUBJECT.to_owned()
}

/// `address`, or `Name <address>` with the name quoted where it must be. Letters outside ASCII stay as they are: JSON
/// carries them.
pub(super) fn mailbox_text(mailbox: &Mailbox) -> String {
    let Mailbox { name, address } = mailbox;
    if name.is_empty() {
        return address.clone();
    }
    let plain =
        |c: char| c.is_ascii_alphanumeric() || !c.is_ascii() || " !#$%&'*+-/=?^_`{|}~".contains(c);
    if name.chars().all(plain) {
        return format!("{name} <{address}>");
    }
    let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{quoted}\" <{address}>")
}

/// The address with its domain in ASCII, or why it cannot be sent.
///
/// Local parts outside ASCII need SMTPUTF8, which none of the services that use this offers.
pub(super) fn wire_address(address: &str) -> Result<String, String> {
    let parsed: Address = address.parse().map_err(|_| format!("{address:?} is not valid"))?;
    let (local, domain) = (parsed.local_part(), parsed.domain());
    if !local.is_ascii() {
        return Err(format!(
            "{address:?} has letters outside ASCII before the @, which the provider refuses"
        ));
    }
    if domain.is_ascii() {
        return Ok(address.to_owned());
    }
    // Some letters become others on the way: a full-width comma would make two addresses of one.
    idna::domain_to_ascii(domain)
        .map(|ascii| format!("{local}@{ascii}"))
        .ok()
        .filter(|wire| wire.parse::<Address>().is_ok_and(|wire| wire.local_part() == local))
        .ok_or_else(|| format!("{address:?} has a domain that is not a valid international name"))
}

/// The text without line breaks and other control characters; a space stands for each run of them.
pub(super) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    let mut after_control = false;
    for c in text.chars() {
        if !c.is_control() {
            line.push(c);
        } else if !after_control {
            line.push(' ');
        }
        after_control = c.is_control();
    }
    line.trim().to_owned()
}

fn wire_mailbox(mailbox: &Mailbox) -> Result<Mailbox, Unfit> {
    let address = wire_address(&mailbox.address)
        .map_err(|reason| Unfit { reason: format!("the address {reason}") })?;
    Ok(Mailbox { name: one_line(&mailbox.name), address })
}

fn wire_hidden(address: &Address) -> Result<Mailbox, Unfit> {
    wire_mailbox(&Mailbox { name: String::new(), address: address.as_str().to_owned() })
}

/// One text for all spellings of an address, whether the header or the envelope wrote it.
fn spelling(mailbox: &Mailbox) -> String {
    wire_address(&mailbox.address).unwrap_or_else(|_| mailbox.address.clone()).to_ascii_lowercase()
}

/// Header addresses that are not recipients of the call cannot be shown, because the API would mail them.
fn note_unseen(field: &str, written: &[Mailbox], shown: &HashSet<String>, losses: &mut Vec<Loss>) {
    let unseen = written.iter().filter(|mailbox| !shown.contains(&spelling(mailbox))).count();
    if unseen > 0 {
        losses.push(Loss::slight(
            format!("header {field}: {unseen} of {} addresses", written.len()),
            "not recipients of this call; the API would mail them",
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::samples::{Sample, mailbox};

    #[test]
    fn names_are_quoted_only_where_they_must_be() {
        for (name, text) in [
            ("", "a@example.org"),
            ("Ada Lovelace", "Ada Lovelace <a@example.org>"),
            ("김철수", "김철수 <a@example.org>"),
            ("Doe, Jane", "\"Doe, Jane\" <a@example.org>"),
            ("J. \"Q\" \\ Doe", "\"J. \\\"Q\\\" \\\\ Doe\" <a@example.org>"),
            ("<b@example.net>", "\"<b@example.net>\" <a@example.org>"),
        ] {
            assert_eq!(mailbox_text(&mailbox(name, "a@example.org")), text);
        }
    }

    #[test]
    fn domains_are_sent_in_ascii_and_local_parts_must_be() {
        assert_eq!(wire_address("Ada@예시.한국").unwrap(), "Ada@xn--vv4b11d.xn--3e0b707e");
        assert_eq!(wire_address("\"a b\"@Example.org").unwrap(), "\"a b\"@Example.org");
        assert_eq!(wire_address("a@[192.0.2.1]").unwrap(), "a@[192.0.2.1]");
        assert!(wire_address("한글@example.org").unwrap_err().contains("ASCII"));
        assert!(wire_address("nobody").unwrap_err().contains("not valid"));
        for domain in ["x.kr，b＠example.org", "x＠example.org", "x.kr　y", "예＜시＞.kr", "x；y"]
        {
            let refused = wire_address(&format!("a@{domain}"));
            assert!(refused.is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_single_hidden_recipient_reads_only_their_own_address() {
        let mut sample = Sample::plain();
        sample.addressing.to.clear();
        sample.addressing.bcc = vec!["eve@example.org".parse().unwrap()];
        let sorted = recipients(&sample.letter(), &mut Vec::new()).unwrap();
        assert_eq!(sorted.to, [mailbox("", "eve@example.org")]);
        assert!(sorted.cc.is_empty() && sorted.bcc.is_empty());
    }

    #[test]
    fn hidden_recipients_are_never_shown_to_each_other() {
        let mut sample = Sample::plain();
        sample.addressing.to.clear();
        sample.addressing.bcc =
            vec!["eve@example.org".parse().unwrap(), "mal@example.org".parse().unwrap()];
        let unfit = recipients(&sample.letter(), &mut Vec::new()).unwrap_err();
        assert!(unfit.reason.contains("2 hidden recipients"), "{unfit}");
    }

    #[test]
    fn a_call_without_to_shows_the_first_of_cc_there() {
        let mut sample = Sample::plain();
        sample.addressing.to.clear();
        sample.addressing.cc = vec![mailbox("", "c@example.org"), mailbox("", "d@example.org")];
        sample.email.to.clear();
        sample.email.cc.clone_from(&sample.addressing.cc);
        let mut losses = Vec::new();
        let sorted = recipients(&sample.letter(), &mut losses).unwrap();
        assert_eq!(sorted.to, [mailbox("", "c@example.org")]);
        assert_eq!(sorted.cc, [mailbox("", "d@example.org")]);
        assert_eq!(losses.len(), 1);
    }

    #[test]
    fn a_copy_that_was_moved_to_to_is_no_address_outside_the_call() {
        let mut sample = Sample::plain();
        sample.email.to.clear();
        sample.email.cc = vec![mailbox("", "c@예시.한국"), mailbox("", "d@example.org")];
        sample.addressing.to = vec![mailbox("", "c@xn--vv4b11d.xn--3e0b707e")];
        sample.addressing.cc = vec![mailbox("", "d@example.org")];
        let mut losses = Vec::new();
        recipients(&sample.letter(), &mut losses).unwrap();
        assert_eq!(losses.len(), 1, "{losses:?}");
        assert_eq!(losses[0].what, "header Cc: the first address is shown in To");
    }

    #[test]
    fn addresses_outside_the_call_are_named_as_a_loss_by_number() {
        let mut sample = Sample::plain();
        sample.email.to.push(mailbox("List", "list@example.net"));
        let mut losses = Vec::new();
        recipients(&sample.letter(), &mut losses).unwrap();
        assert_eq!(losses[0].what, "header To: 1 of 2 addresses");
    }

    #[test]
    fn an_empty_subject_is_filled_in_and_named() {
        let mut sample = Sample::plain();
        sample.email.subject = " \t".to_owned();
        let mut losses = Vec::new();
        assert_eq!(subject(&sample.letter(), &mut losses), NO_SUBJECT);
        assert_eq!(losses.len(), 1);
    }

    #[test]
    fn a_message_without_from_names_the_setting_that_mends_it() {
        let mut sample = Sample::plain();
        sample.email.from.clear();
        let unfit = author(&sample.letter(), &mut Vec::new()).unwrap_err();
        assert!(unfit.reason.contains("sender.address"), "{unfit}");
    }
}
