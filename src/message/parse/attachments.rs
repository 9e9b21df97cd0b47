//! Everything that is not a body: files, inline images, further alternatives.

use std::collections::HashMap;

use bytes::Bytes;

use super::{names, references};
use crate::message::mime::charset;
use crate::message::mime::structure::{Part, Structure};
use crate::message::{Attachment, Email, Loss};

/// Reads the leaves that are not `shown` into `email`.
pub(super) fn read(raw: &[u8], structure: &Structure, shown: &[bool], email: &mut Email) {
    let mut located = HashMap::new();
    if let Some(html) = &email.html
        && let Some(page) = references::by_location(structure, html)
    {
        email.html = Some(page.html);
        located = page.ids;
        if page.cut {
            let why = "the HTML names parts by their Content-Location more often than is followed";
            email.note(Loss::grave("inline parts", why));
        }
    }
    let own = structure.parts.iter().filter_map(|part| part.content_id.as_deref());
    let known = own.chain(located.values().map(String::as_str)).collect();
    let mut wanted =
        email.html.as_deref().map(|html| references::cids(html, &known)).unwrap_or_default();
    let has_body = email.text.is_some() || email.html.is_some();

    for (index, part) in structure.parts.iter().enumerate() {
        if part.multipart || shown.get(index).is_some_and(|shown| *shown) {
            continue;
        }
        let alternative = is_alternative(structure, part);
        if alternative && has_body && !is_carried(part) {
            email.lose(
                part.label(),
                "a further form of the text: the API takes plain text and HTML",
            );
            continue;
        }
        let mut attachment = attachment(raw, part, alternative, email);
        if let Some(id) = located.remove(&index) {
            attachment.content_id = Some(id);
        }
        // Of two parts with one id the first is shown, as mail programs do; the other would be hidden.
        attachment.inline = attachment.content_id.as_ref().is_some_and(|id| wanted.remove(id));
        email.attachments.push(attachment);
    }
}

/// True for a form of the text, and not a file that stands among them by mistake.
fn is_alternative(structure: &Structure, part: &Part) -> bool {
    let parent = part.parent.and_then(|parent| structure.parts.get(parent));
    parent.is_some_and(|parent| parent.is("multipart/alternative"))
        && part.media.main_type() == "text"
        && !part.is_attachment()
        && part.filename().is_none_or(|_| is_carried(part))
}

/// True for the forms that some API takes.
fn is_carried(part: &Part) -> bool {
    part.is("text/calendar") || part.is("text/x-amp-html")
}

fn attachment(raw: &[u8], part: &Part, alternative: bool, email: &mut Email) -> Attachment {
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
        email.lose_by(part.label(), fault);
    }
    if alternative {
        let (text, fault) = charset::decode(&bytes, part.media.param("charset"));
        if let Some(fault) = fault {
            email.lose_by(part.label(), fault);
        }
        let media = part.media.with_params(|name| !matches!(name, "name" | "charset"));
        let made_up = || names::made_up(&part.media.value, position);
        return Attachment {
            filename: part.filename().map_or_else(made_up, names::without_path),
            content_type: format!("{media}; charset=utf-8"),
            content_id: part.content_id.clone(),
            inline: false,
            alternative,
            bytes: text.into_owned().into(),
        };
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
        Some(filename) => names::without_path(filename),
        None => names::made_up(content_type.split(';').next().unwrap_or_default(), position),
    };
    Attachment {
        filename,
        content_type,
        content_id: part.content_id.clone(),
        inline: false,
        alternative,
        bytes: bytes.into_owned().into(),
    }
}
