//! What APIs without MIME make of parts: files, and images that the HTML shows.

use crate::message::{Attachment, Loss};

/// The parts that are files, or can go as such. An AMP alternative is none: it would arrive as a page to be saved.
pub(super) fn without_amp<'a>(
    attachments: &'a [Attachment],
    losses: &mut Vec<Loss>,
) -> Vec<&'a Attachment> {
    losses.extend(attachments.iter().filter(|part| part.is_invitation()).map(|part| {
        Loss::slight(
            format!("the calendar alternative {:?}", part.filename),
            "the API does not take one; carried as an attachment with its method",
        )
    }));
    let (amp, files): (Vec<_>, Vec<_>) = attachments.iter().partition(|part| part.is_amp());
    losses.extend(
        amp.iter().map(|_| Loss::slight("the AMP alternative", "the API does not take one")),
    );
    files
}

/// The Content-ID by which the HTML shows this part. Other parts get none: they would be hidden as if it did.
pub(super) fn inline_id<'a>(part: &'a Attachment, losses: &mut Vec<Loss>) -> Option<&'a str> {
    if !part.inline {
        return None;
    }
    if part.content_id.is_none() {
        losses.push(Loss::slight(
            format!("the inline disposition of {:?}", part.filename),
            "without a Content-ID the API attaches it as a file",
        ));
    }
    part.content_id.as_deref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::samples::attachment;

    #[test]
    fn an_amp_alternative_is_a_named_loss() {
        let parts = [
            attachment("amp", "text/x-amp-html; charset=utf-8", b"x"),
            attachment("a.txt", "text/plain", b"x"),
        ];
        let mut losses = Vec::new();
        assert_eq!(without_amp(&parts, &mut losses), [&parts[1]]);
        assert!(losses.len() == 1 && losses[0].what.contains("AMP"), "{losses:?}");
    }

    #[test]
    fn only_inline_parts_have_a_content_id() {
        let mut losses = Vec::new();
        let mut part = attachment("a.png", "image/png", b"x");
        part.content_id = Some("a@x".to_owned());
        assert_eq!(inline_id(&part, &mut losses), None);
        part.inline = true;
        assert_eq!(inline_id(&part, &mut losses), Some("a@x"));
        assert_eq!(losses, []);
        part.content_id = None;
        assert_eq!(inline_id(&part, &mut losses), None);
        assert!(losses[0].what.contains("inline disposition"), "{losses:?}");
    }
}
