//! What happens to Message-ID and to DKIM signatures at a raw provider.

use std::borrow::Cow;

use super::edits::Edits;
use super::prepare::{SINGLE, must_go, trailing_line_end};
use crate::message::mime::fields::Fields;
use crate::message::mime::write;
use crate::message::parse::headers::NO_ADDRESS;
use crate::message::{Email, Loss};

/// Adds the app's Message-ID to References, for services that write their own. Signed and encrypted mail stays as it is.
pub fn with_own_reference<'a>(raw: &'a [u8], email: &Email) -> Cow<'a, [u8]> {
    let all = match email.references_with_own_id() {
        Some(all) if !email.is_signed_or_encrypted() => all,
        Some(_) | None => return raw.into(),
    };
    let mut edits = Edits::of(raw);
    let mut references = None;
    let mut id = None;
    for field in Fields::of_message(raw) {
        if field.is("References") && references.is_none() {
            references = Some(field);
        } else if field.is("Message-ID") && id.is_none() {
            id = Some(field.range.start);
        }
    }
    match (references, id) {
        // What stands there stays letter by letter.
        (Some(field), _) if field.value.contains(&b'<') => {
            let own = all.rsplit(' ').next().unwrap_or_default();
            let end = field.range.end - trailing_line_end(raw, field.range.end);
            let added = format!("{} {own}", edits.line_end);
            edits.replace(end..end, added.into_bytes());
        }
        (Some(field), _) => {
            edits.replace_lines(field.range, &write::folded_field("References", &all));
        }
        (None, Some(id)) => edits.replace_lines(id..id, &write::folded_field("References", &all)),
        // The view has an id, so the header has the field.
        (None, None) => {}
    }
    edits.apply()
}

/// What a raw provider cannot keep of this message. `writes` are the header fields that the service writes anew.
///
/// The only thing is a DKIM signature: the content stays as it is, but a field that has to go, or that is written anew,
/// may be covered by it. That is no grave loss: a signature that does not verify counts like none (RFC 6376 §6.1), and
/// the service signs what it sends.
pub fn losses_of_raw(raw: &[u8], email: &Email, writes: &[&str]) -> Vec<Loss> {
    let Some(signature) = &email.dkim else { return Vec::new() };
    let mut broken_by: Vec<String> = Vec::new();
    if email.from_rewritten {
        broken_by.push("From is written anew (sender.rewrite)".to_owned());
    }
    for field in Fields::of_message(raw) {
        let why = format!("{} is taken out", field.name);
        if must_go(field.name) && signature.covers(field.name) && !broken_by.contains(&why) {
            broken_by.push(why);
        }
        if broken_by.len() > REASONS_MAX {
            break;
        }
    }
    let anew = writes.iter().filter(|name| signature.covers(name));
    broken_by.extend(anew.map(|name| format!("the service writes {name} anew")));
    if broken_by.is_empty() {
        return Vec::new();
    }
    vec![Loss::slight(
        "the DKIM signature",
        format!("it covers what changes: {}", broken_by.join(", ")),
    )]
}

/// What the edits of [`prepare_raw`](super::prepare_raw) leave out or put in place of something, besides what has to go.
pub fn losses_of_edits(raw: &[u8], email: &Email) -> Vec<Loss> {
    let kept = |name: &str| {
        let covered = email.dkim.as_ref().is_some_and(|signature| signature.covers(name));
        covered && !email.from_rewritten
    };
    let mut seen: Vec<&str> = Vec::new();
    let mut losses = Vec::new();
    for field in Fields::of_message(raw) {
        let Some(name) = SINGLE.iter().find(|name| field.is(name)).filter(|name| !kept(name))
        else {
            continue;
        };
        if !seen.contains(name) {
            seen.push(name);
            continue;
        }
        let loss = Loss::slight(
            format!("header {name}"),
            "it stands more than once, and only the first counts",
        );
        if !losses.contains(&loss) {
            losses.push(loss);
        }
    }
    if email.from_rewritten {
        // What stood there was no address, so it is in no Reply-To either.
        let unread = |loss: &&Loss| loss.what == "header From" && loss.why.ends_with(NO_ADDRESS);
        losses.extend(email.losses.iter().filter(unread).cloned());
    }
    losses
}

/// How many reasons are told.
const REASONS_MAX: usize = 5;
