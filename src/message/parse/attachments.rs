//! Everything that is not a body: files, inline images, further alternatives.

use std::collections::HashSet;

use bytes::Bytes;

use super::names;
use crate::message::mime::structure::{Part, Structure};
use crate::message::mime::transfer;
use crate::message::{Attachment, Email};

/// Reads the leaves that are not `shown` into `email`.
pub(super) fn read(raw: &[u8], structure: &Structure, shown: &[bool], email: &mut Email) {
    let mut references: Option<HashSet<String>> = None;
    for (part, shown) in structure.parts.iter().zip(shown) {
        if part.multipart || *shown {
            continue;
        }
        let mut attachment = attachment(raw, part, email);
        let referenced = match (&attachment.content_id, &email.html) {
            (Some(id), Some(html)) => references.get_or_insert_with(|| cids(html)).contains(id),
            (Some(_), None) | (None, _) => false,
        };
        let stated = part.disposition.as_ref().is_some_and(|it| it.value == "inline");
        let located = !referenced && refer_by_location(part, &mut attachment, email);
        attachment.inline = referenced || located || (stated && attachment.content_id.is_some());
        email.attachments.push(attachment);
    }
}

fn attachment(raw: &[u8], part: &Part, email: &mut Email) -> Attachment {
    let position = email.attachments.len() + 1;
    // Only one that stands too deep is a multipart here: the file is its fields and its body.
    if part.media.main_type() == "multipart" {
        let bytes = raw.get(part.header.start..part.body.end).unwrap_or_default();
        return Attachment {
            filename: names::made_up("message/rfc822", position),
            content_type: "message/rfc822".to_owned(),
            bytes: Bytes::copy_from_slice(bytes),
            ..Attachment::default()
        };
    }

    let (bytes, fault) = part.encoding.undo(raw.get(part.body.clone()).unwrap_or_default());
    if let Some(fault) = fault {
        email.lose(part.label(), fault);
    }
    let content_type = if part.media_stated {
        // ActionMailer writes a `filename` here too.
        part.media.with_params(|name| !matches!(name, "name" | "filename" | "boundary"))
    } else {
        let guessed = part.filename().and_then(names::type_of);
        let default =
            if part.is("text/plain") { "application/octet-stream" } else { &part.media.value };
        guessed.unwrap_or(default).to_owned()
    };
    let filename = match part.filename() {
        Some(filename) => filename.to_owned(),
        None => names::made_up(content_type.split(';').next().unwrap_or_default(), position),
    };
    Attachment {
        filename,
        content_type,
        content_id: part.content_id.clone(),
        inline: false,
        bytes: bytes.into_owned().into(),
    }
}

/// The longest Content-ID that is looked for: a header line's length.
const CONTENT_ID_MAX: usize = 998;
/// How many attachments may be looked for by their Content-Location; each costs a search through the HTML.
const LOCATED_MAX: usize = 200;

/// The Content-IDs that the HTML refers to.
fn cids(html: &str) -> HashSet<String> {
    // Lower case changes no offset in ASCII.
    let lower = html.to_ascii_lowercase();
    memchr::memmem::find_iter(lower.as_bytes(), b"cid:")
        .filter_map(|at| html.get(at + 4..))
        .map(|rest| {
            let ends = |byte: &u8| byte.is_ascii_whitespace() || b"\"'<>)&".contains(byte);
            let id = rest.as_bytes().iter().take(CONTENT_ID_MAX).position(ends);
            let id = id.and_then(|end| rest.get(..end)).unwrap_or_default();
            let bytes = transfer::hex_escapes(id.as_bytes(), b'%');
            String::from_utf8_lossy(&bytes).into_owned()
        })
        .collect()
}

/// APIs know inline parts by Content-ID only: where the HTML names one by its Content-Location (RFC 2557), the part gets
/// an id and the HTML refers to that. Returns whether it did.
fn refer_by_location(part: &Part, attachment: &mut Attachment, email: &mut Email) -> bool {
    let (Some(location), Some(html)) = (&part.location, &email.html) else { return false };
    if email.attachments.len() >= LOCATED_MAX {
        return false;
    }
    let id = match &attachment.content_id {
        Some(id) => id.clone(),
        None => format!("part{}@mailferry", part.number),
    };
    let mut changed = false;
    let mut rewritten = html.clone();
    for quote in ['"', '\''] {
        let reference = format!("{quote}{location}{quote}");
        if rewritten.contains(&reference) {
            rewritten = rewritten.replace(&reference, &format!("{quote}cid:{id}{quote}"));
            changed = true;
        }
    }
    if changed {
        email.html = Some(rewritten);
        attachment.content_id = Some(id);
    }
    changed
}
