//! Parts as files. Brevo tells the type of a file by the end of its name, and takes listed ones only.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::message::{Attachment, Email, Loss};
use crate::provider::filename::{agreed, essence, extension, usual_type};
use crate::provider::files::without_amp;

/// The ends of names that the API takes, from its reference.
const TAKEN: [&str; 52] = [
    "xlsx", "xls", "ods", "docx", "docm", "doc", "csv", "pdf", "txt", "gif", "jpg", "jpeg", "png",
    "tif", "tiff", "rtf", "bmp", "cgm", "css", "shtml", "html", "htm", "zip", "xml", "ppt", "pptx",
    "tar", "ez", "ics", "mobi", "msg", "pub", "eps", "odt", "mp3", "m4a", "m4v", "wma", "ogg",
    "flac", "wav", "aif", "aifc", "aiff", "mp4", "mov", "avi", "mkv", "mpeg", "mpg", "wmv",
    "pkpass",
];
/// One more, which does not fit into the rows above.
const TAKEN_TOO: &str = "xlsm";

/// A file of the request.
#[derive(Debug, Serialize)]
pub(super) struct File {
    name: String,
    content: String,
}

/// The files that can be sent. What is left out, or arrives as something else, is a loss.
pub(super) fn files(email: &Email, losses: &mut Vec<Loss>) -> Vec<File> {
    let parts = without_amp(&email.attachments, losses);
    // A reference may be written in many ways, so any makes an inline part count as shown.
    let shows = email.html.as_deref().is_some_and(|html| html.contains("cid:"));
    let each = parts.into_iter().enumerate();
    each.filter_map(|(index, part)| file(index + 1, part, shows, losses)).collect()
}

fn file(number: usize, part: &Attachment, shows: bool, losses: &mut Vec<Loss>) -> Option<File> {
    let given = &part.filename;
    let filename = agreed(part).filename;
    let taken = |it: String| TAKEN.contains(&it.as_str()) || it == TAKEN_TOO;
    if !extension(&filename).is_some_and(taken) {
        losses.push(Loss::grave(
            format!("attachment {given:?}"),
            "Brevo only takes files whose names end in one of a list, and this one does not",
        ));
        return None;
    }
    if part.inline && part.content_id.is_some() && shows {
        losses.push(Loss::grave(
            format!("the inline image {given:?}"),
            "Brevo has none; the page would show a gap, and the image would be a file",
        ));
    } else if part.inline {
        losses.push(Loss::slight(
            format!("the inline disposition of {given:?}"),
            "Brevo attaches it as a file",
        ));
    }
    if !type_is_told(part, &filename) {
        losses.push(Loss::slight(
            format!("the type {:?} of attachment {given:?}", part.content_type),
            format!("Brevo tells the type by the name, which is {filename:?}"),
        ));
    }
    let name = ascii(number, &filename);
    if name != *given {
        losses.push(Loss::slight(
            format!("the name of attachment {given:?}"),
            format!(
                "sent as {name:?}: Brevo garbles letters outside ASCII, and needs the right end"
            ),
        ));
    }
    Some(File { name, content: STANDARD.encode(&part.bytes) })
}

/// Whether the name says all that the type does.
fn type_is_told(part: &Attachment, filename: &str) -> bool {
    let given = part.content_type.trim();
    let essence = essence(given);
    if essence.is_empty() || essence == "application/octet-stream" {
        return true;
    }
    let plain = given.split(';').skip(1).map(|it| it.trim().to_ascii_lowercase()).all(|it| {
        // It says UTF-8 of every text.
        matches!(it.replace('"', "").as_str(), "" | "charset=utf-8" | "charset=us-ascii")
    });
    plain && usual_type(filename).is_none_or(|usual| usual == essence)
}

/// The name in ASCII, which arrives as it is. The reader sees less of it, but the file is whole, and opens by its end.
fn ascii(number: usize, filename: &str) -> String {
    if filename.is_ascii() {
        return filename.to_owned();
    }
    let mut name = String::with_capacity(filename.len());
    for c in filename.chars() {
        if c.is_ascii() {
            name.push(c);
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    let (stem, end) = name.rsplit_once('.').unwrap_or((&name, "dat"));
    if stem.contains(|c: char| c.is_ascii_alphanumeric()) {
        return name;
    }
    format!("attachment-{number}.{end}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::samples::attachment;

    fn sent(parts: Vec<Attachment>, html: Option<&str>) -> (Vec<String>, Vec<Loss>) {
        let email = Email { attachments: parts, html: html.map(str::to_owned), ..Email::default() };
        let mut losses = Vec::new();
        let files = files(&email, &mut losses);
        (files.into_iter().map(|file| file.name).collect(), losses)
    }

    #[test]
    fn what_is_named_as_its_type_is_sent_as_it_is() {
        let (names, losses) = sent(
            vec![
                attachment("a b.PDF", "application/pdf", b"x"),
                attachment("a.ics", "text/calendar; charset=UTF-8", b"x"),
                attachment("a.xlsm", "application/vnd.ms-excel.sheet.macroenabled.12", b"x"),
                attachment("a.csv", "application/octet-stream", b"x"),
            ],
            None,
        );
        assert_eq!(names, ["a b.PDF", "a.ics", "a.xlsm", "a.csv"]);
        assert_eq!(losses, []);
    }

    #[test]
    fn a_type_that_is_not_taken_is_a_grave_loss() {
        let types = ["a.eml", "a.exe", "a", ".pdf", "a.json"];
        for name in types {
            let (names, losses) = sent(vec![attachment(name, "application/x-thing", b"x")], None);
            assert!(names.is_empty(), "{name}");
            assert!(losses[0].grave && losses[0].what.contains(name), "{losses:?}");
        }
    }

    #[test]
    fn names_get_the_end_of_their_type_and_ascii_letters() {
        let (names, losses) = sent(
            vec![
                attachment("photo", "image/jpeg", b"x"),
                attachment("보고서 2026.pdf", "application/pdf", b"x"),
                attachment("견적서.xlsx", "application/octet-stream", b"x"),
            ],
            None,
        );
        assert_eq!(names, ["photo.jpg", "_ 2026.pdf", "attachment-3.xlsx"]);
        assert_eq!(losses.len(), 3);
        assert!(losses.iter().all(|loss| !loss.grave && loss.what.contains("the name of")));
    }

    #[test]
    fn what_the_name_cannot_say_is_named() {
        for content_type in ["text/calendar; method=REQUEST", "text/calendar; charset=euc-kr"] {
            let (names, losses) = sent(vec![attachment("a.ics", content_type, b"x")], None);
            assert_eq!(names, ["a.ics"]);
            assert!(!losses[0].grave && losses[0].what.contains(content_type), "{losses:?}");
        }
    }

    #[test]
    fn an_inline_image_is_a_grave_loss_where_the_page_shows_it() {
        let mut part = attachment("logo.png", "image/png", b"x");
        part.inline = true;
        part.content_id = Some("logo@x".to_owned());
        let page = Some("<img src=\"cid:logo@x\">");
        let (names, losses) = sent(vec![part.clone()], page);
        assert_eq!(names, ["logo.png"], "as a file it is better than not at all");
        assert!(losses[0].grave && losses[0].what.contains("logo.png"), "{losses:?}");
        for page in [None, Some("<p>x</p>")] {
            let (_, losses) = sent(vec![part.clone()], page);
            assert!(losses.len() == 1 && !losses[0].grave, "{losses:?}");
        }
    }
}
